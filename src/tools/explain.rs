//! `mailchute explain`: the path of a message, stopped before a relay is spoken to.

mod isolation;

use std::io::IsTerminal;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::attempt::Attempt;
use crate::breaker::{Breaker, Health};
use crate::caller::Caller;
use crate::cli::dialect::Sendmail;
use crate::cli::invocation::Invocation;
use crate::config::limit::Limits;
use crate::config::relay::{Grant, OAuth, Protocol, Relay, TlsMode, Username, Way};
use crate::config::site::{InDoubt, Site};
use crate::config::{Config, Wording, is_named_for};
use crate::deadline::{Deadline, seconds};
use crate::door;
use crate::exit::{self, Scheme};
use crate::failure::{Failure, Kind};
use crate::host;
use crate::limit::{self, ban};
use crate::message::{MailObject, Message};
use crate::modes;
use crate::oauth::endpoint::is_key;
use crate::oauth::not_logged_in;
use crate::oauth::store::Store;
use crate::plan::{Course, Plan};
use crate::secret::Source;
use crate::spool::{Spool, flusher};
use crate::tools::{admission, check, send};

/// Prints every decision about the message `of` would send, on standard input or none, and returns 0, or the status
/// the message would end with if no relay was spoken to.
pub fn run(invocation: &Invocation, of: &Sendmail, caller: &Caller) -> u8 {
    let mut page = Page::default();
    let mut scheme = Scheme::Reply;
    let result = walk(invocation, of, caller, &mut scheme, &mut page);
    let _ = door::say(&page.text);
    let Err(failure) = result else { return exit::OK };
    let status = exit::of_kind(&failure.kind, scheme);
    door::complain(&failure.to_string());
    door::complain(&format!("a caller would get exit status {status}"));
    if let Some(hint) = &failure.hint {
        door::suggest(hint);
    }
    status
}

fn walk(
    invocation: &Invocation,
    of: &Sendmail,
    caller: &Caller,
    scheme: &mut Scheme,
    page: &mut Page,
) -> Result<(), Failure> {
    let wanted = &invocation.choice;
    page.row("caller", &caller_line(caller));
    isolation::rows(&invocation.ignored, caller, page);
    let course = Course::begin(caller, wanted);
    let config = course.config()?;
    page.wording = config.wording.clone();
    source_rows(config, caller, page);
    let mut message = message()?;
    let selection =
        course.site(&of.wishes, message.header()).map_err(|failure| page.wording.of_failure(failure, None))?;
    let site = selection.site;
    *scheme = site.exit_status;
    page.row("site", &format!("{}: {}", site.name, selection.why));
    let banned = ban::check(config, site, caller.uid);
    if let Err(failure) = &banned {
        page.row("ban", &failure.to_string());
    }
    if let Some(guard) = &site.staging.guard {
        page.row("staging", &format!("{guard}: nobody else gets anything from this site"));
    }
    if let Some(whom) = &site.staging.elsewhere {
        page.row("staging", &format!("[staging] is for {whom}, and not for this host ({})", host::name()));
    }
    if let Some(limits) = &site.limits {
        limit_rows("limit", limits, caller, page);
        if !host::is_privileged() && caller.uid != 0 {
            page.row("limit", "counted for this user alone, who can remove the file that counts");
        }
    }
    let plan = course.plan(site, &of.wishes, &mut message);
    if let Ok(plan) = &plan {
        plan_rows(plan, &message, page);
        for (label, text) in course.explain_route(site, MailObject { envelope: &plan.envelope, message: &message }) {
            page.row(&label, &text);
        }
    }
    let relays: Vec<_> = match &plan {
        Ok(plan) => plan.route.clone(),
        Err(_) => {
            let is_wanted = |relay: &&Arc<Relay>| wanted.relay.as_ref().is_none_or(|name| *name == relay.name);
            site.every_relay().into_iter().filter(is_wanted).cloned().collect()
        }
    };
    let mut useless = Vec::new();
    let breaker = Breaker::of(site, caller.uid);
    for (index, relay) in relays.iter().enumerate() {
        relay_rows(index + 1, relay, site, caller, config.strict_modes, page);
        match breaker.as_ref().map(|breaker| breaker.health(relay)) {
            Some(Health::Down(down) | Health::Due(down)) => page.row("", &down.to_string()),
            Some(Health::Up) | None => {}
        }
        if let Some(limits) = &relay.limits {
            limit_rows("", limits, caller, page);
        }
        useless.extend(page.trouble.take());
    }
    spool_rows(site, caller, page);
    for finding in check::known(config, site, caller) {
        page.row("check", &format!("{} {}: {finding}", finding.grade, finding.code.word));
        if let Some(next) = &finding.next {
            page.row("", &format!("-> {next}"));
        }
    }
    if !of.ignored.is_empty() {
        page.row("ignored", &of.ignored.join(" "));
    }
    banned?;
    let plan = plan.map_err(|failure| page.wording.of_failure(failure, None))?;
    if let Some(limits) = &site.limits
        && let Err(refused) = limit::look(limits, plan.envelope.forward_paths.len(), caller.uid)
    {
        match admission::waits(site, &refused) {
            true => page.row("limit", "over it, so the message waits in the spool until there is room"),
            false => return Err(refused.failure().clone()),
        }
    }
    // While one relay is left, a message may still go through it.
    if useless.len() == relays.len() { useless.into_iter().next().map_or(Ok(()), Err) } else { Ok(()) }
}

