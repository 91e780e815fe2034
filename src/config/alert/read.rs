//! An alert from its table.

use std::sync::Arc;
use std::time::Duration;

use super::{Alert, Means, Occasion, Occasions, Post, Service, Target};
use crate::config::document::{Keys, Section};
use crate::config::site::read::Shared;
use crate::config::value;
use crate::failure::Failure;
use crate::secret::Source;
use crate::spelling;

/// The keys of every alert, and those of some services.
const KEYS: &[&str] = &[
    "url",
    "command",
    "mail",
    "relay",
    "from",
    "kind",
    "on",
    "every",
    "silent",
    "chat",
    "topic",
    "token",
    "user",
    "routing_key",
    "ca_file",
];
/// Those of a request.
const OF_POST: &[&str] = &["kind", "chat", "topic", "token", "user", "routing_key", "ca_file"];
/// Those of a message.
const OF_MAIL: &[&str] = &["relay", "from"];

/// How long nothing more is told of what was told, unless `every` says otherwise.
const EVERY: Duration = Duration::from_secs(3600);

/// The alerts of a document, in the order of the file. Those of a file of `sites.d`, called `scope`, are `SCOPE/NAME`:
/// several files may have one of the same name.
///
/// # Errors
/// `Configuration`, with the place of the key at fault.
pub(in crate::config) fn alerts(
    root: &Section<'_>,
    shared: &Shared<'_>,
    scope: Option<&str>,
    above: &[&str],
    strict_modes: bool,
) -> Result<Vec<Arc<Alert>>, Failure> {
    let sections = root.sections("alert")?;
    let read = |(name, section): (&str, Section<'_>)| {
        let alert = alert(name, &section, shared, above)?;
        let name = scope.map_or_else(|| alert.name.clone(), |scope| format!("{scope}/{name}"));
        Ok(Arc::new(Alert { name, strict_modes, ..alert }))
    };
    sections.into_iter().map(read).collect()
}

fn alert(name: &str, section: &Section<'_>, shared: &Shared<'_>, above: &[&str]) -> Result<Alert, Failure> {
    section.expect(&Keys { now: KEYS, later: &[], above })?;
    let ways: Vec<_> = ["url", "command", "mail"].into_iter().filter(|key| section.has(key)).collect();
    let means = match ways[..] {
        ["url"] => Means::Post(post(section)?),
        // Some services have one place for all.
        [] if section.has("kind") => Means::Post(post(section)?),
        ["command"] => {
            let words = section.strings("command")?.unwrap_or_default();
            if words.is_empty() || words.len() == 1 && words[0].contains(char::is_whitespace) {
                let why = "is not a list of words, and there is no shell";
                return Err(section.wrong("command", why).hint("write command = [\"PROGRAM\", \"ARGUMENT\"]"));
            }
            Means::Command(words.into_iter().map(str::to_owned).collect())
        }
        ["mail", ..] if ways.len() == 1 => mail(section, shared)?,
        [] => {
            return Err(section
                .error("url", format!("[alert.{name}] says nobody whom to tell"))
                .hint("write url = \"https://...\", command = [\"PROGRAM\"] or mail = \"ops@example.com\""));
        }
        [first, ..] => {
            let second = ways.last().unwrap_or(&first);
            let why = format!("stands beside {first:?}, and an alert goes one way");
            return Err(section.wrong(second, why).hint("write an [alert.NAME] for each"));
        }
    };
    let foreign = match &means {
        Means::Post(_) => OF_MAIL.to_vec(),
        Means::Command(_) => [OF_POST, OF_MAIL].concat(),
        Means::Mail { .. } => OF_POST.to_vec(),
    };
    if let Some(key) = foreign.into_iter().find(|key| section.has(key)) {
        let way = ways.first().copied().unwrap_or("kind");
        return Err(section.wrong(key, format!("means nothing beside {way:?}")).hint("leave it out"));
    }
    let silent = section.days("silent")?;
    Ok(Alert {
        name: name.to_owned(),
        means,
        on: occasions(section, silent.is_some())?,
        every: section.days("every")?.unwrap_or(EVERY),
        silent,
        owner: shared.owner,
        strict_modes: false,
    })
}

