//! What is to be expected of random histories of relays' moods, by a reference that knows nothing of the program: the
//! model of the walk beside this file is held against it, and so are real processes (`tests/suite/model.rs`).

use std::cell::Cell;

pub(crate) const RELAYS: usize = 3;
pub(crate) const SECOND: i64 = 1000;

/// What a relay does with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mood {
    Accepts,
    Away,
    Busy,
    LoginRefused,
    DefersRecipient,
    RefusesRecipient,
    Doubtful,
    /// It is no matter of the relay's: the file of its secret is missing.
    Unset,
}

use self::Mood::{Accepts, Away, Busy, DefersRecipient, Doubtful, LoginRefused, RefusesRecipient, Unset};

/// As frequent as they stand here. A real relay plays all but the last.
pub(crate) const MOODS: [Mood; 14] = [
    Accepts,
    Accepts,
    Accepts,
    Accepts,
    Away,
    Away,
    Away,
    Away,
    Busy,
    LoginRefused,
    DefersRecipient,
    RefusesRecipient,
    Doubtful,
    Unset,
];

/// One message of a history.
#[derive(Debug)]
pub(crate) struct Sent {
    /// How long after the one before.
    pub(crate) after: i64,
    pub(crate) route: Vec<usize>,
    /// What each relay does with it.
    pub(crate) moods: [Mood; RELAYS],
    /// `in_doubt = "retry"`.
    pub(crate) retries: bool,
    /// `on_relay_failure = "spool"`, and the spool takes what it is given.
    pub(crate) spools: bool,
    /// Another process sends this one while the first relay of this one is asked.
    pub(crate) meanwhile: Option<Box<Self>>,
    /// The relay that was asked although all are down, where chance has said which of them reopens first.
    pub(crate) due_first: Cell<Option<usize>>,
}

/// What is seen of a message: the relays that were tried, in order, the exit status, and whether it is kept.
pub(crate) type Seen = (Vec<usize>, u8, bool);

/// What it knows of a relay; times in milliseconds.
#[derive(Clone, Copy, Default, PartialEq)]
pub(crate) struct Known {
    row: u32,
    failed: i64,
    pub(crate) opened: u32,
    until: i64,
    probed: i64,
}

pub(crate) struct Reference {
    pub(crate) now: i64,
    pub(crate) relays: [Known; RELAYS],
    pub(crate) seen: Vec<Seen>,
    /// How long it takes to know a mood.
    pub(crate) takes: fn(Mood) -> i64,
}

impl Reference {
    fn is_ahead(&self, time: i64) -> bool {
        (1..=720 * SECOND).contains(&(time - self.now))
    }

    pub(crate) fn is_open(&self, known: &Known) -> bool {
        known.opened > 0 && (self.is_ahead(known.until) || self.is_ahead(known.probed))
    }

    pub(crate) fn send(&mut self, sent: &Sent) {
        self.now += sent.after;
        let before = self.relays;
        let (mut tried, mut moods, mut passed, mut is_settled) = (Vec::new(), Vec::new(), Vec::new(), false);
        for relay in sent.route.iter().copied() {
            let is_probe = before[relay].opened > 0;
            let is_out = self.is_open(&before[relay]) || is_probe && self.is_open(&self.relays[relay]);
            if is_out {
                passed.push(relay);
            } else if !is_settled {
                if is_probe && self.relays[relay].opened > 0 {
                    self.relays[relay].probed = self.now + 600 * SECOND;
                }
                is_settled = self.ask(sent, relay, is_probe, before[relay], &mut tried, &mut moods);
            }
        }
        let chosen = sent.due_first.get().filter(|relay| passed.contains(relay));
        let due_first = chosen.or_else(|| passed.into_iter().min_by_key(|relay| before[*relay].until));
        if let (false, Some(relay)) = (is_settled, due_first) {
            self.ask(sent, relay, false, before[relay], &mut tried, &mut moods);
        }
        let is_kept = sent.spools && may_wait(&moods, sent.retries);
        self.seen.push((tried, if is_kept { 0 } else { status(&moods) }, is_kept));
    }

