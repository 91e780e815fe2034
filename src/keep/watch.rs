//! The end of a process that is stopped while it holds what all callers share.
//!
//! A caller may stop its own process at any moment (SIGSTOP), and a lock in its hands would keep everybody out for as
//! long as it likes. Nobody else may end that process, so it has the kernel do that: a timer whose signal is SIGKILL ends
//! a process that is stopped, too. What is done in that time is a handful of system calls, each of which may be the last.

use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::{SigEvent, SigevNotify, Signal};
use nix::sys::time::TimeSpec;
use nix::sys::timer::{Expiration, Timer, TimerSetTimeFlags};
use nix::time::ClockId;

/// How long a lock may be held that is held for microseconds. Others have more patience than that.
const SPAN: Duration = Duration::from_secs(2);

/// Ends this process unless it is dropped in time.
#[derive(Debug)]
pub struct Watch(Option<Timer>);

impl Watch {
    /// Begins to watch; a kernel that has no such timers does not.
    ///
    /// # Errors
    /// There is no timer to be had, as where the caller allows its processes no signal that waits (RLIMIT_SIGPENDING).
    pub fn begin() -> Result<Self, Errno> {
        let kill = SigevNotify::SigevSignal { signal: Signal::SIGKILL, si_value: 0 };
        let mut watch = match Timer::new(ClockId::CLOCK_MONOTONIC, SigEvent::new(kill)) {
            Ok(timer) => Self(Some(timer)),
            Err(Errno::ENOSYS) => Self(None),
            Err(errno) => return Err(errno),
        };
        watch.again()?;
        Ok(watch)
    }

    /// Has all the time again.
    ///
    /// # Errors
    /// timer_settime(2)'s.
    pub fn again(&mut self) -> Result<(), Errno> {
        let once = Expiration::OneShot(TimeSpec::from_duration(SPAN));
        self.0.as_mut().map_or(Ok(()), |timer| timer.set(once, TimerSetTimeFlags::empty()))
    }
}
