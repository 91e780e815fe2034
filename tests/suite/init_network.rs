//! What `mailchute init` learns from the network, each in a network of the test's own: a real name server (nsd), a web
//! server for autoconfig and APIs, ports that nobody answers at. Nothing is invented, nobody hears more than a domain, and
//! whoever is silent costs no more than its time.

use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use testkit::{Answer, Certs, Host, Identity, Web, need};

use crate::check::{findings, with_code};
use crate::init::{MAIN, USERS, VALUE, clear, init, nothing, type_in};
use crate::records::{Nsd, lines};
use crate::setup::mailchute;

/// Name servers have four seconds and autoconfig three; the rest is for a machine that is busy. The system's own way, as the
/// tests set it, takes minutes.
const LIMIT: Duration = Duration::from_secs(20);

/// Domains, and what they publish.
const ZONE: &str = "\
mx.example MX 10 in1-smtp.messagingengine.com
mx.example MX 20 aspmx.l.google.com
_submissions._tcp.mx.example SRV 0 1 465 smtp.mx.example
sent.example MX 1 aspmx.l.google.com
pm-bounces.sent.example CNAME pm.mtasv.net
srv.example MX 10 mail.srv.example
_submissions._tcp.srv.example SRV 20 0 465 last.srv.example
_submissions._tcp.srv.example SRV 10 1 465 light.srv.example
_submissions._tcp.srv.example SRV 10 9 465 heavy.srv.example
_submission._tcp.srv.example SRV 0 0 587 start.srv.example
start.example MX 0 .
_submissions._tcp.start.example SRV 0 0 0 .
_submission._tcp.start.example SRV 5 0 587 smtp.start.example
odd.example MX 0 .
_submissions._tcp.odd.example SRV 0 0 10465 smtp.odd.example
none.example MX 0 .
_submissions._tcp.none.example SRV 0 0 0 .
_submission._tcp.none.example SRV 0 0 0 .
foreign.example MX 0 .
_submissions._tcp.foreign.example SRV 0 0 465 smtp.elsewhere.example
alike.example MX 0 .
_submissions._tcp.alike.example SRV 0 0 465 smtp.notalike.example
autoconfig.shop.example A 127.0.0.1
autoconfig.other.example A 127.0.0.1
smtp.postmarkapp.com A 127.0.0.1
smtp.mailgun.org A 127.0.0.1
api.mailgun.net A 127.0.0.1
api.postmarkapp.com A 127.0.0.1
";

/// The file for mail programs, which names this server.
fn file(host: &str) -> String {
    format!(
        "HTTP/1.1 200 OK\n\n<clientConfig><emailProvider id=\"shop.example\"><outgoingServer type=\"smtp\">\
         <hostname>{host}</hostname><port>587</port><socketType>STARTTLS</socketType>\
         </outgoingServer></emailProvider></clientConfig>"
    )
}

/// Everything that was asked of the name server, octet by octet, passed on to it.
struct Overheard {
    asked: Arc<Mutex<Vec<u8>>>,
    nsd: Nsd,
}

impl Overheard {
    /// At the port where the system's are asked; `None`: there is no name server to be had.
    fn start(host: &Host<'_>) -> Option<Self> {
        let nsd = Nsd::start(&need("nsd")?, &lines(ZONE));
        host.write("/etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\n", 0o644);
        host.write("/etc/resolv.conf", "nameserver 127.0.0.1\n", 0o644);
        host.write("/etc/ssl/certs/ca-certificates.crt", Certs::shared().authority_pem(), 0o644);
        let front = UdpSocket::bind((Ipv4Addr::LOCALHOST, 53)).expect("a free port");
        let back = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        back.connect(nsd.address()).unwrap();
        back.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&asked);
        // It ends with the process: nothing else is in its network.
        thread::spawn(move || {
            let mut octets = [0; 4096];
            while let Ok((count, from)) = front.recv_from(&mut octets) {
                heard.lock().unwrap().extend_from_slice(&octets[..count]);
                if back.send(&octets[..count]).is_ok()
                    && let Ok(count) = back.recv(&mut octets)
                {
                    let _ = front.send_to(&octets[..count], from);
                }
            }
        });
        Some(Self { asked, nsd })
    }

    /// That the domain was asked about, and the mailbox never.
    fn check(&self, domain: &str) {
        let asked = self.asked.lock().unwrap();
        let has = |word: &str| asked.windows(word.len()).any(|part| part.eq_ignore_ascii_case(word.as_bytes()));
        let label = domain.split('.').next().unwrap();
        assert!(has(label), "{domain} was not asked about");
        assert!(!has("orders"), "the address was told: {}", String::from_utf8_lossy(&asked));
    }
}

/// The command that looks for what the domain says.
fn look(domain: &str) -> String {
    format!("--email orders@{domain} --username orders@{domain} --secret-env PASSWORD")
}