fn occasions(section: &Section<'_>, has_silent: bool) -> Result<Occasions, Failure> {
    let mut on = match section.strings("on")? {
        None => Occasions::USUAL,
        Some(words) if words.is_empty() => {
            return Err(section.wrong("on", "is empty").hint("leave it out where everything is meant"));
        }
        Some(words) => {
            let mut on = Occasions::default();
            for word in words {
                let Some((_, occasion)) = Occasion::ALL.iter().find(|(known, _)| *known == word) else {
                    let failure = section.wrong("on", format!("holds {word:?}, which is no event"));
                    let words = Occasion::ALL.iter().map(|(word, _)| *word);
                    return Err(match spelling::nearest(word, words.clone()) {
                        Some(near) => failure.hint(format!("did you mean {near:?}?")),
                        None => failure.hint(format!("events: {}", words.collect::<Vec<_>>().join(", "))),
                    });
                };
                if *occasion == Occasion::Silent && !has_silent {
                    let failure = section.wrong("on", "holds \"silent\", which needs to know how long");
                    return Err(failure.hint("write silent = \"3d\""));
                }
                on = on.with(*occasion);
            }
            on
        }
    };
    if has_silent {
        on = on.with(Occasion::Silent);
    }
    Ok(on)
}

fn post(section: &Section<'_>) -> Result<Post, Failure> {
    let url = section.source("url")?;
    // Where it stands here, it is judged here; else when it is read.
    let target = match &url {
        Some(Source::Inline(url)) => Some(Target::read(url.expose()).map_err(|why| section.wrong("url", why))?),
        _ => None,
    };
    let service = section.word("kind", &Service::ALL)?;
    let known = service.or_else(|| match (&url, &target) {
        (_, Some(target)) => Service::of_host(target.host()).or(Some(Service::Json)),
        _ => None,
    });
    if let Some(service) = known {
        let word = service.word();
        if url.is_none() && service.own_url().is_none() {
            return Err(section.error("kind", format!("kind = {word:?} needs \"url\"")));
        }
        if let Some(key) = service.needs().iter().find(|key| !section.has(key)) {
            return Err(section.error("url", format!("{word} needs {key:?}")));
        }
        let is_in_url = |of: &Target| of.path.expose().starts_with("/bot");
        if service == Service::Telegram && !section.has("token") && !target.as_ref().is_some_and(is_in_url) {
            return Err(section.error("url", "telegram needs \"token\"").hint("@BotFather tells it"));
        }
        let keys = ["chat", "topic", "token", "user", "routing_key"];
        if let Some(key) = keys.into_iter().find(|key| section.has(key) && !service.takes().contains(key)) {
            return Err(section
                .wrong(key, format!("means nothing to {word}"))
                .hint("leave it out, or say another \"kind\""));
        }
    }
    Ok(Post {
        service,
        url,
        chat: section.string("chat")?.map(str::to_owned),
        topic: section.string("topic")?.map(str::to_owned),
        token: section.source("token")?,
        user: section.source("user")?,
        routing_key: section.source("routing_key")?,
        ca_file: section.path("ca_file")?,
    })
}

fn mail(section: &Section<'_>, shared: &Shared<'_>) -> Result<Means, Failure> {
    let mailbox = |key: &str, text: &str| {
        let wrong = || section.wrong(key, format!("is not an address: {text:?}"));
        value::mailbox(text).ok_or_else(|| wrong().hint("write \"local@domain\" or \"Name <local@domain>\""))
    };
    let to = section.strings("mail")?.unwrap_or_default();
    if to.is_empty() {
        return Err(section.wrong("mail", "is empty"));
    }
    let to = to.into_iter().map(|text| mailbox("mail", text)).collect::<Result<_, _>>()?;
    let from = section.string("from")?.map(|text| mailbox("from", text)).transpose()?;
    let relays = if section.has("relay") { shared.relays_of(section)? } else { Arc::clone(&shared.relays) };
    if relays.is_empty() {
        return Err(section.error("mail", "no [relay.NAME] is configured that could take it"));
    }
    Ok(Means::Mail { to, from, relays })
}
