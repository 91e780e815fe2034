//! The places an AWS client looks for keys, in its order: environment variables, the shared credentials
//! file, the container's service, the instance's service (IMDSv2).

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use crate::attempt::Attempt;
use crate::caller::Caller;
use crate::config::relay::{Endpoint, Place, Relay, TlsMode};
use crate::failure::{Failure, Kind};
use crate::host;
use crate::http::ask;
use crate::providers::api::{Credentials, Request, Response};
use crate::secret::{Secret, Source};

/// The instance's service and the container's.
const INSTANCE: &str = "http://169.254.169.254";
const CONTAINER: &str = "http://169.254.170.2";

/// How long one of them may take; where there is none, nothing answers.
const PATIENCE: Duration = Duration::from_secs(2);

/// What the services answer.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Temporary {
    access_key_id: String,
    secret_access_key: String,
    token: String,
}

/// Finds keys and adds them to `keys`.
pub(super) fn find(
    relay: &Relay,
    profile: Option<&str>,
    keys: &mut Credentials,
    attempt: &mut Attempt,
) -> Result<(), Failure> {
    let nowhere = || {
        Failure::new(Kind::Configuration, format!("relay {}", relay.name), "no AWS keys are found").hint(
            "set access_key_id and secret_access_key, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give the instance a role",
        )
    };
    // The environment and home of whoever calls a set-group-id binary must not choose whose keys it uses.
    if host::is_privileged() {
        return Err(nowhere());
    }
    if profile.is_none() && from_environment(keys) {
        return Ok(());
    }
    if from_file(relay, profile, keys, attempt)? {
        return Ok(());
    }
    if let Some(profile) = profile {
        let why = format!("the shared credentials file has no profile {profile:?} with keys");
        return Err(Failure::new(Kind::Configuration, format!("relay {}", relay.name), why));
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

fn variable(name: &str) -> Option<String> {
    host::variable(name)?.into_string().ok().filter(|value| !value.is_empty())
}

fn insert(keys: &mut Credentials, id: String, secret: String, token: Option<String>) {
    keys.insert("access_key_id", Secret::new(id));
    keys.insert("secret_access_key", Secret::new(secret));
    if let Some(token) = token {
        keys.insert("session_token", Secret::new(token));
    }
}

fn from_environment(keys: &mut Credentials) -> bool {
    let (Some(id), Some(secret)) = (variable("AWS_ACCESS_KEY_ID"), variable("AWS_SECRET_ACCESS_KEY")) else {
        return false;
    };
    insert(keys, id, secret, variable("AWS_SESSION_TOKEN"));
    true
}

/// Reads the profile of the shared credentials file, if both are there.
fn from_file(
    relay: &Relay,
    profile: Option<&str>,
    keys: &mut Credentials,
    attempt: &mut Attempt,
) -> Result<bool, Failure> {
    let named = variable("AWS_PROFILE");
    let profile = profile.or(named.as_deref()).unwrap_or("default");
    let path = match variable("AWS_SHARED_CREDENTIALS_FILE") {
        Some(path) => PathBuf::from(path),
        None => match Caller::current().home {
            Some(home) => home.join(".aws/credentials"),
            None => return Ok(false),
        },
    };
    if fs::metadata(&path).is_err() {
        return Ok(false);
    }
    let text = Source::File(path).read(relay.strict_modes, attempt)?;
    let (id, secret, token) = keys_of(text.expose(), profile);
    match (id, secret) {
        (Some(id), Some(secret)) => {
            insert(keys, id, secret, token);
            Ok(true)
        }
        _ => Ok(false),
    }
}

/// Key id, secret key and session token of `profile` in an INI file.
fn keys_of(text: &str, profile: &str) -> (Option<String>, Option<String>, Option<String>) {
    let mut is_ours = false;
    let (mut id, mut secret, mut token) = (None, None, None);
    for line in text.lines().map(str::trim).filter(|line| !line.starts_with(['#', ';'])) {
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            is_ours = name.trim() == profile;
        } else if let Some((key, value)) = line.split_once('=').filter(|_| is_ours) {
            let value = Some(value.trim().to_owned());
            match key.trim() {
                "aws_access_key_id" => id = value,
                "aws_secret_access_key" => secret = value,
                "aws_session_token" => token = value,
                _ => {}
            }
        }
    }
    (id, secret, token)
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
                Some(Source::File(file.into()).read(self.relay.strict_modes, self.attempt)?.expose().to_owned())
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
        let authority = endpoint.split_once("://").map_or(endpoint, |(_, rest)| rest);
        let (host, port) = authority.rsplit_once(':').unwrap_or((authority, ""));
        let is_tls = endpoint.starts_with("https://");
        let local = ["169.254.170.2", "169.254.170.23", "169.254.169.254", "127.0.0.1", "localhost"];
        if !is_tls && !local.contains(&host) {
            let why = "is plain http to another host";
            return Err(Failure::new(Kind::Configuration, endpoint, why));
        }
        let port = port.parse().unwrap_or(if is_tls { 443 } else { 80 });
        let place = Place::Tcp { host: host.to_owned(), port };
        let tls = if is_tls { TlsMode::Implicit } else { TlsMode::None };
        let endpoint = Endpoint { url: endpoint.to_owned(), place, tls };
        let relay = Relay { proxy: None, ..self.relay.clone() };
        ask(&relay, &endpoint, request, &Credentials::default(), self.attempt.deadline)
    }
}

fn get(path: &str) -> Request {
    Request { method: "GET", path: path.to_owned(), headers: Vec::new(), body: Vec::new(), warnings: Vec::new() }
}

fn text(response: &Response) -> String {
    String::from_utf8_lossy(&response.body).trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn profiles_are_told_apart() {
        let text = "[default]\naws_access_key_id = A\naws_secret_access_key=B\n# x\n[shop]\n aws_access_key_id=C\n\
                    aws_secret_access_key = D=\naws_session_token = E\nregion = x\n";
        let owned = |id: &str, secret: &str, token: Option<&str>| {
            (Some(id.to_owned()), Some(secret.to_owned()), token.map(str::to_owned))
        };
        assert_eq!(keys_of(text, "default"), owned("A", "B", None));
        assert_eq!(keys_of(text, "shop"), owned("C", "D=", Some("E")));
        assert_eq!(keys_of(text, "other"), (None, None, None));
    }
}
