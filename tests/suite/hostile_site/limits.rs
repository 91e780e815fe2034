//! Limits and bans in force: the site removes, replaces, truncates, locks and plants what counts, and cuts writes off in
//! the middle; it sends no more for all that. With its caller's rights what is counted is the caller's own, so there
//! only a ban of root's has to hold.

use std::fs;
use std::os::unix::fs::chown;
use std::path::Path;

use nix::mount::{MsFlags, mount};
use testkit::{Mailchute, need, need_strace};

use super::{Bench, Mode, SHOP, in_both_modes, in_mode, stops};

/// What the site does to whatever counts, as a shell says it.
const ACTS: [&str; 16] = [
    "rm -f FILE",
    "mv FILE /home/shop/",
    ": > FILE",
    "truncate -s 0 FILE",
    "truncate -s 100 FILE",
    "chmod 000 FILE",
    "chmod 777 FILE",
    "cp /home/shop/planted.toml FILE",
    "rm -f FILE; ln -s /dev/null FILE",
    "rm -f FILE; ln -s /home/shop/planted.toml FILE",
    "rm -f FILE; ln /home/shop/planted.toml FILE",
    "rm -f FILE; mkfifo FILE",
    "rm -f FILE; mkdir FILE",
    "touch -d @0 FILE",
    "dd if=/dev/zero of=FILE bs=16 count=4 conv=notrunc",
    "exec 9>>FILE; flock -n 9 true",
];

fn send(bench: &Bench<'_>) -> Mailchute {
    bench.call().args(["-i", "bob@example.net"])
}

/// What counts, and what bans: the files that there are, where they are.
fn files() -> Vec<String> {
    let mut files = vec!["/var/lib/mailchute/bans/site-shop".to_owned(), "/var/lib/mailchute/bans".to_owned()];
    for directory in ["shared".to_owned(), SHOP.to_string()] {
        let directory = format!("/var/lib/mailchute/state/{directory}");
        let found = fs::read_dir(&directory).into_iter().flatten().map(|entry| entry.unwrap().path());
        files.extend(found.map(|path| path.display().to_string()));
        files.push(directory);
    }
    files
}

/// Ways to call that might find another counter, or none.
fn ways(bench: &Bench<'_>) -> Vec<(String, Mailchute)> {
    let mut ways = Vec::new();
    for variable in ["XDG_STATE_HOME", "HOME", "TMPDIR", "STATE_DIRECTORY", "MAILCHUTE_SITE", "MAILCHUTE_CONFIG"] {
        for value in ["/home/shop", "/nonexistent", "", "blog", super::PLANTED] {
            ways.push((format!("{variable}={value}"), send(bench).env(variable, value)));
        }
    }
    for words in
        [&["--site", "blog"][..], &["--site", "shop"], &["--site", ""], &["--relay", "main"], &["-f", "b@blog.example"]]
    {
        ways.push((format!("{words:?}"), bench.call().args(words.iter().copied()).args(["-i", "bob@example.net"])));
    }
    ways.push(("-bs".to_owned(), bench.call().arg("-bs").stdin(
        "EHLO x\r\nMAIL FROM:<a@shop.example>\r\nRCPT TO:<b@example.net>\r\nDATA\r\nSubject: x\r\n\r\nx\r\n.\r\nQUIT\r\n",
    )));
    for limit in ["nofile", "fsize", "as", "data", "stack", "sigpending", "nproc", "memlock", "locks"] {
        for value in [0, 1, 5, 8, 12, 16, 17, 31, 32, 33, 47, 48, 49, 64, 4096] {
            let option = format!("--{limit}={value}");
            ways.push((option.clone(), send(bench).under("prlimit", &[&option])));
        }
    }
    ways
}

/// Tries it on the files of which `is_meant` holds, and holds the site to what it had sent before. It sends each time
/// that something could be done, and every `step`th time: who is banned waits for its refusal.
fn try_all(bench: &Bench<'_>, most: usize, step: usize, is_meant: impl Fn(&str) -> bool) {
    let acts =
        files().into_iter().filter(|file| is_meant(file)).flat_map(|file| ACTS.map(|act| act.replace("FILE", &file)));
    for (number, script) in acts.enumerate() {
        let run = bench.attempt(&script, Mailchute::new("/bin/sh").uid(SHOP).args(["-c", &script]));
        if run.status == 0 || number % step == 0 {
            bench.attempt(&format!("{script}; send"), send(bench));
            bench.holds(&script, most);
        }
    }
    for (way, call) in ways(bench).into_iter().step_by(step) {
        bench.attempt(&way, call);
        bench.holds(&way, most);
    }
    for words in
        ["unban shop", "unban --user shop", "ban blog", "bans", "queue flush", "init --users", "queue release all"]
    {
        bench.attempt(words, bench.call().args(words.split(' ')));
        bench.attempt(&format!("{words}; send"), send(bench));
        bench.holds(words, most);
    }
}

