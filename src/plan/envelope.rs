//! The envelope chosen: reverse-path and forward-paths out of command line, header section and site.

use std::collections::HashSet;

use super::alias::{Names, checked};
use crate::address::{AddrSpec, Address, Mailbox, parse_address, read_list, same_mailbox};
use crate::config::relay::Username;
use crate::envelope::{Dsn, Envelope, ReversePath};
use crate::failure::{Failure, Kind};
use crate::message::header::first_address;
use crate::message::{Field, Header};

/// What the command line says about the envelope.
#[derive(Clone, Debug, Default)]
pub struct Wishes {
    /// The last of `-f` and `-r`.
    pub reverse_path: Option<ReversePath>,
    /// `-F`: the name of a From field that has to be added.
    pub full_name: Option<String>,
    /// The recipients, as typed; each may be a list.
    pub recipients: Vec<String>,
    /// `-t`: the header section names recipients too.
    pub from_header: bool,
    /// `-N`, `-R`, `-V`.
    pub dsn: Dsn,
    /// `-bs`: the header section belongs to the caller, so nothing is removed from it.
    pub keep_fields: bool,
}

/// Who speaks, and from where.
#[derive(Clone, Copy, Debug)]
pub struct Origin<'a> {
    /// The site, the host and their local names.
    pub names: Names<'a>,
    /// The caller's user name, or uid where it has none.
    pub user: &'a str,
}

impl Origin<'_> {
    /// The address that stands for the caller where nothing else names one, and where it comes from.
    ///
    /// # Errors
    /// `Data`: not even user and host name make an address.
    pub fn own_address(&self) -> Result<(Address, &'static str), Failure> {
        let site = self.names.site;
        if let Some(Ok(address)) = site.from.as_ref().map(|from| from.spec.address()) {
            return Ok((address, "the site's `from`"));
        }
        let login = site.relays.first().and_then(|relay| relay.login.as_ref());
        if let Some(Username::Given(username)) = login.map(|login| &login.username)
            && let Ok(address) = parse_address(username).and_then(|spec| spec.address())
        {
            return Ok((address, "the relay's `username`"));
        }
        let spec = AddrSpec { local: self.user.to_owned(), domain: Some(self.names.host_name.to_owned()) };
        match checked(&spec) {
            Ok(address) => Ok((address, "user and host name")),
            Err(failure) => Err(failure.hint("set `from` to the address this site writes as")),
        }
    }
}

/// Chooses reverse-path and forward-paths. The strings say why, for `explain`.
///
/// # Errors
/// `Usage` without a recipient, `Data` where an address or local name leads nowhere.
pub fn choose(wishes: &Wishes, header: &Header, origin: &Origin<'_>) -> Result<(Envelope, Vec<String>), Failure> {
    let mut notes = Vec::new();
    let reverse_path = reverse_path(wishes, header, origin, &mut notes)?;
    let forward_paths = forward_paths(wishes, header, origin, &mut notes)?;
    Ok((Envelope { reverse_path, forward_paths, dsn: wishes.dsn.clone() }, notes))
}

fn reverse_path(
    wishes: &Wishes,
    header: &Header,
    origin: &Origin<'_>,
    notes: &mut Vec<String>,
) -> Result<Option<Address>, Failure> {
    let mut chosen = |address: Address, place: &str| {
        notes.push(format!("reverse-path {address} from {place}"));
        Ok(Some(address))
    };
    if wishes.reverse_path == Some(ReversePath::Null) {
        notes.push("reverse-path <> from -f".to_owned());
        return Ok(None);
    }
    if let Some(ReversePath::Typed(wish)) = &wishes.reverse_path {
        let spec =
            parse_address(wish).map_err(|bad| Failure::new(Kind::Data, bad.text, format!("{} (-f)", bad.why)))?;
        if spec.domain.is_some() {
            return chosen(checked(&spec)?, "-f");
        }
    } else {
        for name in ["Sender", "From"] {
            if let Some(address) = header.all(name).find_map(first_address) {
                return chosen(address, &format!("the {name} field"));
            }
        }
    }
    let (address, place) = origin.own_address()?;
    chosen(address, place)
}

