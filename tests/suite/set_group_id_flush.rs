//! What waits, where the binary has a group of its own: each way to send it reads the secret that its caller cannot, and
//! gives the group to nobody else.

use std::fs::{self, File, Permissions};
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Instant, SystemTime};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use testkit::{Host, Mailchute, Port, Server, need, processes};

use crate::setup::MESSAGE;

const SHOP: u32 = 61042;
const GROUP: u32 = 61050;
const USERS: [(&str, u32); 2] = [("shop", SHOP), ("mailchute", GROUP)];
const SECRET: &str = "correct horse battery staple";
const QUEUE: &str = "/var/spool/mailchute/61042/queue";

/// A site that keeps what the relay at this port does not take; its secret is the group's.
fn configure(host: &Host<'_>, port: u16) {
    let text = format!(
        "on_relay_failure = \"spool\"\n[relay.main]\nhost = \"127.0.0.1\"\nport = {port}\nusername = \"a\"\n\
         password = {{ file = \"secrets/main\" }}\n[site.shop]\nuser = \"shop\"\nfrom = \"a@example.org\"\n"
    );
    host.write("/etc/mailchute/config.toml", &text, 0o644);
    host.write_as("/etc/mailchute/secrets/main", SECRET, 0o640, (0, GROUP));
}

fn send(binary: &Path) -> Mailchute {
    Mailchute::new(binary).uid(SHOP).args(["-i", "bob@example.net"]).stdin(MESSAGE)
}

/// What waits, and is due by now.
fn due() -> Vec<String> {
    let entries = fs::read_dir(QUEUE).map(|found| found.map(|entry| entry.unwrap().path()).collect::<Vec<_>>());
    let due = |path: PathBuf| {
        File::options().write(true).open(&path).unwrap().set_modified(SystemTime::now()).unwrap();
        path.file_name().unwrap().to_str().unwrap().to_owned()
    };
    entries.unwrap_or_default().into_iter().map(due).collect()
}

#[test]
fn its_user_root_and_a_unit_send_what_waits() {
    Host::run(&USERS, |host| {
        let binary = host.set_group_id(env!("CARGO_BIN_EXE_mailchute"), GROUP);
        // Something is sure to flush.
        host.write("/etc/cron.d/mailchute", crate::setup::CRON, 0o644);
        host.write("/run/crond.pid", "1\n", 0o644);
        let run = |words: &[&str], uid: u32| {
            configure(host, Port::reserve().number());
            send(&binary).under("perl", &["-e", "umask 0777; exec @ARGV"]).run().expect_status(0);
            let (entries, server) = (due(), Server::new().login("a", SECRET, &["PLAIN"]).start());
            assert_eq!(entries.len(), 1);
            let of = fs::symlink_metadata(format!("{QUEUE}/{}", entries[0])).unwrap();
            assert_eq!((of.uid(), of.mode() & 0o7777), (SHOP, 0o600), "whatever the umask");
            configure(host, server.port());
            let words: Vec<&str> =
                words.iter().map(|word| if *word == "ID" { entries[0].as_str() } else { word }).collect();
            let call = Mailchute::new(&binary).uid(uid).args(["queue", "flush"]).args(words.iter().copied());
            let call = if uid == 0 { call.under("setpriv", &["--no-new-privs"]) } else { call };
            let run = call.run();
            run.expect_status(0);
            let sessions = server.finish();
            assert!(sessions.iter().any(|session| session.login.is_some()), "{}", run.report());
            assert_eq!(sessions.iter().map(|session| session.deliveries.len()).sum::<usize>(), 1, "{}", run.report());
        };
        run(&[], SHOP);
        run(&["ID"], SHOP);
        if need("setpriv").is_some() {
            // As in the systemd unit, where no rights can be gained.
            run(&["--all"], 0);
        }
        // A site sees and touches its own, and only through the binary.
        configure(host, Port::reserve().number());
        send(&binary).run().expect_status(0);
        let id = due().remove(0);
        let queue =
            |uid: u32, words: &[&str]| Mailchute::new(&binary).uid(uid).arg("queue").args(words.iter().copied()).run();
        assert!(queue(SHOP, &["list"]).stdout.contains(&id));
        assert!(!queue(61043, &["list"]).stdout.contains(&id));
        for words in
            [&["show", &id][..], &["drop", &id], &["hold", &id], &["flush", &id], &["show", "../../61042/queue/x"]]
        {
            queue(61043, words).expect_status(66);
        }
        queue(61043, &["list", "--all"]).expect_status(64);
        queue(61043, &["flush", "--all"]).expect_status(77);
        queue(61043, &["show", &id, "--as", "shop"]).expect_status(77);
        assert_eq!(due(), [id]);
    });
}

/// The process of the user's whose words end like this, and what the kernel says of it.
fn process(words: &str) -> Option<(i32, String)> {
    let of = |pid: i32| {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        status.contains(&format!("\nUid:\t{SHOP}\t")).then_some((pid, status))
    };
    processes(words).into_iter().find_map(of)
}

#[test]
fn a_process_that_starts_itself_keeps_the_group_and_starts_nothing_else() {
    Host::run(&USERS, |host| {
        host.set_group_id(env!("CARGO_BIN_EXE_mailchute"), GROUP);
        // The caller has a name of its own for the binary, where links of others' files are allowed.
        let (link, planted) = (host.scratch().join("home/shop/link"), host.scratch().join("home/shop/planted"));
        fs::hard_link(host.scratch().join("mailchute"), &link).unwrap();
        fs::write(&planted, "#!/bin/sh\nid -G > /home/shop/gained\n").unwrap();
        fs::set_permissions(&planted, Permissions::from_mode(0o755)).unwrap();
        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        configure(host, silent.local_addr().unwrap().port());
        let running = send(Path::new("/home/shop/link")).spawn();
        let (connection, _) = silent.accept().unwrap();
        // While it speaks to the relay, the name becomes that of something else.
        fs::rename(&planted, &link).unwrap();
        drop((connection, silent));
        running.finish().expect_status(0);
        let begun = Instant::now();
        let (pid, status) = loop {
            // It takes its name first of all.
            match process("queue flush --wait --quiet") {
                Some(found) if found.1.starts_with("Name:\tmailchute\n") => break found,
                found => assert!(begun.elapsed() < testkit::PATIENCE, "what sends what waits: {found:?}"),
            }
        };
        let gids = format!("Gid:\t{SHOP}\t{GROUP}\t{GROUP}\t{GROUP}\n");
        kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
        assert!(status.contains(&gids), "{status}");
        assert!(!Path::new("/home/shop/gained").exists(), "{:?}", fs::read_to_string("/home/shop/gained"));
    });
}
