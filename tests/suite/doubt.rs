//! A relay that takes an idempotency key is asked again what became of a message, and a lost answer is no doubt.

use std::sync::mpsc;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use testkit::{Action, Answer, Asked, Delivery, Mailchute, Moment, PATIENCE, Run, Scratch, Server, Web};

use crate::bs::Caller;
use crate::providers::key;
use crate::setup::{MESSAGE, Setup, mailchute, with_enough_time};

/// An HTTP API that takes keys.
struct Keyed {
    provider: &'static str,
    relay: &'static str,
    /// Where a request has its key.
    place: &'static str,
    accepted: &'static str,
    refused: &'static str,
}

const RESEND: Keyed = Keyed {
    provider: "resend",
    relay: "api_key = \"re_secret\"",
    place: "idempotency-key",
    accepted: "HTTP/1.1 200 OK\n\n{\"id\":\"id-1\"}",
    refused: "HTTP/1.1 422 No\n\n{\"name\":\"missing_required_field\",\"message\":\"no text\"}",
};

const BREVO: Keyed = Keyed {
    provider: "brevo",
    relay: "api_key = \"xkeysib-secret\"",
    place: "/headers/idempotencyKey",
    accepted: "HTTP/1.1 201 Created\n\n{\"messageId\":\"id-1\"}",
    refused: "HTTP/1.1 400 No\n\n{\"code\":\"missing_parameter\",\"message\":\"subject is missing\"}",
};

const AZURE: Keyed = Keyed {
    provider: "azure-communication",
    relay: "resource = \"contoso\"\naccess_key = \"c2VjcmV0\"",
    place: "repeatability-request-id",
    accepted: "HTTP/1.1 202 Accepted\n\n{\"id\":\"id-1\",\"status\":\"Running\"}",
    refused: "HTTP/1.1 400 No\n\n{\"error\":{\"code\":\"BadRequest\",\"message\":\"no text\"}}",
};

/// What came of one message.
struct Sent {
    run: Run,
    record: Value,
    asked: Vec<Asked>,
}

impl Keyed {
    /// The configuration for a server at `port`.
    fn configured(&self, scratch: &Scratch, port: u16, top: &str, more: &str) -> Mailchute {
        let text = format!(
            "{top}\n[relay.main]\nprovider = \"{}\"\nvia = \"api\"\nendpoint = \"http://127.0.0.1:{port}\"\n{}\n{more}\n\
             [log]\nto = [\"{}\"]\n",
            self.provider,
            self.relay,
            scratch.join("log").display()
        );
        mailchute().config(&scratch.write("config.toml", text, 0o644)).args(["-i", "bob@example.net"])
    }

    /// Sends [`MESSAGE`] to a server that gives `answers`, one after the other.
    fn send(&self, top: &str, answers: &[Answer]) -> Sent {
        self.send_message(MESSAGE, top, answers)
    }

    fn send_message(&self, message: &str, top: &str, answers: &[Answer]) -> Sent {
        let web = answering(answers);
        let scratch = Scratch::new();
        let run = self.configured(&scratch, web.port(), top, "").stdin(message).run();
        let record = serde_json::from_str(&scratch.read("log")).unwrap_or_default();
        Sent { run, record, asked: web.finish() }
    }
}

/// A server that gives `answers`, one after the other.
fn answering(answers: &[Answer]) -> Web {
    let mut answers = Vec::from(answers).into_iter();
    Web::start(None, move |_| answers.next().expect("a request that is expected"))
}

impl Sent {
    /// Every request was the first one, key and all, and the record names the key.
    fn check(&self, api: &Keyed, status: i32, requests: usize) {
        let report = format!("{}\n{}\n{}", api.provider, self.run.report(), self.record);
        assert_eq!(self.run.status, status, "{report}");
        assert_eq!(self.asked.len(), requests, "{report}");
        let first = &self.asked[0];
        for asked in &self.asked {
            assert_eq!(key(asked, api.place), key(first, api.place), "{report}");
            assert_eq!(asked.body, first.body, "{report}");
            assert_eq!(asked.header("repeatability-first-sent"), first.header("repeatability-first-sent"), "{report}");
            assert_eq!(asked.header("operation-id"), first.header("operation-id"), "{report}");
        }
        assert_eq!(self.record["key"], key(first, api.place), "{report}");
        assert_eq!(self.record["tries"].as_array().map(Vec::len), Some(1), "{report}");
    }

