//! The authorization code grant (RFC 6749 4.1) with PKCE (RFC 7636): the address a browser is sent to, and
//! what comes back from it.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest::{SHA256, digest};

use super::endpoint::{Client, QUOTED};
use super::store::Granted;
use crate::config::relay::{OAuth, Relay};
use crate::deadline::Deadline;
use crate::failure::{Failure, Kind};
use crate::random;
use crate::reply::printable;
use crate::secret::Secret;

/// One request for an authorization code.
#[derive(Debug)]
pub struct Authorization {
    /// Ties the answer to this request (RFC 6749 10.12).
    state: String,
    /// Ties the code to this process.
    verifier: Secret,
    /// Empty with a code that the person made at the server.
    redirect_uri: String,
    /// Who answers, where that is known.
    issuer: Option<&'static str>,
    /// Whether a person may make a code at the server.
    self_client: bool,
}

/// What a browser brings back.
#[derive(Debug)]
pub enum Redirected {
    /// The code.
    Code(Secret),
    /// The server's or the person's refusal.
    Refused(Failure),
    /// No answer to this request: another `state`, or nothing of the kind.
    Foreign,
}

impl Authorization {
    /// A request to the server of `oauth`, whose answer goes to `redirect_uri`.
    ///
    /// # Errors
    /// `System`: there are no random octets.
    pub fn new(oauth: &OAuth, redirect_uri: impl Into<String>) -> Result<Self, Failure> {
        let verifier = Secret::new(random()?);
        let issuer = oauth.server.and_then(|server| server.issuer);
        let self_client = oauth.server.is_some_and(|server| server.self_client);
        Ok(Self { state: random()?, verifier, redirect_uri: redirect_uri.into(), issuer, self_client })
    }

    /// The address to open in a browser; asks for `scope`.
    ///
    /// # Errors
    /// `Configuration`: no `authorization_endpoint` is known.
    pub fn url(&self, oauth: &OAuth, scope: &str) -> Result<String, Failure> {
        let endpoint = oauth.authorization_endpoint.as_ref().ok_or_else(|| {
            Failure::new(Kind::Configuration, "authorization_endpoint", "is needed for a login with a browser")
                .hint("the server's documentation has it, often at /.well-known/openid-configuration")
        })?;
        let challenge = URL_SAFE_NO_PAD.encode(digest(&SHA256, self.verifier.expose().as_bytes()));
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.append_pair("response_type", "code").append_pair("client_id", &oauth.client_id);
        query.append_pair("redirect_uri", &self.redirect_uri);
        for (name, value) in [("scope", scope), ("login_hint", oauth.account.as_str())] {
            if !value.is_empty() {
                query.append_pair(name, value);
            }
        }
        query.append_pair("state", &self.state);
        query.append_pair("code_challenge", &challenge).append_pair("code_challenge_method", "S256");
        query.extend_pairs(oauth.server.map_or(&[][..], |server| server.offline_parameters));
        Ok(format!("{endpoint}?{}", query.finish()))
    }

    /// What `query`, that of the redirect URI, answers.
    pub fn read(&self, query: &str) -> Redirected {
        let value = |wanted: &str| {
            form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == wanted).map(|(_, value)| value)
        };
        if value("state").as_deref() != Some(self.state.as_str()) {
            return Redirected::Foreign;
        }
        // Another server's code is not for this one (RFC 9207 2.4).
        if let (Some(issuer), Some(said)) = (self.issuer, value("iss"))
            && said != issuer
        {
            return Redirected::Foreign;
        }
        if let Some(error) = value("error") {
            let text = value("error_description").unwrap_or_default();
            return Redirected::Refused(refused(&error, text.lines().next().unwrap_or_default()));
        }
        match value("code").filter(|code| !code.is_empty()) {
            Some(code) => Redirected::Code(Secret::new(code.into_owned())),
            None => Redirected::Foreign,
        }
    }

    /// What a person copied out of the browser answers: the whole address, or its query; or, where the server has such,
    /// a code that the person made there. Such a code was made for no redirect URI.
    ///
    /// # Errors
    /// `Data`: it is neither, or the answer to another request; otherwise the refusal it tells.
    pub fn read_pasted(&mut self, text: &str) -> Result<Secret, Failure> {
        let wrong = |why: &str| {
            Failure::new(Kind::Data, "what was pasted", why)
                .hint("copy the whole address of the page at which the browser stopped, and start again")
        };
        let text = text.trim();
        let query = text.split_once('?').map_or(text, |(_, query)| query);
        let query = query.split('#').next().unwrap_or_default();
        if self.self_client
            && !text.is_empty()
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
        {
            self.redirect_uri.clear();
            return Ok(Secret::new(text.to_owned()));
        }
        if !query.contains('=') {
            // A code alone could be anybody's: nothing ties it to this request.
            return Err(wrong("is not the address the browser was sent to, with code and state in it"));
        }
        match self.read(query) {
            Redirected::Code(code) => Ok(code),
            Redirected::Refused(failure) => Err(failure),
            Redirected::Foreign => Err(wrong("is not the answer to this login")),
        }
    }

    /// Redeems `code`; `scope`: what to name where the server has to be told.
    ///
    /// # Errors
    /// As [`Client::token`]; a refusal.
    pub fn redeem(
        &self,
        code: &Secret,
        client: &Client<'_>,
        relay: &Relay,
        scope: Option<&str>,
        deadline: Deadline,
    ) -> Result<Granted, Failure> {
        let fields = [("grant_type", "authorization_code"), ("code", code.expose())];
        let sent = [("redirect_uri", self.redirect_uri.as_str()), ("code_verifier", self.verifier.expose())];
        let sent = sent.into_iter().filter(|_| !self.redirect_uri.is_empty());
        let scope = scope.map(|scope| ("scope", scope));
        let answer = client.token(&fields.into_iter().chain(sent).chain(scope).collect::<Vec<_>>(), deadline)?;
        answer.map_err(|refusal| refusal.failure(relay, client.oauth))
    }
}