#[test]
fn no_site_lifts_its_limit_or_its_ban() {
    if need("prlimit").is_none() {
        return;
    }
    in_mode(Mode::SetGroupId, "limits", &|bench: &Bench<'_>| {
        bench.configure("shop", "limit = [\"3/day\", \"4 recipients/day\"]");
        for status in [0, 0, 0, 50] {
            send(bench).run().expect_status(status);
        }
        try_all(bench, 3, 1, |_| true);
        send(bench).run().expect_status(50);
    });
    in_mode(Mode::SetGroupId, "bans by a limit", &|bench: &Bench<'_>| {
        bench.configure("shop", "limit = \"1/day\"\nover_limit = \"ban\"");
        for status in [0, 150, 150] {
            send(bench).run().expect_status(status);
        }
        try_all(bench, 1, 8, |file| file.contains("ban-"));
        send(bench).run().expect_status(150);
    });
    in_both_modes("bans by root", |bench| {
        send(bench).run().expect_status(0);
        Mailchute::new(&bench.binary).args(["ban", "shop", "--for", "6h"]).run().expect_status(0);
        bench.accept();
        try_all(bench, 1, 8, |file| file.contains("/bans"));
        send(bench).run().expect_status(150);
        Mailchute::new(&bench.binary).args(["unban", "shop"]).run().expect_status(0);
    });
}

#[test]
fn no_write_that_is_cut_off_counts_less() {
    if need("prlimit").is_none() {
        return;
    }
    const LIMIT: usize = 12;
    in_mode(Mode::SetGroupId, "writes that are cut off", &|bench: &Bench<'_>| {
        bench.configure("shop", &format!("limit = \"{LIMIT}/day\""));
        // Each may end its write at any octet; those that come through are as many as are allowed.
        for octets in (0..=16 * (LIMIT + 4)).step_by(3) {
            let option = format!("--fsize={octets}");
            bench.attempt(&option, send(bench).under("prlimit", &[&option]));
            bench.holds(&option, LIMIT);
        }
        let before = bench.taken();
        let free = (0..LIMIT).filter(|_| send(bench).run().status == 0).count();
        bench.holds("in the end", LIMIT);
        if before + free != LIMIT {
            bench.breaks(&format!("{before} and {free} of {LIMIT} were sent"));
        }
    });
}

#[test]
fn a_full_disk_lets_no_more_through_and_harms_nothing_that_was_kept() {
    in_both_modes("a full disk", |bench| {
        bench.configure("shop", "limit = \"3/day\"");
        // A disk that has next to no room, with all that was there.
        let state = Path::new("/var/lib/mailchute/state");
        let kept = bench.host.scratch().join("state");
        assert!(std::process::Command::new("cp").arg("-a").arg(state).arg(&kept).status().unwrap().success());
        mount(Some("tmpfs"), state, Some("tmpfs"), MsFlags::empty(), Some("size=32k")).unwrap();
        assert!(std::process::Command::new("cp").arg("-a").arg(kept.join(".")).arg(state).status().unwrap().success());
        bench.accept();
        send(bench).run().expect_status(0);
        for octets in ["32768", "16384", "4096", "1"] {
            // In the mode only the program gets there, so root stands for whatever fills the disk.
            let filler = format!("dd if=/dev/zero of={}/filler bs={octets} count=64 2>/dev/null", state.display());
            Mailchute::new("/bin/sh").args(["-c", &filler]).run();
            for _ in 0..3 {
                bench.attempt(&format!("full by {octets}"), send(bench));
                bench.holds(octets, 3);
            }
            fs::remove_file(state.join("filler")).unwrap();
        }
        let sent = (0..4).filter(|_| send(bench).run().status == 0).count();
        bench.holds("room again", 3);
        if bench.taken() != 3 {
            bench.breaks(&format!("{sent} and in all {} of 3 were sent", bench.taken()));
        }
    });
}

#[test]
fn no_quota_of_its_own_keeps_others_from_sending() {
    if !need_strace() {
        return;
    }
    // What all share counts against the disk quota of whoever made it, so a site that has used its own up would keep
    // everybody from writing there. The kernel of a test has no quotas; strace says what it would say.
    in_mode(Mode::SetGroupId, "quotas", &|bench: &Bench<'_>| {
        stops::share_a_relay(bench);
        let shared = ["/var/lib/mailchute/state/shared", "/var/log/mailchute/shared"];
        let trace = bench.host.scratch().join("trace");
        let mut number = 1;
        loop {
            // The site has made all of it.
            for directory in shared {
                for entry in fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()) {
                    fs::remove_file(entry).unwrap();
                }
            }
            bench.call().args(["-i", "bob@example.net"]).run().expect_status(0);
            stops::others_go_on(bench, "before");
            for directory in shared {
                for entry in fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()) {
                    chown(entry, Some(SHOP), None).unwrap();
                }
            }
            let call = if number % 2 == 0 { "pwrite64" } else { "write" };
            let inject = format!("inject={call}:error=EDQUOT:when={}", (number + 1) / 2);
            let words = ["-o", trace.to_str().unwrap(), "-e", &format!("trace={call}"), "-e", &inject];
            let run = bench.attempt(&inject, stops::traced(bench, "blog", &words));
            let text = fs::read_to_string(&trace).unwrap();
            let Some(hit) = text.lines().find(|line| line.contains("(INJECTED)")) else {
                if number > 8 {
                    break;
                }
                number += 1;
                continue;
            };
            // What goes over a connection is under no quota.
            let is_file = call == "pwrite64" || hit.contains("{\\\"v\\\":1");
            if is_file && run.status != 0 {
                bench.breaks(&format!("{hit}: {}", run.report()));
            }
            let records = Mailchute::new(&bench.binary).args(["log", "--json"]).run().stdout;
            if is_file && records.lines().count() != 3 {
                bench.breaks(&format!("{hit}: the records are {records}"));
            }
            number += 1;
        }
        bench.accept();
    });
}
