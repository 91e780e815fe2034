//! The envelope chosen: reverse-path and forward-paths out of command line, header section and site.

use std::collections::HashSet;

use super::alias::{Followed, Names, checked};
use crate::address::{AddrSpec, Address, List, Listed, Mailbox, Piece, parse_address, read_list, same_mailbox};
use crate::config::relay::Username;
use crate::config::site::{OtherSender, Site};
use crate::envelope::{Dsn, Envelope, ReversePath};
use crate::failure::{Failure, Kind};
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
pub struct Submitter<'a> {
    /// The site, the host and their local names.
    pub names: Names<'a>,
    /// The caller's user name, or uid where it has none.
    pub user: &'a str,
}

/// An envelope, and how it came about.
#[derive(Debug)]
pub struct Chosen {
    /// Who sends, who receives.
    pub envelope: Envelope,
    /// Why, for `explain`.
    pub notes: Vec<String>,
    /// What of an alias was left out.
    pub warnings: Vec<String>,
}

impl Submitter<'_> {
    /// The address that stands for the caller where nothing else names one, and where it comes from.
    ///
    /// # Errors
    /// `Data`: not even user and host name make an address.
    pub fn own_address(&self) -> Result<(Address, &'static str), Failure> {
        if let Some(found) = configured_address(self.names.site) {
            return Ok(found);
        }
        let spec = AddrSpec { local: local_part(self.user), domain: Some(self.names.host_name.to_owned()) };
        match checked(&spec) {
            Ok(address) => Ok((address, "user and host name")),
            Err(failure) => Err(failure.hint("set `from` to the address this site writes as")),
        }
    }

    /// Who is in `field`. The caller's user name is a bare name there, whatever it is made of.
    pub(super) fn people(&self, field: &Field<'_>) -> List {
        self.known(field.people())
    }

    fn known(&self, mut list: List) -> List {
        // What is one word was read as a name already.
        if !self.user.contains(char::is_whitespace) {
            return list;
        }
        let is_caller = |text: &str| {
            let behind = text.strip_prefix(self.user).map(str::trim_start);
            behind.is_some_and(|behind| behind.is_empty() || behind.starts_with('('))
        };
        for piece in &mut list.pieces {
            if let Piece::Unreadable(unreadable) = piece
                && is_caller(&unreadable.bad.text)
            {
                let mailbox = Mailbox { name: unreadable.name.take(), spec: AddrSpec::bare(self.user) };
                *piece = Piece::Mailbox(Listed { mailbox, span: unreadable.span.clone() });
            }
        }
        list
    }
}

/// The address that stands for everybody who uses `site`, and where it comes from; `None`: the configuration has none.
pub(super) fn configured_address(site: &Site) -> Option<(Address, &'static str)> {
    if let Some(Ok(address)) = site.from.as_ref().map(|from| from.spec.address()) {
        return Some((address, "the site's `from`"));
    }
    let login = site.relays.first().and_then(|relay| relay.smtp_login())?;
    let Username::Given(username) = &login.username else { return None };
    let address = parse_address(username).and_then(|spec| spec.address()).ok()?;
    Some((address, "the relay's `username`"))
}

/// A local part for `user`: `jane` for `CORP\jane`, `jane.doe` for `jane doe`. Quoted, as it would have to be, few
/// servers take one.
fn local_part(user: &str) -> String {
    let user = user.rsplit('\\').next().unwrap_or_default();
    let is_sign = |c: char| c.is_whitespace() || c.is_control() || "()<>[]:;@,\"".contains(c);
    user.split(is_sign).filter(|word| !word.is_empty()).collect::<Vec<_>>().join(".")
}

/// Chooses reverse-path and forward-paths.
///
/// # Errors
/// `Usage` without a recipient, `Data` where an address or local name leads nowhere.
pub fn choose(wishes: &Wishes, header: &Header, origin: &Submitter<'_>) -> Result<Chosen, Failure> {
    let resent = last_resent_block(header);
    let mut followed = Followed::default();
    let reverse_path = reverse_path(wishes, header, &resent, origin, &mut followed.notes)?;
    let forward_paths = forward_paths(wishes, header, &resent, origin, &mut followed)?;
    let envelope = Envelope { reverse_path, forward_paths, dsn: wishes.dsn.clone() };
    Ok(Chosen { envelope, notes: followed.notes, warnings: followed.warnings })
}

