//! Who a site may write as: `sender` against the reverse-path and every field that says who writes.

use std::cell::OnceCell;

use super::envelope::{Submitter, configured_address};
use crate::address::{AddrSpec, Address, List, Listed, Mailbox, Piece, same_mailbox};
use crate::config::site::{OtherSender, Patterns, Site};
use crate::envelope::{Dsn, Envelope};
use crate::failure::{Failure, Kind};
use crate::message::header::{Edit, Field};
use crate::message::{Header, note};
use crate::reply::{Reply, printable};

/// The header fields that say who writes.
const FIELDS: [&str; 4] = ["From", "Sender", "Resent-From", "Resent-Sender"];

/// How much of a field that says nobody an error repeats, in bytes.
const SHOWN: usize = 120;

/// Applies the site's `sender` and `other_sender` to envelope and header section; what it changes is
/// told to `repairs`.
///
/// # Errors
/// 553 5.7.1 for an address the site may not write as, `Data` for a field that says who writes and cannot be read, or
/// names nobody, and so cannot be checked.
pub(super) fn apply(
    header: &mut Header,
    envelope: &mut Envelope,
    origin: &Submitter<'_>,
    repairs: &mut Vec<String>,
) -> Result<(), Failure> {
    let site = origin.names.site;
    if site.sender.is_empty() || site.other_sender == OtherSender::Pass {
        return Ok(());
    }
    let allowed = Allowed::of(site);
    let others = others(header, origin, &allowed);
    let other_path = envelope.reverse_path.as_ref().filter(|path| !allowed.has(&AddrSpec::from(*path)));
    if other_path.is_none() && others.is_empty() {
        return Ok(());
    }
    let unreadable = others.iter().find_map(|other| match other {
        Other::Unreadable(what, why) => Some(Failure::new(Kind::Data, what, why)),
        Other::Address(_) => None,
    });
    let address = others.iter().find_map(|other| match other {
        Other::Address(address) => Some(address.clone()),
        Other::Unreadable(..) => None,
    });
    let first = other_path.map(ToString::to_string).or(address);
    let failure = || match (unreadable, first) {
        (Some(failure), _) => failure,
        (None, first) => refusal(first.unwrap_or_default(), site),
    };
    if site.other_sender == OtherSender::Refuse {
        return Err(failure());
    }
    let Some(own) = own_mailbox(origin) else {
        return Err(failure().hint("other_sender = \"rewrite\" needs a `from` to write instead"));
    };
    let own_address = own.spec.address().map_err(|bad| Failure::new(Kind::Configuration, bad.text, bad.why))?;
    if let Some(path) = other_path {
        note(repairs, format!("reverse-path rewritten from {path} to {own_address}"));
        envelope.reverse_path = Some(own_address);
    }
    rewrite(header, origin, &allowed, &own, repairs);
    Ok(())
}

/// Applies `sender` and `other_sender` to the reverse-path of a message that is still to come.
///
/// # Errors
/// 553 5.7.1 for an address the site may not write as.
pub(crate) fn apply_to_path(
    reverse_path: Option<Address>,
    origin: &Submitter<'_>,
    repairs: &mut Vec<String>,
) -> Result<Option<Address>, Failure> {
    let mut envelope = Envelope { reverse_path, forward_paths: Vec::new(), dsn: Dsn::default() };
    apply(&mut Header::empty(), &mut envelope, origin, repairs)?;
    Ok(envelope.reverse_path)
}

/// Whether `site` may write as `spec`, as [`Allowed`] has it.
pub(super) fn allows(site: &Site, spec: &AddrSpec) -> bool {
    Allowed::of(site).has(spec)
}

/// Whom a site may write as: everybody where `sender` is not set, whom it lists, and the site's own `from`.
struct Allowed<'s> {
    site: &'s Site,
    listed: Patterns<'s>,
    from: OnceCell<Option<String>>,
}

impl<'s> Allowed<'s> {
    fn of(site: &'s Site) -> Self {
        Self { site, listed: Patterns::of(&site.sender), from: OnceCell::new() }
    }

    fn has(&self, spec: &AddrSpec) -> bool {
        let Ok(address) = spec.address() else { return self.site.sender.is_empty() };
        let from = || self.site.from.as_ref()?.spec.address().ok().map(|from| same_mailbox(&from));
        self.site.sender.is_empty()
            || (is_plain(spec) && self.listed.list(&address))
            || self.from.get_or_init(from).as_ref().is_some_and(|from| *from == same_mailbox(&address))
    }
}

/// Whether the local part holds nothing that separates addresses: not every reader knows that it may, where it is quoted,
/// and some find another address in it.
fn is_plain(spec: &AddrSpec) -> bool {
    !spec.local.starts_with('"') || !spec.name().contains(['<', '>', '@', ',', ';', ':', '(', ')', '"', '\\'])
}

/// The address that `site` writes as where a message names none, as far as its configuration tells.
pub fn own_sender(site: &Site) -> Option<Address> {
    let (address, _) = configured_address(site)?;
    allows(site, &AddrSpec::from(&address)).then_some(address)
}

/// Whether `site` writes another address in the place of one that it may not write as.
pub fn rewrites(site: &Site) -> bool {
    !site.sender.is_empty() && site.other_sender == OtherSender::Rewrite
}

