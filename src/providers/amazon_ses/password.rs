//! Amazon SES: its regions, and the SMTP password that belongs to an AWS secret access key in one of them.

use base64::Engine as _;
use ring::hmac;

use crate::providers::preset::{Region, named};
use crate::secret::Secret;

/// The regions the vendor lists.
pub(super) const REGIONS: &[Region] = &[
    named("af-south-1"),
    named("ap-northeast-1"),
    named("ap-northeast-2"),
    named("ap-northeast-3"),
    named("ap-south-1"),
    named("ap-southeast-1"),
    named("ap-southeast-2"),
    named("ca-central-1"),
    named("eu-central-1"),
    named("eu-north-1"),
    named("eu-west-1"),
    named("eu-west-2"),
    named("eu-west-3"),
    named("sa-east-1"),
    named("us-east-1"),
    named("us-east-2"),
    named("us-gov-east-1"),
    named("us-gov-west-1"),
    named("us-west-1"),
    named("us-west-2"),
];

/// The version octet the vendor puts before the signature.
const VERSION: u8 = 0x04;

/// Derives the SMTP password: a Signature Version 4 key chain over fixed words, so the region is the only
/// thing it depends on beside the key. Temporary keys have no SMTP password.
pub(super) fn smtp_password(secret_access_key: &Secret, region: &str) -> Secret {
    let first = zeroize::Zeroizing::new(format!("AWS4{}", secret_access_key.expose()));
    let mut key = hmac::Key::new(hmac::HMAC_SHA256, first.as_bytes());
    for word in ["11111111", region, "ses", "aws4_request"] {
        key = hmac::Key::new(hmac::HMAC_SHA256, hmac::sign(&key, word.as_bytes()).as_ref());
    }
    let signature = hmac::sign(&key, b"SendRawEmail");
    let octets = [&[VERSION], signature.as_ref()].concat();
    Secret::new(base64::engine::general_purpose::STANDARD.encode(octets))
}

/// Whether `text` looks like a password that was derived already, not like a secret access key: 33 octets
/// in base64, of which the first is the version.
pub(super) fn is_smtp_password(text: &str) -> bool {
    text.len() == 44 && text.starts_with('B')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_agree_with_published_vectors() {
        let secret = Secret::new("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".into());
        for (region, password) in [
            ("us-east-1", "BOntiZFm/r+5s3psZ/RpsjB+aSGsj2J0rXdiLuO0cQL7"),
            ("eu-west-1", "BEW1uMsJNijX9ThCfEJCkeH4gPo9MWFsAUXj6NZO5jyz"),
            ("ap-southeast-2", "BAzbEzGWYFtl2/Y5jYjbyS2pCdLjqoO1eApa0aYnOPqb"),
        ] {
            let derived = smtp_password(&secret, region);
            assert_eq!(derived.expose(), password);
            assert!(is_smtp_password(derived.expose()));
        }
        assert!(!is_smtp_password(secret.expose()));
    }
}
