//! The one HTTP exchange: what goes wrong on the way, and what no provider is asked.

use testkit::{Answer, Asked, Identity, Mailchute, Port, Run, Scratch, Script, Web, matches};

use crate::setup::{MESSAGE, mailchute, with_enough_time};

/// A relay of `provider` at this port, and the log.
fn relay(scratch: &Scratch, provider: &str, port: u16, more: &str) -> Mailchute {
    let config = format!(
        "[relay.main]\nprovider = \"{provider}\"\nvia = \"api\"\n\
         endpoint = \"http://127.0.0.1:{port}\"\n{more}\n[log]\nto = [\"{}\"]\n",
        scratch.join("log").display()
    );
    mailchute().config(&scratch.write("config.toml", config, 0o644))
}

const POSTMARK: &str = "token = \"pm-secret\"";
const MAILGUN: &str = "api_key = \"mg-secret\"\ndomain = \"mg.example.com\"";
const QUEUED: &str = "HTTP/1.1 200 OK\n\n{\"id\":\"<1@mg.example.com>\",\"message\":\"Queued. Thank you.\"}";

/// What arrives of `message` at Mailgun, and the log record.
fn through_mailgun(message: &[u8]) -> (Asked, String) {
    let web = Web::saying(QUEUED);
    let scratch = Scratch::new();
    let call = relay(&scratch, "mailgun", web.port(), MAILGUN);
    call.args(["-i", "bob@example.net"]).stdin(message).run().expect_status(0);
    (web.finish().remove(0), scratch.read("log"))
}

fn holds(octets: &[u8], wanted: &[u8]) -> bool {
    octets.windows(wanted.len()).any(|window| window == wanted)
}

#[test]
fn silence_after_the_request_is_in_doubt() {
    with_enough_time(|deadline| {
        let web = Web::start(None, |_| Answer::Hang);
        let scratch = Scratch::new();
        let more = format!("{POSTMARK}\n[site.default]\ndeadline = \"{deadline}s\"");
        let call = relay(&scratch, "postmark", web.port(), &more);
        let run = call.args(["-i", "bob@example.net"]).stdin(MESSAGE).run();
        let asked = web.finish().len();
        if asked == 0 {
            return false;
        }
        run.expect_status(79);
        run.expect_stderr(&format!(
            "mailchute: 127.0.0.1:*: no answer within {deadline} s after the request: the message may have been accepted*",
        ));
        assert_eq!(asked, 1);
        true
    });
}

#[test]
fn an_answer_that_announces_another_one_is_not_the_last() {
    let queued =
        "HTTP/1.1 200 OK\r\nContent-Length: 46\r\n\r\n{\"ErrorCode\":0,\"MessageID\":\"1\",\"Message\":\"OK\"}";
    for (first, exit) in [("103 Early Hints", 0), ("101 Switching Protocols", 79)] {
        let said = format!("HTTP/1.1 {first}\r\n\r\n{queued}").into_bytes();
        let web = Web::start(None, move |_| Answer::Octets(said.clone()));
        let scratch = Scratch::new();
        let run =
            relay(&scratch, "postmark", web.port(), POSTMARK).args(["-i", "bob@example.net"]).stdin(MESSAGE).run();
        run.expect_status(exit);
        assert_eq!(web.finish().len(), 1);
    }
}

#[test]
fn octets_are_asked_for_as_they_are_and_a_byte_order_mark_is_passed_over() {
    let web = Web::start(None, |_| {
        let body = b"\xef\xbb\xbf{\"id\":\"<1@mg.example.com>\",\"message\":\"Queued. Thank you.\"}";
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
        Answer::Octets([head.as_bytes(), body].concat())
    });
    let scratch = Scratch::new();
    let call = relay(&scratch, "mailgun", web.port(), MAILGUN);
    call.args(["-i", "bob@example.net"]).stdin(MESSAGE).run().expect_status(0);
    assert_eq!(web.finish()[0].header("accept-encoding"), Some("identity"));
}

