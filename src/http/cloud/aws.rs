//! The places an AWS client looks for keys, in its order: environment variables, a role that a web identity takes, the
//! profile, the container's service, the instance's service (IMDSv2).
//!
//! Whoever names a role gets that role or nothing: the node's own, which comes last, may do other things.

mod web_identity;

use std::time::Duration;

use serde::Deserialize;

use crate::attempt::Attempt;
use crate::config::relay::aws::{Profile, variable};
use crate::config::relay::{Endpoint, Place, Relay, TlsMode, is_loopback};
use crate::failure::{Failure, Kind};
use crate::host;
use crate::http::ask;
use crate::providers::api::{Credentials, Request, Response};
use crate::secret::{Secret, Source, check_key};

/// The instance's service and the container's.
const INSTANCE: &str = "http://169.254.169.254";
const CONTAINER: &str = "http://169.254.170.2";

/// How long one of them may take; where there is none, nothing answers.
const PATIENCE: Duration = Duration::from_secs(2);

/// The services' addresses that keys may come from without TLS, beside this host's own: they never leave the host.
const LOCAL: [&str; 5] = ["169.254.170.2", "169.254.170.23", "169.254.169.254", "fd00:ec2::23", "fd00:ec2::254"];

/// The settings of a profile that only an AWS client of Amazon's knows how to follow.
const FOREIGN: [&str; 6] =
    ["source_profile", "credential_source", "credential_process", "sso_session", "sso_start_url", "role_arn"];

/// What the services answer.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Temporary {
    access_key_id: String,
    secret_access_key: String,
    token: String,
}

/// Finds keys for the services of `region` and adds them to `keys`.
pub(super) fn find(
    relay: &Relay,
    profile: Option<&str>,
    region: &str,
    keys: &mut Credentials,
    attempt: &mut Attempt,
) -> Result<(), Failure> {
    let wrong = |why: String| Failure::new(Kind::Configuration, format!("relay {}", relay.name), why);
    let nowhere = || {
        wrong("no AWS keys are found".to_owned()).hint(
            "set access_key_id and secret_access_key, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give the instance a role",
        )
    };
    // The environment and home of whoever calls a set-group-id binary must not choose whose keys it uses.
    if host::is_privileged() {
        return Err(nowhere());
    }
    if profile.is_none() {
        if from_environment(keys)? {
            return Ok(());
        }
        if let Some(identity) = web_identity::of_environment()? {
            let found = identity.ask(relay, region, attempt)?;
            insert(keys, found.access_key_id, found.secret_access_key, Some(found.token));
            return Ok(());
        }
    }
    let profile = Profile::read(profile, relay.strict_modes, attempt)?;
    if let Some(identity) = web_identity::of_profile(&profile) {
        let found = identity.ask(relay, region, attempt)?;
        insert(keys, found.access_key_id, found.secret_access_key, Some(found.token));
        return Ok(());
    }
    if !profile.has("role_arn") && from_profile(&profile, keys)? {
        return Ok(());
    }
    if let Some(foreign) = FOREIGN.into_iter().find(|key| profile.has(key)) {
        let why =
            format!("the AWS profile {:?} gets its keys by {foreign}, which mailchute does not follow", profile.name);
        let hint = "give the profile keys, or role_arn and web_identity_token_file; or set access_key_id and secret_access_key";
        return Err(wrong(why).hint(hint));
    }
    if profile.is_chosen {
        let has = if profile.exists { "no keys" } else { "not been written" };
        return Err(wrong(format!("the AWS profile {:?} has {has}", profile.name)));
    }
    let found = attempt.within(PATIENCE, |attempt| {
        let mut service = Service { relay, attempt };
        match container() {
            Some((endpoint, path)) => service.container(&endpoint, &path),
            None if variable("AWS_EC2_METADATA_DISABLED").is_some_and(|said| said.eq_ignore_ascii_case("true")) => {
                Ok(None)
            }
            None => service.instance(),
        }
    });
    let found = found?.ok_or_else(nowhere)?;
    insert(keys, found.access_key_id, found.secret_access_key, Some(found.token));
    Ok(())
}

fn insert(keys: &mut Credentials, id: String, secret: String, token: Option<String>) {
    keys.insert("access_key_id", Secret::new(id));
    keys.insert("secret_access_key", Secret::new(secret));
    if let Some(token) = token {
        keys.insert("session_token", Secret::new(token));
    }
}

fn from_environment(keys: &mut Credentials) -> Result<bool, Failure> {
    from(["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"], variable, "", keys)
}

fn from_profile(profile: &Profile, keys: &mut Credentials) -> Result<bool, Failure> {
    let own = |key: &str| profile.find(key).map(str::to_owned);
    let place = format!(" of the AWS profile {:?}", profile.name);
    from(["aws_access_key_id", "aws_secret_access_key", "aws_session_token"], own, &place, keys)
}

