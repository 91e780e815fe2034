//! Moments as people say them.

use jiff::civil::{Date, DateTime, Time};
use jiff::{Timestamp, ToSpan as _, Zoned};

/// The moment that `text` means to whoever lives in the zone of `now`, in milliseconds since 1970.
pub(super) fn read(text: &str, now: &Zoned) -> Option<i64> {
    let text = text.trim();
    let zone = now.time_zone().clone();
    let begin = |date: Date| date.to_zoned(zone.clone()).ok().map(|zoned| zoned.timestamp());
    let moment = match text {
        "now" => Some(now.timestamp()),
        "today" => begin(now.date()),
        "yesterday" => begin(now.date().checked_sub(1.day()).ok()?),
        _ => None,
    };
    let moment = moment
        .or_else(|| ago(text, now))
        .or_else(|| text.parse::<Timestamp>().ok())
        .or_else(|| begin(text.parse::<Date>().ok().filter(|_| text.len() <= 10)?))
        .or_else(|| Some(text.parse::<DateTime>().ok()?.to_zoned(zone.clone()).ok()?.timestamp()))
        .or_else(|| {
            let time = text.parse::<Time>().ok().filter(|_| text.contains(':'))?;
            Some(now.date().to_datetime(time).to_zoned(zone.clone()).ok()?.timestamp())
        })?;
    Some(moment.as_millisecond())
}

/// `90s`, `30m`, `2h`, `3d`, `1w`: that long ago.
fn ago(text: &str, now: &Zoned) -> Option<Timestamp> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let number: i64 = text[..digits].parse().ok()?;
    let seconds = match text[digits..].trim_start() {
        "s" => 1,
        "m" | "min" => 60,
        "h" => 3600,
        "d" => 86_400,
        "w" => 7 * 86_400,
        _ => return None,
    };
    let seconds = number.checked_mul(seconds)?;
    Timestamp::from_second(now.timestamp().as_second().checked_sub(seconds)?).ok()
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;

    use super::*;

    #[test]
    fn a_moment_is_the_one_that_is_meant_here() {
        let zone = TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").expect("a zone");
        let at = |text: &str| text.parse::<Timestamp>().expect("a time");
        let now = at("2026-11-27T09:30:00Z").to_zoned(zone);
        for (text, expected) in [
            ("2h", "2026-11-27T07:30:00Z"),
            ("90s", "2026-11-27T09:28:30Z"),
            ("3d", "2026-11-24T09:30:00Z"),
            ("now", "2026-11-27T09:30:00Z"),
            ("today", "2026-11-26T23:00:00Z"),
            ("yesterday", "2026-11-25T23:00:00Z"),
            ("2026-11-20", "2026-11-19T23:00:00Z"),
            // Summer time.
            ("2026-07-01", "2026-06-30T22:00:00Z"),
            ("2026-11-20 14:30", "2026-11-20T13:30:00Z"),
            ("2026-11-20T14:30:05", "2026-11-20T13:30:05Z"),
            ("2026-11-20T14:30:00Z", "2026-11-20T14:30:00Z"),
            ("2026-11-20T14:30:00+05:30", "2026-11-20T09:00:00Z"),
            ("08:15", "2026-11-27T07:15:00Z"),
        ] {
            assert_eq!(read(text, &now), Some(at(expected).as_millisecond()), "{text}");
        }
        for wrong in ["", "h", "2x", "2026-13-01", "tomorrow", "99999999999999999999d", "9223372036854775807w", "12"] {
            assert_eq!(read(wrong, &now), None, "{wrong}");
        }
    }
}
