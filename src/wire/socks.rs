//! SOCKS5 (RFC 1928) with user name and password (RFC 1929); the proxy resolves the name.

use std::io::{self, Read, Write};
use std::net::IpAddr;

use zeroize::Zeroizing;

use crate::secret::Secret;

/// Why the proxy did not connect us.
#[derive(Debug)]
pub(super) enum Refusal {
    /// The proxy is not there any more, or silent.
    Io(io::Error),
    /// It wants other credentials.
    Login(String),
    /// It said no, or what it said is not SOCKS5.
    Said(String),
}

impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

const VERSION: u8 = 5;
const NO_LOGIN: u8 = 0;
const PASSWORD: u8 = 2;

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
    let greeting: &[u8] = if login.is_some() { &[VERSION, 2, NO_LOGIN, PASSWORD] } else { &[VERSION, 1, NO_LOGIN] };
    stream.write_all(greeting)?;
    match (octets(stream)?, login) {
        ([VERSION, NO_LOGIN], _) => {}
        ([VERSION, PASSWORD], Some((username, secret))) => authenticate(stream, username, secret)?,
        ([VERSION, _], None) => return Err(Refusal::Login("wants a user name and password".into())),
        ([VERSION, _], Some(_)) => return Err(Refusal::Login("does not take a user name and password".into())),
        _ => return Err(Refusal::Said("is not a SOCKS5 proxy".into())),
    }
    stream.write_all(&request(host, port)?)?;
    let [version, code, _, kind] = octets(stream)?;
    if version != VERSION {
        return Err(Refusal::Said("broke the SOCKS5 protocol".into()));
    }
    if code != 0 {
        return Err(Refusal::Said(refusal(code)));
    }
    // The address and port it connected from are of no use here.
    let length = match kind {
        1 => 4,
        4 => 16,
        3 => usize::from(octets::<1>(stream)?[0]),
        _ => return Err(Refusal::Said("broke the SOCKS5 protocol".into())),
    };
    stream.read_exact(&mut vec![0; length + 2])?;
    Ok(())
}

fn authenticate(stream: &mut (impl Read + Write), username: &str, secret: &Secret) -> Result<(), Refusal> {
    let too_long = || Refusal::Login("takes a user name and password of 1 to 255 octets only".into());
    let mut request = Zeroizing::new(vec![1]);
    for text in [username, secret.expose()] {
        let length = u8::try_from(text.len()).ok().filter(|&length| length > 0).ok_or_else(too_long)?;
        request.push(length);
        request.extend_from_slice(text.as_bytes());
    }
    stream.write_all(&request)?;
    match octets(stream)? {
        [_, 0] => Ok(()),
        _ => Err(Refusal::Login("refused the user name or password".into())),
    }
}

fn request(host: &str, port: u16) -> Result<Vec<u8>, Refusal> {
    let mut request = vec![VERSION, 1, 0];
    match host.parse() {
        Ok(IpAddr::V4(ip)) => {
            request.push(1);
            request.extend(ip.octets());
        }
        Ok(IpAddr::V6(ip)) => {
            request.push(4);
            request.extend(ip.octets());
        }
        Err(_) => {
            let length = u8::try_from(host.len()).map_err(|_| Refusal::Said("takes no name that long".into()))?;
            request.extend([3, length]);
            request.extend(host.bytes());
        }
    }
    request.extend(port.to_be_bytes());
    Ok(request)
}

fn octets<const N: usize>(stream: &mut impl Read) -> Result<[u8; N], Refusal> {
    let mut octets = [0; N];
    stream.read_exact(&mut octets)?;
    Ok(octets)
}

fn refusal(code: u8) -> String {
    match code {
        1 => "could not connect to the relay: general failure".into(),
        2 => "does not allow connections to the relay".into(),
        3 => "could not connect to the relay: network unreachable".into(),
        4 => "could not connect to the relay: host unreachable".into(),
        5 => "could not connect to the relay: connection refused".into(),
        6 => "could not connect to the relay: no answer".into(),
        7 => "does not make outgoing connections".into(),
        8 => "does not know this kind of address".into(),
        _ => format!("could not connect to the relay: SOCKS5 code {code}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A proxy that has already said everything it will say, and what it was told.
    struct Script {
        says: io::Cursor<Vec<u8>>,
        told: Vec<u8>,
    }

    impl Script {
        fn new(says: &[u8]) -> Self {
            Self { says: io::Cursor::new(says.to_vec()), told: Vec::new() }
        }
    }

    impl Read for Script {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.says.read(buffer)
        }
    }

    impl Write for Script {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.told.write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn the_name_goes_to_the_proxy_and_the_login_with_it() {
        let mut proxy = Script::new(b"\x05\x02\x01\x00\x05\x00\x00\x03\x03abc\x00\x19220 ");
        let secret = Secret::new("s3cret".into());
        negotiate(&mut proxy, "smtp.example.net", 587, Some(("shop", &secret))).unwrap();
        let told = b"\x05\x02\x00\x02\x01\x04shop\x06s3cret\x05\x01\x00\x03\x10smtp.example.net\x02\x4b";
        assert_eq!(proxy.told, told);
        let mut rest = String::new();
        proxy.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "220 ", "the relay's greeting is left in the stream");
    }

    #[test]
    fn addresses_go_as_addresses() {
        let mut proxy = Script::new(b"\x05\x00\x05\x00\x00\x01\x7f\x00\x00\x01\x00\x19");
        negotiate(&mut proxy, "192.0.2.7", 25, None).unwrap();
        assert_eq!(proxy.told, b"\x05\x01\x00\x05\x01\x00\x01\xc0\x00\x02\x07\x00\x19");
    }

    #[test]
    fn refusals_say_what_the_proxy_meant() {
        let said = |says: &[u8]| match negotiate(&mut Script::new(says), "a.example", 25, None) {
            Err(Refusal::Said(why) | Refusal::Login(why)) => why,
            other => panic!("{other:?}"),
        };
        assert_eq!(said(b"\x05\xff"), "wants a user name and password");
        assert_eq!(said(b"HT"), "is not a SOCKS5 proxy");
        assert_eq!(said(b"\x05\x00\x05\x05\x00\x01"), "could not connect to the relay: connection refused");
        assert!(matches!(negotiate(&mut Script::new(b"\x05"), "a.example", 25, None), Err(Refusal::Io(_))));
    }
}
