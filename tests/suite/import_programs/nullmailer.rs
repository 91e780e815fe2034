//! nullmailer, which tells a server what it has read.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Stdio;

use mailchute::config::relay::TlsMode;
use mailchute::import::draft::ledger::Item;
use testkit::{Scratch, apart};

use super::heard::{Heard, overhear};
use super::{Dice, Silent, files, imported, need_mailer, place, username};

// auth-external came after the version of Debian 12, which refuses it.

/// A word as a line of `remotes` may have it.
fn word(dice: &mut Dice, text: &str) -> String {
    match dice.below(8) {
        0 => format!("'{text}'"),
        1 => format!("\"{text}\""),
        2 => text.replace(' ', "\\ "),
        3 => format!("\"{}\"", text.replace('a', "\\a")),
        4 => format!("{}'{}'", &text[..1], &text[1..]),
        _ => format!("'{text}'"),
    }
}

fn remotes(dice: &mut Dice, port: u16) -> String {
    let mut text = String::new();
    if dice.is(20) {
        text += dice.one(&["# a remark\n", "\n", "   \n", "#127.0.0.1 smtp port=1\n", "  # 127.0.0.1 smtp\n"]);
    }
    let host = word(dice, "127.0.0.1");
    text += dice.one(&["", "", "", " ", "\t"]);
    text += &format!("{host} {}", dice.one(&["smtp", "smtp", "'smtp'", "smtp "]));
    let mut options = vec![format!("port={port}")];
    for _ in 0..dice.below(5) {
        let values = ["ann", "a b", "corp\\ann", "a#b", "a=b", "a'b", "q\"q", "a\\\\b"];
        options.push(match dice.below(12) {
            0..=2 => format!("user={}", dice.one(&values)),
            3..=5 => format!("pass={}", dice.one(&values)),
            6 => "starttls".to_owned(),
            7 => dice.one(&["tls", "ssl"]).to_owned(),
            8 => "auth-login".to_owned(),
            9 => {
                dice.one(&["insecure", "x509cafile=/etc/ssl/certs/ca-certificates.crt", "source=127.0.0.1"]).to_owned()
            }
            10 if dice.is(20) => dice.one(&["mystery", "mystery=1"]).to_owned(),
            _ => format!("port={port}"),
        });
    }
    for option in options {
        let dashes = dice.one(&["", "--"]);
        // As it is, or in quotes that fit.
        let option = match dice.below(5) {
            0 if !option.contains('\'') => format!("'{dashes}{option}'"),
            1 if !option.contains(['"', '\\']) => format!("\"{dashes}{option}\""),
            2 => match option.split_once('=') {
                Some((name, value)) if !value.contains('\'') => format!("{dashes}{name}='{value}'"),
                _ => format!("{dashes}{option}"),
            },
            _ => format!("{dashes}{option}"),
        };
        text += &format!("{}{option}", dice.one(&[" ", " ", "  ", "\t"]));
    }
    text += dice.one(&["\n", "\n", "", " \n", "\nother.example.net smtp --port=25\n", "\r\n"]);
    text
}

/// What nullmailer says of one message that waits.
fn heard(program: &Path, prefix: &Scratch, listener: TcpListener) -> Heard {
    prefix.write("queue/queue/1", "a@example.net\nbob@example.net\n\nSubject: x\n\nhello\n", 0o666);
    let mut call = apart(program);
    call.env("NULLMAILER_TEST_PREFIX", prefix.path()).env("LD_LIBRARY_PATH", "/opt/mailers/usr/lib/x86_64-linux-gnu");
    // It goes on for ever; one look at the queue is enough.
    overhear(call.stdout(Stdio::piped()), listener, "", |child| {
        let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        for line in lines.map_while(Result::ok) {
            if line.starts_with("Delivery complete") {
                break;
            }
        }
    })
}

#[test]
fn nullmailer_tells_a_server_what_the_import_says() {
    let (Some(program), Some(_)) = (need_mailer("nullmailer-send"), need_mailer("smtp")) else { return };
    let prefix = Scratch::new();
    for directory in ["conf", "queue/queue", "queue/tmp", "queue/failed"] {
        std::fs::create_dir_all(prefix.join(directory)).expect("a directory");
    }
    symlink("/opt/mailers/usr/lib/nullmailer", prefix.join("protocols")).expect("a link");
    nix::unistd::mkfifo(&prefix.join("queue/trigger"), nix::sys::stat::Mode::from_bits_truncate(0o666))
        .expect("a pipe");
    prefix.write("mailname", "mail.example.net\n", 0o644);
    let (mut talks, mut logins) = (0, 0);
    for seed in 1..=files(40) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("its address").port();
        let mut dice = Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
        let text = remotes(&mut dice, port);
        let file = prefix.write("conf/remotes", &text, 0o644);
        let helo = prefix.join("conf/helohost");
        let _ = std::fs::remove_file(&helo);
        if dice.is(30) {
            prefix.write("conf/helohost", "helo.example.net\n", 0o644);
        }
        let ours = imported("nullmailer", &file);
        let heard = heard(&program, &prefix, listener);
        let has_talked = !heard.hello.is_empty() || !heard.tls.is_empty();
        let (draft, config) = match ours {
            Ok(ours) => ours,
            Err(failure) => {
                assert!(!has_talked, "seed {seed}: nullmailer takes it: {failure}\n{text}\n{heard:?}");
                continue;
            }
        };
        let mut silent = Silent::of(&draft);
        let relay = &config.sites[0].relays[0];
        if !has_talked {
            let is_named = |item: &Item| item.file.is_some() && item.notes().any(|(code, _)| code.must_be_accepted);
            let told = draft.ledger.items().iter().any(is_named);
            assert!(told, "seed {seed}: nullmailer says nothing\n{text}\n{:?}", silent.told);
            continue;
        }
        talks += 1;
        silent.same(&["host", "port"], &("127.0.0.1".to_owned(), port), &place(relay));
        let tls = match relay.tls {
            TlsMode::None => "",
            TlsMode::Implicit => "implicit",
            TlsMode::StartTls => "starttls",
        };
        silent.same(&["starttls", "tls", "ssl"], heard.tls, tls);
        if heard.tls != "implicit"
            && let Some(helo) = &relay.smtp().expect("SMTP").helo
        {
            silent.same(&[], &heard.hello, helo);
        }
        if !heard.sender.is_empty() {
            let secret = draft.secrets().into_iter().find(|(name, _)| *name == relay.name);
            let secret = secret.map_or(String::new(), |(_, secret)| secret.to_string());
            let login = username(relay).map(|user| (user, secret));
            logins += usize::from(login.is_some());
            silent.same(&["user", "pass"], &heard.login, &login);
        }
        assert!(silent.found.is_empty(), "seed {seed}: {:?}\n{text}\n{heard:?}\n{:?}", silent.found, silent.told);
    }
    assert!(talks > 20 && logins > 3, "{talks} conversations, {logins} logins");
}
