//! Random histories of relays' moods, held against a reference that knows nothing of how the walk and the breaker are
//! made: which relays are tried in which order, what the caller hears, whether the message is kept, and what is
//! remembered in the end.

use std::cell::RefCell;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use crate::address::Address;
use crate::breaker::{Breaker, Health, Memory};
use crate::config::relay::{Place, Relay, TlsMode};
use crate::config::site::{InDoubt, Terms};
use crate::exit::{self, Scheme};
use crate::failure::{Failure, Kind};
use crate::outcome::{Outcome, Stage};
use crate::reply::Reply;
use crate::spool::decision::{Fate, decide};
use crate::submit::walk::Walk;
use crate::submit::{Manner, each};

/// How many there are.
const HISTORIES: u64 = 100_000;
const RELAYS: usize = 3;
const SECOND: i64 = 1000;

/// What a relay does with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mood {
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

/// As frequent as they stand here.
const MOODS: [Mood; 14] = [
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

/// The time from one message to the next, in seconds; now and then the clock is set back.
const GAPS: [i64; 16] = [0, 0, 1, 1, 5, 20, 23, 24, 25, 48, 60, 61, 480, 600, 3600, -86_400];

impl Mood {
    /// How long it takes to know.
    fn takes(self) -> i64 {
        match self {
            Away => 3 * SECOND,
            Doubtful => 9 * SECOND,
            _ => SECOND,
        }
    }

    fn result(self) -> Result<Outcome, Failure> {
        let said = |code, stage| {
            let bob = [Address::new_dangerous("bob", "example.net")];
            Ok(Outcome::same_for_all(&bob, &Reply::new(code, None, "x"), stage))
        };
        match self {
            Accepts => said(250, Stage::Message),
            Busy => said(421, Stage::Greeting),
            LoginRefused => said(535, Stage::Auth),
            DefersRecipient => said(450, Stage::RcptTo),
            RefusesRecipient => said(550, Stage::RcptTo),
            Away => Err(Failure::new(Kind::Unavailable, "x", "y").at(Stage::Connect)),
            Doubtful => Err(Failure::new(Kind::InDoubt, "x", "y").at(Stage::Message)),
            Unset => Err(Failure::new(Kind::Configuration, "x", "y")),
        }
    }
}

/// One message of a history.
#[derive(Debug)]
struct Sent {
    /// How long after the one before.
    after: i64,
    route: Vec<usize>,
    /// What each relay does with it.
    moods: [Mood; RELAYS],
    /// `in_doubt = "retry"`.
    retries: bool,
    /// `on_relay_failure = "spool"`, and the spool takes what it is given.
    spools: bool,
    /// Another process sends this one while the first relay of this one is asked.
    meanwhile: Option<Box<Self>>,
}

/// What is seen of a message: the relays that were tried, in order, the exit status, and whether it is kept.
type Seen = (Vec<usize>, u8, bool);

// The reference.

/// What it knows of a relay; times in milliseconds.
#[derive(Clone, Copy, Default, PartialEq)]
struct Known {
    row: u32,
    failed: i64,
    opened: u32,
    until: i64,
    probed: i64,
}

#[derive(Default)]
struct Reference {
    now: i64,
    relays: [Known; RELAYS],
    seen: Vec<Seen>,
}

impl Reference {
    fn is_ahead(&self, time: i64) -> bool {
        (1..=720 * SECOND).contains(&(time - self.now))
    }

    fn is_open(&self, known: &Known) -> bool {
        known.opened > 0 && (self.is_ahead(known.until) || self.is_ahead(known.probed))
    }

    fn send(&mut self, sent: &Sent) {
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
        let due_first = passed.into_iter().min_by_key(|relay| before[*relay].until);
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
        self.now += mood.takes();
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

// The program.

struct Program {
    memory: Memory,
    relays: Vec<Arc<Relay>>,
    seen: RefCell<Vec<Seen>>,
}

impl Program {
    fn new() -> Self {
        let relay = |number: usize| {
            let place = Place::Tcp { host: format!("mx{number}.example.net"), port: 465 };
            Arc::new(Relay::new(&number.to_string(), place, TlsMode::Implicit))
        };
        Self { memory: Memory::default(), relays: (0..RELAYS).map(relay).collect(), seen: RefCell::default() }
    }

    fn send(&self, sent: &Sent) {
        let clock = &self.memory.now;
        let pass = |span: i64| clock.set(clock.get().strict_add_signed(span));
        pass(sent.after);
        let hand_over = Arc::default();
        let in_doubt = if sent.retries { InDoubt::Retry } else { InDoubt::Report };
        let manner = Manner {
            route: sent.route.iter().map(|relay| Arc::clone(&self.relays[*relay])).collect::<Vec<_>>().into(),
            terms: Terms { in_doubt, deadline: Duration::from_secs(3600), ..Terms::default() },
            breaker: Some(Breaker::in_memory(&self.memory)),
            host_name: "web.example.org",
            begin: &|_| None,
            keyed: &|_| (),
            hand_over: &hand_over,
        };
        let mut tried = Vec::new();
        let submission = each(Walk::begin(manner), |relay, _| {
            if let (true, Some(other)) = (tried.is_empty(), &sent.meanwhile) {
                self.send(other);
            }
            let relay: usize = relay.name.parse().unwrap();
            tried.push(relay);
            pass(sent.moods[relay].takes());
            sent.moods[relay].result()
        });
        let is_kept = matches!(decide(submission.results(), sent.spools, in_doubt), Fate::Queued { .. });
        let status = if is_kept { exit::OK } else { exit::status(&submission.decisive().result, Scheme::Reply) };
        self.seen.borrow_mut().push((tried, status, is_kept));
    }
}

// Both.

/// Numbers that are the same each time (SplitMix64).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) >> 33).unwrap() % end
    }

    fn message(&mut self, is_alone: bool) -> Sent {
        let mut route: Vec<usize> = (0..RELAYS).collect();
        route.rotate_left(self.below(RELAYS));
        route.truncate(1 + self.below(RELAYS));
        // The first of them is away more often, so that rows become long.
        let moods =
            std::array::from_fn(
                |relay| if relay == 0 && self.below(2) == 0 { Away } else { MOODS[self.below(MOODS.len())] },
            );
        let meanwhile = (is_alone && self.below(3) == 0).then(|| Box::new(self.message(false)));
        let (after, retries, spools) = (GAPS[self.below(GAPS.len())] * SECOND, self.below(4) == 0, self.below(2) == 0);
        Sent { after, route, moods, retries, spools, meanwhile }
    }
}

fn tell(number: u64) {
    let mut numbers = Numbers(number);
    let history: Vec<Sent> = (0..2 + numbers.below(6)).map(|_| numbers.message(true)).collect();
    let (mut reference, program) = (Reference { now: 1_700_000_000_000, ..Reference::default() }, Program::new());
    program.memory.now.set(1_700_000_000_000);
    for sent in &history {
        reference.send(sent);
        program.send(sent);
        assert_eq!(*program.seen.borrow(), reference.seen, "history {number}: {history:#?}");
    }
    // What is remembered shows in what is done later.
    let breaker = Breaker::in_memory(&program.memory);
    for seconds in [0, 60] {
        reference.now += seconds * SECOND;
        program.memory.now.set(reference.now.cast_unsigned());
        for (relay, known) in program.relays.iter().zip(&reference.relays) {
            let health = match breaker.health(relay) {
                Health::Up => (false, false),
                Health::Due(_) => (true, false),
                Health::Down(_) => (true, true),
            };
            let expected = (known.opened > 0, reference.is_open(known));
            assert_eq!(health, expected, "history {number}, relay {} {seconds} s later: {history:#?}", relay.name);
        }
    }
}

#[test]
fn relays_are_tried_as_the_reference_has_it() {
    thread::scope(|scope| {
        for half in 0..2 {
            scope.spawn(move || (half..HISTORIES).step_by(2).for_each(tell));
        }
    });
}
