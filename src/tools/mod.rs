//! The subcommands, a file each.

pub mod providers;
pub mod status;
