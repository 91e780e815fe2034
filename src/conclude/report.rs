//! What the user reads on standard error: the outcome as lines, the most important first.
//!
//! PHP and cron often keep the first line only, so it is the one that decided the exit status.

use crate::config::relay::Place;
use crate::envelope::Envelope;
use crate::failure::Failure;
use crate::hint;
use crate::outcome::{Answer, Outcome, Stage};
use crate::reply::Reply;
use crate::spool::Kept;
use crate::submit::{Submission, Try};

/// How many refused recipients are named; the rest are counted.
const NAMED: usize = 20;

/// What is said about one message: facts, a line each, then at most one next step.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Each without the program's name; empty when there is nothing to say.
    pub lines: Vec<String>,
    /// The next step, without `hint: `.
    pub hint: Option<String>,
}

/// The report of a submission; empty when everybody accepted.
pub fn of_submission(submission: &Submission, envelope: &Envelope, site: &str) -> Report {
    let decisive = submission.decisive();
    let mut report = match &decisive.result {
        Ok(outcome) => of_outcome(outcome, decisive, envelope, site),
        Err(failure) => of_failure(failure, Some(decisive), Some(site)),
    };
    if !report.lines.is_empty() {
        let others = submission.tries().iter().filter(|attempt| !std::ptr::eq(*attempt, decisive));
        report
            .lines
            .extend(others.map(|attempt| format!("relay {}: {}", attempt.relay.name, summary(&attempt.result))));
    }
    report
}

/// `report`, of `submission`, with what has become of the message beside it. Whoever waits in the spool is no trouble
/// of the caller's.
pub fn with_kept(mut report: Report, submission: &Submission, kept: &Kept, id: &str) -> Report {
    match kept {
        Kept::No | Kept::Copied(_) | Kept::Uncopied(_) => {}
        _ if super::is_told_by_spool(submission, kept) => return Report::default(),
        Kept::Queued { .. } => report.lines.push(format!("those who can be sent to later wait in the spool as {id}")),
        Kept::Held => {
            report.lines.push(format!("the message is held in the spool as {id}"));
            let looked = "look at the provider's log";
            report.hint = Some(format!(
                "{looked}: if it arrived, mailchute queue drop {id}; if not, mailchute queue release {id}"
            ));
        }
        Kept::Failed(failure) => unkept(&mut report, failure),
    }
    report
}

/// The report of a failure after which the message was to wait, and could not be kept.
pub fn of_unkept(failure: &Failure, why: &Failure, site: Option<&str>) -> Report {
    let mut report = of_failure(failure, None, site);
    unkept(&mut report, why);
    report
}

fn unkept(report: &mut Report, why: &Failure) {
    report.lines.push(format!("not kept for later: {why}"));
    report.hint = why.hint.clone().or(report.hint.take());
}

/// The report of a failure; `attempt` is the try it happened in, if it came to one.
pub fn of_failure(failure: &Failure, attempt: Option<&Try>, site: Option<&str>) -> Report {
    let mut context = Vec::new();
    match attempt {
        Some(attempt) if !failure.is_our_refusal() => {
            context.extend(failure.stage.map(|stage| stage.to_string()));
            context.push(format!("relay {}", attempt.relay.name));
        }
        _ => context.push("mailchute".to_owned()),
    }
    context.extend(site.map(|site| format!("site {site}")));
    let configured = || hint::for_failure(failure, &attempt?.relay);
    Report {
        lines: vec![format!("{failure} ({})", context.join(", "))],
        hint: failure.hint.clone().or_else(configured),
    }
}

fn of_outcome(outcome: &Outcome, attempt: &Try, envelope: &Envelope, site: &str) -> Report {
    let Some((decisive, decisive_reply)) = outcome.decisive().filter(|(_, reply)| !reply.is_positive()) else {
        return Report::default();
    };
    let host = match &attempt.relay.place {
        Place::Tcp { host, .. } => host.clone(),
        Place::Unix(path) => path.display().to_string(),
    };
    let line = |what: &str, reply: &Reply, stage: Stage| {
        let stage = if attempt.relay.api().is_some() { "HTTP API" } else { stage.name() };
        format!("{what}: {reply} ({stage}, {host}, site {site})")
    };

    let mut lines = Vec::new();
    if outcome.is_forced_partial() {
        lines.push(format!(
            "in doubt: some recipients were accepted and others refused, do not resend to all ({host}, site {site})"
        ));
    }
    if outcome.answers.iter().all(|answer| answer.reply.as_ref() == Some(decisive_reply))
        && decisive.stage != Stage::RcptTo
    {
        lines.push(line(&subject(decisive.stage, attempt, envelope, &host), decisive_reply, decisive.stage));
    } else {
        let mut refused: Vec<(&Answer, &Reply)> = outcome
            .answers
            .iter()
            .filter_map(|answer| answer.reply.as_ref().map(|reply| (answer, reply)))
            .filter(|(_, reply)| !reply.is_positive())
            .collect();
        refused.sort_by_key(|(answer, _)| !std::ptr::eq(*answer, decisive));
        lines.extend(
            refused.iter().take(NAMED).map(|(answer, reply)| line(answer.recipient.as_ref(), reply, answer.stage)),
        );
        if refused.len() > NAMED {
            lines.push(format!("and {} more recipients refused", refused.len() - NAMED));
        }
    }
    let named = |pick: fn(&Answer) -> bool| list(outcome.answers.iter().filter(|answer| pick(answer)));
    if let Some(held) = named(|answer| answer.reply.is_none()) {
        let why = match outcome.is_accepted_for_some() {
            true => "another address of the same alias was refused",
            false => "one recipient was refused, so nothing was sent",
        };
        lines.push(format!("not sent to {held}: {why}"));
    }
    if let Some(accepted) = named(|answer| answer.reply.as_ref().is_some_and(Reply::is_positive)) {
        lines.push(format!("accepted for {accepted}"));
    }
    Report { lines, hint: hint::for_reply(decisive_reply, decisive.stage, &attempt.relay) }
}

/// What a reply that concerns everybody is about.
fn subject(stage: Stage, attempt: &Try, envelope: &Envelope, host: &str) -> String {
    match stage {
        Stage::Auth => match attempt.relay.username() {
            Some(name) => format!("login as {name}"),
            None => "login".to_owned(),
        },
        Stage::MailFrom => envelope.reverse_path.as_ref().map_or_else(|| "<>".to_owned(), ToString::to_string),
        Stage::Data | Stage::Message => "message".to_owned(),
        _ => host.to_owned(),
    }
}

/// The recipients of `answers`, bounded; `None` where there are none.
fn list<'a>(answers: impl Iterator<Item = &'a Answer>) -> Option<String> {
    let names: Vec<String> = answers.map(|answer| answer.recipient.to_string()).collect();
    match names.len() {
        0 => None,
        count if count > NAMED => Some(format!("{} and {} more", names[..NAMED].join(", "), count - NAMED)),
        _ => Some(names.join(", ")),
    }
}

fn summary(result: &Result<Outcome, Failure>) -> String {
    match result {
        Ok(outcome) => match outcome.decisive() {
            Some((answer, reply)) => format!("{reply} ({})", answer.stage),
            None => String::new(),
        },
        Err(failure) => failure.to_string(),
    }
}
