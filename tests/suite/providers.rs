//! The providers' HTTP APIs: `tests/providers/ID.case`, one file a provider, run against the real binary
//! and a server that gives canned answers. The message is `tests/providers/canonical.eml`.
//!
//! | Key | Meaning |
//! |---|---|
//! | `relay:` | a line of `[relay.main]` beside `provider`, `via` and `endpoint`; secrets hold the word `secret` |
//! | `env:` | `NAME=value`, one variable |
//! | `vendor:` | whose request the block `vendor` is |
//! | `waive:` | `/body/To: reason`, where the vendor's request may differ; it must |
//! | `without:` | `NAME: reason`, an answer that the provider does not have |
//! | `message:` | a message beside `canonical.eml` to be submitted in its stead |
//! | `cannot:` | `NAME.eml: text`, a message that the API cannot carry: 65, this first line (`*` is any text), no request |
//! | `limit:` | `N: text`, how many recipients in To are one too many: this first line, no request, and the next relay is asked |
//! | `key:` | where a request has its idempotency key: a header field, or `/headers/name` in the body; what is in doubt is asked again once |
//! | `half:` | the exit status when the accepting answer breaks off; 79 unless said |
//!
//! Blocks: `request` is the request to be made, a line `METHOD /path`, header fields (`*` is any text), an
//! empty line and the body; `vendor` the one that the vendor's own client makes. A body is JSON, a form as
//! an array of its parts. A string `{message}` in it is the message without Bcc, `{message:base64}` the same in
//! base64, `{key}` the idempotency key, `{message:bcc}` and `{message:bcc:base64}` with it, as the vendors' clients were given it, `{message:bcc-last}` with it
//! at the end of the header section; `:base64url` is that alphabet without padding. `answer NAME` is `exit:`, `stderr:` (first line, `*` is any text), `id:` (the record's
//! `provider_id`), `hint:` (how the hint begins; `none`), `next:` (`backup` where the next relay of the route is asked after it,
//! `nobody` where it is not), an empty line and the response.
//!
//! `request undisclosed` is the one that `undisclosed.eml`, whose recipients are all hidden, becomes with
//! `undisclosed = "sender"`; without that the API cannot carry it.
//!
//! Where something is asked before the message: `before N` is the Nth of these requests, as `request` is, with a string
//! `{file:NAME}` for the octets of an attachment, and `told N` its response. An `answer` with `at: N` is given to that
//! request in its place, and must be the last.
//!
//! A provider that is reached by SMTP alone has `tests/presets/ID.case` instead: `relay:` as above, without `via`, and
//! `explain:`, a line that `mailchute explain` prints of it (`*` is any text).

use serde_json::{Value, json};
use testkit::{Answer, Asked, Case, Host, Identity, Run, Scratch, Server, Web, matches};

use crate::setup::{data, every_case, mailchute};

/// The answers that every provider's file has.
const ANSWERS: &[&str] = &["accepted", "bad-credential", "unverified-sender", "refused-recipient", "throttled"];

