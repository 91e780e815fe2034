//! What a copy of a message that arrived tells: who signed it under which selector, where its bounces go, and what its
//! receiver made of it. Whoever wrote the copy may have written all of it, so it decides nothing but what to look for.

use crate::address::{compared_domain, read_authors};
use crate::message::Header;

/// How many signatures and results are read.
const MOST: usize = 32;

/// What the fields of a copy tell.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Received {
    /// The domain of From, as names are compared.
    pub domain: String,
    /// Its DKIM signatures, the topmost first.
    pub signatures: Vec<Signature>,
    /// The domain of the reverse-path; `None`: there is none, or it is empty.
    pub return_path: Option<String>,
    /// Who last said what its authentication came to: the name of a server, where it gives one.
    pub receiver: Option<String>,
    /// What that one said.
    pub results: Vec<Outcome>,
    /// Whether it offers to end a subscription, and not with one click (RFC 8058).
    pub has_slow_unsubscribe: bool,
}

/// A DKIM-Signature field (RFC 6376 3.5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    /// `d=`, as names are compared.
    pub domain: String,
    /// `s=`
    pub selector: String,
}

/// What a receiver says of one method (RFC 8601 2.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// `spf`, `dkim`, `dmarc`, in lower case.
    pub method: String,
    /// `pass`, `fail`, ..., in lower case.
    pub result: String,
    /// The domain it is about, where it is named.
    pub domain: Option<String>,
}

/// Reads the header section of a copy; `None`: it has no From field with a domain.
pub fn read(header: &Header) -> Option<Received> {
    let authors = read_authors(&header.first("From")?.text());
    let author = authors.mailboxes().next()?.mailbox.spec.address().ok()?;
    let domain = compared_domain(author.domain()).into_owned();
    let signatures = header.all("DKIM-Signature").take(MOST).filter_map(|field| signature(&field.text())).collect();
    let mut received = Received { domain, signatures, ..Received::default() };
    // Every receiver puts its own above; several fields of one stand together.
    for field in header.all("Authentication-Results").take(MOST) {
        let (receiver, results) = results(&field.text());
        if !received.results.is_empty() && receiver != received.receiver {
            break;
        }
        received.receiver = receiver;
        received.results.extend(results);
    }
    let mail_from = || received.results.iter().find(|one| one.method == "spf")?.domain.clone();
    let path = header.first("Return-Path").map(|field| domain_of(field.text().trim().trim_matches(['<', '>'])));
    received.return_path = path.unwrap_or_else(mail_from);
    received.has_slow_unsubscribe =
        header.first("List-Unsubscribe").is_some() && header.first("List-Unsubscribe-Post").is_none();
    Some(received)
}

impl Received {
    /// The signatures for the domain of From, or for one above or below it: the others say nothing of it.
    pub fn own_signatures(&self) -> impl Iterator<Item = &Signature> {
        self.signatures.iter().filter(|signature| self.is_related(&signature.domain))
    }

    /// Whether a domain is that of From, above or below it.
    pub fn is_related(&self, domain: &str) -> bool {
        let is_below = |name: &str, above: &str| {
            above.contains('.') && name.strip_suffix(above).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
        };
        is_below(domain, &self.domain) || is_below(&self.domain, domain)
    }
}

fn signature(text: &str) -> Option<Signature> {
    let tags = || text.split(';').filter_map(|tag| tag.split_once('='));
    let tag = |wanted: &str| {
        let value = tags().find(|(name, _)| name.trim() == wanted)?.1;
        let value: String = value.split_whitespace().collect();
        is_name(&value).then_some(value)
    };
    Some(Signature { domain: compared_domain(&tag("d")?).into_owned(), selector: tag("s")?.to_ascii_lowercase() })
}

/// Whether a text may be a name to ask for.
fn is_name(text: &str) -> bool {
    let is_letter = |letter: char| letter.is_alphanumeric() || matches!(letter, '-' | '_' | '.');
    let mut labels = text.strip_suffix('.').unwrap_or(text).split('.');
    text.len() <= 253 && text.chars().all(is_letter) && labels.all(|label| !label.is_empty())
}

/// The domain of an address, or of a name that stands for one.
fn domain_of(text: &str) -> Option<String> {
    let domain = text.rsplit_once('@').map_or(text, |(_, domain)| domain);
    is_name(domain).then(|| compared_domain(domain).into_owned())
}

/// Who says what. Some leave out who they are (Microsoft).
fn results(text: &str) -> (Option<String>, Vec<Outcome>) {
    let plain = without_comments(text);
    let mut parts = plain.split(';').map(str::trim).peekable();
    let is_receiver = |part: &&str| !part.split_whitespace().next().unwrap_or_default().contains('=');
    let receiver = parts.next_if(is_receiver).and_then(|part| part.split_whitespace().next());
    let receiver = receiver.filter(|name| is_name(name)).map(str::to_ascii_lowercase);
    (receiver, parts.take(MOST).filter_map(outcome).collect())
}

fn outcome(part: &str) -> Option<Outcome> {
    let mut words = part.split_whitespace().filter_map(|word| word.split_once('='));
    let (method, result) = words.next()?;
    let is_word = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphabetic());
    // A version may stand behind the method.
    let method = method.split('/').next().unwrap_or(method).to_ascii_lowercase();
    let property = match method.as_str() {
        "spf" => ["smtp.mailfrom", "smtp.mail"],
        "dkim" => ["header.d", "header.i"],
        _ => ["header.from", "header.from"],
    };
    let said: Vec<(&str, &str)> = words.collect();
    let domain = property.iter().find_map(|wanted| {
        let (_, value) = said.iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted))?;
        domain_of(value.trim_matches(['"', '<', '>']))
    });
    (is_word(&method) && is_word(result)).then(|| Outcome { method, result: result.to_ascii_lowercase(), domain })
}

