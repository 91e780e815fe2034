//! Access tokens: got, kept, renewed, and what the caller hears when there is none.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use nix::fcntl::{Flock, FlockArg};
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use testkit::{Answer, Asked, Host, Mailchute, Moment, Port, Run, Server, TlsStart, Web, matches};

use crate::setup::{MESSAGE, mailchute};

const SHOP: u32 = 61042;
const OTHER: u32 = 61043;
/// No output may hold one of these.
const SECRETS: [&str; 7] = ["hush-hush", "access-", "refresh-", "eyJ", "BEGIN PRIVATE", "assertion", "dXNlcj"];

/// A host whose one relay gets its tokens from `web`, which plays the API too.
struct Bench<'h> {
    host: &'h Host<'h>,
    web: Web,
}

impl<'h> Bench<'h> {
    /// `token` answers questions for tokens, each with a number of its own (`""`: never), and `api` messages.
    fn new(
        host: &'h Host<'h>,
        relay: &str,
        mut token: impl FnMut(usize, &Asked) -> String + Send + 'static,
        mut api: impl FnMut(&Asked) -> &'static str + Send + 'static,
    ) -> Self {
        let mut count = 0;
        let web = Web::start(None, move |asked| match asked.target.as_str() {
            "/token" => {
                count += 1;
                match token(count, asked).as_str() {
                    "" => Answer::Hang,
                    said => Answer::text(said),
                }
            }
            _ => Answer::text(api(asked)),
        });
        let bench = Self { host, web };
        bench.configure(relay);
        fs::create_dir_all("/var/lib/mailchute/tokens").unwrap();
        fs::set_permissions("/var/lib/mailchute/tokens", Permissions::from_mode(0o1733)).unwrap();
        bench
    }

    fn configure(&self, relay: &str) {
        let port = self.web.port();
        let text = format!(
            "deadline = \"30s\"\n[relay.main]\n{relay}\ntoken_endpoint = \"http://127.0.0.1:{port}/token\"\n\
             [log]\nto = [\"/run/log\"]\n"
        );
        let text = text.replace("{api}", &format!("http://127.0.0.1:{port}"));
        self.host.write_as("/run/log", "", 0o660, (0, SHOP));
        self.host.write_as("/etc/mailchute/config.toml", &text, 0o640, (0, SHOP));
    }

    fn call(&self) -> Mailchute {
        mailchute().uid(SHOP).args(["-i", "bob@example.net"]).stdin(MESSAGE)
    }

    fn send(&self) -> Run {
        let run = self.call().run();
        quiet(&run);
        run
    }

    /// The last log record.
    fn record(&self) -> serde_json::Value {
        let log = fs::read_to_string("/run/log").unwrap();
        hides(&log);
        serde_json::from_str(log.lines().last().unwrap_or_default()).unwrap_or_default()
    }

    /// The fields of every question for a token.
    fn finish(self) -> (Vec<Vec<(String, String)>>, Vec<Asked>) {
        let (tokens, api) = self.web.finish().into_iter().partition::<Vec<_>, _>(|asked| asked.target == "/token");
        let fields = |asked: &Asked| form_urlencoded::parse(&asked.body).into_owned().collect();
        (tokens.iter().map(fields).collect(), api)
    }
}

/// Nothing a person sees holds a secret.
fn quiet(run: &Run) {
    hides(&run.stdout);
    hides(&run.stderr);
}

fn hides(text: &str) {
    // A hint may name the key that holds one.
    let text = text.replace("refresh-token", "");
    assert!(!SECRETS.iter().any(|secret| text.contains(secret)), "{text}");
}

/// Where the one login of `SHOP` is kept.
fn kept() -> PathBuf {
    let mut files: Vec<_> =
        fs::read_dir(format!("/var/lib/mailchute/tokens/{SHOP}")).unwrap().map(|f| f.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "json"));
    assert_eq!(files.len(), 1, "{files:?}");
    files.remove(0)
}

fn edit(file: &Path, change: impl FnOnce(&mut serde_json::Value)) {
    let mut tokens = serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap();
    change(&mut tokens);
    fs::write(file, tokens.to_string()).unwrap();
}

fn given(number: usize, life: u32) -> String {
    let token = format!("{{\"access_token\":\"access-{number}\",\"token_type\":\"Bearer\",\"expires_in\":{life}}}");
    format!("HTTP/1.1 200 OK\nContent-Type: application/json\n\n{token}")
}

/// The same with a refresh token that stands in for the one used.
fn rotated(number: usize, life: u32) -> String {
    given(number, life).replace("\"token_type\"", &format!("\"refresh_token\":\"refresh-{number}\",\"token_type\""))
}

fn refused(status: &str, error: &str, text: &str) -> String {
    let said = serde_json::json!({ "error": error, "error_description": text });
    format!("HTTP/1.1 {status}\nContent-Type: application/json\n\n{said}")
}

fn accepting(_: &Asked) -> &'static str {
    "HTTP/1.1 202 Accepted\nrequest-id: 7b9f0d1e\n"
}

fn bearer(asked: &Asked) -> &str {
    asked.header("authorization").unwrap_or_default()
}

const APPLICATION: &str = "provider = \"outlook\"\nvia = \"api\"\nendpoint = \"{api}\"\ntenant = \"contoso.example\"\n\
                           client_id = \"app\"\nclient_secret = \"hush-hush\"\nmailbox = \"shop@example.com\"";
