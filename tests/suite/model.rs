//! Histories of relays' moods, as the model of the walk has them (`src/submit/tests/model.rs`), with real processes and
//! relays that play their moods: held against the same reference.

use std::fs::{self, Permissions};
use std::io::{self, BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use testkit::{Host, Mailchute, PATIENCE, Run};

use crate::never_lost::{SHOP, SPOOL, USERS, files, message, prepare, tell};
use crate::setup::mailchute;

#[path = "../../src/submit/tests/reference.rs"]
mod reference;

use self::reference::Mood::{Accepts, Away, Busy, DefersRecipient, Doubtful, LoginRefused, RefusesRecipient, Unset};
use self::reference::{MOODS, Mood, Numbers, RELAYS, Reference, Seen, Sent};

/// How many there are.
const HISTORIES: usize = 500;
/// How many hosts they have.
const HOSTS: usize = 4;
/// The time from one message to the next, in seconds: none, or more than anything is remembered for.
const GAPS: [i64; 4] = [0, 0, 0, 3600];
/// A history that takes longer than this, on a machine that has much else to do, is told once more: in it time passes by
/// itself.
const LONGEST: Duration = Duration::from_secs(12);
const STATE: &str = "/var/lib/mailchute/state";
const LOG: &str = "/var/log/shop.log";

/// Where a connection waits until another message was sent.
type Gate = (Sender<()>, Receiver<()>);

/// What the relays of a host have in common.
struct Relays {
    moods: Mutex<[Mood; RELAYS]>,
    gate: Mutex<Option<Gate>>,
    is_over: AtomicBool,
    ports: [u16; RELAYS],
}

impl Relays {
    fn start() -> Arc<Self> {
        let listeners = [(); RELAYS].map(|()| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap());
        let this = Arc::new(Self {
            moods: Mutex::new([Accepts; RELAYS]),
            gate: Mutex::default(),
            is_over: AtomicBool::new(false),
            ports: listeners.each_ref().map(|listener| listener.local_addr().unwrap().port()),
        });
        for (number, listener) in listeners.into_iter().enumerate() {
            let this = Arc::clone(&this);
            thread::spawn(move || {
                while let Ok((stream, _)) = listener.accept() {
                    if this.is_over.load(Ordering::SeqCst) {
                        break;
                    }
                    let this = Arc::clone(&this);
                    thread::spawn(move || this.meet(number, &stream));
                }
            });
        }
        this
    }

    fn meet(&self, number: usize, stream: &TcpStream) -> io::Result<()> {
        stream.set_read_timeout(Some(PATIENCE))?;
        let gate = self.gate.lock().unwrap().take();
        if let Some((has_come, may_go)) = gate {
            let _ = has_come.send(());
            let _ = may_go.recv_timeout(PATIENCE);
        }
        let mood = self.moods.lock().unwrap()[number];
        play(mood, stream)
    }

    fn stop(&self) {
        self.is_over.store(true, Ordering::SeqCst);
        for port in self.ports {
            let _ = TcpStream::connect((Ipv4Addr::LOCALHOST, port));
        }
    }
}

/// One session of a relay in this mood.
fn play(mood: Mood, stream: &TcpStream) -> io::Result<()> {
    let (mut reader, mut writer) = (BufReader::new(stream), stream);
    let mut say = |reply: &str| writer.write_all(format!("{reply}\r\n").as_bytes());
    match mood {
        // As near as a relay comes to that whose port is to stay its own.
        Away => return Ok(()),
        Busy => return say("421 4.3.2 not now"),
        _ => say("220 mx")?,
    }
    let mut is_in_message = false;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let verb = line.split([' ', '\r']).next().unwrap_or_default().to_ascii_uppercase();
        let reply = match (is_in_message, verb.as_str(), mood) {
            (true, ".", Doubtful) => return Ok(()),
            (true, ".", _) => "250 2.0.0 ok",
            (true, ..) => continue,
            (_, "EHLO", _) => "250-mx\r\n250-ENHANCEDSTATUSCODES\r\n250 AUTH PLAIN",
            (_, "AUTH", LoginRefused) => "535 5.7.8 no",
            (_, "AUTH", _) => "235 2.7.0 ok",
            (_, "RCPT", DefersRecipient) => "450 4.2.1 later",
            (_, "RCPT", RefusesRecipient) => "550 5.1.1 no such user",
            (_, "DATA", _) => "354 go",
            (_, "QUIT", _) => return say("221 2.0.0 bye"),
            _ => "250 2.0.0 ok",
        };
        is_in_message = reply.starts_with("354");
        say(reply)?;
    }
}

