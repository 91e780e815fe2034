//! What `install.sh` puts in place, and what it takes away.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Stdio};

use mailchute::exit::{self, Scheme};
use mailchute::failure::Kind;
use mailchute::keep::Place;
use mailchute::spool::{Folder, flusher};
use testkit::{Host, Mailchute, Port, Scratch, Server, apart, missing, need};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The path of the binary in the files that name it.
const BINARY: &str = "/usr/local/bin/mailchute";

/// A file of `examples/units`, for a binary at this path.
fn unit(name: &str, binary: &str) -> String {
    let path = root().join("examples/units").join(name);
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    text.replace(BINARY, binary)
}

/// The values of a key in the section of a unit, in order.
fn values<'a>(unit: &'a str, section: &str, key: &str) -> Vec<&'a str> {
    let (_, rest) = unit.split_once(&format!("[{section}]\n")).unwrap_or_else(|| panic!("no [{section}] in\n{unit}"));
    let lines = rest.lines().take_while(|line| !line.starts_with('['));
    lines.filter_map(|line| line.split_once('=')).filter(|(name, _)| *name == key).map(|(_, value)| value).collect()
}

/// `install.sh` for this destination, which is empty for the host itself.
fn installer(destination: &Path, prefix: &str, arguments: &[&str]) -> Command {
    let mut command = apart("/bin/sh");
    command.arg(root().join("install.sh")).args(arguments).env("DESTDIR", destination).env("PREFIX", prefix);
    command.stdin(Stdio::null());
    command
}

