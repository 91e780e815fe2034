//! `mailchute init --from-env`: the environment's configuration as a file.

use crate::caller::Caller;
use crate::config::init_from_environment;
use crate::door;
use crate::exit::{self, Scheme};
use crate::failure::{Failure, Kind};
use crate::host;

/// Prints the file on standard output.
pub fn run() -> u8 {
    let failure = match init_from_environment(&host::variable, &Caller::current()) {
        Ok(Some(text)) => match door::say(&text) {
            Ok(()) => return exit::OK,
            Err(error) => Failure::new(Kind::Io, "standard output", error.to_string()),
        },
        Ok(None) => Failure::new(Kind::Configuration, "environment", "neither MAILCHUTE_URL nor MAILER_DSN is set")
            .hint("set MAILCHUTE_URL, such as smtps://mail.example.net, or postmark://default with MAILCHUTE_KEY"),
        Err(failure) => failure,
    };
    door::report(&failure);
    exit::of_kind(&failure.kind, Scheme::Reply)
}
