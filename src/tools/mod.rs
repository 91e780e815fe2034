//! The subcommands, a file each.

pub mod explain;
pub mod init;
pub mod lint;
pub mod login;
pub mod providers;
pub mod status;
pub mod test;
pub mod verify;
