//! The breaker: relays that are down are remembered, and passed by while another one is there.
//!
//! It saves time and loses no mail: where every relay is down, the one that is due first is tried all the same; where
//! nothing can be remembered, every relay is taken for well. What it does is never an error.
//!
//! `circuit` is the pure core, `page` its form on disk, `turns` the order in which a route is tried.

mod circuit;
mod event;
mod identity;
mod page;
mod turns;
mod world;

use std::cell::Cell;
use std::fmt;
use std::path::Path;
use std::time::{Duration, SystemTime};

use jiff::Timestamp;

use self::circuit::{Circuit, Standing, Time};
pub use self::circuit::{Event, Trouble};
use self::identity::Identity;
use self::page::Page;
pub(crate) use self::turns::{Turn, Turns};
#[cfg(test)]
pub(crate) use self::world::Memory;
use self::world::{Disk, World};
use crate::config::alert::Occasion;
use crate::config::relay::Relay;
use crate::config::site::Site;

/// What is remembered of the relays of one site's file by one uid.
pub struct Breaker<'a> {
    /// The file that the relays are defined in; `None`: the environment.
    scope: Option<&'a Path>,
    world: Box<dyn World + 'a>,
}

/// How a relay is, for whoever has much to send through it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// Nothing is wrong with it: everything may go at once.
    Up,
    /// It was down, and one probe is due: what [`Breaker::claim`] is granted for. Nothing else goes before that is back.
    Due(Down),
    /// It is down, or another process probes it: nothing goes.
    Down(Down),
}

/// What is wrong with a relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Down {
    /// When the first trouble of the row was, in milliseconds since 1970.
    since: Time,
    /// The last trouble.
    trouble: Option<Trouble>,
    next: Next,
}

/// When a relay that is down is tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    /// By whoever comes next.
    Due,
    /// Some process is at it.
    Probed,
    /// Not before this time.
    After(Time),
}

impl Down {
    fn new(circuit: &Circuit, now: Time) -> Self {
        let next = match circuit.standing(now) {
            _ if circuit.is_probed(now) => Next::Probed,
            Standing::Open => Next::After(circuit.until),
            Standing::HalfOpen | Standing::Closed => Next::Due,
        };
        Self { since: circuit.since, trouble: circuit.trouble, next }
    }

    /// When it is tried again, where that is known.
    pub fn until(&self) -> Option<SystemTime> {
        match self.next {
            Next::After(time) => Some(SystemTime::UNIX_EPOCH + Duration::from_millis(time)),
            Next::Due | Next::Probed => None,
        }
    }
}

impl<'a> Breaker<'a> {
    /// What `uid` remembers of the relays of `site`; `None` where that would change nothing: it has one relay only, no
    /// message waits for it, and nobody is to hear that it works again. Nothing is read yet.
    pub fn of(site: &'a Site, uid: u32) -> Option<Self> {
        let has_others = site.relays.len() > 1 || !site.routes.is_empty();
        let is_watched = || site.alerts.iter().any(|alert| alert.on.has(Occasion::Recovered));
        (has_others || site.spooling.is_on || is_watched()).then(|| Self::with(site.file.as_deref(), Disk { uid }))
    }

    fn with(scope: Option<&'a Path>, world: impl World + 'a) -> Self {
        Self { scope, world: Box::new(world) }
    }

    /// What a test remembers.
    #[cfg(test)]
    pub(crate) fn in_memory(memory: &'a Memory) -> Self {
        Self::with(None, memory)
    }

    /// How `relay` is.
    pub fn health(&self, relay: &Relay) -> Health {
        let circuit = self.seen(relay, &self.world.page());
        let now = self.world.now();
        let down = Down::new(&circuit, now);
        match circuit.standing(now) {
            Standing::Closed => Health::Up,
            Standing::HalfOpen => Health::Due(down),
            Standing::Open => Health::Down(down),
        }
    }

    /// Whether this process may go through `relay` now: nothing is wrong with it, or the probe is due and nobody else
    /// makes it. A probe has `span`; what comes of it is to be told ([`Breaker::tell`]).
    pub fn claim(&self, relay: &Relay, span: Duration) -> bool {
        let identity = Identity::of(self.scope, relay);
        let stamp = identity.stamp();
        let mut is_granted = true;
        let is_asked = self.world.change(&mut |page| {
            let circuit = page.circuit(&identity.name).seen_with(stamp);
            let now = self.world.now();
            is_granted = circuit.standing(now) != Standing::Open;
            let is_due = circuit.standing(now) == Standing::HalfOpen;
            is_due.then(|| page.put(&identity.name, &circuit.probed(now, millis(span))))
        });
        // Those who hold the lock for so long are many: one of them probes.
        is_asked && is_granted
    }

