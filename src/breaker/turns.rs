//! The order in which a route is tried, seen with what is remembered of its relays.

use std::sync::Arc;
use std::time::Duration;

use super::circuit::{Circuit, Event, Standing, Time};
use super::{Breaker, Down, millis};
use crate::config::relay::Relay;

/// Whose turn it is: each relay of a route at most once. Those that are well come in their order, and one that was
/// down if this process is the one to probe it; where none of them settles the matter, the one of the others that is
/// due first is tried all the same.
pub(crate) struct Turns<'a> {
    /// Without one every relay is taken for well.
    breaker: Option<Breaker<'a>>,
    /// What was remembered at the beginning; empty: nothing, of nobody.
    circuits: Vec<Circuit>,
    /// The next one to look at.
    next: usize,
    /// Those that were passed by.
    passed: Vec<usize>,
    /// The last resort was taken.
    is_over: bool,
    /// This process probes the relay whose turn it is.
    is_probe: bool,
}

/// One relay's turn.
#[derive(Default)]
pub(crate) struct Turn {
    /// Its place in the route.
    pub(crate) relay: usize,
    /// What a reader should know: which relays were passed by for it, and that it was itself.
    pub(crate) notes: Vec<String>,
}

impl<'a> Turns<'a> {
    /// Those of `route`.
    pub(crate) fn of(route: &[Arc<Relay>], breaker: Option<Breaker<'a>>) -> Self {
        let circuits = breaker.as_ref().map(|breaker| {
            let page = breaker.world.page();
            match page.is_empty() {
                true => Vec::new(),
                false => route.iter().map(|relay| breaker.seen(relay, &page)).collect(),
            }
        });
        let circuits = circuits.unwrap_or_default();
        Self { breaker, circuits, next: 0, passed: Vec::new(), is_over: false, is_probe: false }
    }

    /// That of the first relay, whatever is remembered of it.
    pub(crate) fn first(&mut self) -> Turn {
        self.next = 1;
        Turn::default()
    }

    /// The next one; `left` is what it has for the whole of its try. Without time there is no last resort.
    pub(crate) fn next(&mut self, route: &[Arc<Relay>], left: Duration) -> Option<Turn> {
        self.is_probe = false;
        let known = self.passed.len();
        while self.next < route.len() {
            let relay = self.next;
            self.next += 1;
            match self.standing(relay) {
                Standing::Closed => return Some(self.turn(route, relay, known)),
                Standing::HalfOpen if self.is_granted(&route[relay], left) => {
                    self.is_probe = true;
                    return Some(self.turn(route, relay, known));
                }
                // Whoever probes it has begun since we looked.
                Standing::HalfOpen => self.circuits[relay] = self.circuits[relay].probed(self.now(), millis(left)),
                Standing::Open => {}
            }
            self.passed.push(relay);
        }
        if std::mem::replace(&mut self.is_over, true) || left.is_zero() {
            return None;
        }
        let due_first = self.passed.iter().copied().min_by_key(|relay| self.circuits[*relay].until)?;
        Some(self.turn(route, due_first, known))
    }

    /// The turn of `relay`; the passed ones from `known` on are still to be told.
    fn turn(&self, route: &[Arc<Relay>], relay: usize, known: usize) -> Turn {
        let skipped = self.passed[known..].iter().filter(|passed| **passed != relay);
        let mut notes: Vec<String> =
            skipped.map(|relay| format!("relay {} skipped: {}", route[*relay].name, self.down(*relay))).collect();
        if self.standing(relay) != Standing::Closed {
            let why = if self.is_probe { "to see whether it is back" } else { "for want of another" };
            notes.push(format!("relay {} tried {why}: {}", route[relay].name, self.down(relay)));
        }
        Turn { relay, notes }
    }

    fn is_granted(&self, relay: &Relay, left: Duration) -> bool {
        self.breaker.as_ref().is_none_or(|breaker| breaker.claim(relay, left))
    }

    fn down(&self, relay: usize) -> Down {
        Down::new(&self.circuits[relay], self.now())
    }

    fn now(&self) -> Time {
        self.breaker.as_ref().map_or(0, |breaker| breaker.world.now())
    }

    /// Whether no relay behind the one whose turn it is may be had but as the last resort.
    pub(crate) fn is_last(&self, route: &[Arc<Relay>]) -> bool {
        self.is_over || (self.next..route.len()).all(|relay| self.standing(relay) == Standing::Open)
    }

    /// Remembers `event` of `relay` of `route`, if it is worth remembering; whether it was down until now.
    pub(crate) fn tell(&mut self, route: &[Arc<Relay>], relay: usize, event: Event) -> bool {
        let Some(breaker) = &self.breaker else { return false };
        let is_clean = self.circuits.get(relay).is_none_or(|circuit| *circuit == Circuit::default());
        let is_news = match event {
            Event::Works => !is_clean,
            Event::Fails(_) => true,
            Event::Undecided => self.is_probe,
        };
        let has_recovered = is_news && breaker.tell(&route[relay], event);
        if is_news {
            self.is_probe = false;
            if let (Event::Works, Some(circuit)) = (event, self.circuits.get_mut(relay)) {
                *circuit = Circuit::default();
            }
        }
        has_recovered
    }

    fn standing(&self, relay: usize) -> Standing {
        self.circuits.get(relay).map_or(Standing::Closed, |circuit| circuit.standing(self.now()))
    }
}
