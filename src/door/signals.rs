//! SIGTERM, SIGINT, SIGHUP, a caller's timer and the end of the CPU time: the program says who has the message and
//! ends with a status of its own.
//!
//! The signals are blocked in every thread and waited for in one of their own, so nothing runs in a
//! signal handler. std hands the mask of the spawning thread on to programs we start, so whoever starts
//! one empties it around the spawn.

use std::fs;
use std::io;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use nix::sys::signal::{SigSet, Signal, kill};
use nix::unistd::Pid;

use crate::attempt::HandOver;
use crate::exit::{self, Scheme};
use crate::failure::{Failure, Kind};
use crate::process;
use crate::secret;

/// Whatever ends a process that does not answer it and may come from a person, a caller's timer, which outlasts exec, or a
/// limit.
const WATCHED: [Signal; 10] = [
    Signal::SIGTERM,
    Signal::SIGINT,
    Signal::SIGHUP,
    Signal::SIGQUIT,
    Signal::SIGALRM,
    Signal::SIGVTALRM,
    Signal::SIGPROF,
    Signal::SIGUSR1,
    Signal::SIGUSR2,
    Signal::SIGXCPU,
];

/// From now on, answers these signals. To be called in the main thread before there is another.
///
/// A signal before the hand-over is a `System` failure, inside it `InDoubt`; `end` gets that failure, tells
/// it to the user and the log, and returns the exit status. A signal after the final reply changes nothing:
/// the program is about to end with the status of that reply. A signal the caller had ignored (nohup)
/// stays ignored. Where no thread can be had, the signals keep their default action.
pub fn watch(hand_over: Arc<HandOver>, end: impl FnOnce(&Failure) -> u8 + Send + 'static) {
    let set: SigSet = WATCHED.into_iter().collect();
    let mut blocked = set;
    // A write beyond the caller's limit on file sizes is an error like another once this cannot kill us.
    blocked.add(Signal::SIGXFSZ);
    if blocked.thread_block().is_err() {
        return;
    }
    let waiter = move || {
        while let Ok(signal) = set.wait() {
            if is_ignored(signal) {
                continue;
            }
            if let Some(failure) = answer(signal, &hand_over) {
                // Told before the command ends: the thread that waits for it would tell of that.
                let status = end(&failure);
                secret::stop_command();
                std::process::exit(i32::from(status));
            }
        }
    };
    if process::start("signals", waiter).is_err() {
        let _ = set.thread_unblock();
    }
}

/// From now on, hands these signals on to `child`, a process that no terminal reaches.
///
/// # Errors
/// There is no thread to be had; then the signals keep their default action.
pub fn pass_on(child: Pid) -> io::Result<()> {
    let set: SigSet = [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP].into_iter().collect();
    set.thread_block()?;
    let waiter = move || {
        while let Ok(signal) = set.wait() {
            if !is_ignored(signal) {
                let _ = kill(child, signal);
            }
        }
    };
    process::start("signals", waiter).map(drop).inspect_err(|_| {
        let _ = set.thread_unblock();
    })
}

/// Whether a process that does one thing after the other is to end before the next.
pub struct Stop(Arc<(Mutex<bool>, Condvar)>);

impl Stop {
    /// From now on, these signals end the program where it asks ([`Stop::is_set`]), and the second one at once. To be
    /// called in the main thread before there is another. Where no thread can be had, they keep their default action.
    pub fn watch() -> Self {
        let this = Self(Arc::default());
        let set: SigSet = [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP].into_iter().collect();
        let mut blocked = set;
        blocked.add(Signal::SIGXFSZ);
        if blocked.thread_block().is_err() {
            return this;
        }
        let shared = Arc::clone(&this.0);
        let waiter = move || {
            while let Ok(signal) = set.wait() {
                if is_ignored(signal) {
                    continue;
                }
                let was_set = std::mem::replace(&mut *shared.0.lock().unwrap_or_else(PoisonError::into_inner), true);
                shared.1.notify_all();
                if was_set {
                    secret::stop_command();
                    std::process::exit(i32::from(exit::of_kind(&Kind::System, Scheme::Reply)));
                }
            }
        };
        if process::start("signals", waiter).is_err() {
            let _ = set.thread_unblock();
        }
        this
    }

    /// Whether the program is to end.
    pub fn is_set(&self) -> bool {
        *self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for `span`, or until the program is to end.
    pub fn wait(&self, span: Duration) {
        let is_set = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = self.0.1.wait_timeout_while(is_set, span, |is_set| !*is_set);
    }
}

/// What the arrival of `signal` means; `None`: the final reply is in, nothing is to be done.
fn answer(signal: Signal, hand_over: &HandOver) -> Option<Failure> {
    if hand_over.stop() {
        return Some(Failure::new(Kind::System, signal.as_str(), "stopped before the message was sent"));
    }
    hand_over.is_open().then(|| {
        Failure::new(
            Kind::InDoubt,
            signal.as_str(),
            "stopped while waiting for the final reply, may have been accepted",
        )
        .hint("look at the provider's log before sending it again")
    })
}

/// Whether the caller set the signal to be ignored. The kernel queues a blocked signal all the same,
/// and std has no safe way to ask, so the answer comes from procfs; without it, nothing is ignored.
fn is_ignored(signal: Signal) -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    mask & (1 << (signal as i32 - 1)) != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_the_message_decides_the_kind() {
        let kind = |hand_over: &HandOver| answer(Signal::SIGTERM, hand_over).map(|failure| failure.kind);
        assert_eq!(kind(&HandOver::default()), Some(Kind::System));
        let hand_over = HandOver::default();
        hand_over.begin("main").unwrap();
        assert_eq!(kind(&hand_over), Some(Kind::InDoubt));
        hand_over.end();
        assert_eq!(kind(&hand_over), None);
        hand_over.again();
        assert_eq!(kind(&hand_over), Some(Kind::System));
    }

    #[test]
    fn a_doubt_outlasts_what_another_try_hears() {
        let in_doubt = |hand_over: &HandOver| {
            answer(Signal::SIGTERM, hand_over).is_some_and(|failure| failure.kind == Kind::InDoubt)
        };
        let hand_over = HandOver::default();
        hand_over.begin("main").unwrap();
        hand_over.doubt();
        let begin = |hand_over: &HandOver| hand_over.begin("main").unwrap();
        for step in [HandOver::again, begin, HandOver::end, HandOver::again] {
            step(&hand_over);
            assert!(in_doubt(&hand_over));
        }
        hand_over.settle();
        assert!(!in_doubt(&hand_over));
        hand_over.doubt();
        hand_over.reset();
        assert!(hand_over.stop(), "another message has not been handed over");
    }

    #[test]
    fn std_ignores_sigpipe_and_nobody_ignores_sigterm_here() {
        assert!(is_ignored(Signal::SIGPIPE));
        assert!(!is_ignored(Signal::SIGTERM));
    }
}