const PERSON: &str =
    "provider = \"outlook\"\nvia = \"api\"\nendpoint = \"{api}\"\nclient_id = \"app\"\nrefresh_token = \"refresh-0\"";

#[test]
fn an_application_asks_once_and_keeps_the_token() {
    Host::run(&[("shop", SHOP)], |host| {
        let bench = Bench::new(host, APPLICATION, |number, _| given(number, 3600), accepting);
        bench.send().expect_status(0);
        bench.send().expect_status(0);
        let (file, directory) = (fs::metadata(kept()).unwrap(), fs::metadata(kept().parent().unwrap()).unwrap());
        assert_eq!((file.uid(), file.mode() & 0o7777), (SHOP, 0o600));
        assert_eq!((directory.uid(), directory.mode() & 0o7777), (SHOP, 0o700));
        assert_eq!(bench.record()["warnings"], serde_json::Value::Null);
        let (tokens, api) = bench.finish();
        let fields = [
            ("grant_type", "client_credentials"),
            ("scope", "https://graph.microsoft.com/.default"),
            ("client_id", "app"),
            ("client_secret", "hush-hush"),
        ];
        assert_eq!(tokens, [fields.map(|(key, value)| (key.to_owned(), value.to_owned())).to_vec()]);
        assert_eq!(api.iter().map(bearer).collect::<Vec<_>>(), ["Bearer access-1"; 2]);
        assert_eq!(api[0].target, "/users/shop@example.com/sendMail");
    });
}

#[test]
fn a_kept_token_that_is_refused_is_renewed_once() {
    Host::run(&[("shop", SHOP)], |host| {
        let unauthorized = "HTTP/1.1 401 Unauthorized\n\n{\"error\":{\"code\":\"InvalidAuthenticationToken\",\"message\":\"access-1 ended\"}}";
        let api = move |asked: &Asked| match bearer(asked) {
            "Bearer access-2" => accepting(asked),
            _ => unauthorized,
        };
        let bench = Bench::new(host, APPLICATION, |number, _| given(number, 3600), api);
        // A token that was just given and is refused is not bettered by another one.
        let run = bench.send();
        run.expect_status(135);
        bench.send().expect_status(0);
        bench.send().expect_status(0);
        let (tokens, api) = bench.finish();
        assert_eq!(tokens.len(), 2);
        let bearers = ["Bearer access-1", "Bearer access-1", "Bearer access-2", "Bearer access-2"];
        assert_eq!(api.iter().map(bearer).collect::<Vec<_>>(), bearers);
    });
}

#[test]
fn refresh_tokens_follow_each_other() {
    Host::run(&[("shop", SHOP)], |host| {
        // Every access token ends at once.
        let bench = Bench::new(host, PERSON, |number, _| rotated(number, 0), accepting);
        bench.send().expect_status(0);
        bench.send().expect_status(0);
        fs::set_permissions(kept(), Permissions::from_mode(0o640)).unwrap();
        bench.send().expect_status(0);
        assert_eq!(fs::metadata(kept()).unwrap().mode() & 0o7777, 0o640, "the mode is kept");
        // What somebody writes into the configuration is newer than what was kept.
        bench.configure(&PERSON.replace("refresh-0", "refresh-new"));
        bench.send().expect_status(0);
        bench.send().expect_status(0);
        let (tokens, _) = bench.finish();
        let used =
            |fields: &Vec<(String, String)>| fields.iter().find(|(key, _)| key == "refresh_token").unwrap().1.clone();
        let used: Vec<_> = tokens.iter().map(used).collect();
        assert_eq!(used, ["refresh-0", "refresh-1", "refresh-2", "refresh-new", "refresh-4"]);
        assert!(tokens.iter().all(|fields| {
            fields.contains(&("scope".into(), "https://graph.microsoft.com/Mail.Send offline_access".into()))
        }));
    });
}

#[test]
fn a_refresh_token_that_stays_is_given_again() {
    Host::run(&[("shop", SHOP)], |host| {
        let token = |number, _: &Asked| rotated(number, 0).replace(&format!("refresh-{number}"), "refresh-0");
        let bench = Bench::new(host, PERSON, token, accepting);
        for _ in 0..3 {
            bench.send().expect_status(0);
        }
        let (tokens, _) = bench.finish();
        assert_eq!(tokens.len(), 3);
        let is_told = |fields: &Vec<(String, String)>| fields.contains(&("refresh_token".into(), "refresh-0".into()));
        assert!(tokens.iter().all(is_told), "{tokens:?}");
    });
}

#[test]
fn an_owner_that_cannot_be_kept_costs_no_tokens() {
    Host::run(&[("shop", SHOP)], |host| {
        let bench = Bench::new(host, PERSON, |number, _| rotated(number, 0), accepting);
        bench.send().expect_status(0);
        chown(kept(), Some(0), Some(SHOP)).unwrap();
        fs::set_permissions(kept(), Permissions::from_mode(0o640)).unwrap();
        bench.send().expect_status(0);
        let found = fs::metadata(kept()).unwrap();
        assert_eq!((found.uid(), found.mode() & 0o7777), (SHOP, 0o600));
        bench.send().expect_status(0);
        let (tokens, _) = bench.finish();
        assert!(tokens[2].contains(&("refresh_token".into(), "refresh-2".into())), "{tokens:?}");
    });
}

