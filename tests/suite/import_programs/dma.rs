//! dma, which tells a server what it has read, or refuses its file. It reads none but `/etc/dma/dma.conf`, so the test has
//! an `/etc` of its own.

use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;
use std::process::Stdio;

use mailchute::config::relay::TlsMode;
use testkit::{Host, apart};

use super::heard::overhear;
use super::{Dice, Silent, files, imported, need_mailer, place, username};

// VERIFYCERT and FINGERPRINT came after the version of Debian 12, which refuses them.

/// uid and gid of `mail`, whose the spool is.
const MAIL: u32 = 8;

const CONF: &str = "/etc/dma/dma.conf";
const SPOOL: &str = "/var/spool/dma";

fn dma_conf(dice: &mut Dice, port: u16) -> String {
    let mut lines =
        vec!["SMARTHOST 127.0.0.1".to_owned(), format!("PORT {port}"), "AUTHPATH /etc/dma/auth.conf".to_owned()];
    for _ in 0..dice.below(6) {
        lines.push(match dice.below(14) {
            0 => "SECURETRANSFER".to_owned(),
            1 => "STARTTLS".to_owned(),
            2 => "OPPORTUNISTIC_TLS".to_owned(),
            3..=5 => "INSECURE".to_owned(),
            6 => format!("MAILNAME {}", dice.one(&["web.example.net", "mail.example.net"])),
            7 => format!("MASQUERADE {}", dice.one(&["me@shop.example", "shop.example", "@shop.example", "me@"])),
            8 => dice.one(&["NULLCLIENT", "FULLBOUNCE"]).to_owned(),
            9 => "SPOOLDIR /var/spool/dma".to_owned(),
            10 if dice.is(30) => dice.one(&["MYSTERY", "SMARTHOST", "INSECURE yes", "STARTTLS "]).to_owned(),
            11 => dice.one(&["# INSECURE", "#", "  ", "SECURETRANSFER # not"]).to_owned(),
            12 => "ALIASES /etc/aliases".to_owned(),
            _ => format!("PORT {port}"),
        });
    }
    lines.join("\n") + if dice.is(90) { "\n" } else { "" }
}

fn auth_conf(dice: &mut Dice) -> String {
    let password = dice.one(&["geheim", "ge:heim", "a#b", "ge heim", "#x", "\"q\""]);
    let user = dice.one(&["ann", "ann@example.net", "an n"]);
    let other = dice.one(&["", "", "# a remark\n", "bob|mail.example.net:other\n", "\n"]);
    let again = dice.one(&["", "", "", "eve|127.0.0.1:later\n"]);
    match dice.below(12) {
        0 => other.to_owned(),
        1 => "ann 127.0.0.1 geheim\n".to_owned(),
        _ => format!("{other}{user}|127.0.0.1:{password}\n{again}"),
    }
}

#[test]
fn dma_tells_a_server_what_the_import_says() {
    let Some(program) = need_mailer("dma") else { return };
    Host::run(&[("mail", MAIL)], |host| {
        std::fs::create_dir_all(SPOOL).expect("a directory");
        chown(SPOOL, Some(0), Some(MAIL)).expect("its group");
        std::fs::set_permissions(SPOOL, std::fs::Permissions::from_mode(0o2775)).expect("its mode");
        let (mut talks, mut refused, mut logins) = (0, 0, 0);
        for seed in 1..=files(40) {
            let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
            let port = listener.local_addr().expect("its address").port();
            let mut dice = Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
            let text = dma_conf(&mut dice, port);
            let auth = auth_conf(&mut dice);
            host.write(CONF, &text, 0o644);
            host.write("/etc/dma/auth.conf", &auth, 0o644);
            let text = format!("{text}--\n{auth}");
            let ours = imported("dma", Path::new(CONF));
            let mut call = apart(&program);
            call.args(["-D", "bob@example.net"]).stdout(Stdio::null());
            let mut status = None;
            let heard = overhear(&mut call, listener, "Subject: x\n\nhello\n", |child| status = child.wait().ok());
            for entry in std::fs::read_dir(SPOOL).expect("the spool").flatten() {
                let _ = std::fs::remove_file(entry.path());
            }
            let has_talked = !heard.hello.is_empty() || !heard.tls.is_empty();
            let (draft, config) = match ours {
                Ok(ours) => ours,
                Err(failure) => {
                    refused += 1;
                    assert!(!has_talked, "seed {seed}: dma takes it: {failure}\n{text}\n{heard:?}");
                    continue;
                }
            };
            assert!(has_talked, "seed {seed}: dma refuses it ({status:?})\n{text}");
            talks += 1;
            let mut silent = Silent::of(&draft);
            let site = &config.sites[0];
            let relay = &site.relays[0];
            silent.same(&["smarthost", "port"], &("127.0.0.1".to_owned(), port), &place(relay));
            let tls = match relay.tls {
                TlsMode::None => "",
                TlsMode::Implicit => "implicit",
                TlsMode::StartTls => "starttls",
            };
            silent.same(&["starttls", "securetransfer", "opportunistic_tls", "tls"], heard.tls, tls);
            if let Some(helo) = relay.smtp().expect("SMTP").helo.as_ref().filter(|_| heard.tls != "implicit") {
                silent.same(&["mailname"], &heard.hello, helo);
            }
            if !heard.sender.is_empty() {
                let secret = draft.secrets().into_iter().find(|(name, _)| *name == relay.name);
                let secret = secret.map_or(String::new(), |(_, secret)| secret.to_string());
                let login = username(relay).map(|user| (user, secret));
                logins += usize::from(login.is_some());
                silent.same(&["login", "insecure"], &heard.login, &login);
                let from = site.from.as_ref().map(|mailbox| {
                    format!("MAIL FROM:<{}@{}>", mailbox.spec.local, mailbox.spec.domain.as_deref().unwrap_or(""))
                });
                silent.same(&["mailname"], &Some(heard.sender.clone()), &from);
            }
            assert!(silent.found.is_empty(), "seed {seed}: {:?}\n{text}\n{heard:?}\n{:?}", silent.found, silent.told);
        }
        assert!(talks > refused && logins > 3, "{talks} conversations, {logins} logins, {refused} refused");
    });
}