/// Runs `install.sh` into `destination` and fails unless it works.
fn install(destination: &Path, arguments: &[&str]) -> String {
    let output = installer(destination, "/opt/mailchute", arguments).output().expect("a shell");
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn the_installer_takes_nothing_away_and_gives_everything_back() {
    let scratch = Scratch::new();
    let destination = scratch.join("root");
    scratch.write("root/usr/sbin/sendmail", "another program", 0o755);
    scratch.write("root/etc/mailchute/config.toml", "mine", 0o600);
    fs::create_dir_all(destination.join("usr/lib")).expect("a directory");
    symlink("../sbin/sendmail", destination.join("usr/lib/sendmail")).expect("a link");

    let binary = scratch.write("binary", "the binary", 0o755);
    // A link that somebody laid where a new file might be made, and one in the place of a file.
    scratch.write("victim", "untouched", 0o600);
    for name in ["opt/mailchute/bin/mailchute.new", "opt/mailchute/share/doc/mailchute/README.md"] {
        fs::create_dir_all(destination.join(name).parent().expect("a directory")).expect("a directory");
        symlink(scratch.join("victim"), destination.join(name)).expect("a link");
    }
    // systemd looks into no other prefix than /usr and /usr/local.
    fs::create_dir_all(destination.join("etc/tmpfiles.d")).expect("a directory");
    let runtime = destination.join("etc/tmpfiles.d/mailchute.conf");
    symlink(scratch.join("victim"), &runtime).expect("a link");
    // Twice: the second time changes nothing.
    for _ in 0..2 {
        install(&destination, &["--links", "--binary", &binary.display().to_string()]);
        assert_eq!(scratch.read("root/opt/mailchute/bin/mailchute"), "the binary");
        for name in ["usr/sbin/sendmail", "usr/lib/sendmail", "usr/bin/mailq", "usr/bin/newaliases"] {
            let link = fs::read_link(destination.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!(link, Path::new("/opt/mailchute/bin/mailchute"), "{name}");
        }
        assert_eq!(scratch.read("root/usr/sbin/sendmail.mailchute-saved"), "another program");
        assert_eq!(scratch.read("root/etc/mailchute/config.toml"), "mine");
        assert_eq!(scratch.read("victim"), "untouched");
        let places = fs::read_to_string(&runtime).expect("a file");
        for place in [
            "d /run/mailchute 1733 root root -\n",
            "d /var/spool/mailchute 1733 root root -\n",
            "d /var/log/mailchute 1733 root root -\n",
        ] {
            assert!(places.contains(place), "{places}");
        }
    }
    for (name, mode) in [
        ("opt/mailchute/bin/mailchute", 0o755),
        ("opt/mailchute/share/man/man8/mailchute.8", 0o644),
        ("opt/mailchute/share/man/man5/mailchute.toml.5", 0o644),
        ("etc/mailchute/config.toml", 0o600),
        ("etc/mailchute/sites.d", 0o755),
        ("etc/mailchute/secrets", 0o711),
        ("var/lib/mailchute/state", 0o1733),
        ("var/lib/mailchute/tokens", 0o1733),
        ("var/spool/mailchute", 0o1733),
        ("var/log/mailchute", 0o1733),
    ] {
        let metadata = fs::metadata(destination.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(format!("{:o}", metadata.mode() & 0o7777), format!("{mode:o}"), "{name}");
    }

    install(&destination, &["--uninstall"]);
    assert_eq!(scratch.read("root/usr/sbin/sendmail"), "another program");
    let mode = fs::metadata(destination.join("usr/sbin/sendmail")).expect("it is back").permissions().mode();
    assert_eq!(mode & 0o777, 0o755);
    assert_eq!(fs::read_link(destination.join("usr/lib/sendmail")).expect("a link"), Path::new("../sbin/sendmail"));
    for name in
        ["usr/bin/mailq", "usr/bin/newaliases", "opt/mailchute/bin/mailchute", "usr/sbin/sendmail.mailchute-saved"]
    {
        assert!(fs::symlink_metadata(destination.join(name)).is_err(), "{name} is still there");
    }
    assert_eq!(scratch.read("root/etc/mailchute/config.toml"), "mine");
}

/// Every file and link below a directory, with what would change if it were written again.
fn inodes(directory: &Path) -> Vec<(String, u64, i64)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).expect("a directory") {
        let path = entry.expect("an entry").path();
        let metadata = fs::symlink_metadata(&path).expect("its metadata");
        match metadata.is_dir() {
            true => found.extend(inodes(&path)),
            false => found.push((path.display().to_string(), metadata.ino(), metadata.mtime_nsec())),
        }
    }
    found.sort();
    found
}

#[test]
fn a_second_installation_writes_nothing_and_the_last_leaves_what_is_not_its_own() {
    let scratch = Scratch::new();
    let destination = scratch.join("root");
    let binary = scratch.write("binary", "the binary", 0o755).display().to_string();
    scratch.write("root/etc/cron.d/other", "its own", 0o644);
    install(&destination, &["--binary", &binary]);
    for name in ["mailchute-flush.service", "mailchute-flush.timer", "mailchute-report@.service"] {
        let name = format!("etc/systemd/system/{name}");
        let file = name.rsplit_once('/').expect("a name").1;
        assert_eq!(scratch.read(&format!("root/{name}")), unit(file, "/opt/mailchute/bin/mailchute"));
    }
    let cron = scratch.read("root/etc/cron.d/mailchute");
    assert_eq!(cron, unit("mailchute.cron", "/opt/mailchute/bin/mailchute"));
    let before = inodes(&destination);
    let said = install(&destination, &["--binary", &binary]);
    assert_eq!(inodes(&destination), before);
    assert!(said.contains("/etc/cron.d/mailchute is left as it was\n"), "{said}");

    // The administrator's own: a changed line, a file beside ours, and mail that waits.
    scratch.write("root/etc/cron.d/mailchute", format!("#{cron}"), 0o644);
    install(&destination, &["--binary", &binary]);
    assert_eq!(scratch.read("root/etc/cron.d/mailchute"), format!("#{cron}"));
    scratch.write("root/etc/systemd/system/other.timer", "its own", 0o644);
    scratch.write("root/var/spool/mailchute/33/queue/5cc24c", "waits", 0o600);
    scratch.write("root/var/spool/mailchute/33/flush.lock", "", 0o600);
    let said = install(&destination, &["--uninstall"]);
    for line in [
        "still there, because it was changed: /etc/cron.d/mailchute\n",
        "messages that still wait: 1; they are sent once mailchute is installed again\n",
        "still there, because it is not empty: /var/spool/mailchute\n",
    ] {
        assert!(said.contains(line), "{line}\n{said}");
    }
    let left: Vec<String> = inodes(&destination).into_iter().map(|(name, ..)| name).collect();
    let expected = [
        "etc/cron.d/mailchute",
        "etc/cron.d/other",
        "etc/systemd/system/other.timer",
        "var/spool/mailchute/33/flush.lock",
        "var/spool/mailchute/33/queue/5cc24c",
    ];
    assert_eq!(left, expected.map(|name| destination.join(name).display().to_string()));
}

#[test]
fn the_units_go_where_systemd_looks_for_them() {
    let scratch = Scratch::new();
    let binary = scratch.write("binary", "the binary", 0o755).display().to_string();
    for (prefix, units, tmpfiles) in [
        ("/usr", "usr/lib/systemd/system", "usr/lib/tmpfiles.d"),
        ("/usr/local", "usr/local/lib/systemd/system", "usr/local/lib/tmpfiles.d"),
        ("/opt/mailchute-1.0", "etc/systemd/system", "etc/tmpfiles.d"),
    ] {
        let destination = scratch.join(&prefix.replace('/', "-"));
        let run = |arguments: &[&str]| installer(&destination, prefix, arguments).output().expect("a shell");
        assert!(run(&["--binary", &binary]).status.success());
        let path = format!("{prefix}/bin/mailchute");
        let service = destination.join(units).join("mailchute-flush.service");
        assert_eq!(fs::read_to_string(&service).expect("a unit"), unit("mailchute-flush.service", &path));
        let timer = destination.join(units).join("mailchute-flush.timer");
        assert_eq!(fs::read_to_string(timer).expect("a unit"), unit("mailchute-flush.timer", &path));
        assert!(destination.join(tmpfiles).join("mailchute.conf").is_file());
        // Without a directory for it, there is no cron line.
        assert!(!destination.join("etc/cron.d").exists());
        assert!(run(&["--uninstall"]).status.success());
        assert_eq!(inodes(&destination), []);
    }
    let refused = installer(&scratch.join("x"), "/opt/100%", &["--binary", &binary]).output().expect("a shell");
    assert!(!refused.status.success() && !scratch.join("x").exists(), "{refused:?}");
}

/// A `systemctl` that writes down what it is asked, and enables as the real one does.
const SYSTEMCTL: &str = r#"#!/bin/sh
echo "$*" >>"$(dirname "$0")/asked"
wants=/etc/systemd/system/timers.target.wants
case "$*" in
    "enable --now mailchute-flush.timer")
        [ ! -e "$(dirname "$0")/refuses" ] || exit 1
        mkdir -p $wants && ln -s /etc/systemd/system/mailchute-flush.timer $wants/ ;;
    "disable --now mailchute-flush.timer") rm -f $wants/mailchute-flush.timer ;;
    "is-enabled mailchute-flush.timer") if [ -L $wants/mailchute-flush.timer ]; then echo enabled; else echo disabled; exit 1; fi ;;
