//! Postfix: `postconf -xn` prints what it has read, and `postmap -q` what a table has.

use std::fs::File;
use std::path::Path;
use std::time::{Duration, SystemTime};

use mailchute::config::relay::TlsMode;
use mailchute::import::draft::{Shape, Storing};
use testkit::{Scratch, apart};

use super::{Dice, Silent, files, imported, need_mailer, place, username};

fn line(dice: &mut Dice) -> String {
    let (name, value) = match dice.below(16) {
        0 | 1 => (
            "relayhost",
            dice.one(&[
                "[mail.example.net]:587",
                "[mail.example.net]",
                "mail.example.net:2525",
                "[$hub]:587",
                "$hub",
                "[192.0.2.1]:465",
            ]),
        ),
        2 | 3 => {
            ("smtp_tls_security_level", dice.one(&["none", "may", "encrypt", "verify", "secure", "dane", "$level"]))
        }
        4 => ("smtp_tls_wrappermode", dice.one(&["yes", "no"])),
        5 => ("smtp_use_tls", dice.one(&["yes", "no"])),
        6 => ("smtp_enforce_tls", dice.one(&["yes", "no"])),
        7 | 8 => ("smtp_sasl_auth_enable", dice.one(&["yes", "yes", "no", "${sasl?yes}${sasl:no}"])),
        9 => ("hub", dice.one(&["mail.example.net", "hub.example.net"])),
        10 => ("level", dice.one(&["encrypt", "may"])),
        11 => ("myhostname", dice.one(&["web.example.net", "web.$mydomain", "host.${mydomain}"])),
        12 => ("mydomain", dice.one(&["example.net", "example.org"])),
        13 => ("myorigin", dice.one(&["$mydomain", "$myhostname", "shop.example", "$(mydomain)"])),
        14 => ("sasl", dice.one(&["", "x"])),
        _ => ("smtp_helo_name", dice.one(&["helo.example.net", "$myhostname", "$$x"])),
    };
    let equals = dice.one(&[" = ", "=", " =", "= ", "\t=\t"]);
    let end = match dice.below(14) {
        0 => "\n# a remark\n",
        1 => "\n\n  # a remark in between\n",
        2 => "  \n",
        3 => "\r\n",
        _ => "\n",
    };
    // A value may begin on the next line.
    let value = if dice.is(6) { format!("\n  {value}") } else { value.to_owned() };
    format!("{name}{equals}{value}{end}")
}

fn main_cf(dice: &mut Dice, table: &Path) -> String {
    // Without a name Postfix asks DNS for its own.
    let mut text =
        String::from("myhostname = own.example.net\nmydomain = example.net\nhub = hub.example.net\nlevel = may\n");
    text += &format!("relayhost = [mail.example.net]:587\nsmtp_sasl_password_maps = texthash:{}\n", table.display());
    for _ in 0..dice.below(9) {
        text += &line(dice);
    }
    text
}

fn table(dice: &mut Dice) -> String {
    let mut text = String::new();
    for _ in 0..1 + dice.below(4) {
        let key = dice.one(&[
            "[mail.example.net]:587",
            "mail.example.net",
            "hub.example.net",
            "[hub.example.net]:587",
            "MAIL.example.net:2525",
            "[192.0.2.1]:465",
            "192.0.2.1",
            "other.example.net",
        ]);
        let value =
            dice.one(&["ann:geheim", "ann@example.net:ge:heim", "ann:a#b", "ann: x", "ann:ge heim", "ann:", "ann"]);
        let between = dice.one(&[" ", "\t", "   "]);
        let end = dice.one(&["\n", "\n", " \n", "\n# a remark\n", "\n\n"]);
        text += &format!("{key}{between}{value}{end}");
    }
    text
}

/// What is said of `file`, without the places it is from.
fn result(file: &Path) -> Option<(String, Vec<String>)> {
    let (draft, _) = imported("postfix", file).ok()?;
    let toml = draft.toml(&Shape { secrets: Storing::Inline, site: None, head: "" });
    let plain = toml.lines().map(|line| line.split("  # ").next().unwrap_or_default().trim_end()).collect::<Vec<_>>();
    let computed = draft.ledger.items().iter().filter(|item| item.notes().any(|(code, _)| code.word == "computed"));
    Some((plain.join("\n"), computed.map(|item| item.key.clone()).collect()))
}

