//! Whether an API accepts the credentials, asked without submitting anything.

use super::codes::Meaning;
use super::response::Response;
use crate::reply::Reply;

/// What an answer to [`Api::login`](super::Api::login) says of the credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Validity {
    /// They are accepted.
    Accepted,
    /// They are accepted, and do not suffice to send: the clause says why, without full stop.
    Limited(&'static str),
    /// They are refused, with the reply that a message would get.
    Refused(Reply),
    /// The answer does not tell: keys that may only send are refused there as well, or the service is in trouble.
    Unclear,
}

impl Response {
    /// By the status alone: 401 is about who asks, 403 about what is asked for (RFC 9110, section 15.5).
    pub fn validity(&self) -> Validity {
        match self.status {
            200..=299 => Validity::Accepted,
            401 => self.refused_login(),
            _ => Validity::Unclear,
        }
    }

    /// That the credentials are refused, with what the provider says.
    pub fn refused_login(&self) -> Validity {
        Validity::Refused(self.reply(Meaning::LOGIN, &self.quoted()))
    }
}

#[cfg(test)]
mod tests {
    use toml::de::ValueDeserializer;

    use super::*;
    use crate::providers::api::{Credentials, Piece};
    use crate::providers::{Provider, all};
    use crate::secret::Secret;

