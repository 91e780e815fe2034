//! What is remembered of all relays, as it is on disk: [`SLOTS`] slots of 64 octets, each on its own.
//!
//! | Octets | Hold |
//! |---|---|
//! | 0 to 15 | whose slot it is: [`Name`] |
//! | 16 | the version of this form, 1 |
//! | 17 to 19 | what was wrong, and its code |
//! | 20 to 22 | troubles in a row (2), openings in a row |
//! | 24 to 55 | since, failed at, until, probed until: milliseconds since 1970 |
//! | 56 to 59 | the stamp of configuration and secrets |
//! | 60 to 63 | CRC-32 of all before |
//!
//! Numbers are little-endian. A slot that is not as its CRC says, or of another version, is an empty one: nothing is
//! remembered.

use super::circuit::{Circuit, Time, Trouble};

/// How many relays are remembered.
const SLOTS: usize = 32;
/// How long one is, in octets.
pub(super) const SLOT: usize = 64;
/// How long all of them are, in octets.
pub(super) const SIZE: usize = SLOTS * SLOT;

const VERSION: u8 = 1;

/// What a relay is known by: a digest of its scope, its name, its place and its user.
pub(super) type Name = [u8; 16];

/// All slots.
#[derive(Clone)]
pub(super) struct Page(pub(super) [u8; SIZE]);

impl Default for Page {
    fn default() -> Self {
        Self([0; SIZE])
    }
}

impl Page {
    /// Whether nothing is remembered of anybody.
    pub(super) fn is_empty(&self) -> bool {
        self.0 == [0; SIZE]
    }

    /// What is remembered of the relay `name`.
    pub(super) fn circuit(&self, name: &Name) -> Circuit {
        self.own(name).and_then(|slot| self.read(slot)).unwrap_or_default()
    }

    /// Remembers `circuit` of the relay `name`; where in the page that changed.
    pub(super) fn put(&mut self, name: &Name, circuit: &Circuit) -> usize {
        let free = || around(name).find(|slot| self.read(*slot).is_none());
        let oldest = || around(name).min_by_key(|slot| self.read(*slot).map(|circuit| circuit.failed_at));
        let at = self.own(name).or_else(free).or_else(oldest).unwrap_or_default() * SLOT;
        let slot = if *circuit == Circuit::default() { [0; SLOT] } else { written(name, circuit) };
        self.0[at..at + SLOT].copy_from_slice(&slot);
        at
    }

    /// The slot of the relay `name`.
    fn own(&self, name: &Name) -> Option<usize> {
        around(name).find(|slot| self.slot(*slot).starts_with(name) && self.read(*slot).is_some())
    }

    fn read(&self, slot: usize) -> Option<Circuit> {
        read(self.slot(slot))
    }

    fn slot(&self, slot: usize) -> &[u8] {
        &self.0[slot * SLOT..(slot + 1) * SLOT]
    }
}

/// Every slot, from the one of the hash of `name` on.
fn around(name: &Name) -> impl Iterator<Item = usize> {
    let first = usize::from(name[0]);
    (first..first + SLOTS).map(|slot| slot % SLOTS)
}

/// What a slot holds; nothing, where it is empty, torn or of another version.
fn read(slot: &[u8]) -> Option<Circuit> {
    let (head, crc) = slot.split_last_chunk()?;
    if slot[16] != VERSION || u32::from_le_bytes(*crc) != crc32(head) {
        return None;
    }
    let code = u16::from_le_bytes([slot[18], slot[19]]);
    let time = |at: usize| slot[at..].first_chunk().map_or(0, |octets| Time::from_le_bytes(*octets));
    Some(Circuit {
        trouble: trouble(slot[17], code),
        failures: u16::from_le_bytes([slot[20], slot[21]]),
        openings: slot[22],
        since: time(24),
        failed_at: time(32),
        until: time(40),
        probe_until: time(48),
        stamp: slot[56..].first_chunk().map_or(0, |octets| u32::from_le_bytes(*octets)),
    })
}

fn written(name: &Name, circuit: &Circuit) -> [u8; SLOT] {
    let (kind, code) = circuit.trouble.map_or((0, 0), number);
    let mut slot = [0; SLOT];
    let mut put = |at: usize, octets: &[u8]| slot[at..at + octets.len()].copy_from_slice(octets);
    put(0, name);
    put(16, &[VERSION, kind]);
    put(18, &code.to_le_bytes());
    put(20, &circuit.failures.to_le_bytes());
    put(22, &[circuit.openings]);
    for (at, time) in [(24, circuit.since), (32, circuit.failed_at), (40, circuit.until), (48, circuit.probe_until)] {
        put(at, &time.to_le_bytes());
    }
    put(56, &circuit.stamp.to_le_bytes());
    let crc = crc32(&slot[..60]);
    slot[60..].copy_from_slice(&crc.to_le_bytes());
    slot
}

