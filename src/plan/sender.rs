//! Who a site may write as: `sender` against the reverse-path and every From, Sender and Resent-From.

use super::envelope::Origin;
use crate::address::{AddrSpec, Address, Listed, Mailbox, read_list, same_mailbox};
use crate::config::site::{OtherSender, Site};
use crate::envelope::{Dsn, Envelope};
use crate::failure::{Failure, Kind};
use crate::message::header::{Edit, Field};
use crate::message::{Header, note};
use crate::reply::{Enhanced, Reply};

/// The header fields that say who writes.
const FIELDS: [&str; 3] = ["From", "Sender", "Resent-From"];

/// Applies the site's `sender` and `other_sender` to envelope and header section; what it changes is
/// told to `repairs`.
///
/// # Errors
/// 553 5.7.1 for an address the site may not write as, `Data` for a sender that cannot be read and so
/// not be checked.
pub(super) fn apply(
    header: &mut Header,
    envelope: &mut Envelope,
    origin: &Origin<'_>,
    repairs: &mut Vec<String>,
) -> Result<(), Failure> {
    let site = origin.names.site;
    if site.sender.is_empty() || site.other_sender == OtherSender::Pass {
        return Ok(());
    }
    let others = others(header, site)?;
    let other_path = envelope.reverse_path.as_ref().filter(|path| !allows(site, &AddrSpec::from(*path)));
    let Some(first) = other_path.map(ToString::to_string).or_else(|| others.first().cloned()) else { return Ok(()) };
    if site.other_sender == OtherSender::Refuse {
        return Err(refusal(first, site));
    }
    let own = own_mailbox(origin)
        .ok_or_else(|| refusal(first, site).hint("other_sender = \"rewrite\" needs a `from` to write instead"))?;
    let own_address = own.spec.address().map_err(|bad| Failure::new(Kind::Configuration, bad.text, bad.why))?;
    if let Some(path) = other_path {
        note(repairs, format!("reverse-path rewritten from {path} to {own_address}"));
        envelope.reverse_path = Some(own_address);
    }
    rewrite(header, origin, &own, repairs);
    Ok(())
}

/// Applies `sender` and `other_sender` to the reverse-path of a message that is still to come.
///
/// # Errors
/// 553 5.7.1 for an address the site may not write as.
pub(crate) fn apply_to_path(
    reverse_path: Option<Address>,
    origin: &Origin<'_>,
    repairs: &mut Vec<String>,
) -> Result<Option<Address>, Failure> {
    let mut envelope = Envelope { reverse_path, forward_paths: Vec::new(), dsn: Dsn::default() };
    apply(&mut Header::empty(), &mut envelope, origin, repairs)?;
    Ok(envelope.reverse_path)
}

/// Whether `site` may write as `spec`: everything where `sender` is not set, what it lists, and the
/// site's own `from`.
pub(super) fn allows(site: &Site, spec: &AddrSpec) -> bool {
    let Ok(address) = spec.address() else { return site.sender.is_empty() };
    let own = || site.from.as_ref().and_then(|from| from.spec.address().ok());
    site.sender.is_empty()
        || site.sender.iter().any(|pattern| pattern.matches(&address))
        || own().is_some_and(|own| same_mailbox(&own) == same_mailbox(&address))
}

/// The addresses in the header section that the site may not write as.
fn others(header: &Header, site: &Site) -> Result<Vec<String>, Failure> {
    let mut others = Vec::new();
    for field in header.fields().filter(says_who) {
        let list = read_list(&field.text());
        if let Some(bad) = list.errors.into_iter().next() {
            let why = format!("not an address: {} ({} field)", bad.why, field.name());
            return Err(Failure::new(Kind::Data, bad.text, why));
        }
        let specs = list.mailboxes.into_iter().map(|listed| listed.mailbox.spec);
        others.extend(specs.filter(|spec| !allows(site, spec)).map(|spec| spec.shown()));
    }
    Ok(others)
}

fn says_who(field: &Field<'_>) -> bool {
    FIELDS.iter().any(|name| field.is(name))
}

/// The mailbox a rewritten sender becomes.
fn own_mailbox(origin: &Origin<'_>) -> Option<Mailbox> {
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

/// Puts `own` in the place of every other sender: the display name stays, the addresses of From move
/// to Reply-To unless there is one.
fn rewrite(header: &mut Header, origin: &Origin<'_>, own: &Mailbox, repairs: &mut Vec<String>) {
    let site = origin.names.site;
    let mut replies = Vec::new();
    header.edit(|field| {
        if !says_who(&field) {
            return Edit::Keep;
        }
        let mut kept: Vec<Mailbox> = Vec::new();
        let mut is_changed = false;
        for Listed { mailbox, .. } in read_list(&field.text()).mailboxes {
            if allows(site, &mailbox.spec) {
                kept.push(mailbox);
                continue;
            }
            note(repairs, format!("{} rewritten from {} to {}", field.name(), mailbox.spec, own.spec));
            if !std::mem::replace(&mut is_changed, true) {
                let name = mailbox.name.clone().or_else(|| own.name.clone());
                kept.push(Mailbox { name, spec: own.spec.clone() });
            }
            let is_this_host = mailbox.spec.domain.as_deref().is_none_or(|domain| origin.names.is_own_name(domain));
            if field.is("From") && !is_this_host {
                replies.push(mailbox.to_string());
            }
        }
        if !is_changed {
            return Edit::Keep;
        }
        Edit::Value(kept.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))
    });
    if !replies.is_empty() && header.first("Reply-To").is_none() {
        header.append("Reply-To", &replies.join(", "));
        note(repairs, "Reply-To added");
    }
}

fn refusal(other: String, site: &Site) -> Failure {
    let senders: Vec<String> = site.sender.iter().map(ToString::to_string).collect();
    let text = format!("sender not allowed; site {} writes as {}", site.name, senders.join(", "));
    Failure::refused(other, Reply::new(553, Some(Enhanced::new(5, 7, 1)), &text))
        .hint("write as one of these, add it to `sender`, or let `from` take its place: other_sender = \"rewrite\"")
}
