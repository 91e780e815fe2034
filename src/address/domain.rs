//! Domains: compared in one form, and outside ASCII (RFC 5891) written as A-labels, which go through every server.

use std::borrow::Cow;

use super::{Address, BadAddress};

/// `domain` with every label in ASCII; `None` where it has no such form. An ASCII domain stays as it is.
pub fn ascii_domain(domain: &str) -> Option<String> {
    if domain.is_ascii() { Some(domain.to_owned()) } else { idna::domain_to_ascii(domain).ok() }
}

/// The one form in which domains are compared: A-labels in lower case, without a final dot. However a name is
/// composed (NFC, NFD), it comes to the same labels; what has none is compared in lower case as it is.
pub fn compared_domain(domain: &str) -> Cow<'_, str> {
    let domain = domain.strip_suffix('.').unwrap_or(domain);
    if domain.bytes().all(|octet| octet.is_ascii() && !octet.is_ascii_uppercase()) {
        return Cow::Borrowed(domain);
    }
    Cow::Owned(ascii_domain(domain).unwrap_or_else(|| domain.to_owned()).to_lowercase())
}

/// The one form in which names of this host are compared: lower case, composed in one way.
pub fn compared_name(name: &str) -> String {
    match name.is_ascii() {
        true => name.to_ascii_lowercase(),
        // What makes labels of a domain one makes other names one, too.
        false => {
            let (label, result) = idna::domain_to_unicode(name);
            if result.is_ok() { label } else { name.to_lowercase() }
        }
    }
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

    #[test]
    fn one_domain_has_one_form() {
        let forms = [
            "bücher.example",
            "BÜCHER.Example",
            "bu\u{308}cher.example.",
            "xn--bcher-kva.example",
            "XN--Bcher-KVA.EXAMPLE",
        ];
        for form in forms {
            assert_eq!(compared_domain(form), "xn--bcher-kva.example", "{form}");
        }
        for form in ["Müller", "MU\u{308}LLER", "müller"] {
            assert_eq!(compared_name(form), "müller", "{form}");
        }
        assert_eq!(compared_name("CORP\\Jane Doe"), "corp\\jane doe");
        assert_eq!(compared_domain("[IPv6:2001:DB8::1]"), "[ipv6:2001:db8::1]");
        assert_eq!(compared_domain("\u{200d}\u{300}.example"), "\u{200d}\u{300}.example");
    }
}
