//! nullmailer 2: the files of `/etc/nullmailer`, a setting each.

use super::draft::code::{CERTIFICATE, FROM_FIELD, PLACEHOLDER, PROTOCOL, QUEUE, UNKNOWN};
use super::draft::ledger::Id;
use super::draft::placeholder::is_placeholder;
use super::draft::{Draft, Said, Smarthost, Table, TlsUse, Written, secret};
use super::source::{Inquiry, MailUser, SourceFile, shown, wrong};
use super::{Importable, Program};
use crate::failure::Failure;
use crate::root::Root;

/// The line of the registry.
pub(super) const KIND: Program = Program {
    name: "nullmailer",
    title: "nullmailer",
    files: "/etc/nullmailer/remotes and the files beside it",
    find,
    read,
};

const REMOTES: &str = "/etc/nullmailer/remotes";

/// The other files that have a meaning for mail.
const OTHERS: [&str; 4] =
    ["/etc/nullmailer/adminaddr", "/etc/nullmailer/allmailfrom", "/etc/nullmailer/defaulthost", "/etc/nullmailer/me"];

fn find(root: &Root, _: &MailUser) -> Vec<Importable> {
    super::of_everybody(root, &[REMOTES, OTHERS[0], OTHERS[1], OTHERS[2], OTHERS[3]])
}

fn read(asked: &Inquiry<'_>, draft: &mut Draft) -> Result<(), Failure> {
    let remotes = asked.main(REMOTES)?;
    let file = |name: &str, draft: &mut Draft| -> Result<Option<Said<String>>, Failure> {
        let source = asked.beside(&format!("/etc/nullmailer/{name}"))?;
        Ok(source.and_then(|source| {
            let id = draft.ledger.read(&source.path, 0, name);
            let line = source.text.lines().next().unwrap_or_default().trim().to_owned();
            if line.is_empty() {
                draft.ledger.imply(id);
            }
            (!line.is_empty()).then(|| Said::new(line, id))
        }))
    };
    let me = match file("me", draft)? {
        Some(me) => me,
        None => Said::own(asked.line("/etc/mailname")?.map_or_else(|| asked.host_name(), Ok)?),
    };
    let helo = file("helohost", draft)?.unwrap_or_else(|| me.clone());
    let mut is_any = false;
    for (number, line) in remotes.text.lines().enumerate() {
        // As the program does, before it looks for quotes.
        let line = line.trim_matches(|c: char| c.is_ascii_whitespace() || c == '\x0b');
        if line.starts_with('#') {
            continue;
        }
        let words = words(line);
        if !words.is_empty() {
            is_any = true;
            remote(&remotes, number + 1, &words, &helo, draft)?;
        }
    }
    if !is_any {
        return Err(Failure { what: remotes.path.display().to_string(), ..wrong(&remotes.path, 0, "names no server") });
    }
    let host = file("defaulthost", draft)?.unwrap_or(me);
    if host.value.contains('.') || !host.from.is_empty() {
        draft.set(&Table::Top, "domain", host.value.as_str(), &host.from);
    }
    if let Some(Said { value, from }) = file("adminaddr", draft)? {
        let targets: Vec<String> =
            value.split(',').map(|word| word.trim().to_owned()).filter(|word| !word.is_empty()).collect();
        super::local::set(draft, "*", &targets, &from);
    }
    if let Some(Said { value, from }) = file("allmailfrom", draft)? {
        draft.set(&Table::Top, "from", value.as_str(), &from);
        draft.set(&Table::Top, "sender", Written::List(vec![value]), &from);
        draft.set(&Table::Top, "other_sender", "rewrite", &from);
        draft.say_all_of(
            &from,
            &FROM_FIELD,
            "nullmailer changes the envelope alone; here the From field is rewritten, too",
        );
    }
    for name in ["idhost", "defaultdomain"] {
        if let Some(Said { from, .. }) = file(name, draft)? {
            draft.drop(from[0], "names are completed with `domain` alone, and Message-IDs have the host's name");
        }
    }
    for name in ["pausetime", "maxpause", "queuelifetime", "sendtimeout", "doublebounceto"] {
        if let Some(Said { from, .. }) = file(name, draft)? {
            draft.ledger.say(from[0], &QUEUE, "it is about repeating, which on_relay_failure = \"spool\" would do");
        }
    }
    super::queue(draft, "nullmailer", "/var/spool/nullmailer/queue");
    Ok(())
}