    /// Whether that settles the matter.
    fn ask(
        &mut self,
        sent: &Sent,
        relay: usize,
        is_probe: bool,
        before: Known,
        tried: &mut Vec<usize>,
        moods: &mut Vec<Mood>,
    ) -> bool {
        if let (true, Some(other)) = (tried.is_empty(), &sent.meanwhile) {
            self.send(other);
        }
        let mood = sent.moods[relay];
        tried.push(relay);
        moods.push(mood);
        self.now += (self.takes)(mood);
        let Known { row, failed, opened, until, .. } = self.relays[relay];
        match mood {
            // Who knew of nothing has nothing to tell.
            Accepts | DefersRecipient | RefusesRecipient if before == Known::default() => {}
            Accepts | DefersRecipient | RefusesRecipient => self.relays[relay] = Known::default(),
            Unset if is_probe => self.relays[relay].probed = 0,
            Unset => {}
            Away | Busy | LoginRefused | Doubtful if opened > 0 && self.is_ahead(until) => {}
            Away | Busy | LoginRefused | Doubtful => {
                let row = if row > 0 && (self.now - failed).abs() <= 60 * SECOND || opened > 0 { row + 1 } else { 1 };
                let opened = if opened > 0 || row > 1 || mood == LoginRefused { opened + 1 } else { 0 };
                let seconds =
                    if mood == LoginRefused { 600 } else { [0, 30, 60, 120, 240, 480, 600][opened.min(6) as usize] };
                let until = if opened > 0 { self.now + seconds * SECOND * 4 / 5 } else { 0 };
                self.relays[relay] = Known { row, failed: self.now, opened, until, probed: 0 };
            }
        }
        matches!(mood, Accepts | RefusesRecipient) || (mood == Doubtful && !sent.retries)
    }
}

/// Whether a relay may take the message later, and nobody has it; or somebody may, and the site takes that risk.
fn may_wait(moods: &[Mood], retries: bool) -> bool {
    match moods[moods.len() - 1] {
        Accepts => false,
        _ if moods.contains(&Doubtful) => retries,
        RefusesRecipient => false,
        _ => moods.iter().any(|mood| *mood != Unset),
    }
}

fn status(moods: &[Mood]) -> u8 {
    let last = moods[moods.len() - 1];
    let has_reply = |mood: &&Mood| !matches!(mood, Away | Unset);
    let decisive = match last {
        Accepts => last,
        _ if moods.contains(&Doubtful) => Doubtful,
        RefusesRecipient => last,
        _ => *moods.iter().find(has_reply).unwrap_or(&moods[0]),
    };
    match decisive {
        Accepts => 0,
        Busy => 21,
        DefersRecipient => 50,
        Away => 69,
        Unset => 78,
        Doubtful => 79,
        LoginRefused => 135,
        RefusesRecipient => 150,
    }
}

/// Numbers that are the same each time (SplitMix64).
pub(crate) struct Numbers(pub(crate) u64);

impl Numbers {
    pub(crate) fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) >> 33).unwrap() % end
    }

    /// A message, where relays have these moods, and the next one is sent after one of `gaps` (in seconds).
    pub(crate) fn message(&mut self, is_alone: bool, all: &[Mood], gaps: &[i64]) -> Sent {
        let mut route: Vec<usize> = (0..RELAYS).collect();
        route.rotate_left(self.below(RELAYS));
        route.truncate(1 + self.below(RELAYS));
        // The first of them is away more often, so that rows become long.
        let moods =
            std::array::from_fn(
                |relay| if relay == 0 && self.below(2) == 0 { Away } else { all[self.below(all.len())] },
            );
        let meanwhile = (is_alone && self.below(3) == 0).then(|| Box::new(self.message(false, all, gaps)));
        let (after, retries, spools) = (gaps[self.below(gaps.len())] * SECOND, self.below(4) == 0, self.below(2) == 0);
        Sent { after, route, moods, retries, spools, meanwhile, due_first: Cell::default() }
    }
}
