//! Octets as hexadecimal digits.

use std::fmt::Write as _;

/// Two lower-case digits for each octet.
pub fn encode(octets: impl AsRef<[u8]>) -> String {
    let octets = octets.as_ref();
    octets.iter().fold(String::with_capacity(2 * octets.len()), |mut digits, octet| {
        let _ = write!(digits, "{octet:02x}");
        digits
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_octet_has_two_digits() {
        assert_eq!(encode([0, 0x0f, 0xa0, 0xff]), "000fa0ff");
        assert_eq!(encode(b""), "");
    }
}
