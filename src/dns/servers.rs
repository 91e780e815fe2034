//! Who is asked: the system's name servers (resolv.conf(5)), or the one named on the command line.

use std::fs::File;
use std::io::Read as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::path::Path;
use std::time::Duration;

/// Where the system's name servers are named.
const RESOLV_CONF: &str = "/etc/resolv.conf";
/// How much of it is read, in octets.
const LIMIT: u64 = 64 << 10;
/// How many of its name servers count (resolv.conf(5), MAXNS).
const COUNT: usize = 3;
const PORT: u16 = 53;

/// How long a server has for an answer where nothing is said. The system's five seconds are as long as `check` takes.
const TIMEOUT: Duration = Duration::from_secs(2);
/// How often each server is asked where nothing is said.
const ATTEMPTS: u32 = 2;

/// Name servers, and how patient one is with them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Servers {
    /// In the order to ask them; never empty.
    pub(super) addresses: Vec<SocketAddr>,
    /// How long one has for an answer.
    pub(super) timeout: Duration,
    /// How often each is asked.
    pub(super) attempts: u32,
}

impl Servers {
    /// Those of this system; one on this host where none is named.
    pub fn system() -> Self {
        let mut text = Vec::new();
        let read = File::open(Path::new(RESOLV_CONF)).and_then(|file| file.take(LIMIT).read_to_end(&mut text));
        if read.is_err() {
            text.clear();
        }
        Self::of(&String::from_utf8_lossy(&text))
    }

    /// Only this one.
    pub fn at(address: SocketAddr) -> Self {
        Self { addresses: vec![address], timeout: TIMEOUT, attempts: ATTEMPTS }
    }

    /// Those that `text` names, as resolv.conf(5) has it.
    fn of(text: &str) -> Self {
        let mut servers = Self { addresses: Vec::new(), timeout: TIMEOUT, attempts: ATTEMPTS };
        for line in text.lines() {
            let mut words = line.split_whitespace();
            match words.next() {
                Some("nameserver") if servers.addresses.len() < COUNT => {
                    servers.addresses.extend(words.next().and_then(address));
                }
                Some("options") => words.for_each(|word| servers.take(word)),
                _ => {}
            }
        }
        if servers.addresses.is_empty() {
            servers.addresses.push((Ipv4Addr::LOCALHOST, PORT).into());
        }
        servers
    }

    /// One word of `options`. A longer patience than ours is cut to it: the caller waits.
    fn take(&mut self, word: &str) {
        let number = |text: &str| text.parse::<u32>().ok();
        if let Some(seconds) = word.strip_prefix("timeout:").and_then(number) {
            self.timeout = Duration::from_secs(seconds.max(1).into()).min(TIMEOUT);
        } else if let Some(attempts) = word.strip_prefix("attempts:").and_then(number) {
            self.attempts = attempts.clamp(1, ATTEMPTS);
        }
    }
}

/// The name server that `text` names: an address, with a port if it is not the usual one (`192.0.2.1:5353`,
/// `[2001:db8::1]:5353`); `None`: it names none.
pub fn server(text: &str) -> Option<SocketAddr> {
    let given = text.parse().ok().filter(|address: &SocketAddr| address.port() != 0);
    let bare = || address(text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text));
    given.or_else(bare)
}

/// An address, of IPv6 perhaps with the interface it is reached by (RFC 4007 11).
fn address(text: &str) -> Option<SocketAddr> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Some((address, PORT).into());
    }
    let (address, interface) = text.split_once('%')?;
    let address: Ipv6Addr = address.parse().ok()?;
    let number = interface.parse().ok().or_else(|| nix::net::if_::if_nametoindex(interface).ok())?;
    Some(SocketAddrV6::new(address, PORT, 0, number).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_s_file_as_the_system_reads_it() {
        let text = "# nameserver 192.0.2.9\n; x\nsearch example\nnameserver 192.0.2.1\nnameserver\tnonsense\n\
                    nameserver fe80::1%lo\nnameserver 2001:db8::1 trailing\nnameserver 192.0.2.4\n\
                    options timeout:1 attempts:9 edns0\noptions timeout:x\n";
        let servers = Servers::of(text);
        let shown: Vec<_> = servers.addresses.iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["192.0.2.1:53", "[fe80::1%1]:53", "[2001:db8::1]:53"]);
        assert_eq!((servers.timeout, servers.attempts), (Duration::from_secs(1), ATTEMPTS));
        assert_eq!(Servers::of("").addresses, ["127.0.0.1:53".parse().unwrap()]);
        assert_eq!(Servers::of("options timeout:30 attempts:0").timeout, TIMEOUT);
        assert_eq!(Servers::of("options timeout:0 attempts:0").attempts, 1);
    }

    #[test]
    fn a_server_on_the_command_line() {
        let shown = |text| server(text).map(|address| address.to_string());
        for (text, expected) in [
            ("192.0.2.1", "192.0.2.1:53"),
            ("192.0.2.1:5353", "192.0.2.1:5353"),
            ("2001:db8::1", "[2001:db8::1]:53"),
            ("[2001:db8::1]", "[2001:db8::1]:53"),
            ("[2001:db8::1]:5353", "[2001:db8::1]:5353"),
            ("fe80::1%lo", "[fe80::1%1]:53"),
        ] {
            assert_eq!(shown(text).as_deref(), Some(expected));
        }
        for text in ["", "ns.example", "192.0.2.1:0", "192.0.2.1:99999", "[192.0.2.1", "fe80::1%nonsense"] {
            assert_eq!(shown(text), None, "{text}");
        }
    }
}
