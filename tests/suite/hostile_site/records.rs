//! Records: the site reads nobody's but its own, and no record of another can be forged, torn or lost by it.

use std::fs;

use serde_json::Value;
use testkit::{Mailchute, need};

use super::{BLOG, Bench, Mode, SHOP, in_both_modes};
use crate::setup::MESSAGE;

/// The records that root sees, or another.
fn records(bench: &Bench<'_>, uid: u32) -> Vec<Value> {
    let call = Mailchute::new(&bench.binary).uid(uid).args(["log", "--json", "-n", "10000"]);
    let run = call.run();
    let read = |line: &str| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    run.stdout.lines().map(read).collect()
}

/// Those of the neighbour, by what they say.
pub(super) fn of_blog(bench: &Bench<'_>) -> Vec<Value> {
    let is_blogs = |record: &Value| record["uid"] == BLOG || record["site"] == "blog" || record["user"] == "blog";
    records(bench, 0).into_iter().filter(is_blogs).collect()
}

/// Sees that the neighbour's records are what they were, that root and it see them, and that the site sees its own alone.
pub(super) fn judge(bench: &Bench<'_>, what: &str, before: &[Value]) {
    let now = of_blog(bench);
    if now != before {
        bench.breaks(&format!("{what}: the neighbour's records were {before:?}, and are {now:?}"));
    }
    let own: Vec<Value> = records(bench, BLOG);
    if own != before {
        bench.breaks(&format!("{what}: the neighbour sees {own:?}, not {before:?}"));
    }
    for record in records(bench, SHOP) {
        if record["uid"] != SHOP {
            bench.breaks(&format!("{what}: the site sees {record}"));
        }
    }
}

/// Forged lines: a record of the neighbour's that there is, with another ID, and such as break readers.
fn forged(real: &Value) -> String {
    let mut forged = real.clone();
    forged["id"] = "f0f0f0f0f0f0".into();
    let mut all = vec![forged.to_string(), format!("\n\0{forged}\r\n{forged}")];
    all.push(format!("{{\"uid\":{SHOP},\"x\":\"{}", "[".repeat(100_000)));
    all.push(format!("{forged}\u{85}{forged}\u{2028}{forged}"));
    all.join("\n") + "\n"
}

#[test]
fn no_record_of_anothers_is_read_forged_or_lost() {
    if need("prlimit").is_none() {
        return;
    }
    in_both_modes("records", |bench| {
        let before = of_blog(bench);
        assert_eq!(before.len(), 1, "{before:?}");
        assert!(bench.call().args(["-i", "bob@example.net"]).run().status == 0);
        judge(bench, "before", &before);
        let log = "/var/log/mailchute";
        bench.host.write_as("/home/shop/forged", &forged(&before[0]), 0o666, (SHOP, SHOP));
        let names = [
            format!("{log}/{BLOG}.log"),
            format!("{log}/{BLOG}.log.1"),
            format!("{log}/{BLOG}.1.log"),
            format!("{log}/{BLOG}.9.log"),
            format!("{log}/{SHOP}.log"),
            format!("{log}/{SHOP}.log.1"),
            format!("{log}/0.log"),
            format!("{log}/mailchute.log"),
            format!("{log}/mailchute.log.1"),
            format!("{log}/shared/mailchute.log"),
            format!("{log}/shared/mailchute.log.1"),
            format!("{log}/shared/{BLOG}.log"),
        ];
        for name in &names {
            for act in [
                "cp /home/shop/forged FILE",
                "cat /home/shop/forged >> FILE",
                "ln -s /home/shop/forged FILE",
                "ln /home/shop/forged FILE",
                "mv FILE /home/shop/",
                "rm -f FILE",
                ": > FILE",
                "cat FILE",
                "chmod 666 FILE",
                "mkdir -p FILE",
                "mkfifo FILE",
                "exec 9<FILE; flock -n 9 true",
                "touch -d @0 FILE",
            ] {
                let script = act.replace("FILE", name);
                let run = Mailchute::new("/bin/sh").uid(SHOP).args(["-c", &script]).run();
                bench.tried.set(bench.tried.get() + 1);
                bench.judge_text(&script, &format!("{}{}", run.stdout, run.stderr));
                if run.status == 0 {
                    judge(bench, &script, &before);
                    // A FIFO, link or directory that is in the way is the site's to take away.
                    Mailchute::new("/bin/sh").uid(SHOP).args(["-c", &format!("rm -rf {name}")]).run();
                }
            }
        }
        // What it says of itself, and of a message, is no record of another's.
        let injected = "x\n{\"uid\":61043,\"site\":\"blog\"}";
        for call in [
            bench.call().args(["-L", injected, "-i", "bob@example.net"]),
            bench.call().args(["-f", "a\n{\"uid\":61043}@x", "-i", "bob@example.net"]),
            bench.call().arg("-i").arg(format!("\"{injected}\"@example.net")),
            bench
                .call()
                .args(["-i", "bob@example.net"])
                .stdin(format!("Subject: {injected}\r\nMessage-ID: <{injected}>\r\n{MESSAGE}")),
            bench.call().env("SCRIPT_FILENAME", injected).args(["-i", "bob@example.net"]),
        ] {
            bench.attempt("a line of its own", call);
            judge(bench, "a line of its own", &before);
        }
        // No write that is cut off tears the neighbour's, whose record comes behind it.
        for octets in (0..4000).step_by(250) {
            let option = format!("--fsize={octets}");
            bench.attempt(&option, bench.call().args(["-i", "bob@example.net"]).under("prlimit", &[&option]));
        }
        judge(bench, "fsize", &before);
        for words in [
            &["log"][..],
            &["log", "--json"],
            &["log", "uid:61043"],
            &["log", "--site", "blog"],
            &["log", "--summary", "--by", "uid"],
            &["report"],
            &["report", "--site", "blog"],
        ] {
            let run = bench.attempt(&format!("{words:?}"), bench.call().args(words.iter().copied()));
            if run.stdout.contains("blog@blog.example") {
                bench.breaks(&format!("{words:?} tells of the neighbour: {}", run.stdout));
            }
        }
    });
}

