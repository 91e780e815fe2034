//! What the packages' own files say and do. `.ci/packages` tries the packages themselves.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use mailchute::keep::Place;
use mailchute::spool::flusher;
use testkit::Host;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(name: &str) -> String {
    fs::read_to_string(root().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

#[test]
fn every_file_names_the_version_that_is_packaged() {
    let version = env!("CARGO_PKG_VERSION");
    let manifest = read("Cargo.toml");
    assert!(manifest.contains(&format!("depends = [\"mailchute (= {version}-1)\"]")), "mailchute-mta needs its own");
    let play = read("examples/ansible/mailchute.yml");
    assert!(play.contains(&format!("mailchute_version: {version}-1\n")), "the play for Ansible");
}

/// `install.sh` on the host itself, where these programs are found before others.
fn installer(host: &Host<'_>, prefix: &str, words: &[&str]) -> (bool, String) {
    let path = format!("{}:{}", host.scratch().join("bin").display(), std::env::var("PATH").unwrap_or_default());
    let mut command = testkit::apart("/bin/sh");
    command.arg(root().join("install.sh")).args(words).env("PREFIX", prefix).env("PATH", path).env_remove("DESTDIR");
    let output = command.output().expect("a shell");
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&said).into_owned())
}

#[test]
fn the_installer_leaves_a_package_alone() {
    Host::run(&[], |host| {
        let scratch = host.scratch();
        let binary = ["--binary", env!("CARGO_BIN_EXE_mailchute")];
        let prefix = scratch.join("opt").display().to_string();
        let installed = scratch.join("opt/bin/mailchute");
        for (program, answer) in [("dpkg-query", "printf installed"), ("rpm", "exit 0")] {
            scratch.write(&format!("bin/{program}"), format!("#!/bin/sh\n{answer}\n"), 0o755);
            let (is_done, said) = installer(host, &prefix, &binary);
            assert!(!is_done && said.contains("is installed as a package"), "{program}: {said}");
            assert!(!installed.exists(), "{program}");
            let (is_done, said) = installer(host, "/usr", &["--uninstall"]);
            assert!(!is_done && said.contains("is the package's"), "{program}: {said}");
            // One that was removed is none.
            scratch.write(&format!("bin/{program}"), "#!/bin/sh\nprintf config-files\nexit 1\n", 0o755);
        }
        let (is_done, said) = installer(host, &prefix, &binary);
        assert!(is_done && installed.exists(), "{said}");
        // The package came after it: what both use is the package's now.
        scratch.write("bin/rpm", "#!/bin/sh\nexit 0\n", 0o755);
        let (is_done, said) = installer(host, &prefix, &["--uninstall"]);
        assert!(is_done && !installed.exists(), "{said}");
        assert!(Path::new(Place::Spool.parent()).is_dir(), "{said}");
    });
}

#[test]
fn every_script_knows_where_things_are_kept_and_for_whom() {
    let mut places = Place::ALL.map(Place::parent);
    places.sort_unstable();
    let sorted = |words: &str| {
        let mut names: Vec<_> = words.split_whitespace().map(str::to_owned).collect();
        names.sort_unstable();
        names
    };
    let prepare = read("examples/packages/prepare");
    let open = prepare.lines().find(|line| line.starts_with("directory 1733 ")).expect("what everybody may enter");
    assert_eq!(sorted(open.trim_start_matches("directory 1733 ")), places);
    let installer = read("install.sh");
    let named = installer.lines().find_map(|line| line.strip_prefix("places=\"")?.strip_suffix('"')).expect("places");
    assert_eq!(sorted(named), places, "install.sh");
    // What is empty goes when the package does, the places before what they are in.
    for script in ["deb/postrm", "rpm/postun"] {
        let text = read(&format!("examples/packages/{script}")).replace("\\\n", " ");
        let spool = format!("\nspool={}\n", Place::Spool.parent());
        assert!(script != "deb/postrm" || text.contains(&spool), "{script}");
        let line = text.lines().find_map(|line| line.trim().strip_prefix("for parent in ")).expect("a loop");
        let line = line.replace("\"$spool\"", Place::Spool.parent());
        let names = line.trim_end_matches("; do").trim_end();
        let above =
            names.strip_suffix("/var/lib/mailchute /etc/mailchute").unwrap_or_else(|| panic!("{script}: {names}"));
        assert_eq!(sorted(above), places, "{script}");
    }
    // What the host makes anew has the group in the same lines.
    let rule = |text: &str| {
        let start = text.find("s|^d ").expect("an expression");
        text[start..].split_inclusive('|').take(3).collect::<String>()
    };
    assert_eq!(rule(&prepare), rule(&installer));
}