esac
"#;

#[test]
fn the_timer_is_enabled_where_systemd_runs_and_is_what_a_sender_looks_for() {
    Host::run(&[], |host| {
        let scratch = host.scratch();
        scratch.write("bin/systemctl", SYSTEMCTL, 0o755);
        let binary = scratch.write("binary", "the binary", 0o755).display().to_string();
        let run = |arguments: &[&str]| live(scratch, arguments);
        let asked = || {
            let asked = fs::read_to_string(scratch.join("bin/asked")).unwrap_or_default();
            let _ = fs::remove_file(scratch.join("bin/asked"));
            asked
        };
        fs::create_dir_all(flusher::SYSTEMD).expect("a directory");
        fs::create_dir_all("/etc/cron.d").expect("a directory");
        let is_enabled = || fs::symlink_metadata(flusher::TIMER).is_ok();

        let said = run(&["--binary", &binary]);
        assert!(is_enabled() && said.contains("mailchute-flush.timer is enabled"), "{said}");
        assert_eq!(asked(), "daemon-reload\nenable --now mailchute-flush.timer\n");
        assert!(!Path::new(flusher::CRON).exists(), "one of the two is enough");
        assert_eq!(fs::metadata("/run/mailchute").expect("a directory").mode() & 0o7777, 0o1733);

        // Whoever disabled it had a reason.
        fs::remove_file(flusher::TIMER).expect("the link");
        let said = run(&["--binary", &binary]);
        assert!(!is_enabled() && said.contains("mailchute-flush.timer is left as it was: disabled"), "{said}");
        assert!(!asked().contains("enable --now"));

        run(&["--uninstall"]);
        assert_eq!(asked(), "disable --now mailchute-flush.timer\ndaemon-reload\n");
        assert!(!Path::new("/etc/systemd/system/mailchute-flush.timer").exists());
        assert!(!Path::new("/run/mailchute").exists());
        run(&["--uninstall"]);
        assert!(!asked().contains("disable"), "there is nothing left to disable");

        // A timer that is masked, say.
        scratch.write("bin/refuses", "", 0o644);
        let said = run(&["--binary", &binary]);
        assert!(said.contains("mailchute-flush.timer is not enabled; until it is, the process"), "{said}");
        assert!(said.contains("mailchute is installed"), "{said}");
    });
}