#[test]
fn many_processes_renew_once() {
    Host::run(&[("shop", SHOP)], |host| {
        let (asked, is_asked) = mpsc::channel();
        let (go_on, may_go_on) = mpsc::channel();
        let token = move |number, _: &Asked| {
            asked.send(()).unwrap();
            may_go_on.recv().unwrap();
            rotated(number, 3600)
        };
        let bench = Bench::new(host, PERSON, token, accepting);
        let first = bench.call().spawn();
        is_asked.recv().unwrap();
        let others: Vec<_> = (0..4).map(|_| bench.call().spawn()).collect();
        go_on.send(()).unwrap();
        for running in std::iter::once(first).chain(others) {
            let run = running.finish();
            quiet(&run);
            run.expect_status(0);
        }
        let (tokens, api) = bench.finish();
        assert_eq!((tokens.len(), api.len()), (1, 5));
    });
}

#[test]
fn a_lock_that_is_never_let_go_costs_the_deadline_and_no_more() {
    Host::run(&[("shop", SHOP)], |host| {
        let bench = Bench::new(host, APPLICATION, |number, _| given(number, 0), accepting);
        bench.send().expect_status(0);
        let lock = fs::File::open(kept().with_extension("lock")).unwrap();
        let lock = Flock::lock(lock, FlockArg::LockExclusive).unwrap();
        let config = Path::new("/etc/mailchute/config.toml");
        let text = fs::read_to_string(config).unwrap();
        fs::write(config, text.replace("\"30s\"", "\"3s\"")).unwrap();
        let run = bench.send();
        fs::write(config, text).unwrap();
        run.expect_status(69);
        run.expect_stderr("mailchute: */tokens/61042/*.lock: another process is renewing the tokens *");
        drop(lock);
        bench.send().expect_status(0);
    });
}

#[test]
fn when_the_server_says_no() {
    // HTTP status, error code, description; exit status, what is said, the next step.
    let cases = [
        (
            "400 Bad Request",
            "invalid_grant",
            "AADSTS700082: expired",
            135,
            "535 5.7.8 *invalid_grant: AADSTS700082: *",
            "replace refresh_token",
        ),
        (
            // No clock of ours is in a refresh token.
            "400 Bad Request\nDate: Sun, 06 Nov 1994 08:49:37 GMT",
            "invalid_grant",
            "revoked",
            135,
            "535 5.7.8 *",
            "replace refresh_token",
        ),
        (
            "400 Bad Request",
            "invalid_grant",
            "AADSTS65001: no consent",
            135,
            "535 5.7.8 *",
            "`mailchute login main --as shop`",
        ),
        (
            "401 Unauthorized",
            "invalid_client",
            "AADSTS7000222: keys expired",
            135,
            "535 5.7.8 *",
            "the client secret has expired",
        ),
        (
            "400 Bad Request",
            "invalid_request",
            "AADSTS50194: single",
            135,
            "535 5.7.8 *",
            "set tenant to the directory's",
        ),
        ("401 Unauthorized", "invalid_client", "AADSTS7000215: invalid", 135, "535 5.7.8 *", "not its id"),
        (
            "400 Bad Request",
            "unauthorized_client",
            "AADSTS700016: unknown",
            135,
            "535 5.7.8 *",
            "check tenant and client_id",
        ),
        ("400 Bad Request", "invalid_scope", "", 135, "535 5.7.8 *invalid_scope (HTTP 400)", "Mail.Send"),
        ("503 Service Unavailable", "temporarily_unavailable", "later", 54, "454 4.7.0 *", ""),
        ("429 Too Many Requests", "", "", 54, "454 4.7.0 *", ""),
        ("302 Found", "", "", 54, "454 4.7.0 gives no access token (HTTP 302)", "check token_endpoint"),
        ("404 Not Found", "", "", 54, "454 4.7.0 gives no access token (HTTP 404)", "check token_endpoint"),
        ("200 OK", "", "", 76, "gave an answer that is not the token *", ""),
    ];
    Host::run(&[("shop", SHOP)], |host| {
        for (status, error, text, exit, line, hint) in cases {
            let bench = Bench::new(host, PERSON, move |_, _| refused(status, error, text), accepting);
            let run = bench.send();
            run.expect_status(exit);
            run.expect_stderr(&format!("mailchute: 127.0.0.1:*: {line}*(*relay main*"));
            let hints: Vec<_> = run.stderr.lines().filter(|line| line.starts_with("hint: ")).collect();
            assert!(hints.len() == usize::from(!hint.is_empty()), "{}", run.report());
            assert!(hints.iter().all(|line| line.contains(hint)), "{}", run.report());
            let (tokens, api) = bench.finish();
            assert_eq!((tokens.len(), api.len()), (1, 0));
        }
    });
}