/// The keys under `names`, where there are any: id, secret and token.
fn from(
    names: [&str; 3],
    find: impl Fn(&str) -> Option<String>,
    place: &str,
    keys: &mut Credentials,
) -> Result<bool, Failure> {
    let [id, secret, token] = names.map(&find);
    let (Some(id), Some(secret)) = (id, secret) else { return Ok(false) };
    for (name, value) in names.iter().zip([Some(&id), Some(&secret), token.as_ref()]) {
        value.map_or(Ok(()), |value| check_key(value, &format!("{name}{place}")))?;
    }
    insert(keys, id, secret, token);
    Ok(true)
}

/// Endpoint and path of the container's service, where there is one.
fn container() -> Option<(String, String)> {
    if let Some(path) = variable("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI") {
        return Some((CONTAINER.to_owned(), path));
    }
    let url = variable("AWS_CONTAINER_CREDENTIALS_FULL_URI")?;
    let at = url.find("://").and_then(|at| url[at + 3..].find('/').map(|slash| at + 3 + slash)).unwrap_or(url.len());
    Some((url[..at].to_owned(), url[at..].to_owned()))
}

/// The services at addresses that never leave the host.
struct Service<'a> {
    relay: &'a Relay,
    attempt: &'a mut Attempt,
}

impl Service<'_> {
    fn container(&mut self, endpoint: &str, path: &str) -> Result<Option<Temporary>, Failure> {
        let mut request = get(path);
        let token = match variable("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE") {
            Some(file) => {
                let source = Source::File(file.into());
                Some(source.read_key("token", self.relay.strict_modes, self.attempt)?.expose().to_owned())
            }
            None => variable("AWS_CONTAINER_AUTHORIZATION_TOKEN"),
        };
        if let Some(token) = token {
            request = request.header("Authorization", token);
        }
        Ok(self.ask(endpoint, &request)?.json())
    }

    /// IMDSv2: a token first, then the role's name, then its keys. `None`: there is no such service, or no
    /// role.
    fn instance(&mut self) -> Result<Option<Temporary>, Failure> {
        let endpoint = variable("AWS_EC2_METADATA_SERVICE_ENDPOINT").unwrap_or_else(|| INSTANCE.to_owned());
        let endpoint = endpoint.trim_end_matches('/');
        let put = Request { method: "PUT", ..get("/latest/api/token") };
        let Ok(token) = self.ask(endpoint, &put.header("X-aws-ec2-metadata-token-ttl-seconds", "60")) else {
            return Ok(None);
        };
        let token = text(&token);
        let get = |path: &str| get(path).header("X-aws-ec2-metadata-token", token.clone());
        let base = "/latest/meta-data/iam/security-credentials/";
        let role = self.ask(endpoint, &get(base))?;
        if !role.is_success() {
            return Ok(None);
        }
        let role = text(&role);
        Ok(self.ask(endpoint, &get(&format!("{base}{}", role.lines().next().unwrap_or_default())))?.json())
    }

    fn ask(&mut self, endpoint: &str, request: &Request) -> Result<Response, Failure> {
        let relay = Relay { proxy: None, ..self.relay.clone() };
        ask(&relay, &place(endpoint, &LOCAL)?, request, &Credentials::default(), self.attempt.deadline)
    }
}

/// Where `url` leads: over TLS, or to this host or one of `local`.
fn place(url: &str, local: &[&str]) -> Result<Endpoint, Failure> {
    let authority = url.split_once("://").map_or(url, |(_, rest)| rest);
    let (host, port) = match authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, port)) if port.is_empty() || port.starts_with(':') => (host, port.trim_start_matches(':')),
        _ => authority.rsplit_once(':').unwrap_or((authority, "")),
    };
    let is_tls = url.starts_with("https://");
    if !is_tls && !is_loopback(host) && !local.contains(&host) {
        return Err(Failure::new(Kind::Configuration, url, "is plain http to another host"));
    }
    let port = port.parse().unwrap_or(if is_tls { 443 } else { 80 });
    let tls = if is_tls { TlsMode::Implicit } else { TlsMode::None };
    Ok(Endpoint { url: url.to_owned(), place: Place::Tcp { host: host.to_owned(), port }, tls })
}

fn get(path: &str) -> Request {
    Request { headers: Vec::new(), ..Request::get(path) }
}

fn text(response: &Response) -> String {
    String::from_utf8_lossy(&response.body).trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_come_over_plain_http_from_known_hosts_only() {
        for (url, is_right) in [
            ("https://sts.example", true),
            ("http://127.0.0.1:9", true),
            ("http://localhost", true),
            ("http://169.254.169.254", true),
            ("http://[fd00:ec2::23]", true),
            ("http://[::1]:8080", true),
            ("http://[fd00:ec2::24]:80", false),
            ("http://[fd00:ec2::23]@sts.example:80", false),
            ("http://sts.example", false),
            ("http://127.0.0.1.example", false),
            ("http://169.254.169.254@sts.example:80", false),
            ("ftp://sts.example", false),
        ] {
            assert_eq!(place(url, &LOCAL).is_ok(), is_right, "{url}");
        }
        assert!(place("http://169.254.169.254", &[]).is_err());
    }
}
