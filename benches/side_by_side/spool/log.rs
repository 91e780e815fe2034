//! A million records: finding one again, and making figures of all, beside grep, jq and journalctl.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{BufWriter, Write as _};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::{Ground, judged, laid_out, median};
use crate::launcher::{Copies, Program, measure};

/// Where the records are.
const PLACE: &str = "/var/log/mailchute";
/// What a file has before it gets a number, in octets.
const SEGMENT: u64 = 64 << 20;
/// The journal has this part of the records: it takes half a minute for a hundred thousand.
const OF_JOURNAL: usize = 20;
const JOURNALD: &str = "/lib/systemd/systemd-journald";
const SOCKET: &str = "/run/systemd/journal/socket";

pub(super) fn fill(ground: &Ground<'_>) -> Result<String> {
    let (count, rounds) = if ground.quick { (50_000, 3) } else { (1_000_000, 7) };
    eprintln!("log: writing {count} records");
    let octets = write(count)?;
    let nothing = ground.dir.join("nothing");
    fs::write(&nothing, "")?;
    let mut lines = vec![["", "seconds", "CPU ms", "peak MB"].map(str::to_owned).to_vec()];
    let mut row = |name: &str, words: &[&str], rounds: usize| -> Result<(f64, f64)> {
        eprintln!("log: {name}");
        let program = Program { argv: words.iter().map(Into::into).collect(), env: Vec::new() };
        let (mut walls, mut cpu, mut peak) = (Vec::new(), Vec::new(), 0.0_f64);
        // The first is for the cache.
        for round in 0..=rounds {
            let usage = measure(&program, Copies::AtOnce(1), &nothing)?;
            ensure!(usage.failed == 0, "{name}: {}", usage.stderr);
            if round > 0 {
                walls.push(usage.wall.as_secs_f64());
                cpu.push(usage.cpu.as_secs_f64() * 1e3);
                peak = peak.max(usage.peak as f64 / 1e6);
            }
        }
        let wall = median(walls);
        lines.push(vec![name.to_owned(), format!("{wall:.3}"), format!("{:.0}", median(cpu)), format!("{peak:.1}")]);
        Ok((wall, peak))
    };
    let ours = env!("CARGO_BIN_EXE_mailchute");
    let (mut slowest, mut most) = (0.0_f64, 0.0_f64);
    for words in [
        &["to:ann77@"][..],
        &["from:orders@site7.example", "status:refused"],
        &["to:customer512.example"],
        &["status:failed"],
        &["status:550", "-n", "100"],
        &["relay:backup", "-n", "100"],
        &["site:site7", "-n", "100"],
        &["id:00000000002a"],
        &["message-id:<00002a@site"],
        &["greylisted", "-n", "100"],
        &["larger:70K", "-n", "100"],
    ] {
        let argv = [&[ours, "log", "--json"], words].concat();
        let (wall, peak) = row(&format!("mailchute log {}", words.join(" ")), &argv, rounds)?;
        (slowest, most) = (slowest.max(wall), most.max(peak));
    }
    let recent = row("mailchute log --since 1h", &[ours, "log", "--json", "--since", "1h"], rounds)?;
    let figures = row("mailchute log --summary", &[ours, "log", "--summary"], rounds)?;
    most = most.max(figures.1).max(recent.1);
    let shell = |line: &str| ["/bin/sh".to_owned(), "-c".to_owned(), line.to_owned()];
    for (name, line, rounds) in [
        ("grep -F ann77@", "grep -hF ann77@ /var/log/mailchute/*", rounds),
        ("grep -iF ann77@", "grep -hiF ann77@ /var/log/mailchute/*", rounds.min(3)),
        ("jq select(.to[] ...)", "jq -c 'select(any(.to[]; startswith(\"ann77@\")))' /var/log/mailchute/0.log", 1),
        ("jq, counts by site", "jq -r .site /var/log/mailchute/0.log | sort | uniq -c", 1),
    ] {
        let line = shell(line);
        row(name, &line.iter().map(String::as_str).collect::<Vec<_>>(), rounds)?;
    }
    if let Some(mut journal) = Journal::start()? {
        let of = count / OF_JOURNAL;
        eprintln!("log: the journal takes {of} of them");
        journal.take(of)?;
        for (name, line) in [
            ("journalctl | grep", "journalctl -q -t mailchute -o cat --no-pager | grep -F ann77@ || :"),
            ("journalctl MAILCHUTE_SITE=", "journalctl -q -o cat --no-pager MAILCHUTE_SITE=site7 >/dev/null"),
        ] {
            let line = shell(line);
            row(&format!("{name} (of {of})"), &line.iter().map(String::as_str).collect::<Vec<_>>(), 1)?;
        }
        journal.stop();
    }
    let mut text = laid_out(&format!("{count} records, {} MB (log); jq reads the last 64 MB", octets >> 20), &lines);
    text += &judged("every single filter in 0.3 s", Some(slowest < 0.3));
    text += &judged("--summary in 0.8 s", Some(figures.0 < 0.8));
    text += &judged("--since 1h in 20 ms", Some(recent.0 < 0.02));
    text += &judged("in 10 MB", Some(most <= 10.0));
    Ok(text)
}