/// The message on standard input, or one that says nothing: nobody types one at a terminal for this.
fn message() -> Result<Message, Failure> {
    let blank = || Message::read(&mut &b"\n"[..], false);
    if std::io::stdin().is_terminal() {
        return blank();
    }
    match send::read_standard_input(false) {
        Err(failure) if failure.kind == Kind::NoInput => blank(),
        read => read,
    }
}

fn caller_line(caller: &Caller) -> String {
    let user = caller.user.as_deref().map(|user| format!(" ({user})")).unwrap_or_default();
    let cwd = caller.cwd.as_ref().map_or("no directory".to_owned(), |cwd| cwd.display().to_string());
    format!("uid {}{user}, in {cwd}", caller.uid)
}

fn source_rows(config: &Config, caller: &Caller, page: &mut Page) {
    page.row("source", &config.origin.to_string());
    for passed in &config.passed_over {
        page.row("passed over", &format!("{}: {}", passed.place, passed.why));
    }
    // Those with a mistake in them are among the warnings, and every other site's file is like another.
    let (own, others): (Vec<_>, Vec<_>) = config
        .skipped
        .iter()
        .filter(|skipped| !skipped.is_mistake)
        .partition(|skipped| is_named_for(&skipped.file, caller));
    for skipped in own {
        page.row("skipped", &skipped.told());
    }
    match others.len() {
        0 => {}
        1 => page.row("skipped", "one file that belongs to another user"),
        count => page.row("skipped", &format!("{count} files that belong to other users")),
    }
    for warning in &config.warnings {
        page.row("warning", warning);
    }
}

fn plan_rows(plan: &Plan, message: &Message, page: &mut Page) {
    let path = plan.envelope.reverse_path.as_ref().map_or_else(|| "<>".to_owned(), ToString::to_string);
    page.row("reverse-path", &path);
    for path in &plan.envelope.forward_paths {
        page.row("recipient", path.as_ref());
    }
    if let Some(diversion) = &plan.diversion {
        page.row("staging", &diversion.to_string());
    }
    for note in &plan.notes {
        page.row("because", note);
    }
    for repair in message.repairs() {
        page.row("change", repair);
    }
    for warning in &plan.warnings {
        page.row("warning", warning);
    }
}

/// What is left of each limit.
fn limit_rows(label: &str, limits: &Limits, caller: &Caller, page: &mut Page) {
    match limit::left(limits, caller.uid) {
        Ok(all) => all.iter().for_each(|left| page.row(label, &left.to_string())),
        Err(failure) => page.row(label, &failure.why),
    }
    if let Some(most) = limits.recipients {
        page.row(label, &format!("{most} recipients a message"));
    }
    if let Some(most) = limits.octets {
        page.row(label, &format!("{most} octets a message"));
    }
}

/// What becomes of what no relay takes.
fn spool_rows(site: &Site, caller: &Caller, page: &mut Page) {
    if site.spooling.is_on {
        let label = "if none does";
        let Some(spool) = Spool::find(caller) else {
            page.row(label, "it cannot be kept: there is no place for what waits");
            return;
        };
        page.row(label, &format!("it waits in {}, at most {}", spool.directory().display(), site.spooling.give_up()));
        page.row(label, flusher::of(&spool).describe());
    }
    match site.terms.in_doubt {
        InDoubt::Report => {}
        InDoubt::Hold => page.row("in doubt", "held in the spool until a person decides"),
        InDoubt::Retry => page.row("in doubt", "sent again, so it may arrive twice"),
    }
}

fn relay_rows(number: usize, relay: &Relay, site: &Site, caller: &Caller, strict: bool, page: &mut Page) {
    let provider = relay.provider.map(|provider| format!(" ({})", provider.name)).unwrap_or_default();
    let how = match &relay.way {
        Way::Api(interface) => format!("HTTP API at {}", interface.endpoint),
        Way::Null(_) => "discards every message".to_owned(),
        Way::Smtp(smtp) => match (smtp.protocol, relay.tls) {
            (Protocol::Lmtp, _) => format!("LMTP to {}", relay.place),
            (Protocol::Smtp, TlsMode::Implicit) => format!("SMTP to {}, TLS from the start", relay.place),
            (Protocol::Smtp, TlsMode::StartTls) => format!("SMTP to {}, STARTTLS required", relay.place),
            (Protocol::Smtp, TlsMode::None) => format!("SMTP to {}, no TLS", relay.place),
        },
    };
    page.relay = Some(relay.name.clone());
    page.row(&format!("relay {number}"), &format!("{}{provider}: {how}", relay.name));
    if number == 1 {
        page.row("", &format!("deadline {} for all relays together", seconds(site.terms.deadline)));
    }
    if let Some(warning) = relay.expiry() {
        page.row("", &warning);
    }
    certificate_rows(relay, strict, page);
    if let Some(oauth) = &relay.oauth {
        oauth_rows(relay, oauth, caller, strict, page);
    }
    if let Some(interface) = relay.api() {
        for (key, source) in &interface.credentials {
            verdict_row(key, source, source.check_key(key, strict), page);
        }
        return;
    }
    let Some(login) = relay.smtp_login() else {
        page.row("", "no login is configured");
        return;
    };
    match &login.username {
        Username::Given(name) => page.row("", &format!("user name {name}")),
        Username::Secret => page.row("", "user name: the secret itself"),
        Username::Read(source) => source_row("user name", source, strict, page),
    }
    match &login.secret {
        Some(source) if relay.has_login_key() => {
            verdict_row("secret", source, source.check_key("secret", strict), page);
        }
        Some(source) => source_row("secret", source, strict, page),
        None => {}
    }
}

