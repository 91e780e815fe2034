//! What the judge is worth: on hosts where something is laid wrongly an attempt succeeds, and has to be told.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;

use mailchute::keep::Place;
use nix::fcntl::{Flock, FlockArg};
use testkit::{Host, Mailchute, need};

use super::races::Ledger;
use super::{BLOG, Bench, GROUP, Mode, SHOP, USERS, races, records, resources, speaks, stops};

/// One thing laid wrongly.
struct Breach {
    /// What is wrong.
    what: &'static str,
    mode: Mode,
    /// Lays it, and makes the attempt.
    attempt: fn(&mut Bench<'_>),
    /// What the judge says.
    told: &'static str,
}

fn open(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

/// Opens the way to the neighbour's message.
fn open_queue(bench: &Bench<'_>) {
    let entry = bench.waiting();
    let own = Path::new(Place::Spool.parent()).join(BLOG.to_string());
    for path in [own.parent().unwrap(), &own, &own.join("queue")] {
        open(path, 0o777);
    }
    open(&entry, 0o666);
    bench.accept();
}

/// The site runs `script` in a shell.
fn shell(bench: &Bench<'_>, script: &str) {
    bench.attempt(script, Mailchute::new("/bin/sh").uid(SHOP).args(["-c", script]));
}

const BREACHES: [Breach; 20] = [
    Breach {
        what: "everybody reads the neighbour's secret",
        mode: Mode::OwnRights,
        attempt: |bench| {
            open(Path::new("/etc/mailchute/secrets/blog"), 0o644);
            bench.accept();
            shell(bench, "cat /etc/mailchute/secrets/blog");
        },
        told: "the-secret-of-blog-7f3a is told",
    },
    Breach {
        what: "everybody reads the site's own secret",
        mode: Mode::SetGroupId,
        attempt: |bench| {
            open(Path::new("/etc/mailchute/secrets/shop"), 0o644);
            bench.accept();
            shell(bench, "cat /etc/mailchute/secrets/shop");
        },
        told: "the-secret-of-shop-7f3a is told",
    },
    Breach {
        what: "the caller is in the binary's group",
        mode: Mode::SetGroupId,
        attempt: |bench| {
            let words = ["--reuid=61042", "--regid=61042", "--groups=61050", "cat", "/etc/mailchute/secrets/blog"];
            bench.attempt("cat", Mailchute::new("/usr/bin/setpriv").args(words));
        },
        told: "the-secret-of-blog-7f3a is told",
    },
    Breach {
        what: "everybody reads the neighbour's token",
        mode: Mode::SetGroupId,
        attempt: |bench| {
            let own = Path::new(Place::Tokens.parent()).join(BLOG.to_string());
            open(own.parent().unwrap(), 0o777);
            open(&own, 0o755);
            open(&own.join("0123456789abcdef.json"), 0o644);
            bench.accept();
            shell(bench, "cat /var/lib/mailchute/tokens/*/*.json");
        },
        told: "the-token-of-blog-7f3a is told",
    },
    Breach {
        what: "everybody reads the neighbour's message",
        mode: Mode::OwnRights,
        attempt: |bench| {
            open_queue(bench);
            shell(bench, "cat /var/spool/mailchute/61043/queue/*");
        },
        told: "the-message-of-blog-7f3a is told",
    },
    Breach {
        what: "everybody moves the neighbour's message",
        mode: Mode::SetGroupId,
        attempt: |bench| {
            open_queue(bench);
            shell(bench, "mv /var/spool/mailchute/61043/queue/* /home/shop");
        },
        told: "changed {\"/var/spool/mailchute/61043/queue/",
    },
    Breach {
        what: "everybody removes what the neighbour would see",
        mode: Mode::OwnRights,
        attempt: |bench| {
            open_queue(bench);
            shell(bench, "rm /var/spool/mailchute/61043/queue/*");
        },
        told: "the neighbour cannot see its own message",
    },
    Breach {
        what: "everybody says when the neighbour's message is due",
        mode: Mode::SetGroupId,
        attempt: |bench| {
            open_queue(bench);
            // To set another time than now takes the owner; writing takes nobody but who may write.
            shell(bench, "touch /var/spool/mailchute/61043/queue/*");
        },
        told: "changed {\"/var/spool/mailchute/61043/queue/",
    },
    Breach {
        what: "everybody writes the configuration",
        mode: Mode::OwnRights,
        attempt: |bench| {
            open(Path::new("/etc/mailchute/config.toml"), 0o666);
            bench.accept();
            shell(bench, "echo '# mine' >> /etc/mailchute/config.toml");
        },
        told: "changed {\"/etc/mailchute/config.toml\"}",
    },
    Breach {
        what: "everybody makes names in a parent that is not sticky",
        mode: Mode::SetGroupId,
        attempt: |bench| {
            open(Path::new(Place::Log.parent()), 0o777);
            bench.accept();
            fs::create_dir_all("/var/log/mailchute/61043").unwrap();
            chown("/var/log/mailchute/61043", Some(BLOG), Some(BLOG)).unwrap();
            bench.accept();
            shell(bench, "mv /var/log/mailchute/61043 /var/log/mailchute/x");
        },
        told: "changed {\"/var/log/mailchute/61043\"",
    },
    Breach {
        what: "the binary has lost its group, and the site's own configuration counts",
        mode: Mode::SetGroupId,
        attempt: |bench| {
            let port = bench.planted.as_ref().unwrap().port();
            let lines = format!("[relay.main]\nhost = \"127.0.0.1\"\nport = {port}\n");
            bench.host.write_as("/home/shop/loose.toml", &lines, 0o644, (SHOP, SHOP));
            chown(&bench.binary, Some(0), Some(0)).unwrap();
            let call = bench.call().config(Path::new("/home/shop/loose.toml")).args(["-i", "bob@example.net"]);
            bench.attempt("--config", call);
        },
        told: "connections were made to the site's own server",
    },
    Breach {
        what: "the neighbour's directory is another's",
        mode: Mode::SetGroupId,
        attempt: |bench| {
            let spool = Path::new(Place::Spool.parent()).join(BLOG.to_string());
            chown(&spool, Some(SHOP), None).unwrap();
            shell(bench, "true");
        },
        told: "the neighbour cannot see its own message",
    },
    Breach {
        what: "the neighbour's configuration is gone",
        mode: Mode::OwnRights,
        attempt: |bench| {
            open(Path::new("/etc/mailchute/sites.d/blog.toml"), 0o600);
            chown("/etc/mailchute/sites.d/blog.toml", Some(0), Some(0)).unwrap();
            shell(bench, "true");
        },
        told: "the neighbour cannot send",
    },
    Breach {
        what: "everybody removes what is counted",
        mode: Mode::SetGroupId,
        attempt: |bench| {
            bench.configure("shop", "limit = \"1/day\"");
            for parent in ["/var/lib/mailchute/state", "/var/lib/mailchute/state/shared"] {
                open(Path::new(parent), 0o777);
            }
            bench.accept();
            for _ in 0..3 {
                bench.attempt("send", bench.call().args(["-i", "bob@example.net"]));
                shell(bench, "rm -f /var/lib/mailchute/state/*/limit-*");
            }
            bench.holds("rm", 1);
        },
        told: "the limit of 1 is exceeded",
    },
    Breach {
        what: "what all share is one uid's alone",
        mode: Mode::SetGroupId,
        attempt: |bench| {
            let path = "/var/lib/mailchute/state/shared/limit-x";
            bench.host.write_as(path, "", 0o600, (SHOP, GROUP));
            shell(bench, "true");
            resources::shared_is_whole(bench);
        },
        told: "so that others are kept out",
    },
    Breach {
        what: "nobody ends who holds what all share",
        mode: Mode::SetGroupId,
        attempt: |bench| {
            stops::share_a_relay(bench);
            stops::others_go_on(bench, "before");
            assert!(bench.broken.borrow().is_empty());
            let shared = fs::read_dir("/var/lib/mailchute/state/shared").unwrap().map(|entry| entry.unwrap().path());
            let counters = shared.filter(|path| path.display().to_string().contains("/limit-"));
            let held: Vec<_> = counters
                .map(|path| Flock::lock(fs::File::open(path).unwrap(), FlockArg::LockExclusive).unwrap())
                .collect();
            stops::others_go_on(bench, "locked");
            shell(bench, "true");
            drop(held);
        },
        told: "locked: the neighbour cannot send in time",
    },
    Breach {
        what: "everybody removes the neighbour's messages while it sends",
        mode: Mode::OwnRights,
        attempt: |bench| {
            let run = races::send_as_neighbour(&bench.binary, "1@race.example");
            for directory in ["", "/61043", "/61043/queue"] {
                open(Path::new(&format!("/var/spool/mailchute{directory}")), 0o777);
            }
            fs::read_dir("/var/spool/mailchute/61043/queue")
                .unwrap()
                .for_each(|entry| open(&entry.unwrap().path(), 0o644));
            bench.accept();
            shell(bench, "rm $(grep -l 1@race.example /var/spool/mailchute/61043/queue/*)");
            Ledger::of(bench).judge(bench, "1@race.example", &run);
        },
        told: "1@race.example is lost",
    },
    Breach {
        what: "a message goes twice",
        mode: Mode::OwnRights,
        attempt: |bench| {
            races::serve_the_neighbour(bench);
            bench.accept();
            for _ in 0..2 {
                let run = races::send_as_neighbour(&bench.binary, "1@race.example");
                Ledger::of(bench).judge(bench, "1@race.example", &run);
            }
            shell(bench, "true");
        },
        told: "1@race.example is doubled: 2 times",
    },
    Breach {
        what: "everybody writes records",
        mode: Mode::SetGroupId,
        attempt: |bench| {
            let before = records::of_blog(bench);
            for (path, mode) in [("", 0o777), ("/shared", 0o777), ("/shared/mailchute.log", 0o666)] {
                open(Path::new(&format!("/var/log/mailchute{path}")), mode);
            }
            bench.accept();
            shell(
                bench,
                "grep -h blog /var/log/mailchute/shared/mailchute.log >> /var/log/mailchute/shared/mailchute.log",
            );
            shell(
                bench,
                "cp /var/log/mailchute/shared/mailchute.log /home/shop/x; cat /home/shop/x >> /var/log/mailchute/shared/mailchute.log",
            );
            for (path, mode) in [("", 0o3770), ("/shared", 0o2770)] {
                open(Path::new(&format!("/var/log/mailchute{path}")), mode);
            }
            records::judge(bench, "forged", &before);
        },
        told: "forged: the neighbour's records were",
    },
    Breach {
        what: "a message goes of which the caller is not told",
        mode: Mode::SetGroupId,
        attempt: |bench| {
            bench.attempt("send", bench.call().args(["-i", "bob@example.net"]));
            let run = bench.attempt("queue", bench.call().arg("queue"));
            speaks::judge(bench, "smuggled", 0, &run);
        },
        told: "smuggled: 1 messages went, and the caller was told of 0",
    },
];

#[test]
fn the_judge_notices_what_is_laid_wrongly() {
    if need("setpriv").is_none() {
        return;
    }
    for Breach { what, mode, attempt, told } in BREACHES {
        Host::run(&USERS, |host| {
            let mut bench = Bench::new(host, mode);
            attempt(&mut bench);
            let (tried, broken) = bench.outcome();
            let is_told = broken.iter().any(|line| line.contains(told));
            assert!(is_told && tried > 0, "{what}, {mode}: {tried} attempts, not told: {told}\n{}", broken.join("\n"));
        });
    }
}
