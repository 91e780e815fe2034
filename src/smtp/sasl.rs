//! SASL mechanisms (RFC 4422) as pure exchanges: a challenge in, a response out. The base64 of the
//! AUTH command (RFC 4954) is put on and taken off here.

mod scram;

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use hmac::{Hmac, KeyInit, Mac};
use md5::Md5;
use zeroize::Zeroizing;

use self::scram::{Hash, Scram};
use crate::config::relay::{Login, Mechanism, Place};
use crate::hex;
use crate::random;

/// The longest line of an exchange, in octets of base64 (RFC 4954 section 4).
pub const RESPONSE_LIMIT: usize = 12288;
/// The longest command line with its CRLF (RFC 5321 4.5.3.1.4); a longer initial response waits for
/// an empty challenge.
const COMMAND_LIMIT: usize = 512;

/// Why an exchange cannot go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// The challenge is not what the mechanism provides.
    Challenge,
    /// The server did not prove that it knows the password (SCRAM).
    Impostor,
    /// The server asks for this many rounds of hashing (SCRAM).
    Rounds(u32),
    /// User name or secret hold a NUL or are longer than an AUTH line may be.
    Credentials,
    /// The system gives no random numbers.
    Random,
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Challenge => f.write_str("the server's challenge is malformed"),
            Self::Impostor => f.write_str("the server did not prove that it knows the password"),
            Self::Rounds(rounds) => {
                write!(f, "the server asks for {rounds} rounds of hashing, more than is reasonable")
            }
            Self::Credentials => {
                f.write_str("the user name or the secret contains a NUL or is too long for an AUTH line")
            }
            Self::Random => f.write_str("the system provides no random numbers"),
        }
    }
}

/// Fresh randomness for [`Exchange::new`]: 24 printable characters without a comma.
///
/// # Errors
/// The system gives none.
pub fn nonce() -> Result<String, Trouble> {
    Ok(BASE64.encode(random::octets::<18>().ok_or(Trouble::Random)?))
}

/// A line of base64 that is wiped on drop.
pub type Line = Zeroizing<String>;

/// One run of one mechanism.
pub struct Exchange<'a> {
    mechanism: Mechanism,
    login: &'a Login,
    place: &'a Place,
    scram: Option<Scram>,
    /// How many challenges have been answered.
    step: usize,
    /// The initial response is still to be sent: it did not fit into the command.
    withheld: bool,
}

impl<'a> Exchange<'a> {
    /// A run of `mechanism` against the server at `place`. Only SCRAM uses `nonce`.
    pub fn new(mechanism: Mechanism, login: &'a Login, place: &'a Place, nonce: String) -> Self {
        let hash = match mechanism {
            Mechanism::ScramSha256 => Some(Hash::Sha256),
            Mechanism::ScramSha1 => Some(Hash::Sha1),
            _ => None,
        };
        let scram = hash.map(|hash| Scram::new(hash, &login.username, nonce));
        Self { mechanism, login, place, scram, step: 0, withheld: false }
    }

    /// The mechanism that runs.
    pub fn mechanism(&self) -> Mechanism {
        self.mechanism
    }

    /// What stands behind `AUTH MECHANISM` in the command: the initial response, `None` where the
    /// mechanism has none or it is too long for a command line.
    ///
    /// XOAUTH2 puts its token there whatever its length, as its inventors document it.
    ///
    /// # Errors
    /// The credentials do not fit the mechanism.
    pub fn initial(&mut self) -> Result<Option<Line>, Trouble> {
        let Some(response) = self.initial_response()? else { return Ok(None) };
        let line = match response.is_empty() {
            true => Zeroizing::new("=".to_owned()),
            false => encode(response.as_bytes())?,
        };
        let command = "AUTH  \r\n".len() + self.mechanism.name().len() + line.len();
        self.withheld = command > COMMAND_LIMIT && self.mechanism != Mechanism::XOAuth2;
        Ok((!self.withheld).then_some(line))
    }

