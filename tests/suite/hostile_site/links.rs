//! Names: links, FIFOs and directories of the site's wherever it can write, before and while others send.

use std::fs;
use std::path::Path;

use mailchute::keep::Place;
use testkit::Mailchute;

use super::{BLOG, Bench, Mode, SHOP, in_both_modes};
use crate::setup::MESSAGE;

/// What the site lays at a name, as a shell says it.
const THINGS: [&str; 9] = [
    "mkdir NAME",
    "mkdir -p NAME/queue",
    "ln -s /etc NAME",
    "ln -s /home/shop NAME",
    "ln -s /etc/mailchute/secrets/blog NAME",
    "ln -s /nonexistent NAME",
    "ln /home/shop/planted.toml NAME",
    "mkfifo NAME",
    "echo x > NAME",
];

fn shell(script: &str) -> Mailchute {
    Mailchute::new("/bin/sh").uid(SHOP).args(["-c", script])
}

/// What the neighbour and root do, whatever has been laid: everybody's mail is sent or kept.
fn others(bench: &Bench<'_>, what: &str) {
    let new = format!("{}/61044", Place::Spool.parent());
    for words in [&["init", "--users"][..], &["queue", "list"], &["queue", "list", "--json", "--summary"]] {
        let run = Mailchute::new(&bench.binary).args(words.iter().copied()).run();
        bench.judge(&format!("{what}: root's {words:?}"), "");
        if run.status != 0 {
            bench.breaks(&format!("{what}: root's {words:?}: {}", run.report()));
        }
    }
    assert!(!Path::new(&new).exists(), "nobody has this uid");
    // Nothing that root or the neighbour lays lands where the site looks.
    let found = shell("cat /home/shop/* 2>/dev/null; ls -R /home/shop").run();
    bench.judge(&format!("{what}: what has come to the site"), &found.stdout);
}

#[test]
fn no_name_that_it_takes_moves_what_is_another_sites() {
    in_both_modes("names in the parents", |bench| {
        for place in Place::ALL {
            let parent = place.parent();
            for name in [&BLOG.to_string(), &format!("{BLOG}.1"), "0", "shared", "61044.1", &SHOP.to_string()] {
                for thing in THINGS {
                    let path = format!("{parent}/{name}");
                    let script = thing.replace("NAME", &path);
                    let run = bench.attempt(&script, shell(&script));
                    if bench.mode == Mode::SetGroupId && run.status == 0 {
                        bench.breaks(&format!("{script}: done"));
                    }
                    if run.status == 0 {
                        others(bench, &script);
                        // Only what the site has laid is the site's to take away.
                        shell(&format!("rm -rf {path}")).run();
                    }
                }
                for thing in [
                    "mv PATH /home/shop/x",
                    "rm -rf PATH",
                    "chmod -R 777 PATH",
                    "ls PATH",
                    "cat PATH/*/*",
                    "touch PATH/x",
                    "ln -sf /home/shop PATH/queue",
                ] {
                    if *name == SHOP.to_string() && bench.mode == Mode::OwnRights {
                        continue;
                    }
                    let script = thing.replace("PATH", &format!("{parent}/{name}"));
                    bench.attempt(&script, shell(&script));
                }
            }
        }
    });
}

#[test]
fn no_link_in_what_is_its_own_leads_the_program_elsewhere() {
    in_both_modes("links in its own directories", |bench| {
        let victim = bench.waiting();
        let victim = victim.display();
        let own = |place: Place| format!("{}/{SHOP}", place.parent());
        let mut scripts = Vec::new();
        for place in Place::ALL {
            for name in ["queue", "held", "failed", "sent", "relays", "flush.lock", "x.json", "x.lock", "log", "bans"] {
                for to in [
                    format!("{}/{BLOG}", place.parent()),
                    format!("{}/{BLOG}/queue", Place::Spool.parent()),
                    victim.to_string(),
                    format!("{}/shared", place.parent()),
                    "/etc/mailchute/secrets".to_owned(),
                    "/home/shop".to_owned(),
                ] {
                    scripts.push(format!("rm -rf {0}/{name}; ln -s {to} {0}/{name}", own(place)));
                }
                scripts.push(format!("rm -rf {0}/{name}; mkfifo {0}/{name}", own(place)));
            }
        }
        scripts.push(format!("rm -rf /home/shop/.local; mkdir -p /home/shop/.local/state/mailchute; ln -s {}/{BLOG} /home/shop/.local/state/mailchute/spool", Place::Spool.parent()));
        scripts.push(format!("rm -rf /home/shop/.local; mkdir -p /home/shop/.local/state/mailchute; ln -s {}/shared /home/shop/.local/state/mailchute/spool", Place::State.parent()));
        scripts.push(format!("rm -rf /home/shop/.local; mkdir -p /home/shop/.local/state/mailchute; ln -s {}/{BLOG} /home/shop/.local/state/mailchute/tokens", Place::Tokens.parent()));
        for (number, script) in scripts.into_iter().enumerate() {
            let run = bench.attempt(&script, shell(&script));
            if bench.mode == Mode::SetGroupId && run.status != 0 && number % 16 != 0 {
                // Nothing was laid.
                continue;
            }
            for words in [&["queue", "list"][..], &["queue", "flush"], &["-i", "bob@example.net"]] {
                bench.attempt(&format!("{script}: {words:?}"), bench.call().args(words.iter().copied()));
            }
        }
        // Whatever the site has made of its own directories, root's run comes to an end.
        let run = Mailchute::new(&bench.binary).args(["queue", "list"]).stdin(MESSAGE).run();
        bench.judge("root's list", "");
        if ![0, 73, 74, 77].contains(&run.status) {
            bench.breaks(&run.report());
        }
        drop(fs::remove_dir_all("/home/shop/.local"));
    });
}