    /// The settings that a provider cannot do without.
    const SETTINGS: &[(&str, &str)] = &[
        ("azure-communication", r#"{ resource = "r" }"#),
        ("cloudflare", r#"{ account_id = "0123456789abcdef0123456789abcdef" }"#),
        ("mailgun", r#"{ domain = "mg.example.com" }"#),
        ("scaleway", r#"{ project_id = "p", region = "fr-par" }"#),
        ("smtp-com", r#"{ channel = "c" }"#),
    ];

    /// The line of the request, and the header field that logs in; `None`: the provider has no such request.
    fn request(id: &str) -> Option<(String, String)> {
        let entry = Provider::find(id).unwrap().api.unwrap();
        let settings = SETTINGS.iter().find(|(name, _)| *name == id).map_or("{}", |(_, settings)| settings);
        let api = entry.read(ValueDeserializer::parse(settings).unwrap()).unwrap();
        let mut keys = Credentials::default();
        for credential in entry.credentials {
            keys.insert(credential.key, Secret::new(format!("the-{}", credential.key)));
        }
        let request = api.login(&keys, &api.endpoint(), jiff::Timestamp::UNIX_EPOCH).unwrap()?;
        assert!(request.path.starts_with('/'), "{id}");
        let login = |(name, value): &(&str, String)| match *name {
            "Accept" | "Content-Type" => None,
            name => Some(format!("{name}: {value}")),
        };
        let field = request.headers.iter().filter_map(login).next_back().unwrap_or_default();
        let body = request.body.into_iter().map(|piece| match piece {
            Piece::Octets(octets) => String::from_utf8(octets).unwrap(),
            Piece::Message => panic!("{id} submits the message"),
        });
        let shown = body.collect::<String>();
        Some((format!("{} {}", request.method, request.path), if field.is_empty() { shown } else { field }))
    }

    #[test]
    fn what_is_asked_submits_nothing_and_logs_in() {
        let asked = [
            ("brevo", "GET /v3/account", "api-key: the-api_key"),
            ("mailersend", "GET /v1/api-quota", "Authorization: Bearer the-token"),
            ("mailgun", "GET /v4/domains/mg.example.com", "Authorization: Basic YXBpOnRoZS1hcGlfa2V5"),
            ("mailjet", "GET /v3/REST/user", "Authorization: Basic dGhlLWFwaV9rZXk6dGhlLXNlY3JldF9rZXk="),
            ("mandrill", "POST /api/1.0/users/ping2.json", r#"{"key":"the-api_key"}"#),
            ("postmark", "GET /server", "X-Postmark-Server-Token: the-token"),
            ("resend", "GET /usage", "Authorization: Bearer the-api_key"),
            ("sendgrid", "GET /v3/scopes", "Authorization: Bearer the-api_key"),
            ("smtp2go", "POST /v3/stats/email_summary", "X-Smtp2go-Api-Key: the-api_key"),
            ("sparkpost", "GET /api/v1/account", "Authorization: the-api_key"),
            ("zoho-mail", "GET /api/accounts", "Authorization: Zoho-oauthtoken the-token"),
        ];
        for (id, line, field) in asked {
            assert_eq!(request(id), Some((line.to_owned(), field.to_owned())), "{id}");
        }
        let (line, field) = request("amazon-ses").unwrap();
        assert_eq!(line, "GET /v2/email/account");
        assert!(field.starts_with("X-Amz-Security-Token: "), "{field}");
        // Nobody else has one: what is not documented, or would need another right than to send, is not asked.
        let others = all().filter(|provider| provider.api.is_some()).map(|provider| provider.id);
        let others = others.filter(|id| *id != "amazon-ses" && !asked.iter().any(|(known, ..)| known == id));
        for id in others {
            assert_eq!(request(id), None, "{id}");
        }
    }

    /// What the answer with this status and body says.
    fn validity(id: &str, status: u16, body: &str) -> Validity {
        let entry = Provider::find(id).unwrap().api.unwrap();
        let settings = SETTINGS.iter().find(|(name, _)| *name == id).map_or("{}", |(_, settings)| settings);
        let api = entry.read(ValueDeserializer::parse(settings).unwrap()).unwrap();
        api.validity(&Response { status, body: body.into(), is_whole: true, ..Response::default() })
    }

    #[test]
    fn what_the_answer_says_of_the_credentials() {
        let limited = |validity: &Validity| matches!(validity, Validity::Limited(_));
        let refused = |validity: &Validity| matches!(validity, Validity::Refused(reply) if reply.code() == 535);
        for id in ["brevo", "mailersend", "mailjet", "postmark", "smtp2go", "sparkpost", "zoho-mail"] {
            assert_eq!(validity(id, 200, "{}"), Validity::Accepted, "{id}");
            assert!(refused(&validity(id, 401, r#"{"message":"no"}"#)), "{id}");
            for status in [302, 404, 429, 500, 503] {
                assert_eq!(validity(id, status, "{}"), Validity::Unclear, "{id} {status}");
            }
        }
        // The key is known, and may do less than that.
        assert_eq!(validity("smtp2go", 403, "{}"), Validity::Accepted);
        assert_eq!(validity("sparkpost", 403, "{}"), Validity::Unclear);
        // A domain sending key may nothing but send.
        assert_eq!(validity("mailgun", 200, "{}"), Validity::Accepted);
        assert_eq!(validity("mailgun", 401, "Forbidden"), Validity::Unclear);

        assert_eq!(validity("sendgrid", 200, r#"{"scopes":["mail.send","stats.read"]}"#), Validity::Accepted);
        assert!(limited(&validity("sendgrid", 200, r#"{"scopes":["stats.read"]}"#)));
        assert_eq!(validity("sendgrid", 200, "{}"), Validity::Unclear);

        assert_eq!(validity("resend", 200, "{}"), Validity::Accepted);
        let restricted = r#"{"name":"restricted_api_key","message":"This API key is restricted to only send emails"}"#;
        assert_eq!(validity("resend", 401, restricted), Validity::Accepted);
        for (status, name) in [(400, "validation_error"), (401, "missing_api_key"), (403, "invalid_api_key")] {
            let body = format!(r#"{{"name":"{name}","message":"API key is invalid"}}"#);
            assert!(refused(&validity("resend", status, &body)), "{name}");
        }
        assert_eq!(validity("resend", 429, r#"{"name":"rate_limit_exceeded","message":"x"}"#), Validity::Unclear);

        assert_eq!(validity("mandrill", 200, r#"{"PING":"PONG!"}"#), Validity::Accepted);
        let invalid = r#"{"status":"error","code":-1,"name":"Invalid_Key","message":"Invalid API key"}"#;
        assert!(refused(&validity("mandrill", 500, invalid)));
        assert_eq!(validity("mandrill", 500, "busy"), Validity::Unclear);

        let account =
            |production, sending| format!(r#"{{"ProductionAccessEnabled":{production},"SendingEnabled":{sending}}}"#);
        assert_eq!(validity("amazon-ses", 200, &account(true, true)), Validity::Accepted);
        assert!(limited(&validity("amazon-ses", 200, &account(false, true))));
        assert!(limited(&validity("amazon-ses", 200, &account(true, false))));
        // Who may only send is known, and may not ask for the account.
        let told = |kind: &str| format!(r#"{{"__type":"{kind}","message":"said"}}"#);
        assert_eq!(validity("amazon-ses", 403, &told("AccessDeniedException")), Validity::Accepted);
        for kind in ["UnrecognizedClientException", "SignatureDoesNotMatch", "ExpiredTokenException"] {
            assert!(refused(&validity("amazon-ses", 403, &told(kind))), "{kind}");
        }
        assert_eq!(validity("amazon-ses", 500, "busy"), Validity::Unclear);
    }
}
