//! The binary: only calls the library and exits.

fn main() -> std::process::ExitCode {
    std::process::ExitCode::from(70)
}