#[test]
fn providers() {
    every_case("providers", |case| {
        let keys = ["relay", "env", "vendor", "waive", "without", "message", "cannot", "half", "key", "limit"];
        case.knows(&keys, &["request", "vendor", "answer", "before", "told"]);
        let accepted = case.block("answer accepted").expect("an answer that accepts");
        let (asked, _) = submit(case, &Canned::read(accepted));
        compare(case, &asked);
        let (all, _) = send(case, &Canned::read(accepted), case.value("message").unwrap_or("canonical.eml"));
        for (number, asked) in all.iter().enumerate().take(told(case).len()) {
            let wanted = Wanted::read(case.block(&format!("before {}", number + 1)).expect("a block `before N`"));
            wanted.check_head(asked);
            let differences = differences("", &wanted.body, &body(asked), true);
            assert!(differences.is_empty(), "request {}:\n{}", number + 1, differences.join("\n"));
        }
        if case.block("request undisclosed").is_some() {
            let (requests, sent) = send(case, &Canned::read(accepted), "undisclosed.eml");
            let first = sent.run.stderr.lines().next().unwrap_or_default();
            let is_refused = sent.run.status == 65 && requests.is_empty() && matches("*none is in To or Cc*", first);
            assert!(is_refused && sent.run.stderr.contains("undisclosed = \"sender\""), "{}", sent.run.report());
            let (requests, sent) =
                send_by(case, &Canned::read(accepted), "undisclosed.eml", "undisclosed = \"sender\"\n");
            let asked = requests.last().unwrap_or_else(|| panic!("no request was made\n{}", sent.run.report()));
            expect(case, "request undisclosed", asked);
        }
        for line in case.values("cannot") {
            let (name, pattern) = line.split_once(": ").expect("NAME.eml: text");
            let (requests, sent) = send(case, &Canned::read(accepted), name);
            let first = sent.run.stderr.lines().next().unwrap_or_default();
            let is_refused = sent.run.status == 65 && requests.is_empty() && matches(pattern, first);
            assert!(is_refused, "{name} is to be refused with {pattern}: {}", sent.run.report());
        }
        if let Some((many, text)) = case.value("limit").and_then(|line| line.split_once(": ")) {
            check_limit(case, accepted, many.parse().expect("a number"), text);
        }
        for (name, text) in case.blocks() {
            if let Some(name) = name.strip_prefix("answer ") {
                let canned = Canned::read(text);
                let (_, sent) = submit(case, &canned);
                canned.check(name, &sent);
                canned.check_next(name, case);
            }
        }
        let waived: Vec<&str> = case.values("without").filter_map(|line| line.split(':').next()).collect();
        for name in ANSWERS.iter().filter(|name| case.block(&format!("answer {name}")).is_none()) {
            assert!(waived.contains(name), "no `answer {name}`, and no `without: {name}: reason`");
        }
        for canned in Canned::of_everybody(case, accepted) {
            let (_, sent) = submit(case, &canned);
            canned.check(&canned.text, &sent);
        }
    });
}

/// A staging guard holds for an API too, whatever it reads recipients out of.
#[test]
fn what_is_diverted_names_nobody_else_to_an_api() {
    every_case("providers", |case| {
        let accepted = case.block("answer accepted").expect("an answer that accepts");
        let guard = "[staging]\nhosts = \"*\"\ndivert = [\"qa@example.org\", \"dev@example.org\"]\n";
        for name in [case.value("message").unwrap_or("canonical.eml"), "undisclosed.eml", "resent.eml"] {
            let is_refused = |line: &str| line.starts_with(name) && !line.contains("who is not to receive it");
            if case.values("cannot").any(is_refused) || (name == "resent.eml" && case.value("message").is_some()) {
                continue;
            }
            let from = match name {
                "undisclosed.eml" => "one@example.net, two@example.net",
                "resent.eml" => "to1@example.net",
                _ => "to1@example.net, to2@example.net, cc@example.net, bcc@example.net",
            };
            let (requests, sent) = send_by(case, &Canned::read(accepted), name, guard);
            // An answer about other recipients leaves some of them in doubt.
            assert!([0, 79].contains(&sent.run.status) && !requests.is_empty(), "{name}: {}", sent.run.report());
            let texts: Vec<String> = requests.iter().flat_map(texts).collect();
            let (mut reached, mut is_named) = (0, false);
            for text in &texts {
                is_named |= text.contains(from);
                let text = text.replacen(from, "", 1);
                reached += usize::from(text.contains("qa@example.org")).min(text.matches("dev@example.org").count());
                assert!(!text.contains("@example.net"), "{name}: {text}");
            }
            let is_said = is_named || sent.log.contains("X-Mailchute-Diverted-From");
            assert!(is_said, "{name}: {texts:?}\n{}", sent.log);
            assert!(reached > 0, "{name}: {texts:?}");
            assert!(sent.log.contains("\"diverted_from\":["), "{}", sent.log);
        }
    });
}

