//! msmtp, which prints what it has read.

use std::collections::BTreeMap;
use std::path::Path;

use mailchute::config::Config;
use mailchute::config::relay::TlsMode;
use mailchute::config::site::OtherSender;
use mailchute::import::draft::Draft;
use testkit::{Scratch, apart};

use super::{Dice, files, imported, named, need_mailer, place, username};

const MSMTP: &[(&str, &[&str])] = &[
    ("port", &["25", "587", "465", "2525", "0", "x", " 587 "]),
    ("tls", &["on", "off", "", "yes"]),
    ("tls_starttls", &["on", "off"]),
    ("tls_certcheck", &["on", "off"]),
    ("tls_trust_file", &["/etc/ssl/certs/ca-certificates.crt", "system", "~/ca.pem", "/etc/own.pem"]),
    (
        "tls_fingerprint",
        &[
            "11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF:00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF:00",
            "00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF:00:11:22:33",
            "abc",
        ],
    ),
    (
        "auth",
        &["on", "off", "plain", "login", "cram-md5", "scram-sha-256", "external", "digest-md5", "xoauth2", "maybe", ""],
    ),
    ("user", &["ann", "ann@example.net", "\"ann lee\"", "an\"n", "\"", "u#x", "corp\\ann"]),
    ("password", &["geheim", "\"ge heim\"", "ge#heim", "a\\b", "\"a\"b\"", ""]),
    ("passwordeval", &["echo STUB", "\"echo STUB\""]),
    ("from", &["ann@example.net", "\"bob@example.org\"", "%U@example.net", "*@example.net", "ann", ""]),
    ("set_from_header", &["on", "off", "auto"]),
    ("allow_from_override", &["on", "off"]),
    ("domain", &["web.example.net", "localhost", "web"]),
    ("timeout", &["20", "off", "0", "9000"]),
    ("connect_timeout", &["7"]),
    ("source_ip", &["192.0.2.48", "2001:db8::1"]),
    ("proxy_host", &["127.0.0.1", "proxy.example.net"]),
    ("proxy_port", &["1080", "9050"]),
    ("protocol", &["smtp", "lmtp", "qmtp"]),
    ("logfile", &["/var/log/msmtp.log", "~/.msmtp.log", "/dev/stderr", "-", ""]),
    ("syslog", &["on", "off", "LOG_MAIL", "LOG_LOCAL3", "LOG_NEWS"]),
    ("dsn_notify", &["off", "never", "failure", "failure,delay", "soon"]),
    ("dsn_return", &["off", "headers", "full"]),
    ("undisclosed_recipients", &["on", "off"]),
    ("auto_from", &["on", "off"]),
    ("maildomain", &["example.net", ""]),
    ("tls_nocertcheck", &[""]),
    ("keepbcc", &["on"]),
    ("mystery", &["1"]),
];

fn msmtprc(dice: &mut Dice) -> String {
    let mut text = String::new();
    let end = if dice.is(10) { "\r\n" } else { "\n" };
    let mut line = |dice: &mut Dice, command: &str, argument: &str| {
        let before = if dice.is(10) { dice.one(&[" ", "\t", "   "]) } else { "" };
        let between = dice.one(&[" ", "\t", "  ", " \t "]);
        let behind = if dice.is(10) { dice.one(&[" ", "\t"]) } else { "" };
        if dice.is(5) {
            text += &format!("# {command} x{end}");
        }
        text += &format!("{before}{command}{between}{argument}{behind}{end}");
    };
    let rows = |dice: &mut Dice, count: usize, line: &mut dyn FnMut(&mut Dice, &str, &str)| {
        for _ in 0..count {
            // What msmtp refuses ends the file for both, so there is little of it.
            let (command, values) = loop {
                let row = MSMTP[dice.below(MSMTP.len())];
                if row.0 != "mystery" || dice.is(10) {
                    break row;
                }
            };
            let refused = ["0", "x", "yes", "maybe", "abc", "qmtp", "soon", "LOG_NEWS"];
            let value = loop {
                let value = dice.one(values);
                if !refused.contains(&value) || dice.is(4) {
                    break value;
                }
            };
            line(dice, command, value);
        }
    };
    if dice.is(60) {
        line(dice, "defaults", "");
        let count = dice.below(6);
        rows(dice, count, &mut line);
    }
    let name = dice.one(&["default", "shop", "a@b", "x.y"]);
    line(dice, "account", name);
    let host = dice_host(dice);
    line(dice, "host", host);
    let count = 2 + dice.below(9);
    rows(dice, count, &mut line);
    if name != "default" {
        let list = match dice.below(20) {
            0 => "default : nowhere".to_owned(),
            1 => format!("{name} : {name}"),
            2..=9 => format!("default: {name}"),
            _ => format!("default : {name}"),
        };
        line(dice, "account", &list);
        let count = dice.below(4);
        rows(dice, count, &mut line);
    }
    text
}

