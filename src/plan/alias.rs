//! Local names: what `[alias]`, the system's alias file and `domain` make of a name without a domain.

use std::collections::HashMap;
use std::rc::Rc;

use super::alias_file::AliasFile;
use crate::address::{AddrSpec, Address, compared_domain, compared_name, read_list};
use crate::config::site::Site;
use crate::failure::{Failure, Kind};

/// Turns local names into addresses for one site on one host.
#[derive(Clone, Copy, Debug)]
pub struct Names<'a> {
    /// The site whose `alias`, `domain` and `local_domains` count.
    pub site: &'a Site,
    /// This host's name, with its domain where it has one.
    pub host_name: &'a str,
    /// The system's alias file, asked only where the site's own aliases do not know a name.
    pub aliases: &'a AliasFile,
}

/// The aliases that were followed for one message. None is followed twice: its addresses are known then.
#[derive(Debug, Default)]
pub struct Followed {
    /// By name, and for which of the message's names it was.
    names: HashMap<String, usize>,
    turn: usize,
    /// Each alias that was used.
    pub notes: Vec<String>,
    /// What of an alias was left out.
    pub warnings: Vec<String>,
}

/// What an alias stands for, and where that is written.
struct Found {
    targets: Vec<String>,
    place: String,
    /// In the system's file a name may be that of a mailbox on this host, which is no mistake there.
    is_system: bool,
}

/// A name that is still to be followed.
struct Waiting {
    spec: AddrSpec,
    /// Aliases end here.
    is_final: bool,
    /// Which alias of the system's file it is from: its name and its place.
    from: Option<Rc<(String, String)>>,
}