    /// The answer to one 334 challenge, given as the text behind the code.
    ///
    /// # Errors
    /// The challenge is none, or one too many.
    pub fn respond(&mut self, challenge: &[u8]) -> Result<Line, Trouble> {
        if std::mem::take(&mut self.withheld) {
            let response = self.initial_response()?.ok_or(Trouble::Challenge)?;
            return encode(response.as_bytes());
        }
        self.step += 1;
        let secret = self.login.secret.expose();
        let username = self.login.username.as_str();
        match (self.mechanism, self.step) {
            // A server that overlooked the initial response asks for it.
            (Mechanism::Plain | Mechanism::External, 1) => match self.initial_response()? {
                Some(response) => encode(response.as_bytes()),
                None => Err(Trouble::Challenge),
            },
            // The prompts say "Username:" and "Password:" in many spellings; their order is fixed.
            (Mechanism::Login, 1) => encode(username.as_bytes()),
            (Mechanism::Login, 2) => encode(secret.as_bytes()),
            (Mechanism::CramMd5, 1) => encode(cram_md5(username, secret, &decode(challenge)?).as_bytes()),
            // The challenge is the server's error; its reply follows.
            (Mechanism::XOAuth2, 1) => Ok(Line::default()),
            (Mechanism::OAuthBearer, 1) => encode(b"\x01"),
            (Mechanism::ScramSha256 | Mechanism::ScramSha1, _) => {
                let scram = self.scram.as_mut().ok_or(Trouble::Challenge)?;
                encode(scram.respond(secret, &decode(challenge)?)?.as_bytes())
            }
            _ => Err(Trouble::Challenge),
        }
    }

    /// The server says that the login succeeded: whether it may be believed.
    ///
    /// # Errors
    /// SCRAM ended without the server's signature.
    pub fn finish(&self) -> Result<(), Trouble> {
        match &self.scram {
            Some(scram) if !scram.is_verified() => Err(Trouble::Impostor),
            _ => Ok(()),
        }
    }

    fn initial_response(&self) -> Result<Option<Zeroizing<String>>, Trouble> {
        let username = self.login.username.as_str();
        let secret = self.login.secret.expose();
        if username.contains('\0') || secret.contains('\0') {
            return Err(Trouble::Credentials);
        }
        Ok(Some(Zeroizing::new(match self.mechanism {
            Mechanism::Plain => format!("\0{username}\0{secret}"),
            Mechanism::External => username.to_owned(),
            Mechanism::XOAuth2 => format!("user={username}\x01auth=Bearer {secret}\x01\x01"),
            Mechanism::OAuthBearer => {
                let place = match self.place {
                    Place::Tcp { host, port } => format!("\x01host={host}\x01port={port}"),
                    Place::Unix(_) => String::new(),
                };
                format!("n,a={},{place}\x01auth=Bearer {secret}\x01\x01", escape_name(username))
            }
            Mechanism::ScramSha256 | Mechanism::ScramSha1 => match &self.scram {
                Some(scram) => scram.first(),
                None => return Ok(None),
            },
            Mechanism::Login | Mechanism::CramMd5 => return Ok(None),
        })))
    }
}

/// What must not be shown of `login`: the secret and its base64 form.
pub fn needles(login: &Login) -> Vec<Line> {
    let secret = login.secret.expose();
    vec![Zeroizing::new(secret.to_owned()), Zeroizing::new(BASE64.encode(secret))]
}

/// saslname (RFC 5802 section 7): comma and equals sign are written as hexadecimal.
fn escape_name(username: &str) -> String {
    username.replace('=', "=3D").replace(',', "=2C")
}

fn cram_md5(username: &str, secret: &str, challenge: &[u8]) -> String {
    // HMAC takes a key of any length, so there is no error to meet.
    let digest = Hmac::<Md5>::new_from_slice(secret.as_bytes()).map(|mac| mac.chain_update(challenge).finalize());
    format!("{username} {}", digest.map(|digest| hex::encode(digest.into_bytes())).unwrap_or_default())
}

fn encode(response: &[u8]) -> Result<Line, Trouble> {
    let line = Zeroizing::new(BASE64.encode(response));
    match line.len() > RESPONSE_LIMIT {
        true => Err(Trouble::Credentials),
        false => Ok(line),
    }
}