#[test]
fn the_cron_line_is_there_where_systemd_does_not_run_and_is_what_a_sender_looks_for() {
    Host::run(&[], |host| {
        let scratch = host.scratch();
        scratch.write("bin/systemctl", SYSTEMCTL, 0o755);
        let binary = scratch.write("binary", "the binary", 0o755).display().to_string();
        let said = live(scratch, &["--binary", &binary]);
        assert!(said.contains("the process that keeps a message starts the flush itself\n"), "{said}");
        assert!(!Path::new("/etc/cron.d").exists());
        fs::create_dir_all("/etc/cron.d").expect("a directory");
        let said = live(scratch, &["--binary", &binary]);
        assert!(said.contains("/etc/cron.d/mailchute sends the messages that wait"), "{said}");
        let of = fs::metadata(flusher::CRON).expect("the cron line");
        assert_eq!((of.uid(), of.mode() & 0o7777), (0, 0o644), "cron takes no other");
        live(scratch, &["--uninstall"]);
        assert!(!Path::new(flusher::CRON).exists());
        assert!(!scratch.join("bin/asked").exists(), "systemd is not asked where it does not run");
    });
}

#[test]
fn those_that_send_have_their_directories_before_anybody_takes_the_names() {
    Host::run(&[("shop", 61042), ("blog", 61043)], |host| {
        let scratch = host.scratch();
        scratch.write("bin/systemctl", SYSTEMCTL, 0o755);
        let install = || live(scratch, &["--binary", env!("CARGO_BIN_EXE_mailchute")]);
        assert!(!install().contains("made "), "nobody is configured");
        let relay = "[relay.main]\nprotocol = \"null\"\n";
        let lines = format!("{relay}[site.shop]\nuser = [\"shop\", 61044, \"nobody-at-all\"]\n");
        host.write_as("/etc/mailchute/config.toml", &lines, 0o644, (0, 0));
        host.write_as(
            "/etc/mailchute/sites.d/blog.toml",
            "[site.blog]\nuser = \"blog\"\n[relay.main]\nprotocol = \"null\"\n",
            0o644,
            (0, 0),
        );
        // A neighbour was faster once.
        let taken = Path::new(Place::Tokens.parent()).join("61043");
        fs::create_dir(&taken).expect("a directory");
        let said = install();
        for uid in [61042, 61043, 61044] {
            for place in Place::ALL {
                let own = Path::new(place.parent()).join(uid.to_string());
                let of = fs::symlink_metadata(&own).expect("a directory");
                let is_taken = own == taken;
                assert_eq!(of.uid() == uid, !is_taken, "{}", own.display());
                assert_eq!(said.contains(&format!("made {}\n", own.display())), !is_taken, "{said}");
                if !is_taken {
                    assert_eq!(of.mode() & 0o7777, 0o700);
                }
            }
        }
        assert_eq!(said.matches("made /").count(), 14, "{said}");
        assert!(!install().contains("made "), "a second time there is nothing to make");
        fs::write(Path::new(Place::State.parent()).join("61042/kept"), "").expect("a file");
        live(scratch, &["--uninstall"]);
        assert!(Path::new(Place::State.parent()).join("61042/kept").exists());
        for place in [Place::Tokens, Place::Spool, Place::Runtime, Place::Log] {
            assert!(!Path::new(place.parent()).exists(), "{}", place.parent());
        }
    });
}