#[test]
fn a_refusal_that_repeats_what_was_sent_is_not_passed_on() {
    Host::run(&[("shop", SHOP)], |host| {
        let token = |number, asked: &Asked| {
            let value = |name: &str| {
                let mut fields = form_urlencoded::parse(&asked.body);
                fields.find(|(key, _)| key == name).map_or(String::new(), |(_, value)| value.into_owned())
            };
            let (refresh, secret) = (value("refresh_token"), value("client_secret"));
            let encoded: String = form_urlencoded::byte_serialize(secret.as_bytes()).collect();
            let escaped = format!("{refresh} is not of {secret} ({encoded})");
            match number {
                1 => rotated(number, 0),
                _ => refused("400 Bad Request", "invalid_grant", &escaped).replace('+', "\\u002B"),
            }
        };
        let relay = PERSON.replace("refresh_token", "client_secret = \"hush-hush+/=\"\nrefresh_token");
        let bench = Bench::new(host, &relay, token, accepting);
        bench.send().expect_status(0);
        // The refresh token is in no configuration now: the server gave it.
        let run = bench.send();
        run.expect_status(135);
        assert!(run.stderr.contains("invalid_grant: *** is not of *** (***) (HTTP 400)"), "{}", run.report());
        bench.record();
    });
}

#[test]
fn no_token_is_a_reason_for_the_next_relay() {
    Host::run(&[("shop", SHOP)], |host| {
        let server = Server::new().start();
        let relay = format!(
            "{PERSON}\n[relay.backup]\nhost = \"127.0.0.1\"\nport = {}\n[relay.other]\nprovider = \"gmail\"\nclient_id = \"x\"\nusername = \"x@example.com\"",
            server.port()
        );
        let bench = Bench::new(host, &relay, |_, _| refused("400 Bad Request", "invalid_grant", "ended"), accepting);
        // The appended token_endpoint belongs to the last relay.
        let text = fs::read_to_string("/etc/mailchute/config.toml").unwrap();
        let endpoint = text.lines().find(|line| line.starts_with("token_endpoint")).unwrap();
        host.write(
            "/etc/mailchute/config.toml",
            &text.replace("client_id = \"app\"", &format!("client_id = \"app\"\n{endpoint}")),
            0o644,
        );
        bench.send().expect_status(0);
        assert_eq!(bench.record()["relay"], "backup");
        assert_eq!(bench.record()["tries"][0]["code"], 535);
        // Nobody has logged in there.
        let run = mailchute().uid(SHOP).args(["--relay", "other", "-i", "bob@example.net"]).stdin(MESSAGE).run();
        run.expect_status(78);
        run.expect_stderr("mailchute: relay other: nobody has logged in for x@example.com yet*");
        assert!(run.stderr.contains("hint: run `mailchute login other --as shop`"), "{}", run.report());
        assert_eq!(server.finish().iter().map(|session| session.deliveries.len()).sum::<usize>(), 1);
    });
}

#[test]
fn a_token_near_its_end_outlives_its_server() {
    Host::run(&[("shop", SHOP)], |host| {
        let token = |number, _: &Asked| match number {
            2 => refused("503 Service Unavailable", "temporarily_unavailable", "later"),
            _ => given(number, 3600),
        };
        let bench = Bench::new(host, APPLICATION, token, accepting);
        bench.send().expect_status(0);
        edit(&kept(), |tokens| {
            let since = tokens["access"][0]["since"].as_i64().unwrap();
            tokens["access"][0]["since"] = (since - 3570).into();
            tokens["access"][0]["until"] = (since + 60).into();
        });
        bench.send().expect_status(0);
        let warnings = bench.record()["warnings"].to_string();
        assert!(warnings.contains("could not be renewed, and ends soon"), "{warnings}");
        // The clock was put back: when the token ends cannot be told any more.
        edit(&kept(), |tokens| {
            let since = tokens["access"][0]["since"].as_i64().unwrap();
            tokens["access"][0]["since"] = (since + 90_000).into();
            tokens["access"][0]["until"] = (since + 93_600).into();
        });
        bench.send().expect_status(0);
        let (tokens, api) = bench.finish();
        assert_eq!(tokens.len(), 3);
        assert_eq!(
            api.iter().map(bearer).collect::<Vec<_>>(),
            ["Bearer access-1", "Bearer access-1", "Bearer access-3"]
        );
    });
}

#[test]
fn a_server_that_hangs_leaves_time_for_a_token_near_its_end() {
    Host::run(&[("shop", SHOP)], |host| {
        let token = |number, _: &Asked| if number == 1 { given(number, 3600) } else { String::new() };
        let bench = Bench::new(host, APPLICATION, token, accepting);
        bench.send().expect_status(0);
        edit(&kept(), |tokens| {
            let since = tokens["access"][0]["since"].as_i64().unwrap();
            tokens["access"][0]["since"] = (since - 3540).into();
            tokens["access"][0]["until"] = (since + 60).into();
        });
        let config = Path::new("/etc/mailchute/config.toml");
        let text = fs::read_to_string(config).unwrap();
        fs::write(config, text.replace("\"5s\"", "\"1s\"")).unwrap();
        bench.send().expect_status(0);
        assert!(bench.record()["warnings"].to_string().contains("no answer within"), "{}", bench.record());
        let lock = fs::File::open(kept().with_extension("lock")).unwrap();
        let _lock = Flock::lock(lock, FlockArg::LockExclusive).unwrap();
        bench.send().expect_status(0);
        assert!(bench.record()["warnings"].to_string().contains("another process is renewing"), "{}", bench.record());
        let (tokens, api) = bench.finish();
        assert_eq!(tokens.len(), 2);
        assert_eq!(api.iter().map(bearer).collect::<Vec<_>>(), ["Bearer access-1"; 3]);
    });
}

