//! Access tokens: got, kept, renewed, and what the caller hears when there is none. `tests/oauth/*.case`, a
//! story each, on a host of its own where the account `shop` (uid 61042) sends. A server of ours gives the
//! tokens and plays the provider's API.
//!
//! | Key | Meaning |
//! |---|---|
//! | `accounts:` | the host's accounts beside root; `shop` unless said, `none` |
//! | `needs:` | a program that has to be installed |
//! | `login:` | the token that the SMTP server takes from shop@example.com, over TLS; without it there is neither |
//! | `asked:` | a question for a token: its form, decoded, as `name=value&name=value`. All of them, in order |
//! | `bearer:` | the token that a message came with at the API. All of them, in order |
//! | `target:` | the target of every request at the API |
//! | `delivered:` | how many messages came by SMTP; 0 unless said |
//!
//! Its blocks are told in order; those of one name may occur again:
//!
//! | Block | Meaning |
//! |---|---|
//! | `config` | the configuration, from here on |
//! | `token` | what the server of tokens answers from here on, a response or the JSON of a good one; `hang`: nothing. Unless said, a token that lasts an hour |
//! | `api`, `api TOKEN` | what the API answers from here on, and what to a message that comes with this token |
//! | `input` | standard input, from here on |
//! | `kept` | `since:`, `until:`, in seconds from when the kept token was given: when, as the file has it from now on, it was given and ends |
//! | `shell` | a script of root's that must succeed. `KEPT` is the file of tokens, if there is one, `MAILCHUTE` the binary; `SMTP`, `BUSY` and `NOBODY` are ports |
//! | `run` | a call of the binary by `shop`, as below |
//!
//! | Key of `run` | Meaning |
//! |---|---|
//! | `argv:` | the arguments; `-i bob@example.net` unless said |
//! | `by:` | `root` |
//! | `env:` | `NAME=value`, one variable |
//! | `times:` | so many calls |
//! | `locked:` | `yes`: another process holds the lock of the tokens meanwhile |
//! | `exit:` | the exit status |
//! | `stderr:` | one line of standard error, `*` for any text; several lines in order |
//! | `holds:` | text that standard output or error holds; it stands in for `stderr` |
//! | `warning:` | one warning of the record; all of them, in order |
//! | `record:` | `/pointer value`: what the record has there, as JSON |
//!
//! `{api}` and `{token}` are addresses, `{smtp}` is the port of the SMTP server, `{busy}` of one that answers 421,
//! `{nobody}` one where nobody listens; `{ca}` the servers' authority, `{kept}` the file of tokens, `{today+9}` a date,
//! `{n}` the number of a question and `{x*9}` nine times an x. No output and no record may hold a secret.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, mpsc};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use nix::fcntl::{Flock, FlockArg};
use serde_json::Value;
use testkit::{Answer, Asked, Case, Certs, Host, Moment, Port, Server, TlsStart, Web, apart, matches, need};

use crate::setup::{MESSAGE, check_stderr, every_case, exit, mailchute};

const SHOP: u32 = 61042;
const TOKENS: &str = "/var/lib/mailchute/tokens";
const CONFIG: &str = "/etc/mailchute/config.toml";
const LOG: &str = "/run/log";
/// No output may hold one of these.
const SECRETS: [&str; 7] = ["hush-hush", "access-", "refresh-", "eyJ", "BEGIN PRIVATE", "assertion", "dXNlcj"];

#[test]
fn stories() {
    every_case("oauth", |case| {
        let keys = ["accounts", "needs", "login", "asked", "bearer", "target", "delivered"];
        case.knows(&keys, &["config", "token", "api", "input", "kept", "shell", "run"]);
        if !case.values("needs").all(|program| need(program).is_some()) {
            return;
        }
        let accounts = case.value("accounts").unwrap_or("shop").split(' ').filter(|name| *name != "none");
        let accounts: Vec<_> = accounts.zip(SHOP..).collect();
        Host::run(&accounts, |host| tell(case, host));
    });
}

