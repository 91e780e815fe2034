//! `mailchute queue flush`: what waits is sent, once, and what cannot be waits on, is held or given up.

use std::fs::{self, File, Metadata, OpenOptions, Permissions};
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use nix::fcntl::{Flock, FlockArg};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use testkit::{Action, Delivery, Host, Identity, Mailchute, Moment, Port, Run, Script, Server, need};

use crate::setup::{MESSAGE, mailchute};

const SHOP: u32 = 61042;
const OTHER: u32 = 61043;
const USERS: [(&str, u32); 2] = [("shop", SHOP), ("other", OTHER)];
const SPOOL: &str = "/var/spool/mailchute";
const STATE: &str = "/var/lib/mailchute/state";
const CONFIG: &str = "/etc/mailchute/config.toml";
const LOGS: &str = "/var/log/{user}.log";

/// A spool that a cron is sure to flush, and a site that keeps what the relay at `port` does not take.
fn prepare(host: &Host<'_>, port: u16, top: &str) {
    for parent in [SPOOL, STATE] {
        fs::create_dir_all(parent).unwrap();
        fs::set_permissions(parent, Permissions::from_mode(0o1733)).unwrap();
    }
    host.write("/etc/cron.d/mailchute", crate::setup::CRON, 0o644);
    host.write("/run/crond.pid", "1\n", 0o644);
    for (user, uid) in USERS {
        if !Path::new(&log_of(user)).exists() {
            host.write_as(&log_of(user), "", 0o640, (uid, uid));
        }
    }
    configure(host, &format!("on_relay_failure = \"spool\"\n{top}"), port);
}

fn log_of(user: &str) -> String {
    LOGS.replace("{user}", user)
}

fn configure(host: &Host<'_>, top: &str, port: u16) {
    let relay = format!("[relay.main]\nhost = \"127.0.0.1\"\nport = {port}\ntls = \"none\"\n");
    host.write(CONFIG, &format!("{top}\n{relay}[log]\nto = [\"{LOGS}\"]\n"), 0o644);
}

/// Lets `count` messages wait, for a relay that is away. They are due.
fn enqueue(host: &Host<'_>, count: usize, top: &str) {
    let nobody = Port::reserve();
    prepare(host, nobody.number(), top);
    for _ in 0..count {
        mailchute().uid(SHOP).args(["-t", "-i"]).stdin(MESSAGE).run().expect_status(0);
    }
    make_due();
}

fn make_due() {
    entries("queue").iter().for_each(|entry| set_due(entry, SystemTime::now()));
}

fn flush(words: &[&str]) -> Run {
    flusher(words).run()
}

fn flusher(words: &[&str]) -> Mailchute {
    mailchute().uid(SHOP).args(["queue", "flush"]).args(words.iter().copied())
}

/// The entries in a folder of the uid's, the one that is due first in front.
fn entries(folder: &str) -> Vec<PathBuf> {
    let Ok(found) = fs::read_dir(Path::new(SPOOL).join(SHOP.to_string()).join(folder)) else { return Vec::new() };
    let mut all: Vec<PathBuf> = found.map(|entry| entry.unwrap().path()).collect();
    all.sort_by_key(|entry| due(entry));
    all
}

fn due(entry: &Path) -> SystemTime {
    entry.metadata().unwrap().modified().unwrap()
}

fn set_due(entry: &Path, when: SystemTime) {
    File::options().write(true).open(entry).unwrap().set_modified(when).unwrap();
}

fn id(entry: &Path) -> &str {
    entry.file_name().unwrap().to_str().unwrap()
}

fn append(entry: &Path, line: &str) {
    OpenOptions::new().append(true).open(entry).unwrap().write_all(format!("{line}\n").as_bytes()).unwrap();
}

/// Nothing waits that is due.
fn is_not_due() {
    let run = flush(&[]);
    run.expect_status(0);
    assert!(run.stdout.starts_with("nothing is due yet: the next try is in "), "{}", run.report());
}

fn says(run: &Run, status: i32, words: &str) {
    run.expect_status(status);
    assert_eq!(run.stdout, words, "{}", run.report());
}

/// The log's records of the entry `id`.
fn records(id: &str) -> Vec<serde_json::Value> {
    let log = fs::read_to_string(log_of("shop")).unwrap();
    let all = log.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    all.filter(|record| record["id"] == id).collect()
}

#[test]
fn what_waits_goes_over_one_session() {
    Host::run(&USERS, |host| {
        says(&flush(&[]), 0, "nothing is due\n");
        enqueue(host, 3, "");
        let waiting = entries("queue");
        let server = Server::new().counting_flights().start();
        prepare(host, server.port(), "");
        says(&flush(&[]), 0, "3 sent\n");
        let sessions = server.finish();
        assert_eq!((sessions.len(), sessions[0].deliveries.len()), (1, 3));
        assert!(sessions[0].deliveries.iter().all(|delivery| delivery.text() == MESSAGE));
        // Connection, greeting, EHLO, and one flight for each message; QUIT is not waited for.
        assert_eq!(sessions[0].round_trips, 3 + 3, "{:?}", sessions[0].commands);
        assert!(entries("queue").is_empty() && entries("failed").is_empty());
        for entry in waiting {
            let told = records(id(&entry));
            assert_eq!(told.len(), 2, "{told:?}");
            assert_eq!(
                (&told[1]["code"], &told[1]["exit"], &told[1]["site"]),
                (&250.into(), &0.into(), &"default".into())
            );
        }
    });
}