fn number(trouble: Trouble) -> (u8, u16) {
    match trouble {
        Trouble::Connect => (1, 0),
        Trouble::Tls => (2, 0),
        Trouble::Silent => (3, 0),
        Trouble::Protocol => (4, 0),
        Trouble::Token => (5, 0),
        Trouble::Said(code) => (6, code),
        Trouble::Login(code) => (7, code),
    }
}

fn trouble(kind: u8, code: u16) -> Option<Trouble> {
    Some(match kind {
        1 => Trouble::Connect,
        2 => Trouble::Tls,
        3 => Trouble::Silent,
        4 => Trouble::Protocol,
        5 => Trouble::Token,
        6 => Trouble::Said(code),
        7 => Trouble::Login(code),
        _ => return None,
    })
}

/// What CRC-32 makes of each octet.
const REMAINDERS: [u32; 256] = {
    let mut table = [0; 256];
    let mut octet = 0;
    while octet < 256 {
        let mut crc = octet as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 };
            bit += 1;
        }
        table[octet] = crc;
        octet += 1;
    }
    table
};

/// CRC-32 (ISO 3309).
pub(super) fn crc32(octets: &[u8]) -> u32 {
    let step = |crc: u32, octet: &u8| (crc >> 8) ^ REMAINDERS[usize::from(crc.to_le_bytes()[0] ^ octet)];
    !octets.iter().fold(u32::MAX, step)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn circuit(failed_at: Time) -> Circuit {
        Circuit {
            failures: 0x0102,
            openings: 3,
            trouble: Some(Trouble::Said(421)),
            since: 4,
            failed_at,
            until: u64::MAX,
            probe_until: 7,
            stamp: 0xdead_beef,
        }
    }

    fn name(first: u8, last: u8) -> Name {
        let mut name = [0; 16];
        (name[0], name[15]) = (first, last);
        name
    }

    #[test]
    fn what_is_put_is_read() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
        let mut page = Page::default();
        let (one, two) = (name(5, 1), name(5, 2));
        assert_eq!(page.put(&one, &circuit(9)), 5 * SLOT);
        assert_eq!(
            page.put(&two, &Circuit { trouble: None, ..circuit(8) }),
            6 * SLOT,
            "beside the one of the same hash"
        );
        assert_eq!(page.circuit(&one), circuit(9));
        assert_eq!(page.circuit(&two), Circuit { trouble: None, ..circuit(8) });
        assert_eq!(page.circuit(&name(5, 3)), Circuit::default());
        for trouble in (0..9).filter_map(|kind| trouble(kind, 454)) {
            page.put(&one, &Circuit { trouble: Some(trouble), ..circuit(9) });
            assert_eq!(page.circuit(&one).trouble, Some(trouble));
        }
        page.put(&one, &Circuit::default());
        assert_eq!(page.put(&two, &circuit(8)), 6 * SLOT, "its own, though the first is free");
        page.put(&two, &Circuit::default());
        assert!(page.is_empty());
    }

    #[test]
    fn a_full_page_forgets_the_oldest_trouble() {
        let mut page = Page::default();
        for number in 0..32 {
            page.put(&name(0xff, number), &circuit(100 - u64::from(number)));
        }
        page.put(&name(0, 99), &circuit(200));
        assert_eq!(page.circuit(&name(0xff, 31)), Circuit::default());
        assert_eq!(page.circuit(&name(0xff, 30)), circuit(70));
        assert_eq!(page.circuit(&name(0, 99)), circuit(200));
    }

    #[test]
    fn whatever_is_wrong_in_a_slot_makes_it_an_empty_one() {
        let own = name(1, 1);
        let mut page = Page::default();
        page.put(&own, &circuit(9));
        for at in SLOT..2 * SLOT {
            let mut torn = page.clone();
            torn.0[at] ^= 0x10;
            assert_eq!(torn.circuit(&own), Circuit::default(), "{at}");
            assert_eq!(torn.put(&own, &circuit(9)), SLOT, "{at}: it is written over");
            assert_eq!(torn.circuit(&own), circuit(9));
        }
        // A newer version, whose CRC is right.
        let mut newer = page.clone();
        newer.0[SLOT + 16] = 2;
        let crc = crc32(&newer.0[SLOT..SLOT + 60]);
        newer.0[SLOT + 60..2 * SLOT].copy_from_slice(&crc.to_le_bytes());
        assert_eq!(newer.circuit(&own), Circuit::default());
        assert!(!Page([0xff; SIZE]).is_empty());
        assert_eq!(Page([0xff; SIZE]).circuit(&[0xff; 16]), Circuit::default());
    }
}