fn tell(case: &Case, host: &Host<'_>) {
    let bench = Bench::new(case, host);
    let mut input = MESSAGE.to_owned();
    for (name, text) in case.blocks() {
        match name.split_once(' ').unwrap_or((name, "")) {
            ("config", _) => configure(host, &bench.fill(text)),
            ("token", _) => bench.says.lock().unwrap().token = text.to_owned(),
            ("api", token) => bench.says.lock().unwrap().api.insert(0, (token.to_owned(), text.to_owned())),
            ("input", _) => input = text.replace('\n', "\r\n"),
            ("kept", _) => edit(&Case::parse(&case.path, text)),
            ("shell", _) => bench.shell(text),
            _ => bench.run(case, text, &input),
        }
    }
    bench.finish(case);
}

/// What the server of tokens and the API say.
struct Says {
    questions: usize,
    token: String,
    /// Token and answer; the first that fits, and a token that is empty fits all.
    api: Vec<(String, String)>,
}

impl Says {
    fn answer(&mut self, asked: &Asked) -> Answer {
        if asked.target == "/token" {
            self.questions += 1;
            let text = self.token.replace("{n}", &self.questions.to_string());
            let text = filled(&text, "{x*", |count| "x".repeat(count.parse().expect("a number")));
            return match text.trim_end() {
                "hang" => Answer::Hang,
                text if text.starts_with("HTTP/") => Answer::text(text),
                text => Answer::text(&format!("HTTP/1.1 200 OK\nContent-Type: application/json\n\n{text}")),
            };
        }
        let token = bearer(asked);
        let named = self.api.iter().find(|(name, _)| *name == token);
        let answer = named.or_else(|| self.api.iter().find(|(name, _)| name.is_empty())).expect("an answer to all");
        Answer::text(&answer.1)
    }
}

/// The servers of one story.
struct Bench {
    says: Arc<Mutex<Says>>,
    web: Web,
    smtp: Server,
    busy: Server,
    nobody: Port,
    ca: PathBuf,
}

impl Bench {
    fn new(case: &Case, host: &Host<'_>) -> Self {
        place_for_tokens(host);
        let token = r#"{"access_token":"access-{n}","token_type":"Bearer","expires_in":3600}"#.to_owned();
        let accepted = (String::new(), "HTTP/1.1 202 Accepted\nrequest-id: 7b9f0d1e\n".to_owned());
        let says = Arc::new(Mutex::new(Says { questions: 0, token, api: vec![accepted] }));
        let answers = says.clone();
        let smtp = match case.value("login") {
            Some(token) => Server::new().tls(TlsStart::Implicit).login("shop@example.com", token, &["XOAUTH2"]),
            None => Server::new(),
        };
        Self {
            says,
            web: Web::start(None, move |asked| answers.lock().unwrap().answer(asked)),
            smtp: smtp.start(),
            busy: Server::new().tls(TlsStart::Implicit).reply(Moment::Greeting, "421 4.3.2 busy").start(),
            nobody: Port::reserve(),
            ca: host.scratch().write("ca.pem", Certs::shared().authority_pem(), 0o644),
        }
    }

    fn fill(&self, text: &str) -> String {
        let api = format!("http://127.0.0.1:{}", self.web.port());
        let kept = kept().map(|file| file.display().to_string()).unwrap_or_default();
        let text = text
            .replace("{token}", &format!("{api}/token"))
            .replace("{api}", &api)
            .replace("{smtp}", &self.smtp.port().to_string())
            .replace("{busy}", &self.busy.port().to_string())
            .replace("{nobody}", &self.nobody.number().to_string())
            .replace("{ca}", &self.ca.display().to_string())
            .replace("{kept}", &kept);
        filled(&text, "{today", |days| {
            let days: i64 = days.parse().expect("days");
            jiff::Zoned::now().date().saturating_add(jiff::Span::new().days(days)).to_string()
        })
    }

