//! Envelope and header section of one site: the first octet chooses the rules, the first line is the
//! value of `-f`, the rest is the message.

use std::sync::Arc;

use mailchute::address::{compared_domain, parse_mailbox};
use mailchute::config::limit::OverLimit;
use mailchute::config::route::Strategy;
use mailchute::config::site::{Keeping, OtherSender, SenderPattern, Site, Spooling, Terms};
use mailchute::envelope::ReversePath;
use mailchute::exit::Scheme;
use mailchute::message::Message;
use mailchute::plan::alias::Names;
use mailchute::plan::alias_file::AliasFile;
use mailchute::plan::envelope::{self, Submitter, Wishes};
use mailchute::plan::fit;

use super::{Target, assert_no_controls, assert_printable};
use crate::mutate::hash;

pub(crate) const TARGET: Target = Target { name: "fit", seeds, words: WORDS, grammar: &[], check };

const WORDS: &[&str] = &[
    "\nFrom: ",
    "\nSender: ",
    "\nResent-From: ",
    "\nResent-To: ",
    "\nReply-To: ",
    "\nBcc: ",
    "\nTo: ",
    "<a@evil.example>",
    "orders@shop.example",
    "\"@shop.example\"",
    "(@shop.example)",
    ", ",
    "\n ",
    "=?utf-8?Q?a=40evil.example?=",
    "group: ",
    ";",
    "root",
    "<>",
];

fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for text in [
        "orders@shop.example\nFrom: Shop <orders@shop.example>\nTo: bob@example.org\nBcc: c@example.org\n\nx\n",
        "\nFrom: root (Cron Daemon)\nTo: root\nSubject: Cron\n\nx\n",
        "wordpress@other.example\nFrom: WordPress <wordpress@other.example>\nTo: B <bob@example.org>, c\n\nx\n",
        "<>\nFrom: a@shop.example, b@evil.example\nSender: b@shop.example\nTo: friends: a@example.org;\n\nx\n",
        "www-data\nResent-From: a@shop.example\nResent-To: d@example.org\nFrom: a@evil.example\nTo: e@example.org\n\nx\n",
        "\nno header section\n",
    ] {
        seeds.extend((0..4).map(|choice| [&[choice], text.as_bytes()].concat()));
    }
    seeds
}

fn site(choice: u8) -> Site {
    let domain = "shop.example".to_owned();
    Site {
        name: "shop".to_owned(),
        file: None,
        users: Vec::new(),
        unknown_users: Vec::new(),
        is_ownerless: false,
        paths: Vec::new(),
        sender: [SenderPattern { local: None, domain, subdomains: false }].into(),
        other_sender: [OtherSender::Refuse, OtherSender::Rewrite, OtherSender::Pass][usize::from(choice % 4).min(2)],
        from: parse_mailbox("Shop <orders@shop.example>").ok(),
        relays: Arc::default(),
        routes: Arc::default(),
        strategy: Strategy::Order,
        disabled: None,
        domain: (choice & 4 != 0).then(|| "shop.example".to_owned()),
        local_domains: None,
        alias: std::iter::once(("root".to_owned(), vec!["admin@shop.example".to_owned(), "ops".to_owned()])).collect(),
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
    let [choice, rest @ ..] = input else { return 0 };
    let (path, octets) = rest.split_at(rest.iter().position(|&octet| octet == b'\n').unwrap_or(rest.len()));
    let path = String::from_utf8_lossy(path).into_owned();
    let site = site(*choice);
    let aliases = AliasFile::at("/nowhere");
    let names = Names { site: &site, host_name: "web1.shop.example", aliases: &aliases };
    let origin = Submitter { names, user: "www-data" };
    let wishes = Wishes {
        reverse_path: (!path.trim().is_empty() && !path.contains(['\r', '\0'])).then(|| ReversePath::of(&path)),
        full_name: (choice & 8 != 0).then(|| "Full, \"Name\"".to_owned()),
        recipients: if choice & 16 == 0 { vec!["bob@example.org".to_owned()] } else { Vec::new() },
        from_header: true,
        ..Wishes::default()
    };
    let Ok(mut message) = Message::read(&mut octets.get(1..).unwrap_or_default(), false) else { return 1 };
    let made = envelope::choose(&wishes, message.header(), &origin).and_then(|chosen| {
        let mut envelope = chosen.envelope;
        let now = || jiff::Timestamp::UNIX_EPOCH.to_zoned(jiff::tz::TimeZone::UTC);
        fit::make_fit(&mut message, &mut envelope, &wishes, &origin, now).map(|_| envelope)
    });
    let envelope = match made {
        Ok(envelope) => envelope,
        Err(failure) => {
            assert_printable(&failure.to_string(), 4096);
            return hash(failure.why.bytes().filter(u8::is_ascii_lowercase).take(24).collect::<Vec<_>>().as_slice());
        }
    };
    assert!(!envelope.forward_paths.is_empty(), "a message to nobody");
    for address in envelope.forward_paths.iter().chain(&envelope.reverse_path) {
        let bad = |c: char| c.is_control() || (c.is_whitespace() && !address.user().starts_with('"'));
        assert!(!address.to_string().contains(bad), "{address:?} would break a command");
    }
    let header = message.header();
    assert_no_controls(header);
    for name in ["Bcc", "Resent-Bcc"] {
        assert!(header.first(name).is_none(), "{name} is still there");
    }
    for name in ["From", "Date", "Message-ID", "MIME-Version"] {
        assert!(header.first(name).is_some(), "{name} is missing");
    }
    if site.other_sender != OtherSender::Pass {
        let ours = |domain: &str| compared_domain(domain) == "shop.example";
        if let Some(path) = &envelope.reverse_path {
            assert!(ours(path.domain()), "a foreign reverse-path: {path}");
        }
        for field in ["From", "Sender", "Resent-From", "Resent-Sender"].into_iter().flat_map(|name| header.all(name)) {
            let list = field.people();
            assert!(list.errors().next().is_none(), "{} goes out unread: {}", field.name(), field.text());
            assert!(list.mailboxes().next().is_some(), "{} names nobody: {}", field.name(), field.text());
            for mailbox in list.into_mailboxes() {
                let domain = mailbox.spec.domain.unwrap_or_default();
                assert!(ours(&domain), "a foreign {}: {}", field.name(), field.text());
            }
        }
    }
    let fields = header.fields().count();
    let again = Message::read(&mut header.as_bytes(), false).expect("a header section is a message");
    assert_eq!(again.header().fields().count(), fields, "the result reads otherwise");
    let repairs = message.repairs().iter().fold(0, |sum: u8, repair| sum.wrapping_add(hash(repair.as_bytes()) as u8));
    hash(&[choice & 31, repairs, envelope.forward_paths.len().min(4) as u8, u8::from(envelope.reverse_path.is_some())])
}
