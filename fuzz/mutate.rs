//! Inputs made of other inputs, the same ones for the same seed.

/// The longest input, in octets: past the limits of a reply line, short of slow.
const LIMIT: usize = 16 << 10;
/// Octets that mean something to a parser of mail, SMTP or TOML.
const OCTETS: &[u8] = b"\r\n\0\t .,:;<>()[]{}@\"'\\-=+*%!&~?_/0123456789aAzZ\x1b\x7f\x80\x85\xa0\xc3\xe2\xff\xfe";

/// The deepest that forms stand in one another.
const DEPTH: usize = 12;

/// Forms by name, each with its alternatives, in which `«name»` stands for one of that name. The first form is the whole;
/// where they would nest too deep the first alternative is taken, which ends soon.
pub(crate) type Grammar = &'static [(&'static str, &'static [&'static str])];

/// A source of mutations.
pub(crate) struct Mutator {
    state: u64,
    words: &'static [&'static str],
    grammar: Grammar,
}

impl Mutator {
    /// Begins at `seed`; `words` are put in whole, and so is what `grammar` makes.
    pub(crate) fn new(seed: u64, words: &'static [&'static str], grammar: Grammar) -> Self {
        // Any state but zero does; neighbouring seeds should not begin alike.
        Self { state: hash(&seed.to_le_bytes()) | 1, words, grammar }
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
        match self.below(if self.grammar.is_empty() { 9 } else { 12 }) {
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
            // A form in the place of something: the input before it, which says what is tried, stays.
            9..12 => {
                let mut form = String::new();
                let begin = if self.below(2) == 0 { 0 } else { self.below(self.grammar.len()) };
                self.form(self.grammar[begin].1, 0, &mut form);
                let range = if self.below(2) == 0 { from..to } else { from..from };
                input.splice(range, form.into_bytes());
            }
            _ => {
                let octet = self.octet();
                self.insert(input, &[octet]);
            }
        }
    }

    /// Writes one of `alternatives`.
    fn form(&mut self, alternatives: &[&str], depth: usize, out: &mut String) {
        let mut rest = match depth < DEPTH && out.len() < LIMIT {
            true => alternatives[self.below(alternatives.len())],
            false => alternatives[0],
        };
        while let Some((before, behind)) = rest.split_once('«') {
            out.push_str(before);
            let (name, behind) = behind.split_once('»').unwrap_or((behind, ""));
            match self.grammar.iter().find(|(form, _)| *form == name) {
                Some((_, alternatives)) => self.form(alternatives, depth + 1, out),
                None => panic!("no form is called {name}"),
            }
            rest = behind;
        }
        out.push_str(rest);
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
