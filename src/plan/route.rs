//! The route: the relays to try for a message, in order.
//!
//! The first of the site's routes that the message is like decides, else the site's own relays are meant. What nothing
//! asks for is neither read nor decoded.

use std::cell::OnceCell;
use std::sync::Arc;

use jiff::Zoned;

use crate::address::{Address, one_line};
use crate::caller::Caller;
use crate::config::relay::Relay;
use crate::config::route::glob::{AddressGlob, Glob, folded};
use crate::config::route::{Condition, Route, Strategy, covers};
use crate::config::site::Site;
use crate::encoded_word;
use crate::failure::{Failure, Kind};
use crate::message::{Field, MailObject, Message};
use crate::random;

/// What a route is chosen by beside the message.
#[derive(Clone, Copy)]
pub struct Circumstances<'a> {
    /// Who calls.
    pub caller: &'a Caller,
    /// Tells the local time.
    pub now: &'a dyn Fn() -> Zoned,
    /// Tells the name of the program that calls, where it is known.
    pub parent: &'a dyn Fn() -> Option<String>,
}

/// The route of `mail`, made fit; only the relay `wanted` where one is asked for.
///
/// # Errors
/// `Configuration`: the site has no relay called `wanted`.
pub fn of_mail(
    site: &Site,
    wanted: Option<&str>,
    circumstances: Circumstances<'_>,
    mail: MailObject<'_>,
) -> Result<Vec<Arc<Relay>>, Failure> {
    if let Some(wanted) = wanted {
        return only(site, wanted);
    }
    if site.routes.is_empty() {
        return Ok(in_order(&site.relays, site.strategy));
    }
    Ok(match first(&site.routes, &Look::new(circumstances, Known::Mail(mail))) {
        First::Route(route) => in_order(&route.relays, route.strategy.unwrap_or(site.strategy)),
        First::None | First::Open => in_order(&site.relays, site.strategy),
    })
}

/// The route of a message that is still to come; `None`: it depends on what that will be.
///
/// It is the one that [`of_mail`] would choose, whatever comes: as soon as a route might be meant that asks for what
/// only the message tells, nothing is settled. A message is sent the same way whether its caller pipes it in or says MAIL.
///
/// # Errors
/// As [`of_mail`].
pub fn at_mail(
    site: &Site,
    wanted: Option<&str>,
    circumstances: Circumstances<'_>,
    reverse_path: Option<&Address>,
) -> Result<Option<Vec<Arc<Relay>>>, Failure> {
    if let Some(wanted) = wanted {
        return only(site, wanted).map(Some);
    }
    if site.routes.is_empty() {
        return Ok(Some(in_order(&site.relays, site.strategy)));
    }
    Ok(match first(&site.routes, &Look::new(circumstances, Known::Sender(reverse_path))) {
        First::Route(route) => Some(in_order(&route.relays, route.strategy.unwrap_or(site.strategy))),
        First::None => Some(in_order(&site.relays, site.strategy)),
        First::Open => None,
    })
}

/// What becomes of each route for `mail`, with a label each.
pub fn explain(site: &Site, circumstances: Circumstances<'_>, mail: MailObject<'_>) -> Vec<(String, String)> {
    let look = Look::new(circumstances, Known::Mail(mail));
    let mut found = None;
    let mut rows = Vec::new();
    for (index, route) in site.routes.iter().enumerate() {
        let judgement = found.is_none().then(|| judge(route, &look));
        let what = match judgement {
            None => "not looked at: one before it matches".to_owned(),
            Some(Judgement::Matches) => {
                found = Some(route);
                format!("matches: {}", names(&route.relays))
            }
            Some(Judgement::Fails(condition, true)) => format!("passed over: {condition} does not hold"),
            Some(Judgement::Fails(condition, false)) => format!("passed over: not = {{ {condition} }} does not hold"),
            Some(Judgement::Untold(condition)) => format!("passed over: {condition} {}", untold(condition)),
        };
        rows.push((format!("route {}", index + 1), what));
    }
    if found.is_none() && !rows.is_empty() {
        rows.push(("route".to_owned(), format!("no [[route]] matches, so the site's relays: {}", names(&site.relays))));
    }
    let relays = found.map_or(&site.relays, |route| &route.relays);
    let strategy = found.and_then(|route| route.strategy).unwrap_or(site.strategy);
    if strategy == Strategy::Spread && relays.len() > 1 {
        let shares: Vec<_> = relays.iter().map(|relay| format!("{} {}", relay.name, relay.weight)).collect();
        let what = format!("spread by chance and weight ({}); this time as follows", shares.join(", "));
        rows.push(("strategy".to_owned(), what));
    }
    rows
}