fn reverse_path(
    wishes: &Wishes,
    header: &Header,
    resent: &[Field<'_>],
    origin: &Submitter<'_>,
    notes: &mut Vec<String>,
) -> Result<Option<Address>, Failure> {
    let found = match &wishes.reverse_path {
        Some(ReversePath::Null) => {
            notes.push("reverse-path <> from -f".to_owned());
            return Ok(None);
        }
        Some(ReversePath::Typed(wish)) => typed(wish, origin, notes)?.map(|address| (address, "-f".to_owned())),
        None => author(header, resent),
    };
    let (address, place) = match found {
        Some(found) => found,
        None => origin.own_address().map(|(address, place)| (address, place.to_owned()))?,
    };
    notes.push(format!("reverse-path {address} from {place}"));
    Ok(Some(address))
}

/// The address that `-f` gives. A name without domain gives none, whatever it is made of (`CORP\jane`, `jane doe`), and
/// neither does what the site's own address would replace in any case.
fn typed(wish: &str, origin: &Submitter<'_>, notes: &mut Vec<String>) -> Result<Option<Address>, Failure> {
    let site = origin.names.site;
    match parse_address(wish) {
        Ok(AddrSpec { domain: None, .. }) => Ok(None),
        read => match read.and_then(|spec| spec.address()) {
            Ok(address) => Ok(Some(address)),
            Err(bad) if wish.contains('@') && (site.sender.is_empty() || site.other_sender != OtherSender::Rewrite) => {
                Err(Failure::new(Kind::Data, bad.text, format!("{} (-f)", bad.why)))
            }
            Err(bad) => {
                notes.push(format!("-f {} passed over: {}", bad.text, bad.why));
                Ok(None)
            }
        },
    }
}

/// Who writes as the header section has it, and in which field: who sent the message again, where the last block says.
fn author(header: &Header, resent: &[Field<'_>]) -> Option<(Address, String)> {
    let found = |field: Field<'_>| Some((field.first_address()?, format!("the {} field", field.name())));
    let again = ["Resent-Sender", "Resent-From"];
    match resent.iter().any(|field| again.iter().any(|name| field.is(name))) {
        false => ["Sender", "From"].into_iter().find_map(|name| header.all(name).find_map(found)),
        true => {
            again.into_iter().find_map(|name| resent.iter().filter(|field| field.is(name)).copied().find_map(found))
        }
    }
}

fn forward_paths(
    wishes: &Wishes,
    header: &Header,
    resent: &[Field<'_>],
    origin: &Submitter<'_>,
    followed: &mut Followed,
) -> Result<Vec<Address>, Failure> {
    let mut mailboxes = Vec::new();
    for typed in &wishes.recipients {
        add_all(origin.known(read_list(typed)), "command line", &mut mailboxes)?;
    }
    if wishes.from_header {
        let again: Vec<_> =
            resent.iter().filter(|field| field.is_recipients()).map(|field| (*field, origin.people(field))).collect();
        let is_again =
            again.iter().any(|(_, list)| list.mailboxes().next().is_some() || list.errors().next().is_some());
        let first = ["To", "Cc", "Bcc"];
        let lists: Vec<(Field<'_>, List)> = match is_again {
            true => again,
            false => header
                .fields()
                .filter(|field| first.iter().any(|name| field.is(name)))
                .map(|field| (field, origin.people(&field)))
                .collect(),
        };
        for (field, list) in lists {
            add_all(list, &format!("{} field", field.name()), &mut mailboxes)?;
        }
    }
    let mut known = HashSet::new();
    let mut expanded = HashSet::new();
    let mut paths = Vec::new();
    for Mailbox { spec, .. } in &mailboxes {
        if !expanded.insert(spec.to_string()) {
            continue;
        }
        for address in origin.names.expand(spec, followed)? {
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

/// Adds the mailboxes of `list`; one piece that is no address refuses the message, because it would
/// reach the others only.
fn add_all(list: List, place: &str, mailboxes: &mut Vec<Mailbox>) -> Result<(), Failure> {
    if let Some(error) = list.errors().next() {
        let why = format!("not an address: {} ({place})", error.bad.why);
        return Err(Failure::new(Kind::Data, error.bad.text.clone(), why));
    }
    mailboxes.extend(list.into_mailboxes());
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
    use std::sync::Arc;
    use std::sync::LazyLock;

    use super::*;
    use crate::config::limit::OverLimit;
    use crate::config::route::Strategy;
    use crate::config::site::{Aliases, Keeping, SenderPattern, Site, Spooling, Terms};
    use crate::exit::Scheme;
    use crate::message::Message;
    use crate::plan::alias_file::AliasFile;

    /// A site that says nothing about anything.
    pub(crate) fn site() -> Site {
        Site {
            name: "shop".into(),
            file: None,
            users: Vec::new(),
            unknown_users: Vec::new(),
            is_ownerless: false,
            paths: Vec::new(),
            sender: Arc::default(),
            other_sender: OtherSender::Pass,
            from: None,
            relays: Arc::default(),
            routes: Arc::default(),
            strategy: Strategy::Order,
            disabled: None,
            domain: None,
            local_domains: None,
            alias: Aliases::default(),
            terms: Terms::default(),
            spooling: Spooling::default(),
            staging: Default::default(),
            keeping: Keeping::default(),
            limits: None,
            over_limit: OverLimit::default(),
            exit_status: Scheme::Reply,
            alerts: Arc::default(),
        }
    }

    pub(crate) fn origin(site: &Site) -> Submitter<'_> {
        static ALIASES: LazyLock<AliasFile> = LazyLock::new(|| AliasFile::at("/nonexistent/aliases"));
        let names = Names { site, host_name: "web1.example.net", aliases: &ALIASES };
        Submitter { names, user: "www-data" }
    }

    fn chosen(wishes: &Wishes, header: &str, site: &Site) -> Result<(Envelope, Vec<String>), Failure> {
        let message = Message::read(&mut header.as_bytes(), false).unwrap();
        choose(wishes, message.header(), &origin(site)).map(|chosen| (chosen.envelope, chosen.notes))
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
    }

    #[test]
    fn what_is_no_address_behind_f_counts_as_a_bare_name() {
        let plain = site();
        let mut rewriting = site();
        rewriting.sender = [SenderPattern { local: None, domain: "x.org".into(), subdomains: false }].into();
        rewriting.other_sender = OtherSender::Rewrite;
        for (wish, site) in [
            ("CORP\\jane", &plain),
            ("jane doe", &plain),
            ("jane\tdoe\r\n", &plain),
            ("wordpress@host:8080", &rewriting),
            ("wordpress@", &rewriting),
            ("a@b@c", &rewriting),
        ] {
            let wishes = Wishes { reverse_path: Some(ReversePath::of(wish)), ..to(&["r@x.org"]) };
            let (envelope, notes) = chosen(&wishes, "From: a@x.org\n\n", site).unwrap();
            assert_eq!(envelope.reverse_path.unwrap().to_string(), "www-data@web1.example.net", "{wish}");
            assert!(notes.len() == 1 || notes[0].starts_with("-f "), "{notes:?}");
        }
        for wish in ["wordpress@host:8080", "a@b@c", "x@y.org\r\nRCPT TO:<e@y.org>"] {
            let wishes = Wishes { reverse_path: Some(ReversePath::of(wish)), ..to(&["r@x.org"]) };
            assert_eq!(chosen(&wishes, "\n", &plain).unwrap_err().kind, Kind::Data, "{wish}");
        }
    }

    #[test]
    fn any_user_name_makes_an_address_and_is_a_bare_name() {
        let mut site = site();
        site.alias.insert("jane doe", vec!["jane@x.org".into()]);
        site.alias.insert("corp\\jane", vec!["jane@y.org".into()]);
        for (user, path, forward) in [
            ("jane doe", "jane.doe@web1.example.net", "jane@x.org"),
            ("CORP\\jane", "jane@web1.example.net", "jane@y.org"),
            ("CORP\\jane doe", "jane.doe@web1.example.net", "r@x.org"),
        ] {
            let origin = Submitter { user, ..origin(&site) };
            let recipient = if forward == "r@x.org" { "r@x.org" } else { user };
            let header = format!("From: {user} (Cron Daemon)\nTo: {recipient}\n\n");
            let message = Message::read(&mut header.as_bytes(), false).unwrap();
            let wishes = Wishes { reverse_path: Some(ReversePath::of(user)), from_header: true, ..Wishes::default() };
            let envelope = choose(&wishes, message.header(), &origin).unwrap().envelope;
            assert_eq!(envelope.reverse_path.unwrap().to_string(), path);
            assert_eq!(envelope.forward_paths, [forward.parse().unwrap()], "{user}");
        }
    }

    #[test]
    fn a_resent_message_is_sent_by_whom_sent_it_again() {
        let first = "From: a@x.org\nSender: s@x.org\nTo: t@x.org\n\n";
        for (block, path, forward) in [
            ("Resent-From: f@x.org\nResent-To: n@x.org\n", "f@x.org", "n@x.org"),
            ("Resent-From: f@x.org\nResent-Sender: r@x.org\nResent-Cc: n@x.org\n", "r@x.org", "n@x.org"),
            ("Resent-From: f@x.org\n", "f@x.org", "t@x.org"),
            ("Resent-From: f@x.org\nResent-To: (nobody)\n", "f@x.org", "t@x.org"),
            ("Resent-From: f@x.org\nResent-To: nobody:;\n", "f@x.org", "t@x.org"),
            ("Resent-From: f@x.org\nResent-From: g@x.org\nResent-To: old@x.org\n", "f@x.org", "t@x.org"),
            ("Resent-From: root\nResent-To: n@x.org\n", "www-data@web1.example.net", "n@x.org"),
            ("", "s@x.org", "t@x.org"),
        ] {
            let wishes = Wishes { from_header: true, ..Wishes::default() };
            let (envelope, _) = chosen(&wishes, &format!("{block}{first}"), &site()).unwrap();
            assert_eq!(envelope.reverse_path.unwrap().to_string(), path, "{block}");
            assert_eq!(envelope.forward_paths, [forward.parse().unwrap()], "{block}");
        }
    }

    #[test]
    fn duplicates_are_found_in_any_form_of_their_domain() {
        let recipients =
            ["b@bücher.example", "b@XN--bcher-kva.example", "b@bu\u{308}cher.example.", "B@bücher.example"];
        let (envelope, _) = chosen(&to(&recipients), "\n", &site()).unwrap();
        let paths: Vec<_> = envelope.forward_paths.iter().map(ToString::to_string).collect();
        assert_eq!(paths, ["b@bücher.example", "B@bücher.example"]);
    }

    #[test]
    fn the_forward_paths() {
        let mut site = site();
        site.alias.insert("root", vec!["admin@shop.example".into()]);
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