/// The name of the site of a message.
fn site(sent: &Sent) -> String {
    let route: String = sent.route.iter().map(ToString::to_string).collect();
    format!("s{route}{}{}", u8::from(sent.spools), u8::from(sent.retries))
}

/// A site for every route and each manner to deal with what fails: one file, as a relay of another is another relay.
fn configuration(ports: [u16; RELAYS]) -> String {
    let mut text = String::new();
    for (number, port) in ports.iter().enumerate() {
        text += &format!("[relay.r{number}]\nhost = \"127.0.0.1\"\nport = {port}\ntls = \"none\"\n");
        text += "username = \"shop\"\npassword = \"secret\"\n";
    }
    let flags = [(false, false), (false, true), (true, false), (true, true)];
    for (first, length, (spools, retries)) in (0..RELAYS)
        .flat_map(|first| (1..=RELAYS).map(move |length| (first, length)))
        .flat_map(|(first, length)| flags.map(|flags| (first, length, flags)))
    {
        let route: Vec<usize> = (0..length).map(|at| (first + at) % RELAYS).collect();
        let names: Vec<String> = route.iter().map(|relay| format!("\"r{relay}\"")).collect();
        let sent = Sent {
            after: 0,
            route,
            moods: [Accepts; RELAYS],
            retries,
            spools,
            meanwhile: None,
            due_first: None.into(),
        };
        text += &format!("[site.{}]\nrelay = [{}]\n", site(&sent), names.join(", "));
        text += if spools { "on_relay_failure = \"spool\"\n" } else { "" };
        text += if retries { "in_doubt = \"retry\"\n" } else { "" };
    }
    text + &format!("[log]\nto = [\"{LOG}\"]\n")
}

/// What of a history of the model a real relay can play.
fn history(number: u64) -> Vec<Sent> {
    let moods: Vec<Mood> = MOODS.into_iter().filter(|mood| *mood != Unset).collect();
    let mut numbers = Numbers(number);
    let mut all: Vec<Sent> = (0..2 + numbers.below(6)).map(|_| numbers.message(true, &moods, &GAPS)).collect();
    for sent in &mut all {
        sees_to_be_remembered(sent);
        if let Some(other) = &mut sent.meanwhile {
            other.after = 0;
            sees_to_be_remembered(other);
        }
    }
    all
}

/// A site with one relay that keeps nothing remembers nothing.
fn sees_to_be_remembered(sent: &mut Sent) {
    sent.spools |= sent.route.len() == 1;
}

/// One host, on which one history is told after the other.
struct World<'a> {
    relays: &'a Relays,
    seen: Vec<Seen>,
    kept: usize,
}

impl World<'_> {
    fn call(sent: &Sent) -> Mailchute {
        mailchute().uid(SHOP).args(["--site", &site(sent), "-t", "-i"]).stdin(message("a@model.example"))
    }

    fn send(&mut self, sent: &Sent) {
        if sent.after > 0 {
            pass(sent.after);
        }
        *self.relays.moods.lock().unwrap() = sent.moods;
        let run = match &sent.meanwhile {
            None => Self::call(sent).run(),
            Some(other) => {
                let (has_come, comes) = mpsc::channel();
                let (go, may_go) = mpsc::channel();
                *self.relays.gate.lock().unwrap() = Some((has_come, may_go));
                let running = Self::call(sent).spawn();
                comes.recv_timeout(PATIENCE).expect("a connection");
                self.send(other);
                *self.relays.moods.lock().unwrap() = sent.moods;
                let _ = go.send(());
                running.finish()
            }
        };
        self.note(sent, &run);
    }

    fn note(&mut self, sent: &Sent, run: &Run) {
        let log = fs::read_to_string(LOG).unwrap();
        let record: serde_json::Value = serde_json::from_str(log.lines().last().expect("a record")).unwrap();
        let tries = record["tries"].as_array().expect("tries");
        let tried: Vec<usize> = tries.iter().map(|one| one["relay"].as_str().unwrap()[1..].parse().unwrap()).collect();
        sent.due_first.set(tried.last().copied());
        let kept = files("queue").len();
        let status = u8::try_from(run.status).unwrap_or_else(|_| panic!("{}", run.report()));
        self.seen.push((tried, status, kept > self.kept));
        self.kept = kept;
    }
}

