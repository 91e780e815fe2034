//! Imports held against the programs themselves: files are made at random, the program reads each, and what it makes of it
//! is what the import has made of it, or the import has named the setting. A difference that is not named fails the test.
//!
//! A few hundred files are made for each program; with `MAILCHUTE_IMPORTS=10000` in the environment so many. msmtp prints
//! what it has read (`-P`); ssmtp tells it to a server on loopback. `.ci/run` unpacks what cannot be installed beside a mail
//! server to `/opt/mailers`.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::thread;

use mailchute::caller::Caller;
use mailchute::config::Config;
use mailchute::config::relay::{LoginSource, Place, Relay, TlsMode, Username};
use mailchute::config::site::OtherSender;
use mailchute::failure::Failure;
use mailchute::import::Program;
use mailchute::import::draft::{Draft, Shape, Storing};
use mailchute::import::source::{Inquiry, MailUser};
use mailchute::root::Root;
use testkit::{PATIENCE, Scratch, apart, need_in};

/// A small generator of numbers (xorshift), so that a failure comes again.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).expect("31 bits") % end
    }

    fn one<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.below(of.len())]
    }

    fn is(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }
}

/// How many files are made, `usual` unless the environment says so.
fn files(usual: u64) -> u64 {
    std::env::var("MAILCHUTE_IMPORTS").ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}

fn need_mailer(program: &str) -> Option<PathBuf> {
    let own = "/opt/mailers/usr/bin:/opt/mailers/usr/sbin:/opt/mailers/usr/lib/nullmailer";
    need_in(program, &format!("{}:{own}", std::env::var("PATH").unwrap_or_default()))
}

/// The import of `file` for root, read as every message would read it.
fn imported(kind: &str, file: &Path) -> Result<(Draft, Config), Failure> {
    let root = Root::host();
    let person = MailUser { name: "root".to_owned(), uid: 0, gid: 0, home: PathBuf::from("/root") };
    let files = [file.to_owned()];
    let inquiry =
        Inquiry { root: &root, files: &files, person: &person, account: None, all: false, take: None, given: &[] };
    let draft = Program::named(kind)?.read(&inquiry)?;
    let toml = draft.toml(&Shape { secrets: Storing::Files("secrets"), site: None, head: "test" });
    let config = Config::parse(Path::new("/etc/mailchute/config.toml"), &toml, &Caller::current())?;
    Ok((draft, config))
}

/// The settings that the import has named, in lower case.
fn named(draft: &Draft) -> BTreeSet<String> {
    let items = draft.ledger.items().iter();
    items.filter(|item| item.notes().next().is_some()).map(|item| item.key.to_lowercase()).collect()
}

/// Host and port.
fn place(relay: &Relay) -> (String, u16) {
    match &relay.place {
        Place::Tcp { host, port } => (host.clone(), *port),
        Place::Unix(path) => (path.display().to_string(), 0),
    }
}

fn username(relay: &Relay) -> Option<String> {
    let name = |login: &LoginSource| match &login.username {
        Username::Given(name) => name.clone(),
        Username::Secret | Username::Read(_) => "(the secret)".to_owned(),
    };
    relay.smtp_login().map(name).filter(|name| !name.is_empty())
}

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

/// What a program told a server.
#[derive(Debug, Default, PartialEq, Eq)]
struct Heard {
    /// `implicit`, `starttls` or nothing: then the conversation ends there.
    tls: &'static str,
    hello: String,
    login: Option<(String, String)>,
    sender: String,
    recipient: String,
    from: String,
}

/// Listens for one conversation on `listener`, and takes everything.
fn hear(listener: &TcpListener) -> Heard {
    let (mut stream, _) = listener.accept().expect("a client");
    stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
    let mut heard = Heard::default();
    // A client that speaks TLS at once says something before the greeting.
    stream.set_read_timeout(Some(std::time::Duration::from_millis(60))).expect("a time-out");
    let mut first = [0; 1];
    if stream.peek(&mut first).is_ok_and(|count| count == 1 && first[0] == 22) {
        heard.tls = "implicit";
        return heard;
    }
    stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
    let mut lines = BufReader::new(stream.try_clone().expect("a second end"));
    let mut say = |text: &str| stream.write_all(text.as_bytes()).is_ok();
    say("220 mail.example.net\r\n");
    let (mut is_data, mut is_header) = (false, true);
    while let Some(line) = next(&mut lines) {
        let upper = line.to_uppercase();
        if is_data {
            match line.as_str() {
                "." => {
                    is_data = false;
                    say("250 ok\r\n");
                }
                "" => is_header = false,
                line if is_header && upper.starts_with("FROM:") => heard.from = line[5..].trim().to_owned(),
                _ => {}
            }
            continue;
        }
        let goes_on = match upper.split([' ', ':']).next().unwrap_or_default() {
            "EHLO" | "HELO" => {
                heard.hello = line[4..].trim().to_owned();
                say("250-mail.example.net\r\n250-STARTTLS\r\n250 AUTH LOGIN\r\n")
            }
            "STARTTLS" => {
                heard.tls = "starttls";
                return heard;
            }
            "AUTH" => {
                say("334 VXNlcm5hbWU6\r\n");
                let user = next(&mut lines).unwrap_or_default();
                say("334 UGFzc3dvcmQ6\r\n");
                let password = next(&mut lines).unwrap_or_default();
                heard.login = Some((base64(&user), base64(&password)));
                say("235 ok\r\n")
            }
            "MAIL" => {
                heard.sender = line.to_owned();
                say("250 ok\r\n")
            }
            "RCPT" => {
                heard.recipient = line.to_owned();
                say("250 ok\r\n")
            }
            "DATA" => {
                is_data = true;
                say("354 go\r\n")
            }
            "QUIT" => {
                say("221 bye\r\n");
                false
            }
            _ => say("250 ok\r\n"),
        };
        if !goes_on {
            break;
        }
    }
    heard
}

fn next(lines: &mut BufReader<TcpStream>) -> Option<String> {
    let mut line = Vec::new();
    lines.by_ref().take(4096).read_until(b'\n', &mut line).ok().filter(|count| *count > 0)?;
    let line = String::from_utf8_lossy(&line).into_owned();
    Some(line.strip_suffix("\r\n").map_or(line.clone(), str::to_owned))
}

fn base64(text: &str) -> String {
    let digit = |b: u8| match b {
        b'A'..=b'Z' => Some(b - b'A'),
        b'a'..=b'z' => Some(b - b'a' + 26),
        b'0'..=b'9' => Some(b - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    };
    let (mut bits, mut count, mut out) = (0_u32, 0, Vec::new());
    for value in text.bytes().filter_map(digit) {
        bits = bits << 6 | u32::from(value);
        count += 6;
        if count >= 8 {
            count -= 8;
            out.push((bits >> count & 0xff) as u8);
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

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
        let hearing = thread::spawn(move || hear(&listener));
        let mut child = apart(&program)
            .arg("-t")
            .arg(format!("-C{}", file.display()))
            .env("LD_LIBRARY_PATH", "/opt/mailers/usr/lib/x86_64-linux-gnu")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("ssmtp");
        let _ = child.stdin.take().expect("piped").write_all(b"To: bob@example.net\n\nhello\n");
        child.wait().expect("ssmtp ends");
        // One that never came is set free.
        let _ = TcpStream::connect(("127.0.0.1", port));
        let heard = hearing.join().expect("the server");
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