#[test]
fn what_is_said_of_a_tokens_life_need_not_make_sense() {
    // What is said, and whether a second message asks again.
    let lives =
        [("3599.5", 1), ("\"3600\"", 1), ("99999999999999", 1), ("null", 1), ("0", 2), ("-5", 2), ("\"soon\"", 2)];
    Host::run(&[("shop", SHOP)], |host| {
        for (life, questions) in lives {
            let token = move |number, _: &Asked| given(number, 77).replace(":77", &format!(":{life}"));
            let bench = Bench::new(host, APPLICATION, token, accepting);
            bench.send().expect_status(0);
            bench.send().expect_status(0);
            assert_eq!(bench.finish().0.len(), questions, "{life}");
            fs::remove_file(kept()).unwrap();
        }
    });
}

#[test]
fn a_token_that_would_end_its_field_is_none() {
    Host::run(&[("shop", SHOP)], |host| {
        for octets in ["", "\\r\\nX-Evil: 1", "\\u0001auth=x", " x", "\\u00e9"] {
            let token = move |number, _: &Asked| {
                given(number, 3600)
                    .replace("access-1", &format!("{}{octets}", if octets.is_empty() { "" } else { "access-1" }))
            };
            let bench = Bench::new(host, APPLICATION, token, accepting);
            let run = bench.send();
            run.expect_status(76);
            run.expect_stderr("mailchute: 127.0.0.1:*: gave an answer that is not the token *");
            assert!(bench.finish().1.is_empty());
        }
    });
}

#[test]
fn what_is_kept_can_be_read_again_by_nobody_else() {
    Host::run(&[("shop", SHOP)], |host| {
        let large = "refresh-".repeat(9000);
        let token = move |number, _: &Asked| match number {
            1 => rotated(number, 3600).replace("refresh-1", &large),
            _ => rotated(number, 0),
        };
        let bench = Bench::new(host, PERSON, token, accepting);
        // More than is read is not written.
        bench.send().expect_status(0);
        assert!(bench.record()["warnings"].to_string().contains("too large; the server gave"), "{}", bench.record());
        bench.send().expect_status(0);
        // A link's own mode is 0777.
        let file = kept();
        let elsewhere = host.write_as("/home/shop/tokens", &fs::read_to_string(&file).unwrap(), 0o600, (SHOP, SHOP));
        fs::remove_file(&file).unwrap();
        symlink(&elsewhere, &file).unwrap();
        bench.send().expect_status(0);
        assert_eq!(fs::symlink_metadata(&file).unwrap().mode(), 0o100_600);
        // What is no file is not waited for.
        let lock = file.with_extension("lock");
        fs::remove_file(&lock).unwrap();
        mkfifo(&lock, Mode::S_IRWXU).unwrap();
        chown(&lock, Some(SHOP), Some(SHOP)).unwrap();
        bench.send().expect_status(0);
        assert!(bench.record()["warnings"].to_string().contains("cannot be kept: "), "{}", bench.record());
        bench.finish();
    });
}

#[test]
fn another_refresh_token_in_the_configuration_counts_at_once() {
    Host::run(&[("shop", SHOP)], |host| {
        let bench = Bench::new(host, PERSON, |number, _| given(number, 3600), accepting);
        bench.send().expect_status(0);
        bench.configure(&PERSON.replace("refresh-0", "refresh-new"));
        bench.send().expect_status(0);
        bench.send().expect_status(0);
        let (tokens, api) = bench.finish();
        assert_eq!(tokens.len(), 2);
        assert!(tokens[1].contains(&("refresh_token".to_owned(), "refresh-new".to_owned())), "{tokens:?}");
        assert_eq!(
            api.iter().map(bearer).collect::<Vec<_>>(),
            ["Bearer access-1", "Bearer access-2", "Bearer access-2"]
        );
    });
}

#[test]
fn what_was_kept_at_home_still_counts_once_there_is_a_place_for_all() {
    Host::run(&[("shop", SHOP)], |host| {
        let bench = Bench::new(host, APPLICATION, |number, _| given(number, 3600), accepting);
        fs::remove_dir("/var/lib/mailchute/tokens").unwrap();
        bench.send().expect_status(0);
        assert_eq!(fs::read_dir("/home/shop/.local/state/mailchute/tokens").unwrap().count(), 2);
        fs::create_dir("/var/lib/mailchute/tokens").unwrap();
        fs::set_permissions("/var/lib/mailchute/tokens", Permissions::from_mode(0o1733)).unwrap();
        bench.send().expect_status(0);
        assert_eq!(bench.finish().0.len(), 1);
    });
}