/// All that a request says, encoded or not, in unfolded lines.
fn texts(asked: &Asked) -> Vec<String> {
    use base64::Engine as _;
    use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
    let mut all = vec![asked.target.clone(), String::from_utf8_lossy(&asked.body).into_owned()];
    for word in all[1].clone().split(['"', '&']) {
        let encoded: String = word.split_whitespace().collect();
        let octets = STANDARD.decode(&encoded).or_else(|_| URL_SAFE_NO_PAD.decode(&encoded));
        all.extend(octets.iter().map(|octets| String::from_utf8_lossy(octets).into_owned()));
    }
    let whole = STANDARD.decode(&asked.body).into_iter();
    all.extend(whole.map(|octets| String::from_utf8_lossy(&octets).into_owned()));
    all.iter().map(|text| text.replace("\r\n ", " ").replace("\\r\\n ", " ").replace("%40", "@")).collect()
}

#[test]
fn presets() {
    every_case("presets", |case| {
        case.knows(&["relay", "explain"], &[]);
        let relay: String = case.values("relay").map(|line| format!("{line}\n")).collect();
        let scratch = Scratch::new();
        let config = format!("[relay.main]\nprovider = \"{}\"\n{relay}", case.name());
        let call = mailchute().config(&scratch.write("config.toml", config, 0o644));
        let run = call.args(["explain", "bob@example.net"]).stdin(crate::setup::MESSAGE).run();
        run.expect_status(0);
        assert!(case.value("explain").is_some(), "{}: no line of `explain`", case.name());
        for pattern in case.values("explain") {
            assert!(run.stdout.lines().any(|line| matches(pattern, line.trim())), "no {pattern}\n{}", run.report());
        }
    });
}

/// The responses to what is asked before the message.
fn told(case: &Case) -> Vec<String> {
    (1..).map_while(|number| case.block(&format!("told {number}")).map(str::to_owned)).collect()
}

/// One canned answer and what has to come of it.
struct Canned {
    /// The request before the message that it is given to.
    at: Option<usize>,
    exit: i32,
    stderr: Option<String>,
    id: Option<String>,
    hint: Option<String>,
    next: Option<String>,
    text: String,
    answer: Answer,
}

impl Canned {
    fn read(text: &str) -> Self {
        let (head, response) = text.split_once("\n\n").expect("keys, an empty line, the response");
        let value = |key: &str| {
            let prefix = format!("{key}: ");
            head.lines().find_map(|line| line.strip_prefix(&prefix)).map(str::to_owned)
        };
        Self {
            at: value("at").and_then(|at| at.parse().ok()),
            exit: value("exit").and_then(|exit| exit.parse().ok()).expect("exit: N"),
            stderr: value("stderr"),
            id: value("id"),
            hint: value("hint"),
            next: value("next"),
            text: response.to_owned(),
            answer: Answer::text(response),
        }
    }

