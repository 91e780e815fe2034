//! DER, as far as certificates and keys are looked into (X.690 8.1).

/// `INTEGER`.
pub(crate) const INTEGER: u8 = 0x02;
/// `BIT STRING`.
pub(crate) const BIT_STRING: u8 = 0x03;
/// `OBJECT IDENTIFIER`.
pub(crate) const OBJECT_IDENTIFIER: u8 = 0x06;
/// `UTCTime`.
pub(crate) const UTC_TIME: u8 = 0x17;
/// `GeneralizedTime`.
pub(crate) const GENERALIZED_TIME: u8 = 0x18;
/// `SEQUENCE`.
pub(crate) const SEQUENCE: u8 = 0x30;

/// Tag and content of the element at the start of `der`, and what follows it; `None`: there is no whole one.
pub(crate) fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&[tag, first], mut rest) = der.split_first_chunk()?;
    let length = match first {
        0..=0x7f => usize::from(first),
        // Lengths of up to four octets; no certificate is longer.
        0x81..=0x84 => {
            let (octets, behind) = rest.split_at_checked(usize::from(first & 0x7f))?;
            rest = behind;
            octets.iter().fold(0, |length, octet| length << 8 | usize::from(*octet))
        }
        _ => return None,
    };
    let (inside, rest) = rest.split_at_checked(length)?;
    Some((tag, inside, rest))
}

/// The content of the element at the start of `der`, which has this tag, and what follows it.
pub(crate) fn expect(wanted: u8, der: &[u8]) -> Option<(&[u8], &[u8])> {
    element(der).filter(|(tag, ..)| *tag == wanted).map(|(_, inside, rest)| (inside, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_read_in_both_forms() {
        let long = [&[INTEGER, 0x82, 0x01, 0x00][..], &[7; 256], &[9]].concat();
        for (der, found) in [
            (&[INTEGER, 1, 7, 9][..], Some((&[7][..], &[9][..]))),
            (&[INTEGER, 0], Some((&[], &[]))),
            (&[INTEGER, 0x81, 1, 7], Some((&[7], &[]))),
            (&long, Some((&[7; 256], &[9]))),
            (&[INTEGER, 0x84, 0, 0, 0, 1, 7], Some((&[7], &[]))),
            (&[BIT_STRING, 1, 7], None),
            (&[INTEGER, 2, 7], None),
            (&[INTEGER, 0x80, 7], None),
            (&[INTEGER, 0x85, 0, 0, 0, 0, 1, 7], None),
            (&[INTEGER, 0x84, 0xff, 0xff, 0xff, 0xff], None),
            (&[INTEGER], None),
            (&[], None),
        ] {
            assert_eq!(expect(INTEGER, der), found, "{der:x?}");
        }
    }
}
