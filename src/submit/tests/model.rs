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

use super::reference::Mood::{
    self, Accepts, Away, Busy, DefersRecipient, Doubtful, LoginRefused, RefusesRecipient, Unset,
};
use super::reference::{MOODS, Numbers, RELAYS, Reference, SECOND, Seen, Sent};

/// How many there are.
const HISTORIES: u64 = 100_000;
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

fn tell(number: u64) {
    let mut numbers = Numbers(number);
    let history: Vec<Sent> = (0..2 + numbers.below(6)).map(|_| numbers.message(true, &MOODS, &GAPS)).collect();
    let begin = 1_700_000_000_000;
    let mut reference = Reference { now: begin, relays: Default::default(), seen: Vec::new(), takes: Mood::takes };
    let program = Program::new();
    program.memory.now.set(begin.cast_unsigned());
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
