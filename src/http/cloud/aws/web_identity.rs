//! A role that a program takes with a token of its own (`AssumeRoleWithWebIdentity`): pods of EKS, runners of CI.

use form_urlencoded::Serializer;

use super::{Temporary, place};
use crate::attempt::Attempt;
use crate::config::relay::Relay;
use crate::config::relay::aws::{Profile, variable};
use crate::failure::{Failure, Kind};
use crate::http::ask;
use crate::outcome::Stage;
use crate::providers::api::{Credentials, Piece, Request, Response};
use crate::reply::Reply;
use crate::secret::Source;

/// What the session is called where nobody says.
const SESSION: &str = "mailchute";

/// The version of the service's protocol.
const VERSION: &str = "2011-06-15";

/// Its errors that may pass.
const PASSING: [&str; 4] = ["IDPCommunicationError", "Throttling", "ThrottlingException", "RequestLimitExceeded"];

/// Who takes which role.
pub(super) struct WebIdentity {
    role: String,
    token_file: String,
    session: Option<String>,
}

/// What the variables say.
///
/// # Errors
/// `Configuration`: a token without a role.
pub(super) fn of_environment() -> Result<Option<WebIdentity>, Failure> {
    let Some(token_file) = variable("AWS_WEB_IDENTITY_TOKEN_FILE") else { return Ok(None) };
    let role = variable("AWS_ROLE_ARN").ok_or_else(|| {
        Failure::new(Kind::Configuration, "AWS_WEB_IDENTITY_TOKEN_FILE", "is set, and AWS_ROLE_ARN is not")
            .hint("set AWS_ROLE_ARN to the role, or unset the other")
    })?;
    Ok(Some(WebIdentity { role, token_file, session: variable("AWS_ROLE_SESSION_NAME") }))
}

/// What `profile` says.
pub(super) fn of_profile(profile: &Profile) -> Option<WebIdentity> {
    let own = |key: &str| profile.find(key).map(str::to_owned);
    let (role, token_file) = (own("role_arn")?, own("web_identity_token_file")?);
    Some(WebIdentity { role, token_file, session: own("role_session_name") })
}

impl WebIdentity {
    /// Takes the role, at the service of `region` or the one that `AWS_ENDPOINT_URL_STS` names.
    ///
    /// # Errors
    /// The token cannot be read, the service is not reached, or it refuses (535, or 454 where that may pass).
    pub(super) fn ask(&self, relay: &Relay, region: &str, attempt: &mut Attempt) -> Result<Temporary, Failure> {
        let url = variable("AWS_ENDPOINT_URL_STS").unwrap_or_else(|| format!("https://sts.{region}.amazonaws.com"));
        let endpoint = place(url.trim_end_matches('/'), &[])?;
        let mut keys = Credentials::default();
        let token = Source::File(self.token_file.clone().into()).read_key("token", relay.strict_modes, attempt)?;
        keys.insert("token", token);
        let form = Serializer::new(String::new())
            .append_pair("Action", "AssumeRoleWithWebIdentity")
            .append_pair("Version", VERSION)
            .append_pair("RoleArn", &self.role)
            .append_pair("RoleSessionName", self.session.as_deref().unwrap_or(SESSION))
            .append_pair("WebIdentityToken", keys.get("token")?)
            .finish();
        let mut request = Request::post("/", "application/x-www-form-urlencoded", vec![Piece::Octets(form.into())]);
        // Asked for JSON, the service gives some; its documentation knows of XML only.
        request.headers.retain(|(name, _)| *name != "Accept");
        let response = ask(relay, &endpoint, &request, &keys, attempt.deadline)?;
        answer(&response).map_err(|reply| {
            let is_lasting = reply.code() / 100 == 5;
            let failure = Failure::refused(endpoint.place.to_string(), reply).at(Stage::Auth);
            let hint = format!("check that {} may be taken with the token in {}", self.role, self.token_file);
            if is_lasting { failure.hint(hint) } else { failure }
        })
    }
}

/// The keys in an answer, or what it says instead.
fn answer(response: &Response) -> Result<Temporary, Reply> {
    let text = String::from_utf8_lossy(&response.body);
    if response.is_success() {
        let keys = element(&text, "AccessKeyId").zip(element(&text, "SecretAccessKey"));
        if let Some(((id, secret), token)) = keys.zip(element(&text, "SessionToken")) {
            let [access_key_id, secret_access_key, token] = [id, secret, token].map(str::to_owned);
            return Ok(Temporary { access_key_id, secret_access_key, token });
        }
        return Err(Reply::own(454, (4, 7, 0), "gave no keys, though it took the request"));
    }
    let code = element(&text, "Code").unwrap_or_default();
    let said = match (code, element(&text, "Message")) {
        ("", _) => format!("gave no keys (HTTP {})", response.status),
        (code, None) => format!("gave no keys: {code} (HTTP {})", response.status),
        (code, Some(message)) => format!("gave no keys: {code}: {message} (HTTP {})", response.status),
    };
    let is_passing = PASSING.contains(&code) || !matches!(response.status, 400..=428);
    Err(if is_passing { Reply::own(454, (4, 7, 0), &said) } else { Reply::own(535, (5, 7, 8), &said) })
}

/// The text of the first element `name` of an XML document: keys and codes, in which nothing is escaped.
fn element<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(&format!("<{name}>"))?;
    let (inside, _) = rest.split_once('<')?;
    Some(inside.trim()).filter(|inside| !inside.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(status: u16, body: &str) -> Result<String, (u16, String)> {
        let response = Response { status, body: body.into(), is_whole: true, ..Response::default() };
        answer(&response)
            .map(|keys| [keys.access_key_id, keys.secret_access_key, keys.token].join(" "))
            .map_err(|reply| (reply.code(), reply.to_string()))
    }

    #[test]
    fn an_answer_is_keys_or_says_why_not() {
        let keys = "<r xmlns=\"x\"><Credentials>\n<SessionToken>T/+=\n</SessionToken><SecretAccessKey>S</SecretAccessKey>\
                    <Expiration>2026</Expiration><AccessKeyId>I</AccessKeyId></Credentials></r>";
        assert_eq!(told(200, keys), Ok("I S T/+=".to_owned()));
        let error = |code: &str| {
            format!("<ErrorResponse><Error><Code>{code}</Code><Message>m</Message></Error></ErrorResponse>")
        };
        for (status, body, code) in [
            (400, error("ExpiredTokenException"), 535),
            (403, error("AccessDenied"), 535),
            (400, error("IDPCommunicationError"), 454),
            (400, error("Throttling"), 454),
            (429, String::new(), 454),
            (503, String::new(), 454),
            (404, "<html>".to_owned(), 535),
            (200, "<AccessKeyId>I</AccessKeyId>".to_owned(), 454),
            (200, keys.replace(">S<", "><"), 454),
        ] {
            assert_eq!(told(status, &body).map_err(|(code, _)| code), Err(code), "{status} {body}");
        }
        let (_, text) = told(403, &error("AccessDenied")).unwrap_err();
        assert!(text.contains("AccessDenied: m (HTTP 403)"), "{text}");
    }
}
