//! Local names: what `[alias]`, the system's alias file and `domain` make of a name without a domain.

use std::collections::HashSet;
use std::io::{ErrorKind, Read};
use std::path::Path;

use crate::address::{AddrSpec, Address, read_list};
use crate::config::site::Site;
use crate::failure::{Failure, Kind};
use crate::modes;

/// The largest alias file that is read, in octets.
const FILE_LIMIT: u64 = 1 << 20;

/// Turns local names into addresses for one site on one host.
#[derive(Clone, Copy, Debug)]
pub struct Names<'a> {
    /// The site whose `alias`, `domain` and `local_domains` count.
    pub site: &'a Site,
    /// This host's name, with its domain where it has one.
    pub host_name: &'a str,
    /// The system's alias file, `/etc/aliases`; it need not exist, and is read only where the site's
    /// own aliases do not know a name.
    pub alias_file: &'a Path,
}

/// What an alias stands for, and where that is written.
struct Found {
    targets: Vec<String>,
    place: String,
}

impl Names<'_> {
    /// The addresses that `spec` stands for: itself where its domain is not local, else what its alias
    /// leads to in the end, else the name with `domain`. Each alias that was used is told to `notes`.
    ///
    /// # Errors
    /// `Data`, naming the name: no alias and no `domain`, an alias that leads back to itself or to a
    /// file, a program or an included list, or something that is no address.
    pub fn expand(&self, spec: &AddrSpec, notes: &mut Vec<String>) -> Result<Vec<Address>, Failure> {
        let mut addresses = Vec::new();
        let mut seen = HashSet::new();
        let mut waiting = vec![(spec.clone(), false)];
        while let Some((spec, is_final)) = waiting.pop() {
            if !self.is_local(&spec) {
                addresses.push(checked(&spec)?);
                continue;
            }
            let name = spec.local.trim_matches('"').to_ascii_lowercase();
            let found = match is_final {
                true => None,
                // Met a second time on another way, or in a loop: its addresses are in already.
                false if !seen.insert(name.clone()) => continue,
                false => self.find(&name, notes)?,
            };
            let Some(found) = found else {
                addresses.push(self.qualify(&spec)?);
                continue;
            };
            notes.push(format!("{}: {name} -> {}", found.place, found.targets.join(", ")));
            for target in found.targets.iter().rev() {
                waiting.extend(read_target(target, &name, &found.place)?.into_iter().rev());
            }
        }
        if addresses.is_empty() {
            return Err(Failure::new(Kind::Data, spec.shown(), "its alias leads back to itself"));
        }
        Ok(addresses)
    }

    /// Whether `spec` has no domain or one whose local parts are aliased here.
    pub fn is_local(&self, spec: &AddrSpec) -> bool {
        let Some(domain) = &spec.domain else { return true };
        match &self.site.local_domains {
            Some(local) => local.iter().any(|known| known.eq_ignore_ascii_case(domain)),
            None => self.is_own_name(domain),
        }
    }

    /// Whether `domain` is localhost or this host's own name.
    pub fn is_own_name(&self, domain: &str) -> bool {
        let short = self.host_name.split('.').next().unwrap_or_default();
        ["localhost", "localhost.localdomain", self.host_name, short].iter().any(|own| own.eq_ignore_ascii_case(domain))
    }

    /// A local name that no alias knows.
    fn qualify(&self, spec: &AddrSpec) -> Result<Address, Failure> {
        match (&self.site.domain, &spec.domain) {
            (Some(domain), _) => checked(&AddrSpec { local: spec.local.clone(), domain: Some(domain.clone()) }),
            // A host may be called as the domain whose mail somebody else holds.
            (None, Some(written)) if written.contains('.') && !written.starts_with("localhost") => checked(spec),
            _ => {
                let why = "a local name, and neither an alias nor `domain` says where its mail goes";
                let hint = "set `domain`, or give the name an address under [alias]";
                Err(Failure::new(Kind::Data, spec.shown(), why).hint(hint))
            }
        }
    }

    /// What `name`, in lower case, is an alias for.
    fn find(&self, name: &str, notes: &mut Vec<String>) -> Result<Option<Found>, Failure> {
        let own = |key: &str| {
            let targets = self.site.alias.get(key)?.clone();
            Some(Found { targets, place: "alias".to_owned() })
        };
        if let Some(found) = own(name).filter(|_| name != "*") {
            return Ok(Some(found));
        }
        let file = self.alias_file.display();
        match read_bounded(self.alias_file) {
            Ok(text) => {
                if let Some((line, list)) = find_in_file(&text, name) {
                    return Ok(Some(Found { targets: split_list(&list), place: format!("{file} line {line}") }));
                }
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => notes.push(format!("{file} passed over: {error}")),
        }
        Ok(own("*"))
    }
}

