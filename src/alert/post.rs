//! An alert by HTTP: secrets read, one request, one answer.

use std::time::Duration;

use super::service;
use super::telling::Telling;
use super::{Setback, TIME};
use crate::attempt::Attempt;
use crate::config::alert::{Alert, Post, Service, Target};
use crate::config::relay::Relay;
use crate::failure::{Failure, Kind};
use crate::http;
use crate::providers::api::{Credentials, Piece, Request};
use crate::secret::{Secret, Source};
use zeroize::Zeroize as _;

/// Tells `telling` by `post`, the means of `alert`.
///
/// # Errors
/// It has not arrived, or nobody knows.
pub(super) fn tell(alert: &Alert, post: &Post, telling: &Telling, attempt: &mut Attempt) -> Result<(), Setback> {
    let mut keys = Credentials::default();
    for (key, source) in post.secrets() {
        // What is said of a secret names its place, and never what is in it.
        keys.insert(key, source.read_key(key, alert.strict_modes, attempt)?);
    }
    let url = match (keys.find("url"), post.service.and_then(Service::own_url)) {
        (Some(url), _) | (None, Some(url)) => url.to_owned(),
        (None, None) => return Err(Failure::new(Kind::Configuration, "url", "is not configured").into()),
    };
    let target = target(&alert.name, &url)?;
    let service = post.service.or_else(|| Service::of_host(target.host())).unwrap_or(Service::Json);
    let request = service::request(service, post, &target, &keys, telling)?;
    hide(&mut keys, &target);
    let response = exchange(&alert.name, &target, &request, post.ca_file.as_deref(), &keys, attempt);
    wipe(request);
    let refused = match service::judge(service, &response?) {
        Ok(()) => return Ok(()),
        Err(refused) => refused,
    };
    let failure = Failure::new(Kind::Unavailable, format!("{} ({})", target.place, service.word()), refused.why);
    Err(Setback { after: refused.after, ..failure.into() })
}

/// Asks for the URL in `ping`, or for the one beside it that says that something is wrong.
///
/// # Errors
/// It cannot be asked, or does not answer that it heard.
pub fn ping(source: &Source, is_good: bool, strict_modes: bool, attempt: &mut Attempt) -> Result<(), Failure> {
    let mut keys = Credentials::default();
    keys.insert("url", source.read_key("ping", strict_modes, attempt)?);
    let target = target("ping", keys.get("url")?)?;
    // healthchecks.io/docs/http_api: URL/fail signals a failure.
    let path = target.path.expose();
    let path = if is_good { path.to_owned() } else { format!("{}/fail", path.trim_end_matches('/')) };
    let path = match target.query.expose() {
        "" => path,
        query => format!("{path}?{query}"),
    };
    hide(&mut keys, &target);
    let response = exchange("ping", &target, &Request::get(path).hidden(), None, &keys, attempt)?;
    match response.is_success() {
        true => Ok(()),
        false => {
            let why = format!("said HTTP {}", response.status);
            Err(Failure::new(Kind::Unavailable, format!("{} (ping)", target.place), why))
        }
    }
}

fn target(name: &str, url: &str) -> Result<Target, Failure> {
    Target::read(url).map_err(|why| Failure::new(Kind::Configuration, format!("url of {name}"), why))
}

/// Adds to `keys` what an answer may repeat of the URL.
fn hide(keys: &mut Credentials, target: &Target) {
    for part in [&target.path, &target.query].into_iter().filter(|part| part.expose().len() > 1) {
        keys.insert("", part.clone());
    }
    let (path, query) = (target.path.expose(), target.query.expose());
    let longest = path.split('/').max_by_key(|part| part.len()).unwrap_or_default();
    // A word such as `services` is no secret by itself.
    let made_up = |part: &&str| part.len() >= 8 && part.bytes().any(|octet| octet.is_ascii_digit());
    let parts = path.split('/').filter(made_up).chain([longest]).map(str::to_owned);
    let written = query.split('&').filter_map(|pair| pair.split_once('=')).map(|(_, value)| value.to_owned());
    let read = form_urlencoded::parse(query.as_bytes()).map(|(_, value)| value.into_owned());
    for part in parts.chain(written).chain(read).filter(|part| part.len() >= 8) {
        keys.insert("", Secret::new(part));
    }
}

fn exchange(
    name: &str,
    target: &Target,
    request: &Request,
    ca_file: Option<&std::path::Path>,
    keys: &Credentials,
    attempt: &mut Attempt,
) -> Result<crate::providers::api::Response, Failure> {
    let server = Relay {
        ca_file: ca_file.map(ToOwned::to_owned),
        connect_timeout: CONNECT.min(TIME),
        ..Relay::new(name, target.place.clone(), target.tls)
    };
    http::tell(&server, &target.origin, request, keys, attempt)
}

/// The time until there is a connection.
const CONNECT: Duration = Duration::from_secs(10);

/// Leaves nothing of the secrets in memory.
fn wipe(mut request: Request) {
    request.path.zeroize();
    for piece in &mut request.body {
        if let Piece::Octets(octets) = piece {
            octets.zeroize();
        }
    }
}