/// Mailgun's side of an exchange, and what came of it; the message ends with a line that ends `data`.
fn dialogue(text: &str, lines: usize) -> (testkit::Dialogue, Run) {
    let script = Script::play(text, Identity::Good);
    let scratch = Scratch::new();
    let line = b"a line of a large message, sixty octets with its end .....\r\n";
    let message = [b"From: a@example.com\r\n\r\n", &line.repeat(lines)[..], b".\r\n"].concat();
    let run = relay(&scratch, "mailgun", script.port(), MAILGUN).args(["-i", "bob@example.net"]).stdin(message).run();
    (script.finish(), run)
}

#[test]
fn interim_answers_are_passed_over_whenever_they_come() {
    let (post, end) = ("C: POST /v3/mg.example.com/messages.mime HTTP/1.1\n", "C:\nC: --*--\n");
    let interim = "S: HTTP/1.1 100 Continue\nS:\nS: HTTP/1.1 103 Early Hints\nS: Link: x\nS:\n";
    let queued = "S: HTTP/1.1 200 OK\nS: Content-Length: 39\nS:\nS: {\"id\":\"<1@x.example>\",\"message\":\"Done\"}\n";
    for (text, lines) in [
        (format!("{interim}{post}data\n{end}{queued}"), 0),
        (format!("{post}{interim}data\n{end}{interim}{queued}"), 100_000),
        (format!("{post}data\n{end}{interim}{interim}{queued}"), 0),
    ] {
        let (dialogue, run) = dialogue(&text, lines);
        run.expect_status(0);
        assert!(dialogue.complaints.is_empty() && dialogue.messages.len() == 1, "{dialogue:?}");
        assert!(dialogue.messages[0].len() > lines * 60);
    }
}

#[test]
fn interim_answers_alone_are_no_answer() {
    let (post, end) = ("C: POST /v3/mg.example.com/messages.mime HTTP/1.1\n", "C:\nC: --*--\n");
    let interim = "S: HTTP/1.1 100 Continue\nS:\n";
    for (text, lines, status, said) in [
        (
            format!("{post}data\n{end}{interim}close\n"),
            0,
            79,
            "*: connection closed after the request: the message may*",
        ),
        (format!("{post}data\n{end}{}hang\n", interim.repeat(17)), 0, 79, "*: more than 16 interim answers after the*"),
        (format!("{post}{}deaf\n", interim.repeat(17)), 100_000, 69, "*: more than 16 interim answers before the*"),
    ] {
        let (_, run) = dialogue(&text, lines);
        run.expect_status(status);
        run.expect_stderr(said);
    }
}

#[test]
fn a_refusal_of_a_server_that_reads_no_more_counts() {
    let post = "C: POST /v3/mg.example.com/messages.mime HTTP/1.1\n";
    let refusal = "S: HTTP/1.1 100 Continue\nS:\nS: HTTP/1.1 413 Too Large\nS: Content-Length: 0\nS:\ndeaf\n";
    let (_, run) = dialogue(&format!("{post}{refusal}"), 100_000);
    run.expect_status(152);
}

#[test]
fn nobody_there_is_nobodys_message() {
    let nobody = Port::reserve();
    let scratch = Scratch::new();
    let run =
        relay(&scratch, "postmark", nobody.number(), POSTMARK).args(["-i", "bob@example.net"]).stdin(MESSAGE).run();
    run.expect_status(69);
}

/// What becomes of a large message that Mailgun answers with these lines before its end, and a reset.
fn answered_early(answer: &str) -> Run {
    let dialogue = format!("C: POST /v3/mg.example.com/messages.mime HTTP/1.1\n{answer}reset\n");
    let script = Script::play(&dialogue, Identity::Good);
    let scratch = Scratch::new();
    let large =
        [MESSAGE.as_bytes(), &b"a line of a large message, sixty octets with its end .....\r\n".repeat(300_000)]
            .concat();
    let run = relay(&scratch, "mailgun", script.port(), MAILGUN).args(["-i", "bob@example.net"]).stdin(large).run();
    script.finish();
    run
}

#[test]
fn a_refusal_before_the_end_of_the_request_counts() {
    let run = answered_early("S: HTTP/1.1 413 Too Large\nS: Content-Length: 0\nS:\n");
    // The reset may overtake the answer; either way nobody has the message, and we say so.
    assert!(matches!(run.status, 69 | 152), "{}", run.report());
}

#[test]
fn an_acceptance_before_the_end_of_the_request_is_not_believed() {
    let run = answered_early("S: HTTP/1.1 200 OK\nS: Content-Length: 10\nS:\nS: {\"id\":\"1\"}\n");
    // The reset may overtake the answer.
    assert!(matches!(run.status, 69 | 79), "{}", run.report());
}

