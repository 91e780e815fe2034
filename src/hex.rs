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

/// `octets` as a UUID of `version` (RFC 9562 4).
pub fn uuid(mut octets: [u8; 16], version: u8) -> String {
    octets[6] = octets[6] & 0x0f | version << 4;
    octets[8] = octets[8] & 0x3f | 0x80;
    let digits = encode(octets);
    let [first, second, third, fourth, fifth] = [0..8, 8..12, 12..16, 16..20, 20..32].map(|range| &digits[range]);
    format!("{first}-{second}-{third}-{fourth}-{fifth}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_octet_has_two_digits() {
        assert_eq!(encode([0, 0x0f, 0xa0, 0xff]), "000fa0ff");
        assert_eq!(encode(b""), "");
    }

    #[test]
    fn a_uuid_says_its_version() {
        assert_eq!(uuid([0; 16], 4), "00000000-0000-4000-8000-000000000000");
        assert_eq!(uuid([0xff; 16], 8), "ffffffff-ffff-8fff-bfff-ffffffffffff");
    }
}
