//! `mailchute login`: every flow against a scripted authorization server, what is kept, and for whom.

use std::fs::{self, DirBuilder, Permissions};
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use ring::digest::{SHA256, digest};
use testkit::{Answer, Asked, Host, Mailchute, Run, Web};

use crate::setup::{MESSAGE, mailchute};

const SHOP: u32 = 61042;
const OTHER: u32 = 61043;
const USERS: [(&str, u32); 2] = [("shop", SHOP), ("other", OTHER)];
const PLACE: &str = "/var/lib/mailchute/tokens";

/// No output may hold one of these.
const SECRETS: [&str; 5] = ["hush-hush", "an-access-token", "a-refresh-token", "a-device-code", "the-code"];

const GRANTED: &str =
    r#"{"access_token":"an-access-token","token_type":"Bearer","expires_in":3600,"refresh_token":"a-refresh-token"}"#;
const MICROSOFT: &str = "provider = \"outlook\"\nvia = \"api\"\nendpoint = \"{web}\"\nclient_id = \"app\"\n\
                         device_authorization_endpoint = \"{web}/device\"\nmailbox = \"shop@example.com\"";
const GOOGLE: &str = "provider = \"gmail\"\nclient_id = \"app\"\nclient_secret = \"hush-hush\"\n\
                      username = \"shop@example.com\"\nauthorization_endpoint = \"{web}/authorize\"";

/// One relay, `main`, whose authorization server says what it is told.
struct Bench {
    web: Web,
    /// When questions for a token came.
    times: Arc<Mutex<Vec<Instant>>>,
}

fn json(status: &str, body: &str) -> Answer {
    Answer::text(&format!("HTTP/1.1 {status}\nContent-Type: application/json\n\n{body}"))
}

fn refusal(error: &str) -> Answer {
    json("400 Bad Request", &format!("{{\"error\":\"{error}\"}}"))
}

fn device(life: u32) -> Answer {
    let given = serde_json::json!({
        "device_code": "a-device-code", "user_code": "ABCD-EFGH", "verification_uri": "https://example.com/device\u{1b}[2J",
        "verification_uri_complete": "https://example.com/device?code=ABCD-EFGH", "expires_in": life, "interval": 1,
    });
    json("200 OK", &given.to_string())
}

impl Bench {
    /// `answers` are given to questions for a token, in order, the last one for ever.
    fn new(host: &Host<'_>, relay: &str, life: u32, answers: Vec<Answer>) -> Self {
        let times = Arc::new(Mutex::new(Vec::new()));
        let asked_at = Arc::clone(&times);
        let web = Web::start(None, move |asked| match asked.target.as_str() {
            "/device" => device(life),
            "/token" => {
                let mut times = asked_at.lock().unwrap();
                times.push(Instant::now());
                answers[(times.len() - 1).min(answers.len() - 1)].clone()
            }
            _ => Answer::text("HTTP/1.1 202 Accepted\nrequest-id: 7b9f0d1e\n"),
        });
        let text = format!("[relay.main]\n{relay}\ntoken_endpoint = \"{{web}}/token\"\n[log]\nto = [\"/run/log\"]\n");
        let text = text.replace("{web}", &format!("http://127.0.0.1:{}", web.port()));
        host.write_as("/run/log", "", 0o660, (0, SHOP));
        host.write_as("/etc/mailchute/config.toml", &text, 0o640, (0, SHOP));
        Self { web, times }
    }

    /// The fields of every question for a token.
    fn finish(self) -> Vec<Vec<(String, String)>> {
        self.web.finish().iter().filter(|asked| asked.target == "/token").map(fields).collect()
    }
}

fn fields(asked: &Asked) -> Vec<(String, String)> {
    form_urlencoded::parse(&asked.body).into_owned().collect()
}

fn field<'f>(fields: &'f [(String, String)], name: &str) -> &'f str {
    fields.iter().find(|(found, _)| found == name).map_or("", |(_, value)| value)
}

fn login(args: &[&str]) -> Mailchute {
    mailchute().arg("login").args(args.iter().copied())
}