#[test]
fn one_login_is_for_smtp_and_api() {
    Host::run(&[("shop", SHOP)], |host| {
        for order in ["[\"main\", \"api\"]", "[\"api\", \"main\"]"] {
            let server =
                Server::new().tls(TlsStart::Implicit).login("shop@example.com", "access-smtp", &["XOAUTH2"]).start();
            let busy = Server::new().tls(TlsStart::Implicit).reply(Moment::Greeting, "421 4.3.2 busy").start();
            let ca = host.scratch().write("ca.pem", testkit::Certs::shared().authority_pem(), 0o644);
            let token = |number, asked: &Asked| {
                let body = String::from_utf8_lossy(&asked.body);
                let name = ["smtp", "api"][usize::from(body.contains("graph.microsoft.com"))];
                let used = if number == 1 { "refresh-0".to_owned() } else { format!("refresh-{}", number - 1) };
                assert!(body.contains(&used), "{body}");
                rotated(number, 3600).replace(&format!("access-{number}"), &format!("access-{name}"))
            };
            let api = |asked: &Asked| match bearer(asked) {
                "Bearer access-api" => accepting(asked),
                _ => "HTTP/1.1 503 Service Unavailable\n\nno",
            };
            let smtp = |port: u16| {
                format!(
                    "provider = \"outlook\"\nhost = \"127.0.0.1\"\nport = {port}\ntls = \"implicit\"\nca_file = \"{}\"\n\
                     username = \"shop@example.com\"\nclient_id = \"app\"",
                    ca.display()
                )
            };
            let graph = "provider = \"outlook\"\nvia = \"api\"\nendpoint = \"{api}\"\nclient_id = \"app\"\nmailbox = \"shop@example.com\"";
            let bench = Bench::new(host, "host = \"127.0.0.1\"", token, api);
            let end = format!("token_endpoint = \"http://127.0.0.1:{}/token\"\n", bench.web.port());
            let configure = |port: u16, graph: &str| {
                bench.configure(&format!(
                    "{}\n{end}[site.shop]\nuser = \"shop\"\nrelay = {order}\n[relay.api]\n{graph}",
                    smtp(port)
                ));
            };
            configure(server.port(), graph);
            // What `mailchute login` leaves behind.
            let explained = mailchute().args(["explain", "--as", "shop", "-i", "bob@example.net"]).run();
            let places: Vec<_> =
                explained.stdout.split("kept in ").skip(1).map(|rest| rest.split(':').next()).collect();
            assert!(places.len() == 2 && places[0] == places[1], "{}", explained.report());
            let file = places[0].unwrap();
            fs::create_dir_all(Path::new(file).parent().unwrap()).unwrap();
            let tokens = "{\"account\":\"\",\"client\":\"\",\"server\":\"\",\"refresh_token\":\"refresh-0\"}";
            host.write_as(file, tokens, 0o600, (SHOP, SHOP));
            chown(Path::new(file).parent().unwrap(), Some(SHOP), Some(SHOP)).unwrap();
            let first = |host_is_up: bool| if host_is_up { server.port() } else { busy.port() };
            let nobody = Port::reserve();
            let unavailable = graph.replace("{api}", &format!("http://127.0.0.1:{}", nobody.number()));
            let is_smtp_first = order.starts_with("[\"main");
            for is_up in [true, false, true, false] {
                configure(first(is_up || !is_smtp_first), if is_up || is_smtp_first { graph } else { &unavailable });
                bench.send().expect_status(0);
                let by = if is_up == is_smtp_first { "main" } else { "api" };
                assert_eq!(bench.record()["relay"], by, "{}", bench.record());
            }
            // Each asked once, with the refresh token that the other was given.
            assert_eq!(bench.finish().0.len(), 2);
            assert_eq!(server.finish().iter().map(|session| session.deliveries.len()).sum::<usize>(), 2);
            fs::remove_dir_all(Path::new(file).parent().unwrap()).unwrap();
        }
    });
}

#[test]
fn the_home_is_the_passwd_entrys() {
    Host::run(&[("shop", SHOP), ("other", OTHER)], |host| {
        let bench = Bench::new(host, APPLICATION, |number, _| given(number, 3600), accepting);
        fs::remove_dir("/var/lib/mailchute/tokens").unwrap();
        let places = [("/home/shop", ""), ("/home/other", ""), ("", "state"), ("/", ""), ("/home/shop", "/tmp")];
        for (home, state) in places {
            bench.call().env("HOME", home).env("XDG_STATE_HOME", state).run().expect_status(0);
        }
        let directory = "/home/shop/.local/state/mailchute/tokens";
        let (uid, mode) = (fs::metadata(directory).unwrap().uid(), fs::metadata(directory).unwrap().mode());
        assert_eq!((uid, mode & 0o7777), (SHOP, 0o700));
        assert_eq!(bench.finish().0.len(), 1);
    });
}

#[test]
fn an_answer_without_end_ends() {
    Host::run(&[("shop", SHOP)], |host| {
        let large = format!("{{\"x\":\"{}\",", "x".repeat(300 << 10));
        let token = move |number, _: &Asked| match number {
            1 => given(number, 3600).replace('{', &large),
            _ => refused("400 Bad Request", "invalid_grant", "x").replace('{', &large),
        };
        let bench = Bench::new(host, APPLICATION, token, accepting);
        let run = bench.send();
        run.expect_status(69).expect_stderr("mailchute: *: gave an answer that does not come to its end *");
        bench.send().expect_status(54);
        assert!(bench.finish().1.is_empty());
    });
}

