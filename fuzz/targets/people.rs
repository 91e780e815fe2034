//! Who writes and who receives: what was judged is what goes out, whatever the octets. The first octet chooses the
//! rules, the second the charset, the rest is a header section.
//!
//! After a site's `sender` rule has passed a message, its addresses are taken from the envelope, from the header
//! section as it was judged, from that section in ASCII, and from the fields of an API: all four are the same, and
//! nobody among those who write is one the site does not list.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

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
use mailchute::providers::api::Mail;
use mailchute::providers::api::parts::{Parts, Person, identity};

use super::Target;
use crate::mutate::hash;

pub(crate) const TARGET: Target = Target { name: "people", seeds, words: WORDS, grammar: &[], check };

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
    let mut path = vec![choice & 7, u8::from(message.header().as_bytes().is_ascii())];
    match repair::adapt(&message, Needs { eight_bit: true, utf8: false }) {
        Ok(None) => {}
        Ok(Some(sent)) => {
            assert!(sent.header().as_bytes().is_ascii());
            let again = Message::read(&mut sent.header().as_bytes(), false).expect("a header section is a message");
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