/// Why nobody can tell whether `condition` holds.
fn untold(condition: &Condition) -> &'static str {
    match condition {
        Condition::Body(_) => "cannot be told: the body is larger than 1 MiB",
        _ => "cannot be told: the parts of the message cannot be read",
    }
}

fn names(relays: &[Arc<Relay>]) -> String {
    relays.iter().map(|relay| relay.name.as_str()).collect::<Vec<_>>().join(", ")
}

/// The relay that was asked for by its name.
fn only(site: &Site, wanted: &str) -> Result<Vec<Arc<Relay>>, Failure> {
    let all = site.every_relay();
    let relay = all.iter().find(|relay| relay.name == wanted).ok_or_else(|| {
        let names: Vec<&str> = all.iter().map(|relay| relay.name.as_str()).collect();
        Failure::new(Kind::Configuration, format!("relay {wanted}"), format!("site {} has no such relay", site.name))
            .hint(format!("it has {}", names.join(", ")))
    })?;
    Ok(vec![Arc::clone(relay)])
}

/// `relays` in the order in which they are tried.
fn in_order(relays: &[Arc<Relay>], strategy: Strategy) -> Vec<Arc<Relay>> {
    match strategy {
        Strategy::Spread if relays.len() > 1 => {
            // Without chance the first is asked first, as without the strategy.
            spread(relays, random::octets().map_or(0, u64::from_ne_bytes))
        }
        _ => relays.to_vec(),
    }
}

/// `relays`, of which there is one, with the one first that `chance` falls on, any number of 64 bits; then the others, the
/// heaviest first.
fn spread(relays: &[Arc<Relay>], chance: u64) -> Vec<Arc<Relay>> {
    let weight = |relay: &Arc<Relay>| u64::from(relay.weight);
    let total: u64 = relays.iter().map(weight).sum();
    let mut left = ((u128::from(chance) * u128::from(total)) >> 64) as u64;
    let place = relays.iter().position(|relay| match left.checked_sub(weight(relay)) {
        Some(rest) => {
            left = rest;
            false
        }
        None => true,
    });
    let mut rest = relays.to_vec();
    let first = rest.remove(place.unwrap_or_default());
    rest.sort_by_key(|relay| std::cmp::Reverse(relay.weight));
    rest.insert(0, first);
    rest
}

/// What the routes of a site come to.
enum First<'r> {
    /// The first that matches.
    Route(&'r Route),
    /// None does.
    None,
    /// What is still to come decides.
    Open,
}

fn first<'r>(routes: &'r [Route], look: &Look<'_>) -> First<'r> {
    for route in routes {
        match judge(route, look) {
            Judgement::Matches => return First::Route(route),
            Judgement::Untold(_) if look.mail().is_none() => return First::Open,
            Judgement::Fails(..) | Judgement::Untold(_) => {}
        }
    }
    First::None
}

