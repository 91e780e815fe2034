//! What each service is asked, and how its answer is read, as its vendor documents it. Nothing is sent here.

mod chat;
mod push;

use std::time::Duration;

use serde_json::Value;

use super::telling::{Severity, Telling};
use crate::config::alert::{Post, Service, Target};
use crate::failure::{Failure, Kind};
use crate::providers::api::{Credentials, Piece, Request, Response};
use crate::reply::printable;

/// How much of a refusal is quoted, in bytes.
const QUOTED: usize = 200;
/// The longest that a service may have us wait.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// A refusal.
#[derive(Debug)]
pub(super) struct Refused {
    /// Why, in one line.
    pub(super) why: String,
    /// How long it wants to be left alone.
    pub(super) after: Option<Duration>,
}

/// What `service` is asked at `target` to tell `telling`; `keys` are the secrets of `post`.
///
/// # Errors
/// `Configuration`: something is missing that only shows when the secrets are read.
pub(super) fn request(
    service: Service,
    post: &Post,
    target: &Target,
    keys: &Credentials,
    telling: &Telling,
) -> Result<Request, Failure> {
    let request = match service {
        Service::Slack => chat::slack(target, telling),
        Service::Discord => chat::discord(target, telling),
        Service::Teams => chat::teams(target, telling),
        Service::Telegram => {
            chat::telegram(target, needed(post.chat.as_deref(), "chat")?, keys.find("token"), telling)?
        }
        Service::GoogleChat | Service::Mattermost | Service::RocketChat => chat::text(target, telling),
        Service::Ntfy => push::ntfy(target, post.topic.as_deref(), keys.find("token"), telling)?,
        Service::Gotify => push::gotify(target, keys.get("token")?, telling),
        Service::Pushover => push::pushover(target, keys.get("token")?, keys.get("user")?, telling),
        Service::PagerDuty => push::pagerduty(target, keys.get("routing_key")?, telling),
        Service::Json => {
            let request = posted(&whole(target), telling.json());
            match keys.find("token") {
                Some(token) => request.bearer(token),
                None => request,
            }
        }
    };
    Ok(request.hidden())
}

fn needed<'a>(value: Option<&'a str>, key: &str) -> Result<&'a str, Failure> {
    value.ok_or_else(|| Failure::new(Kind::Configuration, key, "is not configured, and this service needs it"))
}

/// Path and query as they are written.
fn whole(target: &Target) -> String {
    match target.query.expose() {
        "" => target.path.expose().to_owned(),
        query => format!("{}?{query}", target.path.expose()),
    }
}

fn posted(path: &str, body: Vec<u8>) -> Request {
    Request::post(path, "application/json", vec![Piece::Octets(body)])
}

fn json(path: &str, body: &Value) -> Request {
    posted(path, body.to_string().into_bytes())
}

/// Whether `service` has taken what it was asked with `response` as its answer.
///
/// # Errors
/// Why not, and when it wants to be asked again.
pub(super) fn judge(service: Service, response: &Response) -> Result<(), Refused> {
    let body: Option<Value> = serde_json::from_slice(&response.body).ok();
    let has = |name: &str, value: Value| body.as_ref().and_then(|body| body.get(name)) == Some(&value);
    // Some say no with 200. An answer that says nothing of it is taken for what its status says.
    let is_taken = match service {
        Service::Telegram => !has("ok", Value::Bool(false)),
        Service::Pushover => !has("status", 0.into()),
        Service::RocketChat => !has("success", Value::Bool(false)),
        _ => true,
    };
    if response.is_success() && is_taken {
        return Ok(());
    }
    let said = match &body {
        Some(body) => words(body),
        None => String::from_utf8_lossy(&response.body).lines().next().unwrap_or_default().trim().to_owned(),
    };
    let said = printable(said.as_bytes(), QUOTED);
    let colon = if said.is_empty() { "" } else { ": " };
    Err(Refused { why: format!("said HTTP {}{colon}{said}", response.status), after: pause(response, body.as_ref()) })
}