    fn is_warned(&self, text: &str) -> bool {
        let warnings = self.record["warnings"].as_array().into_iter().flatten();
        warnings.filter_map(Value::as_str).any(|warning| warning.contains(text))
    }
}

#[test]
fn a_lost_answer_is_asked_for_again_with_the_same_key() {
    for api in [RESEND, BREVO, AZURE] {
        let garbage = Answer::Octets(b"SSH-2.0-nonsense\r\n\r\n".to_vec());
        let page = Answer::text("HTTP/1.1 200 OK\nContent-Type: text/html\n\n<h1>Welcome to the hotel</h1>");
        let half = Answer::text(&format!("{}\nContent-Length: 400\n\n{{", api.accepted.split("\n\n").next().unwrap()));
        for lost in [Answer::Close, garbage, page, half] {
            let sent = api.send("", &[lost, Answer::text(api.accepted)]);
            sent.check(&api, 0, 2);
            assert_eq!(sent.run.stderr, "");
            assert_eq!(sent.record["provider_id"], "id-1");
            assert!(sent.is_warned("the same request with the same key was answered"), "{}", sent.record);
        }
    }
}

#[test]
fn a_time_out_leaves_time_to_ask_again() {
    with_enough_time(|deadline| {
        let sent = RESEND.send(&format!("deadline = \"{deadline}s\""), &[Answer::Hang, Answer::text(RESEND.accepted)]);
        sent.asked.len() == 2 && sent.run.status == 0
    });
}

#[test]
fn still_no_answer_is_still_in_doubt() {
    for api in [RESEND, BREVO, AZURE] {
        let sent = api.send("", &[Answer::Close, Answer::Close]);
        sent.check(&api, 79, 2);
        sent.run.expect_stderr("mailchute: 127.0.0.1:*: connection closed after the request: *accepted*");
        assert!(sent.is_warned("still in doubt: "), "{}", sent.record);
    }
}

#[test]
fn a_refusal_of_the_message_is_the_answer_to_both() {
    for api in [RESEND, BREVO, AZURE] {
        let sent = api.send("", &[Answer::Close, Answer::text(api.refused)]);
        sent.check(&api, 154, 2);
    }
}

/// What says nothing of the first request neither takes back the doubt nor leads to the next relay.
#[test]
fn a_refusal_of_the_repeated_request_alone_settles_nothing() {
    for api in [RESEND, BREVO, AZURE] {
        for answer in ["401 Unauthorized", "402 Payment Required"] {
            let sent = api.send("", &[Answer::Close, Answer::text(&format!("HTTP/1.1 {answer}\n\nno"))]);
            sent.check(&api, 79, 2);
        }
    }
    let backup = Server::new().start();
    let scratch = Scratch::new();
    let more = format!("[relay.backup]\n{}", backup.relay_lines(&scratch));
    let web = Web::start(None, {
        let mut count = 0;
        move |_| {
            count += 1;
            if count == 1 { Answer::Close } else { Answer::text("HTTP/1.1 503 Busy\n\nlater") }
        }
    });
    let run = RESEND.configured(&scratch, web.port(), "deadline = \"2s\"", &more).stdin(MESSAGE).run();
    run.expect_status(79);
    assert!(web.finish().len() > 2, "{}", run.report());
    assert!(backup.finish().is_empty());
}

#[test]
fn a_provider_that_is_still_at_it_is_asked_until_it_tells() {
    let busy = Answer::text("HTTP/1.1 409 Conflict\n\n{\"error\":{\"code\":\"Conflict\",\"message\":\"running\"}}");
    AZURE.send("", &[Answer::Close, busy.clone(), busy, Answer::text(AZURE.accepted)]).check(&AZURE, 0, 4);
    // Resend may be at the same message for somebody else, who submits it as well.
    let busy = "HTTP/1.1 409 Conflict\n\n{\"name\":\"concurrent_idempotent_requests\",\"message\":\"in progress\"}";
    let busy = Answer::text(busy);
    RESEND.send("", &[Answer::Close, busy.clone(), Answer::text(RESEND.accepted)]).check(&RESEND, 0, 3);
    RESEND.send("", &[busy.clone(), busy.clone(), Answer::text(RESEND.accepted)]).check(&RESEND, 0, 3);
    let sent = RESEND.send("", &[busy.clone(), busy, Answer::Close]);
    sent.check(&RESEND, 79, 3);
}