/// Nothing a person sees holds a secret.
fn quiet(run: &Run) -> &Run {
    let all = format!("{}{}", run.stdout, run.stderr);
    assert!(!SECRETS.iter().any(|secret| all.contains(secret)) && !all.contains('\u{1b}'), "{}", run.report());
    run
}

/// The one file of tokens in `directory`.
fn kept(directory: &str) -> PathBuf {
    let files = fs::read_dir(directory).unwrap_or_else(|error| panic!("{directory}: {error}"));
    let mut files: Vec<_> = files.map(|file| file.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "json"));
    assert_eq!(files.len(), 1, "{files:?}");
    files.remove(0)
}

fn owner_and_mode(path: impl AsRef<Path>) -> (u32, u32) {
    let found = fs::metadata(path).unwrap();
    (found.uid(), found.mode() & 0o7777)
}

/// The parameters of the address that a person is to open.
fn address(output: &str) -> Option<(String, Vec<(String, String)>)> {
    let line = output.lines().find(|line| line.contains("/authorize?"))?;
    // The whole line is there once another one follows.
    output.split_once(line)?.1.starts_with('\n').then_some(())?;
    let (_, query) = line.split_once('?')?;
    Some((line.to_owned(), form_urlencoded::parse(query.as_bytes()).into_owned().collect()))
}

