//! Inputs made of other inputs, the same ones for the same seed.

/// The longest input, in octets: past the limits of a reply line, short of slow.
const LIMIT: usize = 16 << 10;
/// Octets that mean something to a parser of mail, SMTP or TOML.
const OCTETS: &[u8] = b"\r\n\0\t .,:;<>()[]{}@\"'\\-=+*%!&~?_/0123456789aAzZ\x1b\x7f\x80\x85\xa0\xc3\xe2\xff\xfe";

/// A source of mutations.
pub(crate) struct Mutator {
    state: u64,
    words: &'static [&'static str],
}

impl Mutator {
    /// Begins at `seed`; `words` are put in whole.
    pub(crate) fn new(seed: u64, words: &'static [&'static str]) -> Self {
        // Any state but zero does; neighbouring seeds should not begin alike.
        Self { state: hash(&seed.to_le_bytes()) | 1, words }
    }

    /// A new input made of `corpus`, which is not empty.
    pub(crate) fn mutate(&mut self, corpus: &[Vec<u8>]) -> Vec<u8> {
        let mut input = corpus[self.below(corpus.len())].clone();
        for _ in 0..1 + self.below(4) {
            self.change(&mut input, corpus);
        }
        input.truncate(LIMIT);
        input
    }

    fn change(&mut self, input: &mut Vec<u8>, corpus: &[Vec<u8>]) {
        let (from, to) = self.range(input.len());
        match self.below(9) {
            0 if !input.is_empty() => {
                let at = self.below(input.len());
                input[at] ^= 1 << self.below(8);
            }
            1 if !input.is_empty() => {
                let at = self.below(input.len());
                input[at] = self.octet();
            }
            2 => drop(input.drain(from..to)),
            3 => {
                let piece = input[from..to].to_vec();
                self.insert(input, &piece);
            }
            4 => {
                let other = &corpus[self.below(corpus.len())];
                let (from, to) = self.range(other.len());
                self.insert(input, &other[from..to]);
            }
            5 if !self.words.is_empty() => {
                let word = self.words[self.below(self.words.len())];
                self.insert(input, word.as_bytes());
            }
            6 => {
                let many = 1 << self.below(13);
                let octet = self.octet();
                self.insert(input, &vec![octet; many]);
            }
            7 => input.truncate(from),
            _ => {
                let octet = self.octet();
                self.insert(input, &[octet]);
            }
        }
    }

    fn insert(&mut self, input: &mut Vec<u8>, piece: &[u8]) {
        let at = self.below(input.len() + 1);
        input.splice(at..at, piece.iter().copied());
    }

    fn range(&mut self, length: usize) -> (usize, usize) {
        let (a, b) = (self.below(length + 1), self.below(length + 1));
        (a.min(b), a.max(b))
    }

    fn octet(&mut self) -> u8 {
        match self.below(8) {
            0 => self.next() as u8,
            _ => OCTETS[self.below(OCTETS.len())],
        }
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }

    /// xorshift64*.
    fn next(&mut self) -> u64 {
        self.state ^= self.state >> 12;
        self.state ^= self.state << 25;
        self.state ^= self.state >> 27;
        self.state.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }
}

/// FNV-1a: the same number in every run and on every machine.
pub(crate) fn hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}