impl Names<'_> {
    /// The addresses that `spec` stands for: itself where its domain is not local, else what its alias
    /// leads to in the end, else the name with `domain`; none where other names of the message led to all of them.
    /// A mailbox of this host among the addresses of the system's alias file is left out: nothing is delivered here.
    ///
    /// # Errors
    /// `Data`, naming the name: no alias and no `domain`, an alias that leads back to itself, or only to a
    /// file or a program, or to an included list, or something that is no address.
    pub fn expand(&self, spec: &AddrSpec, followed: &mut Followed) -> Result<Vec<Address>, Failure> {
        followed.turn += 1;
        let mut addresses = Vec::new();
        let mut is_known = false;
        let mut left_out = Vec::new();
        let mut waiting = vec![Waiting { spec: spec.clone(), is_final: false, from: None }];
        while let Some(Waiting { spec, is_final, from }) = waiting.pop() {
            if !self.is_local(&spec) {
                addresses.push(checked(&spec)?);
                continue;
            }
            let name = compared_name(&spec.name());
            if !is_final {
                // Met a second time on another way, or in a loop: its addresses are in already.
                if let Some(turn) = followed.names.insert(name.clone(), followed.turn) {
                    is_known |= turn != followed.turn;
                    continue;
                }
            }
            let found = if is_final { None } else { self.find(&name, &mut followed.notes) };
            let Some(found) = found else {
                match (self.qualify(&spec), from) {
                    (Ok(address), _) => addresses.push(address),
                    (Err(failure), Some(from)) => {
                        // Somebody may name it as a recipient, too.
                        followed.names.remove(&name);
                        left_out.push((failure, from));
                    }
                    (Err(failure), None) => return Err(failure),
                }
                continue;
            };
            followed.notes.push(format!("{}: {name} -> {}", found.place, found.targets.join(", ")));
            let targets = found.read(&name, &mut followed.warnings)?;
            let from = found.is_system.then(|| Rc::new((name, found.place)));
            let targets = targets.into_iter().rev();
            waiting.extend(targets.map(|(spec, is_final)| Waiting { spec, is_final, from: from.clone() }));
        }
        if addresses.is_empty() && !is_known {
            let back = || Failure::new(Kind::Data, spec.shown(), "its alias leads back to itself");
            return Err(left_out.into_iter().next().map_or_else(back, |(failure, _)| failure));
        }
        let mailbox = |(failure, from): (Failure, Rc<(String, String)>)| {
            left_out_of(&from.0, &from.1, &format!("the mailbox {}", failure.what))
        };
        followed.warnings.extend(left_out.into_iter().map(mailbox));
        Ok(addresses)
    }

    /// The first address that `spec` leads to, for the fields that show it; `known` keeps what it was for others of
    /// the same message.
    pub fn first(&self, spec: &AddrSpec, known: &mut HashMap<String, Option<Address>>) -> Option<Address> {
        let mut seen: Vec<String> = Vec::new();
        // Whether nothing but first targets was followed, so that all that was seen leads to the same address.
        let mut is_straight = true;
        let mut waiting = vec![(spec.clone(), false, true)];
        let mut first = None;
        while let Some((spec, is_final, is_first)) = waiting.pop() {
            is_straight &= is_first;
            if !self.is_local(&spec) {
                first = checked(&spec).ok();
                break;
            }
            let name = compared_name(&spec.name());
            if let Some(address) = known.get(&name).filter(|_| !is_final) {
                if address.is_some() {
                    first.clone_from(address);
                    break;
                }
                continue;
            }
            let found = if is_final { None } else { self.find(&name, &mut Vec::new()) };
            let Some(found) = found else {
                first = self.qualify(&spec).ok();
                if first.is_some() {
                    break;
                }
                continue;
            };
            // Nothing leads through the same name twice.
            known.insert(name.clone(), None);
            seen.push(name.clone());
            let targets = found.read(&name, &mut Vec::new()).unwrap_or_default();
            let targets = targets.into_iter().enumerate().rev();
            waiting.extend(targets.map(|(at, (spec, is_final))| (spec, is_final, at == 0)));
        }
        let kept = if is_straight { seen.len() } else { seen.len().min(1) };
        for name in seen.drain(..kept) {
            known.insert(name, first.clone());
        }
        for name in seen {
            known.remove(&name);
        }
        first
    }

    /// Whether `spec` has no domain or one whose local parts are aliased here.
    pub fn is_local(&self, spec: &AddrSpec) -> bool {
        let Some(domain) = &spec.domain else { return true };
        match &self.site.local_domains {
            Some(local) => local.contains(&*compared_domain(domain)),
            None => self.is_own_name(domain),
        }
    }

    /// Whether `domain` is localhost or this host's own name.
    pub fn is_own_name(&self, domain: &str) -> bool {
        let short = self.host_name.split('.').next().unwrap_or_default();
        let domain = compared_domain(domain);
        ["localhost", "localhost.localdomain", self.host_name, short].iter().any(|own| compared_domain(own) == domain)
    }

    /// A local name that no alias knows.
    ///
    /// # Errors
    /// `Data`: no `domain` says whose it is.
    pub(super) fn qualify(&self, spec: &AddrSpec) -> Result<Address, Failure> {
        match (&self.site.domain, &spec.domain) {
            (Some(domain), _) => {
                let name = spec.name();
                let local = behind_backslash(&name).map_or(spec.local.clone(), |user| AddrSpec::bare(user).local);
                checked(&AddrSpec { local, domain: Some(domain.clone()) })
            }
            // A host may be called as the domain whose mail somebody else holds.
            (None, Some(written)) if written.contains('.') && !written.starts_with("localhost") => checked(spec),
            _ => {
                let why = "a local name, and neither an alias nor `domain` says where its mail goes";
                let hint = "say where such mail goes, a line \"*\" = \"you@example.org\" below [alias] at the end of the \
                            configuration; or set `domain`, if the name is a mailbox there";
                Err(Failure::new(Kind::Data, spec.shown(), why).hint(hint))
            }
        }
    }

    /// What `name`, in its compared form, is an alias for.
    fn find(&self, name: &str, notes: &mut Vec<String>) -> Option<Found> {
        let user = behind_backslash(name);
        [Some(name), user].into_iter().flatten().find_map(|name| self.find_named(name, notes)).or_else(|| self.own("*"))
    }

    fn find_named(&self, name: &str, notes: &mut Vec<String>) -> Option<Found> {
        if let Some(found) = self.own(name).filter(|_| name != "*") {
            return Some(found);
        }
        let file = self.aliases.path().display();
        match self.aliases.find(name) {
            Ok(entry) => {
                let place = |line| format!("{file} line {line}");
                entry.map(|entry| Found { targets: entry.targets, place: place(entry.line), is_system: true })
            }
            Err(why) => {
                notes.push(format!("{file} passed over: {why}"));
                None
            }
        }
    }

    /// What the site's own aliases have for `name`.
    fn own(&self, name: &str) -> Option<Found> {
        let targets = self.site.alias.get(name)?.to_vec();
        Some(Found { targets, place: "alias".to_owned(), is_system: false })
    }
}