fn forward_paths(
    wishes: &Wishes,
    header: &Header,
    origin: &Origin<'_>,
    notes: &mut Vec<String>,
) -> Result<Vec<Address>, Failure> {
    let mut mailboxes = Vec::new();
    for typed in &wishes.recipients {
        read_recipients(typed, "command line", &mut mailboxes)?;
    }
    if wishes.from_header {
        let resent = last_resent_block(header);
        let fields = if resent.is_empty() { header.fields().collect() } else { resent };
        for field in fields {
            let name = field.name();
            let plain =
                name.get(..7).filter(|prefix| prefix.eq_ignore_ascii_case("resent-")).map_or(&*name, |_| &name[7..]);
            if ["to", "cc", "bcc"].iter().any(|known| known.eq_ignore_ascii_case(plain)) {
                read_recipients(&field.text(), &format!("{name} field"), &mut mailboxes)?;
            }
        }
    }
    let mut known = HashSet::new();
    let mut expanded = HashSet::new();
    let mut paths = Vec::new();
    for Mailbox { spec, .. } in &mailboxes {
        if !expanded.insert(spec.to_string()) {
            continue;
        }
        for address in origin.names.expand(spec, notes)? {
            if known.insert(same_mailbox(&address)) {
                paths.push(address);
            }
        }
    }
    if paths.is_empty() {
        let (why, hint) = if wishes.from_header {
            ("no To, Cc or Bcc field and no argument names one", "add a To field, or name recipients as arguments")
        } else {
            ("no argument names one", "name recipients as arguments, or read them from the header section with -t")
        };
        return Err(Failure::new(Kind::Usage, "no recipients", why).hint(hint));
    }
    Ok(paths)
}

/// Adds the mailboxes of `text`; one piece that is no address refuses the message, because it would
/// reach the others only.
fn read_recipients(text: &str, place: &str, mailboxes: &mut Vec<Mailbox>) -> Result<(), Failure> {
    let list = read_list(text);
    if let Some(bad) = list.errors.into_iter().next() {
        return Err(Failure::new(Kind::Data, bad.text, format!("not an address: {} ({place})", bad.why)));
    }
    mailboxes.extend(list.mailboxes.into_iter().map(|listed| listed.mailbox));
    Ok(())
}