#[test]
fn a_timer_that_was_disabled_stays_so_when_the_package_takes_over() {
    Host::run(&[], |host| {
        let scratch = host.scratch();
        let prefix = scratch.join("opt").display().to_string();
        fs::create_dir_all(flusher::SYSTEMD).expect("a directory");
        let systemctl = "#!/bin/sh\necho \"$*\" >>\"${0%/*}/asked\"\n\
                         case $* in *is-enabled*) [ -e \"${0%/*}/enabled\" ] ;; esac\n";
        scratch.write("bin/systemctl", systemctl, 0o755);
        scratch.write("bin/enabled", "", 0o644);
        for is_enabled in [true, false] {
            let package = |is_there: bool| {
                scratch.write("bin/rpm", format!("#!/bin/sh\n{is_there}\n"), 0o755);
            };
            package(false);
            let (is_done, said) = installer(host, &prefix, &["--binary", env!("CARGO_BIN_EXE_mailchute")]);
            assert!(is_done, "{said}");
            package(true);
            fs::remove_file(scratch.join("bin/asked")).expect("what it asked");
            let (is_done, said) = installer(host, &prefix, &["--uninstall"]);
            assert!(is_done, "{said}");
            let asked = fs::read_to_string(scratch.join("bin/asked")).expect("what it asked");
            assert!(asked.contains("disable --now"), "{asked}");
            assert_eq!(asked.ends_with("daemon-reload\nenable --now mailchute-flush.timer\n"), is_enabled, "{asked}");
            let _ = fs::remove_file(scratch.join("bin/enabled"));
        }
    });
}

#[test]
fn a_purge_removes_no_message_that_waits_and_follows_no_link() {
    Host::run(&[("shop", 61042)], |host| {
        let spool = Path::new(Place::Spool.parent());
        let lay = |name: &str| {
            let path = spool.join(name);
            fs::create_dir_all(path.parent().expect("a folder")).expect("a directory");
            fs::write(path, "a message").expect("a file");
        };
        let waits = ["61042/queue/one", "61042/held/two", "shared/queue/three"];
        let is_done_with = ["61042/failed/four", "61042/sent/five", "61042/flush.lock", "61043/sent/six"];
        waits.iter().chain(&is_done_with).for_each(|name| lay(name));
        let victim = host.scratch().join("victim");
        let kept = host.scratch().write("victim/failed/kept", "another's", 0o600);
        symlink(&victim, spool.join("61044")).expect("a link");
        symlink(victim.join("failed"), spool.join("61042/sent/link")).expect("a link");
        host.write("/etc/mailchute/config.toml", "", 0o644);
        host.scratch().write("bin/deb-systemd-helper", "#!/bin/sh\n", 0o755);
        let path = format!("{}:{}", host.scratch().join("bin").display(), std::env::var("PATH").unwrap_or_default());
        for action in ["remove", "purge", "purge"] {
            let mut command = testkit::apart("/bin/sh");
            command.arg(root().join("examples/packages/deb/postrm")).arg(action).env("PATH", &path);
            let output = command.output().expect("a shell");
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success() && said.contains(": 3"), "{action}: {said}");
            let is_purged = action == "purge";
            assert_eq!(Path::new("/etc/mailchute").exists(), !is_purged, "{action}");
            assert!(waits.iter().all(|name| spool.join(name).exists()), "{action}: {said}");
            assert!(is_done_with.iter().all(|name| spool.join(name).exists() != is_purged), "{action}");
            assert!(kept.exists(), "{action} follows a link");
        }
        assert!(!spool.join("61043").exists() && fs::symlink_metadata(spool.join("61044")).is_err());
    });
}
