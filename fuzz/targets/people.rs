//! Who writes and who receives: what was judged is what goes out, whatever the octets. The first octet chooses the
//! rules, the second the charset, the rest is a header section.
//!
//! After a site's `sender` rule has passed a message, its addresses are taken from the envelope, from the header
//! section as it was judged, from that section in ASCII, from the fields of an API and from the requests that APIs make
//! of them: all are the same, and nobody among those who write is one the site does not list. Nor do others find such a
//! one in the header section: the letter of RFC 5322 and mail-parser.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock};

use mailchute::address::{compared_domain, parse_mailbox};
use mailchute::config::limit::OverLimit;
use mailchute::config::route::Strategy;
use mailchute::config::site::{Keeping, OtherSender, SenderPattern, Site, Spooling, Terms};
use mailchute::envelope::Envelope;
use mailchute::exit::Scheme;
use mailchute::failure::Kind;
use mailchute::message::people::ADDRESS_FIELDS;
use mailchute::message::repair::{self, Needs};
use mailchute::message::{Header, Message};
use mailchute::plan::alias::Names;
use mailchute::plan::alias_file::AliasFile;
use mailchute::plan::envelope::{self, Submitter, Wishes};
use mailchute::plan::fit;
use mailchute::providers;
use mailchute::providers::api::parts::{Parts, Person, identity};
use mailchute::providers::api::{Api, Credentials, Entry, Mail, Piece};
use mailchute::secret::Secret;
use serde_json::Value;

use super::{Target, assert_no_controls};
use crate::mutate::{Grammar, hash};
use crate::readers;

pub(crate) const TARGET: Target = Target { name: "people", seeds, words: WORDS, grammar: GRAMMAR, check };

const WORDS: &[&str] = &[
    "\nFrom: ",
    "\nSender: ",
    "\nReply-To: ",
    "\nTo: ",
    "\nCc: ",
    "\nErrors-To: ",
    "\nResent-From: ",
    "<ceo@bank.example>",
    "<ok@shop.example>",
    "ok@shop.example",
    "=?utf-8?q?",
    "=?utf-8?q?\"?=",
    "=?utf-8?q?,?=",
    "=?utf-8?B?",
    "?=",
    "\"",
    "\\\"",
    " (",
    ") ",
    "group: ",
    ";",
    ", ",
    "@bank.example,@shop.example:",
    "Shop, Inc. ",
    "\x1b$B\"(\x1b(B",
    "ü",
    "@b\u{fc}cher.example",
    "xn--bcher-kva",
    " .bank.example",
    "\0",
];

#[rustfmt::skip]
const GRAMMAR: Grammar = &[
    ("field", &["From: «list»\n", "\nFrom: «list»\n", "\nSender: «box»\n", "\nReply-To: «list»\n", "\nTo: «list»\n", "\nFrom: «sly»\n", "\nFrom: «sly»\n"]),
    ("list", &["«box»", "«box»", "«box», «box»", "«name»: «list»;", "«box»,, «box»", "«name», «box»"]),
    ("sly", &["«mark»«hold»«mark» «angle» («hold»)", "«mark» «angle» «mark»", "(«hold») «angle»", "«angle» («mark»«hold»)", "«spec» «comment» «angle»", "\"«hold»\" «angle»", "\"«hold»\":;", "\"«hold»\" :«box»;", "«name»«angle»«angle»", "«mark»«angle», «mark»«angle»"]),
    ("mark", &["\"", "=?utf-8?q?«inside»?=", "=?x?q?", "?=", "(", ")", "<", ">", "\\", "\\\"", "\"\\\"\"", ",", ":", ";", " "]),
    ("inside", &["a", "\"", "(", ")", "<", ">", ",", ":", "«hold»", "«inside»«inside»", " ", "\\", "=22", "=3C"]),
    ("hold", &["a", "«spec»", "«angle»", ", «angle», ", "\\\"«angle»", ") «angle» ("]),
    ("box", &["ok@shop.example", "«spec»", "«name» «angle»", "«angle»", "«spec» «comment»", "«name» «comment» «angle»", "«comment»«angle»"]),
    ("angle", &["<ok@shop.example>", "<ceo@bank.example>", "<«spec»>", "<@bank.example:ok@shop.example>", "<@shop.example,@a.example:ceo@bank.example>", "< «spec» >"]),
    ("spec", &["ok@shop.example", "ceo@bank.example", "\"ceo@bank.example\"@shop.example", "\"ok@shop.example>, \"@bank.example", "ok@shop.example.", "ok@bücher.example", "ok «comment»@«comment» shop.example", "ok.«comment»x@shop.example", "ok@shop.example.bank.example", "ok@[192.0.2.1]", "\"a\".\"b\"@shop.example", "ok@SHOP.example", "ok@xn--bcher-kva.example"]),
    ("name", &["Shop", "«name» «name»", "\"«inside»\"", "=?utf-8?q?«inside»?=", "Shop, Inc.", "J. M\u{fc}ller", "\"Shop \\\"x\\\"\"", "=?utf-8?b?w7w=?=", "«comment»", "Shop@"]),
    ("comment", &["(c)", "(a (b) c)", "(«inside»)", "(\\))", "(\\()", "(\")", "(«angle»)", ""]),
];