/// The address for the wire, or a failure that names it.
pub(crate) fn checked(spec: &AddrSpec) -> Result<Address, Failure> {
    spec.address().map_err(|bad| Failure::new(Kind::Data, bad.text, bad.why))
}

/// The addr-specs of one target of the alias `name`, each with whether aliases end there.
fn read_target(target: &str, name: &str, place: &str) -> Result<Vec<(AddrSpec, bool)>, Failure> {
    let refuse = |why: String| {
        Failure::new(Kind::Data, name, why).hint(format!("add an address for {name} under [alias], which comes first"))
    };
    let bare = target.trim().trim_matches('"').trim_start();
    let action = match bare {
        _ if bare.starts_with('/') => "the file",
        _ if bare.starts_with('|') => "the program",
        _ if bare.starts_with(":include:") => "the list",
        _ => "",
    };
    if !action.is_empty() {
        return Err(refuse(format!("{place} sends it to {action} {bare}, and only addresses are mailed to")));
    }
    // \name: the mailbox of that name, whatever aliases it has.
    let (text, is_final) = match target.trim().strip_prefix('\\') {
        Some(rest) => (rest, true),
        None => (target, false),
    };
    let list = read_list(text);
    if let Some(bad) = list.errors.first() {
        return Err(refuse(format!("{place} sends it to {}, which is no address: {}", bad.text, bad.why)));
    }
    let specs = list.mailboxes.into_iter().map(|listed| listed.mailbox.spec);
    Ok(specs
        .map(|spec| (is_final || spec.local.eq_ignore_ascii_case(name), spec))
        .map(|(end, spec)| (spec, end))
        .collect())
}

fn read_bounded(path: &Path) -> std::io::Result<String> {
    let mut bytes = Vec::new();
    modes::open(path)?.take(FILE_LIMIT + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > FILE_LIMIT {
        return Err(std::io::Error::other("larger than 1 MiB"));
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The list that an alias file has for `name`, in lower case, and the number of the line it begins on.
fn find_in_file(text: &str, name: &str) -> Option<(usize, String)> {
    // Empty lines and comments, indented or not, come between the lines of one list.
    let says_something = |line: &str| !matches!(line.trim_start().bytes().next(), None | Some(b'#'));
    let mut lines = text.lines().enumerate().filter(|(_, line)| says_something(line));
    let (number, first) = lines.by_ref().find_map(|(number, line)| {
        let (key, list) = split_outside_quotes(line, ':')?;
        let found = !line.starts_with([' ', '\t']) && key.trim().trim_matches('"').eq_ignore_ascii_case(name);
        found.then_some((number + 1, list))
    })?;
    let mut list = first.to_owned();
    for (_, line) in lines.take_while(|(_, line)| line.starts_with([' ', '\t'])) {
        list.push_str(line);
    }
    Some((number, list))
}

/// The parts of a comma-separated list, quoted commas left alone.
fn split_list(list: &str) -> Vec<String> {
    let mut parts = Vec::new();
    let mut rest = list;
    while let Some((part, behind)) = split_outside_quotes(rest, ',') {
        parts.push(part);
        rest = behind;
    }
    parts.push(rest);
    parts.into_iter().map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect()
}

fn split_outside_quotes(text: &str, separator: char) -> Option<(&str, &str)> {
    let mut is_quoted = false;
    let at = text.find(|c| {
        is_quoted ^= c == '"';
        c == separator && !is_quoted
    })?;
    Some((&text[..at], &text[at + separator.len_utf8()..]))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

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
        let names = Names { site, host_name: "web1.example.net", alias_file: file.path() };
        let addresses = names.expand(&parse_address(text).unwrap(), &mut Vec::new())?;
        Ok(addresses.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn names_lead_where_the_nearest_alias_says() {
        let mut site = site();
        site.alias.insert("web".into(), vec!["Web <web@shop.example>".into(), "ops".into()]);
        site.alias.insert("ops".into(), vec!["ops@shop.example".into()]);
        site.alias.insert("*".into(), vec!["rest@shop.example".into()]);
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
        site.local_domains = Some(vec!["lan".into()]);
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
}