    /// Answers that mean the same from everybody.
    fn of_everybody(case: &Case, accepted: &str) -> Vec<Self> {
        let canned = |exit, stderr: &str, answer| Self {
            at: None,
            exit,
            stderr: Some(stderr.to_owned()),
            id: None,
            hint: None,
            next: None,
            text: stderr.to_owned(),
            answer,
        };
        let half: i32 = case.value("half").map_or(79, |exit| exit.parse().expect("a status"));
        let (head, body) = Self::read(accepted).text.split_once("\n\n").map_or_else(
            || (Self::read(accepted).text.trim_end().to_owned(), String::new()),
            |(head, body)| (head.to_owned(), body.to_owned()),
        );
        let cut = format!("{head}\nContent-Length: {}\n\n{}", body.len() + 40, &body[..body.len() / 2]);
        // Nobody has the message before it was submitted.
        let before = (1..=told(case).len()).flat_map(|at| {
            let nonsense = Answer::Octets(b"SSH-2.0-nonsense\r\n\r\n".to_vec());
            let page = Answer::text("HTTP/1.1 503 Service Unavailable\n\n<html>come back</html>");
            let denied = Answer::text("HTTP/1.1 401 Unauthorized\n\nForbidden");
            [
                canned(69, "mailchute: *is not HTTP*", nonsense),
                canned(51, "mailchute: *503*", page),
                canned(135, "mailchute: *535 5.7.8*", denied),
            ]
            .map(|canned| Self { at: Some(at), ..canned })
        });
        let mut all: Vec<Self> = before.collect();
        all.extend([
            Self {
                stderr: (half == 79).then(|| "mailchute: *may have been accepted*".into()),
                ..canned(half, "half", Answer::text(&cut))
            },
            canned(79, "mailchute: *may have been accepted*", Answer::Octets(b"SSH-2.0-nonsense\r\n\r\n".to_vec())),
            canned(79, "mailchute: *may have been accepted*", Answer::Close),
            canned(
                79,
                "mailchute: *may have been accepted*",
                Answer::text("HTTP/1.1 200 OK\nContent-Type: text/html\n\n<h1>Welcome to the hotel</h1>"),
            ),
            canned(
                51,
                "mailchute: *redirected to */elsewhere, not followed*",
                Answer::text("HTTP/1.1 302 Found\nLocation: http://127.0.0.1/elsewhere\n\n"),
            ),
            canned(51, "mailchute: *503*", Answer::text("HTTP/1.1 503 Service Unavailable\n\n<html>come back</html>")),
            canned(
                51,
                "mailchute: *retry after 7 s*",
                Answer::text("HTTP/1.1 429 Too Many Requests\nRetry-After: 7\n\nslow down"),
            ),
            canned(135, "mailchute: *535 5.7.8*", Answer::text("HTTP/1.1 401 Unauthorized\n\nForbidden")),
        ]);
        all
    }

    fn check(&self, name: &str, sent: &Sent) {
        let report = format!("{name}\n{}\n{}", sent.run.report(), sent.log);
        assert_eq!(sent.run.status, self.exit, "exit status of {report}");
        if let Some(pattern) = &self.stderr {
            let first = sent.run.stderr.lines().next().unwrap_or_default();
            assert!(matches(pattern, first), "expected {pattern}: {report}");
        }
        let hint = sent.run.stderr.lines().find_map(|line| line.strip_prefix("hint: "));
        match self.hint.as_deref() {
            Some("none") => assert_eq!(hint, None, "{report}"),
            Some(wanted) => assert!(hint.is_some_and(|hint| hint.starts_with(wanted)), "hint {wanted}: {report}"),
            None => {}
        }
        let record: Value = serde_json::from_str(&sent.log).unwrap_or_default();
        if let Some(id) = &self.id {
            assert_eq!(record["provider_id"].as_str(), Some(id.as_str()), "{report}");
        }
        let is_asked_again = self.exit == 79 && !sent.keys.is_empty();
        let wanted = self.at.unwrap_or(sent.before + 1) + usize::from(is_asked_again);
        assert_eq!(sent.requests, wanted, "each request once, no retry without a key: {report}");
        for key in &sent.keys {
            assert_eq!(record["key"], *key, "{report}");
        }
        for secret in &sent.secrets {
            assert!(!sent.run.stderr.contains(secret) && !sent.log.contains(secret), "{secret} was shown: {report}");
        }
    }
}

