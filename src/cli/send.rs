//! The course of one message, from the door's side.

use std::ffi::OsString;

use super::door;
use super::invocation::Invocation;
use crate::exit::{self, Scheme};
use crate::failure::{Failure, Kind};

/// Runs what needs a message or a configuration: delivery, `-bv`, `explain`, `test`, `init`.
pub fn run(invocation: &Invocation) -> u8 {
    let _ = invocation;
    door::drain();
    let failure = Failure::new(Kind::Software, "mailchute", "not built yet");
    door::report(&failure);
    exit::of_kind(&failure.kind, Scheme::Reply)
}

/// Ends a command line that could not be read: standard input is drained first.
pub fn refuse(words: &[OsString], failure: &Failure) -> u8 {
    let _ = words;
    door::drain();
    door::report(failure);
    exit::of_kind(&failure.kind, Scheme::Reply)
}