#[test]
fn a_key_that_is_of_no_use_any_more_leaves_the_doubt() {
    let old = "HTTP/1.1 412 Precondition Failed\n\n{\"error\":{\"code\":\"PreconditionFailed\",\"message\":\
               \"Repeatability-First-Sent header is not within the 5 minute window\"}}";
    AZURE.send("", &[Answer::Close, Answer::text(old)]).check(&AZURE, 79, 2);
    // The first request with it: nobody has anything, and the clock is wrong.
    let sent = AZURE.send("", &[Answer::text(old)]);
    sent.check(&AZURE, 51, 1);
    sent.run.expect_stderr("mailchute: message: 451 4.3.0 PreconditionFailed: *");
    assert_eq!(sent.record["hint"], "the clock of this machine is minutes away from the time: set it");
    let other = "HTTP/1.1 409 Conflict\n\n{\"name\":\"invalid_idempotent_request\",\"message\":\"another payload\"}";
    RESEND.send("", &[Answer::Close, Answer::text(other)]).check(&RESEND, 79, 2);
    RESEND.send("", &[Answer::text(other)]).check(&RESEND, 154, 1);
}

#[test]
fn brevo_says_only_that_it_knows_the_key() {
    let known = Answer::text("HTTP/1.1 400 No\n\n{\"code\":\"duplicate_parameter\",\"message\":\"known\"}");
    BREVO.send("", &[Answer::Close, known.clone()]).check(&BREVO, 0, 2);
    // Of a first request the same word says something else.
    BREVO.send("", &[known]).check(&BREVO, 154, 1);
}

/// A caller who sends the same message again, Message-ID and all, after a lost answer is recognised by Resend, which
/// remembers what it accepted. The others remember refusals too, so a second run is another submission there.
#[test]
fn the_key_is_made_of_the_message_where_that_is_safe() {
    let without = MESSAGE.replace("Message-ID: <complete@example.org>\r\n", "");
    for (api, message, is_same) in [
        (&RESEND, MESSAGE, true),
        (&RESEND, without.as_str(), false),
        (&BREVO, MESSAGE, false),
        (&AZURE, MESSAGE, false),
    ] {
        let keys = [(), ()].map(|()| {
            let sent = api.send_message(message, "", &[Answer::text(api.accepted)]);
            sent.check(api, 0, 1);
            key(&sent.asked[0], api.place)
        });
        assert_eq!(keys[0] == keys[1], is_same, "{} {message}", api.provider);
    }
    // The signature covers that there is no Message-ID, so none is added, and two may be alike that are meant to be two.
    let signed = format!("DKIM-Signature: v=1; d=example.org; h=From:Message-ID; b=x\r\n{without}");
    for (message, count) in [(MESSAGE, 1), (&signed, 2)] {
        let setup = resend(Server::new());
        for _ in 0..2 {
            setup.mailchute().args(["-i", "bob@example.net"]).stdin(message).run().expect_status(0);
        }
        let mut keys: Vec<_> = setup.deliveries().iter().map(carried).collect();
        assert!(keys.iter().all(Option::is_some), "{keys:?}");
        keys.dedup();
        assert_eq!(keys.len(), count, "{keys:?}");
    }
}

#[test]
fn a_key_of_the_callers_own_is_the_key() {
    let message = format!("Resend-Idempotency-Key: order/42\r\n{MESSAGE}");
    let sent = RESEND.send_message(&message, "", &[Answer::Close, Answer::text(RESEND.accepted)]);
    sent.check(&RESEND, 0, 2);
    assert_eq!(key(&sent.asked[0], RESEND.place), "order/42");
    assert!(!String::from_utf8_lossy(&sent.asked[0].body).contains("Idempotency"), "{:?}", sent.asked[0]);
}

