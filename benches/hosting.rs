//! Forty PHP-FPM pools of forty users on one host, and what the others notice of one that sends as fast as it can.
//!
//! ```text
//! cargo bench --bench hosting                # as root, with php-fpm and cgi-fcgi
//! ```
//!
//! The binary is set-group-id, each pool has its own site, and every site may send so much and is banned beyond that.
//! The pools send in turns, one message each: first alone, then while the spammer's pool sends in a loop, then alone
//! again, several times over. What is printed is how long `mail()` took as PHP itself measured it. Everything goes to
//! a server on the loopback.

// The table is what this program is for.
#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;

use testkit::{Fpm, Host, Scratch, Server, need_root};

const BINARY: &str = env!("CARGO_BIN_EXE_mailchute");
const POOLS: u32 = 40;
const FIRST: u32 = 61_100;
const GROUP: u32 = 61_050;
/// How often each pool sends in a round.
const TURNS: usize = 3;
const ROUNDS: usize = 9;
/// The aim: how much longer a message of the others takes, as a share of what it took before.
const AIM: f64 = 1.10;

/// One message; prints whether it went out, and how many microseconds that took.
const SEND: &str = "<?php $t = hrtime(true); $ok = mail('bob@example.org', 'Your order', \"Thank you.\\n\", \
                    'From: shop@example.org'); echo var_export($ok, true), ' ', intdiv(hrtime(true) - $t, 1000);";
/// Messages until the file that is named goes away; prints how many went out, and how many did not.
const SPAM: &str = "<?php ignore_user_abort(true); set_time_limit(0); $n = [0, 0]; while (file_exists(FLAG)) { clearstatcache(); \
                    $n[mail('bob@example.org', 'Spam', \"Buy.\\n\", 'From: shop@example.org') ? 0 : 1]++; } \
                    echo $n[0], ' ', $n[1];";

fn main() -> ExitCode {
    if !need_root() {
        return ExitCode::SUCCESS;
    }
    let names: Vec<String> = (0..POOLS).map(|number| format!("pool{number}")).collect();
    let mut users: Vec<(&str, u32)> = names.iter().map(String::as_str).zip(FIRST..).collect();
    users.push(("mailchute", GROUP));
    Host::run(&users, |host| {
        let server = Server::new().start();
        let binary = host.set_group_id(BINARY, GROUP);
        let mut config =
            format!("[relay.main]\nhost = \"127.0.0.1\"\nport = {}\ntls = \"none\"\n[log]\nto = []\n", server.port());
        config.insert_str(0, "limit = \"100/minute\"\nover_limit = \"ban\"\n");
        for name in &names {
            let _ = write!(config, "[site.{name}]\nuser = [\"{name}\"]\n");
        }
        host.write_as("/etc/mailchute/config.toml", &config, 0o640, (0, GROUP));
        let scratch = Scratch::new();
        let flag = scratch.join("flag");
        let send = scratch.write("send.php", SEND, 0o644);
        let spam = scratch.write("spam.php", SPAM.replace("FLAG", &format!("'{}'", flag.display())), 0o644);
        let sendmail_path = format!("{} -t -i", binary.display());
        let pools: Vec<(&str, u32, &str)> = names
            .iter()
            .map(String::as_str)
            .zip(FIRST..)
            .map(|(name, uid)| (name, uid, sendmail_path.as_str()))
            .collect();
        let Some(fpm) = Fpm::start(scratch, &pools) else { return };
        measure(&fpm, &names, &send, &spam, &flag);
        drop(server);
    });
    ExitCode::SUCCESS
}

fn measure(fpm: &Fpm, names: &[String], send: &Path, spam: &Path, flag: &Path) {
    let (spammer, others) = names.split_first().expect("a pool");
    let round = || -> Vec<u64> {
        let turns = (0..TURNS).flat_map(|_| others);
        turns
            .map(|name| {
                let answer = fpm.answer(name, send);
                let (sent, took) = answer.split_once(' ').unwrap_or_else(|| panic!("{name}: {answer}"));
                assert_eq!(sent, "true", "{name}: the others' mail goes out");
                took.parse().expect("microseconds")
            })
            .collect()
    };
    round();
    let (mut before, mut meanwhile, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    let (sent, refused) = (AtomicU32::new(0), AtomicU32::new(0));
    for _ in 0..ROUNDS {
        let mut alone = round();
        fs::write(flag, "").expect("a flag");
        let done = AtomicBool::new(false);
        thread::scope(|scope| {
            let spamming = scope.spawn(|| {
                let answer = fpm.answer(spammer, spam);
                done.store(true, Ordering::SeqCst);
                answer
            });
            let mut beside = round();
            // In thousandths, of rounds that follow each other: what else the machine does changes more slowly.
            ratios.push(middle(&mut beside) * 1000 / middle(&mut alone).max(1));
            meanwhile.append(&mut beside);
            before.append(&mut alone);
            assert!(!done.load(Ordering::SeqCst), "the spammer went on all the time");
            fs::remove_file(flag).expect("the flag");
            let answer = spamming.join().expect("an answer");
            let (good, bad) = answer.split_once(' ').unwrap_or_else(|| panic!("{spammer}: {answer}"));
            sent.fetch_add(good.parse().expect("a number"), Ordering::SeqCst);
            refused.fetch_add(bad.parse().expect("a number"), Ordering::SeqCst);
        });
    }
    let (before, meanwhile) = (middle(&mut before), middle(&mut meanwhile));
    let ratio = middle(&mut ratios) as f64 / 1000.0;
    println!("\n{} pools, one of them sending as fast as it can\n", names.len());
    println!("the spammer                  {} sent, {} refused", sent.into_inner(), refused.into_inner());
    println!("mail() of the others, alone  {:>8.2} ms", before as f64 / 1000.0);
    println!("meanwhile                    {:>8.2} ms", meanwhile as f64 / 1000.0);
    println!(
        "ratio, the median of rounds  {ratio:>8.2}  (aim {AIM:.2}: {})",
        if ratio <= AIM { "met" } else { "missed" }
    );
}

/// The median.
fn middle(all: &mut [u64]) -> u64 {
    all.sort_unstable();
    all[all.len() / 2]
}