/// Who a file belongs to and its mode.
fn modes(path: &str) -> (u32, u32, u32) {
    let of = fs::symlink_metadata(path).unwrap_or_else(|error| panic!("{path}: {error}"));
    (of.uid(), of.gid(), of.mode() & 0o7777)
}

#[test]
fn set_group_id_is_switched_on_and_off_and_nothing_that_waits_is_lost() {
    const SHOP: u32 = 61042;
    Host::run(&[("shop", SHOP)], |host| {
        let scratch = host.scratch();
        scratch.write("bin/systemctl", SYSTEMCTL, 0o755);
        fs::create_dir_all(flusher::SYSTEMD).expect("a directory");
        let install = |words: &[&str]| live(scratch, &[&["--binary", env!("CARGO_BIN_EXE_mailchute")], words].concat());
        let port = Port::reserve();
        let config = format!(
            "on_relay_failure = \"spool\"\n[relay.main]\nhost = \"127.0.0.1\"\nport = {}\nusername = \"a\"\n\
             password = {{ file = \"secrets/main\" }}\n[site.shop]\nuser = \"shop\"\nfrom = \"a@example.org\"\n",
            port.number()
        );
        host.write("/etc/mailchute/config.toml", &config, 0o644);
        let secret = "/etc/mailchute/secrets/main";
        host.write_as(secret, "a secret", 0o640, (0, SHOP));
        host.write("/etc/mailchute/sites.d/inline.toml", "[relay.x]\nprotocol = \"null\"\n", 0o600);
        host.write_as("/etc/mailchute/sites.d/own.toml", "[relay.x]\nprotocol = \"null\"\n", 0o600, (SHOP, SHOP));
        install(&[]);
        assert!(fs::symlink_metadata(flusher::TIMER).is_ok(), "a sender looks for it");
        let binary = scratch.join("opt/bin/mailchute");
        let call = |words: &[&str]| Mailchute::new(&binary).uid(SHOP).args(words.iter().copied());
        let send = || call(&["-i", "bob@example.net"]).stdin("Subject: x\n\nhello\n").run();
        let waits = || call(&["queue", "list", "--json"]).run().expect_status(0).stdout.lines().count();
        Mailchute::new(&binary).args(["ban", "--user", "61099"]).run().expect_status(0);
        send().expect_status(0);
        assert_eq!(waits(), 1);
        // What waits in a home, where this binary looked as long as it had its caller's rights alone.
        let passwd = fs::read_to_string("/etc/passwd").expect("the accounts");
        let home = scratch.join("home");
        let of_shop = |line: &str| line.starts_with("shop:");
        let line = format!("shop:x:{SHOP}:{SHOP}::{}:/bin/sh", home.display());
        let lines: Vec<&str> = passwd.lines().map(|old| if of_shop(old) { line.as_str() } else { old }).collect();
        host.write("/etc/passwd", &format!("{}\n", lines.join("\n")), 0o644);
        let in_home = home.join(".local/state/mailchute/spool/queue");
        fs::create_dir_all(&in_home).expect("a directory");
        fs::write(in_home.join("0123456789ab"), "").expect("a file");
        // A neighbour was faster with a name that means something now.
        let squatted = Path::new(Place::State.parent()).join("shared");
        fs::create_dir(&squatted).expect("a directory");
        std::os::unix::fs::chown(&squatted, Some(SHOP), Some(SHOP)).expect("its owner");
        // What its owner may lay a link in the place of.
        let theirs = "/etc/mailchute/shop/main";
        host.write(theirs, "", 0o600);
        std::os::unix::fs::chown("/etc/mailchute/shop", Some(SHOP), Some(SHOP)).expect("its owner");

        let said = install(&["--set-group-id"]);
        assert_eq!(modes(theirs), (0, 0, 0o600), "{said}");
        assert!(said.contains("/etc/mailchute/shop: others than root may change what is in it"), "{said}");
        let group = modes(&binary.display().to_string()).1;
        assert_ne!(group, 0, "{said}");
        assert_eq!(modes(&binary.display().to_string()), (0, group, 0o2755));
        for line in [
            format!("{secret}: was root:shop 0640, is root:mailchute 0640\n"),
            "/etc/mailchute/sites.d/inline.toml: was root:root 0600, is root:mailchute 0640\n".to_owned(),
            "/etc/mailchute/sites.d/own.toml: is not root's, so a set-group-id binary refuses it\n".to_owned(),
            format!("messages of shop wait in {}, where a set-group-id binary does not look", in_home.display()),
            format!("sudo -u shop {} queue flush; ", binary.display()),
        ] {
            assert!(said.contains(&line), "{line}{said}");
        }
        assert_eq!(said.matches("messages of ").count(), 1, "{said}");
        fs::remove_dir_all(home).expect("the home");
        assert_eq!(modes("/etc/mailchute/config.toml"), (0, 0, 0o644), "nothing secret is inside");
        let closed = || {
            for place in Place::ALL {
                assert_eq!(modes(place.parent()), (0, group, 0o3770), "{}", place.parent());
                assert_eq!(modes(&format!("{}/shared", place.parent())), (0, group, 0o2770));
            }
        };
        closed();
        let bans = "/var/lib/mailchute/bans";
        assert_eq!(modes(bans), (0, group, 0o2750));
        assert_eq!(modes(&format!("{bans}/user-61099")), (0, group, 0o640));
        let run = Mailchute::new("/bin/sh")
            .uid(SHOP)
            .args(["-c", "cat /etc/mailchute/secrets/main /var/spool/mailchute/61042/queue/*"])
            .run();
        assert!(run.stdout.is_empty() && run.status != 0, "{}", run.report());
        assert_eq!(waits(), 1, "what waited is still there");
        send().expect_status(0);
        assert_eq!(waits(), 2);
        // An upgrade leaves it, and closes what has come since.
        fs::remove_dir(Path::new(Place::Tokens.parent()).join("shared")).expect("it is empty");
        assert!(!install(&[]).contains(" is root:"), "nothing is changed");
        assert_eq!(modes(&binary.display().to_string()), (0, group, 0o2755));
        closed();
        assert!(install(&["--set-group-id"]).contains("has the group mailchute now"), "a second time");
        assert_eq!(waits(), 2);

        let said = install(&["--no-set-group-id"]);
        assert!(said.contains(&format!("{secret}: is root:shop 0640 again\n")), "{said}");
        assert_eq!(modes(&binary.display().to_string()), (0, 0, 0o755));
        assert_eq!(modes("/etc/mailchute/sites.d/inline.toml"), (0, 0, 0o600));
        for place in Place::ALL {
            assert_eq!(modes(place.parent()), (0, 0, 0o1733), "{}", place.parent());
        }
        assert_eq!((modes(bans), modes(&format!("{bans}/user-61099"))), ((0, 0, 0o711), (0, 0, 0o644)));
        send().expect_status(0);
        assert_eq!(waits(), 3);
        install(&["--set-group-id"]);
        let said = live(scratch, &["--uninstall"]);
        assert!(said.contains("messages that still wait: 3;") && said.contains("the group mailchute"), "{said}");
        assert_eq!((modes(secret), modes(Place::Spool.parent())), ((0, SHOP, 0o640), (0, 0, 0o1733)));
        assert!(!Path::new(Place::Runtime.parent()).exists());

        // All arrive in the end.
        install(&[]);
        let server = Server::new().login("a", "a secret", &["PLAIN"]).start();
        let dead = format!("port = {}\n", port.number());
        let config = config.replace(&dead, &format!("port = {}\n", server.port()));
        host.write("/etc/mailchute/config.toml", &config, 0o644);
        let list = call(&["queue", "list", "--json"]).run().stdout;
        let id = |line: &str| {
            serde_json::from_str::<serde_json::Value>(line).expect("a row")["id"].as_str().map(str::to_owned)
        };
        let ids = list.lines().filter_map(id);
        call(&["queue", "flush"]).args(ids).run().expect_status(0);
        assert_eq!(server.finish().iter().map(|session| session.deliveries.len()).sum::<usize>(), 3);
        assert_eq!(waits(), 0);
    });
}

