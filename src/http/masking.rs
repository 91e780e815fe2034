//! What an answer repeats of the credentials is taken out of it before anybody sees it.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use zeroize::Zeroizing;

use crate::outcome::Outcome;
use crate::providers::api::{Credentials, Request, Response};
use crate::reply::Reply;

/// Secrets shorter than this are as likely a word of the answer's own.
const TELLING: usize = 8;

/// Takes out of an answer the credentials that it repeats, before anything is cut off or quoted: half of a
/// secret is not found any more. The signature or login in the Authorization field counts as one.
pub(super) fn hide(response: &mut Response, request: &Request, keys: &Credentials) {
    let logins = request.headers.iter().filter(|(name, _)| *name == "Authorization");
    let logins = logins.filter_map(|(_, value)| value.rsplit([' ', '=']).find(|word| !word.is_empty()));
    for secret in keys.secrets().chain(logins).filter(|secret| secret.len() >= TELLING) {
        for form in forms(secret) {
            if memchr::memmem::find(&response.body, form.as_bytes()).is_some() {
                response.body = without_octets(&response.body, form.as_bytes());
            }
            for (_, value) in &mut response.headers {
                *value = value.replace(form.as_str(), "***");
            }
        }
    }
}

/// How an answer may write `secret`: as JSON has it, with slashes and what HTML minds escaped or not, as a query has
/// it, in base64, and as it is.
fn forms(secret: &str) -> [Zeroizing<String>; 8] {
    let escaped = |escape: fn(u32) -> String| -> String {
        let is_plain = |c: char| !matches!(c, '+' | '<' | '>' | '&' | '\'' | '"' | '\\');
        secret.chars().map(|c| if is_plain(c) { c.to_string() } else { escape(c.into()) }).collect()
    };
    let quoted = secret.replace('\\', "\\\\").replace('"', "\\\"");
    let encoded = form_urlencoded::byte_serialize(secret.as_bytes()).collect::<String>();
    [
        quoted.replace('/', "\\/"),
        quoted,
        escaped(|c| format!("\\u{c:04X}")),
        escaped(|c| format!("\\u{c:04x}")),
        encoded.replace('+', "%20").replace("%7E", "~"),
        STANDARD_NO_PAD.encode(secret),
        URL_SAFE_NO_PAD.encode(secret),
        secret.to_owned(),
    ]
    .map(Zeroizing::new)
}

fn without_octets(text: &[u8], secret: &[u8]) -> Vec<u8> {
    let (mut out, mut at) = (Vec::with_capacity(text.len()), 0);
    for found in memchr::memmem::find_iter(text, secret) {
        out.extend_from_slice(&text[at..found]);
        out.extend_from_slice(b"***");
        at = found + secret.len();
    }
    out.extend_from_slice(&text[at..]);
    out
}

/// The outcome without secrets that an answer repeats.
pub(super) fn masked(mut outcome: Outcome, keys: &Credentials) -> Outcome {
    for answer in &mut outcome.answers {
        if let Some(reply) = answer.reply.take() {
            answer.reply = Some(keys.secrets().fold(reply, Reply::without));
        }
    }
    outcome
}

/// `text` without the secrets of `keys`.
pub(super) fn without(text: String, keys: &Credentials) -> String {
    keys.secrets().filter(|secret| secret.len() >= 4).fold(text, |text, secret| text.replace(secret, "***"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Secret;

    #[test]
    fn an_answer_that_repeats_credentials_is_stripped_of_them() {
        let mut keys = Credentials::default();
        keys.insert("session_token", Secret::new("FwoG/abc\"def+123".to_owned()));
        let request = Request::post("/", "text/plain", Vec::new())
            .header("Authorization", "AWS4-HMAC-SHA256 Credential=x, Signature=0123456789abcdef");
        let said = br#"{"a":"FwoG/abc\"def+123","b":"FwoG\/abc\"def+123","c":"0123456789abcdef"} FwoG/abc"def+123"#;
        let headers = vec![("location".to_owned(), "https://x/?t=FwoG/abc\"def+123".to_owned())];
        let mut response = Response { status: 403, headers, body: said.to_vec(), is_whole: true, is_repeat: false };
        hide(&mut response, &request, &keys);
        assert_eq!(String::from_utf8_lossy(&response.body), r#"{"a":"***","b":"***","c":"***"} ***"#);
        assert_eq!(response.headers[0].1, "https://x/?t=***");
        for form in [
            r"FwoG/abc\u0022def\u002B123",
            r"FwoG/abc\u0022def\u002b123",
            "FwoG%2Fabc%22def%2B123",
            "RndvRy9hYmMiZGVmKzEyMw",
        ] {
            let mut response = Response { status: 403, body: form.into(), ..Response::default() };
            hide(&mut response, &request, &keys);
            assert_eq!(String::from_utf8_lossy(&response.body), "***");
        }
    }
}
