//! SCRAM-SHA-1 and SCRAM-SHA-256 (RFC 5802, RFC 7677), without channel binding.

use std::num::NonZeroU32;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use ring::{digest, hmac, pbkdf2};
use zeroize::Zeroizing;

use super::{Trouble, escape_name};

/// More rounds than this are refused: a server must not be able to burn our processor.
const MOST_ROUNDS: u32 = 1_000_000;

/// Which hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hash {
    /// SCRAM-SHA-1.
    Sha1,
    /// SCRAM-SHA-256.
    Sha256,
}

impl Hash {
    fn hmac(self) -> hmac::Algorithm {
        match self {
            Self::Sha1 => hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
            Self::Sha256 => hmac::HMAC_SHA256,
        }
    }

    fn digest(self) -> &'static digest::Algorithm {
        match self {
            Self::Sha1 => &digest::SHA1_FOR_LEGACY_USE_ONLY,
            Self::Sha256 => &digest::SHA256,
        }
    }

    fn rounds(self) -> pbkdf2::Algorithm {
        match self {
            Self::Sha1 => pbkdf2::PBKDF2_HMAC_SHA1,
            Self::Sha256 => pbkdf2::PBKDF2_HMAC_SHA256,
        }
    }
}

/// The client's side of one exchange.
pub(super) struct Scram {
    hash: Hash,
    nonce: String,
    first_bare: String,
    /// The key and text of the server's signature, once the proof is made.
    expected: Option<(hmac::Key, String)>,
    verified: bool,
}

impl Scram {
    /// An exchange for `username` with the client `nonce` (printable, no comma).
    pub(super) fn new(hash: Hash, username: &str, nonce: String) -> Self {
        let first_bare = format!("n={},r={nonce}", escape_name(username));
        Self { hash, nonce, first_bare, expected: None, verified: false }
    }

    /// client-first-message.
    pub(super) fn first(&self) -> String {
        format!("n,,{}", self.first_bare)
    }

    /// Whether the server has proved that it knows the password.
    pub(super) fn is_verified(&self) -> bool {
        self.verified
    }

    /// Answers server-first-message with the proof, server-final-message with nothing.
    ///
    /// The password goes in as UTF-8 without SASLprep (RFC 4013): ASCII is the same either way, and
    /// servers differ in what they do to the rest.
    pub(super) fn respond(&mut self, password: &str, challenge: &[u8]) -> Result<String, Trouble> {
        let challenge = std::str::from_utf8(challenge).map_err(|_| Trouble::Challenge)?;
        match self.expected.take() {
            None => self.prove(password, challenge),
            Some((key, text)) if !self.verified => {
                let signature = challenge.split(',').next().and_then(|field| field.strip_prefix("v="));
                let signature = BASE64.decode(signature.ok_or(Trouble::Challenge)?).map_err(|_| Trouble::Challenge)?;
                hmac::verify(&key, text.as_bytes(), &signature).map_err(|_| Trouble::Impostor)?;
                self.verified = true;
                self.expected = Some((key, text));
                Ok(String::new())
            }
            Some(_) => Err(Trouble::Challenge),
        }
    }