#[test]
fn what_others_could_have_written_is_not_trusted() {
    Host::run(&[("shop", SHOP)], |host| {
        let bench = Bench::new(host, APPLICATION, |number, _| given(number, 3600), accepting);
        bench.send().expect_status(0);
        let (file, directory) = (kept(), kept().parent().unwrap().to_owned());
        fs::set_permissions(&file, Permissions::from_mode(0o644)).unwrap();
        bench.send().expect_status(0);
        let warnings = bench.record()["warnings"].to_string();
        assert!(warnings.contains("world-readable, and a secret is inside"), "{warnings}");
        fs::set_permissions(&file, Permissions::from_mode(0o666)).unwrap();
        bench.send().expect_status(77);
        fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
        fs::write(&file, "{\"access\":").unwrap();
        let run = bench.send();
        run.expect_status(78);
        run.expect_stderr("mailchute: */tokens/61042/*.json: is not a file of tokens *");
        // Whoever made it first could have laid a login of their own into it.
        for (owner, mode) in [(61043, 0o755), (SHOP, 0o777)] {
            chown(&directory, Some(owner), Some(owner)).unwrap();
            fs::set_permissions(&directory, Permissions::from_mode(mode)).unwrap();
            let run = bench.send();
            run.expect_status(77);
            run.expect_stderr("mailchute: */tokens/61042: is not a directory that this uid has to itself *");
        }
        assert_eq!(bench.finish().0.len(), 1);
    });
}

#[test]
fn a_caller_without_a_place_for_tokens_asks_every_time() {
    Host::run(&[], |host| {
        for (relay, warning) in
            [(APPLICATION, ""), (PERSON, "there is no place for them; the server gave a new refresh token")]
        {
            let bench = Bench::new(
                host,
                relay,
                move |number, _| if relay == PERSON { rotated(number, 3600) } else { given(number, 3600) },
                accepting,
            );
            fs::remove_dir("/var/lib/mailchute/tokens").unwrap();
            for _ in 0..2 {
                bench.send().expect_status(0);
            }
            let warnings = bench.record()["warnings"].to_string();
            assert!(warnings.contains(warning) && warning.is_empty() == (warnings == "null"), "{warnings}");
            assert_eq!(bench.finish().0.len(), 2);
        }
    });
    // Nor is a home that a service does not see a place.
    Host::run(&[("shop", SHOP)], |host| {
        let bench = Bench::new(host, APPLICATION, |number, _| given(number, 3600), accepting);
        fs::remove_dir("/var/lib/mailchute/tokens").unwrap();
        fs::set_permissions("/home", Permissions::from_mode(0o700)).unwrap();
        bench.send().expect_status(0);
        bench.send().expect_status(0);
        assert_eq!(bench.finish().0.len(), 2);
    });
}

