//! Steps 3 to 6 of a message's path: site, envelope, the message made fit, route.
//!
//! Sending and explaining both follow one [`Course`], so that what `explain` says is what would happen.

pub mod alias;
pub mod alias_file;
mod choice;
mod course;
pub mod divert;
pub mod envelope;
pub mod fit;
pub mod resent;
pub mod route;
mod sender;
pub mod site;

use std::sync::Arc;

pub use self::alias_file::lists;
pub use self::choice::Choice;
pub use self::course::Course;
pub use self::divert::Diversion;
pub use self::envelope::Wishes;
pub use self::sender::{own_sender, rewrites};
use crate::config::relay::Relay;
use crate::envelope::Envelope;

/// Everything that is decided before a relay is spoken to.
#[derive(Debug)]
pub struct Plan {
    /// Who sends, who receives.
    pub envelope: Envelope,
    /// Why it is this envelope, for `explain`.
    pub notes: Vec<String>,
    /// The relays to try, in order.
    pub route: Vec<Arc<Relay>>,
    /// What goes out as it is though it may not arrive so.
    pub warnings: Vec<String>,
    /// What the site's guard has made of it.
    pub diversion: Option<Diversion>,
}