#[test]
fn no_descriptor_to_a_record_file_that_it_inherits_forges_or_takes_one_away() {
    if need("perl").is_none() {
        return;
    }
    in_both_modes("descriptors to the record file", |bench| {
        let before = of_blog(bench);
        assert_eq!(bench.call().args(["-i", "bob@example.net"]).run().status, 0);
        let file = match bench.mode {
            Mode::SetGroupId => "/var/log/mailchute/shared/mailchute.log".to_owned(),
            Mode::OwnRights => format!("/var/log/mailchute/{SHOP}.log"),
        };
        // Whoever opened it before the directory was closed has it still; what counts is what this program does with it.
        for target in [3, 4, 7, 20] {
            for closed in ["", "0", "1", "2", "0,1,2"] {
                let script = format!(
                    "use POSIX; $^F = 100; open(my $file, '>>', '{file}') or die; POSIX::dup2(fileno($file), {target}); \
                     $) = '{SHOP} {SHOP}'; $( = {SHOP}; ($<, $>) = ({SHOP}, {SHOP}); POSIX::close($_) for ({closed}); \
                     exec @ARGV or die"
                );
                for words in [
                    &["-i", "bob@example.net"][..],
                    &["-v", "-i", "nobody"],
                    &["log"],
                    &["queue", "flush"],
                    &["-bs"],
                    &["--no-such"],
                ] {
                    let length = file_length(&file);
                    bench.attempt(
                        &format!("{target}, {closed}, {words:?}"),
                        Mailchute::new(&bench.binary)
                            .stdin(MESSAGE)
                            .under("perl", &["-e", &script])
                            .args(words.iter().copied()),
                    );
                    let text = read_from(&file, length);
                    for line in text.lines() {
                        if serde_json::from_str::<Value>(line).is_err_and(|_| !line.is_empty()) {
                            bench.breaks(&format!("{target}, {closed}, {words:?}: it wrote {line:?}"));
                        }
                    }
                }
            }
        }
        judge(bench, "descriptors", &before);
    });
}

fn file_length(path: &str) -> u64 {
    fs::metadata(path).unwrap().len()
}

fn read_from(path: &str, place: u64) -> String {
    let octets = fs::read(path).unwrap();
    String::from_utf8_lossy(&octets[usize::try_from(place).unwrap().min(octets.len())..]).into_owned()
}
