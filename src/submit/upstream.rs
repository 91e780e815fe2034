//! The sessions with relays, and the connections with APIs, that are kept from one message to the next.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::attempt::Trace;
use crate::config::relay::{Relay, Smtp};
use crate::http::Line;
use crate::smtp::{self, Session};

/// How long a session is kept after it was last used.
const IDLE: Duration = Duration::from_secs(20);
/// The same of a connection with an API. HTTP has no goodbye: what goes out while the server closes an idle connection is
/// in doubt.
const IDLE_LINE: Duration = Duration::from_secs(2);

/// The sessions that are kept from one message to the next, each with the time it was last used; the oldest first.
pub struct Upstream {
    sessions: Vec<(Session, Instant)>,
    /// The connections with APIs in the same way, with their relays.
    lines: Vec<(Arc<Relay>, Line, Instant)>,
    /// Who turned out not to know BDAT, so that not every session has to find that out.
    plain: Vec<Arc<Relay>>,
    most: usize,
}

impl Default for Upstream {
    /// Keeps one session.
    fn default() -> Self {
        Self::of(1)
    }
}

impl Upstream {
    /// Keeps up to `most` sessions.
    pub fn of(most: usize) -> Self {
        Self { sessions: Vec::new(), lines: Vec::new(), plain: Vec::new(), most }
    }

    /// Whether a session is kept at all.
    pub(super) fn keeps(&self) -> bool {
        self.most > 0
    }

    /// How long the kept sessions may still be idle, seen from `now`; `None`: none is kept.
    pub fn patience(&self, now: Instant) -> Option<Duration> {
        self.sessions.iter().map(|(_, used)| left(*used, now)).min()
    }

    /// Says goodbye to the kept sessions.
    pub fn close(&mut self) {
        for (session, _) in self.sessions.drain(..) {
            session.quit(&mut Trace::default());
        }
    }

    /// The kept session that leads to `relay`. Where there is none one of the others makes room for it.
    pub(super) fn take(&mut self, relay: &Arc<Relay>) -> Option<Session> {
        if let Some(place) = self.sessions.iter().position(|(session, _)| Arc::ptr_eq(session.relay(), relay)) {
            let (session, used) = self.sessions.remove(place);
            if !left(used, Instant::now()).is_zero() {
                return Some(session);
            }
            session.quit(&mut Trace::default());
        }
        self.make_room();
        None
    }

    /// Keeps `session` while it is worth it.
    pub(super) fn keep(&mut self, session: Session) {
        if self.keeps() && session.is_open() {
            self.make_room();
            self.sessions.push((session, Instant::now()));
        }
    }

    /// Keeps in mind that `relay` does not know BDAT, although it offers that.
    pub(super) fn note_plain(&mut self, relay: &Arc<Relay>) {
        if !self.is_plain(relay) {
            self.plain.push(Arc::clone(relay));
        }
    }

    fn is_plain(&self, relay: &Arc<Relay>) -> bool {
        self.plain.iter().any(|known| Arc::ptr_eq(known, relay))
    }

    /// How `relay`, whose way is `smtp`, is spoken to by what is known of it.
    pub(super) fn manner_with<'s>(&self, relay: &Arc<Relay>, smtp: &'s Smtp) -> Cow<'s, Smtp> {
        if self.is_plain(relay) { Cow::Owned(smtp::plain(smtp)) } else { Cow::Borrowed(smtp) }
    }

    /// The connection with the API of `relay`, which is kept where any is.
    pub(super) fn take_line(&mut self, relay: &Arc<Relay>) -> Line {
        if !self.keeps() {
            return Line::default();
        }
        self.lines.retain(|(_, _, used)| used.elapsed() < IDLE_LINE);
        let place = self.lines.iter().position(|(other, ..)| Arc::ptr_eq(other, relay));
        place.map_or_else(Line::kept, |place| self.lines.remove(place).1)
    }

    /// Keeps what there is of `line` for the next message through `relay`.
    pub(super) fn keep_line(&mut self, relay: &Arc<Relay>, line: Line) {
        if self.keeps() && line.is_open() {
            if self.lines.len() >= self.most {
                self.lines.remove(0);
            }
            self.lines.push((Arc::clone(relay), line, Instant::now()));
        }
    }

    fn make_room(&mut self) {
        if self.keeps() && self.sessions.len() >= self.most {
            self.sessions.remove(0).0.quit(&mut Trace::default());
        }
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.close();
    }
}

fn left(used: Instant, now: Instant) -> Duration {
    IDLE.saturating_sub(now.saturating_duration_since(used))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_kept_for_twenty_seconds() {
        let used = Instant::now();
        assert_eq!(left(used, used), IDLE);
        assert_eq!(left(used, used + Duration::from_secs(15)), Duration::from_secs(5));
        assert_eq!(left(used, used + Duration::from_secs(3600)), Duration::ZERO);
        assert_eq!(left(used + Duration::from_secs(1), used), IDLE);
        assert_eq!(Upstream::default().patience(used), None);
    }
}
