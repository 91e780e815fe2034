//! sendmail.mc, which m4 and sendmail's own macros make a sendmail.cf of.

use std::collections::BTreeMap;
use std::path::Path;

use testkit::{Scratch, apart};

use super::{Dice, Silent, files, imported, need_mailer, place};

/// Where sendmail's macros are.
const MACROS: &str = "/opt/mailers/usr/share/sendmail/cf/m4/cf.m4";

fn quoted(dice: &mut Dice, text: &str) -> String {
    match dice.below(12) {
        0 => text.to_owned(),
        1 => format!("`'`{text}'"),
        2 => format!("  `{text}'"),
        3 => format!("\n`{text}'"),
        4 => format!("``{text}''"),
        _ => format!("`{text}'"),
    }
}

fn line(dice: &mut Dice) -> String {
    let hosts = [
        "[smtp.example.net]",
        "relay.example.net",
        "[192.0.2.48]",
        "esmtp:[smtp.example.net]",
        "relay:[a.example]",
        "[a.example]:[b.example]",
        "PLACE",
        "[PLACE]",
        "smtp:relay.example.net",
        "",
    ];
    let arguments = ["TCP $h 587", "TCP $h 2525", "TCP $h", "TCP $h 465", "TCP [127.0.0.1] 2525"];
    let (name, value) = match dice.below(13) {
        0..=2 => ("SMART_HOST", dice.one(&hosts)),
        3 | 4 => ("RELAY_MAILER_ARGS", dice.one(&arguments)),
        5 => ("ESMTP_MAILER_ARGS", dice.one(&arguments)),
        6 => ("confDOMAIN_NAME", dice.one(&["web.example.net", "`web.'PLACE"])),
        7 => ("confAUTH_MECHANISMS", dice.one(&["LOGIN PLAIN", "EXTERNAL GSSAPI DIGEST-MD5 CRAM-MD5 LOGIN PLAIN"])),
        8 => ("PLACE", dice.one(&["hub.example.net", "place.example"])),
        9 => return format!("MASQUERADE_AS({})dnl", quoted(dice, "shop.example")),
        10 => return format!("FEATURE({})dnl", quoted(dice, "masquerade_envelope")),
        11 => return format!("undefine({})dnl", quoted(dice, "SMART_HOST")),
        _ => return dice.one(&["dnl define(`SMART_HOST', `[not.example]')", "EXPOSED_USER(`bin')dnl"]).to_owned(),
    };
    let (name, value) = (quoted(dice, name), quoted(dice, value));
    let before = if dice.is(6) { dice.one(&["#", "# ", "dnl ", "  "]) } else { "" };
    let behind = if dice.is(90) { "dnl" } else { dice.one(&["", "dnl a remark", " dnl", " # it is"]) };
    format!("{before}define({name}, {value}){behind}")
}

fn mc(dice: &mut Dice) -> String {
    let mut lines = vec!["divert(-1)".to_owned()];
    if dice.is(30) {
        lines.push("# define(`SMART_HOST', `[hash.example]')".to_owned());
    }
    lines.push(format!("include(`{MACROS}')dnl"));
    lines.push("OSTYPE(`linux')dnl".to_owned());
    lines.push("define(`SMART_HOST', `[first.example]')dnl".to_owned());
    for _ in 0..dice.below(7) {
        lines.push(line(dice));
    }
    lines.push("MAILER(`local')dnl".to_owned());
    lines.push("MAILER(`smtp')dnl".to_owned());
    if dice.is(20) {
        lines.push(line(dice));
    }
    if dice.is(3) {
        lines.push("define(`X', `y)".to_owned());
    }
    lines.join("\n") + "\n"
}

/// What stands in the sendmail.cf that is made; `None`: m4 refuses the file.
fn made(program: &Path, file: &Path) -> Option<BTreeMap<&'static str, String>> {
    let out = apart(program).arg(file).output().expect("m4 runs");
    if !out.status.success() {
        return None;
    }
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    let mut found = BTreeMap::new();
    let mut mailer = String::new();
    for line in text.lines() {
        for (key, name) in [("DS", "host"), ("DM", "masquerade"), ("Dj", "name"), ("O AuthMechanisms=", "mechanisms")] {
            if let Some(value) = line.strip_prefix(key) {
                found.insert(name, value.trim().to_owned());
            }
        }
        if let Some(rest) = line.strip_prefix('M') {
            mailer = rest.split(',').next().unwrap_or_default().to_owned();
        }
        if let Some(value) = line.trim().strip_prefix("A=TCP ") {
            let key = match mailer.as_str() {
                "relay" => "relay",
                "esmtp" => "esmtp",
                "smtp" => "smtp",
                _ => continue,
            };
            found.insert(key, value.to_owned());
        }
    }
    Some(found)
}

#[test]
fn sendmail_is_made_of_what_the_import_says() {
    let Some(program) = need_mailer("m4") else { return };
    assert!(Path::new(MACROS).exists(), "sendmail's macros are not in /opt/mailers");
    let scratch = Scratch::new();
    let (mut taken, mut refused) = (0, 0);
    for seed in 1..=files(60) {
        let text = mc(&mut Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1));
        let file = scratch.write("sendmail.mc", &text, 0o644);
        let (theirs, ours) = (made(&program, &file), imported("sendmail", &file));
        let host = theirs.as_ref().map(|found| found.get("host").cloned().unwrap_or_default());
        let (draft, config) = match (host.as_deref(), ours) {
            (None | Some(""), Err(_)) => {
                refused += 1;
                continue;
            }
            (None, Ok(_)) => panic!("seed {seed}: m4 refuses it\n{text}"),
            (Some(host), Err(failure)) => panic!("seed {seed}: sendmail hands mail to {host}: {failure}\n{text}"),
            (Some(_), Ok(ours)) => ours,
        };
        let theirs = theirs.expect("a file");
        taken += 1;
        let mut silent = Silent::of(&draft);
        let said = |key: &str| theirs.get(key).map_or("", String::as_str);
        let (mailer, hosts) = match said("host").split_once(':') {
            Some((mailer @ ("relay" | "esmtp" | "smtp"), hosts)) => (mailer, hosts),
            _ => ("relay", said("host")),
        };
        let words: Vec<&str> = said(mailer).split(' ').collect();
        let port: u16 = words.get(1).map_or(25, |port| port.parse().expect("a port"));
        let hosts = if words[0] == "$h" { hosts } else { words[0] };
        let hosts: Vec<(String, u16)> =
            hosts.split(':').map(|host| (host.trim_matches(['[', ']']).to_lowercase(), port)).collect();
        let site = &config.sites[0];
        let relays: Vec<_> = site.relays.iter().map(|relay| place(relay)).collect();
        silent.same(&[], &hosts, &relays);
        let smtp = site.relays[0].smtp().expect("SMTP");
        silent.same(&[], &*said("name").to_lowercase(), smtp.helo.as_deref().unwrap_or(""));
        let own = mailchute::host::name();
        let domain = if said("masquerade").is_empty() { own.as_str() } else { said("masquerade") };
        silent.same(&[], domain, site.domain.as_deref().unwrap_or(""));
        assert!(silent.found.is_empty(), "seed {seed}: {:?}\n{text}\n{theirs:#?}\n{:?}", silent.found, silent.told);
    }
    assert!(taken > refused, "{taken} files were taken, {refused} refused");
}