/// That the alias `name` in `place` stands for `other` too, which gets nothing.
fn left_out_of(name: &str, place: &str, other: &str) -> String {
    format!("{name}: {place} also sends it to {other}, which was left out")
}

/// The name of a user inside of a Windows domain, `CORP\jane`.
fn behind_backslash(name: &str) -> Option<&str> {
    name.rsplit_once('\\').map(|(_, user)| user).filter(|user| !user.is_empty())
}

/// The address for the wire, or a failure that names it.
pub(crate) fn checked(spec: &AddrSpec) -> Result<Address, Failure> {
    spec.address().map_err(|bad| Failure::new(Kind::Data, bad.text, bad.why))
}

impl Found {
    /// The addr-specs that the alias `name` stands for, each with whether aliases end there. A file or a program among
    /// them is left out.
    fn read(&self, name: &str, warnings: &mut Vec<String>) -> Result<Vec<(AddrSpec, bool)>, Failure> {
        let mut specs = Vec::new();
        let mut others = Vec::new();
        for target in &self.targets {
            match action(target) {
                Some((action @ ("the file" | "the program"), bare)) => others.push(format!("{action} {bare}")),
                Some((action, bare)) => return Err(self.refused(name, &format!("{action} {bare}"))),
                None => specs.extend(self.read_target(target, name)?),
            }
        }
        match (specs.is_empty(), others.first()) {
            (true, Some(only)) => Err(self.refused(name, only)),
            (true, None) => Err(self.refuse(name, format!("{} sends it to nobody", self.place))),
            _ => {
                warnings.extend(others.iter().map(|other| left_out_of(name, &self.place, other)));
                Ok(specs)
            }
        }
    }

    fn refused(&self, name: &str, target: &str) -> Failure {
        self.refuse(name, format!("{} sends it to {target}, and only addresses are mailed to", self.place))
    }

    fn refuse(&self, name: &str, why: String) -> Failure {
        Failure::new(Kind::Data, name, why).hint(format!("add an address for {name} under [alias], which comes first"))
    }

    fn read_target(&self, target: &str, name: &str) -> Result<Vec<(AddrSpec, bool)>, Failure> {
        // \name: the mailbox of that name, whatever aliases it has.
        let (text, is_final) = match target.trim().strip_prefix('\\') {
            Some(rest) => (rest, true),
            None => (target, false),
        };
        let list = read_list(text);
        if let Some(error) = list.errors().next() {
            let (text, why) = (&error.bad.text, error.bad.why);
            return Err(self.refuse(name, format!("{} sends it to {text}, which is not an address: {why}", self.place)));
        }
        let specs = list.into_mailboxes().map(|mailbox| mailbox.spec);
        Ok(specs
            .map(|spec| (is_final || compared_name(&spec.name()) == name, spec))
            .map(|(end, spec)| (spec, end))
            .collect())
    }
}