const CHARSETS: &[&str] =
    &["utf-8", "iso-8859-1", "shift_jis", "gbk", "iso-2022-jp", "koi8-r", "euc-kr", "big5", "us-ascii", "utf-7"];

fn seeds() -> Vec<Vec<u8>> {
    let texts: [&[u8]; 9] = [
        b"From: Shop <ok@shop.example>\nTo: B <bob@example.org>, Bob@example.org\nCc: bob@EXAMPLE.org\n",
        b"From: =?utf-8?q?\"?= <ceo@bank.example> (\" <ok@shop.example>)\nTo: bob@example.org\n",
        b"From: =?utf-8?q?\"?= <ok@shop.example> (\" <ceo@bank.example>)\nTo: bob@example.org\n",
        b"From: \"ceo@bank.example\":;\nSender: ok@shop.example\nTo: bob@example.org\n",
        b"From: Shop, Inc. <ok@shop.example>\nTo: =?ISO-8859-1?Q?M=FCller,_J.?= <bob@example.org>\n",
        b"From: \x83\x5c\x81\x40 <ok@shop.example>\nTo: \x1b$B;3ED\x1b(B <bob@example.org>\nReply-To: \xfc <r@x.org>\n",
        b"From: ok . x @ shop . example (a (b)), \"ok\"@shop.example.\nTo: G: bob@example.org, root;\n",
        b"From: <@bank.example:ok@shop.example>\nErrors-To: root\nTo: bob@b\xc3\xbccher.example\n",
        b"From: wordpress@\nSender: www-data\nTo: a@x\0,evil@y, bob@example.org\n",
    ];
    let seed = |text: &&[u8]| (0..6).map(|choice| [&[choice, choice], *text].concat()).collect::<Vec<_>>();
    texts.iter().flat_map(seed).collect()
}

