//! The session with a relay that is kept from one message to the next.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::attempt::Trace;
use crate::config::relay::Relay;
use crate::smtp::Session;

/// How long a session is kept after it was last used.
const IDLE: Duration = Duration::from_secs(20);

/// The session that is kept from one message to the next.
#[derive(Default)]
pub struct Upstream(Option<(Session, Instant)>);

impl Upstream {
    /// How long the kept session may still be idle, seen from `now`; `None`: none is kept.
    pub fn patience(&self, now: Instant) -> Option<Duration> {
        let (_, used) = self.0.as_ref()?;
        Some(left(*used, now))
    }

    /// Says goodbye to the kept session.
    pub fn close(&mut self) {
        if let Some((session, _)) = self.0.take() {
            session.quit(&mut Trace::default());
        }
    }

    /// The kept session if it leads to `relay`; one that leads elsewhere is closed.
    pub(super) fn take(&mut self, relay: &Arc<Relay>) -> Option<Session> {
        if self.0.as_ref().is_some_and(|(session, _)| !Arc::ptr_eq(session.relay(), relay)) {
            self.close();
        }
        self.0.take().map(|(session, _)| session)
    }

    /// Keeps `session` while it is worth it.
    pub(super) fn keep(&mut self, session: Session) {
        if session.is_open() {
            self.0 = Some((session, Instant::now()));
        }
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