#[test]
fn a_session_carries_as_many_messages_as_the_relay_says() {
    Host::run(&USERS, |host| {
        for (most, sessions) in
            [("", vec![5]), ("session_messages = 2\n", vec![2, 2, 1]), ("session_messages = 1\n", vec![1; 5])]
        {
            enqueue(host, 5, "");
            let server = Server::new().start();
            prepare(host, server.port(), "");
            let config = fs::read_to_string(CONFIG).unwrap();
            host.write(CONFIG, &config.replace("tls = \"none\"\n", &format!("tls = \"none\"\n{most}")), 0o644);
            says(&flush(&[]), 0, "5 sent\n");
            let carried: Vec<usize> = server.finish().iter().map(|session| session.deliveries.len()).collect();
            assert_eq!(carried, sessions, "{most}");
        }
    });
}

#[test]
fn who_does_not_know_bdat_is_asked_once() {
    Host::run(&USERS, |host| {
        enqueue(host, 3, "");
        let unknown = Action::Reply("502 5.5.2 unknown command".to_owned());
        let server = Server::new().at_first(Moment::Message, unknown).start();
        prepare(host, server.port(), "");
        let config = fs::read_to_string(CONFIG).unwrap();
        host.write(CONFIG, &config.replace("tls = \"none\"\n", "tls = \"none\"\nsession_messages = 1\n"), 0o644);
        says(&flush(&[]), 0, "3 sent\n");
        let sessions = server.finish();
        let is_chunked = |session: &testkit::Session| session.commands.iter().any(|line| line.starts_with("BDAT"));
        assert_eq!(sessions.iter().map(is_chunked).collect::<Vec<_>>(), [true, false, false, false], "{sessions:?}");
        assert!(sessions.iter().all(|session| session.deliveries.len() == 1), "{sessions:?}");
    });
}

#[test]
fn a_kept_session_that_does_not_know_bdat_is_left_for_one_with_data() {
    Host::run(&USERS, |host| {
        let nobody = Port::reserve();
        prepare(host, nobody.number(), "");
        // The first goes with DATA whatever the relay offers.
        for message in [format!("{MESSAGE}DATA\r\n"), MESSAGE.to_owned(), MESSAGE.to_owned()] {
            mailchute().uid(SHOP).args(["-t", "-i"]).stdin(message).run().expect_status(0);
        }
        // In that order, whatever time of day a clock of few ticks gives each of them.
        make_due();
        let is_first = |entry: &&PathBuf| fs::read_to_string(entry).unwrap().contains("\r\nDATA\r\n");
        let all = entries("queue");
        set_due(all.iter().find(is_first).unwrap(), SystemTime::now() - Duration::from_secs(10));
        let greeting = "S: 220 mx\nC: EHLO *\nS: 250-mx\nS: 250 CHUNKING\n";
        let envelope = "C: MAIL FROM:*\nS: 250 ok\nC: RCPT TO:*\nS: 250 ok\n";
        let with_data = format!("{envelope}C: DATA\nS: 354 go\ndata\nS: 250 ok\n");
        let refused = format!("{envelope}bdat\nS: 502 5.5.2 unknown command\nC: QUIT\nclose\n");
        let dialogue = format!("{greeting}{with_data}{refused}--\n{greeting}{with_data}{with_data}C: QUIT\n");
        let script = Script::play(&dialogue, Identity::Good);
        prepare(host, script.port(), "");
        says(&flush(&[]), 0, "3 sent\n");
        let told = script.finish();
        assert!(told.complaints.is_empty(), "{told:?}");
        assert_eq!(told.messages.len(), 4, "one of them was refused: {told:?}");
    });
}

#[test]
fn an_api_is_asked_over_one_connection_while_it_lets_another_request_follow() {
    let accepted = "HTTP/1.1 200 OK\nContent-Type: application/json\n\n{\"id\":\"x\"}";
    let octets = |text: &str| match testkit::Answer::text(text) {
        testkit::Answer::Octets(octets) => octets,
        _ => unreachable!(),
    };
    let stay = |text: &str| testkit::Answer::Stay(octets(text));
    let surplus = testkit::Answer::Stay([octets(accepted), b"HTTP/1.1 200 OK\r\n".to_vec()].concat());
    let endless = testkit::Answer::Octets(b"HTTP/1.1 200 OK\r\n\r\n{\"id\":\"x\"}".to_vec());
    Host::run(&USERS, |host| {
        for (what, answer, connections) in [
            ("it stays", stay(accepted), [1, 1, 1]),
            ("an answer of an older kind", stay(&accepted.replace("1.1", "1.0")), [1, 2, 3]),
            ("it says that it goes", stay(&accepted.replacen('\n', "\nConnection: Close\n", 1)), [1, 2, 3]),
            ("the answer ends with it", endless, [1, 2, 3]),
            ("it says more than was asked", surplus, [1, 2, 3]),
        ] {
            enqueue(host, 3, "");
            let web = testkit::Web::start(None, move |_| answer.clone());
            let relay = format!(
                "[relay.main]\nprovider = \"resend\"\nvia = \"api\"\nendpoint = \"http://127.0.0.1:{}\"\napi_key = \"re_x\"\n",
                web.port()
            );
            host.write(CONFIG, &format!("{relay}[log]\nto = [\"{LOGS}\"]\n"), 0o644);
            let run = flush(&[]);
            says(&run, 0, "3 sent\n");
            let asked = web.finish();
            let over: Vec<usize> = asked.iter().map(|asked| asked.connection).collect();
            assert_eq!(over, connections, "{what}: {}", run.report());
        }
    });
}