fn site(choice: u8) -> Site {
    let pattern = |domain: &str| SenderPattern { local: None, domain: domain.to_owned(), subdomains: false };
    Site {
        name: "shop".to_owned(),
        file: None,
        users: Vec::new(),
        unknown_users: Vec::new(),
        is_ownerless: false,
        paths: Vec::new(),
        sender: [pattern("shop.example"), pattern("bücher.example")].into(),
        other_sender: if choice & 1 == 0 { OtherSender::Refuse } else { OtherSender::Rewrite },
        from: parse_mailbox("Shop <orders@shop.example>").ok(),
        relays: Arc::default(),
        routes: Arc::default(),
        strategy: Strategy::Order,
        disabled: None,
        domain: (choice & 2 != 0).then(|| "shop.example".to_owned()),
        local_domains: None,
        alias: std::iter::once(("root".to_owned(), vec!["admin@shop.example".to_owned()])).collect(),
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

fn check(input: &[u8]) -> u64 {
    let [choice, charset, text @ ..] = input else { return 0 };
    let charset = CHARSETS[usize::from(*charset) % CHARSETS.len()];
    let text = [b"Content-Type: text/plain; charset=", charset.as_bytes(), b"\n", text, b"\n\nbody\n"].concat();
    let Ok(mut message) = Message::read(&mut text.as_slice(), false) else { return 1 };
    let site = site(*choice);
    let aliases = AliasFile::at("/nowhere");
    let names = Names { site: &site, host_name: "web1.shop.example", aliases: &aliases };
    let origin = Submitter { names, user: "www-data" };
    let wishes =
        Wishes { recipients: vec!["bob@example.org".to_owned()], from_header: choice & 4 != 0, ..Wishes::default() };
    let made = envelope::choose(&wishes, message.header(), &origin).and_then(|chosen| {
        let mut envelope = chosen.envelope;
        let now = || jiff::Timestamp::UNIX_EPOCH.to_zoned(jiff::tz::TimeZone::UTC);
        fit::make_fit(&mut message, &mut envelope, &wishes, &origin, now).map(|_| envelope)
    });
    let envelope = match made {
        Ok(envelope) => envelope,
        Err(failure) => return hash(failure.why.bytes().take(12).collect::<Vec<_>>().as_slice()),
    };
    let judged = People::of(message.header());
    for (field, addresses) in &judged.0 {
        for address in addresses.iter().filter(|_| ["From", "Sender", "Resent-From", "Resent-Sender"].contains(field)) {
            let is_listed = ["@shop.example", "@xn--bcher-kva.example"].iter().any(|domain| address.ends_with(domain));
            assert!(is_listed, "{field} goes out as {address:?}");
        }
    }
    if let Some(path) = &envelope.reverse_path {
        assert!(["shop.example", "xn--bcher-kva.example"].contains(&&*compared_domain(path.domain())), "{path}");
    }
    assert_no_controls(message.header());
    others_read(message.header());
    let mut path = vec![choice & 7, u8::from(message.header().as_bytes().is_ascii())];
    match repair::adapt(&message, Needs { eight_bit: true, utf8: false }) {
        Ok(None) => {}
        Ok(Some(sent)) => {
            assert!(sent.header().as_bytes().is_ascii());
            let again = Message::read(&mut sent.header().as_bytes(), false).expect("a header section is a message");
            others_read(again.header());
            let mut sent = People::of(again.header());
            // What nobody can read may come out readable; where it says who writes, it was refused.
            sent.0.retain(|name, _| message.header().all(name).all(|field| field.people().errors().next().is_none()));
            let mut judged = judged.clone();
            judged.0.retain(|name, _| sent.0.contains_key(name));
            assert_eq!(sent, judged, "in ASCII others are named");
            path.push(1);
        }
        Err(failure) => assert_eq!(failure.kind, Kind::Data),
    }
    path.push(fields(&message, &envelope, &judged));
    hash(&path)
}

/// Whether the site lists the domain of `address`.
fn is_listed(address: &str) -> bool {
    let domain = address.rsplit_once('@').map(|(_, domain)| compared_domain(domain).into_owned());
    domain.is_some_and(|domain| ["shop.example", "xn--bcher-kva.example"].contains(&domain.as_str()))
}

/// Nobody finds somebody else among those who write, and everybody finds somebody.
fn others_read(header: &Header) {
    for field in ["From", "Sender", "Resent-From", "Resent-Sender"].into_iter().flat_map(|name| header.all(name)) {
        let (name, text) = (field.name(), field.text());
        let letter = match readers::addresses(&text) {
            Some(letter) => {
                assert!(!letter.is_empty(), "{name} names nobody by the letter: {text:?}");
                letter
            }
            // Sloppy, and yet nothing in it can be taken for another address.
            None => {
                let mut judged: Vec<String> =
                    field.people().mailboxes().map(|listed| listed.mailbox.spec.to_string()).collect();
                let each = judged.len();
                judged.sort_unstable();
                judged.dedup();
                // The same address once more is nobody else.
                let again: usize = judged.iter().map(|address| text.matches(address.as_str()).count()).sum();
                let found = text.matches('@').count();
                assert!([each, again].contains(&found), "{name} is no list by the letter: {text:?}");
                Vec::new()
            }
        };
        let section = format!("{name}: {text}\r\n\r\n");
        let parsed = readers::parsed_addresses(section.as_bytes(), &[&name]);
        for address in letter.iter().chain(&parsed).filter(|address| address.contains('@')) {
            assert!(is_listed(address), "{name} is {address:?} to somebody: {text:?}");
        }
    }
}

/// Every API with the least settings it takes, and credentials.
fn apis() -> &'static [(Arc<dyn Api>, Credentials)] {
    static APIS: OnceLock<Vec<(Arc<dyn Api>, Credentials)>> = OnceLock::new();
    APIS.get_or_init(|| {
        let read = |entry: &Entry, text: &str| entry.read(toml::de::ValueDeserializer::parse(text).ok()?).ok();
        let least = ["{}", "{ domain = 'mg.example.com' }"];
        let entries = providers::all().filter_map(|provider| provider.api.filter(|entry| !entry.raw));
        let with_keys = |entry: &'static Entry| {
            let api = least.iter().find_map(|text| read(entry, text))?;
            let mut keys = Credentials::default();
            entry.credentials.iter().for_each(|one| keys.insert(one.key, Secret::new("key".to_owned())));
            Some((api, keys))
        };
        entries.filter_map(with_keys).collect()
    })
}