fn decode(challenge: &[u8]) -> Result<Vec<u8>, Trouble> {
    BASE64.decode(challenge.trim_ascii()).map_err(|_| Trouble::Challenge)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Secret;

    fn login(username: &str, secret: &str) -> Login {
        Login { username: username.to_owned(), secret: Secret::new(secret.to_owned()), is_token: false }
    }

    fn place() -> Place {
        Place::Tcp { host: "server.example.com".to_owned(), port: 587 }
    }

    fn initial(mechanism: Mechanism, login: &Login) -> String {
        let line = Exchange::new(mechanism, login, &place(), String::new()).initial().unwrap().unwrap();
        String::from_utf8(BASE64.decode(line.as_bytes()).unwrap()).unwrap()
    }

    #[test]
    fn plain_and_external() {
        assert_eq!(initial(Mechanism::Plain, &login("tim", "tanstaaftanstaaf")), "\0tim\0tanstaaftanstaaf");
        assert_eq!(initial(Mechanism::External, &login("fred@example.com", "")), "fred@example.com");
        let nobody = login("", "");
        let place = place();
        let mut exchange = Exchange::new(Mechanism::External, &nobody, &place, String::new());
        assert_eq!(exchange.initial().unwrap().unwrap().as_str(), "=");
    }

    #[test]
    fn cram_md5_of_rfc_2195() {
        let login = login("tim", "tanstaaftanstaaf");
        let place = place();
        let mut exchange = Exchange::new(Mechanism::CramMd5, &login, &place, String::new());
        assert!(exchange.initial().unwrap().is_none());
        let response = exchange.respond(b"PDE4OTYuNjk3MTcwOTUyQHBvc3RvZmZpY2UucmVzdG9uLm1jaS5uZXQ+").unwrap();
        assert_eq!(response.as_str(), "dGltIGI5MTNhNjAyYzdlZGE3YTQ5NWI0ZTZlNzMzNGQzODkw");
        assert_eq!(exchange.respond(b"").unwrap_err(), Trouble::Challenge);
    }

    #[test]
    fn xoauth2_as_its_documentation_has_it() {
        let login = login("test@contoso.onmicrosoft.com", "EwBAAl3BAAUFFpUAo7J3Ve0bjLBWZWCclRC3EoAA");
        let place = place();
        let mut exchange = Exchange::new(Mechanism::XOAuth2, &login, &place, String::new());
        assert_eq!(
            exchange.initial().unwrap().unwrap().as_str(),
            "dXNlcj10ZXN0QGNvbnRvc28ub25taWNyb3NvZnQuY29tAWF1dGg9QmVhcmVyIEV3QkFBbDNCQUFVRkZwVUFvN0ozVmUwYmpMQldaV0NjbFJDM0VvQUEBAQ=="
        );
        assert_eq!(exchange.respond(b"eyJzdGF0dXMiOiI0MDAifQ==").unwrap().as_str(), "");
    }

    #[test]
    fn oauthbearer_of_rfc_7628() {
        assert_eq!(
            initial(Mechanism::OAuthBearer, &login("user@example.com", "vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==")),
            "n,a=user@example.com,\x01host=server.example.com\x01port=587\x01auth=Bearer vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==\x01\x01"
        );
    }

    #[test]
    fn login_answers_two_prompts_whatever_they_say() {
        let login = login("user", "pa ss");
        let place = place();
        let mut exchange = Exchange::new(Mechanism::Login, &login, &place, String::new());
        assert!(exchange.initial().unwrap().is_none());
        assert_eq!(exchange.respond(b"not base64").unwrap().as_str(), "dXNlcg==");
        assert_eq!(exchange.respond(b"UGFzc3dvcmQ6").unwrap().as_str(), "cGEgc3M=");
        assert!(exchange.respond(b"").is_err());
    }

    #[test]
    fn scram_goes_through_the_base64_of_the_command() {
        let login = login("user", "pencil");
        let place = place();
        let mut exchange = Exchange::new(Mechanism::ScramSha256, &login, &place, "rOprNGfwEbeRWgbNEkqO".to_owned());
        let first = BASE64.decode(exchange.initial().unwrap().unwrap().as_bytes()).unwrap();
        assert_eq!(first, b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO");
        let challenge =
            BASE64.encode("r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096");
        let proof = BASE64.decode(exchange.respond(challenge.as_bytes()).unwrap().as_bytes()).unwrap();
        assert!(proof.ends_with(b",p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="));
        assert_eq!(exchange.finish(), Err(Trouble::Impostor));
        let signature = BASE64.encode("v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
        assert_eq!(exchange.respond(signature.as_bytes()).unwrap().as_str(), "");
        assert_eq!(exchange.finish(), Ok(()));
    }

    #[test]
    fn a_long_initial_response_waits_for_its_challenge() {
        let long = login("user", &"x".repeat(600));
        let place = place();
        let mut exchange = Exchange::new(Mechanism::Plain, &long, &place, String::new());
        assert!(exchange.initial().unwrap().is_none());
        assert_eq!(exchange.respond(b"").unwrap().as_str(), BASE64.encode(format!("\0user\0{}", "x".repeat(600))));
        let longer = login("user", &"x".repeat(10_000));
        let mut exchange = Exchange::new(Mechanism::XOAuth2, &longer, &place, String::new());
        assert_eq!(exchange.initial().unwrap_err(), Trouble::Credentials);
    }

    #[test]
    fn what_cannot_be_said_in_plain_is_not_said() {
        let place = place();
        for login in [login("a\0b", "secret"), login("a", "sec\0ret")] {
            let mut exchange = Exchange::new(Mechanism::Plain, &login, &place, String::new());
            assert_eq!(exchange.initial().unwrap_err(), Trouble::Credentials);
        }
    }
}
