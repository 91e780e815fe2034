//! The errands, a file each: a message on standard input (`send`), SMTP on it (`bs`), the subcommands.

mod admission;
pub mod alert;
pub(crate) mod ban;
pub(crate) mod bans;
mod blocked;
pub(crate) mod bs;
pub(crate) mod check;
mod culprits;
pub mod explain;
pub(crate) mod import;
pub mod init;
pub mod lint;
pub(crate) mod log;
pub mod login;
pub mod providers;
pub(crate) mod queue;
pub(crate) mod report;
pub(crate) mod secret;
pub(crate) mod send;
pub(crate) mod show;
pub(crate) mod speaker;
pub mod status;
mod table;
pub mod test;
pub mod verify;