/// The files that TLS is spoken with, where they are not the system's.
fn certificate_rows(relay: &Relay, strict: bool, page: &mut Page) {
    let mut certificates = |what: &str, path: &Path| {
        let verdict = match modes::probe(path) {
            Ok(_) => "readable".to_owned(),
            Err(error) => page.unusable(modes::unreadable(path, &error)),
        };
        page.row("", &format!("{what} from file {}: {verdict}", path.display()));
    };
    if let Some(path) = &relay.ca_file {
        certificates("trusted certificates", path);
    }
    if let Some(own) = &relay.client_cert {
        certificates("client certificate", &own.certificate);
        source_row("client key", &Source::File(own.key.clone()), strict, page);
    }
}

/// How an access token is got, and whether one is kept.
fn oauth_rows(relay: &Relay, oauth: &OAuth, caller: &Caller, strict: bool, page: &mut Page) {
    let how = match oauth.grant {
        Grant::RefreshToken(None) => &format!("by the refresh token that `mailchute login {}` keeps", relay.name),
        Grant::RefreshToken(Some(_)) => "by the configured refresh token",
        Grant::ClientCredentials => "by the application's own credentials",
        Grant::ServiceAccount(_) => "by the service account's key",
    };
    page.row("", &format!("access token from {} {how}", oauth.token_endpoint.url));
    for (key, source) in oauth.secrets() {
        match is_key(key) {
            true => verdict_row(key, source, source.check_key(key, strict), page),
            false => source_row(key, source, strict, page),
        }
    }
    let kept = match Store::of(oauth, caller) {
        Ok(store) => {
            if oauth.needs_person() && store.load(strict, &mut Vec::new()).is_ok_and(|tokens| tokens.is_none()) {
                page.unusable(not_logged_in(relay, oauth));
            }
            store.describe(&oauth.scope, strict)
        }
        Err(failure) if oauth.needs_person() => page.unusable(failure),
        Err(failure) => format!("not kept: {failure}"),
    };
    page.row("", &kept);
}

/// Where `what` is read from, and whether this caller can.
fn source_row(what: &str, source: &Source, strict: bool, page: &mut Page) {
    let mut checked = source.check(strict);
    // What is in it may be wrong, too.
    if checked.is_ok() && !matches!(source, Source::Command(_)) {
        let read = source.read(strict, &mut Attempt::new(Deadline::after(Duration::ZERO)));
        checked = read.and(checked);
    }
    verdict_row(what, source, checked, page);
}

fn verdict_row(what: &str, source: &Source, checked: Result<Vec<&'static str>, Failure>, page: &mut Page) {
    let verdict = match checked {
        Ok(_) if matches!(source, Source::Command(_)) => "run when a message is sent".to_owned(),
        Ok(weaknesses) if weaknesses.is_empty() => "readable".to_owned(),
        Ok(weaknesses) => format!("readable, but {}", weaknesses.join("; ")),
        Err(failure) => page.unusable(failure),
    };
    page.row("", &format!("{what} from {}: {verdict}", source.describe()));
}

/// Rows of label and text; a label is written once for the rows it covers.
#[derive(Default)]
struct Page {
    text: String,
    last: String,
    /// How hints are worded.
    wording: Wording,
    /// The name of the relay at hand.
    relay: Option<String>,
    /// The first thing that keeps the relay at hand from being used.
    trouble: Option<Failure>,
}

impl Page {
    /// What is said of something that cannot be used, which is kept as the relay's trouble.
    fn unusable(&mut self, failure: Failure) -> String {
        let failure = self.wording.of_failure(failure, self.relay.as_deref());
        let said = match &failure.hint {
            Some(hint) => format!("NOT usable: {}; {hint}", failure.why),
            None => format!("NOT usable: {}", failure.why),
        };
        self.trouble.get_or_insert(failure);
        said
    }

    fn row(&mut self, label: &str, text: &str) {
        let shown = if label == self.last { "" } else { label };
        self.text.push_str(&format!("{shown:<13} {text}\n"));
        label.clone_into(&mut self.last);
    }
}