/// One line of `remotes`: host, protocol, options.
fn remote(
    source: &SourceFile,
    number: usize,
    words: &[String],
    helo: &Said<String>,
    draft: &mut Draft,
) -> Result<(), Failure> {
    let id = draft.ledger.read(&source.path, number, "host");
    let host = words[0].clone();
    if is_placeholder(&host) {
        draft.ledger.say(id, &PLACEHOLDER, "looks like what a template has in its place");
    }
    match words.get(1).map(String::as_str) {
        None | Some("smtp") => {}
        Some(protocol) => {
            let why = format!("{} is not spoken here; the other servers are taken", shown(protocol));
            draft.ledger.say(id, &PROTOCOL, why);
            return Ok(());
        }
    }
    let name = format!("remote{}", draft.relays().len() + 1);
    let mut smarthost = Smarthost::new("nullmailer", &name, Said::new(host, id));
    // Its own name for the host is ours, too.
    if !helo.from.is_empty() {
        smarthost.more.push(("helo", Said { value: Written::from(helo.value.as_str()), from: helo.from.clone() }));
    }
    let (mut is_tls, mut is_later, mut tls_ids) = (false, false, Vec::new());
    let (mut cert, mut key) = (None, None);
    for option in &words[2.min(words.len())..] {
        let option = option.strip_prefix("--").unwrap_or(option);
        let (name, value) = option.split_once('=').unwrap_or((option, ""));
        let id = draft.ledger.read(&source.path, number, name);
        let text = || Said::new(value.to_owned(), id);
        match name {
            "port" => match value.parse::<u16>() {
                Ok(port) if port > 0 => smarthost.port = Some(Said::new(port, id)),
                _ => return Err(wrong(&source.path, number, "port is no number")),
            },
            "user" => {
                if is_placeholder(value) {
                    draft.ledger.say(id, &PLACEHOLDER, "looks like what a template has in its place");
                }
                smarthost.username = Some(text());
            }
            "pass" => {
                if is_placeholder(value) {
                    draft.ledger.say(id, &PLACEHOLDER, "looks like what a template has in its place");
                }
                smarthost.secret = Some(secret(value, id));
            }
            "auth-login" => smarthost.auth = Said::new(vec!["LOGIN".to_owned()], id),
            "auth-external" => smarthost.auth = Said::new(vec!["EXTERNAL".to_owned()], id),
            "source" => smarthost.more.push(("source", Said::new(Written::from(value), id))),
            "tls" | "ssl" => {
                is_tls = true;
                tls_ids.push(id);
            }
            "starttls" => {
                is_later = true;
                tls_ids.push(id);
            }
            "x509certfile" => cert = Some(text()),
            "x509keyfile" => key = Some(text()),
            "x509cafile" => draft.ca_file(&mut smarthost, text()),
            "insecure" => {
                let why = "nullmailer does not verify the certificate; mailchute always does. If it is the server's own, add \
                           fingerprint = \"...\" or ca_file = \"...\"";
                draft.ledger.say(id, &CERTIFICATE, why);
            }
            "x509crlfile" | "tls-anon-auth" => {
                draft.ledger.say(id, &CERTIFICATE, "certificates are verified, without a revocation list");
            }
            "x509fmtder" => draft.ledger.say(id, &CERTIFICATE, "files are PEM here: convert them"),
            _ => draft.ledger.say(id, &UNKNOWN, "nullmailer does not know it either, and refuses to send"),
        }
    }
    let tls = match (is_tls, is_later) {
        (true, _) => TlsUse::Implicit,
        (false, true) => TlsUse::StartTls,
        (false, false) => TlsUse::None,
    };
    smarthost.port = smarthost.port.or(Some(Said::own(if is_tls { 465 } else { 25 })));
    smarthost.tls = Said { value: tls, from: tls_ids };
    if let Some(cert) = cert {
        let key = key.unwrap_or_else(|| cert.clone());
        let from: Vec<Id> = [cert.from, key.from].concat();
        smarthost.more.push(("client_cert", Said { value: Written::Certificate(cert.value, key.value), from }));
    }
    if smarthost.username.is_some() && smarthost.secret.is_none() {
        smarthost.secret =
            smarthost.username.as_ref().map(|user| Said { value: Written::Wanted, from: user.from.clone() });
        draft.ledger.remark("pass", &super::draft::code::PASSWORD, format!("{name} has a user and no password"));
    }
    draft.relay(smarthost);
    Ok(())
}

/// The words of a line as nullmailer splits it: what stands behind a backslash is taken without a look at it, and so is
/// what stands behind that.
fn words(line: &str) -> Vec<String> {
    let text = line.as_bytes();
    let is_blank = |byte: u8| byte.is_ascii_whitespace() || byte == 0x0b;
    let (mut at, mut words) = (0, Vec::new());
    while at < text.len() {
        if is_blank(text[at]) {
            at += 1;
            continue;
        }
        let (mut word, mut start) = (Vec::new(), at);
        let upto = |end: usize| end.min(text.len());
        while at < text.len() && !is_blank(text[at]) {
            match text[at] {
                quote @ (b'\'' | b'"') => {
                    word.extend(&text[upto(start)..at]);
                    at += 1;
                    start = at;
                    while at < text.len() && text[at] != quote {
                        if quote == b'"' && text[at] == b'\\' {
                            word.extend(&text[upto(start)..at]);
                            at += 1;
                            word.extend(text.get(at));
                            at += 1;
                            start = at;
                        }
                        at += 1;
                    }
                    word.extend(&text[upto(start)..upto(at)]);
                    start = at + 1;
                }
                b'\\' => {
                    word.extend(&text[upto(start)..at]);
                    at += 1;
                    word.extend(text.get(at));
                    at += 1;
                    start = at;
                }
                _ => {}
            }
            at += 1;
        }
        word.extend(&text[upto(start)..upto(at)]);
        words.push(String::from_utf8_lossy(&word).into_owned());
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_split_as_the_program_splits_them() {
        for (line, split) in [
            ("a  b\tc", &["a", "b", "c"][..]),
            ("h smtp --pass='a b \\' x", &["h", "smtp", "--pass=a b \\", "x"]),
            ("\"h\" --pass=\"quo\\\"te\\\\back\"", &["h", "--pass=quo\"te\\back"]),
            ("a\\ b c", &["a b", "c"]),
            ("", &[]),
        ] {
            assert_eq!(words(line), split, "{line}");
        }
    }
}