#[test]
fn a_signal_between_two_requests_leaves_the_doubt() {
    let (sender, is_asked) = mpsc::channel();
    let mut answers = [Answer::Close, Answer::Hang].into_iter();
    let web = Web::start(None, move |_| {
        let answer = answers.next().unwrap();
        if matches!(answer, Answer::Hang) {
            sender.send(()).unwrap();
        }
        answer
    });
    let scratch = Scratch::new();
    let running = RESEND.configured(&scratch, web.port(), "", "").stdin(MESSAGE).spawn();
    is_asked.recv_timeout(PATIENCE).unwrap();
    kill(Pid::from_raw(i32::try_from(running.id()).unwrap()), Signal::SIGTERM).unwrap();
    running.finish().expect_status(79);
    let record: Value = serde_json::from_str(&scratch.read("log")).unwrap();
    assert_eq!(record["key"], key(&web.finish()[0], RESEND.place), "{record}");
}

/// Resend by SMTP.
fn resend(server: Server) -> Setup {
    Setup::new(server.login("resend", "re_secret", &["PLAIN"])).relay("provider = \"resend\"")
}

/// The key in the header section of a message that arrived.
fn carried(delivery: &Delivery) -> Option<String> {
    let text = String::from_utf8_lossy(&delivery.octets).into_owned();
    let keys: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("Resend-Idempotency-Key: ")).collect();
    assert!(keys.len() < 2, "{text}");
    keys.first().map(|key| (*key).to_owned())
}

#[test]
fn by_smtp_the_key_is_a_field_of_the_message() {
    for (server, capabilities) in
        [(Server::new(), &["PIPELINING", "CHUNKING", "SIZE 100000"][..]), (Server::new(), &["8BITMIME"])]
    {
        let server = server.capabilities(capabilities).at_first(Moment::Message, Action::Close);
        let setup = resend(server);
        let run = setup.send(&["bob@example.net"]);
        run.expect_status(0);
        assert_eq!(run.stderr, "");
        let record = setup.record();
        assert_eq!(record["repairs"].to_string().matches("Resend-Idempotency-Key added").count(), 1, "{record}");
        let deliveries = setup.deliveries();
        let keys: Vec<_> = deliveries.iter().map(carried).collect();
        assert_eq!(keys, [record["key"].as_str().map(str::to_owned), keys[0].clone()], "{record}");
        assert!(keys[0].is_some());
        assert_eq!(deliveries[0].octets, deliveries[1].octets);
    }
}

#[test]
fn by_smtp_nothing_but_an_acceptance_settles_the_doubt() {
    for (moment, reply) in [
        (Moment::Message, "554 5.6.0 no"),
        (Moment::Message, "500 5.5.1 what"),
        (Moment::Rcpt, "550 5.1.1 no such user"),
        (Moment::Mail, "550 5.7.1 no"),
        (Moment::Auth, "535 5.7.8 no"),
        (Moment::Greeting, "554 5.3.2 closed"),
    ] {
        let server = Server::new().capabilities(&["PIPELINING"]).at_first(Moment::Message, Action::Close);
        let setup = resend(server.at_later(moment.clone(), Action::Reply(reply.to_owned())));
        let run = setup.send(&["bob@example.net"]);
        assert_eq!(run.status, 79, "{moment:?} {reply}\n{}", run.report());
        assert!(setup.record()["warnings"].to_string().contains(reply), "{}", setup.record());
    }
}

#[test]
fn no_other_relay_sees_the_key() {
    let backup = Server::new().start();
    let setup = resend(Server::new().reply(Moment::Message, "451 4.3.0 later"));
    let lines = backup.relay_lines(&setup.scratch);
    let setup = setup.relay(&format!("[relay.backup]\n{lines}"));
    setup.send(&["bob@example.net"]).expect_status(0);
    let record = setup.record();
    assert_eq!((&record["relay"], record.get("key")), (&"backup".into(), None), "{record}");
    assert!(!record.to_string().contains("Resend-Idempotency-Key"), "{record}");
    assert!(carried(&setup.deliveries()[0]).is_some());
    assert_eq!(carried(&backup.finish()[0].deliveries[0]), None);
}