/// Nobody else writes, in any request.
fn requests(mail: &Mail<'_>, parts: &Parts) {
    // A few for each input, so that more inputs are tried.
    let first = hash(mail.message.header().as_bytes()) as usize % 5;
    for (api, keys) in apis().iter().skip(first).step_by(5) {
        let Ok(request) = api.request(mail, keys) else { continue };
        let octets = request.body.iter().flat_map(|piece| match piece {
            Piece::Octets(octets) => octets.as_slice(),
            Piece::Message => &[],
        });
        let octets: Vec<u8> = octets.copied().collect();
        let Ok(body) = serde_json::from_slice::<Value>(&octets) else { continue };
        let mut senders = Vec::new();
        find_senders(&body, false, &mut senders);
        for text in &senders {
            // An address by itself, or behind its name.
            let spec = text.rsplit_once('<').map_or(text.as_str(), |(_, spec)| spec.trim_end_matches('>'));
            let is_own = spec.eq_ignore_ascii_case(&parts.from.address);
            assert!(is_own || !spec.contains('@'), "{spec:?} is sent, {:?} was judged", parts.from.address);
        }
        assert!(!senders.is_empty(), "{api:?} names nobody who writes: {}", octets.escape_ascii());
    }
}

/// The texts below keys that say who writes.
fn find_senders(value: &Value, is_below: bool, found: &mut Vec<String>) {
    match value {
        Value::String(text) if is_below => found.push(text.clone()),
        Value::Array(list) => list.iter().for_each(|one| find_senders(one, is_below, found)),
        Value::Object(fields) => fields.iter().for_each(|(key, one)| {
            let is_name = is_below && key.to_lowercase().contains("name");
            let says_who = ["from", "sender", "from_email", "senderaddress", "fromaddress"];
            if !is_name {
                find_senders(one, is_below || says_who.contains(&key.to_lowercase().as_str()), found);
            }
        }),
        _ => {}
    }
}

/// What an API's fields carry is what was judged, and each recipient once.
fn fields(message: &Message, envelope: &Envelope, judged: &People) -> u8 {
    let now = jiff::Timestamp::UNIX_EPOCH;
    let mail =
        Mail { envelope, message, endpoint: "https://x.example", now, undisclosed: false, key: None, before: &[] };
    let parts = match Parts::of(&mail) {
        Ok(parts) => parts,
        Err(failure) => {
            assert_eq!(failure.kind, Kind::Data);
            return 0;
        }
    };
    requests(&mail, &parts);
    let lower = |person: &Person| person.address.to_lowercase();
    let in_field = |name| judged.0.get(name).into_iter().flatten().map(|address| address.to_lowercase());
    assert_eq!(in_field("From").collect::<BTreeSet<_>>(), BTreeSet::from([lower(&parts.from)]), "another author");
    let replies: BTreeSet<_> = parts.reply_to.iter().map(lower).collect();
    assert_eq!(replies, in_field("Reply-To").filter(|address| address.contains('@')).collect(), "others are answered");
    let everybody: Vec<_> = parts.everybody().map(lower).collect();
    let once: BTreeSet<_> = everybody.iter().cloned().collect();
    assert_eq!(everybody.len(), once.len(), "somebody twice: {everybody:?}");
    assert_eq!(once, envelope.forward_paths.iter().map(identity).collect(), "others receive");
    let texts = parts.everybody().chain(&parts.reply_to).chain([&parts.from]);
    let texts = texts.flat_map(|person| [Some(&person.address), person.name.as_ref()]).flatten();
    texts.chain([&parts.subject]).for_each(|text| assert!(!text.contains(char::is_control), "{text:?}"));
    parts.everybody().count().min(7) as u8 + 1
}

/// The addresses of every address field, domains as they are compared.
#[derive(Clone, Debug, PartialEq, Eq)]
struct People(BTreeMap<&'static str, Vec<String>>);

impl People {
    fn of(header: &Header) -> Self {
        let mut people = BTreeMap::new();
        for name in ADDRESS_FIELDS {
            let lists = header.all(name).map(|field| field.people());
            let specs = lists.flat_map(|list| list.into_mailboxes().map(|mailbox| mailbox.spec).collect::<Vec<_>>());
            let addresses = specs.filter_map(|spec| {
                let domain = compared_domain(spec.domain.as_deref()?).into_owned();
                Some(format!("{}@{domain}", spec.local))
            });
            people.insert(name, addresses.collect());
        }
        Self(people)
    }
}
