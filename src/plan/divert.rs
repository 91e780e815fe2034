//! What a site's guard makes of a message: it goes to others than it is written to, or to nobody.
//!
//! Envelope and header section both: an API that takes fields, and whatever else reads recipients out of a message,
//! finds nobody in it but those who are to have it, and a reply to all of it reaches nobody else either.

use std::fmt;
use std::sync::Arc;

use crate::address::{Address, with_ascii_domain};
use crate::config::relay::Relay;
use crate::config::site::Guard;
use crate::envelope::Envelope;
use crate::message::{Message, note};

/// The field that names those a message was written to.
const FIELD: &str = "X-Mailchute-Diverted-From";
/// How many of them it names; the others are counted.
const NAMED: usize = 100;
/// The fields that say who receives.
const RECIPIENTS: [&str; 6] = ["To", "Cc", "Bcc", "Resent-To", "Resent-Cc", "Resent-Bcc"];

/// What became of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Diversion {
    /// It goes to others than it was written to.
    Diverted {
        /// Those it was written to.
        from: Vec<Address>,
        /// Those who get it.
        to: Arc<[Address]>,
    },
    /// It goes to nobody.
    Discarded,
}

impl Diversion {
    /// Those it was written to, where it goes to others.
    pub fn forward_paths(&self) -> &[Address] {
        match self {
            Self::Diverted { from, .. } => from,
            Self::Discarded => &[],
        }
    }
}

/// As `-v` and `explain` tell it.
impl fmt::Display for Diversion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Diverted { from, to } => write!(f, "diverted to {}, away from {}", listed(to), listed(from)),
            Self::Discarded => f.write_str("discarded: nothing is sent to anybody"),
        }
    }
}

/// Applies `guard` to a message that was made fit.
pub fn apply(guard: &Guard, envelope: &mut Envelope, message: &mut Message) -> Diversion {
    match guard {
        Guard::Discard => Diversion::Discarded,
        Guard::Divert(to) => {
            let from = std::mem::replace(&mut envelope.forward_paths, to.to_vec());
            message.edit_header(|header, repairs| {
                for name in RECIPIENTS.into_iter().chain([FIELD]) {
                    header.remove(name);
                }
                header.append("To", &to.iter().map(ascii).collect::<Vec<_>>().join(", "));
                header.append(FIELD, &listed(&from));
                note(repairs, "To, Cc and Bcc replaced, because the message is diverted");
            });
            Diversion::Diverted { from, to: Arc::clone(to) }
        }
    }
}

/// The route of what nobody is to have.
pub(super) fn nowhere() -> Vec<Arc<Relay>> {
    vec![Arc::new(Relay::discarding("discard", "discard = true"))]
}

fn listed(forward_paths: &[Address]) -> String {
    let more = forward_paths.len().saturating_sub(NAMED);
    let mut names: Vec<_> = forward_paths.iter().take(NAMED).map(ascii).collect();
    if more > 0 {
        names.push(format!("and {more} more"));
    }
    names.join(", ")
}

/// As it is written to whoever reads ASCII only; a local part outside ASCII stays, and is encoded where it has to be.
fn ascii(address: &Address) -> String {
    with_ascii_domain(address).unwrap_or_else(|_| address.clone()).to_string()
}
