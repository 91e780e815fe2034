//! The time of a record, as a number.

/// `2026-11-27T09:10:00.123Z`, as records have it, in milliseconds since 1970; other forms of RFC 3339 are read, too.
pub(super) fn read(text: &[u8]) -> Option<i64> {
    usual(text).or_else(|| {
        let stamp: jiff::Timestamp = std::str::from_utf8(text).ok()?.parse().ok()?;
        Some(stamp.as_millisecond())
    })
}

/// The one form that this program writes, without a calendar: this is asked of every record.
fn usual(text: &[u8]) -> Option<i64> {
    const FORM: &[u8; 24] = b"dddd-dd-ddTdd:dd:dd.dddZ";
    let is_usual = text.len() == FORM.len()
        && text
            .iter()
            .zip(FORM)
            .all(|(octet, form)| if *form == b'd' { octet.is_ascii_digit() } else { octet == form });
    if !is_usual {
        return None;
    }
    let number =
        |range: std::ops::Range<usize>| text[range].iter().fold(0_i64, |sum, b| sum * 10 + i64::from(b - b'0'));
    let (year, month, day) = (number(0..4), number(5..7), number(8..10));
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    // Days since 1970 of the proleptic Gregorian calendar, with years that begin in March.
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let days = era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468;
    Some((((days * 24 + number(11..13)) * 60 + number(14..16)) * 60 + number(17..19)) * 1000 + number(20..23))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_time_that_the_calendar_says() {
        let mut at = jiff::Timestamp::from_second(-2_000_000_000).expect("a time");
        for step in 0..20_000_i64 {
            at += jiff::SignedDuration::from_millis(172_800_123 + step);
            let text = format!("{at:.3}");
            assert_eq!(usual(text.as_bytes()), Some(at.as_millisecond()), "{text}");
        }
        assert_eq!(read(b"1970-01-01T01:00:00+01:00"), Some(0));
        for wrong in ["", "2026", "2026-13-01T00:00:00.000Z", "2026-01-01 00:00", "2026-01-01T00:00:00.00xZ"] {
            assert_eq!(read(wrong.as_bytes()), None, "{wrong}");
        }
    }
}
