//! What a flusher does about alerts: it tells those that are due, and remembers what it did.
//!
//! Killed before `begun` is written, an alert has not left, and the next run tells it. Killed between `told` and the
//! end, it is told and stays so. In between nobody knows, and it is told again with a remark: an alert that comes twice
//! is better than one that does not come. PagerDuty makes one incident of both, and whoever reads our facts sees the
//! same `id`.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::notice::Notice;
use super::series::{self, Done, Mark, Marker, Series};
use super::telling::{Moment, Telling};
use super::{Setback, TIME, command, letter, post};
use crate::attempt::{Attempt, HandOver, Sink, Trace};
use crate::config::Config;
use crate::config::alert::{Alert, Means, Occasion};
use crate::config::site::Site;
use crate::deadline::Deadline;
use crate::failure::{Failure, Kind};
use crate::host;
use crate::keep::Keep;
use crate::plan::Course;
use crate::random;

/// How long a run may take; what is left then is the next one's.
const SPAN: Duration = Duration::from_secs(60);
/// How long what failed once waits, in seconds; it doubles each time.
const FIRST: i64 = 60;
/// The longest that it becomes.
const LONGEST: i64 = 3600;
/// How long an alert is tried that does not get through, in seconds.
const GIVE_UP: i64 = 2 * 24 * 3600;
/// The lock of a run.
const LOCK: &str = ".lock";

/// What a run came to.
#[derive(Debug, Default)]
pub struct Heard {
    /// Alerts told.
    pub told: usize,
    /// Those that were not: which `[alert.NAME]`, and why.
    pub failed: Vec<(String, Failure)>,
    /// Something is still to be told, or may be soon: when to look again.
    pub next: Option<Duration>,
}

/// An alert that waits, for whoever looks.
#[derive(Debug)]
pub struct Pending {
    /// What happened.
    pub notice: Notice,
    /// How often.
    pub events: u64,
    /// For each `[alert.NAME]` that tells of it: whether it has, and why not where it failed.
    pub alerts: Vec<(String, bool, Option<String>)>,
}

/// Tells every alert of the caller's that is due. `waiting` counts the messages in the spool.
///
/// # Errors
/// The configuration cannot be read: everything waits.
pub fn tell_all(
    course: &Course<'_>,
    is_stopped: &dyn Fn() -> bool,
    waiting: &dyn Fn() -> u64,
) -> Result<Heard, Failure> {
    let uid = course.caller().uid;
    let mut heard = Heard::default();
    let Some(keep) = series::directory(uid).filter(|keep| keep.directory().is_dir()) else { return Ok(heard) };
    // Whoever has it tells them.
    let Ok(_lock) = keep.lock(LOCK, Deadline::after(Duration::ZERO)) else { return Ok(heard) };
    series::put_back(&keep);
    let mut names = series::names(&keep);
    if names.is_empty() {
        return Ok(heard);
    }
    // The end of a trouble comes behind it.
    names.sort_by_key(|name| name.starts_with(Occasion::Recovered.word()));
    let config = course.config()?;
    let mut round = Round {
        course,
        config,
        keep: &keep,
        host: host::name(),
        waiting: waiting(),
        down: Vec::new(),
        end: Instant::now() + SPAN,
        is_stopped,
    };
    for name in names {
        round.attend(&name, uid, &mut heard);
    }
    Ok(heard)
}

/// Whether an alert of `uid` waits, or was told so lately that what happens now belongs to it.
pub fn is_any(uid: u32) -> bool {
    series::directory(uid).is_some_and(|keep| !series::names(&keep).is_empty())
}

/// What waits for `uid`, and who is to hear of it.
pub fn pending(config: &Config, uid: u32) -> Vec<Pending> {
    let Some(keep) = series::directory(uid) else { return Vec::new() };
    let read = |name: String| Series::read(&keep, &name, uid);
    let pending = |series: Series| {
        let (_, alerts) = concerned(config, &series.notice);
        let told = |alert: &Arc<Alert>| {
            let state = State::of(&series, &alert.name);
            (alert.name.clone(), state.told.is_some_and(|(_, told)| told >= series.events), state.why)
        };
        let alerts = alerts.into_iter().map(told).collect();
        Pending { alerts, notice: series.notice, events: series.events }
    };
    series::names(&keep).into_iter().filter_map(read).map(pending).collect()
}

/// Tells `alert` of something that did not happen, and shows the exchange to `sink`.
///
/// # Errors
/// It did not arrive.
pub fn try_out(course: &Course<'_>, alert: &Alert, sink: Option<Sink>) -> Result<(), Failure> {
    let now = host::now();
    let moment = Moment { host: &host::name(), now: &now, waiting: 0 };
    let site = course.config()?.sites.first();
    let reason = "a test, nothing is wrong";
    let at = now.timestamp().as_second();
    let notice = Notice::new(Occasion::Failed, site.map_or("", |site| &site.name), at, reason, "");
    let mut telling = Telling::of(&notice, 1, 0, false, &moment);
    telling.text = format!("test of alert {}: nothing is wrong", alert.name);
    let trace = Trace::new(sink);
    let mut attempt = Attempt { trace, ..Attempt::new(Deadline::after(TIME)) };
    deliver(course, alert, site, &telling, &mut attempt).map_err(|setback| *setback.failure)
}