#[test]
fn a_large_message_is_streamed_as_it_is() {
    let large = [MESSAGE.as_bytes(), &b"a line of a large message, sixty octets with its end .....\r\n".repeat(50_000)]
        .concat();
    let (asked, _) = through_mailgun(&large);
    assert!(holds(&asked.body, &large), "{} octets arrived", asked.body.len());
}

#[test]
fn raw_fields_are_encoded_and_eight_bit_bodies_stay_where_octets_are_carried() {
    let message = "From: a@example.com\r\nSubject: Gr\u{fc}\u{df}e\r\n\r\nSch\u{f6}n\r\n";
    let (asked, log) = through_mailgun(message.as_bytes());
    assert!(holds(&asked.body, "Sch\u{f6}n\r\n".as_bytes()));
    assert!(!holds(&asked.body, "Subject: Gr\u{fc}".as_bytes()) && log.contains("Subject encoded"), "{log}");

    let web = Web::saying(
        "HTTP/1.1 200 OK\n\n{\"results\":{\"total_rejected_recipients\":0,\"total_accepted_recipients\":1,\"id\":\"1\"}}",
    );
    let scratch = Scratch::new();
    let call = relay(&scratch, "sparkpost", web.port(), "api_key = \"sp-secret\"");
    let latin =
        b"From: a@example.com\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=iso-8859-1\r\n\r\nSch\xf6n\r\n";
    call.args(["-i", "bob@example.net"]).stdin(&latin[..]).run().expect_status(0);
    let body = String::from_utf8(web.finish().remove(0).body).unwrap();
    assert!(body.contains("Sch=F6n"), "{body}");
}

