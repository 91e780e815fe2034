//! sSMTP, which tells a server what it has read.

use std::net::TcpListener;

use mailchute::config::relay::TlsMode;
use testkit::{Scratch, apart};

use super::heard::talk;
use super::{Dice, files, imported, named, need_mailer, place, username};

fn ssmtp_conf(dice: &mut Dice, port: u16) -> String {
    let mut lines: Vec<String> = vec![match dice.below(3) {
        0 => format!("mailhub=127.0.0.1\nRemotePort={port}"),
        1 => format!("MailHub=127.0.0.1:{port}"),
        _ => format!("mailhub=127.0.0.1:{port}"),
    }];
    for _ in 0..2 + dice.below(7) {
        let equals = if dice.is(4) { " = " } else { "=" };
        let behind = if dice.is(6) { dice.one(&[" # x", "#x", " ", "\t", "\r"]) } else { "" };
        let (key, value) = match dice.below(10) {
            0 => ("AuthUser", dice.one(&["ann", "ann@example.net", "an=n", "an n", "'ann'"])),
            1 | 2 => ("AuthPass", dice.one(&["geheim", "a=b", "a#b", "a b", "\"q\"", "a:b"])),
            3 => ("hostname", dice.one(&["web.example.net", "web"])),
            4 => ("rewriteDomain", dice.one(&["example.net", "shop.example"])),
            5 => ("FromLineOverride", dice.one(&["YES", "NO", "yes"])),
            6 => ("UseTLS", dice.one(&["YES", "NO"])),
            7 => ("UseSTARTTLS", dice.one(&["YES", "NO"])),
            8 => ("AuthMethod", dice.one(&["LOGIN", "login"])),
            _ => ("Debug", "NO"),
        };
        let first = if dice.is(3) { " " } else { "" };
        lines.push(format!("{first}{key}{equals}{value}{behind}"));
    }
    let end = if dice.is(90) { "\n" } else { "" };
    format!("{}{end}", lines.join("\n"))
}

#[test]
fn ssmtp_tells_a_server_what_the_import_says() {
    let Some(program) = need_mailer("ssmtp") else { return };
    let scratch = Scratch::new();
    let mut talks = 0;
    for seed in 1..=files(60) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("its address").port();
        let text = ssmtp_conf(&mut Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1), port);
        let file = scratch.write("ssmtp.conf", &text, 0o644);
        let (draft, config) =
            imported("ssmtp", &file).unwrap_or_else(|failure| panic!("seed {seed}: {failure}\n{text}"));
        let told = named(&draft);
        let relay = &config.sites[0].relays[0];
        if place(relay) != ("127.0.0.1".to_owned(), port) {
            assert!(told.contains("mailhub") || told.contains("remoteport"), "seed {seed}: {:?}\n{text}", place(relay));
            continue;
        }
        let mut call = apart(&program);
        call.arg("-t").arg(format!("-C{}", file.display()));
        call.env("LD_LIBRARY_PATH", "/opt/mailers/usr/lib/x86_64-linux-gnu");
        let (heard, _) = talk(&mut call, listener, "To: bob@example.net\n\nhello\n");
        let mut silent = Vec::new();
        let mut same = |keys: &[&str], is_same: bool, what: String| {
            if !is_same && !keys.iter().any(|key| told.contains(*key)) {
                silent.push(format!("{keys:?}: {what}"));
            }
        };
        let ours = match relay.tls {
            TlsMode::None => "",
            TlsMode::Implicit => "implicit",
            TlsMode::StartTls => "starttls",
        };
        same(&["usetls", "usestarttls", "tls"], heard.tls == ours, format!("{:?}, ours {ours:?}", heard.tls));
        if heard.tls.is_empty() && !heard.sender.is_empty() {
            talks += 1;
            let secret = draft.secrets().first().map_or(String::new(), |(_, secret)| secret.to_string());
            let login = username(relay).map(|user| (user, secret));
            same(&["authuser", "authpass"], heard.login == login, format!("{:?}, ours {login:?}", heard.login));
            let from = config.sites[0].from.as_ref();
            let from = from.map(|mailbox| {
                format!("MAIL FROM:<{}@{}>", mailbox.spec.local, mailbox.spec.domain.as_deref().unwrap_or(""))
            });
            same(
                &["rewritedomain", "hostname"],
                Some(&heard.sender) == from.as_ref(),
                format!("{:?}, ours {from:?}", heard.sender),
            );
            if let Some(helo) = &relay.smtp().expect("SMTP").helo {
                same(&["hostname"], heard.hello == *helo, format!("{:?}, ours {helo:?}", heard.hello));
            }
        }
        assert!(silent.is_empty(), "seed {seed}: {silent:?}\n{text}\n{heard:?}\n{told:?}");
    }
    assert!(talks > 5, "only {talks} conversations came to a sender");
}
