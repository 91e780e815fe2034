//! Command lines, read: what was typed, typed.

pub mod alert;
#[cfg(test)]
mod cases;
pub mod check;
mod commands;
pub mod dialect;
mod help;
pub mod import;
pub mod init;
pub mod invocation;
pub mod log;
pub mod options;
pub mod parse;
pub mod queue;
pub mod secret;

pub use commands::{Explain, LiftBan, ListBans, Login, Providers, Resend, SetBan, Speaker, Status, Test, Tool, Whom};
