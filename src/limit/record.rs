//! One admission as it is on disk: 16 octets that prove themselves.
//!
//! | Octets | Hold |
//! |---|---|
//! | 0 to 7 | when, in nanoseconds since 1970 |
//! | 8 to 13 | the recipients of this admission and all before it in the file |
//! | 14 to 15 | a check of both |
//!
//! Numbers are little-endian. Octets that a power cut left at zero are no record.

use std::time::{Duration, SystemTime};

/// Nanoseconds since 1970.
pub(super) type Time = u64;

/// How long a record is, in octets.
pub(super) const SIZE: u64 = 16;

/// One admission.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Record {
    /// When it was.
    pub(super) time: Time,
    /// The recipients of it and of all before it.
    pub(super) total: u64,
}

/// The largest total.
const TOTAL: u64 = (1 << 48) - 1;

impl Record {
    /// As it is written.
    pub(super) fn octets(self) -> [u8; SIZE as usize] {
        let total = self.total & TOTAL;
        let tail = total | u64::from(check(self.time, total)) << 48;
        (u128::from(self.time) | u128::from(tail) << 64).to_le_bytes()
    }

    /// What was written; `None`: these octets are no record.
    pub(super) fn read(octets: &[u8; SIZE as usize]) -> Option<Self> {
        let both = u128::from_le_bytes(*octets);
        let (time, tail) = (both as u64, (both >> 64) as u64);
        let total = tail & TOTAL;
        (tail >> 48 == u64::from(check(time, total))).then_some(Self { time, total })
    }
}

/// Sixteen bits that change with any of the others.
fn check(time: Time, total: u64) -> u16 {
    let mixed = (time ^ total.rotate_left(32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed >> 48) as u16 ^ 0x5a1e
}

/// Now.
pub(super) fn now() -> Time {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    nanoseconds(since)
}

/// `span` in nanoseconds.
pub(super) fn nanoseconds(span: Duration) -> Time {
    Time::try_from(span.as_nanos()).unwrap_or(Time::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_nothing_else() {
        for record in [
            Record { time: 1_800_000_000_000_000_001, total: 1 },
            Record { time: 1, total: TOTAL },
            Record { time: Time::MAX, total: 0 },
        ] {
            let octets = record.octets();
            assert_eq!(Record::read(&octets), Some(record));
            for bit in 0..128 {
                let mut torn = octets;
                torn[bit / 8] ^= 1 << (bit % 8);
                assert_ne!(Record::read(&torn), Some(record), "{bit}");
            }
        }
        assert_eq!(Record::read(&[0; 16]), None);
        assert_eq!(Record::read(&[0xff; 16]), None);
        assert_eq!(Record::read(b"# no record here"), None);
    }
}
