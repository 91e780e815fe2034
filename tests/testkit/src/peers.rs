//! Programs of others that a test speaks to, and what of the machine they see.

use std::ffi::OsStr;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// Where `program` is installed. When it is not, says loudly that the test is skipped; with
/// `MAILCHUTE_REQUIRE_PEERS=1`, as in CI, that is a failure.
///
/// # Panics
/// The program is missing and required.
pub fn need(program: &str) -> Option<PathBuf> {
    let path = std::env::var("PATH").unwrap_or_default();
    need_in(program, &format!("{path}:/usr/sbin:/usr/local/sbin:/sbin"))
}

/// Where `program` is installed in the directories of `path`, with `:` between them; see [`need`].
///
/// # Panics
/// The program is missing and required.
pub fn need_in(program: &str, path: &str) -> Option<PathBuf> {
    let found = std::env::split_paths(path).map(|directory| directory.join(program)).find(|place| place.is_file());
    if found.is_none() {
        missing(&format!("{program} is not installed"));
    }
    found
}

/// A call of somebody else's program with nothing of our environment but `PATH`, and with no home: proxies, locales,
/// options of an interpreter and files in the home of whoever runs the tests do not change what it does.
pub fn apart(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
    // Not even root can make it there: `rpm` does elsewhere, and leaves it behind.
    command.env("HOME", "/proc/nonexistent").env("LC_ALL", "C.UTF-8");
    command
}

/// What [`is_apart`] sets where it runs a test again.
const APART: &str = "TESTKIT_APART";

/// Whether this process has an environment of its own, as [`apart`] makes it. Where it does not, the test `name` has been
/// run again in one that has, and there is nothing left to do: for tests that call a function of the program which asks the
/// environment for, say, a proxy.
///
/// # Panics
/// The test failed there.
pub fn is_apart(name: &str) -> bool {
    if std::env::var_os(APART).is_some() {
        return true;
    }
    let itself = std::env::current_exe().expect("the path of the tests");
    let run = apart(itself).args(["--exact", name]).env(APART, "1").stdin(Stdio::null()).output();
    let run = run.expect("the tests run");
    let said = String::from_utf8_lossy(&run.stdout);
    assert!(run.status.success() && said.contains("1 passed"), "{said}{}", String::from_utf8_lossy(&run.stderr));
    false
}

/// Whether this process is root; says loudly that the test is skipped otherwise, as [`need`] does.
///
/// # Panics
/// Root is required and this process is not.
pub fn need_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    let root = std::fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0);
    if !root {
        missing("this test changes its uid and needs root");
    }
    root
}

/// Whether this process may make a mount namespace; says loudly that the test is skipped otherwise, as
/// [`need`] does.
///
/// # Panics
/// A namespace is required and cannot be made.
pub fn need_mount_namespace() -> bool {
    let made = Command::new("unshare").args(["--mount", "true"]).stderr(Stdio::null()).status();
    let may = made.is_ok_and(|status| status.success());
    if !may {
        missing("this test needs a mount namespace, which takes root and unshare");
    }
    may
}

/// Says loudly that a test is skipped, and that it is because of `what`; see [`need`].
///
/// # Panics
/// It is required.
pub fn missing(what: &str) {
    let required = std::env::var_os("MAILCHUTE_REQUIRE_PEERS").is_some_and(|value| value == "1");
    assert!(!required, "{what}, and MAILCHUTE_REQUIRE_PEERS=1 requires it");
    // Past the test harness's capture, so that a skipped test is seen in a green run.
    let _ = writeln!(std::io::stderr(), "SKIPPED: {what}");
}
