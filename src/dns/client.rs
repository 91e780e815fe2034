//! The client: many questions at once, under one deadline.

use std::net::SocketAddr;
use std::time::Duration;

use nix::poll::PollFd;

use super::flight::Flight;
use super::known::{Known, Unresolved, settle};
use super::{Question, Resolved, Servers};
use crate::deadline::Deadline;
use crate::wire;

/// How many questions are on their way at a time: a small resolver at home loses more of them.
const AT_ONCE: usize = 24;
/// How many questions one run may ask.
const LIMIT: usize = 400;
/// How long one question may take with all its tries.
const PATIENCE: Duration = Duration::from_secs(5);

/// Asks name servers, and remembers what they said for as long as it lives.
pub struct Client {
    servers: Servers,
    known: Known,
    asked: usize,
}

impl Client {
    /// One that asks `servers`.
    pub fn new(servers: Servers) -> Self {
        Self { servers, known: Known::default(), asked: 0 }
    }

    /// One that asks the system's.
    pub fn system() -> Self {
        Self::new(Servers::system())
    }

    /// One that asks this server only.
    pub fn at(address: SocketAddr) -> Self {
        Self::new(Servers::at(address))
    }

    /// Has `judge` judge as often as it takes, and asks what it wants in between, all at once. Whatever has no answer
    /// when `deadline` is over could not be asked.
    pub fn settle<T>(&mut self, deadline: Deadline, judge: impl Fn(&Known) -> Result<T, Unresolved>) -> T {
        let Self { servers, known, asked } = self;
        settle(known, |known, wanted| fetch(servers, known, asked, wanted, deadline), judge)
    }

    /// How many questions were asked.
    pub fn count(&self) -> usize {
        self.asked
    }

    /// All that was asked and what was said, a line each: `shop.example TXT: no such name`.
    pub fn answers(&self) -> impl Iterator<Item = String> {
        self.known.all().into_iter().map(|(question, answer)| format!("{question}: {answer}"))
    }
}

/// Puts an answer to each of `wanted`.
fn fetch(servers: &Servers, known: &mut Known, asked: &mut usize, wanted: Vec<Question>, deadline: Deadline) {
    let mut waiting = wanted.into_iter();
    let mut flights: Vec<(Question, Flight, Deadline)> = Vec::new();
    loop {
        while flights.len() < AT_ONCE {
            let Some(question) = waiting.next() else { break };
            if *asked == LIMIT || deadline.is_over() {
                let why = if *asked == LIMIT { "too many questions in one run" } else { "there was no time left" };
                known.put(question, Resolved::unasked(why));
                continue;
            }
            *asked += 1;
            let mut flight = Flight::new(question.clone());
            let patience = deadline.within(PATIENCE);
            match flight.ask(servers, patience) {
                Ok(()) => flights.push((question, flight, patience)),
                Err(answer) => known.put(question, answer),
            }
        }
        if flights.is_empty() {
            return;
        }
        step(servers, known, &mut flights);
    }
}

/// Waits until something happens to one of `flights`, and takes those out that have an answer.
fn step(servers: &Servers, known: &mut Known, flights: &mut Vec<(Question, Flight, Deadline)>) {
    let first = flights.iter().map(|(_, flight, _)| flight.until).min_by_key(|until| until.left());
    let until = first.unwrap_or_else(|| Deadline::after(Duration::ZERO));
    let ready: Vec<bool> = {
        let mut polled: Vec<_> = flights
            .iter()
            .filter_map(|(_, flight, _)| flight.polled())
            .map(|(fd, flags)| PollFd::new(fd, flags))
            .collect();
        match wire::wait(&mut polled, until) {
            Ok(_) => polled.iter().map(|polled| polled.any().unwrap_or(false)).collect(),
            Err(_) => vec![false; flights.len()],
        }
    };
    for at in (0..flights.len()).rev() {
        let (_, flight, patience) = &mut flights[at];
        let answer = if ready.get(at) == Some(&true) {
            flight.advance(servers, *patience)
        } else if flight.until.is_over() {
            flight.was_silent(servers);
            if patience.is_over() { Some(flight.give_up()) } else { flight.ask(servers, *patience).err() }
        } else {
            None
        };
        if let Some(answer) = answer {
            let (question, _, _) = flights.swap_remove(at);
            known.put(question, answer);
        }
    }
}

#[cfg(test)]
mod tests;