/// Without comments, which may stand in each other, and with `;` in quotes as a blank.
fn without_comments(text: &str) -> String {
    let (mut depth, mut is_quoted, mut is_escaped) = (0_usize, false, false);
    let mut plain = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            '"' if depth == 0 => is_quoted = !is_quoted,
            '(' if !is_quoted => depth += 1,
            ')' if !is_quoted && depth > 0 => {
                depth -= 1;
                plain.push(' ');
            }
            ';' if is_quoted => plain.push(' '),
            _ if depth == 0 => plain.push(letter),
            _ => {}
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Message;

    fn of(fields: &str) -> Option<Received> {
        read(Message::read(&mut format!("{fields}\n\nbody\n").as_bytes(), false).unwrap().header())
    }

    fn outcomes(received: &Received) -> Vec<String> {
        let shown = |one: &Outcome| format!("{}={} {}", one.method, one.result, one.domain.as_deref().unwrap_or("-"));
        received.results.iter().map(shown).collect()
    }

    #[test]
    fn a_copy_tells_its_keys_and_its_reverse_path() {
        let received = of("Return-Path: <pm_bounces+1=x=y.example@pm-bounces.Shop.example>\n\
             Authentication-Results: mx.google.com;\n       dkim=pass header.i=@shop.example header.s=20250817pm header.b=\"a;b\";\n\
             \tspf=pass (google.com: domain of a=b@x designates (all; of) it) smtp.mailfrom=pm@pm-bounces.shop.example;\n\
             \x20dmarc=pass (p=NONE sp=NONE dis=NONE) header.from=shop.example\n\
             Authentication-Results: mx.google.com; arc=none\n\
             Authentication-Results: forged.example; dkim=fail header.d=shop.example\n\
             DKIM-Signature: v=1; a=rsa-sha256; d=shop.example; s=2025\n 0817PM; b=x\n\
             DKIM-Signature: v=1; s=pm; d=pm.mtasv.net; b=x\nDKIM-Signature: v=1; d=shop.example\n\
             DKIM-Signature: v=1; s=a/../b; d=shop.example\n\
             From: Shop <orders@Shop.Example>\nList-Unsubscribe: <https://shop.example/u>")
        .unwrap();
        assert_eq!((received.domain.as_str(), received.receiver.as_deref()), ("shop.example", Some("mx.google.com")));
        assert_eq!(received.return_path.as_deref(), Some("pm-bounces.shop.example"));
        let signed: Vec<_> = received.signatures.iter().map(|one| format!("{} {}", one.selector, one.domain)).collect();
        assert_eq!(signed, ["20250817pm shop.example", "pm pm.mtasv.net"]);
        assert_eq!(received.own_signatures().count(), 1);
        let expected =
            ["dkim=pass shop.example", "spf=pass pm-bounces.shop.example", "dmarc=pass shop.example", "arc=none -"];
        assert_eq!(outcomes(&received), expected);
        assert!(received.has_slow_unsubscribe);
    }

    #[test]
    fn receivers_that_do_not_name_themselves_are_read() {
        let received = of("Authentication-Results: spf=fail (sender IP is 192.0.2.1)\n smtp.mailfrom=a.example; dkim=none\n \
             (message not signed) header.d=none;dmarc=fail action=quarantine\n header.from=shop.example;compauth=fail reason=000\n\
             From: a@shop.example")
        .unwrap();
        assert_eq!((received.receiver.as_deref(), received.return_path.as_deref()), (None, Some("a.example")));
        let expected = ["spf=fail a.example", "dkim=none none", "dmarc=fail shop.example", "compauth=fail -"];
        assert_eq!(outcomes(&received), expected);
    }

    #[test]
    fn what_is_no_copy_is_none_and_an_empty_reverse_path_no_domain() {
        assert_eq!(of("Subject: x"), None);
        assert_eq!(of("From: nobody"), None);
        let received = of("Return-Path: <>\nFrom: a@shop.example").unwrap();
        assert_eq!((received.return_path, received.has_slow_unsubscribe), (None, false));
        for nothing in [".", "..", "a..example", ".example"] {
            let fields = format!(
                "Return-Path: <a@{nothing}>\nAuthentication-Results: {nothing}; dmarc=fail header.from={nothing}"
            );
            let received = of(&format!("{fields}\nDKIM-Signature: d={nothing}; s=s\nFrom: a@shop.example")).unwrap();
            assert_eq!((received.return_path, received.receiver, received.signatures), (None, None, Vec::new()));
            assert_eq!(received.results[0].domain, None, "{nothing}");
        }
    }

    #[test]
    fn domains_above_and_below_are_related_and_endings_are_not() {
        let received = Received { domain: "mail.shop.example".to_owned(), ..Received::default() };
        for (domain, is_related) in [
            ("mail.shop.example", true),
            ("shop.example", true),
            ("a.mail.shop.example", true),
            ("example", false),
            ("other.shop.example", false),
            ("p.example", false),
        ] {
            assert_eq!(received.is_related(domain), is_related, "{domain}");
        }
    }
}