impl Canned {
    /// Whether the next relay of the route is asked after it.
    fn check_next(&self, name: &str, case: &Case) {
        let Some(next) = self.next.as_deref() else { return };
        let server = Server::new().start();
        let (_, sent) = send_by(case, self, case.value("message").unwrap_or("canonical.eml"), &backup(&server));
        let wanted = match next {
            "backup" => 0,
            "nobody" => self.exit,
            _ => panic!("next: backup or nobody"),
        };
        assert_eq!(sent.run.status, wanted, "{name}: next: {next}\n{}\n{}", sent.run.report(), sent.log);
    }
}

struct Sent {
    run: Run,
    log: String,
    /// How many requests come before the message.
    before: usize,
    requests: usize,
    /// The idempotency key of each, where they have one.
    keys: Vec<String>,
    secrets: Vec<String>,
}

fn submit(case: &Case, canned: &Canned) -> (Asked, Sent) {
    let (mut requests, sent) = send(case, canned, case.value("message").unwrap_or("canonical.eml"));
    assert!(!requests.is_empty(), "no request was made\n{}", sent.run.report());
    (requests.pop().expect("a request"), sent)
}

/// A message to more recipients than the provider takes is not given to it, and is to the next relay.
fn check_limit(case: &Case, accepted: &str, many: usize, pattern: &str) {
    let scratch = Scratch::new();
    let people: Vec<String> = (0..many).map(|number| format!("to{number}@example.net")).collect();
    let message = format!("From: sender@example.com\nSubject: many\nTo: {}\n\nhello\n", people.join(",\n "));
    let path = scratch.write("many.eml", message, 0o644);
    let name = path.to_str().expect("a path");
    let (requests, sent) = send(case, &Canned::read(accepted), name);
    let first = sent.run.stderr.lines().next().unwrap_or_default();
    assert!(requests.is_empty() && matches(pattern, first), "{pattern}: {}", sent.run.report());
    let server = Server::new().start();
    let (requests, sent) = send_by(case, &Canned::read(accepted), name, &backup(&server));
    assert!(requests.is_empty() && sent.run.status == 0, "{}", sent.run.report());
    let delivered = server.finish().into_iter().flat_map(|session| session.deliveries).count();
    assert_eq!(delivered, 1, "{}", sent.log);
}

/// A second relay, behind the lines of the first.
fn backup(server: &Server) -> String {
    format!("\n[relay.backup]\nhost = \"127.0.0.1\"\nport = {}\ntls = \"none\"\n", server.port())
}

/// Submits the message `name`; every request that came of it.
fn send(case: &Case, canned: &Canned, name: &str) -> (Vec<Asked>, Sent) {
    send_by(case, canned, name, "")
}

/// The same through a relay with `more` lines.
fn send_by(case: &Case, canned: &Canned, name: &str, more: &str) -> (Vec<Asked>, Sent) {
    let (answer, at) = (canned.answer.clone(), canned.at);
    let told = told(case);
    let before = told.len();
    let mut number = 0;
    let web = Web::start(None, move |_| {
        number += 1;
        match told.get(number - 1) {
            Some(told) if at != Some(number) => Answer::text(told),
            _ => answer.clone(),
        }
    });
    let scratch = Scratch::new();
    let relay: String = case.values("relay").map(|line| format!("{line}\n")).collect();
    let config = format!(
        "[relay.main]\nprovider = \"{}\"\nvia = \"api\"\nendpoint = \"http://127.0.0.1:{}\"\n{relay}{more}\n\
         [log]\nto = [\"{}\"]\n",
        case.name(),
        web.port(),
        scratch.join("log").display(),
    );
    let mut call = mailchute().config(&scratch.write("config.toml", config, 0o644));
    for variable in case.values("env") {
        let (name, value) = variable.split_once('=').expect("NAME=value");
        call = call.env(name, value);
    }
    let message = std::fs::read(data("providers").join(name)).unwrap();
    let run = call.args(["-i", "-t"]).stdin(message).run();
    let requests = web.finish();
    let secrets = relay.split('"').filter(|word| word.contains("secret")).map(str::to_owned).collect();
    let keys = case.value("key").map(|place| requests.iter().map(|asked| key(asked, place)).collect());
    let keys = keys.unwrap_or_default();
    let sent = Sent { log: scratch.read("log"), before, requests: requests.len(), keys, secrets, run };
    (requests, sent)
}

