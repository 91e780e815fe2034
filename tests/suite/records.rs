//! What is said of a domain's records, as data: `tests/dns/*.case`, a file a provider or subject, a block a situation.
//! The first block of a file is the good one; the others are that with some records changed.
//!
//! | Key | Meaning |
//! |---|---|
//! | `provider:` `username:` `from:` | the relay and the domain of From (`shop.example` where there is none) |
//! | `selector:` | as the option |
//! | `copy:` | a field of a copy that arrived, in order |
//! | `rewrites:` | the site's own address, which takes the place of others |
//! | `with:` `without:` | a record more, or all of a name and type (`*`: every type) less: `name TYPE value` |
//! | `finding:` | `GRADE CODE SUBJECT`: exactly these are made, in any order |
//! | `says:` | a part of a finding's sentence |
//! | `next:` | a part of a next step |
//! | `fine:` | a part of what is fine |
//! | `stays:` | a code whose record to set does not mend it, with the reason |
//!
//! `RSA2048`, `RSA1024`, `RSA512` stand for keys. `SERVFAIL` in place of a value: the name cannot be asked for.
//! Each block is judged from memory, then once more by the real client against a real name server (nsd), with the same
//! result; and every record that a finding says to set is set, and takes the finding away.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use base64::Engine as _;
use mailchute::config::relay::{LoginSource, Place, Relay, SecretKind, Smtp, TlsMode, Username, Way};
use mailchute::deadline::Deadline;
use mailchute::dns::{Client, Known, Qtype, Question, Rdata, Resolved, Said, settle};
use mailchute::finding::{Finding, Next, Section};
use mailchute::message::Message;
use mailchute::providers::Provider;
use mailchute::records::received::{self, Received};
use mailchute::records::{Subject, guess, judged, look};
use testkit::{Case, Port, Scratch, apart, need};

use crate::setup::{data, mailchute};

/// Records as text: name, type, value.
pub(crate) type Zone = Vec<(String, String, String)>;

/// One block, with the zone that comes of it.
pub(crate) struct Situation {
    pub(crate) name: String,
    pub(crate) case: Case,
    pub(crate) zone: Zone,
}

/// What the providers themselves publish.
pub(crate) const WORLD: &str = include_str!("../dns/world.zone");

pub(crate) fn lines(text: &str) -> Zone {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(|line| record(line).unwrap_or_else(|| panic!("{line}: name, type and value"))).collect()
}

pub(crate) fn record(line: &str) -> Option<(String, String, String)> {
    let mut words = line.splitn(3, ' ');
    let (name, kind) = (words.next()?, words.next()?);
    let value = words.next().unwrap_or_default().trim();
    let mut value = value.to_owned();
    for bits in [512, 1024, 2048] {
        value = value.replace(&format!("RSA{bits}"), &key(bits));
    }
    Some((name.to_ascii_lowercase(), kind.to_owned(), value))
}

/// A public key of this many bits (RFC 5280 4.1); its modulus is no product of primes.
pub(crate) fn key(bits: usize) -> String {
    let wrap = |kind: u8, content: &[u8]| {
        let mut der = vec![kind];
        match content.len() {
            short @ 0..0x80 => der.push(short as u8),
            long => der.extend([0x82, (long >> 8) as u8, long as u8]),
        }
        [der, content.to_vec()].concat()
    };
    let modulus = [vec![0], vec![0xb5; bits / 8]].concat();
    let key = wrap(0x30, &[wrap(0x02, &modulus), wrap(0x02, &[1, 0, 1])].concat());
    let oid = [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];
    let algorithm = wrap(0x30, &[wrap(0x06, &oid), vec![5, 0]].concat());
    let der = wrap(0x30, &[algorithm, wrap(0x03, &[vec![0], key].concat())].concat());
    base64::engine::general_purpose::STANDARD.encode(der)
}

