//! What each service is asked, and that its answers count: in the form its vendor documents, judged by the vendor's own
//! types and by another client, with nothing of what others have said that would call, link or lay anything out.

use std::fs;
use std::io::Write;
use std::process::Stdio;

use serde_json::{Value, json};
use testkit::{Answer, Asked, Port, Web, apart, need};

use crate::alerts::{ALERTS, SHOP, configure, flush, json as facts, on_a_host, path, series};
use crate::oracles::{misspelt, mistyped, paths};
use crate::setup::data;

/// What a relay may say to whoever reads alerts.
const HOSTILE: &str = "550 <!channel> @everyone [here](http://evil.example) *b* <https://evil.example|c> & \"q\"";

/// A service: its word, the keys beside the URL, the path of the URL, and the types that judge it.
const SERVICES: [(&str, &str, &str, Option<&str>); 12] = [
    (
        "slack",
        "",
        "/services/T0/B0/s3cretpart",
        Some("typescript import(\"@slack/webhook\").IncomingWebhookSendArguments"),
    ),
    (
        "discord",
        "",
        "/api/webhooks/1/s3cretpart",
        Some("typescript import(\"discord-api-types/v10\").RESTPostAPIWebhookWithTokenJSONBody"),
    ),
    (
        "teams",
        "",
        "/workflows/1/invoke?sig=s3cretpart",
        Some("typescript import(\"@microsoft/teams.cards\").IAdaptiveCard"),
    ),
    (
        "telegram",
        "chat = \"-1001\"\ntoken = \"123:s3cretpart\"",
        "",
        Some("typescript Parameters<import(\"@grammyjs/types\").ApiMethods<string>[\"sendMessage\"]>[0]"),
    ),
    ("ntfy", "token = \"tk_s3cretpart\"", "/topic1", Some("apprise ntfy")),
    ("gotify", "token = \"As3cretpart\"", "/push", Some("apprise gotify")),
    (
        "pushover",
        "token = \"as3cretpart0000000000000000000\"\nuser = \"us3cretpart0000000000000000000\"",
        "/1/messages.json",
        Some("apprise pushover"),
    ),
    (
        "pagerduty",
        "routing_key = \"rs3cretpart\"",
        "/v2/enqueue",
        Some("typescript import(\"@pagerduty/pdjs/build/src/events\").EventPayloadV2"),
    ),
    (
        "google-chat",
        "",
        "/v1/spaces/A/messages?key=k&token=s3cretpart",
        Some("typescript import(\"@googleapis/chat\").chat_v1.Schema$Message"),
    ),
    // Their vendors publish no types of it: a line of `text`, as the documents have it.
    ("mattermost", "", "/hooks/s3cretpart", Some("apprise mattermost")),
    ("rocketchat", "", "/hooks/1/s3cretpart", Some("apprise rocketchat")),
    ("json", "token = \"bs3cretpart\"", "/in?k=s3cretpart", None),
];