#[test]
fn postfix_reads_its_files_as_the_import_does() {
    let (Some(postconf), Some(postmap)) = (need_mailer("postconf"), need_mailer("postmap")) else { return };
    let scratch = Scratch::new();
    // A file that is younger than a second is read until it is no longer.
    let age = |file: &Path| {
        let long_ago = SystemTime::now() - Duration::from_secs(60);
        File::options().append(true).open(file).and_then(|file| file.set_modified(long_ago)).expect("its time");
    };
    scratch.write("one/master.cf", "", 0o644);
    let passwords = scratch.join("one/sasl_passwd");
    let (mut taken, mut logins) = (0, 0);
    for seed in 1..=files(40) {
        let mut dice = Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
        let text = main_cf(&mut dice, &passwords);
        let file = scratch.write("one/main.cf", &text, 0o644);
        let rows = table(&mut dice);
        age(&scratch.write("one/sasl_passwd", &rows, 0o600));
        age(&file);
        let text = format!("{text}--\n{rows}");
        let run = |arguments: &[&str]| {
            let out = apart(&postconf).arg("-c").arg(scratch.join("one")).args(arguments).output().expect("postconf");
            String::from_utf8_lossy(&out.stdout).into_owned()
        };
        // What it has read, as plain lines, comes to the same.
        let flat = scratch.write("one/flat.cf", run(&["-xn"]).replace('$', "$$"), 0o644);
        let (ours, theirs) = (result(&file), result(&flat));
        let (Some((ours, computed)), Some((theirs, _))) = (ours, theirs) else {
            panic!("seed {seed}: it is not taken\n{text}\n{}", std::fs::read_to_string(&flat).unwrap_or_default());
        };
        if computed.is_empty() {
            assert_eq!(ours, theirs, "seed {seed}\n{text}");
        }
        taken += 1;
        let (draft, config) = imported("postfix", &file).expect("it was taken");
        let mut silent = Silent::of(&draft);
        let relay = &config.sites[0].relays[0];
        let wanted = run(&[
            "-xh",
            "relayhost",
            "smtp_tls_security_level",
            "smtp_tls_wrappermode",
            "smtp_enforce_tls",
            "smtp_use_tls",
            "smtp_sasl_auth_enable",
        ]);
        let said: Vec<&str> = wanted.split('\n').collect();
        let [hop, level, wrapper, enforce, uses, logs_in] = said[..6] else { panic!("six lines") };
        let (host, port) = match hop.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((host, port)) => (host, port.strip_prefix(':').unwrap_or("25")),
            None => hop.split_once(':').unwrap_or((hop, "25")),
        };
        silent.same(&[], &(host.to_owned(), port.parse().expect("a port")), &place(relay));
        let level = match level {
            "" if enforce == "yes" => "encrypt",
            "" if uses == "yes" => "may",
            "" => "none",
            level => level,
        };
        let tls = match level {
            "none" | "may" => TlsMode::None,
            _ if wrapper == "yes" => TlsMode::Implicit,
            _ => TlsMode::StartTls,
        };
        let about = ["smtp_tls_security_level", "smtp_use_tls", "smtp_enforce_tls", "smtp_tls_wrappermode", "tls"];
        silent.same(&about, &tls, &relay.tls);
        let find = |key: &str| {
            let table = format!("texthash:{}", passwords.display());
            let out =
                apart(&postmap).arg("-c").arg(scratch.join("one")).args(["-q", key, &table]).output().expect("postmap");
            out.status.success().then(|| String::from_utf8_lossy(&out.stdout).trim_end_matches('\n').to_owned())
        };
        let found = (logs_in == "yes").then(|| find(host).or_else(|| find(hop))).flatten();
        let theirs = found.as_deref().map(|value| value.split_once(':').unwrap_or((value, "")));
        let theirs = theirs.map(|(user, password)| (user.to_owned(), password.to_owned()));
        let secret = draft.secrets().into_iter().find(|(name, _)| *name == relay.name);
        let secret = secret.map_or(String::new(), |(_, secret)| secret.to_string());
        let login = username(relay).map(|user| (user, secret));
        logins += usize::from(login.is_some());
        silent.same(&["login", "entry"], &theirs, &login);
        assert!(silent.found.is_empty(), "seed {seed}: {:?}\n{text}\n{wanted}\n{:?}", silent.found, silent.told);
    }
    assert!(taken > 20 && logins > 3, "{taken} taken, {logins} logins");
}