#[test]
fn a_relay_that_is_down_costs_one_connection_and_all_go_when_it_answers() {
    for reply in ["421 4.3.2 not now", "554 5.3.2 not today"] {
        Host::run(&USERS, |host| {
            enqueue(host, 5, "");
            let server = Server::new().reply(Moment::Greeting, reply).start();
            prepare(host, server.port(), "");
            says(&flush(&[]), 69, "5 not sent yet\n");
            let waiting = entries("queue");
            let wait = due(&waiting[0]).duration_since(SystemTime::now()).unwrap();
            assert!((30..=76).contains(&wait.as_secs()), "{wait:?}");
            assert!(waiting.iter().all(|entry| due(entry) >= due(&waiting[0])));
            // Twice in a row is down for a while, due or not.
            says(&flush(&[]), 69, "5 not sent yet\n");
            is_not_due();
            waiting.iter().for_each(|entry| set_due(entry, SystemTime::now()));
            says(&flush(&[]), 69, "5 not sent yet\n");
            assert_eq!(server.finish().len(), 2);
            // Another relay of that name is another relay.
            let server = Server::new().start();
            prepare(host, server.port(), "");
            says(&flush(&[]), 0, "5 sent\n");
            assert_eq!(server.finish()[0].deliveries.len(), 5);
        });
    }
}

#[test]
fn one_answer_of_a_relay_lets_all_go_that_waited_for_it() {
    Host::run(&USERS, |host| {
        enqueue(host, 5, "");
        let server = Server::new().at_first(Moment::Greeting, Action::Reply("421 4.3.2 not now".into())).start();
        prepare(host, server.port(), "");
        says(&flush(&[]), 69, "5 not sent yet\n");
        let waiting = entries("queue");
        set_due(&waiting[0], SystemTime::now());
        says(&flush(&[]), 0, "5 sent\n");
        let sessions = server.finish();
        assert_eq!(sessions.iter().map(|session| session.deliveries.len()).collect::<Vec<_>>(), [0, 5]);
    });
}

#[test]
fn what_is_deferred_itself_keeps_nobody_waiting_and_keeps_its_own_time() {
    Host::run(&USERS, |host| {
        enqueue(host, 1, "");
        let greylisted = entries("queue").remove(0);
        mailchute().uid(SHOP).args(["-i", "bob@example.org"]).stdin("Subject: x\n\nbody\n").run().expect_status(0);
        make_due();
        let server = Server::new().reply(Moment::RcptOf("bob@example.org".into()), "450 4.2.1 later").start();
        prepare(host, server.port(), "");
        says(&flush(&[]), 69, "1 sent, 1 not sent yet\n");
        drop(server.finish());
        let waiting = entries("queue");
        assert!(waiting.len() == 1 && waiting[0] != greylisted);
        assert!(fs::read_to_string(&waiting[0]).unwrap().contains("\"result\":\"deferred\",\"code\":450"));
        // The answer of the relay for another message does not make it due.
        enqueue(host, 1, "");
        set_due(&waiting[0], SystemTime::now() + Duration::from_secs(1000));
        let server = Server::new().start();
        prepare(host, server.port(), "");
        says(&flush(&[]), 0, "1 sent\n");
        assert_eq!(entries("queue"), waiting);
        // Somebody who asks for it does.
        says(&flush(&[id(&waiting[0])]), 0, "1 sent\n");
        assert!(entries("queue").is_empty());
        flush(&["0123456789ab"])
            .expect_status(66)
            .expect_stderr("mailchute: 0123456789ab: no message of this name waits");
    });
}

#[test]
fn a_mended_configuration_counts_at_once() {
    Host::run(&USERS, |host| {
        enqueue(host, 2, "");
        let waiting = entries("queue");
        // Of the relays that the entries name one is left, and then none.
        let server = Server::new().start();
        let relay = format!("[relay.another]\nhost = \"127.0.0.1\"\nport = {}\ntls = \"none\"\n", server.port());
        host.write(CONFIG, &format!("{relay}[log]\nto = [\"{LOGS}\"]\n"), 0o644);
        flush(&[id(&waiting[0])]).expect_status(0);
        // A site that is gone keeps what it sent.
        host.write(CONFIG, &format!("{relay}[site.other]\n[log]\nto = [\"{LOGS}\"]\n"), 0o644);
        let run = flush(&[]);
        run.expect_status(69);
        assert!(run.stderr.contains("site default: is no site of this user any more"), "{}", run.report());
        assert_eq!(entries("queue"), waiting[1..]);
        // Neither has one that is wrong any effect on it.
        host.write(CONFIG, "nonsense", 0o644);
        set_due(&waiting[1], SystemTime::now());
        flush(&[]).expect_status(78);
        host.write(CONFIG, &relay, 0o644);
        says(&flush(&[]), 0, "1 sent\n");
        assert_eq!(server.finish().iter().map(|session| session.deliveries.len()).sum::<usize>(), 2);
    });
}