/// What a browser sees at `target` of the redirect URI.
fn visit(uri: &str, target: &str) -> String {
    let mut stream = TcpStream::connect(uri.strip_prefix("http://").unwrap()).unwrap();
    stream.set_read_timeout(Some(testkit::PATIENCE)).unwrap();
    write!(stream, "GET {target} HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let mut said = String::new();
    stream.read_to_string(&mut said).unwrap();
    said
}

#[test]
fn a_code_that_is_typed_in_elsewhere() {
    Host::run(&USERS, |host| {
        let answers = vec![
            refusal("authorization_pending"),
            json("503 Service Unavailable", "later"),
            refusal("slow_down"),
            json("200 OK", GRANTED),
        ];
        let bench = Bench::new(host, MICROSOFT, 900, answers);
        let run = login(&["main", "--as", "shop"]).run();
        quiet(&run).expect_status(0);
        for text in [
            "ABCD-EFGH",
            "https://example.com/device?[2J",
            "?code=ABCD-EFGH",
            "15 minutes",
            "shop@example.com",
            "https://graph.microsoft.com/Mail.Send",
            "mailchute test --to ADDRESS --relay main --as shop",
            &kept(&format!("{PLACE}/{SHOP}")).display().to_string(),
        ] {
            assert!(run.stdout.contains(text), "{text}\n{}", run.report());
        }
        assert_eq!(owner_and_mode("/var/lib/mailchute"), (0, 0o755));
        assert_eq!(owner_and_mode(PLACE), (0, 0o1733));
        assert_eq!(owner_and_mode(format!("{PLACE}/{SHOP}")), (SHOP, 0o700));
        assert_eq!(owner_and_mode(kept(&format!("{PLACE}/{SHOP}"))), (SHOP, 0o600));
        let times = bench.times.lock().unwrap().clone();
        assert!(times[3] - times[2] >= Duration::from_secs(6), "slow_down adds five seconds to one");
        // What was granted is what the next message is sent with.
        mailchute().uid(SHOP).args(["-i", "bob@example.net"]).stdin(MESSAGE).run().expect_status(0);
        let asked = bench.web.finish();
        let scope = "https://graph.microsoft.com/Mail.Send offline_access";
        let begun = fields(&asked[0]);
        assert_eq!((asked[0].target.as_str(), field(&begun, "client_id")), ("/device", "app"));
        assert_eq!(field(&begun, "scope"), scope);
        for asked in &asked[1..5] {
            assert_eq!(field(&fields(asked), "grant_type"), "urn:ietf:params:oauth:grant-type:device_code");
            assert_eq!(field(&fields(asked), "device_code"), "a-device-code");
        }
        assert_eq!(asked[5].header("authorization"), Some("Bearer an-access-token"));
        assert_eq!(asked.len(), 6);
    });
}

#[test]
fn a_login_by_root_serves_a_site_that_cannot_read_it() {
    const GROUP: u32 = 61050;
    Host::run(&USERS, |host| {
        let bench = Bench::new(host, MICROSOFT, 900, vec![json("200 OK", GRANTED)]);
        let binary = host.set_group_id(env!("CARGO_BIN_EXE_mailchute"), GROUP);
        let config = "/etc/mailchute/config.toml";
        host.write_as(config, &fs::read_to_string(config).unwrap(), 0o640, (0, GROUP));
        let send = || Mailchute::new(&binary).uid(SHOP).args(["-i", "bob@example.net"]).stdin(MESSAGE).run();
        send().expect_status(78);
        let run = Mailchute::new(&binary).args(["login", "main", "--as", "shop"]).run();
        quiet(&run).expect_status(0);
        send().expect_status(0);
        let file = kept(&format!("{PLACE}/{SHOP}"));
        assert_eq!(owner_and_mode(&file), (SHOP, 0o600));
        let run = Mailchute::new("/bin/cat").uid(SHOP).arg(&file).run();
        assert!(run.stdout.is_empty() && run.stderr.contains("ermission denied"), "{}", run.report());
        // Nor is it another's.
        let run = Mailchute::new(&binary).uid(OTHER).args(["-i", "bob@example.net"]).stdin(MESSAGE).run();
        quiet(&run).expect_status(78);
        assert_eq!(bench.web.finish().len(), 3);
    });
}

#[test]
fn a_code_for_one_of_two_relays_says_that_the_other_needs_one() {
    Host::run(&USERS, |host| {
        let bench = Bench::new(host, MICROSOFT, 900, vec![json("200 OK", GRANTED)]);
        let config = fs::read_to_string("/etc/mailchute/config.toml").unwrap();
        let smtp = "[relay.smtp]\nprovider = \"outlook\"\nclient_id = \"app\"\nusername = \"shop@example.com\"\n";
        let smtp = format!("{smtp}token_endpoint = \"http://127.0.0.1:{}/token\"\n", bench.web.port());
        host.write_as("/etc/mailchute/config.toml", &format!("{config}{smtp}"), 0o640, (0, SHOP));
        let run = login(&["main", "--as", "shop"]).run();
        quiet(&run).expect_status(0);
        run.expect_stderr("mailchute: relay smtp needs https://outlook.office.com/SMTP.Send too: *");
        bench.finish();
    });
}

#[test]
fn a_code_that_nobody_confirms() {
    Host::run(&USERS, |host| {
        let silent = GRANTED.replace(r#","refresh_token":"a-refresh-token""#, "");
        for (life, answer, status, line) in [
            // Time for one question; the next one would come after six seconds.
            (6, refusal("slow_down"), 69, "login: nobody confirmed it in time"),
            (900, refusal("expired_token"), 69, "login: nobody confirmed it in time"),
            (900, refusal("access_denied"), 77, "login: was not granted"),
            (900, refusal("invalid_client"), 135, "127.0.0.1:*: 535 5.7.8 gave no access token: invalid_client *"),
            (900, json("200 OK", "{}"), 76, "127.0.0.1:*: gave an answer that is not the token *"),
            (900, json("200 OK", &silent), 78, "relay main: the server gave no refresh token, *"),
        ] {
            let bench = Bench::new(host, MICROSOFT, life, vec![answer]);
            let run = login(&["--device", "--as", "shop"]).run();
            quiet(&run).expect_status(status).expect_stderr(&format!("mailchute: {line}"));
            assert_eq!(bench.finish().len(), 1);
        }
        let files = fs::read_dir(format!("{PLACE}/{SHOP}")).unwrap();
        assert!(files.into_iter().all(|file| file.unwrap().path().extension().unwrap() != "json"), "nothing is kept");
    });
}

#[test]
fn a_browser_on_this_machine() {
    Host::run(&USERS, |host| {
        let api = "[relay.api]\nprovider = \"gmail\"\nvia = \"api\"\nclient_id = \"app\"\nclient_secret = \"hush-hush\"\n\
                   username = \"shop@example.com\"\ntoken_endpoint = \"{web}/token\"";
        let bench = Bench::new(host, &format!("{GOOGLE}\nmore"), 900, vec![json("200 OK", GRANTED)]);
        let config = fs::read_to_string("/etc/mailchute/config.toml").unwrap();
        let api = api.replace("{web}", &format!("http://127.0.0.1:{}", bench.web.port()));
        let config = format!("{}{api}\n", config.replace("\nmore", ""));
        host.write_as("/etc/mailchute/config.toml", &config, 0o640, (0, SHOP));

        let mut running = login(&["main"]).uid(SHOP).env("DISPLAY", ":0").spawn();
        let (url, parameters) = running.wait_for(address);
        for (name, value) in [
            ("response_type", "code"),
            ("client_id", "app"),
            ("scope", "https://mail.google.com/ https://www.googleapis.com/auth/gmail.send"),
            ("login_hint", "shop@example.com"),
            ("code_challenge_method", "S256"),
            ("access_type", "offline"),
            ("prompt", "consent"),
        ] {
            assert_eq!(field(&parameters, name), value, "{url}");
        }
        let (uri, state) = (field(&parameters, "redirect_uri"), field(&parameters, "state"));
        assert!(uri.starts_with("http://127.0.0.1:") && state.len() >= 32, "{url}");
        assert!(visit(uri, "/favicon.ico").starts_with("HTTP/1.1 404 "));
        let wrong = visit(uri, "/?code=the-code&state=%3Cscript%3E");
        assert!(wrong.starts_with("HTTP/1.1 400 ") && !wrong.contains("script"), "{wrong}");
        let page = visit(uri, &format!("/?state={state}&code=the-code&scope=x"));
        assert!(page.starts_with("HTTP/1.1 200 OK\r\n") && page.contains("text/html"), "{page}");
        let run = running.finish();
        quiet(&run).expect_status(0);
        assert!(run.stderr.is_empty(), "{}", run.report());
        // The place for everybody's tokens is made by root; without it they are kept at home.
        let file = kept("/home/shop/.local/state/mailchute/tokens");
        assert_eq!(owner_and_mode(&file), (SHOP, 0o600));
        assert!(fs::read_to_string(&file).unwrap().contains("a-refresh-token"));

        let asked = bench.finish();
        assert_eq!(asked.len(), 1);
        let verifier = field(&asked[0], "code_verifier");
        let challenge = URL_SAFE_NO_PAD.encode(digest(&SHA256, verifier.as_bytes()));
        assert_eq!(field(&parameters, "code_challenge"), challenge);
        for (name, value) in [
            ("grant_type", "authorization_code"),
            ("code", "the-code"),
            ("redirect_uri", uri),
            ("client_id", "app"),
            ("client_secret", "hush-hush"),
            ("scope", ""),
        ] {
            assert_eq!(field(&asked[0], name), value, "{name}");
        }
    });
}

#[test]
fn a_browser_that_brings_a_refusal_and_one_that_never_comes() {
    Host::run(&USERS, |host| {
        let bench = Bench::new(
            host,
            MICROSOFT.replace("client_id", "authorization_endpoint = \"{web}/authorize\"\nclient_id").as_str(),
            900,
            vec![refusal("x")],
        );
        let begin = || {
            let mut running = login(&["--browser", "--as", "shop"]).spawn();
            let (_, parameters) = running.wait_for(address);
            (running, parameters)
        };
        let (running, parameters) = begin();
        let uri = field(&parameters, "redirect_uri").replace("localhost", "127.0.0.1");
        assert_ne!(uri, field(&parameters, "redirect_uri"), "Microsoft's loopback has a name");
        assert_eq!(field(&parameters, "scope"), "https://graph.microsoft.com/Mail.Send offline_access");
        let said = visit(&uri, &format!("/?error=access_denied&state={}", field(&parameters, "state")));
        assert!(said.starts_with("HTTP/1.1 200 "), "{said}");
        running.finish().expect_status(77).expect_stderr("mailchute: login: was not granted: access_denied");

        let (running, _) = begin();
        kill(Pid::from_raw(i32::try_from(running.id()).unwrap()), Signal::SIGINT).unwrap();
        running.finish().expect_status(71).expect_stderr("mailchute: SIGINT: stopped before the login was done");
        assert!(bench.finish().is_empty());
    });
}

/// Standard input that waits until the test has something to say.
struct Later(Receiver<String>);

impl Read for Later {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Ok(text) = self.0.recv() else { return Ok(0) };
        buffer[..text.len()].copy_from_slice(text.as_bytes());
        Ok(text.len())
    }
}

#[test]
fn an_address_that_is_pasted() {
    Host::run(&USERS, |host| {
        let bench = Bench::new(host, GOOGLE, 900, vec![json("200 OK", GRANTED)]);
        let (sender, receiver) = mpsc::channel();
        let mut running = login(&["--paste", "--as", "shop"]).stdin_from(Later(receiver)).spawn();
        let (_, parameters) = running.wait_for(address);
        let (uri, state) = (field(&parameters, "redirect_uri").to_owned(), field(&parameters, "state"));
        sender.send(format!("{uri}/?state={state}&code=the-code\n")).unwrap();
        drop(sender);
        let run = running.finish();
        quiet(&run).expect_status(0);
        assert!(run.stdout.contains("shows an error") && run.stdout.contains(&uri), "{}", run.report());
        assert_eq!(owner_and_mode(kept(&format!("{PLACE}/{SHOP}"))), (SHOP, 0o600));
        for (pasted, status) in [
            (format!("{uri}/?state=another&code=the-code\n"), 65),
            ("the-code\n".to_owned(), 65),
            ("\n".to_owned(), 65),
            (format!("{}\n", "x".repeat(20_000)), 65),
            (String::new(), 66),
        ] {
            let run = login(&["--paste", "--as", "shop"]).stdin(pasted).run();
            quiet(&run).expect_status(status);
        }
        let asked = bench.finish();
        assert_eq!(asked.len(), 1);
        assert_eq!(field(&asked[0], "redirect_uri"), uri);
    });
}

#[test]
fn only_root_logs_in_for_another_and_no_squatted_directory_gets_tokens() {
    Host::run(&USERS, |host| {
        let bench = Bench::new(host, MICROSOFT, 900, vec![json("200 OK", GRANTED)]);
        let run = login(&["--as", "other"]).uid(SHOP).run();
        run.expect_status(77).expect_stderr("mailchute: --as: only root *");
        // The place is open to everybody: whoever was there first is not trusted.
        DirBuilder::new().recursive(true).create(PLACE).unwrap();
        fs::set_permissions(PLACE, Permissions::from_mode(0o1733)).unwrap();
        let squatted = format!("{PLACE}/{SHOP}");
        DirBuilder::new().mode(0o777).create(&squatted).unwrap();
        chown(&squatted, Some(OTHER), Some(OTHER)).unwrap();
        login(&["--as", "shop"]).run().expect_status(0);
        assert!(!bench.web.finish().is_empty());
        assert_eq!(fs::read_dir(&squatted).unwrap().count(), 0);
        let own = fs::metadata(format!("{PLACE}/{SHOP}.1")).unwrap();
        assert_eq!((own.uid(), own.permissions().mode() & 0o7777), (SHOP, 0o700));
    });
}

#[test]
fn status_tells_whether_mail_can_be_sent() {
    Host::run(&USERS, |host| {
        let application = "\n[relay.app]\nprovider = \"outlook\"\nclient_id = \"other-app\"\nclient_secret = \"hush-hush\"\n\
                           tenant = \"contoso.example\"\nusername = \"shop@example.com\"\n[relay.plain]\nhost = \"mx.example\"";
        let bench = Bench::new(host, MICROSOFT, 900, vec![json("200 OK", GRANTED)]);
        let config = fs::read_to_string("/etc/mailchute/config.toml").unwrap();
        host.write_as("/etc/mailchute/config.toml", &format!("{config}{application}\n"), 0o640, (0, SHOP));
        let status = |args: &[&str]| login(&["--status", "--as", "shop"]).args(args.iter().copied()).run();
        let run = status(&[]);
        run.expect_status(78).expect_stderr("mailchute: relay main: cannot send until somebody logs in");
        assert!(run.stderr.contains("hint: run `mailchute login main --as shop`"), "{}", run.report());
        for text in ["relay main (", "relay app (", "not there yet", "client_credentials", "other-app", "not needed"] {
            assert!(run.stdout.contains(text), "{text}\n{}", run.report());
        }
        assert!(!run.stdout.contains("plain") && !run.stdout.contains("main (Microsoft 365), shop@example.com,"));
        status(&["app"]).expect_status(0);
        status(&["plain"]).expect_status(78);
        assert!(fs::metadata("/var/lib/mailchute").is_err(), "a look makes nothing");

        login(&["main", "--as", "shop"]).run().expect_status(0);
        let run = status(&[]);
        quiet(&run).expect_status(0);
        for text in
            ["good until 20", "shop:shop 0600", "refresh token  kept", "granted        https://", "can send       yes"]
        {
            assert!(run.stdout.contains(text), "{text}\n{}", run.report());
        }
        let file = kept(&format!("{PLACE}/{SHOP}"));
        let mut tokens: serde_json::Value = serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
        tokens["access"][0]["until"] = 1_000_000_000.into();
        fs::write(&file, tokens.to_string()).unwrap();
        let run = status(&["main"]);
        quiet(&run).expect_status(0);
        assert!(run.stdout.contains("expired 2001-09-09"), "{}", run.report());
        // What is not trusted when a message is sent is not said to work.
        fs::set_permissions(file.parent().unwrap(), Permissions::from_mode(0o777)).unwrap();
        let run = status(&["app"]);
        run.expect_status(78);
        assert!(run.stdout.contains("can send       no"), "{}", run.report());
        // Only the login asked anybody.
        assert_eq!(bench.finish().len(), 1);
    });
}

#[test]
fn credentials_that_need_nobody_are_checked() {
    Host::run(&USERS, |host| {
        let relay = "provider = \"outlook\"\nclient_id = \"app\"\nclient_secret = \"hush-hush\"\ntenant = \"contoso.example\"\nusername = \"shop@example.com\"";
        let bench = Bench::new(host, relay, 900, vec![json("200 OK", GRANTED), refusal("invalid_client")]);
        let run = login(&["--as", "shop"]).run();
        quiet(&run).expect_status(0);
        assert!(run.stdout.contains("the credentials work"), "{}", run.report());
        kept(&format!("{PLACE}/{SHOP}"));
        let run = login(&["--as", "shop"]).run();
        quiet(&run).expect_status(135);
        login(&["--as", "shop", "--device"]).run().expect_status(64);
        let asked = bench.finish();
        assert_eq!(asked.len(), 2);
        assert_eq!(field(&asked[0], "grant_type"), "client_credentials");
    });
}

#[test]
fn what_cannot_be_done_is_said_with_the_way_that_can() {
    Host::run(&USERS, |host| {
        let bench = Bench::new(host, GOOGLE, 900, vec![refusal("x")]);
        let run = login(&["main", "--device", "--as", "shop"]).run();
        run.expect_status(78)
            .expect_stderr("mailchute: --device: this provider does not grant mail access by a device code");
        assert!(run.stderr.contains("hint: use `--browser` or `--paste`"), "{}", run.report());
        let run = login(&["mian", "--as", "shop"]).run();
        run.expect_status(64).expect_stderr("mailchute: relay mian: *");
        assert!(run.stderr.contains("hint: did you mean main?"), "{}", run.report());
        host.write(
            "/etc/mailchute/config.toml",
            "[relay.main]\nprovider = \"gmail\"\ntoken = \"hush-hush\"\nusername = \"a@example.org\"\n",
            0o644,
        );
        let run = login(&["main", "--as", "shop"]).run();
        quiet(&run).expect_status(78).expect_stderr("mailchute: relay main: needs no login: *");
        login(&["--as", "nobody-of-that-name"]).run().expect_status(64);
        assert!(bench.web.finish().is_empty());
    });
}