/// What a refusal in JSON says, wherever the vendor puts it.
fn words(body: &Value) -> String {
    let text = |name: &str| match body.get(name)? {
        Value::String(text) => Some(text.clone()),
        Value::Array(list) => Some(list.iter().filter_map(Value::as_str).collect::<Vec<_>>().join("; ")),
        Value::Object(of) => of.get("message").and_then(Value::as_str).map(str::to_owned),
        _ => None,
    };
    // Discord, Teams, Mattermost: message; Telegram: description; Gotify: errorDescription; ntfy, Google Chat: error;
    // Pushover, PagerDuty: errors.
    let names = ["errors", "errorDescription", "description", "message", "error"];
    names.into_iter().filter_map(text).find(|text| !text.is_empty()).unwrap_or_default()
}

/// How long to wait: Retry-After in seconds (RFC 9110 10.2.3), Discord's `retry_after`, Telegram's
/// `parameters.retry_after`.
fn pause(response: &Response, body: Option<&Value>) -> Option<Duration> {
    let field = response.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("retry-after"));
    let seconds = field.and_then(|(_, value)| value.trim().parse::<f64>().ok());
    let told = || {
        let body = body?;
        body.get("retry_after").or_else(|| body.get("parameters")?.get("retry_after"))?.as_f64()
    };
    let seconds = seconds.or_else(told).filter(|seconds| *seconds > 0.0)?;
    Some(Duration::try_from_secs_f64(seconds.ceil()).unwrap_or(LONGEST).min(LONGEST))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, headers: &[(&str, &str)], body: &str) -> Response {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Response { status, headers, body: body.into(), is_whole: true, is_repeat: false }
    }

    #[test]
    fn an_answer_is_read_as_its_vendor_documents_it() {
        for (service, status, body, why) in [
            (Service::Slack, 200, "ok", None),
            (Service::Slack, 403, "invalid_token", Some("said HTTP 403: invalid_token")),
            (Service::Discord, 204, "", None),
            (
                Service::Discord,
                404,
                r#"{"message":"Unknown Webhook","code":10015}"#,
                Some("said HTTP 404: Unknown Webhook"),
            ),
            (Service::Teams, 202, "", None),
            (Service::Telegram, 200, r#"{"ok":true,"result":{}}"#, None),
            (
                Service::Telegram,
                400,
                r#"{"ok":false,"error_code":400,"description":"Bad Request: chat not found"}"#,
                Some("said HTTP 400: Bad Request: chat not found"),
            ),
            (Service::Telegram, 200, r#"{"ok":false,"description":"no"}"#, Some("said HTTP 200: no")),
            (Service::Pushover, 200, r#"{"status":1,"request":"x"}"#, None),
            (
                Service::Pushover,
                400,
                r#"{"user":"invalid","errors":["user identifier is invalid","b"],"status":0}"#,
                Some("said HTTP 400: user identifier is invalid; b"),
            ),
            (Service::PagerDuty, 202, r#"{"status":"success","dedup_key":"x"}"#, None),
            (
                Service::Gotify,
                401,
                r#"{"error":"Unauthorized","errorCode":401,"errorDescription":"you need to provide a valid access token"}"#,
                Some("said HTTP 401: you need to provide a valid access token"),
            ),
            (Service::GoogleChat, 400, r#"{"error":{"code":400,"message":"bad"}}"#, Some("said HTTP 400: bad")),
            (Service::Json, 302, "", Some("said HTTP 302")),
            (Service::Json, 500, "a\u{202e}b\nc", Some("said HTTP 500: a?b")),
        ] {
            let judged = judge(service, &answer(status, &[], body)).err().map(|refused| refused.why);
            assert_eq!(judged.as_deref(), why, "{service:?} {status} {body}");
        }
    }

    #[test]
    fn how_long_to_wait_is_told_in_three_ways() {
        let seconds = |headers: &[(&str, &str)], body: &str| {
            judge(Service::Json, &answer(429, headers, body)).unwrap_err().after.map(|after| after.as_secs())
        };
        assert_eq!(seconds(&[("Retry-After", "30")], ""), Some(30));
        assert_eq!(seconds(&[], r#"{"retry_after":0.65}"#), Some(1));
        assert_eq!(seconds(&[], r#"{"ok":false,"parameters":{"retry_after":5}}"#), Some(5));
        assert_eq!(seconds(&[("retry-after", "1e300")], ""), Some(86_400));
        for nonsense in ["-1", "NaN", "Wed, 21 Oct 2026 07:28:00 GMT", ""] {
            assert_eq!(seconds(&[("Retry-After", nonsense)], ""), None, "{nonsense}");
        }
    }
}