fn dice_host(dice: &mut Dice) -> &'static str {
    ["mail.example.net", "smtp.gmail.com", "127.0.0.1", "localhost", "smtp.sendgrid.net", "mailhog"][dice.below(6)]
}

/// What `msmtp -P` says, or the line that it refuses.
fn effective(program: &Path, file: &Path) -> Result<BTreeMap<String, String>, Option<usize>> {
    let out = apart(program).arg("-P").arg("-C").arg(file).args(["-a", "default"]).env("HOME", "/root").output();
    let out = out.expect("msmtp runs");
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    let keys: BTreeMap<String, String> =
        text.lines().filter_map(|line| line.split_once(" = ")).map(|(k, v)| (k.to_owned(), v.to_owned())).collect();
    if keys.contains_key("host") {
        return Ok(keys);
    }
    let told = String::from_utf8_lossy(&out.stderr).into_owned();
    let line = told.split_once("line ").and_then(|(_, rest)| rest.split(':').next()?.parse().ok());
    Err(line)
}

#[test]
fn msmtp_reads_its_file_as_the_import_does() {
    let Some(program) = need_mailer("msmtp") else { return };
    let scratch = Scratch::new();
    let (mut taken, mut refused) = (0, 0);
    for seed in 1..=files(250) {
        let text = msmtprc(&mut Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1));
        let file = scratch.write("msmtprc", &text, 0o600);
        let ours = imported("msmtp", &file);
        match (effective(&program, &file), ours) {
            (Ok(theirs), Ok((draft, config))) => {
                taken += 1;
                let silent = differences(&theirs, &draft, &config);
                assert!(silent.is_empty(), "seed {seed}: {silent:?}\n{text}\n{theirs:#?}\n{:?}", named(&draft));
            }
            (Err(line), Err(failure)) => {
                refused += 1;
                let ours = failure.what.rsplit_once(':').and_then(|(_, number)| number.parse().ok());
                assert!(line.is_none() || line == ours, "seed {seed}: msmtp refuses line {line:?}: {failure}\n{text}");
            }
            (Ok(_), Err(failure)) => panic!("seed {seed}: msmtp takes it: {failure}\n{text}"),
            (Err(line), Ok(_)) => panic!("seed {seed}: msmtp refuses line {line:?}\n{text}"),
        }
    }
    assert!(taken > refused, "{taken} files were taken, {refused} refused");
}

