//! Whoever reads what a subcommand prints may go away, and the disk that it is to go to may be full.

use std::fs::File;
use std::io;
use std::process::{Output, Stdio};

use testkit::{Host, apart};

use crate::laid::{Laid, SHOP, USERS};
use mailchute::spool::Folder;

const MAIN: &str = "/etc/mailchute/config.toml";
const LOG: &str = "/var/log/mailchute";

/// What prints much or little, by another part of the program each.
const ERRANDS: [&str; 19] = [
    "--help",
    "--version",
    "providers",
    "status 135",
    "ban shop",
    "bans",
    "bans shop --json",
    "secret check",
    "queue",
    "queue --json",
    "queue --summary",
    "queue show aaaaaaaaaaaa",
    "queue show aaaaaaaaaaaa --message",
    "log",
    "log --csv",
    "log --summary",
    "show 5cc24c00aa01",
    "report",
    "report --output -",
];

fn prepare(host: &Host<'_>) {
    host.write(MAIN, "[relay.main]\nhost = \"127.0.0.1\"\nport = 25\ntls = \"none\"\n[site.shop]\n", 0o644);
    Laid::of(SHOP).entry(Folder::Queue, "aaaaaaaaaaaa", "shop", &[]);
    let time = jiff::Timestamp::now();
    let record = format!(
        "{{\"v\":1,\"time\":\"{time:.3}\",\"id\":\"5cc24c00aa01\",\"status\":\"accepted\",\"site\":\"shop\",\"uid\":{SHOP},\
         \"relay\":\"main\",\"code\":250,\"text\":\"ok\",\"ms\":12,\"exit\":0}}\n"
    );
    host.write_as(&format!("{LOG}/{SHOP}.log"), &record, 0o640, (SHOP, SHOP));
}

fn run(errand: &str, stdout: impl Into<Stdio>) -> Output {
    let mut command = apart(env!("CARGO_BIN_EXE_mailchute"));
    command.args(errand.split(' ')).stdin(Stdio::null()).stdout(stdout).output().expect("it runs")
}

#[test]
fn a_reader_that_has_gone_has_read_what_it_wanted() {
    Host::run(&USERS, |host| {
        prepare(host);
        for errand in ERRANDS {
            let (reader, writer) = io::pipe().expect("a pipe");
            drop(reader);
            let gone = run(errand, writer);
            assert_eq!(
                (gone.status.code(), String::from_utf8_lossy(&gone.stderr).find("standard output")),
                (Some(0), None),
                "{errand}: {gone:?}"
            );
        }
    });
}

#[test]
fn a_full_disk_is_told() {
    Host::run(&USERS, |host| {
        prepare(host);
        for errand in ERRANDS {
            let full = run(errand, File::options().write(true).open("/dev/full").expect("a full device"));
            let said = String::from_utf8_lossy(&full.stderr);
            assert_eq!(full.status.code(), Some(74), "{errand}: {full:?}");
            assert!(said.contains("mailchute: standard output: "), "{errand}: {said}");
        }
    });
}