    fn prove(&mut self, password: &str, server_first: &str) -> Result<String, Trouble> {
        let mut fields = server_first.split(',');
        let mut field = |name: &str| fields.next().and_then(|field| field.strip_prefix(name)).ok_or(Trouble::Challenge);
        let (nonce, salt, rounds) = (field("r=")?, field("s=")?, field("i=")?);
        if !nonce.starts_with(&self.nonce) || nonce.len() == self.nonce.len() {
            return Err(Trouble::Impostor);
        }
        let salt = BASE64.decode(salt).map_err(|_| Trouble::Challenge)?;
        let rounds: NonZeroU32 = rounds.parse().map_err(|_| Trouble::Challenge)?;
        if rounds.get() > MOST_ROUNDS {
            return Err(Trouble::Rounds(rounds.get()));
        }

        let algorithm = self.hash.hmac();
        let mut salted = Zeroizing::new(vec![0; self.hash.digest().output_len()]);
        pbkdf2::derive(self.hash.rounds(), rounds, &salt, password.as_bytes(), &mut salted);
        let salted = hmac::Key::new(algorithm, &salted);
        let client_key = hmac::sign(&salted, b"Client Key");
        let stored_key = digest::digest(self.hash.digest(), client_key.as_ref());
        // `biws` is the base64 form of the gs2 header `n,,`.
        let final_bare = format!("c=biws,r={nonce}");
        let text = format!("{},{server_first},{final_bare}", self.first_bare);
        let signature = hmac::sign(&hmac::Key::new(algorithm, stored_key.as_ref()), text.as_bytes());
        let proof: Vec<u8> = client_key.as_ref().iter().zip(signature.as_ref()).map(|(key, sign)| key ^ sign).collect();

        let server_key = hmac::sign(&salted, b"Server Key");
        self.expected = Some((hmac::Key::new(algorithm, server_key.as_ref()), text));
        Ok(format!("{final_bare},p={}", BASE64.encode(proof)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 5802 section 5 and RFC 7677 section 3: nonce, server-first, client-final, server-final.
    const VECTORS: [(Hash, &str, &str, &str, &str); 2] = [
        (
            Hash::Sha1,
            "fyko+d2lbbFgONRv9qkxdawL",
            "r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096",
            "c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
            "v=rmF9pqV8S7suAoZWja4dJRkFsKQ=",
        ),
        (
            Hash::Sha256,
            "rOprNGfwEbeRWgbNEkqO",
            "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
            "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
            "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
        ),
    ];

    #[test]
    fn published_vectors() {
        for (hash, nonce, server_first, client_final, server_final) in VECTORS {
            let mut scram = Scram::new(hash, "user", nonce.to_owned());
            assert_eq!(scram.first(), format!("n,,n=user,r={nonce}"));
            assert_eq!(scram.respond("pencil", server_first.as_bytes()).unwrap(), client_final);
            assert!(!scram.is_verified());
            assert_eq!(scram.respond("pencil", server_final.as_bytes()).unwrap(), "");
            assert!(scram.is_verified());
        }
    }

    #[test]
    fn a_server_that_does_not_know_the_password_is_found_out() {
        let (hash, nonce, server_first, ..) = VECTORS[1];
        let mut scram = Scram::new(hash, "user", nonce.to_owned());
        scram.respond("pencil", server_first.as_bytes()).unwrap();
        let lie = format!("v={}", BASE64.encode([0; 32]));
        assert_eq!(scram.respond("pencil", lie.as_bytes()), Err(Trouble::Impostor));
        assert!(!scram.is_verified());
    }

    #[test]
    fn bad_challenges_are_refused() {
        for (challenge, trouble) in [
            ("r=other,s=QSXCR+Q6sek8bf92,i=4096", Trouble::Impostor),
            ("r=nonce,s=QSXCR+Q6sek8bf92,i=4096", Trouble::Impostor),
            ("r=nonce1,s=QSXCR+Q6sek8bf92,i=0", Trouble::Challenge),
            ("r=nonce1,s=QSXCR+Q6sek8bf92,i=4000000000", Trouble::Rounds(4_000_000_000)),
            ("r=nonce1,s=QSXCR+Q6sek8bf92", Trouble::Challenge),
            ("m=ext,r=nonce1,s=QSXCR+Q6sek8bf92,i=4096", Trouble::Challenge),
            ("", Trouble::Challenge),
        ] {
            let mut scram = Scram::new(Hash::Sha256, "user", "nonce".to_owned());
            assert_eq!(scram.respond("pencil", challenge.as_bytes()), Err(trouble), "{challenge}");
        }
    }
}