/// The settings in which both differ and of which the import has said nothing.
fn differences(theirs: &BTreeMap<String, String>, draft: &Draft, config: &Config) -> Vec<String> {
    let told = named(draft);
    let site = config.site("default").unwrap_or(&config.sites[0]);
    let relay = &site.relays[0];
    let said = |key: &str| theirs.get(key).map(String::as_str).filter(|value| *value != "(not set)");
    let mut silent = Vec::new();
    let mut same = |keys: &[&str], is_same: bool, ours: String| {
        if !is_same && !keys.iter().any(|key| told.contains(*key)) {
            silent.push(format!("{keys:?}: {:?}, ours {ours}", keys.first().and_then(|key| theirs.get(*key))));
        }
    };
    let (host, port) = place(relay);
    same(&["host"], said("host") == Some(host.as_str()), host);
    same(&["port"], said("port") == Some(port.to_string().as_str()), port.to_string());
    let tls = match (said("tls"), said("tls_starttls")) {
        (Some("on"), Some("off")) => TlsMode::Implicit,
        (Some("on"), _) => TlsMode::StartTls,
        _ => TlsMode::None,
    };
    same(&["tls", "tls_starttls"], relay.tls == tls, format!("{:?}", relay.tls));
    let smtp = relay.smtp().expect("SMTP");
    let auth: Vec<&str> = smtp.auth.iter().map(|mechanism| mechanism.name()).collect();
    let is_auth = match said("auth") {
        None | Some("none") => smtp.login.is_none(),
        Some("choose") => auth.is_empty() && smtp.login.is_some(),
        Some(method) => auth == [method],
    };
    same(&["auth"], is_auth, format!("{auth:?} {:?}", smtp.login));
    if said("auth") != Some("none") {
        same(&["user", "auth"], username(relay).as_deref() == said("user"), format!("{:?}", username(relay)));
    }
    if let Some(from) = said("from") {
        let ours = site
            .from
            .as_ref()
            .map(|mailbox| format!("{}@{}", mailbox.spec.local, mailbox.spec.domain.as_deref().unwrap_or("")));
        same(&["from", "auto_from"], ours.as_deref() == Some(from), format!("{ours:?}"));
    }
    let always = said("set_from_header") == Some("on") || said("allow_from_override") == Some("off");
    let is_rewritten = site.other_sender == OtherSender::Rewrite;
    same(
        &["set_from_header", "allow_from_override", "from", "auto_from"],
        always == is_rewritten,
        format!("{:?}", site.other_sender),
    );
    if let Some(domain) = said("domain").filter(|domain| *domain != "localhost") {
        same(&["domain"], smtp.helo.as_deref() == Some(domain), format!("{:?}", smtp.helo));
    }
    let timeout: Option<u64> =
        said("timeout").and_then(|text| text.strip_suffix(" seconds")).and_then(|text| text.parse().ok());
    if let Some(seconds) = timeout {
        same(&["timeout"], relay.connect_timeout.as_secs() == seconds, format!("{:?}", relay.connect_timeout));
    } else {
        same(&["timeout"], relay.connect_timeout.as_secs() == 20, format!("{:?}", relay.connect_timeout));
    }
    same(
        &["source_ip"],
        relay.source.map(|ip| ip.to_string()).as_deref() == said("source ip"),
        format!("{:?}", relay.source),
    );
    let proxy = relay.proxy.as_ref().map(|proxy| (proxy.host.clone(), proxy.port));
    let wanted = said("proxy host").map(|host| {
        let port = theirs.get("proxy port").and_then(|port| port.parse().ok()).filter(|port| *port != 0);
        (host.to_owned(), port.unwrap_or(1080))
    });
    same(&["proxy_host", "proxy_port"], proxy == wanted, format!("{proxy:?}"));
    same(
        &["protocol"],
        said("protocol") == Some("lmtp") || smtp.protocol == mailchute::config::relay::Protocol::Smtp,
        String::new(),
    );
    if said("tls") == Some("on") {
        let print = relay
            .fingerprint
            .map(|octets| octets.iter().map(|octet| format!("{octet:02X}")).collect::<Vec<_>>().join(":"));
        same(&["tls_fingerprint"], print.as_deref() == said("tls_fingerprint"), format!("{print:?}"));
        same(&["tls_certcheck", "tls_nocertcheck"], said("tls_certcheck") == Some("on"), "on".to_owned());
        if said("tls_fingerprint").is_none() && said("tls_certcheck") == Some("on") {
            let ours = relay.ca_file.as_ref().map(|file| file.display().to_string());
            let wanted =
                said("tls_trust_file").filter(|file| !["system", "/etc/ssl/certs/ca-certificates.crt"].contains(file));
            same(&["tls_trust_file"], ours.as_deref() == wanted, format!("{ours:?}"));
        }
    }
    for (key, off) in [("dsn_notify", "(not set)"), ("dsn_return", "(not set)"), ("undisclosed_recipients", "off")] {
        same(&[key], theirs.get(key).is_none_or(|value| value == off), "not here".to_owned());
    }
    for key in ["logfile", "syslog"] {
        same(&[key], said(key).is_none(), "a log of our own".to_owned());
    }
    silent
}
