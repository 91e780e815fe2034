//! Services that ring a bell: phones, and whoever is on call.

use serde_json::json;

use super::{Piece, Request, Severity, Target, Telling, json, whole};
use crate::config::alert::Occasion;
use crate::failure::{Failure, Kind};

/// docs.ntfy.sh/publish/#publish-as-json: the object goes to the server's root and names the topic. People have the
/// topic's own URL at hand, so where no `topic` is configured it is the end of that.
pub(super) fn ntfy(
    target: &Target,
    topic: Option<&str>,
    token: Option<&str>,
    telling: &Telling,
) -> Result<Request, Failure> {
    let path = target.path.expose().trim_end_matches('/');
    let (root, topic) = match topic {
        Some(topic) => (path, topic),
        None => path
            .rsplit_once('/')
            .filter(|(_, topic)| !topic.is_empty())
            .ok_or_else(|| Failure::new(Kind::Configuration, "topic", "is not configured, and the URL names none"))?,
    };
    let (priority, tag) = match telling.severity {
        Severity::Error => (4, "rotating_light"),
        Severity::Warning => (3, "warning"),
        Severity::Info => (3, "white_check_mark"),
    };
    let body = json!({
        "topic": topic,
        "title": telling.title(),
        "message": telling.text,
        "priority": priority,
        "tags": [tag],
    });
    let request = json(&format!("{root}/"), &body);
    Ok(match token {
        Some(token) => request.bearer(token),
        None => request,
    })
}

/// gotify.net/docs/pushmsg and its API's description: the application's token in a header field. A message without
/// `extras` is plain text.
pub(super) fn gotify(target: &Target, token: &str, telling: &Telling) -> Request {
    let path = target.path.expose().trim_end_matches('/');
    let path = path.strip_suffix("/message").unwrap_or(path);
    let priority = match telling.severity {
        Severity::Error => 8,
        Severity::Warning => 5,
        Severity::Info => 3,
    };
    let body = json!({"title": telling.title(), "message": telling.text, "priority": priority});
    json(&format!("{path}/message"), &body).header("X-Gotify-Key", token)
}

/// pushover.net/api#messages: a form; plain text unless `html` or `monospace` says otherwise; up to 1024 characters.
pub(super) fn pushover(target: &Target, token: &str, user: &str, telling: &Telling) -> Request {
    let priority = if telling.severity == Severity::Error { "1" } else { "0" };
    let (title, text) = (telling.title(), telling.text.as_str());
    let fields = [("token", token), ("user", user), ("title", &title), ("message", text), ("priority", priority)];
    let form = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
    Request::post(whole(target), "application/x-www-form-urlencoded", vec![Piece::Octets(form.into_bytes())])
}

/// developer.pagerduty.com/docs/events-api-v2-overview: the same `dedup_key` is the same incident, however often it is
/// sent, and `resolve` ends it.
pub(super) fn pagerduty(target: &Target, routing_key: &str, telling: &Telling) -> Request {
    let body = match telling.event {
        Occasion::Recovered => {
            json!({"routing_key": routing_key, "event_action": "resolve", "dedup_key": telling.key})
        }
        event => json!({
            "routing_key": routing_key,
            "event_action": "trigger",
            "dedup_key": telling.key,
            "client": "mailchute",
            "payload": {
                "summary": telling.text,
                "source": telling.host,
                "severity": if telling.severity == Severity::Error { "error" } else { "warning" },
                "timestamp": telling.since,
                "component": telling.relay.as_deref().unwrap_or("mailchute"),
                "group": telling.site,
                "class": event.word(),
                "custom_details": {"reason": telling.reason, "count": telling.count, "waiting": telling.waiting},
            },
        }),
    };
    json(&whole(target), &body)
}
