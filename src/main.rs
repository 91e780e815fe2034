//! The binary: only calls the library and exits.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(mailchute::program::run(std::env::args_os()))
}