/// The idempotency key of a request, which has it at `place`.
pub(crate) fn key(asked: &Asked, place: &str) -> String {
    let body: Value = serde_json::from_slice(&asked.body).unwrap_or_default();
    let found = if place.starts_with('/') { body.pointer(place).and_then(Value::as_str) } else { asked.header(place) };
    found.unwrap_or_else(|| panic!("no key at {place}")).to_owned()
}

/// Compares the request with the one to be made, and with the vendor's.
fn compare(case: &Case, asked: &Asked) {
    let ours = body(asked);
    let pretty = expect(case, "request", asked);
    let Some(vendor) = case.block("vendor") else { return };
    let vendor = Wanted::read(vendor);
    vendor.check_head(asked);
    let mut differences = differences("", &vendor.body, &ours, false);
    for waiver in case.values("waive") {
        let (path, reason) = waiver.split_once(": ").expect("/path: reason");
        assert!(!reason.trim().is_empty(), "{path} is waived for no reason");
        let count = differences.len();
        differences.retain(|line| !line.starts_with(path.strip_prefix("/body").unwrap_or(path)));
        assert!(differences.len() < count, "nothing differs at {path}: take the waiver out");
    }
    assert!(differences.is_empty(), "vendor's request:\n{}\n{pretty}", differences.join("\n"));
}

/// Compares a request with the one that the block `name` has; its body for a reader.
fn expect(case: &Case, name: &str, asked: &Asked) -> String {
    let key = case.value("key").map(|place| key(asked, place)).unwrap_or_default();
    let wanted = Wanted::read(&case.block(name).expect("the request to be made").replace("{key}", &key));
    let ours = body(asked);
    wanted.check_head(asked);
    let differences = differences("", &wanted.body, &ours, true);
    let pretty = serde_json::to_string_pretty(&ours).unwrap();
    assert!(differences.is_empty(), "request:\n{}\n{pretty}", differences.join("\n"));
    pretty
}

struct Wanted {
    method: String,
    target: String,
    headers: Vec<(String, String)>,
    body: Value,
}

impl Wanted {
    fn read(text: &str) -> Self {
        let (head, body) = text.split_once("\n\n").unwrap_or((text, "null"));
        let mut lines = head.lines();
        let (method, target) = lines.next().and_then(|line| line.split_once(' ')).expect("METHOD /path");
        let headers = lines
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
            .collect();
        let body = fill(serde_json::from_str(body).unwrap_or_else(|error| panic!("body: {error}")));
        Self { method: method.to_owned(), target: target.to_owned(), headers, body }
    }

    fn check_head(&self, asked: &Asked) {
        assert_eq!((&self.method, &self.target), (&asked.method, &asked.target));
        for (name, pattern) in &self.headers {
            let value = asked.header(name).unwrap_or_else(|| panic!("no header field {name}: {:?}", asked.headers));
            assert!(matches(pattern, value), "{name}: {value}, not {pattern}");
        }
    }
}

/// The canonical message in CRLF form.
fn canonical() -> String {
    let text = std::fs::read_to_string(data("providers").join("canonical.eml")).unwrap();
    text.lines().map(|line| format!("{line}\r\n")).collect()
}

/// The same as it goes out: no Bcc.
fn message() -> String {
    canonical().replace("Bcc: bcc@example.net\r\n", "")
}

/// The same with Bcc again, as an API without an envelope needs it.
fn bcc_last() -> String {
    message().replacen("\r\n\r\n", "\r\nBcc: bcc@example.net\r\n\r\n", 1)
}