    fn shell(&self, script: &str) {
        let mut command = Command::new("/bin/sh");
        command.args(["-eux", "-c", script]).env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        command.env("MAILCHUTE", env!("CARGO_BIN_EXE_mailchute")).env("SMTP", self.smtp.port().to_string());
        command.env("BUSY", self.busy.port().to_string()).env("NOBODY", self.nobody.number().to_string());
        if let Some(kept) = kept() {
            command.env("KEPT", kept);
        }
        let run = command.current_dir("/run").stdin(Stdio::null()).output().expect("a shell");
        assert!(
            run.status.success(),
            "{}{}",
            String::from_utf8_lossy(&run.stdout),
            String::from_utf8_lossy(&run.stderr)
        );
    }

    fn run(&self, case: &Case, text: &str, input: &str) {
        let keys = ["argv", "by", "env", "times", "locked", "exit", "stderr", "holds", "warning", "record"];
        let step = Case::parse(&case.path, &self.fill(text));
        step.knows(&keys, &[]);
        let _lock = (step.value("locked") == Some("yes")).then(|| {
            let file = File::open(kept().expect("tokens").with_extension("lock")).expect("their lock");
            Flock::lock(file, FlockArg::LockExclusive).expect("nobody else holds it")
        });
        for _ in 0..step.value("times").map_or(1, |times| times.parse().expect("a number")) {
            call(&step, input);
        }
    }

    fn finish(self, case: &Case) {
        let (questions, api): (Vec<_>, Vec<_>) =
            self.web.finish().into_iter().partition(|asked| asked.target == "/token");
        let form = |asked: &Asked| {
            let fields = form_urlencoded::parse(&asked.body).map(|(name, value)| format!("{name}={value}"));
            fields.collect::<Vec<_>>().join("&")
        };
        compare(case, "asked", &questions.iter().map(form).collect::<Vec<_>>());
        compare(case, "bearer", &api.iter().map(bearer).collect::<Vec<_>>());
        if let Some(target) = case.value("target") {
            assert!(!api.is_empty() && api.iter().all(|asked| asked.target == target), "{api:?}");
        }
        let delivered: usize = self.smtp.finish().iter().map(|session| session.deliveries.len()).sum();
        assert_eq!(delivered, case.value("delivered").map_or(0, |count| count.parse().unwrap()), "by SMTP");
    }
}

