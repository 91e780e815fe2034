//! mailchute takes sendmail's place: one message on standard input, relayed with the site's
//! credentials while the caller waits, and an exit status that tells the SMTP reply.
//!
//! The path of a message is one straight line, each step a value handed to the next:
//!
//! ```text
//! argv -> Invocation -> Message -> Site -> Envelope -> Route -> relay -> Outcome -> exit status
//! ```

pub mod address;
pub mod alias;
pub mod api;
pub mod caller;
pub mod cli;
pub mod config;
pub mod deadline;
pub mod envelope;
pub mod exit;
pub mod failure;
pub mod hint;
pub mod host;
pub mod http;
pub mod journal;
pub mod message;
pub mod modes;
pub mod oauth;
pub mod outcome;
pub mod plan;
pub mod provider;
pub mod reply;
pub mod route;
pub mod secret;
pub mod site;
pub mod smtp;
pub mod submit;
pub mod tools;
pub mod trace;
pub mod transaction;