fn base64url(octets: &[u8]) -> String {
    base64(octets).trim_end_matches('=').replace('+', "-").replace('/', "_")
}

fn base64(octets: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(octets)
}

/// The octets of an attachment of the canonical message.
fn attachment(name: &str) -> Vec<u8> {
    use base64::Engine as _;
    let message = message();
    let (_, part) = message.split_once(&format!("filename=\"{name}\"")).expect("an attachment of this name");
    let (_, content) = part.split_once("\r\n\r\n").expect("its content");
    let content: String = content.split("\r\n--").next().expect("its end").split_whitespace().collect();
    base64::engine::general_purpose::STANDARD.decode(content).expect("base64")
}

/// `value` with the message where it says so.
fn fill(value: Value) -> Value {
    match value {
        Value::String(text) if text.starts_with("{file:") => {
            let octets = attachment(text.trim_start_matches("{file:").trim_end_matches('}'));
            json!(String::from_utf8_lossy(&octets))
        }
        Value::String(text) => Value::String(match text.as_str() {
            "{message}" => message(),
            "{message:base64}" => base64(message().as_bytes()),
            "{message:bcc}" => canonical(),
            "{message:bcc:base64}" => base64(canonical().as_bytes()),
            "{message:bcc:base64url}" => base64url(canonical().as_bytes()),
            "{message:bcc-last:base64}" => base64(bcc_last().as_bytes()),
            "{message:bcc-last:base64url}" => base64url(bcc_last().as_bytes()),
            _ => text,
        }),
        Value::Array(list) => list.into_iter().map(fill).collect(),
        Value::Object(map) => map.into_iter().map(|(key, value)| (key, fill(value))).collect(),
        other => other,
    }
}

/// The body of a request as JSON; a form as the array of its parts, other text as a string.
fn body(asked: &Asked) -> Value {
    let kind = asked.header("content-type").unwrap_or_default();
    if let Some((_, boundary)) = kind.split_once("boundary=") {
        return parts(&asked.body, boundary.trim_matches('"'));
    }
    serde_json::from_slice(&asked.body).unwrap_or_else(|_| json!(String::from_utf8_lossy(&asked.body)))
}

fn parts(body: &[u8], boundary: &str) -> Value {
    let text = String::from_utf8_lossy(body).into_owned();
    let delimiter = format!("--{boundary}");
    assert!(text.starts_with(&delimiter) && text.ends_with(&format!("\r\n{delimiter}--\r\n")), "{text}");
    let inner = &text[delimiter.len()..text.len() - delimiter.len() - 6];
    let part = |part: &str| {
        let (head, content) = part.trim_start_matches("\r\n").split_once("\r\n\r\n").expect("a part's header section");
        let parameter = |name: &str| {
            let start = format!("{name}=\"");
            head.split(&start).nth(1).and_then(|rest| rest.split('"').next()).map(str::to_owned)
        };
        let named = head.replace("filename=", "file=");
        let name = named.split("name=\"").nth(1).and_then(|rest| rest.split('"').next());
        json!({ "name": name, "filename": parameter("filename"), "text": content })
    };
    inner.split(&format!("\r\n{delimiter}")).map(part).collect()
}