/// Lays the file of a series as whoever meets trouble does.
pub(crate) fn lay(event: &str, reason: &str) {
    let notice = json!({
        "v": 1, "event": event, "site": "default", "relay": "main", "provider": "Postmark", "instead": "backup",
        "time": 1_700_000_000, "reason": reason, "id": "0123456789ab",
    });
    fs::create_dir_all(ALERTS).unwrap();
    for directory in [ALERTS.trim_end_matches("/alerts"), ALERTS] {
        std::os::unix::fs::chown(directory, Some(SHOP), Some(SHOP)).unwrap();
        fs::set_permissions(directory, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    }
    let file = path(&format!("{event}.default.main"));
    fs::write(&file, format!("{notice}\n")).unwrap();
    std::os::unix::fs::chown(&file, Some(SHOP), Some(SHOP)).unwrap();
}

/// `[alert.ops]` of `kind`, at this port.
fn table(kind: &str, keys: &str, path: &str, port: u16) -> String {
    format!("[alert.ops]\nurl = \"http://127.0.0.1:{port}{path}\"\nkind = \"{kind}\"\n{keys}\n")
}

/// What the service `kind` is asked because of `event`.
fn asked(host: &testkit::Host<'_>, kind: &str, event: &str) -> Asked {
    let (_, keys, at, _) = SERVICES.into_iter().find(|(word, ..)| *word == kind).unwrap();
    let web = Web::saying("HTTP/1.1 200 OK\n\n{}");
    configure(host, "", &[("main", 9)], &table(kind, keys, at, web.port()));
    lay(event, HOSTILE);
    let run = flush();
    run.expect_status(0);
    let mut all = web.finish();
    assert_eq!(all.len(), 1, "{kind}: {}", run.report());
    fs::remove_file(path(&format!("{event}.default.main"))).unwrap();
    all.remove(0)
}

/// A form's fields as an object.
fn form(asked: &Asked) -> Value {
    let fields = std::str::from_utf8(&asked.body).unwrap().split('&').map(|pair| {
        let (key, value) = pair.split_once('=').unwrap();
        (key.to_owned(), Value::from(decoded(value)))
    });
    Value::Object(fields.collect())
}

fn decoded(text: &str) -> String {
    let mut octets = Vec::new();
    let mut rest = text.bytes();
    while let Some(octet) = rest.next() {
        octets.push(match octet {
            b'+' => b' ',
            b'%' => {
                let digits = [rest.next().unwrap(), rest.next().unwrap()];
                u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap()
            }
            octet => octet,
        });
    }
    String::from_utf8(octets).unwrap()
}

#[test]
fn each_service_is_asked_as_its_vendor_documents_it() {
    on_a_host(|host| {
        let ask = |kind: &str| asked(host, kind, "login");
        let text = |value: &Value| value.as_str().unwrap_or_else(|| panic!("no text: {value}")).to_owned();
        let asked = ask("slack");
        assert_eq!(asked.target, "/services/T0/B0/s3cretpart");
        let said = text(&facts(&asked)["text"]);
        assert!(said.contains("550 &lt;!channel&gt; @everyone") && !said.contains(['<', '>']), "{said}");
        assert!(said.starts_with("default: Postmark refuses the login (550 "), "{said}");

        let body = facts(&ask("discord"));
        assert_eq!((&body["allowed_mentions"], &body["flags"]), (&json!({"parse": []}), &json!(4)));
        let said = text(&body["content"]);
        assert!(said.contains("\\[here\\](http://evil.example) \\*b\\*") && said.contains("backup is used"), "{said}");

        let asked = ask("teams");
        assert_eq!(asked.target, "/workflows/1/invoke?sig=s3cretpart");
        let body = facts(&asked);
        let attachment = &body["attachments"][0];
        assert_eq!(body["type"], "message");
        assert_eq!(attachment["contentType"], "application/vnd.microsoft.card.adaptive");
        // A run of text, which no Markdown is looked for in.
        let run = &attachment["content"]["body"][0]["inlines"][0];
        assert!(run["type"] == "TextRun" && text(&run["text"]).contains(HOSTILE), "{run}");

        let asked = ask("telegram");
        assert_eq!(asked.target, "/bot123:s3cretpart/sendMessage");
        let body = facts(&asked);
        assert!(body["chat_id"] == "-1001" && body.get("parse_mode").is_none(), "{body}");
        assert!(text(&body["text"]).contains(HOSTILE), "{body}");

        let asked = ask("ntfy");
        assert_eq!((asked.target.as_str(), asked.header("authorization")), ("/", Some("Bearer tk_s3cretpart")));
        let body = facts(&asked);
        assert!(
            body["topic"] == "topic1" && body["priority"] == 4 && text(&body["message"]).contains(HOSTILE),
            "{body}"
        );

        let asked = ask("gotify");
        assert_eq!((asked.target.as_str(), asked.header("x-gotify-key")), ("/push/message", Some("As3cretpart")));
        assert!(facts(&asked)["priority"] == 8 && text(&facts(&asked)["message"]).contains(HOSTILE));

        let asked = ask("pushover");
        assert_eq!(asked.header("content-type"), Some("application/x-www-form-urlencoded"));
        let fields = form(&asked);
        assert!(
            fields["token"] == "as3cretpart0000000000000000000" && fields["user"] == "us3cretpart0000000000000000000",
            "{fields}"
        );
        assert!(fields.get("html").is_none() && text(&fields["message"]).contains(HOSTILE), "{fields}");

        let body = facts(&ask("pagerduty"));
        assert_eq!((&body["event_action"], &body["routing_key"]), (&json!("trigger"), &json!("rs3cretpart")));
        assert!(
            body["payload"]["severity"] == "error" && text(&body["payload"]["summary"]).contains(HOSTILE),
            "{body}"
        );

        for (kind, target) in [
            ("google-chat", "/v1/spaces/A/messages?key=k&token=s3cretpart"),
            ("mattermost", "/hooks/s3cretpart"),
            ("rocketchat", "/hooks/1/s3cretpart"),
        ] {
            let asked = ask(kind);
            assert_eq!(asked.target, target);
            let said = text(&facts(&asked)["text"]);
            assert!(said.contains("@\u{200b}everyone (here)(http://evil.example)"), "{said}");
            assert!(!said.contains(['<', '>', '[', '*', '`']), "{said}");
        }

        let asked = ask("json");
        assert_eq!(
            (asked.target.as_str(), asked.header("authorization")),
            ("/in?k=s3cretpart", Some("Bearer bs3cretpart"))
        );
        let body = facts(&asked);
        assert_eq!(
            (&body["reason"], &body["event"], &body["again"]),
            (&json!(HOSTILE), &json!("login"), &json!(false))
        );
    });
}

#[test]
fn the_end_of_a_trouble_has_its_key() {
    on_a_host(|host| {
        let (began, ended) = (facts(&asked(host, "pagerduty", "login")), facts(&asked(host, "pagerduty", "recovered")));
        assert_eq!(ended["event_action"], "resolve");
        assert_eq!(ended["dedup_key"], began["dedup_key"]);
        let ended = facts(&asked(host, "json", "recovered"));
        assert_eq!((&ended["status"], &ended["key"]), (&json!("resolved"), &began["dedup_key"]));
    });
}

#[test]
fn the_vendors_own_types_take_what_is_asked() {
    let Some(python) = need("oracles-python") else { return };
    let (mut pairs, mut trials) = (Vec::new(), Vec::new());
    on_a_host(|host| {
        for (kind, .., oracle) in SERVICES {
            let Some(oracle) = oracle else { continue };
            for event in ["login", "recovered"] {
                let asked = asked(host, kind, event);
                let body = if kind == "pushover" { form(&asked) } else { facts(&asked) };
                let mut body = if kind == "teams" { body["attachments"][0]["content"].clone() } else { body };
                match kind {
                    // docs.slack.dev has it for the method; the types of the webhook leave it out.
                    "slack" => drop(body.as_object_mut().unwrap().remove("mrkdwn")),
                    // The API's description lets it out where an incident ends; the vendor's types want it.
                    "pagerduty" if event == "recovered" => {
                        body["payload"] = json!({"summary": "", "source": "", "severity": "info"});
                    }
                    // The vendor's types know the other members of an event.
                    "pagerduty" => drop(body.as_object_mut().unwrap().remove("client")),
                    _ => {}
                }
                let mut add = |what: String, body: Value, accept: bool| {
                    pairs.push(json!([oracle, body]));
                    trials.push((format!("{kind}, {event}: {what}"), accept));
                };
                add("as it is".to_owned(), body.clone(), true);
                if event == "recovered" {
                    continue;
                }
                // What accepts everything would show nothing.
                for path in paths(&body) {
                    // Any object is a detail, and any name a field of it.
                    let is_detail = path.starts_with("/payload/custom_details/");
                    if let Some(body) = misspelt(&body, &path) {
                        add(format!("{path} misspelt"), body, is_detail);
                    }
                    if !is_detail && path != "/payload/custom_details" {
                        add(format!("{path} mistyped"), mistyped(&body, &path), false);
                    }
                }
            }
        }
    });
    if pairs.is_empty() {
        return;
    }
    let mut judge = apart(python)
        .arg(data("oracles").join("judge.py"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("judge.py starts");
    judge.stdin.take().unwrap().write_all(Value::from(pairs).to_string().as_bytes()).expect("judge.py listens");
    let output = judge.wait_with_output().unwrap();
    assert!(output.status.success(), "judge.py failed");
    let answers: Vec<Vec<String>> = serde_json::from_slice(&output.stdout).expect("an array of complaints");
    let wrong: Vec<String> = trials
        .iter()
        .zip(&answers)
        .filter(|((_, accept), complaints)| *accept != complaints.is_empty())
        .map(|((what, accept), complaints)| format!("{what}: accepted should be {accept}: {complaints:?}"))
        .collect();
    assert!(trials.len() > 60 && wrong.is_empty(), "{} of {}\n{}", wrong.len(), trials.len(), wrong.join("\n"));
}

/// The marks of `login.default.main`.
fn marks() -> Vec<Value> {
    let text = fs::read_to_string(path("login.default.main")).unwrap();
    let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines.filter(|line| line.get("mark").is_some()).collect()
}

#[test]
fn what_does_not_get_through_is_told_and_tried_again() {
    on_a_host(|host| {
        let nobody = Port::reserve();
        for (answer, why, pause, mark) in [
            (Answer::text("HTTP/1.1 429 Too Many Requests\nRetry-After: 900\n\n"), "said HTTP 429", 900, "failed"),
            (
                Answer::text("HTTP/1.1 429 Too Many Requests\n\n{\"retry_after\": 600.5}"),
                "said HTTP 429",
                601,
                "failed",
            ),
            (
                Answer::text("HTTP/1.1 400 Bad Request\n\ninvalid_payload"),
                "said HTTP 400: invalid_payload",
                60,
                "failed",
            ),
            (Answer::text("HTTP/1.1 503 Service Unavailable\n\n"), "said HTTP 503", 60, "failed"),
            (Answer::Octets(b"220 smtp.example.net ESMTP\r\n".to_vec()), "it may have arrived", 60, "doubtful"),
            (Answer::Close, "it may have arrived", 60, "doubtful"),
            (Answer::Hang, "no answer within 15 s after the request: it may have arrived", 60, "doubtful"),
        ] {
            let web = Web::start(None, move |_| answer.clone());
            configure(
                host,
                "",
                &[("main", nobody.number())],
                &table("slack", "", "/services/T0/s3cretpart", web.port()),
            );
            lay("login", "535 no");
            let run = flush();
            // It changes nothing of what the flush comes to.
            run.expect_status(0);
            let told = run.stderr.contains("mailchute: alert ops: ") && run.stderr.contains(why);
            assert!(told && !run.stderr.contains("s3cret"), "{}", run.report());
            // The next one leaves it alone for a while.
            flush().expect_status(0);
            assert_eq!(web.finish().len(), 1, "{why}");
            let all = marks();
            assert_eq!([&all[0]["mark"], &all[1]["mark"]], ["begun", mark]);
            let waits = all[1]["next"].as_i64().unwrap() - all[1]["t"].as_i64().unwrap();
            assert!((pause * 3 / 4..=pause * 5 / 4).contains(&waits), "{why}: {waits}");

            crate::alerts::age("login.default.main", 2000);
            let web = Web::saying("HTTP/1.1 200 OK\n\nok");
            configure(
                host,
                "",
                &[("main", nobody.number())],
                &table("slack", "", "/services/T0/s3cretpart", web.port()),
            );
            flush().expect_status(0);
            flush().expect_status(0);
            let asked = web.finish();
            assert_eq!(asked.len(), 1);
            let is_again = facts(&asked[0])["text"].as_str().unwrap().contains("(perhaps told before)");
            assert_eq!(is_again, mark == "doubtful", "{why}");
        }
        // Nobody there, and a name that is none.
        for url in [format!("http://127.0.0.1:{}/s3cret", nobody.number()), "https://x.invalid/s3cret".to_owned()] {
            configure(host, "", &[("main", nobody.number())], &format!("[alert.ops]\nurl = \"{url}\"\n"));
            lay("login", "535 no");
            let run = flush();
            run.expect_status(0);
            assert!(run.stderr.contains("alert ops: ") && !run.report().contains("s3cret"), "{}", run.report());
            assert!(fs::read_to_string("/var/log/shop.log").unwrap().contains("alert ops: "));
        }
        assert!(!fs::read_to_string("/var/log/shop.log").unwrap().contains("s3cret"));
        assert_eq!(series(), ["login.default.main"]);
    });
}
