//! The assertion a service account signs with its key (RFC 7523 2.1, RFC 7515), as Google documents it.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject as _;
use serde::Deserialize;
use serde_json::json;

use crate::config::relay::OAuth;
use crate::failure::{Failure, Kind};
use crate::secret::Secret;

/// The longest life Google gives an assertion, in seconds.
const LIFE: i64 = 3600;

/// What is needed of a key file.
#[derive(Deserialize)]
struct Key {
    client_email: String,
    #[serde(deserialize_with = "secret")]
    private_key: Secret,
    #[serde(default)]
    private_key_id: String,
    /// Whom the assertion is for.
    #[serde(default)]
    token_uri: Option<String>,
}

fn secret<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Secret, D::Error> {
    String::deserialize(deserializer).map(Secret::new)
}

/// A signed request, made at `now`, for a token that writes as the account of `oauth`.
///
/// # Errors
/// `Configuration`: the key is not what Google hands out.
pub(super) fn assertion(key: &str, oauth: &OAuth, now: Timestamp) -> Result<Secret, Failure> {
    let wrong = |why: &str| {
        Failure::new(Kind::Configuration, "service_account", why)
            .hint("use the JSON file exactly as the Google Cloud console made it")
    };
    let key: Key = serde_json::from_str(key).map_err(|_| wrong("is not the JSON of a service account's key"))?;
    let der = PrivatePkcs8KeyDer::from_pem_slice(key.private_key.expose().as_bytes())
        .map_err(|_| wrong("holds no private key in PEM"))?;
    let pair = RsaKeyPair::from_pkcs8(der.secret_pkcs8_der()).map_err(|_| wrong("holds no usable RSA key"))?;
    let since = now.as_second();
    let head = json!({ "alg": "RS256", "typ": "JWT", "kid": key.private_key_id });
    let claims = json!({
        "iss": key.client_email,
        "sub": oauth.account,
        "scope": oauth.scope,
        "aud": key.token_uri.as_deref().unwrap_or(&oauth.token_endpoint.url),
        "iat": since,
        "exp": since + LIFE,
    });
    let mut text = [head, claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string())).join(".");
    let mut signature = vec![0; pair.public().modulus_len()];
    pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), text.as_bytes(), &mut signature)
        .map_err(|_| Failure::new(Kind::Software, "service_account", "cannot sign"))?;
    text.push('.');
    URL_SAFE_NO_PAD.encode_string(signature, &mut text);
    Ok(Secret::new(text))
}