/// Every block of every file; `number` makes the domain of each its own.
fn situations() -> Vec<Situation> {
    let mut all = Vec::new();
    for file in Case::all(&data("dns")) {
        let mut good: Option<Case> = None;
        for (name, case) in file.each() {
            case.knows(
                &[
                    "provider", "username", "from", "selector", "copy", "rewrites", "with", "without", "finding",
                    "says", "next", "fine", "stays",
                ],
                &[],
            );
            let mut zone = lines(WORLD);
            zone.extend(good.iter().flat_map(|good| good.values("with")).map(|line| record(line).unwrap()));
            for line in case.values("without") {
                let (name, kind) = line.split_once(' ').expect("name and type");
                let before = zone.len();
                zone.retain(|record| !(record.0 == name && (kind == "*" || record.1 == kind)));
                assert!(zone.len() < before, "{}: {line} is not there", file.name());
            }
            zone.extend(case.values("with").map(|line| record(line).unwrap()));
            let name = format!("{}: {name}", file.name());
            let base = good.get_or_insert_with(|| case.clone());
            let mut merged = case.clone();
            for key in ["provider", "username", "from"] {
                if case.value(key).is_none()
                    && let Some(value) = base.value(key)
                {
                    let text = format!("{key}: {value}\n");
                    merged = Case::parse(&merged.path, &(text + &shown(&merged)));
                }
            }
            all.push(Situation { name, case: merged, zone });
        }
    }
    all
}

