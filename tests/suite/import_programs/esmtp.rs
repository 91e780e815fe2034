//! esmtp, which tells a server what it has read, or refuses its file.

use std::fs::Permissions;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;

use mailchute::address::Address;
use mailchute::config::relay::TlsMode;
use mailchute::import::draft::ledger::Item;
use testkit::{Scratch, apart};

use super::heard::talk;
use super::{Dice, Silent, files, imported, need_mailer, place, username};

/// The senders that identities are for.
const SENDERS: [&str; 3] = ["me@example.net", "Me@example.net", "shop@example.org"];

fn value(dice: &mut Dice, values: &[&str]) -> String {
    let value = dice.one(values);
    match dice.below(20) {
        0 => format!("\"{value}\""),
        1 => format!("'{value}'"),
        2 => format!("\"{value}\"x"),
        3 => format!("{value};"),
        _ => value.to_owned(),
    }
}

fn setting(dice: &mut Dice, port: u16) -> String {
    let words =
        ["u#x", "a:b", "an\\x41n", "\\\\", "ann", "ann@example.net", "\"ge heim\"", "'a\"b'", "\"a\\nb\"", "geheim"];
    let rare = ["12345", "a=b", "host", "default", "\"\"", "\"a\\1\"", "", "a,b", "\"a\\\"b\"", "x\\012y"];
    let any = |dice: &mut Dice| match dice.is(88) {
        true => value(dice, &words),
        false => value(dice, &rare),
    };
    let (key, value) = match dice.below(15) {
        0 | 1 => (dice.one(&["username", "user"]), any(dice)),
        2 | 3 => (dice.one(&["password", "pass"]), any(dice)),
        4 => (dice.one(&["starttls", "tls"]), dice.one(&["enabled", "disabled", "disabled", "required"]).to_owned()),
        5 => ("helo", value(dice, &["web.example.net", "web", "1.example", "\"a.example\""])),
        6 => ("qualifydomain", value(dice, &["example.net", "shop.example"])),
        7 => ("force reverse_path", value(dice, &["r@example.net", "\"%u@example.org\"", "%u%%@a.example"])),
        8 => ("force sender", value(dice, &["s@example.net"])),
        9 => ("message_id", dice.one(&["enabled", "disabled"]).to_owned()),
        10 => ("certificate_passphrase", any(dice)),
        11 => ("mda", value(dice, &["\"/bin/true %T\""])),
        12 => ("hostname", format!("127.0.0.1:{port}")),
        13 if dice.is(30) => ("default", String::new()),
        13 if dice.is(20) => (dice.one(&["mystery", "identity", "force", "host"]), String::new()),
        _ => ("preconnect", "\"true\"".to_owned()),
    };
    let equals = dice.one(&["=", " = ", " ", "\t", "=", "\n="]);
    if value.is_empty() && key == "default" { key.to_owned() } else { format!("{key}{equals}{value}") }
}

fn esmtprc(dice: &mut Dice, port: u16) -> String {
    let mut text = String::new();
    let mut put = |dice: &mut Dice, line: &str| {
        let before = dice.one(&["", "", "    ", "\t"]);
        let end = match dice.below(24) {
            0 => " # a remark\n",
            1 => "\r\n",
            2 => " ",
            3 => "\n# a remark\n",
            4 => "\\\n",
            _ => "\n",
        };
        text += &format!("{before}{line}{end}");
    };
    put(dice, &format!("hostname=127.0.0.1:{port}"));
    for _ in 0..dice.below(5) {
        let line = setting(dice, port);
        put(dice, &line);
    }
    for _ in 0..dice.below(3) {
        let sender = value(dice, &SENDERS);
        put(dice, &format!("identity {sender}"));
        if dice.is(95) {
            put(dice, &format!("hostname=127.0.0.1:{port}"));
        }
        for _ in 0..dice.below(4) {
            let line = setting(dice, port);
            put(dice, &line);
        }
    }
    text
}

#[test]
fn esmtp_tells_a_server_what_the_import_says() {
    let Some(program) = need_mailer("esmtp") else { return };
    let scratch = Scratch::new();
    let (mut talks, mut refused, mut logins) = (0, 0, 0);
    for seed in 1..=files(120) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("its address").port();
        let mut dice = Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
        let text = esmtprc(&mut dice, port);
        let file = scratch.write("esmtprc", &text, 0o600);
        std::fs::set_permissions(&file, Permissions::from_mode(0o600)).expect("its mode");
        let sender = dice.one(&["me@example.net", "Me@example.net", "shop@example.org", "nobody@example.net"]);
        let ours = imported("esmtp", &file);
        let mut call = apart(&program);
        call.arg("-C").arg(&file).args(["-f", sender, "bob@example.net"]);
        let (heard, status) = talk(&mut call, listener, "Subject: x\n\nhello\n");
        let (draft, config) = match ours {
            Ok(ours) => ours,
            Err(failure) => {
                refused += 1;
                assert_eq!(status.code(), Some(78), "seed {seed}: esmtp takes it: {failure}\n{text}\n{heard:?}");
                continue;
            }
        };
        assert_ne!(status.code(), Some(78), "seed {seed}: esmtp refuses it\n{text}");
        let address = sender.parse::<Address>().expect("an address");
        // An address that is told to be misread may be another one's.
        let is_misread = |item: &Item| item.key == "identity" && item.notes().any(|(code, _)| code.word == "misread");
        if draft.ledger.items().iter().any(is_misread) {
            continue;
        }
        let sites = config.sites.iter();
        let site = sites.clone().find(|site| site.sender.iter().any(|pattern| pattern.matches(&address)));
        let site = site.or_else(|| sites.clone().find(|site| site.sender.is_empty())).expect("a site");
        let relay = &site.relays[0];
        let mut silent = Silent::of(&draft);
        let used = if heard.hello.is_empty() { None } else { Some(("127.0.0.1".to_owned(), port)) };
        silent.same(
            &["hostname", "preconnect"],
            &used.clone().unwrap_or_else(|| ("localhost".to_owned(), 25)),
            &place(relay),
        );
        if used.is_some() {
            talks += 1;
            let tls = if relay.tls == TlsMode::StartTls { "starttls" } else { "" };
            silent.same(&["starttls"], heard.tls, tls);
            if let Some(helo) = &relay.smtp().expect("SMTP").helo {
                silent.same(&["helo"], &heard.hello, helo);
            }
        }
        if !heard.sender.is_empty() {
            let secret = draft.secrets().into_iter().find(|(name, _)| *name == relay.name);
            let secret = secret.map_or(String::new(), |(_, secret)| secret.to_string());
            let login = username(relay).map(|user| (user, secret));
            logins += usize::from(login.is_some());
            silent.same(&["username", "password"], &heard.login, &login);
            let path = format!("MAIL FROM:<{sender}>");
            silent.same(&["force reverse_path"], &heard.sender, &path);
        }
        assert!(
            silent.found.is_empty(),
            "seed {seed}, {sender}: {:?}\n{text}\n{heard:?}\n{:?}",
            silent.found,
            silent.told
        );
    }
    assert!(talks > refused && logins > 5, "{talks} conversations, {logins} logins, {refused} refused");
}