#[test]
fn what_a_domain_says_is_taken_in_its_order_and_nothing_is_made_up() {
    Host::run(&USERS, |host| {
        if !host.leave_network() {
            return;
        }
        let Some(server) = Overheard::start(host) else { return };
        let right = file("smtp.shop.example");
        let web = Web::start_at(443, Some(Identity::Named), move |_| Answer::text(&right));
        for (domain, taken) in [
            // Mail exchanges know better than a name of the domain's own, and the first of them counts.
            ("mx.example", Ok("provider = \"fastmail\"\n")),
            // Who is set up to send is what is looked for.
            ("sent.example", Ok("provider = \"postmark\"\n")),
            // TLS from the start comes first (RFC 8314 3.3), then priority, then weight.
            ("srv.example", Ok("host = \"heavy.srv.example\"\nport = 465\n")),
            ("start.example", Ok("host = \"smtp.start.example\"\nport = 587\n")),
            ("odd.example", Ok("host = \"smtp.odd.example\"\nport = 10465\ntls = \"implicit\"\n")),
            ("shop.example", Ok("host = \"smtp.shop.example\"\nport = 587\n")),
            ("none.example", Err("")),
            ("nowhere.example", Err("")),
            ("foreign.example", Err("smtp.elsewhere.example:465 for submissions (SRV), which is outside of it")),
            ("alike.example", Err("smtp.notalike.example:465 for submissions (SRV), which is outside of it")),
            // Its certificate is another's.
            ("other.example", Err("")),
        ] {
            for by in [String::new(), format!(" --dns {}", server.nsd.address())] {
                let run = init(&format!("{}{by}", look(domain))).run();
                match taken {
                    Ok(lines) => {
                        run.expect_status(0);
                        assert!(run.stdout.contains(lines), "{domain}{by}\n{}", run.report());
                    }
                    Err(told) => {
                        run.expect_status(64);
                        assert!(run.stderr.contains("missing: --provider or --host"), "{domain}\n{}", run.report());
                        assert!(run.stderr.contains(told), "{domain}{by}\n{}", run.report());
                        assert_eq!(run.stderr.contains("names "), !told.is_empty(), "{domain}{by}\n{}", run.report());
                    }
                }
                nothing(&run);
            }
            server.check(domain);
        }
        let asked = web.finish();
        assert_eq!(asked.len(), 2, "{asked:?}");
        let said = format!("{asked:?}");
        assert!(!said.contains("orders") && !said.contains('@'), "{said}");
    });
}

#[test]
fn what_was_found_is_offered_and_another_domains_server_has_to_be_typed() {
    if need("python3").is_none() {
        return;
    }
    Host::run(&USERS, |host| {
        if !host.leave_network() {
            return;
        }
        let Some(server) = Overheard::start(host) else { return };
        let away = file("smtp.elsewhere.example");
        let web = Web::start_at(443, Some(Identity::Named), move |_| Answer::text(&away));
        let rest = [
            ("User name", "\n"),
            ("(it is not shown)", VALUE),
            ("", "\n"),
            ("Who sends?", "\n"),
            ("other local names", "-\n"),
            // Nobody answers at that server.
            ("Write this all the same?", "n\n"),
        ];
        for (domain, told, offer, typed, taken) in [
            ("mx.example", "its mailboxes are with Fastmail", " [fastmail]: ", "\n", "provider = \"fastmail\""),
            ("srv.example", "(SRV)", " [heavy.srv.example:465]: ", "\n", "host = \"heavy.srv.example\""),
            ("foreign.example", "outside of it", "SMTP server: ", "smtp.elsewhere.example:465\n", "elsewhere"),
            ("shop.example", "(autoconfig), which is outside of it", "SMTP server: ", "m.example\n", "\"m.example\""),
        ] {
            let mut steps = vec![(told, ""), ("or SMTP server", ""), (offer.trim_start_matches("SMTP server"), typed)];
            steps.extend(rest);
            let run = type_in(host, &format!("--email orders@{domain}"), &steps);
            assert!(run.stdout.contains("left 0"), "{domain}\n{}", run.report());
            assert!(run.stdout.contains(taken), "{domain}\n{}", run.report());
            server.check(domain);
            nothing(&run);
        }
        let said = format!("{:?}", web.finish());
        assert!(!said.contains("orders") && !said.contains('@'), "{said}");
    });
}

/// How long the command takes, which has to end with this status.
#[track_caller]
fn time(line: &str, status: i32) -> Duration {
    let begun = Instant::now();
    let run = init(line).run();
    run.expect_status(status);
    nothing(&run);
    begun.elapsed()
}

#[test]
fn whoever_is_silent_costs_no_more_than_its_time() {
    Host::run(&USERS, |host| {
        if !host.leave_network() {
            return;
        }
        let line = look("shop.example");
        host.write("/etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\n", 0o644);
        // Nobody is named, and nobody is there.
        let _ = std::fs::remove_file("/etc/resolv.conf");
        assert!(time(&line, 64) < LIMIT);
        // Somebody is, and never answers; the system's own look-ups would wait for longer.
        let silent = UdpSocket::bind((Ipv4Addr::LOCALHOST, 53)).unwrap();
        host.write("/etc/resolv.conf", "nameserver 127.0.0.1\noptions timeout:30 attempts:5\n", 0o644);
        assert!(time(&line, 64) < LIMIT);
        if need("python3").is_some() {
            // The interview goes on.
            let begun = Instant::now();
            let told = "shop.example: could not be looked up (";
            let steps = [(told, ""), ("or SMTP server: ", "smtp.shop.example\n"), ("User name", "\u{3}")];
            let run = type_in(host, "--email orders@shop.example", &steps);
            assert!(run.stdout.contains("left 0") && begun.elapsed() < LIMIT, "{}", run.report());
            nothing(&run);
        }
        drop(silent);
        let Some(_server) = Overheard::start(host) else { return };
        let web = Web::start_at(443, Some(Identity::Named), |_| Answer::Hang);
        assert!(time(&line, 64) < LIMIT);
        assert_eq!(web.finish().len(), 1);
    });
}

