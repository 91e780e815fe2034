//! Host names: the system's resolver, under a deadline.

use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::mpsc;

use crate::deadline::Deadline;
use crate::failure::{Failure, Kind};
use crate::outcome::Stage;
use crate::process;

/// The addresses of `host`, in the order to try them: the resolver's (RFC 6724), the two families
/// taking turns (RFC 8305, section 4). Never empty.
///
/// # Errors
/// `NoHost`: the name does not exist or has no address. `Unavailable`: the resolver is down or silent.
pub(super) fn resolve(host: &str, port: u16, deadline: Deadline) -> Result<Vec<SocketAddr>, Failure> {
    if let Ok(ip) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(ip, port)]);
    }
    let (sender, receiver) = mpsc::channel();
    let name = host.to_owned();
    // getaddrinfo knows no deadline. The thread is left behind when it takes too long; the process is
    // about to end anyway.
    process::start("names", move || {
        let found = (name.as_str(), port).to_socket_addrs().map(Iterator::collect::<Vec<_>>);
        // Nobody listens any more once the deadline is over.
        let _ = sender.send(found);
    })
    .map_err(|error| Failure::new(Kind::System, "name lookup", format!("no thread: {error}")).at(Stage::Connect))?;
    match receiver.recv_timeout(deadline.left()) {
        Ok(Ok(found)) if found.is_empty() => Err(absent(host)),
        Ok(Ok(found)) => Ok(interleave(found)),
        Ok(Err(error)) if is_absence(&error) => Err(absent(host)),
        Ok(Err(error)) => Err(unresolved(host, &detail(&error))),
        Err(_) => Err(unresolved(host, "the resolver does not answer")),
    }
}

/// What std says about the lookup, without its preamble.
fn detail(error: &io::Error) -> String {
    let text = error.to_string();
    text.strip_prefix("failed to lookup address information: ").map_or(text.clone(), str::to_owned)
}

/// Whether the name has no address, as opposed to a resolver that could not say. std keeps only the
/// text of the getaddrinfo code: here are EAI_NONAME and EAI_NODATA of glibc, musl and the BSDs.
/// Resolver texts are not translated, because nothing in this process calls setlocale.
fn is_absence(error: &io::Error) -> bool {
    const TEXTS: [&str; 6] = [
        "Name or service not known",
        "No address associated with",
        "Name does not resolve",
        "Name has no usable address",
        "nodename nor servname provided",
        "Name could not be resolved",
    ];
    // A name with a NUL or other impossible form never reaches the resolver.
    if error.kind() == io::ErrorKind::InvalidInput {
        return true;
    }
    let text = error.to_string();
    TEXTS.iter().any(|known| text.contains(known))
}

fn absent(host: &str) -> Failure {
    Failure::new(Kind::NoHost, host, "this host name does not exist or has no address")
        .hint("check how the name is spelled, and this host's resolver (/etc/resolv.conf)")
        .at(Stage::Connect)
}

fn unresolved(host: &str, why: &str) -> Failure {
    Failure::new(Kind::Unavailable, host, format!("name lookup failed: {why}"))
        .hint("check this host's network and its resolver (/etc/resolv.conf)")
        .at(Stage::Connect)
}

fn interleave(found: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let first_is_ipv6 = found.first().is_some_and(SocketAddr::is_ipv6);
    let (leading, mut other): (Vec<_>, Vec<_>) =
        found.into_iter().partition(|address| address.is_ipv6() == first_is_ipv6);
    let mut order = Vec::with_capacity(leading.len() + other.len());
    for address in leading {
        order.push(address);
        if !other.is_empty() {
            order.push(other.remove(0));
        }
    }
    order.append(&mut other);
    order
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn families_take_turns_beginning_with_the_resolvers_first() {
        let order = |texts: &[&str]| -> Vec<String> {
            let found = texts.iter().map(|text| SocketAddr::new(text.parse().unwrap(), 465)).collect();
            interleave(found).iter().map(|address| address.ip().to_string()).collect()
        };
        assert_eq!(order(&["::1", "::2", "::3", "10.0.0.1"]), ["::1", "10.0.0.1", "::2", "::3"]);
        assert_eq!(order(&["10.0.0.1", "::1", "10.0.0.2", "::2"]), ["10.0.0.1", "::1", "10.0.0.2", "::2"]);
        assert_eq!(order(&["10.0.0.1", "::1", "::2", "::3"]), ["10.0.0.1", "::1", "::2", "::3"]);
    }

    #[test]
    fn literals_need_no_resolver_and_impossible_names_do_not_exist() {
        let deadline = Deadline::after(Duration::from_secs(5));
        assert_eq!(resolve("::1", 25, deadline).unwrap(), ["[::1]:25".parse().unwrap()]);
        assert_eq!(resolve("a\0b", 25, deadline).unwrap_err().kind, Kind::NoHost);
    }

    #[test]
    fn a_resolver_that_is_down_is_not_a_name_that_does_not_exist() {
        let text = |detail: &str| io::Error::other(format!("failed to lookup address information: {detail}"));
        assert!(is_absence(&text("Name or service not known")));
        assert!(is_absence(&text("No address associated with hostname")));
        assert!(!is_absence(&text("Temporary failure in name resolution")));
        assert!(!is_absence(&text("Try again")));
    }
}