/// Keeps `notice` for `uid` where some alert of `config` tells of it, as [`series::raise`] does.
pub fn raise_for(config: &Config, notice: &Notice, uid: u32) {
    if !concerned(config, notice).1.is_empty() {
        let _ = series::raise(notice, uid, false);
    }
}

/// The site that `notice` is about, and the alerts that tell of it.
fn concerned<'c>(config: &'c Config, notice: &Notice) -> (Option<&'c Site>, Vec<&'c Arc<Alert>>) {
    let site = config.site(&notice.site);
    let all: Vec<&Arc<Alert>> = match site {
        Some(site) => site.alerts.iter().collect(),
        // Those of the main file tell of whatever is no site's, or of one that is gone.
        None => config.alerts.iter().filter(|alert| !alert.name.contains('/')).collect(),
    };
    (site, all.into_iter().filter(|alert| notice.is_in(alert.on)).collect())
}

/// What was done about a series by one alert.
#[derive(Debug, Default, PartialEq, Eq)]
struct State {
    /// When it was last told, and how many events were known then.
    told: Option<(i64, u64)>,
    /// How often it failed since.
    tries: u32,
    /// When it failed first since.
    since: Option<i64>,
    /// When it is tried again.
    next: i64,
    /// Why it failed last.
    why: Option<String>,
    /// It may have arrived since.
    is_in_doubt: bool,
    /// The last thing known is that it was about to leave.
    is_begun: bool,
}

/// What is to be done about a series by one alert.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    /// It is told now.
    Tell,
    /// It is tried no longer.
    GiveUp,
    /// It is looked at again in so many seconds.
    Wait(i64),
    /// All is told, and long enough ago.
    Over,
}

impl State {
    fn of(series: &Series, name: &str) -> Self {
        let mut state = Self::default();
        for mark in series.marks.iter().filter(|mark| mark.to == name) {
            match mark.mark {
                Done::Begun => {
                    state.is_in_doubt |= state.is_begun;
                    state.is_begun = true;
                }
                Done::Told | Done::GivenUp => state = Self { told: Some((mark.t, mark.n)), ..Self::default() },
                Done::Failed | Done::Doubtful => {
                    state.is_begun = false;
                    state.is_in_doubt |= mark.mark == Done::Doubtful;
                    state.tries = state.tries.saturating_add(1);
                    state.since.get_or_insert(mark.t);
                    state.next = mark.next.unwrap_or(mark.t + FIRST);
                    state.why.clone_from(&mark.why);
                }
            }
        }
        state
    }

    /// What is next at `now`, where `events` have happened; `every` seconds are between two tellings.
    fn step(&self, events: u64, every: i64, now: i64) -> Step {
        // A clock that was set back keeps nothing waiting for longer than it would have waited at first.
        let due = |at: i64, span: i64| (at + span).min(now + span) - now;
        let pause = self.told.map_or(0, |(at, _)| due(at, every));
        let retry = if self.tries > 0 { (self.next - now).min(24 * 3600) } else { 0 };
        match self.told {
            Some((_, told)) if told >= events && pause <= 0 => Step::Over,
            Some((_, told)) if told >= events => Step::Wait(pause),
            _ if self.since.is_some_and(|since| now - since > GIVE_UP) => Step::GiveUp,
            _ if pause.max(retry) > 0 => Step::Wait(pause.max(retry)),
            _ => Step::Tell,
        }
    }
}

/// A run under way.
struct Round<'a> {
    course: &'a Course<'a>,
    config: &'a Config,
    keep: &'a Keep,
    host: String,
    waiting: u64,
    /// The alerts that have just failed.
    down: Vec<String>,
    end: Instant,
    is_stopped: &'a dyn Fn() -> bool,
}