/// Where `ours` is not `theirs`: the path of each place and both values. Unless `strictly`, forms that mean
/// the same are equal: addresses however written, line ends, null and nothing.
fn differences(path: &str, theirs: &Value, ours: &Value, strictly: bool) -> Vec<String> {
    let empty = |value: &Value| match value {
        Value::Null => true,
        Value::Array(list) => list.is_empty(),
        Value::String(text) => text.is_empty(),
        _ => false,
    };
    match (theirs, ours) {
        (Value::Object(theirs), Value::Object(ours)) => {
            let mut keys: Vec<&String> = theirs.keys().chain(ours.keys()).collect();
            keys.sort();
            keys.dedup();
            let of = |map: &serde_json::Map<String, Value>, key: &str| map.get(key).cloned().unwrap_or(Value::Null);
            keys.into_iter()
                .flat_map(|key| differences(&format!("{path}/{key}"), &of(theirs, key), &of(ours, key), strictly))
                .collect()
        }
        (Value::Array(theirs), Value::Array(ours)) if theirs.len() == ours.len() => {
            let pairs = theirs.iter().zip(ours).enumerate();
            pairs.flat_map(|(at, (a, b))| differences(&format!("{path}/{at}"), a, b, strictly)).collect()
        }
        _ if theirs == ours => Vec::new(),
        _ if !strictly && empty(theirs) && empty(ours) => Vec::new(),
        (Value::String(theirs), Value::String(ours)) if !strictly && plain(theirs) == plain(ours) => Vec::new(),
        _ => vec![format!("{path}: {theirs} is to be, {ours} is")],
    }
}

/// Text with LF line ends, without the final one, and without the quotes of display names.
fn plain(text: &str) -> String {
    let text = text.replace("\r\n", "\n");
    let text = text.strip_suffix('\n').unwrap_or(&text);
    if text.contains('@') && !text.contains('\n') { text.replace(['"', '<', '>'], "") } else { text.to_owned() }
}

#[test]
fn tls_is_that_of_every_relay() {
    let answer = Answer::text("HTTP/1.1 200 OK\n\n{\"ErrorCode\":0,\"Message\":\"OK\",\"MessageID\":\"id-1\"}");
    for (identity, host, exit) in [
        (Identity::Good, "localhost", 0),
        (Identity::WrongName, "localhost", 76),
        (Identity::OtherAuthority, "localhost", 76),
    ] {
        let answer = answer.clone();
        let web = Web::start(Some(identity), move |_| answer.clone());
        let scratch = Scratch::new();
        let ca = testkit::Certs::shared().write_authority(&scratch);
        let config = format!(
            "[relay.main]\nprovider = \"postmark\"\nvia = \"api\"\ntoken = \"pm-secret\"\nca_file = \"{}\"\n\
             endpoint = \"https://{host}:{}\"\n",
            ca.display(),
            web.port()
        );
        let call = mailchute().config(&scratch.write("config.toml", config, 0o644));
        let run = call.args(["-i", "bob@example.net"]).stdin(crate::setup::MESSAGE).run();
        run.expect_status(exit);
        assert_eq!(web.finish().len(), usize::from(exit == 0), "{identity:?}: {}", run.report());
    }
}

/// A proxy that HTTPS_PROXY names is asked for a tunnel; HTTP_PROXY is for nobody.
#[test]
fn only_the_https_proxy_of_the_environment_counts() {
    let proxy = Web::saying("HTTP/1.1 403 Forbidden\n\n");
    let scratch = Scratch::new();
    let config = "[relay.main]\nprovider = \"postmark\"\nvia = \"api\"\ntoken = \"pm-secret\"\n\
                  endpoint = \"https://api.invalid\"\n";
    let config = scratch.write("config.toml", config, 0o644);
    let place = format!("http://127.0.0.1:{}", proxy.port());
    let call = |name: &str| {
        let call = mailchute().config(&config).env(name, &place);
        call.args(["-i", "bob@example.net"]).stdin(crate::setup::MESSAGE).run()
    };
    let run = call("HTTPS_PROXY");
    run.expect_status(69);
    run.expect_stderr("mailchute: proxy 127.0.0.1:*: does not connect to api.invalid:443: HTTP/1.1 403 Forbidden*");
    // Where nobody but /etc/hosts is asked for names.
    Host::run(&[], |_| {
        call("HTTP_PROXY").expect_status(68);
    });
    let asked = proxy.finish();
    let lines: Vec<_> = asked.iter().map(|asked| format!("{} {}", asked.method, asked.target)).collect();
    assert_eq!(lines, ["CONNECT api.invalid:443"]);
}