/// Runs `install.sh` as root of this host, below /opt, and fails unless it works.
fn live(scratch: &Scratch, arguments: &[&str]) -> String {
    let path = format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", scratch.join("bin").display());
    let prefix = scratch.join("opt").display().to_string();
    let output = installer(Path::new(""), &prefix, arguments).env("PATH", path).output().expect("a shell");
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn the_units_say_what_was_decided() {
    let service = unit("mailchute-flush.service", BINARY);
    let of_service = |key| values(&service, "Service", key);
    // Nothing is started while nothing waits, and what the condition looks at is what a sender makes.
    let waits = [Folder::Queue.name(), mailchute::alert::FOLDER, Folder::Failed.name(), Folder::Sent.name()]
        .map(|folder| format!("|{}/*/{folder}/*", Place::Spool.parent()));
    assert_eq!(values(&service, "Unit", "ConditionPathExistsGlob"), waits);
    assert_eq!(values(&service, "Unit", "ConditionPathExists"), ["|/etc/mailchute/ping"]);
    assert_eq!(of_service("ExecStart"), ["/usr/local/bin/mailchute queue flush --all --quiet"]);
    assert_eq!(of_service("Type"), ["oneshot"]);
    assert_eq!(of_service("NoNewPrivileges"), ["yes"]);
    // A run that leaves something waiting is no failed unit.
    let statuses = [Kind::Unavailable, Kind::InDoubt].map(|kind| exit::of_kind(&kind, Scheme::Reply).to_string());
    assert_eq!(of_service("SuccessExitStatus"), [statuses.join(" ")]);
    let written = of_service("ReadWritePaths").join(" ");
    for place in Place::ALL.map(|place| Path::new(place.parent())) {
        let is_written = |path: &str| place.starts_with(path.trim_start_matches('-'));
        assert!(written.split(' ').any(is_written), "{} is not in {written}", place.display());
    }
    // A timer that counts from the last run goes round without a pause while the condition fails; a condition on the
    // timer itself would stop it for good.
    let timer = unit("mailchute-flush.timer", BINARY);
    assert_eq!(values(&timer, "Timer", "OnCalendar"), ["minutely"]);
    assert_eq!(timer.matches("\nOn").count(), 1, "{timer}");
    assert!(!timer.contains("Condition"), "{timer}");
    assert_eq!(values(&timer, "Install", "WantedBy"), ["timers.target"]);
    assert_eq!(flusher::TIMER, "/etc/systemd/system/timers.target.wants/mailchute-flush.timer");
    let cron = unit("mailchute.cron", BINARY);
    let line = cron.lines().find(|line| !line.starts_with('#')).expect("a line");
    assert!(line.starts_with("* * * * * root test -x /usr/local/bin/mailchute && exec "), "{line}");
    assert!(line.ends_with("/usr/local/bin/mailchute queue flush --all --quiet"), "{line}");
}

#[test]
fn systemd_takes_the_units_as_they_are() {
    let Some(analyze) = need("systemd-analyze") else { return };
    if !Path::new("/run/systemd").is_dir() && !nix::unistd::getuid().is_root() {
        return missing("systemd-analyze makes /run/systemd where systemd does not run, which takes root");
    }
    let scratch = Scratch::new();
    let names =
        ["mailchute-flush.service", "mailchute-flush.timer", "mailchute-report@.service", "mailchute-report@.timer"];
    for name in names {
        scratch.write(name, unit(name, env!("CARGO_BIN_EXE_mailchute")), 0o644);
    }
    let run = |words: &[&str]| {
        let mut command = apart(&analyze);
        let output = command.args(words).args(names).current_dir(scratch.path()).output().expect("systemd-analyze");
        let text = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8_lossy(&text).into_owned())
    };
    let (is_fine, said) = run(&["verify", "--man=no"]);
    // It says something about what it does not know, and is content all the same.
    assert!(is_fine && said.is_empty(), "{said}");
    scratch.write(names[1], "[Timer]\nOnCalendar=minutly\n", 0o644);
    assert_ne!(run(&["verify", "--man=no"]), (true, String::new()), "a fault is found");
}