#[test]
fn what_may_have_been_accepted_is_held_or_sent_again_as_the_site_says() {
    Host::run(&USERS, |host| {
        // The mark stands while the reply is waited for, whatever becomes of this process.
        enqueue(host, 2, "");
        let server = Server::new().at(Moment::Message, Action::Hang).start();
        prepare(host, server.port(), "");
        let running = flusher(&[]).spawn();
        server.wait_until_hanging();
        let first =
            entries("queue").into_iter().find(|entry| fs::read_to_string(entry).unwrap().contains("begun")).unwrap();
        says(&flush(&[]), 0, "another process is sending what waits for this user\n");
        kill(Pid::from_raw(running.id().cast_signed()), Signal::SIGKILL).unwrap();
        running.finish();
        drop(server.finish());

        let server = Server::new().start();
        prepare(host, server.port(), "");
        let run = flush(&[]);
        says(&run, 79, "1 sent, 1 held, in doubt\n");
        assert!(run.stderr.contains("so it may have been accepted: held"), "{}", run.report());
        assert_eq!((entries("queue").len(), entries("held").len(), id(&entries("held")[0])), (0, 1, id(&first)));
        assert_eq!(records(id(&first)).last().unwrap()["exit"], 79);
        assert_eq!(server.finish()[0].deliveries.len(), 1);

        for (top, status, folder) in [("", 79, "held"), ("in_doubt = \"retry\"", 0, "none")] {
            enqueue(host, 1, top);
            let entry = entries("queue").remove(0);
            append(&entry, r#"{"event":"begun","t":1795000000,"relay":"main"}"#);
            set_due(&entry, SystemTime::now());
            let server = Server::new().start();
            prepare(host, server.port(), top);
            says(&flush(&["-q"]), status, "");
            assert_eq!(entries(folder).iter().any(|held| id(held) == id(&entry)), status == 79);
            assert_eq!(server.finish().len(), usize::from(status == 0));
        }

        // Nobody answers after the last octet.
        enqueue(host, 1, "");
        let server = Server::new().at(Moment::Message, Action::Close).start();
        prepare(host, server.port(), "");
        flush(&[]).expect_status(79);
        drop(server.finish());
        assert!(entries("queue").is_empty() && entries("held").len() == 3);
    });
}

/// Resend knows the key, so whatever the site wants of a doubt there is none: the answer is asked for.
#[test]
fn a_key_tells_what_became_of_a_message() {
    let resend = || Server::new().login("resend", "re_secret", &["PLAIN"]);
    let key = |delivery: &Delivery| {
        let text = delivery.text();
        let line = text.lines().find_map(|line| line.strip_prefix("Resend-Idempotency-Key: "));
        line.unwrap_or_else(|| panic!("no key in {text}")).to_owned()
    };
    let configured = |host: &Host<'_>, server: &Server, in_doubt: &str| {
        prepare(host, server.port(), "");
        let top = format!("on_relay_failure = \"spool\"\nin_doubt = \"{in_doubt}\"");
        let relay = format!(
            "[relay.main]\nprovider = \"resend\"\nhost = \"127.0.0.1\"\nport = {}\ntls = \"none\"\npassword = \"re_secret\"",
            server.port()
        );
        host.write(CONFIG, &format!("{top}\n{relay}\n[log]\nto = [\"{LOGS}\"]\n"), 0o644);
    };
    Host::run(&USERS, |host| {
        // The caller's own try was left in doubt, and the flush asks for its answer.
        let doubtful = resend().at(Moment::Message, Action::Close).start();
        configured(host, &doubtful, "retry");
        mailchute().uid(SHOP).args(["-t", "-i"]).stdin(MESSAGE).run().expect_status(0);
        let waiting = entries("queue").remove(0);
        set_due(&waiting, SystemTime::now());
        let server = resend().start();
        configured(host, &server, "report");
        says(&flush(&[]), 0, "1 sent\n");
        let first = key(&doubtful.finish()[0].deliveries[0]);
        assert_eq!(key(&server.finish()[0].deliveries[0]), first);
        let told = records(id(&waiting));
        assert!(told.iter().all(|record| record["key"] == first), "{told:?}");
        assert!(entries("queue").is_empty() && entries("held").is_empty());

        // A flush was ended in the middle of it.
        let busy = resend().reply(Moment::Mail, "451 4.3.0 later").start();
        configured(host, &busy, "report");
        mailchute().uid(SHOP).args(["-t", "-i"]).stdin(MESSAGE).run().expect_status(0);
        drop(busy.finish());
        let server = resend().start();
        configured(host, &server, "report");
        let waiting = entries("queue").remove(0);
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
        append(&waiting, &format!("{{\"event\":\"keyed\",\"t\":{now},\"key\":\"kept\"}}"));
        append(&waiting, &format!("{{\"event\":\"begun\",\"t\":{now},\"relay\":\"main\"}}"));
        set_due(&waiting, SystemTime::now());
        says(&flush(&[]), 0, "1 sent\n");
        assert_eq!(key(&server.finish()[0].deliveries[0]), "kept");

        // One that Resend has forgotten tells nothing.
        let busy = resend().reply(Moment::Mail, "451 4.3.0 later").start();
        configured(host, &busy, "report");
        mailchute().uid(SHOP).args(["-t", "-i"]).stdin(MESSAGE).run().expect_status(0);
        drop(busy.finish());
        let server = resend().start();
        configured(host, &server, "report");
        let waiting = entries("queue").remove(0);
        let long_ago = now - 24 * 3600;
        append(&waiting, &format!("{{\"event\":\"keyed\",\"t\":{long_ago},\"key\":\"kept\"}}"));
        append(&waiting, &format!("{{\"event\":\"begun\",\"t\":{long_ago},\"relay\":\"main\"}}"));
        set_due(&waiting, SystemTime::now());
        assert_eq!(flush(&[]).status, 79);
        assert_eq!((entries("held").len(), server.finish().len()), (1, 0));
    });
}

