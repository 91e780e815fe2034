//! An HTTP proxy's CONNECT (RFC 9110 9.3.6); the proxy resolves the name.

use std::io::{Read, Write};

use base64::Engine as _;
use zeroize::Zeroizing;

use super::socks::Refusal;
use crate::reply::printable;
use crate::secret::Secret;

/// How long the proxy's answer may be, in octets.
const LIMIT: usize = 8 << 10;

/// Asks the proxy at the other end of `stream` to connect to `host`, a name or an address. Afterwards
/// the stream leads there; not one octet beyond the proxy's answer has been read.
///
/// # Errors
/// The proxy refused, is gone, or is none.
pub(super) fn negotiate(
    stream: &mut (impl Read + Write),
    host: &str,
    port: u16,
    login: Option<(&str, &Secret)>,
) -> Result<(), Refusal> {
    let place = if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
    let mut request = Zeroizing::new(format!("CONNECT {place} HTTP/1.1\r\nHost: {place}\r\n"));
    if let Some((username, secret)) = login {
        let pair = Zeroizing::new(format!("{username}:{}", secret.expose()));
        request.push_str("Proxy-Authorization: Basic ");
        request.push_str(&base64::engine::general_purpose::STANDARD.encode(pair.as_bytes()));
        request.push_str("\r\n");
    }
    request.push_str("\r\n");
    stream.write_all(request.as_bytes())?;
    let head = head(stream)?;
    let line = head.split(|&octet| octet == b'\r').next().unwrap_or_default();
    let line = printable(line, 200);
    let status = line.strip_prefix("HTTP/1.").and_then(|rest| rest.get(2..5)).and_then(|code| code.parse::<u16>().ok());
    match status {
        Some(200..=299) => Ok(()),
        Some(407) if login.is_none() => Err(Refusal::Login("wants a user name and password".into())),
        Some(407) => Err(Refusal::Login("refused the user name or password".into())),
        Some(_) => Err(Refusal::Said(format!("does not connect to {place}: {line}"))),
        None => Err(Refusal::Said("is not an HTTP proxy".into())),
    }
}

/// The answer's header section, octet by octet, because what follows it is not the proxy's.
fn head(stream: &mut impl Read) -> Result<Vec<u8>, Refusal> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut octet = [0];
        stream.read_exact(&mut octet)?;
        head.push(octet[0]);
        if head.len() > LIMIT {
            return Err(Refusal::Said("is not an HTTP proxy".into()));
        }
    }
    Ok(head)
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    /// A proxy that has already said everything it will say, and what it was told.
    struct Script(io::Cursor<Vec<u8>>, Vec<u8>);

    impl Read for Script {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.0.read(buffer)
        }
    }

    impl Write for Script {
        fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
            self.1.write(octets)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn ask(says: &str, login: Option<(&str, &Secret)>) -> (Result<(), Refusal>, String, String) {
        let mut proxy = Script(io::Cursor::new(says.as_bytes().to_vec()), Vec::new());
        let result = negotiate(&mut proxy, "api.example.com", 443, login);
        let mut rest = String::new();
        proxy.read_to_string(&mut rest).unwrap();
        (result, String::from_utf8(proxy.1).unwrap(), rest)
    }

    #[test]
    fn a_tunnel_begins_where_the_answer_ends() {
        let secret = Secret::new("pass".into());
        let (result, told, rest) = ask("HTTP/1.0 200 Established\r\nVia: x\r\n\r\n\x16\x03", Some(("user", &secret)));
        result.unwrap();
        assert_eq!(
            told,
            "CONNECT api.example.com:443 HTTP/1.1\r\nHost: api.example.com:443\r\n\
             Proxy-Authorization: Basic dXNlcjpwYXNz\r\n\r\n"
        );
        assert_eq!(rest, "\x16\x03");
    }

    #[test]
    fn refusals_say_what_the_proxy_said() {
        for (says, why) in [
            ("HTTP/1.1 407 Auth\r\n\r\n", "wants a user name and password"),
            ("HTTP/1.1 403 Forbidden\r\n\r\n", "does not connect to api.example.com:443: HTTP/1.1 403 Forbidden"),
            ("220 mx ESMTP\r\n\r\n", "is not an HTTP proxy"),
        ] {
            let (Refusal::Said(text) | Refusal::Login(text)) = ask(says, None).0.unwrap_err() else { panic!("{says}") };
            assert_eq!(text, why);
        }
    }
}
