//! Domains outside ASCII (RFC 5891): as A-labels they go through every server.

use super::{Address, BadAddress};

/// `domain` with every label in ASCII; `None` where it has no such form. An ASCII domain stays as it is.
pub fn ascii_domain(domain: &str) -> Option<String> {
    if domain.is_ascii() { Some(domain.to_owned()) } else { idna::domain_to_ascii(domain).ok() }
}

/// `address` with its domain in ASCII. The local part has no such form and stays: outside ASCII it
/// needs SMTPUTF8.
///
/// # Errors
/// The domain cannot be written in ASCII.
pub fn with_ascii_domain(address: &Address) -> Result<Address, BadAddress> {
    match ascii_domain(address.domain()) {
        // Checked when the address was made, and A-labels are letters, digits and hyphens.
        Some(domain) => Ok(Address::new_dangerous(address.user(), domain)),
        None => Err(BadAddress::new(address.as_ref(), "the domain is not valid")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn domains_become_a_labels() {
        for (input, output) in [
            ("bob@bücher.example", Some("bob@xn--bcher-kva.example")),
            ("jörg@BÜCHER.example", Some("jörg@xn--bcher-kva.example")),
            ("bob@Example.ORG", Some("bob@Example.ORG")),
            ("bob@a_b.example", Some("bob@a_b.example")),
            ("bob@[192.0.2.1]", Some("bob@[192.0.2.1]")),
            ("bob@例え。テスト", Some("bob@xn--r8jz45g.xn--zckzah")),
            ("bob@\u{200d}\u{300}.example", None),
        ] {
            let (local, domain) = input.split_once('@').unwrap();
            let address = with_ascii_domain(&Address::new_dangerous(local, domain));
            assert_eq!(address.ok().map(|address| address.to_string()).as_deref(), output, "{input}");
        }
    }
}
