//! When a certificate ends, read from its DER (RFC 5280 4.1). What verifies certificates does not tell.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use crate::der::{GENERALIZED_TIME, SEQUENCE, UTC_TIME, element, expect};

/// Tag of the version, which the first one leaves out.
const VERSION: u8 = 0xa0;

/// `notAfter` of the certificate; `None`: it is none.
pub(super) fn end(der: &[u8]) -> Option<Timestamp> {
    let (certificate, _) = expect(SEQUENCE, der)?;
    let (mut fields, _) = expect(SEQUENCE, certificate)?;
    if let Some((_, rest)) = expect(VERSION, fields) {
        fields = rest;
    }
    // Serial number, signature, issuer.
    for _ in 0..3 {
        (_, _, fields) = element(fields)?;
    }
    let (validity, _) = expect(SEQUENCE, fields)?;
    let (_, _, not_after) = element(validity)?;
    let (tag, digits, _) = element(not_after)?;
    let digits = std::str::from_utf8(digits).ok()?.strip_suffix('Z')?;
    let digits = match tag {
        // Two digits of the year: 1950 to 2049.
        UTC_TIME if digits.starts_with(['5', '6', '7', '8', '9']) => format!("19{digits}"),
        UTC_TIME => format!("20{digits}"),
        GENERALIZED_TIME => digits.to_owned(),
        _ => return None,
    };
    let time = DateTime::strptime("%Y%m%d%H%M%S", digits).ok()?;
    TimeZone::UTC.to_timestamp(time).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A certificate with nothing in it but a validity that ends with `tag` and `time`.
    fn certificate(version: bool, tag: u8, time: &str) -> Vec<u8> {
        let wrap = |tag: u8, inside: &[u8]| [&[tag, u8::try_from(inside.len()).unwrap()], inside].concat();
        let not_after = wrap(tag, time.as_bytes());
        let validity = wrap(SEQUENCE, &[wrap(UTC_TIME, b"240101000000Z"), not_after].concat());
        let version = if version { wrap(VERSION, &[2, 1, 2]) } else { Vec::new() };
        let fields = [version, wrap(2, &[7]), wrap(SEQUENCE, &[]), wrap(SEQUENCE, &[]), validity].concat();
        wrap(SEQUENCE, &wrap(SEQUENCE, &fields))
    }

    #[test]
    fn both_forms_of_time_are_read_and_nothing_else() {
        for (version, tag, time, end) in [
            (true, UTC_TIME, "270214120000Z", Some("2027-02-14T12:00:00Z")),
            (false, UTC_TIME, "991231235959Z", Some("1999-12-31T23:59:59Z")),
            (true, GENERALIZED_TIME, "20500101000000Z", Some("2050-01-01T00:00:00Z")),
            (true, GENERALIZED_TIME, "20501301000000Z", None),
            (true, 4, "270214120000Z", None),
            (true, UTC_TIME, "270214120000+0100", None),
        ] {
            let found = super::end(&certificate(version, tag, time)).map(|end| end.to_string());
            assert_eq!(found.as_deref(), end, "{time}");
        }
    }

    #[test]
    fn no_octets_make_it_fail() {
        let whole = certificate(true, UTC_TIME, "270214120000Z");
        for length in 0..whole.len() {
            assert_eq!(end(&whole[..length]), None);
            let mut other = whole.clone();
            other[length] = 0x84;
            let _ = end(&other);
        }
    }
}
