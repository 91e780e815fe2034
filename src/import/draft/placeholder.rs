//! Values that stand for what was never filled in.

/// Whether `text` is what a template or an example has in place of a host, a name or an address.
pub fn is_placeholder(text: &str) -> bool {
    let text = text.trim();
    let lower = text.to_lowercase();
    let plain: String = lower.chars().filter(char::is_ascii_alphanumeric).collect();
    // An address literal is in brackets, too.
    let is_literal = || text.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok();
    let wrapped = |open, close| text.len() > 2 && text.starts_with(open) && text.ends_with(close);
    let is_capital_word = text.len() > 4
        && text.contains('_')
        && text.bytes().all(|b| b.is_ascii_uppercase() || b == b'_' || b.is_ascii_digit());
    wrapped('<', '>')
        || (wrapped('[', ']') && !is_literal())
        || wrapped('{', '}')
        || (wrapped('_', '_') && text.len() > 3)
        || (text.contains("${") || text.contains("{{") || text.contains("<%"))
        || (text.contains('<') && text.contains('>') && !text.contains('@'))
        || is_capital_word
        || WORDS.contains(&plain.as_str())
        || ["yourdomain", "yourhost", "yourpassword", "youruser", "yourname", "youremail", "myisp"]
            .iter()
            .any(|word| plain.contains(word))
}

/// What is written where a value is to be, letters and digits in lower case.
const WORDS: &[&str] = &[
    "changeme",
    "redacted",
    "placeholder",
    "yourpassword",
    "password",
    "passwd",
    "secret",
    "todo",
    "fixme",
    "xxx",
    "xxxx",
    "mydomain",
    "mydomaincom",
    "hostname",
    "domaintld",
    "maildomaintld",
    "username",
    "smtphost",
    "smtpserver",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_are_told_from_values() {
        for text in [
            "<password>",
            "<mail.domain.tld>",
            "${SMTP_PASS}",
            "[Google-Apps Password]",
            "changeme",
            "_HOSTNAME_",
            "MAIL_ADDRESS",
            "{{ smtp_host }}",
            "docker.${TYPE}@x",
            "user@your-domain.com",
            "MYDOMAIN",
            "HOSTNAME",
            "<REDACTED>",
        ] {
            assert!(is_placeholder(text), "{text}");
        }
        for text in [
            "smtp.gmail.com",
            "[2001:db8::25]",
            "[192.0.2.1]",
            "a<b",
            "pa$$w0rd",
            "orders@shop.example",
            "EXAMPLEsecret11",
            "EXAMPLE-SECRET-19",
            "TOKEN-48",
            "uni\\user",
            "x",
            "Ann <a@b.example>",
            "quo\"te",
        ] {
            assert!(!is_placeholder(text), "{text}");
        }
    }
}