#[test]
fn a_closed_port_is_told_before_the_secret_and_the_way_that_is_open_offered() {
    Host::run(&USERS, |host| {
        if !host.leave_network() {
            return;
        }
        let Some(_server) = Overheard::start(host) else { return };
        let line = "--provider postmark --from a@b.example --user www-data --secret-stdin --write --to c@d.example";
        let refused = |hint: Option<&str>| {
            let run = init(line).stdin(VALUE).run();
            run.expect_status(69);
            assert_eq!(run.stderr.contains("add --"), hint.is_some(), "{}", run.report());
            assert!(run.stderr.contains(hint.unwrap_or("587: connection refused")), "{}", run.report());
            nothing(&run);
        };
        // What `check` says is the same.
        let checked = || {
            init(&format!("{line} --no-network")).stdin(VALUE).run().expect_status(0);
            let all = findings(&mailchute().args(["check", "--json"]).run());
            clear();
            let next = |code| with_code(&all, code).first().map(|found| found["next"].to_string()).unwrap_or_default();
            (next("relay.unreachable"), next("relay.blocked"))
        };
        // Nobody answers anywhere.
        refused(None);
        let (unreachable, blocked) = checked();
        assert!(!unreachable.is_empty() && blocked.is_empty(), "{unreachable} {blocked}");
        let reply = r#"{"ErrorCode":0,"Message":"OK","MessageID":"0a129aee-e1cd-480d-b08d-4f48548ff48d","To":"c@d.example","SubmittedAt":"2026-11-27T17:00:00Z"}"#;
        let web = Web::start_at(443, Some(Identity::Named), move |_| {
            Answer::text(&format!("HTTP/1.1 200 OK\nContent-Type: application/json\n\n{reply}"))
        });
        refused(Some("hint: its API answers: add --via api"));
        let (unreachable, blocked) = checked();
        assert!(unreachable.is_empty() && blocked.contains("via = \\\"api\\\""), "{unreachable} {blocked}");
        let run = init(&format!("{line} --via api")).stdin(VALUE).run();
        run.expect_status(0);
        assert!(run.stderr.contains("accepts the key") && run.stderr.contains("accepted"), "{}", run.report());
        let written = std::fs::read_to_string(MAIN).unwrap();
        assert!(written.contains("via = \"api\"\n"), "{written}");
        if need("python3").is_some() {
            let rest = [("token, made at", VALUE), ("", "\n"), ("other local names", "-\n"), ("Write this?", "y\n")];
            let told = "while the HTTP API of Postmark does";
            let mut steps = vec![(told, ""), ("Send by its API? (y/n) [y]: ", "\n")];
            steps.extend(rest);
            clear();
            let line = "--provider postmark --from a@b.example --user www-data --to c@d.example";
            let run = type_in(host, line, &steps);
            assert!(run.stdout.contains("status 0 left 0"), "{}", run.report());
            assert_eq!(std::fs::read_to_string(MAIN).unwrap(), written);
            assert!(run.stdout.contains("--provider postmark --via api "), "{}", run.report());
            // What the API cannot be without is asked for, too.
            clear();
            let steps = [
                ("while the HTTP API of Mailgun does", ""),
                ("Send by its API?", "\n"),
                ("domain of Mailgun [b.example]: ", "mg.b.example\n"),
                ("Mailgun api key (it", "\u{3}"),
            ];
            let run = type_in(host, &line.replace("postmark", "mailgun"), &steps);
            assert!(run.stdout.contains("left 0"), "{}", run.report());
            nothing(&run);
            // Whoever says which way is not asked.
            clear();
            let steps = [("token, made at", "\u{3}")];
            let run = type_in(host, &format!("{line} --via smtp"), &steps);
            assert!(run.stdout.contains("left 0") && !run.stdout.contains("its API?"), "{}", run.report());
            nothing(&run);
        }
        // Another port of the same server is nearer than another way.
        let open = TcpListener::bind((Ipv4Addr::LOCALHOST, 2525)).unwrap();
        clear();
        refused(Some("hint: port 2525 answers: add --port 2525"));
        assert!(checked().1.contains("port = 2525"));
        drop(open);
        let asked = web.finish();
        assert!(asked.iter().any(|asked| asked.method == "POST"), "{asked:?}");
        assert!(asked.iter().any(|asked| asked.target == "/server"), "{asked:?}");
    });
}
