//! What `install.sh` puts in place, and what it takes away.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Stdio};

use testkit::Scratch;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Runs `install.sh` into `destination` and fails unless it works.
fn install(destination: &Path, arguments: &[&str]) -> String {
    let output = Command::new("/bin/sh")
        .arg(root().join("install.sh"))
        .args(arguments)
        .env("DESTDIR", destination)
        .env("PREFIX", "/opt/mailchute")
        .stdin(Stdio::null())
        .output()
        .expect("a shell");
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
    fs::create_dir_all(destination.join("usr/lib/tmpfiles.d")).expect("a directory");
    fs::create_dir_all(destination.join("opt/mailchute/lib/tmpfiles.d")).expect("a directory");
    let runtime = destination.join("opt/mailchute/lib/tmpfiles.d/mailchute.conf");
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
        assert_eq!(fs::read_to_string(&runtime).expect("a file"), "d /run/mailchute 1733 root root -\n");
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
