//! A request, as a provider wants it made.

use serde::Serialize;

use super::lean::Lean;
use crate::failure::{Failure, Kind};

/// One HTTP request. There is no `Debug`: its header fields hold credentials.
pub struct Request {
    /// `POST`, mostly.
    pub method: &'static str,
    /// Behind the endpoint; begins with a slash, a query included.
    pub path: String,
    /// Header fields beside Host, Content-Length and User-Agent.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: Body,
    /// What of the message is not carried, for the log record.
    pub warnings: Vec<String>,
    /// The path is a secret, too, and is shown nowhere.
    pub hides_path: bool,
}

/// A body in pieces.
pub type Body = Vec<Piece>;

/// A piece of a body.
pub enum Piece {
    /// These octets.
    Octets(Vec<u8>),
    /// The message as it is, streamed.
    Message,
}

/// `value` as one segment of a path, which the setting `key` gives.
///
/// # Errors
/// `Configuration`: it would lead to another path.
pub(in crate::providers) fn segment<'a>(key: &str, value: &'a str) -> Result<&'a str, Failure> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    match value.chars().all(is_plain) && value.contains(|c| c != '.') {
        true => Ok(value),
        false => Err(Failure::new(Kind::Configuration, key, "may hold letters, digits, dots and hyphens only")),
    }
}

impl Request {
    /// A POST to `path` of `body` in JSON, without what is empty in it.
    ///
    /// # Errors
    /// `Software`: `body` cannot be JSON.
    pub fn json(path: impl Into<String>, body: &impl Serialize) -> Result<Self, Failure> {
        let body = serde_json::to_vec(&Lean(body))
            .map_err(|error| Failure::new(Kind::Software, "request", format!("cannot be made: {error}")))?;
        Ok(Self::post(path, "application/json", vec![Piece::Octets(body)]))
    }

    /// A POST to `path` of `body`, which is of type `content_type`.
    pub fn post(path: impl Into<String>, content_type: impl Into<String>, body: Body) -> Self {
        Self {
            method: "POST",
            path: path.into(),
            headers: vec![("Accept", "application/json".into()), ("Content-Type", content_type.into())],
            body,
            warnings: Vec::new(),
            hides_path: false,
        }
    }

    /// A GET of `path`.
    pub fn get(path: impl Into<String>) -> Self {
        let headers = vec![("Accept", "application/json".into())];
        Self { method: "GET", path: path.into(), headers, body: Vec::new(), warnings: Vec::new(), hides_path: false }
    }

    /// The same with one more header field.
    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// The same with `Authorization: Bearer TOKEN`.
    pub fn bearer(self, token: &str) -> Self {
        self.header("Authorization", format!("Bearer {token}"))
    }

    /// The same with a path that nobody is shown.
    pub fn hidden(mut self) -> Self {
        self.hides_path = true;
        self
    }

    /// The same with what of the message is not carried.
    pub fn warn(mut self, warnings: Vec<String>) -> Self {
        self.warnings = warnings;
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_leads_to_no_other_path() {
        for value in ["mg.example.com", "fr-par", "0a_1"] {
            assert_eq!(segment("x", value).ok(), Some(value));
        }
        for value in ["", ".", "..", "a/b", "a?b", "a#b", "a%2fb", "a b", "a\r\nb", "\u{e9}"] {
            assert!(segment("x", value).is_err(), "{value:?}");
        }
    }
}
