//! What of its caller's a set-group-id binary leaves alone, and whether the caller can reach what is kept.

use std::env;
use std::path::Path;

use nix::unistd::{AccessFlags, access};

use super::Page;
use crate::caller::Caller;
use crate::host;
use crate::keep::{Place, Reach};
use crate::modes::group_name;
use crate::reply::printable;

/// How the variables begin that count without a group of the binary's own, and those that count as a whole.
const PREFIXES: [&str; 3] = ["MAILCHUTE_", "MAIL_", "AWS_"];
const VARIABLES: [&str; 12] = [
    "MAILER_DSN",
    "CREDENTIALS_DIRECTORY",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "HTTPS_PROXY",
    "https_proxy",
    "NO_PROXY",
    "no_proxy",
    "TMPDIR",
    "TZ",
    "TZDIR",
    "XDG_CONFIG_HOME",
];

/// The rows of it; none where the binary has no group.
pub(super) fn rows(options: &[String], caller: &Caller, page: &mut Page) {
    let said = match Reach::of_caller() {
        Reach::Everything => return,
        Reach::NotGranted(group) => format!(
            "this process did not get the binary's group {}, as where no rights may be gained (NoNewPrivileges=, nosuid): \
             it reads what its caller reads",
            group_name(group)
        ),
        Reach::Member(group) => {
            let name = group_name(group);
            let user = caller.user.clone().unwrap_or_else(|| caller.uid.to_string());
            format!(
                "set-group-id, and nothing is kept from this caller: it is in the group {name}; sudo gpasswd -d {user} {name}"
            )
        }
        Reach::Open(group, place) => format!(
            "set-group-id ({}), and others may enter {}; sudo mailchute init --users",
            group_name(group),
            place.parent()
        ),
        Reach::Nothing(group) => {
            let name = group_name(group);
            format!("set-group-id ({name}): the caller reads no secret, and reaches nothing that is kept")
        }
    };
    page.row("mode", &said);
    if let Reach::Nothing(_) = Reach::of_caller() {
        page.row("mode", &format!("what all sites share lies in {}/shared", Place::State.parent()));
    }
    if host::is_privileged() {
        let ignored = ignored(options, caller);
        if !ignored.is_empty() {
            page.row(
                "ignored",
                &format!("{}: a set-group-id binary takes nothing from its caller", ignored.join(", ")),
            );
        }
    }
}

/// What the caller says that does not count.
fn ignored(options: &[String], caller: &Caller) -> Vec<String> {
    let counts =
        |name: &String| VARIABLES.contains(&name.as_str()) || PREFIXES.iter().any(|prefix| name.starts_with(prefix));
    let names = env::vars_os().map(|(name, _)| printable(name.as_encoded_bytes(), 64)).filter(counts);
    let mut variables: Vec<String> = names.collect();
    variables.sort_unstable();
    // The usual place of it, and whether it is there as far as the caller may know: access(2) asks with the caller's
    // own rights.
    let own = caller.home.as_ref().map(|home| home.join(".config/mailchute/config.toml"));
    let is_there = |path: &Path| access(path, AccessFlags::F_OK).is_ok();
    let own = own.filter(|path| is_there(path)).map(|path| path.display().to_string());
    options.iter().cloned().chain(variables).chain(own).collect()
}