impl Round<'_> {
    /// Tells what is due of the series `name`, and ends it once all is told.
    fn attend(&mut self, name: &str, uid: u32, heard: &mut Heard) {
        let look_again = |heard: &mut Heard, seconds: i64| {
            let span = Duration::from_secs(u64::try_from(seconds).unwrap_or(0).max(1));
            heard.next = Some(heard.next.map_or(span, |next| next.min(span)));
        };
        let series = Series::read(self.keep, name, uid).and_then(|series| series.shorten(self.keep, uid));
        let Some(series) = series else { return look_again(heard, 5) };
        let (site, alerts) = concerned(self.config, &series.notice);
        let mut is_over = true;
        for alert in alerts {
            let state = State::of(&series, &alert.name);
            // Silence is not told more often than it takes to be one.
            let silent = alert.silent.filter(|_| series.notice.event == Occasion::Silent).unwrap_or_default();
            let every = i64::try_from(alert.every.max(silent).as_secs()).unwrap_or(i64::MAX);
            let now = Timestamp::now().as_second();
            let step = state.step(series.events, every, now);
            let is_put_off = self.down.contains(&alert.name) || (self.is_stopped)() || Instant::now() >= self.end;
            is_over &= step == Step::Over;
            match step {
                Step::Over => {}
                Step::Wait(seconds) => look_again(heard, seconds),
                _ if is_put_off => look_again(heard, 1),
                Step::GiveUp => {
                    let mark = mark(Done::GivenUp, alert, &series, now);
                    let _ = series.marker().and_then(|mut marker| marker.write(&mark));
                    look_again(heard, every);
                }
                Step::Tell => match self.tell(alert, site, &series, &state) {
                    Ok(()) => {
                        heard.told += 1;
                        look_again(heard, every);
                    }
                    Err((failure, next)) => {
                        self.down.push(alert.name.clone());
                        heard.failed.push((alert.name.clone(), *failure));
                        look_again(heard, next);
                    }
                },
            }
        }
        if is_over {
            series.end();
        }
    }

    /// Tells `series` by `alert`, and writes down how that ended.
    ///
    /// # Errors
    /// Why it was not told, and in how many seconds it is tried again.
    fn tell(
        &self,
        alert: &Arc<Alert>,
        site: Option<&Site>,
        series: &Series,
        state: &State,
    ) -> Result<(), (Box<Failure>, i64)> {
        let marker = series.marker().map_err(|failure| (Box::new(failure), FIRST))?;
        let marker = Arc::new(Mutex::new(marker));
        let now = host::now();
        let at = now.timestamp().as_second();
        let told = state.told.map_or(0, |(_, told)| told);
        let moment = Moment { host: &self.host, now: &now, waiting: self.waiting };
        let is_again = state.is_in_doubt || state.is_begun;
        let telling = Telling::of(&series.notice, series.events, told, is_again, &moment);
        let begun = mark(Done::Begun, alert, series, at);
        let hand_over = Arc::new(HandOver::marked(Box::new({
            let marker = Arc::clone(&marker);
            move |_| write(&marker, &begun)
        })));
        let mut attempt = Attempt { hand_over, ..Attempt::new(Deadline::after(TIME)) };
        match deliver(self.course, alert, site, &telling, &mut attempt) {
            // It is out: where that cannot be written down, it comes again.
            Ok(()) => {
                write(&marker, &mark(Done::Told, alert, series, at)).map_err(|failure| (Box::new(failure), FIRST))
            }
            Err(Setback { failure, after }) => {
                let pause = after.map(|after| i64::try_from(after.as_secs()).unwrap_or(LONGEST));
                let pause = pause.unwrap_or_else(|| back_off(state.tries + 1));
                let done = if failure.kind == Kind::InDoubt { Done::Doubtful } else { Done::Failed };
                let ended = Timestamp::now().as_second();
                let (why, next) = (Some(failure.to_string()), Some(ended + pause));
                let _ = write(&marker, &Mark { why, next, ..mark(done, alert, series, ended) });
                Err((failure, pause))
            }
        }
    }
}

fn write(marker: &Mutex<Marker>, mark: &Mark) -> Result<(), Failure> {
    marker.lock().unwrap_or_else(PoisonError::into_inner).write(mark)
}

fn mark(done: Done, alert: &Alert, series: &Series, t: i64) -> Mark {
    Mark { mark: done, to: alert.name.clone(), t, n: series.events, why: None, next: None }
}

/// How many seconds what failed `tries` times waits: a minute, twice as long each time up to an hour, a quarter more or
/// less.
fn back_off(tries: u32) -> i64 {
    let span = FIRST.saturating_mul(1 << tries.saturating_sub(1).min(16)).min(LONGEST);
    let [chance] = random::octets::<1>().unwrap_or([128]);
    span * 3 / 4 + span * i64::from(chance) / 510
}

/// Tells `telling`, about `site`, by the means of `alert`.
fn deliver(
    course: &Course<'_>,
    alert: &Alert,
    site: Option<&Site>,
    telling: &Telling,
    attempt: &mut Attempt,
) -> Result<(), Setback> {
    match &alert.means {
        Means::Post(of) => post::tell(alert, of, telling, attempt),
        Means::Command(words) => command::run(alert, words, &telling.json(), attempt),
        Means::Mail { to, from, relays } => {
            let letter = letter::Letter { to, from: from.as_ref(), relays, site };
            letter::send(&letter, telling, course.ehlo_argument(), attempt)
        }
    }
}