#[test]
fn what_is_accepted_is_not_sent_again_and_what_is_refused_is_given_up() {
    Host::run(&USERS, |host| {
        enqueue(host, 2, "");
        let waiting = entries("queue");
        append(&waiting[0], r#"{"event":"begun","t":1795000000,"relay":"main"}"#);
        append(
            &waiting[0],
            r#"{"event":"end","t":1795000001,"relay":"main","result":"accepted","code":250,"text":"ok"}"#,
        );
        let server = Server::new().reply(Moment::Rcpt, "550 5.1.1 no such user").start();
        prepare(host, server.port(), "bounce = false");
        let run = flush(&[]);
        says(&run, 0, "1 sent, 1 given up\n");
        assert!(run.stderr.contains("550 5.1.1 no such user"), "{}", run.report());
        assert_eq!((entries("queue").len(), id(&entries("failed")[0])), (0, id(&waiting[1])));
        assert_eq!(server.finish().len(), 1);
    });
}

/// Waits for the next step of the file system's clock behind the last change of `path`: what changes in the step in which
/// a run begins is told of by the next run, too.
fn pass_the_step_of(path: &Path) {
    let changed = |metadata: Metadata| (metadata.ctime(), metadata.ctime_nsec());
    let file = tempfile::tempfile().unwrap();
    while changed(file.metadata().unwrap()) <= changed(fs::symlink_metadata(path).unwrap()) {
        file.set_permissions(Permissions::from_mode(0o600)).unwrap();
        std::thread::yield_now();
    }
}

#[test]
fn what_was_never_finished_is_cleared_away_after_an_hour() {
    Host::run(&USERS, |host| {
        enqueue(host, 1, "");
        let entry = entries("queue").remove(0);
        let whole = fs::read(&entry).unwrap();
        let (torn, recent) = (entry.with_file_name("aaaaaaaaaaaa"), entry.with_file_name("bbbbbbbbbbbb"));
        let (newer, linked) = (entry.with_file_name("cccccccccccc"), entry.with_file_name("dddddddddddd"));
        for (path, octets) in [(&torn, &whole[..100]), (&recent, &whole[..100]), (&newer, b"mailchute spool 2\n..")] {
            fs::write(path, octets).unwrap();
            std::os::unix::fs::chown(path, Some(SHOP), Some(SHOP)).unwrap();
        }
        set_due(&torn, SystemTime::now() - Duration::from_secs(3700));
        fs::write(&linked, &whole).unwrap();
        let server = Server::new().start();
        prepare(host, server.port(), "");
        pass_the_step_of(&linked);
        let run = flush(&[]);
        says(&run, 69, "1 sent, 2 left to the next flush\n");
        for told in ["was never finished", "a newer version", "cannot be read: Permission denied"] {
            assert!(run.stderr.contains(told), "{}", run.report());
        }
        let left = [&torn, &recent, &newer, &linked].map(|path| path.exists());
        assert_eq!(left, [false, true, true, true]);
        // What somebody else laid there is told of once, and again when it has changed.
        for (change, is_told) in [(false, false), (true, true), (false, false)] {
            if change {
                fs::set_permissions(&linked, Permissions::from_mode(0o640)).unwrap();
                pass_the_step_of(&linked);
            }
            let run = flush(&[]);
            says(&run, 69, "1 left to the next flush\n");
            assert_eq!(run.stderr.contains("cannot be read: Permission denied"), is_told, "{}", run.report());
        }
        assert_eq!(server.finish()[0].deliveries.len(), 1);
    });
}

#[test]
fn root_sends_for_all_by_a_process_of_each() {
    Host::run(&USERS, |host| {
        enqueue(host, 1, "");
        mailchute().uid(OTHER).args(["-t", "-i"]).stdin(MESSAGE).run().expect_status(0);
        for entry in fs::read_dir(format!("{SPOOL}/{OTHER}/queue")).unwrap() {
            set_due(&entry.unwrap().path(), SystemTime::now());
        }
        let all = |uid: Option<u32>| {
            let root = mailchute().args(["queue", "flush", "--all"]);
            match uid {
                Some(uid) => root.uid(uid).run(),
                None => root.run(),
            }
        };
        all(Some(SHOP)).expect_status(77);
        // What a neighbour laid where root looks is opened by its owner's process alone.
        std::os::unix::fs::symlink("/etc/shadow", format!("{SPOOL}/{SHOP}/queue/eeeeeeeeeeee")).unwrap();
        let server = Server::new().start();
        prepare(host, server.port(), "");
        let run = all(None);
        run.expect_status(0);
        assert!(run.stdout.contains(&format!("uid {SHOP}: 1 sent\n")), "{}", run.report());
        assert!(run.stdout.contains(&format!("uid {OTHER}: 1 sent\n")), "{}", run.report());
        assert_eq!(server.finish().iter().map(|session| session.deliveries.len()).sum::<usize>(), 2);
        for (user, uid) in USERS {
            let log = fs::read_to_string(log_of(user)).unwrap();
            let is_its = |line: &&str| line.contains(&format!("\"uid\":{uid},")) && line.contains("\"code\":250");
            assert_eq!(log.lines().filter(is_its).count(), 1, "{log}");
        }
    });
}

#[test]
fn a_quiet_run_for_all_says_what_is_broken_and_nothing_of_what_waits() {
    Host::run(&USERS, |host| {
        enqueue(host, 1, "");
        let all = |words: &[&str]| mailchute().args(words.iter().copied()).run();
        let quiet: [&[&str]; 2] = [&["queue", "flush", "--all", "--quiet"], &["-q"]];
        for words in quiet {
            make_due();
            let run = all(words);
            run.expect_status(69);
            assert_eq!((run.stdout.as_str(), run.stderr.as_str()), ("", ""), "{words:?}");
        }
        // The file that is named is the one that every user's process reads.
        let good = fs::read_to_string(CONFIG).unwrap();
        let (other, server) = ("/etc/mailchute/other.toml", Server::new().start());
        configure(host, "on_relay_failure = \"spool\"", server.port());
        fs::rename(CONFIG, other).unwrap();
        host.write(CONFIG, "nonsense = 1\n", 0o644);
        make_due();
        for words in quiet {
            let run = all(words);
            run.expect_status(78);
            let told = format!("mailchute: uid {SHOP}: {CONFIG}:1: ");
            assert!(run.stdout.is_empty() && run.stderr.starts_with(&told), "{}", run.report());
            assert!(run.stderr.lines().skip(1).all(|line| line.starts_with("hint: ")), "{}", run.report());
        }
        let run = all(&["--config", other, "queue", "flush", "--all"]);
        says(&run, 0, &format!("uid {SHOP}: 1 sent\n"));
        assert_eq!(server.finish().iter().map(|session| session.deliveries.len()).sum::<usize>(), 1);
        // A spool that cannot be looked after is told of as well.
        host.write(CONFIG, &good, 0o644);
        let lock = format!("{SPOOL}/{SHOP}/flush.lock");
        let _ = fs::remove_file(&lock);
        fs::create_dir(&lock).unwrap();
        fs::write(format!("{SPOOL}/{SHOP}/queue/eeeeeeeeeeee"), "").unwrap();
        let run = all(quiet[0]);
        assert!(![0, 69, 79].contains(&run.status), "{}", run.report());
        let told = format!("mailchute: uid {SHOP}: {lock}: ");
        assert!(run.stdout.is_empty() && run.stderr.starts_with(&told), "{}", run.report());
    });
}

#[test]
fn a_run_for_all_says_that_nobody_keeps_the_ends_of_its_processes() {
    if need("perl").is_none() {
        return;
    }
    Host::run(&USERS, |host| {
        enqueue(host, 1, "");
        let server = Server::new().start();
        prepare(host, server.port(), "");
        let all = mailchute().args(["queue", "flush", "--all", "--quiet"]);
        let run = all.under("perl", &["-e", "$SIG{CHLD} = 'IGNORE'; exec @ARGV"]).run();
        run.expect_status(71);
        let told = format!("mailchute: uid {SHOP}: nobody knows how the process that sends what waits ended: ");
        assert!(run.stderr.starts_with(&told), "{}", run.report());
        assert_eq!(server.finish()[0].deliveries.len(), 1);
    });
}

#[test]
fn a_unit_that_leaves_root_few_rights_sends_all_the_same() {
    Host::run(&USERS, |host| {
        let unit = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/units/mailchute-flush.service");
        let unit = fs::read_to_string(unit).unwrap();
        let set = unit.lines().find_map(|line| line.strip_prefix("CapabilityBoundingSet=")).expect("a bounding set");
        let of_unit: Vec<String> =
            set.split(' ').map(|name| format!("+{}", name.trim_start_matches("CAP_").to_lowercase())).collect();
        // Another user has had something waiting: the rights of the unit tell that nothing does now.
        let empty = format!("uid {OTHER}: nothing is due\n");
        for (rights, besides) in [("+setuid,+setgid".to_owned(), empty.as_str()), (of_unit.join(","), "")] {
            let _ = fs::remove_dir_all(SPOOL);
            enqueue(host, 1, "");
            for directory in [format!("{SPOOL}/{OTHER}"), format!("{SPOOL}/{OTHER}/queue")] {
                fs::create_dir(&directory).unwrap();
                std::os::unix::fs::chown(&directory, Some(OTHER), Some(OTHER)).unwrap();
                fs::set_permissions(&directory, Permissions::from_mode(0o700)).unwrap();
            }
            let server = Server::new().start();
            prepare(host, server.port(), "");
            let run = mailchute()
                .args(["queue", "flush", "--all"])
                .under("/usr/bin/setpriv", &[&format!("--bounding-set=-all,{rights}"), "--no-new-privs"])
                .run();
            run.expect_status(0);
            let mut lines: Vec<&str> = run.stdout.split_inclusive('\n').collect();
            lines.sort_unstable();
            let mut expected = vec![format!("uid {SHOP}: 1 sent\n"), besides.to_owned()];
            expected.retain(|line| !line.is_empty());
            expected.sort_unstable();
            assert_eq!(lines, expected, "{rights}: {}", run.report());
            assert_eq!(server.finish()[0].deliveries.len(), 1);
        }
    });
}

#[test]
fn what_was_kept_elsewhere_is_sent_too() {
    Host::run(&USERS, |host| {
        // Before there was a place for all, in the home; and while a neighbour had the name.
        enqueue(host, 3, "");
        let [first, second, third] = entries("queue").try_into().unwrap();
        let home = "/home/shop/.local/state/mailchute/spool".to_owned();
        let second_name = format!("{SPOOL}/{SHOP}.1");
        for (place, entry) in [(&home, &first), (&second_name, &second)] {
            for directory in [place.clone(), format!("{place}/queue")] {
                make_own(&directory);
            }
            fs::rename(entry, format!("{place}/queue/{}", id(entry)))
                .or_else(|_| {
                    fs::copy(entry, format!("{place}/queue/{}", id(entry))).and_then(|_| fs::remove_file(entry))
                })
                .unwrap();
        }
        for place in [&home, &second_name] {
            for entry in fs::read_dir(format!("{place}/queue")).unwrap() {
                let path = entry.unwrap().path();
                std::os::unix::fs::chown(&path, Some(SHOP), Some(SHOP)).unwrap();
                set_due(&path, SystemTime::now());
            }
        }
        let server = Server::new().start();
        prepare(host, server.port(), "");
        // Whoever looks after it finds it as well.
        let queue = |words: &[&str]| sender_of(words).run();
        let [first_id, second_id] = [&first, &second].map(|entry| id(entry));
        for words in [&["list"][..], &["list", "--site", "default"]] {
            let list = queue(words);
            let is_listed = |entry: &PathBuf| list.stdout.contains(id(entry));
            assert!([&first, &second, &third].into_iter().all(is_listed), "{}", list.report());
        }
        let numbers = queue(&["list", "--summary", "--json"]);
        assert!(numbers.stdout.contains("\"waiting\":3"), "{}", numbers.report());
        let mailq = mailchute().uid(SHOP).args(["-bp"]).run();
        assert!(mailq.stdout.ends_with(" in 3 Requests.\n"), "{}", mailq.report());
        for elsewhere in [first_id, second_id] {
            queue(&["show", elsewhere]).expect_status(0);
            queue(&["hold", elsewhere]).expect_status(0);
            queue(&["release", elsewhere]).expect_status(0);
            assert_ne!(queue(&["resolve", elsewhere]).status, 66, "it is there, and not in doubt");
        }
        let root = mailchute().args(["queue", "hold", second_id]).run();
        root.expect_status(0);
        queue(&["release", "--site", "default"]).expect_status(0);
        says(&flush(&[first_id]), 0, "1 sent\n");
        // Root's flush comes to all places of a user's, wherever something waits.
        fs::rename(&third, format!("{second_name}/queue/{}", id(&third))).unwrap();
        let run = mailchute().args(["queue", "flush", "--all"]).run();
        assert_eq!(run.stdout, format!("uid {SHOP}: 2 sent\n"), "{}", run.report());
        assert_eq!(server.finish().iter().map(|session| session.deliveries.len()).sum::<usize>(), 3);
        assert!(!third.exists());
    });
}

/// `mailchute queue` as the user.
fn sender_of(words: &[&str]) -> Mailchute {
    mailchute().uid(SHOP).arg("queue").args(words)
}

/// Makes a directory of the user's own, and those above it.
fn make_own(path: &str) {
    let path = Path::new(path);
    let missing: Vec<_> = path.ancestors().take_while(|above| !above.exists()).collect();
    for directory in missing.into_iter().rev() {
        fs::create_dir(directory).unwrap();
        std::os::unix::fs::chown(directory, Some(SHOP), Some(SHOP)).unwrap();
        fs::set_permissions(directory, Permissions::from_mode(0o700)).unwrap();
    }
}

#[test]
fn a_process_that_stays_keeps_nobody_from_sending_now() {
    Host::run(&USERS, |host| {
        enqueue(host, 1, "");
        let entry = entries("queue").remove(0);
        let lock = Path::new(SPOOL).join(SHOP.to_string()).join("stay.lock");
        let stays = flusher(&["--wait", "--quiet"]).spawn();
        // It has made its first run, and sleeps.
        while !(lock.exists() && fs::read_to_string(&entry).unwrap().contains("\"event\":\"end\"") && is_free()) {
            std::thread::yield_now();
        }
        let second = flusher(&["--wait", "--quiet"]).run();
        second.expect_status(0);
        let server = Server::new().start();
        configure(host, "on_relay_failure = \"spool\"", server.port());
        says(&flush(&[id(&entry)]), 0, "1 sent\n");
        assert_eq!(server.finish().len(), 1);
        kill(Pid::from_raw(i32::try_from(stays.id()).unwrap()), Signal::SIGTERM).unwrap();
        stays.finish();
    });
}

#[test]
fn a_person_waits_for_the_end_of_another_run() {
    Host::run(&USERS, |host| {
        enqueue(host, 1, "");
        let entry = entries("queue").remove(0);
        set_due(&entry, SystemTime::now() + Duration::from_secs(3600));
        let server = Server::new().start();
        prepare(host, server.port(), "");
        // Another run is on, and ends as soon as somebody waits for it.
        let lock = host.write_as(&format!("{SPOOL}/{SHOP}/flush.lock"), "", 0o600, (SHOP, SHOP));
        let lock = File::open(lock).unwrap();
        let run = Flock::lock(lock, FlockArg::LockExclusiveNonblock).unwrap();
        says(&flush(&[]), 0, "another process is sending what waits for this user\n");
        let asked = flusher(&[id(&entry)]).spawn();
        let is_reading = || fs::read_dir(format!("/proc/{}/task", asked.id())).is_ok_and(|tasks| tasks.count() > 1);
        while !is_reading() {
            std::thread::yield_now();
        }
        drop(run);
        says(&asked.finish(), 0, "1 sent\n");
        assert_eq!(server.finish()[0].deliveries.len(), 1);
    });
}

#[test]
fn what_has_no_site_any_more_waits_until_its_time_is_up() {
    Host::run(&USERS, |host| {
        enqueue(host, 1, "");
        let entry = entries("queue").remove(0);
        let id = id(&entry).to_owned();
        let server = Server::new().start();
        prepare(host, server.port(), "");
        let config = fs::read_to_string(CONFIG).unwrap();
        host.write(CONFIG, &format!("{config}[site.other]\nuser = {OTHER}\n"), 0o644);
        set_due(&entry, SystemTime::now());
        let run = flush(&[]);
        says(&run, 69, "1 not sent yet\n");
        let why = "is no site of this user any more, so what it sent waits";
        let list = sender_of(&["list", "--json"]).run();
        assert!(list.stdout.contains(why), "{}", list.report());
        // Its time is up: head and checksum are those of an entry whose time was short.
        let spool = mailchute::spool::Spool::at(Path::new(SPOOL).join(SHOP.to_string()), SHOP);
        let folder = mailchute::spool::Folder::Queue;
        let (old, message) = spool.look_into(folder, &id).unwrap();
        let over = mailchute::spool::Head { id: "0123456789ab".into(), until: old.head.created, ..old.head };
        spool.enqueue(folder, &over, &message, SystemTime::now()).unwrap();
        let late = entry.with_file_name("0123456789ab");
        std::os::unix::fs::chown(&late, Some(SHOP), Some(SHOP)).unwrap();
        let run = flush(&[]);
        says(&run, 0, "1 given up\n");
        assert!(run.stderr.contains(why) && run.stderr.contains("its time is up: given up"), "{}", run.report());
        assert_eq!(entries("failed").len(), 1);
        assert!(entry.exists(), "the other has time left");
        let shown = sender_of(&["show", "0123456789ab"]).run();
        assert!(shown.stdout.contains("failed") && shown.stdout.contains(why), "{}", shown.report());
        assert!(server.finish().is_empty());
    });
}

/// Whether nobody is flushing.
fn is_free() -> bool {
    let lock = Path::new(SPOOL).join(SHOP.to_string()).join("flush.lock");
    let Ok(file) = File::open(lock) else { return false };
    Flock::lock(file, FlockArg::LockExclusiveNonblock).is_ok()
}

#[test]
fn where_nobody_flushes_the_process_that_spooled_sees_to_it() {
    Host::run(&USERS, |host| {
        const SAID: &str = "S: 220 mx\nC: EHLO *\nS: 250 mx\nC: MAIL *\n";
        let script = format!(
            "S: 421 4.3.2 not now\n--\n{SAID}S: 250 ok\nC: RCPT *\nS: 250 ok\nC: DATA\nS: 354 go\ndata\nS: 250 ok\nC: QUIT\n"
        );
        let script = Script::play(&script, Identity::Good);
        prepare(host, script.port(), "");
        fs::remove_file("/etc/cron.d/mailchute").unwrap();
        // Its caller, who reads to the end of standard error, does not wait for that.
        mailchute().uid(SHOP).args(["-t", "-i"]).stdin(MESSAGE).run().expect_status(0);
        let mut messages = 0;
        while messages == 0 {
            // The play goes on by itself; the lock is let go when the queue is empty.
            messages = usize::from(entries("queue").is_empty());
            std::thread::yield_now();
        }
        let heard = script.finish();
        assert_eq!((heard.messages.len(), heard.complaints.as_slice()), (1, &[] as &[String]));
        assert!(entries("queue").is_empty());
    });
}