/// What a target is that is no address, and without its quotes.
fn action(target: &str) -> Option<(&'static str, &str)> {
    let bare = target.trim().trim_matches('"').trim_start();
    let action = match bare {
        _ if bare.starts_with('/') => "the file",
        _ if bare.starts_with('|') => "the program",
        _ if bare.starts_with(":include:") => "the list",
        _ => return None,
    };
    Some((action, bare))
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::Arc;

    use super::*;
    use crate::address::parse_address;
    use crate::plan::envelope::tests::site;

    const FILE: &str = "# system aliases\n\
        postmaster: root\n\
        root: alice, \"Bob B.\" <bob@example.org>,\n\
        \tcarol@example.org\n\
        \n\
        \"two words\": dave@example.org\n\
        vacation: \"|/usr/bin/vacation -a x, y\"\n\
        saved: /var/mail/saved\n\
        team: :include:/etc/team\n\
        loop: pool\n\
        pool: loop\n\
        diamond: left, right\n\
        left: eve@example.org\n\
        right: left\n\
        alice: \\alice, backup@example.org\n";

    fn expand(site: &Site, text: &str) -> Result<Vec<String>, Failure> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(FILE.as_bytes()).unwrap();
        let aliases = AliasFile::at(file.path());
        let names = Names { site, host_name: "web1.example.net", aliases: &aliases };
        let spec = parse_address(text).unwrap();
        let addresses = names.expand(&spec, &mut Followed::default())?;
        assert_eq!(names.first(&spec, &mut HashMap::new()).as_ref(), addresses.first());
        Ok(addresses.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn names_lead_where_the_nearest_alias_says() {
        let mut site = site();
        site.alias.insert("web", vec!["Web <web@shop.example>".into(), "ops".into()]);
        site.alias.insert("ops", vec!["ops@shop.example".into()]);
        site.alias.insert("*", vec!["rest@shop.example".into()]);
        site.domain = Some("shop.example".into());
        let root = &["alice@shop.example", "backup@example.org", "bob@example.org", "carol@example.org"][..];
        for (name, expected) in [
            ("web", &["web@shop.example", "ops@shop.example"][..]),
            ("WEB@localhost", &["web@shop.example", "ops@shop.example"]),
            ("web@web1.example.net", &["web@shop.example", "ops@shop.example"]),
            ("web@web1", &["web@shop.example", "ops@shop.example"]),
            ("web@example.org", &["web@example.org"]),
            ("root", root),
            ("postmaster", root),
            ("\"two words\"", &["dave@example.org"]),
            ("diamond", &["eve@example.org"]),
            ("anybody", &["rest@shop.example"]),
        ] {
            assert_eq!(expand(&site, name).unwrap(), expected, "{name}");
        }
    }

    #[test]
    fn a_name_without_alias_gets_the_domain_or_is_refused() {
        let mut site = site();
        assert_eq!(expand(&site, "nobody").unwrap_err().kind, Kind::Data);
        assert_eq!(expand(&site, "nobody@localhost").unwrap_err().what, "nobody@localhost");
        assert_eq!(expand(&site, "bob@web1.example.net").unwrap(), ["bob@web1.example.net"]);
        site.domain = Some("shop.example".into());
        assert_eq!(expand(&site, "nobody@localhost").unwrap(), ["nobody@shop.example"]);
        site.local_domains = Some(Arc::new(["lan".to_owned()].into()));
        assert_eq!(expand(&site, "nobody@LAN").unwrap(), ["nobody@shop.example"]);
        assert_eq!(expand(&site, "nobody@localhost").unwrap(), ["nobody@localhost"]);
    }

    #[test]
    fn files_programs_lists_and_loops_are_refused_by_line() {
        for (name, part) in [
            ("vacation", "line 7 sends it to the program |/usr/bin/vacation -a x, y"),
            ("saved", "line 8 sends it to the file /var/mail/saved"),
            ("team", "line 9 sends it to the list :include:/etc/team"),
            ("loop", "leads back to itself"),
        ] {
            let failure = expand(&site(), name).unwrap_err();
            assert!(failure.to_string().starts_with(name) && failure.why.contains(part), "{failure}");
            assert_eq!(failure.kind, Kind::Data);
        }
    }

    #[test]
    fn files_and_programs_among_addresses_are_left_out() {
        let aliases =
            "jane: \\jane, \"|/usr/bin/vacation jane\", /var/mail/jane # on leave\nteam: a@x.org, :include:/etc/team\n";
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(aliases.as_bytes()).unwrap();
        let aliases = AliasFile::at(file.path());
        let site = Site { domain: Some("x.org".into()), ..site() };
        let names = Names { site: &site, host_name: "web1", aliases: &aliases };
        let mut followed = Followed::default();
        let addresses = names.expand(&AddrSpec::bare("jane"), &mut followed).unwrap();
        assert_eq!(addresses, ["jane@x.org".parse().unwrap()]);
        let place = format!("jane: {} line 1 also sends it to", file.path().display());
        let warning = |what| format!("{place} {what}, which was left out");
        assert_eq!(
            followed.warnings,
            [warning("the program |/usr/bin/vacation jane"), warning("the file /var/mail/jane")]
        );
        assert!(names.expand(&AddrSpec::bare("team"), &mut followed).unwrap_err().why.contains(":include:/etc/team"));
    }

    #[test]
    fn a_mailbox_of_this_host_among_addresses_is_left_out() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        let text = "root: \\root, ops, a@x.org\nops: adam, o@x.org\nadam: adam\nkept: \\kept\nnone:\n";
        file.write_all(text.as_bytes()).unwrap();
        let aliases = AliasFile::at(file.path());
        let mut site = site();
        let names = Names { site: &site, host_name: "web1", aliases: &aliases };
        let mut followed = Followed::default();
        let root = AddrSpec::bare("root");
        let found = names.expand(&root, &mut followed).unwrap();
        assert_eq!(found.iter().map(ToString::to_string).collect::<Vec<_>>(), ["o@x.org", "a@x.org"]);
        assert_eq!(names.first(&root, &mut HashMap::new()).unwrap().to_string(), "o@x.org");
        let place = |name: &str, line, who| {
            let file = file.path().display();
            format!("{name}: {file} line {line} also sends it to the mailbox {who}, which was left out")
        };
        assert_eq!(followed.warnings, [place("root", 1, "root"), place("adam", 3, "adam")]);
        for (name, why) in [("adam", "a local name"), ("kept", "a local name"), ("none", "line 5 sends it to nobody")] {
            let failure = names.expand(&AddrSpec::bare(name), &mut Followed::default()).unwrap_err();
            assert!(failure.what == name && failure.why.contains(why), "{failure}");
        }
        site.alias.insert("web", vec!["nobody-here".into(), "a@x.org".into()]);
        let names = Names { site: &site, host_name: "web1", aliases: &aliases };
        assert_eq!(names.expand(&AddrSpec::bare("web"), &mut Followed::default()).unwrap_err().what, "nobody-here");
        // Named as a recipient, too, it is one that nobody reaches.
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(b"root: adam, a@x.org\n").unwrap();
        let aliases = AliasFile::at(file.path());
        let names = Names { site: &site, host_name: "web1", aliases: &aliases };
        let mut followed = Followed::default();
        assert!(names.expand(&root, &mut followed).is_ok());
        assert_eq!(names.expand(&AddrSpec::bare("adam"), &mut followed).unwrap_err().what, "adam");
    }

    #[test]
    fn names_and_local_domains_are_compared_in_one_form() {
        let mut site = site();
        site.alias.insert("müller", vec!["m@x.org".into()]);
        site.alias.insert("jane", vec!["j@x.org".into()]);
        site.local_domains = Some(Arc::new([compared_domain("bücher.example").into_owned()].into()));
        site.domain = Some("x.org".into());
        for (name, expected) in [
            ("mu\u{308}ller", "m@x.org"),
            ("Müller@xn--bcher-kva.example", "m@x.org"),
            ("nobody@BU\u{308}CHER.example.", "nobody@x.org"),
            ("CORP\\jane", "j@x.org"),
            ("CORP\\bob", "bob@x.org"),
        ] {
            assert_eq!(expand(&site, name).unwrap(), [expected], "{name}");
        }
        site.alias.insert("corp\\jane", vec!["other@x.org".into()]);
        assert_eq!(expand(&site, "CORP\\Jane").unwrap(), ["other@x.org"]);
    }

    /// How often the alias file is asked for a chain of `length` aliases all of which are recipients.
    fn work(length: usize) -> (usize, usize) {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        for number in 0..length {
            writeln!(file, "n{number}: n{}", number + 1).unwrap();
        }
        writeln!(file, "n{length}: end@x.org").unwrap();
        let site = site();
        let [expanded, shown] = [true, false].map(|is_expanded| {
            let aliases = AliasFile::at(file.path());
            let names = Names { site: &site, host_name: "web1", aliases: &aliases };
            let (mut followed, mut known) = (Followed::default(), HashMap::new());
            let mut addresses = Vec::new();
            for number in 0..length {
                let spec = AddrSpec::bare(&format!("n{number}"));
                match is_expanded {
                    true => addresses.extend(names.expand(&spec, &mut followed).unwrap()),
                    false => assert_eq!(names.first(&spec, &mut known).unwrap().to_string(), "end@x.org"),
                }
            }
            assert!(!is_expanded || addresses.len() == 1);
            aliases.asked()
        });
        (expanded, shown)
    }

    #[test]
    fn a_chain_of_aliases_is_followed_once() {
        let ((expanded, shown), (twice_expanded, twice_shown)) = (work(500), work(1000));
        assert!(twice_expanded <= 2 * expanded && twice_shown <= 2 * shown, "{twice_expanded} {twice_shown}");
        assert!(expanded <= 501 && shown <= 501, "{expanded} {shown}");
    }
}