/// One call, and everything that is said of it.
fn call(step: &Case, input: &str) {
    fs::write(LOG, "").unwrap();
    let mut call = mailchute().line(step.value("argv").unwrap_or("-i bob@example.net")).stdin(input);
    for variable in step.values("env") {
        let (name, value) = variable.split_once('=').expect("NAME=value");
        call = call.env(name, value);
    }
    let run = match step.value("by") {
        None => call.uid(SHOP).run(),
        Some("root") => call.run(),
        Some(other) => panic!("by: {other}?"),
    };
    let log = fs::read_to_string(LOG).unwrap();
    let seen = format!("{}\nrecord: {log}", run.report());
    hides(&format!("{}{}{log}", run.stdout, run.stderr));
    assert_eq!(run.status, exit(step), "exit status\n{seen}");
    for text in step.values("holds") {
        assert!(run.stdout.contains(text) || run.stderr.contains(text), "no {text}\n{seen}");
    }
    if step.value("holds").is_none() || step.value("stderr").is_some() {
        check_stderr(step, &run);
    }
    let record: Value = serde_json::from_str(log.lines().last().unwrap_or_default()).unwrap_or_default();
    let warnings: Vec<_> = record["warnings"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    compare(step, "warning", &warnings);
    for line in step.values("record") {
        let (pointer, value) = line.split_once(' ').expect("/pointer value");
        assert_eq!(record.pointer(pointer), Some(&serde_json::from_str(value).expect("JSON")), "{pointer} of\n{log}");
    }
}

/// Compares what was seen, one by one, with the patterns of `key`.
fn compare(case: &Case, key: &str, seen: &[impl AsRef<str>]) {
    let patterns: Vec<_> = case.values(key).collect();
    let seen: Vec<_> = seen.iter().map(AsRef::as_ref).collect();
    let same = patterns.len() == seen.len() && patterns.iter().zip(&seen).all(|(pattern, text)| matches(pattern, text));
    assert!(same, "{key}: expected\n{}\nseen\n{}", patterns.join("\n"), seen.join("\n"));
}

/// What a host has that keeps tokens, and an empty log.
fn place_for_tokens(host: &Host<'_>) {
    fs::create_dir_all(TOKENS).unwrap();
    fs::set_permissions(TOKENS, Permissions::from_mode(0o1733)).unwrap();
    host.write_as(LOG, "", 0o660, (0, SHOP));
}

/// Nothing that a person sees may hold a secret.
fn hides(text: &str) {
    // A hint may name the key that holds one, and what begins so is what a server says of XOAUTH2: `{"status`.
    let text = text.replace("refresh-token", "").replace("eyJzdGF0dXMi", "");
    assert!(!SECRETS.iter().any(|secret| text.contains(secret)), "a secret was shown: {text}");
}

fn configure(host: &Host<'_>, text: &str) {
    let text = format!("deadline = \"30s\"\nlog.to = [\"{LOG}\"]\n{text}");
    host.write_as(CONFIG, &text, 0o640, (0, SHOP));
}

/// The token that a request came with.
fn bearer(asked: &Asked) -> String {
    let field = asked.header("authorization").unwrap_or_default();
    field.strip_prefix("Bearer ").map_or_else(|| format!("not a bearer token: {field}"), str::to_owned)
}

/// Where the one login of `shop` is kept.
fn kept() -> Option<PathBuf> {
    let entries = fs::read_dir(Path::new(TOKENS).join(SHOP.to_string())).ok()?;
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "json"));
    assert!(files.len() <= 1, "{files:?}");
    files.pop()
}

/// Lets the kept access token have been given and end at other times.
fn edit(step: &Case) {
    step.knows(&["since", "until"], &[]);
    let file = kept().expect("a file of tokens");
    let mut tokens: Value = serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
    let given = tokens["access"][0]["since"].as_i64().expect("when it was given");
    for key in ["since", "until"] {
        let seconds: i64 = step.value(key).and_then(|value| value.parse().ok()).expect("seconds");
        tokens["access"][0][key] = (given + seconds).into();
    }
    fs::write(&file, tokens.to_string()).unwrap();
}

/// `text` with `value` of what stands between `start` and the next `}` in the place of both.
fn filled(text: &str, start: &str, value: impl Fn(&str) -> String) -> String {
    let mut pieces = text.split(start);
    let first = pieces.next().unwrap_or_default().to_owned();
    pieces.fold(first, |text, piece| {
        let (name, rest) = piece.split_once('}').expect("a closing brace");
        text + &value(name) + rest
    })
}

/// A server of tokens and an API that takes everything, and a configuration that holds `relay`.
fn prepare(host: &Host<'_>, relay: &str, mut token: impl FnMut() -> &'static str + Send + 'static) -> Web {
    let web = Web::start(None, move |asked| match asked.target.as_str() {
        "/token" => Answer::text(&format!("HTTP/1.1 200 OK\n\n{}", token())),
        _ => Answer::text("HTTP/1.1 200 OK\n\n{\"id\":\"18c0ffee\"}"),
    });
    place_for_tokens(host);
    let api = format!("http://127.0.0.1:{}", web.port());
    configure(
        host,
        &format!("[relay.main]\n{relay}\nvia = \"api\"\nendpoint = \"{api}\"\ntoken_endpoint = \"{api}/token\"\n"),
    );
    web
}

