//! Where an alert is posted to: a URL that is a secret as a whole, taken apart.

use std::fmt;

use crate::config::relay::{Place, TlsMode, is_loopback};
use crate::config::url::host_and_port;
use crate::secret::Secret;

/// A URL: what a connection needs in the open, and the rest out of sight.
#[derive(Clone)]
pub struct Target {
    /// Host in lower case, and port.
    pub place: Place,
    /// When TLS begins.
    pub tls: TlsMode,
    /// Scheme, host and port as they are written; may be shown.
    pub origin: String,
    /// From the slash on, without a query; `/` where there is none.
    pub path: Secret,
    /// Behind the question mark; may be empty.
    pub query: Secret,
}

impl Target {
    /// Reads the URL `text`.
    ///
    /// # Errors
    /// Says what is wrong without quoting anything of it.
    pub fn read(text: &str) -> Result<Self, &'static str> {
        let text = text.trim();
        let (scheme, rest) = text.split_once("://").ok_or("is not a URL such as https://hooks.example.com/...")?;
        let is_plain =
            |b: u8| b.is_ascii_graphic() && !matches!(b, b'\\' | b'"' | b'<' | b'>' | b'^' | b'`' | b'{' | b'|' | b'}');
        if !rest.bytes().all(is_plain) {
            return Err("holds a character that no URL has");
        }
        let rest = rest.split('#').next().unwrap_or_default();
        let (authority, behind) = rest.find(['/', '?']).map_or((rest, ""), |at| rest.split_at(at));
        if authority.contains('@') {
            return Err("holds a user name, which belongs into no URL; write \"token\" beside it");
        }
        let (path, query) = behind.split_once('?').unwrap_or((behind, ""));
        let (host, port) = host_and_port(authority)?;
        let host = host.to_ascii_lowercase();
        if host.is_empty() {
            return Err("names no host");
        }
        let scheme = scheme.to_ascii_lowercase();
        let (tls, usual) = match scheme.as_str() {
            "https" => (TlsMode::Implicit, 443),
            "http" if is_loopback(&host) => (TlsMode::None, 80),
            "http" => return Err("would be sent unencrypted: write https://"),
            _ => return Err("is not an https:// URL"),
        };
        Ok(Self {
            origin: format!("{scheme}://{}", authority.to_ascii_lowercase()),
            place: Place::Tcp { host, port: port.unwrap_or(usual) },
            tls,
            path: Secret::new(if path.is_empty() { "/".to_owned() } else { path.to_owned() }),
            query: Secret::new(query.to_owned()),
        })
    }

    /// The host.
    pub fn host(&self) -> &str {
        match &self.place {
            Place::Tcp { host, .. } => host,
            Place::Unix(_) => "",
        }
    }
}

/// Without what is behind the host.
impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Target({}/***)", self.origin)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_taken_apart_as_it_is_written() {
        let target = Target::read(" HTTPS://Prod.Logic.Azure.com:443/workflows/a%2Fb?sig=x%20&sv=1#z \n").unwrap();
        assert_eq!(
            (target.host(), target.origin.as_str()),
            ("prod.logic.azure.com", "https://prod.logic.azure.com:443")
        );
        assert_eq!((target.path.expose(), target.query.expose()), ("/workflows/a%2Fb", "sig=x%20&sv=1"));
        assert_eq!(format!("{target:?}"), "Target(https://prod.logic.azure.com:443/***)");
        let target = Target::read("http://[::1]:8080?a").unwrap();
        assert_eq!((target.tls, target.path.expose(), target.query.expose()), (TlsMode::None, "/", "a"));
        assert_eq!(target.place, Place::Tcp { host: "::1".to_owned(), port: 8080 });
    }

    #[test]
    fn what_is_no_such_url_is_told_without_a_word_of_it() {
        for text in [
            "secret",
            "https://",
            "https:///secret",
            "ftp://example.com/secret",
            "http://example.com/secret",
            "https://user:secret@example.com/",
            "https://example.com:secret/",
            "https://[::1/secret",
            "https://example.com/sec ret",
            "https://example.com/{secret}",
            "https://example.com/s\u{e9}cret",
        ] {
            assert!(!Target::read(text).unwrap_err().contains("secret"), "{text}");
        }
    }
}
