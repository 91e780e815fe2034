//! mailchute takes sendmail's place: one message on standard input, relayed with the site's
//! credentials while the caller waits, and an exit status that tells the SMTP reply.
//!
//! The path of a message is one straight line, each step a value handed to the next:
//!
//! ```text
//! argv -> Invocation -> Message -> Site -> Envelope -> Route -> relay -> Outcome -> exit status
//! ```
//!
//! `tools::send` walks it for one message, `tools::bs` for a caller that speaks SMTP, and `tools::explain` up to the
//! relay. The rooms stand in one order, and a room uses only those before it, which `tests/suite/law.rs` checks:
//!
//! | Row | Rooms | |
//! |---|---|---|
//! | words | `reply`, `hex`, `deadline`, `host`, `process`, `spelling`, `random`, `charset`, `encoded_word`, `der`, `address` | what everything else speaks of |
//! | nouns | `outcome`, `rule`, `failure`, `finding`, `envelope`, `attempt`, `exit`, `caller`, `modes`, `root`, `secret`, `message` | values that decide nothing |
//! | keep | `keep` | what stays on disk for each uid: directory, lock, atomic save |
//! | facts | `providers`, `config` | what is known of providers, and what was configured |
//! | reach | `wire`, `dns`, `smtp`, `http`, `oauth` | the only code that opens connections |
//! | course | `plan`, `limit`, `breaker`, `records`, `machine`, `hint`, `submit`, `spool`, `journal`, `alert`, `conclude`, `flush` | what is decided, done and told |
//! | door | `cli`, `door`, `import`, `tools`, `program` | command lines; the only code that prints or exits; a file per subcommand |
//!
//! A new case is a file of data in `tests/NAME/`; what its keys mean stands at the top of `tests/suite/NAME.rs`.

pub mod address;
pub mod alert;
pub mod attempt;
pub mod breaker;
pub mod caller;
pub mod charset;
pub mod cli;
pub mod conclude;
pub mod config;
pub mod deadline;
mod der;
pub mod dns;
pub mod door;
pub mod encoded_word;
pub mod envelope;
pub mod exit;
pub mod failure;
pub mod finding;
pub mod flush;
pub mod hex;
pub mod hint;
pub mod host;
pub mod http;
pub mod import;
pub mod journal;
pub mod keep;
pub mod limit;
pub mod machine;
pub mod message;
pub mod modes;
pub mod oauth;
pub mod outcome;
pub mod plan;
pub mod process;
pub mod program;
pub mod providers;
pub mod random;
pub mod records;
pub mod reply;
pub mod root;
pub mod rule;
pub mod secret;
pub mod smtp;
pub mod spelling;
pub mod spool;
pub mod submit;
pub mod tools;
pub mod wire;
