//! AWS Signature Version 4 for a request without a query.

use ring::digest::{SHA256, digest};
use ring::hmac;
use zeroize::Zeroizing;

use crate::failure::Failure;
use crate::hex;
use crate::providers::api::Credentials;

/// The name SES signs under, which is not its host's.
const SERVICE: &str = "ses";

/// Everything a signature depends on beside the request.
pub(super) struct Signer<'a> {
    /// The region, which is part of the signature's scope.
    pub(super) region: &'a str,
    /// The time, to the second; AWS takes five minutes of difference.
    pub(super) now: jiff::Timestamp,
    /// Where the request goes: its authority is signed.
    pub(super) endpoint: &'a str,
    /// `access_key_id`, `secret_access_key`, perhaps `session_token`.
    pub(super) keys: &'a Credentials,
}

impl Signer<'_> {
    /// The header fields that sign a request of this method for `path`, with `body` of type JSON.
    ///
    /// # Errors
    /// `Configuration`: a key is missing.
    pub(super) fn headers(
        &self,
        method: &str,
        path: &str,
        body: &[u8],
    ) -> Result<Vec<(&'static str, String)>, Failure> {
        let time = self.now.strftime("%Y%m%dT%H%M%SZ").to_string();
        let date = &time[..8];
        let token = self.keys.find("session_token");
        let host = self.endpoint.split_once("://").map_or(self.endpoint, |(_, rest)| rest);
        let (host, prefix) = host.split_once('/').unwrap_or((host, ""));
        let slash = if prefix.is_empty() { "" } else { "/" };

        let mut names = "content-type;host;x-amz-date".to_owned();
        let mut fields = format!("content-type:application/json\nhost:{host}\nx-amz-date:{time}\n");
        if let Some(token) = token {
            names += ";x-amz-security-token";
            fields += &format!("x-amz-security-token:{token}\n");
        }
        let canonical =
            format!("{method}\n{slash}{prefix}{path}\n\n{fields}\n{names}\n{}", hex::encode(digest(&SHA256, body)));
        let scope = format!("{date}/{}/{SERVICE}/aws4_request", self.region);
        let canonical = hex::encode(digest(&SHA256, canonical.as_bytes()));
        let to_sign = format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n{canonical}");

        let first = Zeroizing::new(format!("AWS4{}", self.keys.get("secret_access_key")?));
        let mut key = hmac::Key::new(hmac::HMAC_SHA256, first.as_bytes());
        for word in [date, self.region, SERVICE, "aws4_request"] {
            key = hmac::Key::new(hmac::HMAC_SHA256, hmac::sign(&key, word.as_bytes()).as_ref());
        }
        let signature = hex::encode(hmac::sign(&key, to_sign.as_bytes()));
        let id = self.keys.get("access_key_id")?;
        let authorization =
            format!("AWS4-HMAC-SHA256 Credential={id}/{scope}, SignedHeaders={names}, Signature={signature}");
        let mut headers = vec![("X-Amz-Date", time.clone()), ("Authorization", authorization)];
        headers.extend(token.map(|token| ("X-Amz-Security-Token", token.to_owned())));
        Ok(headers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Secret;

    /// Made by botocore's SigV4Auth with the clock fixed, for the published example keys.
    const BODY: &str = "{\"FromEmailAddress\":\"sender@example.com\",\"Destination\":{\"ToAddresses\":[\"to1@example.net\"],\
                        \"BccAddresses\":[\"bcc@example.net\"]},\"Content\":{\"Raw\":{\"Data\":\"\
                        RnJvbTogc2VuZGVyQGV4YW1wbGUuY29tDQpUbzogdG8xQGV4YW1wbGUubmV0DQpTdWJqZWN0OiBoaQ0KDQpoaQ0K\"}}}";

    #[test]
    fn signatures_agree_with_those_of_the_vendors_client() {
        for (region, token, signature) in [
            ("us-east-1", None, "4663da1c478f527c3318a99ff7594a2c08c0b630d0e4203d47159d410b97435d"),
            ("eu-west-1", None, "0b9a733a9f60082f4c7b31ab516527ae0d61dbe1999f5c1079247e9111365ad2"),
            (
                "us-east-1",
                Some("FAKESESSIONTOKEN=="),
                "81612227a8980231dcc31556e1788aa43e8765c6b4c8e509609aee847a4fe316",
            ),
        ] {
            let mut keys = Credentials::default();
            keys.insert("access_key_id", Secret::new("AKIDEXAMPLE".into()));
            keys.insert("secret_access_key", Secret::new("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".into()));
            if let Some(token) = token {
                keys.insert("session_token", Secret::new(token.into()));
            }
            let endpoint = format!("https://email.{region}.amazonaws.com");
            let now = "2026-11-02T10:00:00Z".parse().unwrap();
            let signer = Signer { region, now, endpoint: &endpoint, keys: &keys };
            let headers = signer.headers("POST", "/v2/email/outbound-emails", BODY.as_bytes()).unwrap();
            assert_eq!(headers[0].1, "20261102T100000Z");
            let end = format!(", Signature={signature}");
            assert!(headers[1].1.ends_with(&end), "{}", headers[1].1);
            assert_eq!(headers.len(), 2 + usize::from(token.is_some()));
        }
    }
}
