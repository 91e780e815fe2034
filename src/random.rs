//! Octets that nobody can guess.

use ring::rand::{SecureRandom, SystemRandom};

/// `N` random octets; `None`: the operating system provides none to give.
pub fn octets<const N: usize>() -> Option<[u8; N]> {
    let mut octets = [0; N];
    SystemRandom::new().fill(&mut octets).ok().map(|()| octets)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_are_alike() {
        assert_ne!(octets::<16>().unwrap(), octets::<16>().unwrap());
    }
}