/// Processes that wait for each other are no story.
#[test]
fn many_processes_renew_once() {
    Host::run(&[("shop", SHOP)], |host| {
        let (asked, is_asked) = mpsc::channel();
        let (go_on, may_go_on) = mpsc::channel();
        let relay = "provider = \"gmail\"\nclient_id = \"app\"\nrefresh_token = \"refresh-0\"";
        let web = prepare(host, relay, move || {
            asked.send(()).unwrap();
            may_go_on.recv().unwrap();
            r#"{"access_token":"access-1","refresh_token":"refresh-1","token_type":"Bearer","expires_in":3600}"#
        });
        let call = || mailchute().uid(SHOP).line("-i bob@example.net").stdin(MESSAGE).spawn();
        let first = call();
        is_asked.recv().unwrap();
        let others: Vec<_> = (0..4).map(|_| call()).collect();
        go_on.send(()).unwrap();
        for running in std::iter::once(first).chain(others) {
            let run = running.finish();
            hides(&format!("{}{}", run.stdout, run.stderr));
            run.expect_status(0);
        }
        let asked = web.finish();
        assert_eq!((asked.len(), asked.iter().filter(|asked| asked.target == "/token").count()), (6, 1));
    });
}

/// The signature differs every time.
#[test]
fn a_service_account_signs_for_somebody() {
    if need("openssl").is_none() {
        return;
    }
    Host::run(&[("shop", SHOP)], |host| {
        let place = host.scratch().join("key.pem");
        let openssl = |words: &str| {
            let run = apart("openssl").args(words.split(' ')).output().unwrap();
            assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
            String::from_utf8_lossy(&run.stdout).into_owned()
        };
        openssl(&format!("genpkey -quiet -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out {}", place.display()));
        openssl(&format!("pkey -in {0} -pubout -out {0}.pub", place.display()));
        let key = serde_json::json!({
            "type": "service_account",
            "client_email": "robot@project.iam.gserviceaccount.com",
            "private_key": fs::read_to_string(&place).unwrap(),
            "private_key_id": "k1",
            "token_uri": "https://oauth2.googleapis.com/token",
        });
        host.write_as("/etc/mailchute/key.json", &key.to_string(), 0o600, (SHOP, SHOP));
        let relay = "provider = \"gmail\"\nusername = \"shop@example.com\"\nservice_account = { file = \"key.json\" }";
        let web = prepare(host, relay, || r#"{"access_token":"access-1","token_type":"Bearer","expires_in":0}"#);
        mailchute().uid(SHOP).line("-i bob@example.net").stdin(MESSAGE).run().expect_status(0);
        let asked = web.finish();
        assert_eq!(bearer(&asked[1]), "access-1");
        let form: Vec<(String, String)> = form_urlencoded::parse(&asked[0].body).into_owned().collect();
        let [(grant, kind), (name, assertion)] = &form[..] else { panic!("{form:?}") };
        assert_eq!((grant.as_str(), name.as_str()), ("grant_type", "assertion"));
        assert_eq!(kind, "urn:ietf:params:oauth:grant-type:jwt-bearer");
        let parts: Vec<_> = assertion.split('.').collect();
        let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).unwrap();
        let head: Value = serde_json::from_slice(&decode(parts[0])).unwrap();
        let claims: Value = serde_json::from_slice(&decode(parts[1])).unwrap();
        assert_eq!(head, serde_json::json!({ "alg": "RS256", "typ": "JWT", "kid": "k1" }));
        assert_eq!(claims["iss"], "robot@project.iam.gserviceaccount.com");
        assert_eq!(claims["sub"], "shop@example.com");
        assert_eq!(claims["aud"], "https://oauth2.googleapis.com/token");
        assert_eq!(claims["scope"], "https://www.googleapis.com/auth/gmail.send");
        assert_eq!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(), 3600);
        let signed = host.scratch().write("signed", format!("{}.{}", parts[0], parts[1]), 0o600);
        let signature = host.scratch().write("signature", decode(parts[2]), 0o600);
        let said = openssl(&format!(
            "dgst -sha256 -verify {}.pub -signature {} {}",
            place.display(),
            signature.display(),
            signed.display()
        ));
        assert_eq!(said.trim(), "Verified OK");
    });
}
