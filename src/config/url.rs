//! URLs as `MAILCHUTE_URL`, `MAILER_DSN` and `proxy` write them.

use zeroize::Zeroizing;

/// `scheme://user:password@host:port/path?query`, percent-decoded. There is no `Debug`: it holds secrets.
pub(crate) struct Url {
    /// In lower case.
    pub(crate) scheme: String,
    /// User name or key, where there is one.
    pub(crate) username: Option<String>,
    /// Password, where there is one.
    pub(crate) password: Option<Zeroizing<String>>,
    /// Name or address, without brackets; may be empty.
    pub(crate) host: String,
    /// Port, where there is one.
    pub(crate) port: Option<u16>,
    /// From the slash on; may be empty.
    pub(crate) path: String,
    /// Settings in order.
    pub(crate) query: Vec<(String, String)>,
}

impl Url {
    /// Reads `text`.
    ///
    /// # Errors
    /// Says what is wrong without quoting anything.
    pub(crate) fn parse(text: &str) -> Result<Self, &'static str> {
        let (scheme, rest) = text.split_once("://").ok_or("is not a URL: \"://\" is missing")?;
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.');
        if scheme.is_empty() || !scheme.bytes().all(plain) {
            return Err("has no valid scheme");
        }
        // User name and password end at the last @ before the query, so that those with a raw @ or /
        // work although they should have been encoded.
        let at = rest.split('?').next().unwrap_or_default().rfind('@');
        let (user, rest) = at.map_or((None, rest), |at| (Some(&rest[..at]), &rest[at + 1..]));
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, path) = rest.find('/').map_or((rest, ""), |slash| rest.split_at(slash));
        let (host, port) = host_and_port(authority)?;
        let (username, password) = match user.map(|user| user.split_once(':').unwrap_or((user, ""))) {
            Some((username, password)) => (decode(username)?, decode(password)?),
            None => (String::new(), String::new()),
        };
        let mut settings = Vec::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            // Behind a raw ? this may be the rest of a password, which an error about it must not quote.
            if !key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
                return Err("has a setting that is not a name; write ? and @ in a password as %3F and %40");
            }
            settings.push((key.to_owned(), decode(value)?));
        }
        Ok(Self {
            scheme: scheme.to_ascii_lowercase(),
            username: (!username.is_empty()).then_some(username),
            password: (!password.is_empty()).then(|| Zeroizing::new(password)),
            host: decode(host)?,
            port,
            path: decode(path)?,
            query: settings,
        })
    }
}

/// The host, perhaps with the port, that `authority` names, the user name before it taken off.
///
/// # Errors
/// Says what is wrong without quoting anything.
pub(super) fn host_and_port(authority: &str) -> Result<(&str, Option<u16>), &'static str> {
    let (host, port) = match authority.strip_prefix('[').map(|v6| v6.split_once(']')) {
        Some(Some((host, port))) => (host, port),
        Some(None) => return Err("has an address without \"]\""),
        None => authority.find(':').map_or((authority, ""), |colon| authority.split_at(colon)),
    };
    let port = match port.strip_prefix(':') {
        Some(digits) => Some(digits.parse().map_err(|_| "has no valid port")?),
        None if port.is_empty() => None,
        None => return Err("has no valid port"),
    };
    Ok((host, port))
}

/// Percent-decoding. `+` stays: passwords hold it more often than a space.
fn decode(text: &str) -> Result<String, &'static str> {
    let mut octets = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        let (b'%', [high, low, tail @ ..]) = (first, tail) else {
            octets.push(*first);
            continue;
        };
        let digit = |b: &u8| char::from(*b).to_digit(16).map(|d| d as u8);
        match (digit(high), digit(low)) {
            (Some(high), Some(low)) => {
                octets.push(high << 4 | low);
                rest = tail;
            }
            _ => octets.push(*first),
        }
    }
    String::from_utf8(octets).map_err(|_| "holds an escape that is not UTF-8")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_is_found() {
        let url = Url::parse("postmark+SMTP://us%40er:p%3Aw%2F@[::1]:2525/a?tls=none&helo=x%26y").unwrap();
        assert_eq!((url.scheme.as_str(), url.host.as_str(), url.port), ("postmark+smtp", "::1", Some(2525)));
        assert_eq!((url.username.as_deref(), url.password.unwrap().as_str()), (Some("us@er"), "p:w/"));
        assert_eq!(url.query, [("tls".into(), "none".into()), ("helo".into(), "x&y".into())]);
        assert_eq!(url.path, "/a");
    }

    #[test]
    fn careless_passwords_work() {
        let url = Url::parse("smtp://a@b.example:p@s/s%w+rd@mx.example").unwrap();
        assert_eq!((url.username.as_deref(), url.password.unwrap().as_str()), (Some("a@b.example"), "p@s/s%w+rd"));
        assert_eq!(url.host, "mx.example");
    }

    #[test]
    fn errors_quote_nothing() {
        for text in [
            "secret",
            "://secret",
            "smtp://u:secret@host:99999",
            "smtp://u:secret@[::1",
            "smtp://u:1?secret@h",
            "smtp://u:%ff@h",
        ] {
            assert!(!Url::parse(text).err().unwrap().contains("secret"), "{text}");
        }
    }
}