/// A record of about 2 KB.
fn record(number: usize, count: usize, now: jiff::Timestamp) -> String {
    // Like random, and the same each time.
    let roll = |salt: u64, sides: u64| {
        let mut mixed = ((number as u64) << 8 | salt).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        mixed = (mixed ^ mixed >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        (mixed ^ mixed >> 32) % sides
    };
    let age = jiff::SignedDuration::from_millis(((count - number) as i64) * (90 * 86_400_000 / count as i64));
    let time = now.checked_sub(age).unwrap_or(now);
    let site = format!("site{}", roll(1, 40));
    let relay = if roll(2, 20) == 0 { "backup" } else { "main" };
    let (status, code, text, exit) = match roll(3, 100) {
        0 => ("failed", 0, "smtp.example.net: connection refused", 69),
        1..=2 => ("refused", 550, "no such user here", 150),
        3..=5 => ("deferred", 451, "greylisted, try again later", 51),
        _ => ("accepted", 250, "queued as 4F2A1", 0),
    };
    let name = ["ann", "bob", "carol", "dave", "erin", "frank"][usize::try_from(roll(4, 6)).unwrap_or(0)];
    let mut line = format!(
        "{{\"v\":1,\"time\":\"{time:.3}\",\"id\":\"{number:012x}\",\"status\":\"{status}\",\"by\":\"relay\",\"site\":\"{site}\",\"uid\":0,\
         \"user\":\"root\",\"cwd\":\"/srv/www/{site}/htdocs\",\"parent\":\"php-fpm8.2\",\"unit\":\"php8.2-fpm.service\",\
         \"pool\":\"{site}\",\"script\":\"/srv/www/{site}/htdocs/wp-includes/PHPMailer/PHPMailer.php\",\
         \"argv\":[\"sendmail\",\"-t\",\"-i\"],\"relay\":\"{relay}\",\"provider\":\"postmark\",\"from\":\"orders@{site}.example\",\
         \"to\":[\"{name}{}@customer{}.example\"],\"message_id\":\"<{number:06x}@{site}.example>\",\"size\":{},",
        roll(5, 100_000),
        roll(6, 1000),
        900 + roll(7, 80_000),
    );
    if code > 0 {
        let _ = write!(line, "\"code\":{code},\"enhanced\":\"{}.7.1\",", code / 100);
    }
    let _ = write!(
        line,
        "\"text\":\"{text}\",\"stage\":\"message\",\"tls\":\"TLSv1.3 TLS13_AES_256_GCM_SHA384\",\"tries\":[{{\"relay\":\"{relay}\",\"text\":\"{text}\",\"ms\":80}}],\"repairs\":["
    );
    for part in 0..16 {
        let _ = write!(
            line,
            "{}\"a body line of more than 998 octets in part {part} was re-encoded as its relay needs it\"",
            if part > 0 { "," } else { "" }
        );
    }
    let _ = writeln!(line, "],\"ms\":{},\"exit\":{exit}}}", 80 + roll(8, 1400));
    line
}

/// Writes `count` records of the last ninety days, the newest into the file without a number.
fn write(count: usize) -> Result<u64> {
    fs::create_dir_all(PLACE)?;
    let now = jiff::Timestamp::now();
    let length = record(0, count, now).len() as u64;
    let per_file = usize::try_from(SEGMENT / length)?;
    let files = count.div_ceil(per_file);
    let mut octets = 0;
    for file in 0..files {
        let number = files - 1 - file;
        let name = if number == 0 { "0.log".to_owned() } else { format!("0.log.{number}") };
        let mut out = BufWriter::new(File::create(Path::new(PLACE).join(name))?);
        for number in file * per_file..((file + 1) * per_file).min(count) {
            let line = record(number, count, now);
            octets += line.len() as u64;
            out.write_all(line.as_bytes())?;
        }
        out.flush()?;
    }
    Ok(octets)
}

/// A journal of the benchmark's own.
struct Journal(Child);

impl Journal {
    /// `None`: there is none to be had.
    fn start() -> Result<Option<Self>> {
        if !Path::new(JOURNALD).exists() {
            eprintln!("log: no systemd-journald, so there is no row of the journal's");
            return Ok(None);
        }
        fs::write("/etc/machine-id", "0123456789abcdef0123456789abcdef\n")?;
        fs::create_dir_all("/run/log/journal")?;
        fs::create_dir_all("/etc/systemd")?;
        // Whatever it is sent is to be kept.
        fs::write(
            "/etc/systemd/journald.conf",
            "[Journal]\nStorage=volatile\nRateLimitIntervalSec=0\nRuntimeMaxUse=8G\nRuntimeKeepFree=1\n",
        )?;
        let child = Command::new(JOURNALD).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        let journal = Self(child);
        let begun = Instant::now();
        while !Path::new(SOCKET).exists() {
            if begun.elapsed() > Duration::from_secs(5) {
                journal.stop();
                eprintln!("log: systemd-journald does not start here");
                return Ok(None);
            }
            thread::sleep(Duration::from_millis(10));
        }
        Ok(Some(journal))
    }

    fn take(&mut self, count: usize) -> Result<()> {
        let socket = UnixDatagram::unbound()?;
        socket.connect(SOCKET)?;
        let now = jiff::Timestamp::now();
        for number in 0..count {
            let line = record(number, count, now);
            let site = line.split("\"site\":\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap_or_default();
            let fields = format!("SYSLOG_IDENTIFIER=mailchute\nMAILCHUTE_SITE={site}\nMESSAGE={line}");
            socket.send(fields.as_bytes())?;
        }
        Command::new("journalctl").arg("--sync").status()?;
        Ok(())
    }

    fn stop(mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
