//! `mailchute alert`: who is told of what, what is still to be told, and a test.

use std::fmt::Write as _;
use std::fs;
use std::time::Duration;

use crate::alert::{self, Pending};
use crate::attempt::Sink;
use crate::caller::Caller;
use crate::cli::alert::{AlertTask, TestAlert};
use crate::cli::invocation::Invocation;
use crate::config::Config;
use crate::config::alert::{Alert, Means, Post, Service, Target};
use crate::door;
use crate::exit::{self, Scheme};
use crate::failure::{Failure, Kind};
use crate::host;
use crate::plan::Course;
use crate::secret::Source;
use crate::spelling;
use crate::tools::queue::directories;

/// Does `task` for `caller` and returns the exit status.
pub(crate) fn run(invocation: &Invocation, task: &AlertTask, caller: &Caller) -> u8 {
    let course = Course::begin(caller, &invocation.choice);
    let done = match task {
        AlertTask::List(_) => course.config().and_then(|config| door::print(&list(config, caller))),
        AlertTask::Test(words) => test(&course, words),
    };
    match done {
        Ok(()) => exit::OK,
        Err(failure) => {
            door::report(&failure);
            exit::of_kind(&failure.kind, Scheme::Reply)
        }
    }
}

/// Who is told of what, and what is still to be told.
fn list(config: &Config, caller: &Caller) -> String {
    let mut out = String::new();
    if config.alerts.is_empty() {
        out += "nobody is told when something goes wrong: see [alert.NAME] in mailchute.toml(5)\n";
    }
    for alert in &config.alerts {
        let _ = writeln!(out, "{}: {}", alert.name, described(alert));
        let _ = writeln!(out, "    of {}", alert.on.words().join(", "));
        let silent = alert.silent.map_or_else(String::new, |span| format!(", after {} of silence", told(span)));
        let _ = writeln!(out, "    at most every {}{silent}", told(alert.every));
    }
    if let Some(ping) = &config.ping {
        let _ = writeln!(out, "ping after each flush: {}", place(ping));
    }
    for pending in alert::pending(config, caller.uid) {
        out += &row(&pending);
    }
    if caller.uid == 0 {
        for (uid, directory) in directories().into_iter().filter(|(uid, _)| *uid != 0) {
            // Names only: what they are, the user's own process sees.
            let names = fs::read_dir(directory.join(alert::FOLDER)).into_iter().flatten().filter_map(Result::ok);
            let count = names.filter(|name| !name.file_name().as_encoded_bytes().starts_with(b".")).count();
            if count > 0 {
                let _ = writeln!(out, "uid {uid}: {count} more, which `mailchute alert --as {uid}` lists");
            }
        }
    }
    out
}

fn row(pending: &Pending) -> String {
    let Pending { notice, events, alerts } = pending;
    let relay = notice.relay.as_ref().map_or_else(String::new, |relay| format!(" through {relay}"));
    let site = if notice.site.is_empty() { "mailchute" } else { &notice.site };
    let times = if *events == 1 { "once".to_owned() } else { format!("{events} times") };
    let reason = if notice.reason.is_empty() { String::new() } else { format!(": {}", notice.reason) };
    let mut out = format!("{} of {site}{relay}, {times}{reason}\n", notice.event.word());
    for (name, is_told, why) in alerts {
        let _ = match (is_told, why) {
            (true, _) => writeln!(out, "    {name} was told"),
            (false, None) => writeln!(out, "    {name} is told at the next flush"),
            (false, Some(why)) => writeln!(out, "    {name} is not told yet: {why}"),
        };
    }
    if alerts.is_empty() {
        out += "    nobody is told of it\n";
    }
    out
}

/// How `alert` is told, without a secret.
fn described(alert: &Alert) -> String {
    match &alert.means {
        Means::Post(post) => posted(post),
        // Its arguments may be anything, a secret included.
        Means::Command(words) => format!("command {}", words.first().map_or("", String::as_str)),
        Means::Mail { to, relays, .. } => {
            let to: Vec<_> = to.iter().map(|to| format!("{}", to.spec)).collect();
            let relays: Vec<_> = relays.iter().map(|relay| relay.name.as_str()).collect();
            format!("mail to {} through {}", to.join(", "), relays.join(" or "))
        }
    }
}

fn posted(post: &Post) -> String {
    let target = match &post.url {
        Some(Source::Inline(url)) => Target::read(url.expose()).ok(),
        Some(_) => None,
        None => post.service.and_then(Service::own_url).and_then(|url| Target::read(url).ok()),
    };
    let host = target.as_ref().map(Target::host);
    let service = post.service.or(host.map(|host| Service::of_host(host).unwrap_or(Service::Json)));
    let service = service.map_or("the service that its URL names", Service::word);
    match (target, &post.url) {
        (Some(target), _) => format!("{service}, {}/***", target.origin),
        (None, Some(url)) => format!("{service}, URL in {}", url.describe()),
        (None, None) => service.to_owned(),
    }
}

fn place(source: &Source) -> String {
    match source {
        Source::Inline(url) => Target::read(url.expose()).map_or_else(str::to_owned, |target| target.origin + "/***"),
        source => format!("URL in {}", source.describe()),
    }
}

/// `90m`, `1h`, `3d`.
fn told(span: Duration) -> String {
    let minutes = span.as_secs() / 60;
    match minutes {
        minutes if minutes % 1440 == 0 => format!("{}d", minutes / 1440),
        minutes if minutes % 60 == 0 => format!("{}h", minutes / 60),
        minutes => format!("{minutes}m"),
    }
}

/// Sends a test by the alert that `words` name, and shows the exchange.
fn test(course: &Course<'_>, words: &TestAlert) -> Result<(), Failure> {
    let config = course.config()?;
    let Some(alert) = config.alerts.iter().find(|alert| alert.name == words.name) else {
        let names = config.alerts.iter().map(|alert| alert.name.as_str());
        let failure = Failure::new(Kind::NoInput, &words.name, "no alert of this name is configured");
        return Err(match spelling::nearest(&words.name, names.clone()) {
            Some(near) => failure.hint(format!("did you mean {near:?}?")),
            None if config.alerts.is_empty() => failure.hint("see [alert.NAME] in mailchute.toml(5)"),
            None => failure.hint(format!("there are: {}", names.collect::<Vec<_>>().join(", "))),
        });
    };
    door::print(&format!("{}: {}\n", alert.name, described(alert)))?;
    let show: Sink = Box::new(|line| {
        let _ = door::say(&format!("{line}\n"));
    });
    alert::try_out(course, alert, (!host::is_privileged()).then_some(show))?;
    door::print("told\n")
}