/// The Resent- fields of the last resending, which stands first (RFC 5322 3.6.6). A field that a block
/// holds once begins the block before it.
fn last_resent_block(header: &Header) -> Vec<Field<'_>> {
    let mut seen = HashSet::new();
    let is_resent = |field: &Field<'_>| field.name().get(..7).is_some_and(|name| name.eq_ignore_ascii_case("resent-"));
    let is_new = |field: &Field<'_>| {
        let name = field.name().to_ascii_lowercase();
        matches!(&name[7..], "to" | "cc" | "bcc") || seen.insert(name)
    };
    header.fields().filter(is_resent).take_while(is_new).collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use std::collections::BTreeMap;
    use std::path::Path;
    use std::time::Duration;

    use super::*;
    use crate::config::site::{OtherSender, Site, Terms};
    use crate::exit::Scheme;
    use crate::message::Message;

    /// A site that says nothing about anything.
    pub(crate) fn site() -> Site {
        Site {
            name: "shop".into(),
            file: None,
            users: Vec::new(),
            unknown_users: Vec::new(),
            paths: Vec::new(),
            sender: Vec::new(),
            other_sender: OtherSender::Pass,
            from: None,
            relays: Vec::new(),
            disabled: None,
            domain: None,
            local_domains: None,
            alias: BTreeMap::new(),
            terms: Terms { deliver_partially: false, retry_in_doubt: false, deadline: Duration::from_secs(30) },
            exit_status: Scheme::Reply,
        }
    }

    pub(crate) fn origin(site: &Site) -> Origin<'_> {
        let names = Names { site, host_name: "web1.example.net", alias_file: Path::new("/nonexistent/aliases") };
        Origin { names, user: "www-data" }
    }

    fn chosen(wishes: &Wishes, header: &str, site: &Site) -> Result<(Envelope, Vec<String>), Failure> {
        let message = Message::read(&mut header.as_bytes(), false).unwrap();
        choose(wishes, message.header(), &origin(site))
    }

    fn to(recipients: &[&str]) -> Wishes {
        Wishes { recipients: recipients.iter().map(ToString::to_string).collect(), ..Wishes::default() }
    }

    #[test]
    fn the_reverse_path() {
        let plain = site();
        let mut with_from = site();
        with_from.from = Some(crate::address::parse_mailbox("Shop <orders@shop.example>").unwrap());
        for (wish, header, site, path) in [
            (Some("bob@x.org"), "From: a@x.org\n\n", &with_from, "bob@x.org from -f"),
            (Some("Bob <bob@x.org>"), "\n", &plain, "bob@x.org from -f"),
            (Some("<>"), "From: a@x.org\n\n", &with_from, "<> from -f"),
            (Some("www-data"), "From: a@x.org\n\n", &with_from, "orders@shop.example from the site's `from`"),
            (None, "From: a@x.org, b@x.org\nSender: s@x.org\n\n", &plain, "s@x.org from the Sender field"),
            (None, "From: A <a@x.org>\n\n", &plain, "a@x.org from the From field"),
            (None, "From: root (Cron Daemon)\n\n", &with_from, "orders@shop.example from the site's `from`"),
            (None, "From: root (Cron Daemon)\n\n", &plain, "www-data@web1.example.net from user and host name"),
            (None, "\n", &plain, "www-data@web1.example.net from user and host name"),
        ] {
            let wishes = Wishes { reverse_path: wish.map(ReversePath::of), ..to(&["r@x.org"]) };
            let (envelope, notes) = chosen(&wishes, header, site).unwrap();
            assert_eq!(notes, [format!("reverse-path {path}")], "{wish:?} {header}");
            let shown = envelope.reverse_path.map_or("<>".to_owned(), |address| address.to_string());
            assert!(path.starts_with(&shown), "{shown}");
        }
        let wishes = Wishes { reverse_path: Some(ReversePath::of("not an address")), ..to(&["r@x.org"]) };
        assert_eq!(chosen(&wishes, "\n", &plain).unwrap_err().what, "not an address");
    }

    #[test]
    fn the_forward_paths() {
        let mut site = site();
        site.alias.insert("root".into(), vec!["admin@shop.example".into()]);
        let header = "To: A <a@x.org>, undisclosed:;\nCc: b@x.org,\n A@x.org, a@X.ORG\nBcc: root\nTo: c@x.org\nReply-To: no@x.org\n\n";
        let resent = "Resent-To: n@x.org\nResent-From: f@x.org\nResent-Bcc: m@x.org\n\
            Received: x\nResent-From: g@x.org\nResent-To: old@x.org\nTo: a@x.org\n\n";
        for (argv, from_header, header, expected) in [
            (
                &["r@x.org", "s@x.org, r@X.org", "root@localhost"][..],
                false,
                header,
                &["r@x.org", "s@x.org", "admin@shop.example"][..],
            ),
            (&[], true, header, &["a@x.org", "b@x.org", "A@x.org", "admin@shop.example", "c@x.org"]),
            (&["c@x.org"], true, header, &["c@x.org", "a@x.org", "b@x.org", "A@x.org", "admin@shop.example"]),
            (&[], true, resent, &["n@x.org", "m@x.org"]),
        ] {
            let wishes = Wishes { from_header, ..to(argv) };
            let (envelope, _) = chosen(&wishes, header, &site).unwrap();
            let paths: Vec<_> = envelope.forward_paths.iter().map(ToString::to_string).collect();
            assert_eq!(paths, expected, "{argv:?} {header}");
        }
    }

    #[test]
    fn recipients_that_are_none() {
        for (argv, from_header, header, kind, what) in [
            (&[][..], false, "To: a@x.org\n\n", Kind::Usage, "no recipients"),
            (&[], true, "To: undisclosed-recipients:;\n\n", Kind::Usage, "no recipients"),
            (&[], true, "To: a@x.org, John Smith\n\n", Kind::Data, "John Smith"),
            (&["a@x.org", "b@"], false, "\n", Kind::Data, "b@"),
            (&["nobody"], false, "\n", Kind::Data, "nobody"),
        ] {
            let failure = chosen(&Wishes { from_header, ..to(argv) }, header, &site()).unwrap_err();
            assert_eq!((failure.kind, failure.what.as_str()), (kind, what), "{argv:?} {header}");
        }
    }
}