#[test]
fn a_service_account_signs_for_somebody() {
    if testkit::need("openssl").is_none() {
        return;
    }
    Host::run(&[("shop", SHOP)], |host| {
        let place = host.scratch().join("key.pem");
        let openssl = |words: &str| {
            let run = Command::new("openssl").args(words.split(' ')).output().unwrap();
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
        let relay = "provider = \"gmail\"\nvia = \"api\"\nendpoint = \"{api}\"\nusername = \"shop@example.com\"\n\
                     service_account = { file = \"key.json\" }";
        let token = |number, _: &Asked| match number {
            1 => given(number, 0),
            2 => refused(
                "401 Unauthorized",
                "unauthorized_client",
                "Client is unauthorized to retrieve access tokens using this method",
            ),
            3 => refused(
                "400 Bad Request\nDate: Sun, 06 Nov 1994 08:49:37 GMT",
                "invalid_grant",
                "Invalid JWT: Token must be a short-lived token",
            ),
            _ => refused("400 Bad Request", "invalid_grant", "Invalid email or User ID"),
        };
        let bench = Bench::new(host, relay, token, |_| "HTTP/1.1 200 OK\n\n{\"id\":\"18c0ffee\"}");
        bench.send().expect_status(0);
        for hint in [
            "delegate domain-wide authority for https://www.googleapis.com/auth/gmail.send",
            "clock is * s ahead of the server's",
            "`shop@example.com` is a user",
        ] {
            let run = bench.send();
            run.expect_status(135);
            assert!(
                run.stderr.lines().any(|line| matches(&format!("hint: *{hint}*"), line)),
                "{hint}\n{}",
                run.report()
            );
        }
        let (tokens, api) = bench.finish();
        assert_eq!(bearer(&api[0]), "Bearer access-1");
        let field = |name: &str| tokens[0].iter().find(|(key, _)| key == name).map(|(_, value)| value.clone()).unwrap();
        assert_eq!(field("grant_type"), "urn:ietf:params:oauth:grant-type:jwt-bearer");
        let assertion = field("assertion");
        let parts: Vec<_> = assertion.split('.').collect();
        let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).unwrap();
        let head: serde_json::Value = serde_json::from_slice(&decode(parts[0])).unwrap();
        let claims: serde_json::Value = serde_json::from_slice(&decode(parts[1])).unwrap();
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

#[test]
fn smtp_logs_in_with_it_and_bs_does_too() {
    Host::run(&[("shop", SHOP)], |host| {
        for words in [&["-i", "bob@example.net"][..], &["-bs"]] {
            let server =
                Server::new().tls(TlsStart::Implicit).login("shop@example.com", "access-2", &["XOAUTH2"]).start();
            let ca = host.scratch().write("ca.pem", testkit::Certs::shared().authority_pem(), 0o644);
            let relay = format!(
                "provider = \"outlook\"\nhost = \"127.0.0.1\"\nport = {}\ntls = \"implicit\"\nca_file = \"{}\"\n\
                 username = \"shop@example.com\"\nclient_id = \"app\"\nrefresh_token = \"refresh-0\"",
                server.port(),
                ca.display()
            );
            let bench = Bench::new(host, &relay, |number, _| rotated(number, 3600), accepting);
            let input = match words {
                ["-bs"] => {
                    "EHLO x\r\nMAIL FROM:<shop@example.com>\r\nRCPT TO:<bob@example.net>\r\nDATA\r\nSubject: x\r\n\r\nx\r\n.\r\nQUIT\r\n"
                }
                _ => MESSAGE,
            };
            let send = || {
                let run = mailchute().uid(SHOP).args(words.iter().copied()).stdin(input).run();
                quiet(&run);
                run
            };
            // The first token is not the one the server knows; it was just given, so it is not renewed.
            assert_ne!(send().status, 0);
            // Now it is a kept one.
            send().expect_status(0);
            let run = mailchute().uid(SHOP).arg("-v").args(words.iter().copied()).stdin(input).run();
            quiet(run.expect_status(0));
            assert!(run.report().contains("AUTH XOAUTH2"), "{}", run.report());
            let (tokens, _) = bench.finish();
            assert_eq!(tokens.len(), 2);
            let scope = "https://outlook.office.com/SMTP.Send offline_access";
            assert!(tokens[0].contains(&("scope".to_owned(), scope.to_owned())));
            assert_eq!(server.finish().iter().map(|session| session.deliveries.len()).sum::<usize>(), 2);
            fs::remove_dir_all(kept().parent().unwrap()).unwrap();
        }
    });
}

#[test]
fn a_new_token_that_is_refused_has_a_next_step() {
    let graph = |code: &str| {
        format!("HTTP/1.1 403 Forbidden\n\n{{\"error\":{{\"code\":\"{code}\",\"message\":\"Access is denied.\"}}}}")
    };
    let scopes = "HTTP/1.1 403 Forbidden\n\n{\"error\":{\"code\":403,\"message\":\"Request had insufficient authentication scopes.\",\
                  \"errors\":[{\"reason\":\"insufficientPermissions\"}]}}";
    let gmail =
        "provider = \"gmail\"\nvia = \"api\"\nendpoint = \"{api}\"\nclient_id = \"app\"\nrefresh_token = \"refresh-0\"";
    let cases = [
        (APPLICATION, graph("ErrorAccessDenied"), 150, "the application lacks the permission Mail.Send"),
        (
            PERSON,
            graph("ErrorAccessDenied"),
            150,
            "the login does not cover https://graph.microsoft.com/Mail.Send: run `mailchute login main --as shop`",
        ),
        (gmail, scopes.to_owned(), 150, "the login does not cover https://www.googleapis.com/auth/gmail.send"),
    ];
    Host::run(&[("shop", SHOP)], |host| {
        for (relay, answer, exit, hint) in cases {
            let answer: &'static str = answer.leak();
            let bench = Bench::new(host, relay, |number, _| given(number, 3600), move |_| answer);
            let run = bench.send();
            run.expect_status(exit);
            assert!(run.stderr.contains(&format!("hint: {hint}")), "{hint}\n{}", run.report());
            fs::remove_file(kept()).unwrap();
        }
    });
}

#[test]
fn explain_says_how_a_token_is_got_and_asks_for_none() {
    Host::run(&[("shop", SHOP)], |host| {
        let bench = Bench::new(host, APPLICATION, |number, _| given(number, 3600), accepting);
        let explain = || mailchute().args(["explain", "--as", "shop", "-i", "bob@example.net"]).run();
        let before = explain();
        quiet(&before);
        before.expect_status(0);
        for text in [
            "/token by the application's own credentials",
            "client_secret from the configuration itself",
            "nothing there yet",
        ] {
            assert!(before.stdout.contains(text), "{text}\n{}", before.report());
        }
        bench.send().expect_status(0);
        let after = explain();
        quiet(&after);
        assert!(after.stdout.contains(&format!("kept in {}: good until ", kept().display())), "{}", after.report());
        assert_eq!(bench.finish().0.len(), 1);
    });
}

#[test]
fn a_secret_that_ends_soon_is_warned_of() {
    Host::run(&[("shop", SHOP)], |host| {
        let today = jiff::Zoned::now().date();
        let day = |days: i64| today.saturating_add(jiff::Span::new().days(days)).to_string();
        for (line, warning) in [
            (format!("secret_expires = {}", day(12)), format!("the secret of relay main expires on {}, in 1", day(12))),
            (
                format!("secret_expires = \"{}\"", day(-40)),
                format!("the secret of relay main has expired on {}", day(-40)),
            ),
            (format!("secret_expires = {}", day(400)), String::new()),
        ] {
            let bench = Bench::new(host, &format!("{APPLICATION}\n{line}"), |number, _| given(number, 3600), accepting);
            bench.send().expect_status(0);
            let warnings = bench.record()["warnings"].to_string();
            assert!(warnings.contains(&warning) && warning.is_empty() == (warnings == "null"), "{warnings}");
            fs::remove_file(kept()).unwrap();
        }
    });
}