#[test]
fn what_cannot_be_carried_is_refused_before_anybody_is_asked() {
    let signed = "From: a@example.com\nTo: bob@example.net\nContent-Type: multipart/signed; boundary=x\n\n--x\n\nhi\n--x\n\
                  Content-Type: application/pgp-signature\n\nsig\n--x--\n";
    let many: Vec<String> = (0..51).map(|number| format!("user{number}@example.net")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    for (message, recipients, exit, said) in [
        (
            signed,
            &["bob@example.net"][..],
            65,
            "mailchute: message: has a signed or encrypted part (multipart/signed), which*",
        ),
        (
            MESSAGE,
            &many[..],
            150,
            "mailchute: message: 550 5.5.3 Postmark accepts 50 recipients per message, and this one has 51*",
        ),
    ] {
        let web = Web::saying(QUEUED);
        let scratch = Scratch::new();
        let call = relay(&scratch, "postmark", web.port(), POSTMARK);
        let run = call.arg("-i").args(recipients.iter().copied()).stdin(message).run();
        run.expect_status(exit);
        run.expect_stderr(said);
        assert!(exit != 65 || matches("*\nhint: set via = \"smtp\" for this relay\n", &run.stderr), "{}", run.report());
        assert_eq!(web.finish().len(), 0);
    }
}

#[test]
fn a_backup_relay_is_tried_when_the_api_puts_it_off() {
    let web = Web::saying("HTTP/1.1 503 Service Unavailable\n\n");
    let backup = testkit::Server::new().start();
    let scratch = Scratch::new();
    let config = format!(
        "[relay.main]\nprovider = \"postmark\"\nvia = \"api\"\ntoken = \"pm-secret\"\nendpoint = \"http://127.0.0.1:{}\"\n\
         [relay.backup]\nhost = \"127.0.0.1\"\nport = {}\n",
        web.port(),
        backup.port()
    );
    let call = mailchute().config(&scratch.write("config.toml", config, 0o644));
    call.args(["-i", "bob@example.net"]).stdin(MESSAGE).run().expect_status(0);
    assert_eq!(web.finish().len(), 1);
    assert_eq!(backup.finish().into_iter().flat_map(|session| session.deliveries).count(), 1);
}

#[test]
fn smtp_com_takes_text_and_is_given_ascii() {
    let web = Web::saying("HTTP/1.1 200 OK\n\n{\"status\":\"success\",\"data\":{\"msg_id\":\"1\"}}");
    let scratch = Scratch::new();
    let call = relay(&scratch, "smtp-com", web.port(), "api_key = \"sc-secret\"\nchannel = \"shop\"");
    let message = "From: a@example.com\nTo: bob@example.net\nMIME-Version: 1.0\nContent-Type: text/plain; \
                   charset=utf-8\nContent-Transfer-Encoding: 8bit\n\ngr\u{fc}n\n";
    call.args(["-i", "bob@example.net"]).stdin(message).run().expect_status(0);
    let asked = web.finish().remove(0);
    assert!(asked.body.is_ascii() && holds(&asked.body, b"gr=C3=BCn"), "{}", String::from_utf8_lossy(&asked.body));
    assert!(!scratch.read("log").contains("does not promise"), "{}", scratch.read("log"));
}

/// A provider's documented limit is kept to before anything is sent, by the provider's own way of counting.
#[test]
fn what_is_too_large_for_a_provider_is_not_sent_there() {
    let sendlayer = "api_key = \"sl-secret\"";
    let cases = [
        ("outlook", "token = \"ms-secret\"", 3, "Microsoft 365 / Outlook.com accepts 4194304 octets per request"),
        ("postmark", POSTMARK, 10, "Postmark accepts 10485760 octets per message"),
        ("sendlayer", sendlayer, 10, "SendLayer accepts 10485760 octets per message"),
        (
            "azure-communication",
            "resource = \"shop\"\naccess_key = \"YWNjZXNzIHNlY3JldA==\"",
            10,
            "Azure Communication Services Email accepts 10485760 octets per request",
        ),
        ("zeptomail", "token = \"ze-secret\"", 15, "Zoho ZeptoMail accepts 15728640 octets per message"),
        ("elastic-email", "api_key = \"ee-secret\"", 20, "Elastic Email accepts 20971520 octets per message"),
    ];
    let head = b"From: a@example.com\r\nTo: bob@example.net\r\nSubject: large\r\nMIME-Version: 1.0\r\n\
                 Content-Type: application/pdf; name=x.pdf\r\nContent-Transfer-Encoding: base64\r\n\r\n";
    let line = [&b"A".repeat(76)[..], b"\r\n"].concat();
    for (provider, keys, limit, said) in cases {
        // Line ends of base64 do not go into JSON: it takes a little more than the limit to break it.
        for (percent, requests) in [(98, 1), (104, 0)].into_iter().skip(usize::from(limit > 3)) {
            let web = Web::saying("HTTP/1.1 503 Service Unavailable\n\n");
            let scratch = Scratch::new();
            let message = [&head[..], &line.repeat((limit << 20) * percent / 100 / line.len())].concat();
            let run = relay(&scratch, provider, web.port(), keys).args(["-i", "bob@example.net"]).stdin(message).run();
            assert_eq!(web.finish().len(), requests, "{provider} {percent}\n{}", run.report());
            if requests == 0 {
                run.expect_status(152);
                run.expect_stderr(&format!("mailchute: message: 552 5.3.4 {said}, and this one has *"));
            }
        }
    }
}

/// What one provider takes is no limit of the next relay of the route.
#[test]
fn what_is_too_large_for_a_provider_goes_through_the_next_relay() {
    let web = Web::saying(QUEUED);
    let backup = testkit::Server::new().start();
    let scratch = Scratch::new();
    let config = format!(
        "[relay.main]\nprovider = \"outlook\"\nvia = \"api\"\ntoken = \"ms-secret\"\nendpoint = \"http://127.0.0.1:{}\"\n\
         [relay.backup]\nhost = \"127.0.0.1\"\nport = {}\n[log]\nto = \"{}\"\n",
        web.port(),
        backup.port(),
        scratch.join("log").display()
    );
    let message = [MESSAGE.as_bytes(), &b"a line of the report\r\n".repeat(170_000)[..]].concat();
    let call = mailchute().config(&scratch.write("config.toml", config, 0o644));
    call.args(["-i", "bob@example.net"]).stdin(message).run().expect_status(0);
    assert_eq!(web.finish().len(), 0);
    assert_eq!(backup.finish().into_iter().flat_map(|session| session.deliveries).count(), 1);
    let record = scratch.read("log");
    assert!(record.contains("Microsoft 365 / Outlook.com accepts 4194304 octets per request"), "{record}");
}