/// CRC-32 (ISO 3309).
fn crc32(octets: &[u8]) -> u32 {
    let bit = |crc: u32, _| if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 };
    !octets.iter().fold(u32::MAX, |crc, octet| (0..8).fold(crc ^ u32::from(*octet), bit))
}

/// Where relays are remembered: slots of 64 octets, as the program describes them.
fn page() -> String {
    format!("{STATE}/{SHOP}/relays")
}

/// Lets everything that is remembered be so many seconds older.
fn pass(seconds: i64) {
    let Ok(mut page_now) = fs::read(page()) else { return };
    for slot in page_now.chunks_exact_mut(64).filter(|slot| slot[16] == 1) {
        for at in [24, 32, 40, 48] {
            let time = u64::from_le_bytes(slot[at..at + 8].try_into().unwrap());
            let before = time.saturating_sub(seconds.unsigned_abs() * 1000);
            slot[at..at + 8].copy_from_slice(&before.to_le_bytes());
        }
        let crc = crc32(&slot[..60]);
        slot[60..].copy_from_slice(&crc.to_le_bytes());
    }
    // Over what is there, which is the same file then.
    let mut file = fs::OpenOptions::new().write(true).open(page()).unwrap();
    file.write_all(&page_now).unwrap();
}

/// How many relays are remembered as down, whether or not they are due.
fn down() -> usize {
    let page = fs::read(page()).unwrap_or_default();
    page.chunks_exact(64).filter(|slot| slot[16] == 1 && slot[22] > 0).count()
}

/// Tells a history: the messages that were sent.
fn told(number: usize, relays: &Relays) -> usize {
    for _ in 0..5 {
        let _ = fs::remove_dir_all(format!("{STATE}/{SHOP}"));
        let _ = fs::remove_dir_all(format!("{SPOOL}/{SHOP}"));
        fs::write(LOG, "").unwrap();
        let history = history(number as u64);
        let mut world = World { relays, seen: Vec::new(), kept: 0 };
        let begun = Instant::now();
        for sent in &history {
            world.send(sent);
        }
        if begun.elapsed() > LONGEST {
            continue;
        }
        let now = 1_700_000_000_000;
        let mut reference = Reference { now, relays: Default::default(), seen: Vec::new(), takes: |_| 1 };
        history.iter().for_each(|sent| reference.send(sent));
        assert_eq!(world.seen, reference.seen, "history {number}: {history:#?}");
        let expected = reference.relays.iter().filter(|known| known.opened > 0).count();
        assert_eq!(down(), expected, "history {number}: {history:#?}");
        return world.seen.len();
    }
    panic!("history {number} takes too long each time");
}

#[test]
fn relays_are_tried_by_real_processes_as_the_reference_has_it() {
    let (next, messages) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let work = || {
        Host::run(&USERS, |host| {
            prepare(host, 1, "");
            for above in ["/var/lib/mailchute", STATE] {
                fs::create_dir(above).unwrap();
            }
            fs::set_permissions(STATE, Permissions::from_mode(0o1733)).unwrap();
            let relays = Relays::start();
            host.write("/etc/mailchute/config.toml", &configuration(relays.ports), 0o644);
            loop {
                let number = next.fetch_add(1, Ordering::SeqCst);
                if number >= HISTORIES {
                    break;
                }
                messages.fetch_add(told(number, &relays), Ordering::SeqCst);
            }
            relays.stop();
        });
    };
    thread::scope(|scope| (0..HOSTS).for_each(|_| drop(scope.spawn(work))));
    let messages = messages.load(Ordering::SeqCst);
    tell(format!("{HISTORIES} histories with real processes: {messages} messages, each as the reference has it"));
}
