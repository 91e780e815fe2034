//! Variables: all that this program, its libraries or the C library may look at.

use std::fs;
use std::path::Path;
use std::process::Command;

use testkit::need;

use super::{BLOG, Bench, Mode, PLANTED, SHOP, in_both_modes, in_mode};

const VARIABLES: [&str; 58] = [
    "MAILCHUTE_CONFIG",
    "MAILCHUTE_URL",
    "MAILCHUTE_SITE",
    "MAILCHUTE_USERNAME",
    "MAILCHUTE_PASSWORD",
    "MAILCHUTE_PASSWORD_FILE",
    "MAILCHUTE_KEY",
    "MAILCHUTE_KEY_FILE",
    "MAILCHUTE_FROM",
    "MAILCHUTE_LOG",
    "MAILCHUTE_BACKUP_URL",
    "MAILCHUTE_BACKUP_PASSWORD_FILE",
    "MAILER_DSN",
    "MAIL_MAILER",
    "MAIL_HOST",
    "MAIL_URL",
    "HOME",
    "USER",
    "LOGNAME",
    "SHELL",
    "PATH",
    "PWD",
    "TMPDIR",
    "TMP",
    "TEMP",
    "TZ",
    "TZDIR",
    "LANG",
    "LC_ALL",
    "LOCPATH",
    "XDG_CONFIG_HOME",
    "XDG_STATE_HOME",
    "XDG_CACHE_HOME",
    "XDG_RUNTIME_DIR",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "SSLKEYLOGFILE",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "https_proxy",
    "ALL_PROXY",
    "NO_PROXY",
    "CREDENTIALS_DIRECTORY",
    "AWS_CONFIG_FILE",
    "AWS_SHARED_CREDENTIALS_FILE",
    "AWS_PROFILE",
    "LD_LIBRARY_PATH",
    "LD_AUDIT",
    "GCONV_PATH",
    "HOSTALIASES",
    "LOCALDOMAIN",
    "RES_OPTIONS",
    "MALLOC_TRACE",
    "RUST_BACKTRACE",
    "RUST_LOG",
    "NOTIFY_SOCKET",
    "LISTEN_FDS",
    "JOURNAL_STREAM",
];

#[test]
fn no_variable_moves_a_message_or_shows_a_secret() {
    in_both_modes("variables", |bench| {
        let planted = bench.planted.as_ref().unwrap().port();
        let url = format!("smtp://x:y@127.0.0.1:{planted}");
        let entry = bench.waiting().display().to_string();
        let values =
            [PLANTED, "/home/shop", &url, "/etc/mailchute/secrets/blog", &entry, "blog", "/home/shop/.config", ""];
        for (number, variable) in VARIABLES.into_iter().enumerate() {
            // Each has three of them alone, and all below.
            for value in values.iter().cycle().skip(number).step_by(3).take(3) {
                let call = bench.call().env(variable, value).args(["-i", "bob@example.net"]);
                let run = bench.attempt(&format!("{variable}={value}"), call);
                // A host that has a configuration has this one; a site that is asked for by name may be refused.
                let is_asked_for =
                    bench.mode == Mode::OwnRights && ["MAILCHUTE_CONFIG", "MAILCHUTE_SITE"].contains(&variable);
                if run.status != 0 && !is_asked_for && !variable.starts_with("LD_") {
                    bench.breaks(&format!("{variable}={value} stops a message: {}", run.report()));
                }
            }
        }
        for value in values {
            for words in [
                &["-v", "-i", "bob@example.net"][..],
                &["explain", "-i", "bob@example.net"],
                &["test", "--to", "bob@example.net"],
                &["login", "--status"],
                &["login"],
                &["queue"],
                &["queue", "flush"],
                &["lint"],
                &["init", "--from-env"],
                &["-bv", "bob@example.net"],
                &["-bp"],
                &["-q"],
            ] {
                // Nothing is said of the loader by what it is told to load.
                let variables = VARIABLES.into_iter().filter(|name| !name.starts_with("LD_"));
                let call = variables.fold(bench.call(), |call, name| call.env(name, value));
                bench.attempt(&format!("all of them {value:?}, {words:?}"), call.args(words.iter().copied()));
            }
        }
    });
}

#[test]
fn no_library_is_loaded_into_it() {
    let Some(gcc) = need("gcc") else { return };
    let attempts = |bench: &Bench<'_>| {
        let source = bench.host.write_as(
            "/home/shop/library.c",
            "#include <stdio.h>\n#include <unistd.h>\n__attribute__((constructor)) static void begin(void) {\n\
             FILE *file = fopen(\"/home/shop/loaded\", \"a\"); if (file) { fprintf(file, \"%d\\n\", getegid()); fclose(file); } }\n",
            0o644,
            (SHOP, SHOP),
        );
        let library = Path::new("/home/shop/library.so");
        let made = Command::new(&gcc).args(["-shared", "-fPIC", "-o"]).arg(library).arg(source).status();
        assert!(made.unwrap().success());
        for variable in ["LD_PRELOAD", "LD_AUDIT", "GLIBC_TUNABLES"] {
            for words in [&["-i", "bob@example.net"][..], &["queue", "flush"], &["explain", "bob@example.net"]] {
                bench.attempt(
                    &format!("{variable} {words:?}"),
                    bench.call().env(variable, library).args(words.iter().copied()),
                );
            }
        }
        let loaded = fs::read_to_string("/home/shop/loaded").unwrap_or_default();
        if loaded.lines().any(|gid| gid != SHOP.to_string()) || !loaded.is_empty() && bench.mode == Mode::SetGroupId {
            bench.breaks(&format!("a library of the site's ran with the gids {loaded:?}, {BLOG}"));
        }
        // Without a group of its own, it is the site's own process.
        assert_eq!(loaded.is_empty(), bench.mode == Mode::SetGroupId, "the library does load where nothing forbids it");
    };
    in_mode(Mode::OwnRights, "libraries", &attempts);
    in_mode(Mode::SetGroupId, "libraries", &attempts);
}