/// What the header section says about who writes that the site may not.
enum Other {
    /// It may not write as this address.
    Address(String),
    /// Nobody can be found, or not for sure: what it is, and why.
    Unreadable(String, String),
}

/// Everything in the header section that the site may not write as.
fn others(header: &Header, origin: &Submitter<'_>, allowed: &Allowed<'_>) -> Vec<Other> {
    let mut others = Vec::new();
    for field in header.fields().filter(says_who) {
        let list = origin.people(&field);
        others.extend(fault(origin.names.site, &field, &list).map(|(what, why)| Other::Unreadable(what, why)));
        let specs = list.mailboxes().map(|listed| &listed.mailbox.spec);
        others.extend(specs.filter(|spec| !allowed.has(spec)).map(|spec| Other::Address(spec.shown())));
    }
    others
}

/// What keeps `field` from saying who writes, and why.
fn fault(site: &Site, field: &Field<'_>, list: &List) -> Option<(String, String)> {
    let shown = || printable(field.text().as_bytes(), SHOWN);
    if let Some(error) = list.errors().next() {
        return Some((error.bad.text.clone(), format!("not an address: {} ({} field)", error.bad.why, field.name())));
    }
    // Written anew already, unless that would break a signature.
    if is_ambiguous(field, list) {
        return Some((shown(), format!("not one address to everybody who reads it (signed {} field)", field.name())));
    }
    let mut specs = list.mailboxes().map(|listed| &listed.mailbox.spec);
    if let Some(spec) = specs.find(|spec| !is_plain(spec) && !allows(site, spec)) {
        return Some((spec.shown(), format!("its local part may be read as another address ({} field)", field.name())));
    }
    if list.mailboxes().next().is_none() {
        let what = if shown().is_empty() { format!("{} field", field.name()) } else { shown() };
        return Some((what, format!("names nobody who writes ({} field)", field.name())));
    }
    None
}

/// Whether `field` says who writes.
pub(super) fn says_who(field: &Field<'_>) -> bool {
    FIELDS.iter().any(|name| field.is(name))
}

/// The mailbox a rewritten sender becomes.
fn own_mailbox(origin: &Submitter<'_>) -> Option<Mailbox> {
    let site = origin.names.site;
    match &site.from {
        Some(from) => Some(from.clone()),
        None => {
            let (address, _) = origin.own_address().ok()?;
            let spec = AddrSpec::from(&address);
            allows(site, &spec).then_some(Mailbox { name: None, spec })
        }
    }
}

/// Puts `own` in the place of every other sender, and of what is none: the display name stays, the addresses of From
/// move to Reply-To unless there is one.
fn rewrite(
    header: &mut Header,
    origin: &Submitter<'_>,
    allowed: &Allowed<'_>,
    own: &Mailbox,
    repairs: &mut Vec<String>,
) {
    let mut replies = Vec::new();
    header.edit(|field| {
        if !says_who(&field) {
            return Edit::Keep;
        }
        let list = origin.people(&field);
        // Of a field that is read in several ways nothing is kept.
        let is_ambiguous = is_ambiguous(&field, &list);
        let mut kept: Vec<Mailbox> = Vec::new();
        let mut is_changed = false;
        let mut replace = |kept: &mut Vec<Mailbox>, name: Option<String>, what: &str| {
            note(repairs, format!("{} rewritten from {what} to {}", field.name(), own.spec));
            if !std::mem::replace(&mut is_changed, true) {
                kept.push(Mailbox { name: name.or_else(|| own.name.clone()), spec: own.spec.clone() });
            }
        };
        for piece in list.pieces {
            let mailbox = match piece {
                Piece::Mailbox(Listed { mailbox, .. }) => mailbox,
                Piece::Unreadable(unreadable) => {
                    replace(&mut kept, unreadable.name, &unreadable.bad.text);
                    continue;
                }
                Piece::Group(_) | Piece::GroupEnd => continue,
            };
            if !is_ambiguous && allowed.has(&mailbox.spec) {
                kept.push(mailbox);
                continue;
            }
            replace(&mut kept, mailbox.name.clone(), &mailbox.spec.to_string());
            let is_this_host = mailbox.spec.domain.as_deref().is_none_or(|domain| origin.names.is_own_name(domain));
            if field.is("From") && !is_this_host && !is_ambiguous {
                replies.push(mailbox.to_string());
            }
        }
        if kept.is_empty() {
            replace(&mut kept, None, "nobody");
        }
        match is_changed {
            false => Edit::Keep,
            true => Edit::Value(kept.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")),
        }
    });
    if !replies.is_empty() && header.first("Reply-To").is_none() {
        header.append("Reply-To", &replies.join(", "));
        note(repairs, "Reply-To added");
    }
}

fn refusal(other: String, site: &Site) -> Failure {
    let senders: Vec<String> = site.sender.iter().map(ToString::to_string).collect();
    let text = format!("sender not allowed; site {} writes as {}", site.name, senders.join(", "));
    Failure::refused(other, Reply::own(553, (5, 7, 1), &text))
        .hint("write as one of these, add it to `sender`, or let `from` take its place: other_sender = \"rewrite\"")
}

/// Whether somebody else may find another address in `field` than `list` has.
pub(super) fn is_ambiguous(field: &Field<'_>, list: &List) -> bool {
    let is_escaped = || field.holds(0x1b);
    list.is_doubtful || is_escaped() || (list.is_obsolete && says_who(field))
}