#[test]
fn a_message_that_must_not_change_goes_without_a_key() {
    let signed = format!("DKIM-Signature: v=1; d=example.org; h=From:Resend-Idempotency-Key; b=x\r\n{MESSAGE}");
    let setup = resend(Server::new().at_first(Moment::Message, Action::Close));
    setup.mailchute().args(["-i", "bob@example.net"]).stdin(signed).run().expect_status(79);
    assert!(setup.record().get("key").is_none());
    assert_eq!(setup.deliveries().iter().map(carried).collect::<Vec<_>>(), [None]);
}

#[test]
fn a_field_of_the_callers_own_stays_as_it_is() {
    for (given, is_key) in [("order/42", true), ("", false)] {
        let message = format!("Resend-Idempotency-Key: {given}\r\n{MESSAGE}");
        let setup = resend(Server::new().at_first(Moment::Message, Action::Close));
        let run = setup.mailchute().args(["-i", "bob@example.net"]).stdin(message).run();
        run.expect_status(if is_key { 0 } else { 79 });
        assert_eq!(setup.record()["key"].as_str(), is_key.then_some(given));
        let deliveries = setup.deliveries();
        assert_eq!(deliveries.len(), if is_key { 2 } else { 1 });
        assert!(deliveries.iter().all(|delivery| carried(delivery).as_deref() == Some(given)), "{deliveries:?}");
    }
}

const LINES: [&str; 4] =
    ["MAIL FROM:<a@example.org>", "RCPT TO:<bob@example.net>", "DATA", "From: a@example.org\r\n\r\nbody\r\n."];

#[test]
fn a_session_with_a_caller_resolves_a_doubt_as_well() {
    let setup = resend(Server::new().at_first(Moment::Message, Action::Close));
    let mut caller = setup.caller();
    assert_eq!(caller.converse(&LINES)[3], "250 2.0.0 queued as 4F2A1");
    // The next message goes over the session that answered.
    assert_eq!(caller.converse(&LINES)[3], "250 2.0.0 queued as 4F2A1");
    assert_eq!(caller.finish(), (0, Vec::new()));
    let log = setup.scratch.read("log");
    let records: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let sessions = setup.finish();
    let keys: Vec<_> = sessions.iter().flat_map(|session| session.deliveries.iter().map(carried)).collect();
    let recorded = |record: &Value| record["key"].as_str().map(str::to_owned);
    assert_eq!(sessions.len(), 2);
    assert_eq!(keys, [recorded(&records[0]), recorded(&records[0]), recorded(&records[1])], "{log}");
    assert_ne!(keys[0], keys[2]);

    let setup = resend(Server::new().at(Moment::Message, Action::Close));
    let mut caller = setup.caller();
    assert!(caller.converse(&LINES)[3].starts_with("554 5.4.2 "));
    assert_eq!(caller.finish().0, 79);
    assert_eq!(setup.finish().len(), 2);

    let web = answering(&[Answer::Close, Answer::text(BREVO.accepted)]);
    let scratch = Scratch::new();
    drop(BREVO.configured(&scratch, web.port(), "", ""));
    let mut caller = Caller::start(&scratch.join("config.toml"), "-bs", "\r\n");
    caller.hear();
    assert_eq!(caller.converse(&LINES)[3], "250 2.0.0 accepted as id-1");
    assert_eq!(caller.finish(), (0, Vec::new()));
    let keys: Vec<_> = web.finish().iter().map(|asked| key(asked, BREVO.place)).collect();
    assert_eq!(keys.len(), 2);
    assert_eq!(keys[0], keys[1]);
}

/// Nothing is asked again where nobody would recognise it.
#[test]
fn without_a_key_nothing_is_asked_again() {
    for provider in ["brevo", "azure-communication", "postmark"] {
        let server = Server::new().login("a", "secret", &["PLAIN"]).at_first(Moment::Message, Action::Close);
        let setup = Setup::new(server).relay(&format!("provider = \"{provider}\""));
        setup.send(&["bob@example.net"]).expect_status(79);
        assert!(setup.record().get("key").is_none());
        assert_eq!(setup.finish().len(), 1);
    }
}
