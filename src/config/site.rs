//! A site as configured: who is speaking, and what that site may do.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::relay::Relay;
use crate::address::Mailbox;
use crate::exit::Scheme;

/// One site with every top-level default filled in.
#[derive(Clone, Debug)]
pub struct Site {
    /// The name; `default` where no `[site]` is configured.
    pub name: String,
    /// The file that defines it; `None`: the environment.
    pub file: Option<PathBuf>,
    /// The uids that may use it; empty: every uid.
    pub users: Vec<u32>,
    /// Working directories it covers, links resolved; empty: any.
    pub paths: Vec<PathBuf>,
    /// Addresses it may write as; empty: any.
    pub sender: Vec<SenderPattern>,
    /// What to do with another sender.
    pub other_sender: OtherSender,
    /// The site's own From and reverse-path.
    pub from: Option<Mailbox>,
    /// The route: relays in the order they are tried; never empty.
    pub relays: Vec<Arc<Relay>>,
    /// The reason with which everything is refused.
    pub disabled: Option<String>,
    /// The domain that qualifies bare names.
    pub domain: Option<String>,
    /// Domains whose local parts are aliased; `None`: localhost and the host's own names.
    pub local_domains: Option<Vec<String>>,
    /// Aliases, keys in lower case, `*` for every other local name; the site's own before `[alias]`.
    pub alias: BTreeMap<String, Vec<String>>,
    /// `partial = "deliver"`: send to those accepted when others are refused.
    pub deliver_partially: bool,
    /// `in_doubt = "retry"`: try the next relay although somebody may have the message.
    pub retry_in_doubt: bool,
    /// The caller's numbers.
    pub exit_status: Scheme,
    /// Connect and send, all relays together.
    pub deadline: Duration,
}

/// What happens to a sender that `sender` does not list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OtherSender {
    /// The site's `from` takes its place.
    Rewrite,
    /// 553 5.7.1.
    Refuse,
    /// It goes as it is.
    Pass,
}

/// One entry of `sender`: an address, `*@domain`, or `*@*.domain`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SenderPattern {
    /// Local part, compared as it is; `None` is `*`.
    pub local: Option<String>,
    /// Domain in lower case, without a leading `*.`.
    pub domain: String,
    /// `*.domain`: every domain below it, not the domain itself.
    pub subdomains: bool,
}
