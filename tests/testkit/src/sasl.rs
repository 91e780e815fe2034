//! The server's side of SASL, as far as tests need it.

use std::io;
use std::num::NonZeroU32;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use md5::Md5;
use ring::{digest, hmac as ring_hmac, pbkdf2};

use crate::server::Login;

/// Sends a challenge (already in Base64) and answers the client's line; `None`: it is gone.
pub(crate) type Ask<'a> = &'a mut dyn FnMut(&str) -> io::Result<Option<String>>;

/// Runs one exchange; whether the client proved that it knows the secret.
pub(crate) fn exchange(mechanism: &str, initial: Option<&str>, login: &Login, ask: Ask<'_>) -> io::Result<bool> {
    let first = |ask: Ask<'_>| -> io::Result<String> {
        match initial {
            Some("=") => Ok(String::new()),
            Some(line) => Ok(decode(line)),
            None => Ok(decode(&ask("")?.unwrap_or_default())),
        }
    };
    match mechanism {
        "PLAIN" => Ok(first(ask)? == format!("\0{}\0{}", login.username, login.secret)),
        "XOAUTH2" => {
            let said = first(ask)?;
            let good = said == format!("user={}\x01auth=Bearer {}\x01\x01", login.username, login.secret);
            bearer(good, ask)
        }
        "OAUTHBEARER" => {
            let said = first(ask)?;
            let token = format!("auth=Bearer {}\x01", login.secret);
            let good = said.starts_with(&format!("n,a={},", login.username)) && said.contains(&token);
            bearer(good, ask)
        }
        // The certificate is the caller's to look at; the identity is empty or its own.
        "EXTERNAL" => {
            let identity = first(ask)?;
            Ok(identity.is_empty() || identity == login.username)
        }
        "LOGIN" => {
            let username = match initial {
                Some(line) => decode(line),
                None => decode(&ask(&STANDARD.encode("Username:"))?.unwrap_or_default()),
            };
            let secret = decode(&ask(&STANDARD.encode("Password:"))?.unwrap_or_default());
            Ok(username == login.username && secret == login.secret)
        }
        "CRAM-MD5" => {
            let challenge = "<1896.697170952@mx.example.net>";
            let answer = decode(&ask(&STANDARD.encode(challenge))?.unwrap_or_default());
            let mut mac = Hmac::<Md5>::new_from_slice(login.secret.as_bytes()).map_err(io::Error::other)?;
            mac.update(challenge.as_bytes());
            let digest: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
            Ok(answer == format!("{} {digest}", login.username))
        }
        "SCRAM-SHA-256" => scram(&SHA256, &first(ask)?, login, ask),
        "SCRAM-SHA-1" => scram(&SHA1, &first(ask)?, login, ask),
        _ => Ok(false),
    }
}

/// A refused bearer token is explained in one more challenge, which the client answers with nothing.
fn bearer(good: bool, ask: Ask<'_>) -> io::Result<bool> {
    if !good {
        ask(&STANDARD.encode(r#"{"status":"401","schemes":"bearer"}"#))?;
    }
    Ok(good)
}

fn decode(line: &str) -> String {
    STANDARD.decode(line).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
}

struct Scram {
    digest: &'static digest::Algorithm,
    hmac: ring_hmac::Algorithm,
    pbkdf2: pbkdf2::Algorithm,
}

static SHA256: Scram =
    Scram { digest: &digest::SHA256, hmac: ring_hmac::HMAC_SHA256, pbkdf2: pbkdf2::PBKDF2_HMAC_SHA256 };
static SHA1: Scram = Scram {
    digest: &digest::SHA1_FOR_LEGACY_USE_ONLY,
    hmac: ring_hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
    pbkdf2: pbkdf2::PBKDF2_HMAC_SHA1,
};

/// RFC 5802 without channel binding.
fn scram(kind: &Scram, client_first: &str, login: &Login, ask: Ask<'_>) -> io::Result<bool> {
    let Some(bare) = client_first.strip_prefix("n,,") else { return Ok(false) };
    let Some(nonce) = attribute(bare, "r=") else { return Ok(false) };
    let name = attribute(bare, "n=").unwrap_or_default().replace("=2C", ",").replace("=3D", "=");
    let salt = b"a fixed test salt";
    let iterations = NonZeroU32::new(4096).expect("4096 is not zero");
    let nonce = format!("{nonce}3rfcNHYJY1ZVvWVs7j");
    let server_first = format!("r={nonce},s={},i={iterations}", STANDARD.encode(salt));
    let client_final = decode(&ask(&STANDARD.encode(&server_first))?.unwrap_or_default());
    let Some((without_proof, proof)) = client_final.rsplit_once(",p=") else { return Ok(false) };
    let proof = STANDARD.decode(proof).unwrap_or_default();

    let mut salted = vec![0; kind.digest.output_len()];
    pbkdf2::derive(kind.pbkdf2, iterations, salt, login.secret.as_bytes(), &mut salted);
    let mac = |key: &[u8], text: &[u8]| ring_hmac::sign(&ring_hmac::Key::new(kind.hmac, key), text);
    let client_key = mac(&salted, b"Client Key");
    let stored_key = digest::digest(kind.digest, client_key.as_ref());
    let text = format!("{bare},{server_first},{without_proof}");
    let signature = mac(stored_key.as_ref(), text.as_bytes());
    let expected: Vec<u8> = client_key.as_ref().iter().zip(signature.as_ref()).map(|(a, b)| a ^ b).collect();
    let good = name == login.username
        && attribute(without_proof, "r=") == Some(nonce.as_str())
        && attribute(without_proof, "c=") == Some("biws")
        && proof == expected;
    if good {
        let server_key = mac(&salted, b"Server Key");
        let server_signature = mac(server_key.as_ref(), text.as_bytes());
        let server_final = format!("v={}", STANDARD.encode(server_signature.as_ref()));
        ask(&STANDARD.encode(server_final))?;
    }
    Ok(good)
}

fn attribute<'a>(message: &'a str, name: &str) -> Option<&'a str> {
    message.split(',').find_map(|part| part.strip_prefix(name))
}