/// An error of the authorization endpoint (RFC 6749 4.1.2.1).
fn refused(error: &str, text: &str) -> Failure {
    let said = [error, text].map(|part| printable(part.as_bytes(), QUOTED)).join(": ");
    let said = said.trim_end_matches(": ");
    match error {
        "access_denied" => Failure::new(Kind::NoPermission, "login", format!("was not granted: {said}")),
        "server_error" | "temporarily_unavailable" => {
            Failure::new(Kind::Unavailable, "login", format!("the server cannot do this now: {said}"))
        }
        _ => Failure::new(Kind::Configuration, "login", format!("the server refuses it: {said}"))
            .hint("check client_id and scope, and that the client may log in with a browser"),
    }
}

/// 256 bits, in 43 characters that every field of a request takes.
fn random() -> Result<String, Failure> {
    let octets = random::octets::<32>();
    let octets =
        octets.ok_or_else(|| Failure::new(Kind::System, "random numbers", "the operating system provides none"))?;
    Ok(URL_SAFE_NO_PAD.encode(octets))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Of RFC 7636, appendix B.
    pub(in crate::oauth) fn authorization() -> Authorization {
        Authorization {
            state: "the state".to_owned(),
            verifier: Secret::new("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk".to_owned()),
            redirect_uri: "http://127.0.0.1:1023".to_owned(),
            issuer: Some("https://accounts.google.com"),
            self_client: false,
        }
    }

    #[test]
    fn a_code_made_at_the_server_is_for_no_redirect_uri() {
        let mut own = Authorization { self_client: true, ..authorization() };
        assert_eq!(own.read_pasted(" 1000.ab_c-d\n").expect("a code").expose(), "1000.ab_c-d");
        assert_eq!(own.redirect_uri, "");
        let mut own = Authorization { self_client: true, ..authorization() };
        assert_eq!(own.read_pasted("http://127.0.0.1:1023/?code=x&state=the+state").expect("a code").expose(), "x");
        assert!(!own.redirect_uri.is_empty() && own.read_pasted("").is_err() && own.read_pasted("a b").is_err());
    }

    fn kind(pasted: &str) -> Option<Kind> {
        authorization().read_pasted(pasted).err().map(|failure| failure.kind)
    }

    #[test]
    fn an_answer_counts_with_the_state_of_the_request() {
        for query in [
            "",
            "code=4/0Ab",
            "code=4/0Ab&state=another",
            "state=the+state",
            "state=the+state&code=",
            "state=the+state&code=4/0Ab&iss=https://login.example",
        ] {
            assert!(matches!(authorization().read(query), Redirected::Foreign), "{query}");
        }
        let Redirected::Code(code) =
            authorization().read("state=the+state&iss=https://accounts.google.com&code=4%2F0Ab&scope=x")
        else {
            panic!("no code")
        };
        assert_eq!(code.expose(), "4/0Ab");
        let answer = authorization().read("error=access_denied&state=the%20state&error_description=no%1b%5B2J%0Amore");
        let Redirected::Refused(failure) = answer else { panic!("not refused") };
        assert_eq!(failure.to_string(), "login: was not granted: access_denied: no?[2J");
        // A page of somebody else's cannot end the login either.
        assert!(matches!(authorization().read("error=access_denied&state=another"), Redirected::Foreign));
    }

    #[test]
    fn the_address_or_its_query_may_be_pasted_but_no_code_alone() {
        for text in
            ["http://127.0.0.1:1023/?state=the+state&code=x#", " ?code=x&state=the+state\n", "code=x&state=the+state"]
        {
            assert_eq!(authorization().read_pasted(text).expect(text).expose(), "x");
        }
        for text in ["", "4/0Ab", "http://127.0.0.1:1023/", "http://127.0.0.1:1023/?code=x&state=y"] {
            assert_eq!(kind(text), Some(Kind::Data), "{text}");
        }
        assert_eq!(kind("?error=invalid_scope&state=the+state"), Some(Kind::Configuration));
    }

    #[test]
    fn what_is_random_is_long_and_another_every_time() {
        let (one, other) = (random().expect("octets"), random().expect("octets"));
        assert!(
            one.len() == 43 && one != other && one.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b))
        );
    }
}