/// What is said of the subject of `case`; `name` makes it that of one of many.
pub(crate) fn of_case(
    case: &Case,
    name: impl Fn(&str) -> String,
    judge: impl FnOnce(&Subject<'_>) -> Vec<Section>,
) -> Vec<Section> {
    let case = Case::parse(&case.path, &name(&shown(case)));
    let (relay, own, copy) = (relay(&case), name("shop.example"), copy(&case));
    let selectors: Vec<_> = case.values("selector").map(str::to_owned).collect();
    judge(&Subject {
        site: Some("shop"),
        domain: case.value("from").unwrap_or(&own),
        relay: &relay,
        selectors: &selectors,
        copy: copy.as_ref(),
        rewritten: case.value("rewrites"),
    })
}

/// What is said by what a name server says.
pub(crate) fn by_network(subject: &Subject<'_>, client: &mut Client) -> Vec<Section> {
    look(std::slice::from_ref(subject), client, Deadline::after(Duration::from_secs(30)))
}

fn shown(case: &Case) -> String {
    case.fields().map(|(key, value)| format!("{key}: {value}\n")).collect()
}

/// What a resolver says that knows `zone` only.
fn ask(zone: &Zone, question: &Question) -> Resolved {
    let mut aliases: Vec<String> = Vec::new();
    loop {
        let name = aliases.last().map_or(question.name(), String::as_str);
        let is_there =
            |name: &str| zone.iter().any(|(owner, ..)| owner == name || owner.ends_with(&format!(".{name}")));
        let exists = is_there(name);
        // The closest name above that exists (RFC 4592 3.3.1).
        let above = std::iter::successors(name.split_once('.'), |(_, parent)| parent.split_once('.'));
        let above = above.map(|(_, parent)| parent).find(|parent| is_there(parent));
        let owner = if exists { name.to_owned() } else { format!("*.{}", above.unwrap_or_default()) };
        let here: Vec<_> = zone.iter().filter(|record| record.0 == owner).collect();
        if here.iter().any(|record| record.2 == "SERVFAIL") {
            return Resolved::unasked("server failure (SERVFAIL)");
        }
        let mut found: Vec<_> = here.iter().filter_map(|record| typed(record, question.kind())).collect();
        if !found.is_empty() {
            // A resolver turns addresses around from answer to answer: here from name to name.
            if matches!(question.kind(), Qtype::A | Qtype::Aaaa) {
                let first = name.len() % found.len();
                found.rotate_left(first);
            }
            return Resolved { aliases, said: Said::Records(found) };
        }
        match here.iter().find(|record| record.1 == "CNAME") {
            Some(next) if aliases.contains(&next.2) => return Resolved::unasked("names lead nowhere"),
            Some(next) => aliases.push(next.2.clone()),
            None if exists || !here.is_empty() => return Resolved { aliases, said: Said::NoRecord },
            None => return Resolved { aliases, said: Said::NoName },
        }
    }
}

fn typed((_, kind, value): &(String, String, String), wanted: Qtype) -> Option<Rdata> {
    if *kind != wanted.to_string() {
        return None;
    }
    let words: Vec<_> = value.split(' ').collect();
    let number = |at: usize| words[at].parse().unwrap();
    let host = |at: usize| words[at].trim_end_matches('.').to_owned();
    Some(match kind.as_str() {
        "A" | "AAAA" => Rdata::Address(value.parse().unwrap()),
        "TXT" => Rdata::Text(value.clone().into_bytes()),
        "CNAME" => Rdata::Alias(host(0)),
        "MX" => Rdata::Exchange { preference: number(0), host: host(1) },
        "SRV" => Rdata::Service { priority: number(0), weight: number(1), port: number(2), host: host(3) },
        other => panic!("{other}"),
    })
}

fn relay(case: &Case) -> Relay {
    let provider = case.value("provider").map(|id| Provider::find(id).unwrap_or_else(|| panic!("{id}")));
    let place = Place::Tcp { host: "smtp.example.net".into(), port: 587 };
    let mut relay = Relay { provider, ..Relay::new("main", place, TlsMode::StartTls) };
    if let Some(name) = case.value("username") {
        let login =
            LoginSource { username: Username::Given(name.to_owned()), kind: SecretKind::Password, secret: None };
        relay.way = Way::Smtp(Smtp { login: Some(login), ..Smtp::default() });
    }
    relay
}

/// What the copy of a block tells.
fn copy(case: &Case) -> Option<Received> {
    let fields: String = case.values("copy").map(|field| format!("{field}\r\n")).collect();
    let text = format!("{fields}\r\nbody\r\n");
    (!fields.is_empty()).then(|| received::read(Message::read(&mut text.as_bytes(), false).unwrap().header()).unwrap())
}

pub(crate) fn from_memory(zone: &Zone, subjects: &[Subject<'_>]) -> Vec<Section> {
    let answer = |known: &mut Known, wanted: Vec<Question>| {
        wanted.into_iter().for_each(|question| known.put(question.clone(), ask(zone, &question)));
    };
    settle(&mut Known::default(), answer, |known| judged(known, subjects))
}

pub(crate) fn findings(sections: &[Section]) -> Vec<&Finding> {
    sections.iter().flat_map(|section| &section.findings).collect()
}

fn brief(findings: &[&Finding]) -> Vec<String> {
    let mut lines: Vec<_> =
        findings.iter().map(|one| format!("{} {} {}", one.grade, one.code.word, one.subject)).collect();
    lines.sort();
    lines
}

/// What is not as the case says.
fn compare(case: &Case, sections: &[Section]) -> Vec<String> {
    let mut wrong = Vec::new();
    let findings = findings(sections);
    let mut expected: Vec<_> = case.values("finding").map(str::to_owned).collect();
    expected.sort();
    if brief(&findings) != expected {
        let shown: Vec<_> = findings.iter().map(|one| format!("{} {} {one}", one.grade, one.code.word)).collect();
        wrong.push(format!("expected {expected:#?}\n  found {shown:#?}"));
    }
    let nexts: Vec<_> = findings.iter().filter_map(|one| one.next.as_ref()).map(ToString::to_string).collect();
    let says: Vec<_> = findings.iter().map(|one| one.sentence.clone()).collect();
    let fine: Vec<_> = sections.iter().flat_map(|section| section.fine.clone()).collect();
    for (key, there) in [("next", &nexts), ("says", &says), ("fine", &fine)] {
        for part in case.values(key) {
            if !there.iter().any(|text| text.contains(part)) {
                wrong.push(format!("{key}: {part:?} is not in {there:#?}"));
            }
        }
    }
    for one in &findings {
        let text = format!("{one}{}", one.next.as_ref().map(ToString::to_string).unwrap_or_default());
        if text.chars().any(char::is_control) || text.contains("  (") && text.ends_with('.') {
            wrong.push(format!("not one line: {text}"));
        }
        if one.next.is_none() || one.site.as_deref() != Some("shop") {
            wrong.push(format!("no next step or no site: {one:?}"));
        }
    }
    wrong
}

/// Sets each record that a finding says to set, and looks again.
pub(crate) fn applied(situation: &Situation, sections: &[Section], subject: &Subject<'_>) -> Vec<String> {
    let mut wrong = Vec::new();
    for one in findings(sections) {
        let Some(Next::Set { record, replaces }) = &one.next else { continue };
        if situation.case.values("stays").any(|line| line.split(' ').next() == Some(one.code.word)) {
            continue;
        }
        let mut zone = situation.zone.clone();
        let is_policy = |value: &str| value.to_ascii_lowercase().starts_with("v=spf1");
        if *replaces {
            zone.retain(|(name, kind, value)| {
                *name != record.name
                    || (kind != record.kind && kind != "CNAME")
                    || (kind == "TXT" && is_policy(&record.value) && !is_policy(value))
            });
        }
        zone.push((record.name.clone(), record.kind.to_owned(), record.value.clone()));
        let after = from_memory(&zone, std::slice::from_ref(subject));
        if findings(&after).iter().any(|other| other.code == one.code && other.subject == one.subject) {
            wrong.push(format!("{} sets {record} and stays", one.code.word));
        }
    }
    wrong
}

#[test]
fn records_from_memory() {
    let (mut wrong, mut seen) = (Vec::new(), BTreeMap::new());
    let all = situations();
    for situation in &all {
        let mut stays = Vec::new();
        let sections = of_case(&situation.case, str::to_owned, |subject| {
            let sections = from_memory(&situation.zone, std::slice::from_ref(subject));
            stays = applied(situation, &sections, subject);
            sections
        });
        let complaints = [compare(&situation.case, &sections), stays].concat();
        wrong.extend(complaints.into_iter().map(|complaint| format!("{}: {complaint}", situation.name)));
        for finding in findings(&sections) {
            *seen.entry(finding.code.word).or_insert(0) += 1;
        }
    }
    assert!(wrong.is_empty(), "{} of {} situations\n{}", wrong.len(), all.len(), wrong.join("\n"));
    let families = ["dns", "spf", "dkim", "dmarc"];
    let known = mailchute::finding::codes::ALL.iter().filter(|code| families.contains(&code.family()));
    let unseen: Vec<_> = known.map(|code| code.word).filter(|word| !seen.contains_key(word)).collect();
    assert!(unseen.is_empty(), "no situation has {unseen:?}");
}

#[test]
fn every_provider_that_wants_records_has_a_case() {
    for provider in mailchute::providers::all() {
        let Some(published) = provider.published() else { continue };
        let wants = !published.keys.is_empty() || !published.bounce.usual.is_empty() || published.spf.needed;
        let file = data("dns").join(format!("{}.case", provider.id));
        assert!(!wants || file.exists(), "{} is missing", file.display());
    }
}

/// A real name server that knows everything of one zone, the root.
pub(crate) struct Nsd {
    child: Child,
    number: u16,
    _port: Port,
    _scratch: Scratch,
}

impl Nsd {
    pub(crate) fn start(nsd: &std::path::Path, zone: &Zone) -> Self {
        let scratch = Scratch::new();
        let mut text = ". 300 SOA ns. root. 1 3600 600 86400 60\n. NS ns.\nns. A 127.0.0.1\n".to_owned();
        let mut broken = Vec::new();
        for (name, kind, value) in zone {
            let data = match kind.as_str() {
                _ if value == "SERVFAIL" => {
                    // A zone of its own whose file is missing.
                    broken.push(name.clone());
                    let _ = writeln!(text, "{name}. 60 NS ns.");
                    continue;
                }
                "TXT" => {
                    let octets: Vec<_> = value.bytes().collect();
                    let strings = octets.chunks(250).map(|part| {
                        let escape = |octet: &u8| {
                            if octet.is_ascii_alphanumeric() {
                                char::from(*octet).to_string()
                            } else {
                                format!("\\{octet:03}")
                            }
                        };
                        format!("\"{}\"", part.iter().map(escape).collect::<String>())
                    });
                    strings.collect::<Vec<_>>().join(" ")
                }
                "CNAME" | "MX" | "SRV" => format!("{}.", value.trim_end_matches('.')),
                _ => value.clone(),
            };
            let _ = writeln!(text, "{name}. 60 {kind} {data}");
        }
        scratch.write("zone", text, 0o644);
        let mut zones = String::new();
        for name in broken {
            let _ = write!(zones, "zone:\n name: \"{name}\"\n zonefile: \"missing\"\n");
        }
        let begun = Instant::now();
        loop {
            // The port is held for TCP; somebody may have it for UDP.
            let port = Port::reserve();
            let number = port.number();
            let conf = format!(
                "server:\n username: \"\"\n chroot: \"\"\n database: \"\"\n zonesdir: \"{0}\"\n pidfile: \"\"\n xfrdfile: \"\"\n zonelistfile: \"{0}/list\"\n \
                 ip-address: 127.0.0.1\n port: {1}\n server-count: 1\n xfrdir: \"{0}\"\n minimal-responses: yes\n\
                 remote-control:\n control-enable: no\nzone:\n name: \".\"\n zonefile: \"zone\"\n{zones}",
                scratch.path().display(),
                number
            );
            let conf = scratch.write("nsd.conf", conf, 0o644);
            let log = std::fs::File::create(scratch.join("log")).unwrap();
            let mut command = apart(nsd);
            command.arg("-d").arg("-c").arg(conf).stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
            let mut child = command.spawn().unwrap();
            let address: SocketAddr = (Ipv4Addr::LOCALHOST, number).into();
            let question = |known: &Known| known.ask("ns", Qtype::A);
            while child.try_wait().unwrap().is_none() {
                let answer = Client::at(address).settle(Deadline::after(Duration::from_secs(5)), question);
                if answer.why_unasked().is_none() {
                    return Self { child, number, _port: port, _scratch: scratch };
                }
                assert!(begun.elapsed() < Duration::from_secs(60), "nsd does not answer: {}", scratch.read("log"));
            }
            assert!(begun.elapsed() < Duration::from_secs(60), "nsd does not start: {}", scratch.read("log"));
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.number).into()
    }
}

impl Drop for Nsd {
    fn drop(&mut self) {
        // SIGTERM: its children end with it.
        let _ = nix::sys::signal::kill(
            nix::unistd::Pid::from_raw(self.child.id() as i32),
            nix::sys::signal::Signal::SIGTERM,
        );
        let _ = self.child.wait();
    }
}

/// The domain of one situation, so that all of them are in one zone.
pub(crate) fn renamed(text: &str, number: usize) -> String {
    text.replace("shop.example", &format!("shop{number}.example"))
        .replace("shop-example", &format!("shop{number}-example"))
}

/// All of them in one zone, each under its own domain, with what is in `zone` for all.
pub(crate) fn together(all: &[&Situation], mut zone: Zone) -> Zone {
    let world = lines(WORLD);
    for (number, situation) in all.iter().enumerate() {
        let own = situation.zone.iter().filter(|record| record.0.contains("shop"));
        zone.extend(own.map(|(name, kind, value)| (renamed(name, number), kind.clone(), renamed(value, number))));
        // Somebody else's, in one situation only.
        let others = situation.zone.iter().filter(|record| !record.0.contains("shop") && !world.contains(record));
        for record in others {
            if !zone.contains(record) {
                zone.push(record.clone());
            }
        }
    }
    zone
}

#[test]
fn records_by_a_real_name_server() {
    let Some(nsd) = need("nsd") else { return };
    let all = situations();
    let server = Nsd::start(&nsd, &together(&all.iter().collect::<Vec<_>>(), lines(WORLD)));
    let mut wrong = Vec::new();
    let mut client = Client::at(server.address());
    for (number, situation) in all.iter().enumerate() {
        let name = |text: &str| renamed(text, number);
        let case = Case::parse(&situation.case.path, &name(&shown(&situation.case)));
        if client.count() > 300 {
            client = Client::at(server.address());
        }
        let sections = of_case(&situation.case, name, |subject| by_network(subject, &mut client));
        wrong.extend(compare(&case, &sections).into_iter().map(|complaint| format!("{}: {complaint}", situation.name)));
    }
    assert!(wrong.is_empty(), "{} of {} situations\n{}", wrong.len(), all.len(), wrong.join("\n"));
}

#[test]
fn guesses() {
    let Some(nsd) = need("nsd") else { return };
    let zone = lines(
        "a.example MX 10 in1-smtp.messagingengine.com\na.example TXT v=spf1 include:mailgun.org ~all\n\
         pdk1._domainkey.a.example CNAME pdk1._domainkey.ab12.dkim1.mailgun.com\n\
         pm-bounces.a.example CNAME pm.mtasv.net\n_submissions._tcp.a.example SRV 10 1 465 smtp.a.example\n\
         _submissions._tcp.a.example SRV 0 1 465 smtp.other.example\n_submission._tcp.a.example SRV 0 1 587 smtp.a.example\n\
         _submission._tcp.b.example SRV 0 0 0 .\nb.example MX 0 .\n",
    );
    let server = Nsd::start(&nsd, &zone);
    let mut client = Client::at(server.address());
    let deadline = Deadline::after(Duration::from_secs(30));
    let guessed = guess("A.Example", &mut client, deadline);
    assert_eq!(guessed.mailbox.map(|provider| provider.id), Some("fastmail"));
    let senders: Vec<_> = guessed.senders.iter().map(|provider| provider.id).collect();
    assert_eq!(senders, ["mailgun", "postmark"]);
    let services: Vec<_> =
        guessed.services.iter().map(|one| (one.host.as_str(), one.port, one.tls, one.is_foreign)).collect();
    let expected = [
        ("smtp.other.example", 465, TlsMode::Implicit, true),
        ("smtp.a.example", 465, TlsMode::Implicit, false),
        ("smtp.a.example", 587, TlsMode::StartTls, false),
    ];
    assert_eq!(services, expected);
    let nothing = guess("b.example", &mut client, deadline);
    assert!(nothing.mailbox.is_none() && nothing.senders.is_empty() && nothing.services.is_empty());
    assert!(nothing.unasked.is_empty(), "{:?}", nothing.unasked);
    assert_eq!(guess("gmail.com", &mut client, deadline).mailbox.map(|provider| provider.id), Some("google"));
}

/// The codes of the findings that the real binary prints, with the record each says to set.
fn checked(config: &std::path::Path, words: &[&str]) -> BTreeMap<String, String> {
    let run = mailchute().args(["check", "--json", "--config"]).arg(config).args(words.iter().copied()).run();
    let found: Vec<serde_json::Value> =
        serde_json::from_str(&run.stdout).unwrap_or_else(|error| panic!("{error}: {run:?}"));
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    found.iter().map(|one| (text(&one["code"]), one["next"].to_string())).collect()
}

#[test]
fn check_says_what_is_published() {
    let Some(nsd) = need("nsd") else { return };
    let server = Nsd::start(&nsd, &lines("shop.example TXT v=spf1 a -all\nshop.example A 192.0.2.1\n"));
    let (scratch, nobody) = (Scratch::new(), Port::reserve());
    let configured = |name: &str, keys: &str| {
        let relay =
            "provider = \"fastmail\"\nhost = \"127.0.0.1\"\nusername = \"ann@shop.example\"\napp_password = \"x\"";
        let port = nobody.number();
        scratch.write(name, format!("{keys}[relay.main]\n{relay}\nport = {port}\n"), 0o600)
    };
    let config = configured("config.toml", "from = \"orders@shop.example\"\n");
    let address = server.address().to_string();
    let found = checked(&config, &["--dns", &address]);
    assert!(found["spf.missing"].contains("v=spf1 a include:spf.messagingengine.com -all"), "{found:?}");
    assert!(found["dkim.missing"].contains("fm"), "{found:?}");
    assert!(found["dmarc.missing"].contains("_dmarc.shop.example"), "{found:?}");
    let is_of_dns = |code: &String| ["dns.", "spf.", "dkim.", "dmarc."].iter().any(|family| code.starts_with(family));
    assert!(!checked(&config, &["--offline"]).keys().any(is_of_dns));
    // Without `from`, it writes as the user of its relay.
    let of_user = checked(&configured("user.toml", ""), &["--dns", &address]);
    assert!(of_user["spf.missing"] == found["spf.missing"] && !of_user.contains_key("site.no-sender"), "{of_user:?}");
    let others = configured("others.toml", "sender = \"*@other.example\"\n");
    assert!(!checked(&others, &["--dns", &address])["spf.missing"].contains("shop.example"));
    let free = "from = \"orders@shop.example\"\nsender = [\"ann@gmail.com\"]\nother_sender = \"rewrite\"\n";
    let foreign = checked(&configured("free.toml", free), &["--dns", &address]);
    assert!(foreign["dmarc.foreign"].contains("orders@shop.example takes its place"), "{foreign:?}");
    let page = |words: &[&str]| mailchute().args(["check", "--config"]).arg(&config).args(words.iter().copied()).run();
    let (short, long) = (page(&["--dns", &address]).stdout, page(&["-v", "--dns", &address]).stdout);
    let questions = |text: &str| text.split_once(" questions to name servers)").map(|(before, _)| before.to_owned());
    let count = |text: &str| questions(text).and_then(|text| text.rsplit(' ').next()?.parse::<usize>().ok());
    assert!(count(&short).is_some_and(|count| count > 5), "{short}");
    assert_eq!(count(&short), count(&long), "{long}");
    assert!(long.contains("shop.example TXT: \"v=spf1 a -all\"") && !short.contains("shop.example TXT:"), "{long}");
    assert_eq!(count(&page(&["--offline"]).stdout), None);
    // Nobody answers there: nothing is missing for all that.
    let silent = format!("127.0.0.1:{}", nobody.number());
    let unasked = checked(&config, &["--dns", &silent]);
    assert_eq!(unasked.keys().filter(|code| is_of_dns(code)).collect::<Vec<_>>(), ["dns.unasked"]);
}

/// Domains by themselves, as sites send from them, as a provider wants them, and as a copy that arrived tells.
#[test]
fn check_judges_a_domain_and_a_copy_that_arrived() {
    let Some(nsd) = need("nsd") else { return };
    let server = Nsd::start(
        &nsd,
        &lines(
            "shop.example TXT v=spf1 include:spf.messagingengine.com ~all\nspf.messagingengine.com TXT v=spf1 ip4:192.0.2.1 -all\n\
             _dmarc.shop.example TXT v=DMARC1; p=reject\nown._domainkey.shop.example TXT v=DKIM1; k=rsa; p=RSA2048\n\
             weak._domainkey.shop.example TXT v=DKIM1; k=rsa; p=RSA1024\nother.example A 192.0.2.2\n",
        ),
    );
    let scratch = Scratch::new();
    let config = scratch.write(
        "config.toml",
        "from = \"orders@shop.example\"\n[relay.main]\nprovider = \"fastmail\"\nhost = \"127.0.0.1\"\nport = 9\n\
         username = \"ann@shop.example\"\napp_password = \"x\"\n",
        0o600,
    );
    let dns = server.address().to_string();
    let found = |words: &[&str]| {
        let all = checked(&config, &[&["--dns", &dns], words].concat());
        // Nothing but domains is looked at.
        let families = ["dns.", "spf.", "dkim.", "dmarc.", "message."];
        assert!(all.keys().all(|code| families.iter().any(|family| code.starts_with(family))), "{all:?}");
        all
    };
    let codes = |words: &[&str]| found(words).into_keys().collect::<Vec<_>>();
    // Fastmail's own names of keys are missing, and the one that is named is there.
    assert!(codes(&["--domain", "Shop.Example."]).contains(&"dkim.missing".to_owned()));
    assert!(codes(&["--domain", "shop.example", "--selector", "own"]).is_empty());
    let other = found(&["--domain", "shop.example", "--domain", "other.example"]);
    assert!(other["dmarc.missing"].contains("_dmarc.other.example"), "{other:?}");
    // No site sends as it, and another provider wants other things of it.
    let postmark = codes(&["--domain", "other.example", "--provider", "postmark"]);
    assert!(
        postmark.contains(&"dkim.unknown".to_owned()) && !postmark.contains(&"spf.missing".to_owned()),
        "{postmark:?}"
    );
    let without = mailchute()
        .args(["check", "--json", "--config"])
        .arg(scratch.join("none.toml"))
        .args(["--dns", &dns, "--domain", "other.example"])
        .run();
    without.expect_status(0);
    assert!(
        without.stdout.contains("config.invalid") && without.stdout.contains("dmarc.missing"),
        "{}",
        without.report()
    );

    let fields = "From: Shop <orders@shop.example>\nReturn-Path: <bounce@shop.example>\n";
    let said = |result: &str| {
        format!(
            "Authentication-Results: mx.example.net; dkim={result} header.d=shop.example; spf={result}; dmarc={result}\n"
        )
    };
    let signed =
        |selector: &str| format!("DKIM-Signature: v=1; a=rsa-sha256; d=shop.example; s={selector}; h=From; b=x\n");
    for (name, text, expected) in [
        ("good", said("pass") + fields + &signed("own"), &[][..]),
        ("weak", said("pass") + fields + &signed("weak"), &["dkim.weak"]),
        ("gone", said("none") + fields + &signed("gone"), &["dkim.missing"]),
        ("failed", said("fail") + fields + &signed("own"), &["message.dkim", "message.dmarc", "message.spf"]),
        (
            "newsletter",
            format!("List-Unsubscribe: <mailto:x@shop.example>\n{fields}{}", signed("own")),
            &["message.unsubscribe"],
        ),
    ] {
        let copy = scratch.write(name, format!("{text}Subject: x\n\nbody\n"), 0o600);
        assert_eq!(codes(&["--message", copy.to_str().unwrap()]), expected, "{name}");
        let ignored: Vec<&str> = expected.iter().flat_map(|code| ["--ignore", code]).collect();
        assert!(codes(&[&["--message", copy.to_str().unwrap()], &ignored[..]].concat()).is_empty(), "{name}");
    }
    let copy = scratch.write("unsigned", format!("{fields}\nbody\n"), 0o600);
    let unsigned = codes(&["--message", copy.to_str().unwrap(), "--offline"]);
    assert_eq!(unsigned, ["message.unsigned"]);
    let check = |words: &[&str]| mailchute().args(["check", "--config"]).arg(&config).args(words.iter().copied());
    let run =
        check(&["--dns", &dns, "--message", "-"]).stdin(said("pass") + fields + &signed("own") + "\nbody\n").run();
    run.expect_status(0);
    let told = ["mx.example.net says dkim=pass, spf=pass, dmarc=pass", "--selector own looks for the key", "RSA 2048"];
    assert!(told.iter().all(|text| run.stdout.contains(text)), "{}", run.report());
    for (words, status, why) in [
        (&["--message", "/proc/nonexistent"][..], 66, "/proc/nonexistent: cannot be read"),
        (&["--message", "-"], 65, "has no From field"),
        (&["--domain", "shop"], 64, "a domain is wanted"),
        (&["--domain", "shop.example", "--offline"], 64, "--offline"),
        (&["--provider", "postmark"], 64, "--domain"),
        (&["--domain", "shop.example", "--provider", "postmrk"], 64, "did you mean postmark?"),
    ] {
        let run = check(words).stdin("Subject: no\n\n").run();
        run.expect_status(status);
        assert!(run.stderr.contains(why), "{}", run.report());
    }
}
