//! `mailchute init --from-env`: the environment's configuration as a file.

use anyhow::Context as _;

use crate::caller::Caller;
use crate::config::init_from_environment;
use crate::door;
use crate::failure::{Failure, Kind};
use crate::host;

/// Prints the file on standard output.
///
/// # Errors
/// There is no configuration in the environment, it has a mistake, or standard output cannot be written.
pub fn run() -> anyhow::Result<()> {
    let text = init_from_environment(&host::variable, &Caller::current())?.ok_or_else(|| {
        let why = "none of MAILCHUTE_URL, MAILER_DSN and MAIL_HOST is set";
        Failure::new(Kind::Configuration, "environment", why)
            .hint("set MAILCHUTE_URL, such as smtps://mail.example.net, or postmark://default with MAILCHUTE_KEY")
    })?;
    door::say(&text).context("standard output")
}