/// Whether a route is meant.
enum Judgement<'r> {
    Matches,
    /// This does not hold, or holds though it may not (false).
    Fails(&'r Condition, bool),
    /// Nobody can tell whether this holds, or the contrary.
    Untold(&'r Condition),
}

fn judge<'r>(route: &'r Route, look: &Look<'_>) -> Judgement<'r> {
    let conditions = route.conditions.iter().map(|condition| (condition, true));
    let exceptions = route.exceptions.iter().map(|condition| (condition, false));
    let mut untold = None;
    for (condition, wanted) in conditions.chain(exceptions) {
        match look.holds(condition) {
            Some(holds) if holds == wanted => {}
            Some(_) => return Judgement::Fails(condition, wanted),
            None => {
                untold.get_or_insert(condition);
            }
        }
    }
    untold.map_or(Judgement::Matches, Judgement::Untold)
}

/// What is known of the message.
enum Known<'a> {
    /// Its reverse-path.
    Sender(Option<&'a Address>),
    /// All of it.
    Mail(MailObject<'a>),
}

/// What conditions are held against; what takes some work is found out once.
struct Look<'a> {
    circumstances: Circumstances<'a>,
    known: Known<'a>,
    hour: OnceCell<u8>,
    parent: OnceCell<Option<String>>,
    files: OnceCell<Option<Vec<String>>>,
    body: OnceCell<Vec<u8>>,
}

impl<'a> Look<'a> {
    fn new(circumstances: Circumstances<'a>, known: Known<'a>) -> Self {
        let (hour, parent, files, body) = Default::default();
        Self { circumstances, known, hour, parent, files, body }
    }

    fn mail(&self) -> Option<MailObject<'a>> {
        match self.known {
            Known::Mail(mail) => Some(mail),
            Known::Sender(_) => None,
        }
    }

    /// Whether `condition` holds; `None`: nobody can tell.
    fn holds(&self, condition: &Condition) -> Option<bool> {
        let Circumstances { caller, now, parent } = self.circumstances;
        match condition {
            Condition::Uid(uids) => return Some(uids.contains(&caller.uid)),
            Condition::Cwd(globs) => {
                let is_covered = |directory: &_| globs.iter().any(|glob| covers(glob, directory));
                return Some(caller.cwd.as_ref().is_some_and(|cwd| is_covered(cwd)));
            }
            Condition::Hour(hours) => {
                let hour = *self.hour.get_or_init(|| now().hour().unsigned_abs());
                return Some(hours.iter().any(|hours| hours.hold(hour)));
            }
            Condition::Sender(globs) => return Some(self.is_sender(globs)),
            Condition::Script(globs) if self.is_script(globs) => return Some(true),
            Condition::Script(globs) => {
                let name = self.parent.get_or_init(parent);
                if name.as_ref().is_some_and(|name| is_any(globs, name)) {
                    return Some(true);
                }
            }
            _ => {}
        }
        let MailObject { envelope, message } = self.mail()?;
        let header = message.header();
        Some(match condition {
            Condition::To(globs) => {
                envelope.forward_paths.iter().any(|path| globs.iter().any(|glob| glob.stands_for_address(path)))
            }
            Condition::Larger(size) => message.size() > size.octets,
            Condition::Address(name, globs) => header.all(name).any(|field| {
                let people = field.people();
                people.mailboxes().any(|listed| globs.iter().any(|glob| glob.stands_for(&listed.mailbox.spec)))
            }),
            Condition::Header(name, globs) => {
                header.all(name).any(|field| texts(&field).iter().any(|text| is_any(globs, text)))
            }
            Condition::Subject(globs) => header.all("Subject").any(|field| is_any(globs, &text(&field))),
            Condition::Attachment(wanted) => self.files(message)?.is_empty() != *wanted,
            Condition::AttachmentName(globs) => self.files(message)?.iter().any(|name| is_any(globs, name)),
            Condition::Body(globs) => {
                let octets = message.body_in_memory()?;
                let body = self.body.get_or_init(|| match std::str::from_utf8(octets) {
                    Ok(text) => folded(text).into_owned().into_bytes(),
                    Err(_) => octets.to_ascii_lowercase(),
                });
                globs.iter().any(|glob| glob.is_like_folded(body))
            }
            // Held against what is known without the message, above.
            Condition::Uid(_)
            | Condition::Cwd(_)
            | Condition::Hour(_)
            | Condition::Sender(_)
            | Condition::Script(_) => false,
        })
    }

    /// The files attached; `None`: the parts cannot be read.
    fn files(&self, message: &Message) -> Option<&[String]> {
        self.files.get_or_init(|| message.attachments().ok()).as_deref()
    }

    fn is_sender(&self, globs: &[AddressGlob]) -> bool {
        let reverse_path = match self.known {
            Known::Mail(mail) => mail.envelope.reverse_path.as_ref(),
            Known::Sender(reverse_path) => reverse_path,
        };
        match reverse_path {
            None => globs.iter().any(AddressGlob::is_null),
            Some(path) => globs.iter().any(|glob| glob.stands_for_address(path)),
        }
    }

    /// Whether PHP names such a script: `33:send.php`.
    fn is_script(&self, globs: &[Glob]) -> bool {
        let Some(mail) = self.mail() else { return false };
        mail.message.header().all("X-PHP-Originating-Script").any(|field| {
            let text = text(&field);
            let name = text.split_once(':').filter(|(uid, _)| uid.bytes().all(|octet| octet.is_ascii_digit()));
            is_any(globs, name.map_or(text.as_str(), |(_, name)| name))
        })
    }
}

fn is_any(globs: &[Glob], text: &str) -> bool {
    let text = folded(text);
    globs.iter().any(|glob| glob.is_like_folded(text.as_bytes()))
}

/// What `field` says, in one line.
fn text(field: &Field<'_>) -> String {
    one_line(&encoded_word::decode(&field.text()))
}

/// What `field` says; of one that holds addresses every mailbox by itself, as the one reader has it.
fn texts(field: &Field<'_>) -> Vec<String> {
    if !field.is_address() {
        return vec![text(field)];
    }
    let people = field.people();
    let shown = people.mailboxes().map(|listed| match listed.mailbox.decoded_name() {
        Some(name) => format!("{name} <{}>", listed.mailbox.spec),
        None => listed.mailbox.spec.to_string(),
    });
    shown.collect()
}

#[cfg(test)]
mod tests;