    /// Remembers `event` of `relay`. True: it was down until now, and this process is the one that found it well again.
    pub fn tell(&self, relay: &Relay, event: Event) -> bool {
        let identity = Identity::of(self.scope, relay);
        let stamp = identity.stamp();
        let has_recovered = Cell::new(false);
        let mut alter = |page: &mut Page| {
            let before = page.circuit(&identity.name);
            let mut after = before.seen_with(stamp).after(event, self.world.now(), self.world.chance());
            if after.trouble.is_some() {
                after.stamp = stamp;
            }
            has_recovered.set(before.openings > 0 && after.openings == 0);
            (after != before).then(|| page.put(&identity.name, &after))
        };
        // A relay that is down stays so for most who fail: they lock nothing.
        if alter(&mut self.world.page()).is_none() {
            return false;
        }
        has_recovered.set(false);
        self.world.change(&mut alter);
        has_recovered.get()
    }

    /// What `page` has of `relay`, seen with the configuration and the secrets of today.
    fn seen(&self, relay: &Relay, page: &Page) -> Circuit {
        if page.is_empty() {
            return Circuit::default();
        }
        let identity = Identity::of(self.scope, relay);
        let circuit = page.circuit(&identity.name);
        if circuit.openings == 0 { circuit } else { circuit.seen_with(identity.stamp()) }
    }
}

/// `down since 2026-11-27T06:40:12Z (no connection), the next try is after 2026-11-27T06:41:02Z`.
impl fmt::Display for Down {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "down since {}", told(self.since))?;
        if let Some(trouble) = self.trouble {
            write!(f, " ({trouble})")?;
        }
        match self.next {
            Next::Due => f.write_str(", the next message tries it"),
            Next::Probed => f.write_str(", another process is trying it"),
            Next::After(time) => write!(f, ", the next try is after {}", told(time)),
        }
    }
}

/// A time as a reader knows it, in UTC.
fn told(time: Time) -> String {
    let time = i64::try_from(time / 1000).ok().and_then(|seconds| Timestamp::from_second(seconds).ok());
    time.unwrap_or_default().to_string()
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::relay::Place;
    use crate::providers::TlsMode;

    const SPAN: Duration = Duration::from_secs(30);

    fn relay(host: &str) -> Relay {
        Relay::new("main", Place::Tcp { host: host.to_owned(), port: 465 }, TlsMode::Implicit)
    }

    #[test]
    fn a_run_sends_all_or_one_probe_or_nothing() {
        let memory = Memory::default();
        memory.now.set(1_700_000_000_000);
        let pass = |seconds: u64| memory.now.set(memory.now.get() + seconds * 1000);
        // Two processes of one uid.
        let (one, other) = (Breaker::in_memory(&memory), Breaker::in_memory(&memory));
        let main = relay("mx.example.net");
        let shown = || match other.health(&main) {
            Health::Up => "up".to_owned(),
            Health::Due(down) => format!("due: {down}"),
            Health::Down(down) => format!("{down}"),
        };
        assert!(one.claim(&main, SPAN) && other.claim(&main, SPAN), "what is up is everybody's");
        one.tell(&main, Event::Fails(Trouble::Connect));
        assert_eq!(shown(), "up");
        pass(4);
        other.tell(&main, Event::Fails(Trouble::Silent));
        let since = "down since 2023-11-14T22:13:20Z";
        assert_eq!(shown(), format!("{since} (no reply), the next try is after 2023-11-14T22:13:48Z"));
        assert!(!one.claim(&main, SPAN) && !other.claim(&main, SPAN));
        pass(24);
        assert_eq!(shown(), format!("due: {since} (no reply), the next message tries it"));
        assert!(one.claim(&main, SPAN));
        assert!(!other.claim(&main, SPAN) && !one.claim(&main, SPAN), "one probe");
        assert_eq!(shown(), format!("{since} (no reply), another process is trying it"));
        one.tell(&main, Event::Fails(Trouble::Said(421)));
        assert_eq!(shown(), format!("{since} (it answered 421), the next try is after 2023-11-14T22:14:36Z"));
        // Whoever probes it is killed.
        pass(48);
        assert!(other.claim(&main, SPAN));
        pass(30);
        assert!(one.claim(&main, SPAN));
        one.tell(&main, Event::Works);
        assert_eq!(shown(), "up");
        assert!(memory.is_empty(), "nothing is left of it");
    }

    #[test]
    fn another_place_name_or_file_is_another_relay() {
        let memory = Memory::default();
        let (here, there) = (Path::new("/etc/mailchute/a.toml"), Path::new("/etc/mailchute/b.toml"));
        let breaker = |scope| Breaker::with(scope, &memory);
        let main = relay("mx.example.net");
        breaker(Some(here)).tell(&main, Event::Fails(Trouble::Login(535)));
        assert_ne!(breaker(Some(here)).health(&main), Health::Up);
        for scope in [Some(there), None] {
            assert_eq!(breaker(scope).health(&main), Health::Up, "{scope:?}");
        }
        let backup = Relay { name: "backup".to_owned(), ..main.clone() };
        for other in [relay("mx.example.com"), backup] {
            assert_eq!(breaker(Some(here)).health(&other), Health::Up, "{other:?}");
        }
    }
}
