//! Races: while the neighbour and root really send, the site makes, links, moves and removes whatever it may in every
//! directory that it reaches, and starts and kills processes of its own.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::thread;

use mailchute::keep::Place;
use testkit::{Mailchute, Run, need};

use super::{BLOG, Bench, SHOP, in_both_modes};

/// How many messages the neighbour sends.
const MESSAGES: usize = 60;

/// Makes what it can of names until a file says that it is enough; says how much it did.
const RACER: &str = r#"
    my ($stop, $seed, @directories) = @ARGV; srand($seed);
    my @names = qw(61043 61043.1 61042 61042.1 61044 61044.1 shared shared.1 queue held failed sent relays flush.lock
                   bans 61043.log 61043.1.log 61042.log 61042.log.1 mailchute.log tokens state spool);
    my @targets = qw(/etc/mailchute/secrets/blog /var/spool/mailchute/61043 /var/spool/mailchute/61043/queue
                     /var/lib/mailchute/state/shared /home/shop /home/shop/planted.toml /nonexistent /dev/null);
    my ($done, $tried) = (0, 0);
    until (-e $stop) {
        my $directory = $directories[rand @directories];
        my ($one, $two) = map { "$directory/" . $names[rand @names] } 1, 2;
        my $to = $targets[rand @targets];
        my @acts = (
            sub { mkdir $one, 0777 }, sub { rmdir $one }, sub { symlink $to, $one }, sub { unlink $one },
            sub { rename $one, $two }, sub { link $to, $one }, sub { link $one, $two },
            sub { if (open(my $f, ">>", $one)) { print $f "x\n" } }, sub { open(my $f, ">", $one) },
            sub { utime int(rand 2**33), int(rand 2**33), $one }, sub { chmod 0777, $one }, sub { truncate $one, 10 },
            sub { mkdir "$one/queue", 0777 }, sub { symlink $to, "$one/queue" },
            sub { for my $entry (glob "$one/*") { rename $entry, "$two.x" } },
            sub { chdir $one },
        );
        $tried++; $done++ if $acts[rand @acts]->();
        if ($tried % 400 == 0) { system("rm -rf $_/[0-9]* 2>/dev/null") for @directories }
    }
    print "$tried $done\n";
"#;

/// What became of messages, by what their sender was told and by what the relay and the spool have.
pub(super) struct Ledger {
    /// How often the relay took the message with this ID.
    pub(super) taken: HashMap<String, usize>,
    /// What waits.
    pub(super) kept: String,
}

impl Ledger {
    /// What the relay has by now, and what waits for the neighbour.
    pub(super) fn of(bench: &Bench<'_>) -> Self {
        let mut taken = HashMap::new();
        for text in bench.had.lock().unwrap().iter() {
            let id = text.lines().find_map(|line| line.strip_prefix("Message-ID: <")).unwrap_or_default();
            *taken.entry(id.trim_end_matches('>').to_owned()).or_insert(0) += 1;
        }
        let mut all = super::Snapshot::new();
        for directory in fs::read_dir(Place::Spool.parent()).unwrap().map(|entry| entry.unwrap().path()) {
            if directory.file_name().is_some_and(|name| name.to_string_lossy().starts_with(&BLOG.to_string())) {
                super::walk(&directory, &mut all);
            }
        }
        let kept = all.values().map(|found| String::from_utf8_lossy(&found.content).into_owned()).collect();
        Self { taken, kept }
    }

    /// Sees that a message whose sender was told `status` is there once.
    pub(super) fn judge(&self, bench: &Bench<'_>, id: &str, run: &Run) {
        let waits = usize::from(self.kept.contains(&format!("Message-ID: <{id}>")));
        let times = self.taken.get(id).copied().unwrap_or_default() + waits;
        match times {
            _ if run.status != 0 => bench.breaks(&format!("{id}: the neighbour cannot send: {}", run.report())),
            0 => bench.breaks(&format!("{id} is lost")),
            1 => {}
            _ => bench.breaks(&format!("{id} is doubled: {times} times")),
        }
    }
}

/// Lets the neighbour be served by the relay that asks for no login.
pub(super) fn serve_the_neighbour(bench: &Bench<'_>) {
    let text = format!(
        "[relay.main]\nhost = \"127.0.0.1\"\nport = {}\n[site.blog]\nuser = \"blog\"\nfrom = \"blog@blog.example\"\n",
        bench.open.port()
    );
    let file = "/etc/mailchute/sites.d/blog.toml";
    let of = fs::metadata(file).unwrap();
    bench.host.write_as(file, &text, 0o640, (of.uid(), of.gid()));
    // That of before stays where it is.
    let id = bench.id.borrow().clone();
    Mailchute::new(&bench.binary).uid(BLOG).args(["queue", "hold", &id]).run().expect_status(0);
}

/// The neighbour sends the message with this ID.
pub(super) fn send_as_neighbour(bench_binary: &Path, id: &str) -> Run {
    let message =
        format!("From: blog@blog.example\r\nMessage-ID: <{id}>\r\nSubject: x\r\n\r\n{}\r\n", super::BLOG_TEXT);
    Mailchute::new(bench_binary).uid(BLOG).args(["-i", "bob@example.net"]).stdin(message).run()
}

#[test]
fn no_race_moves_loses_or_doubles_what_others_send() {
    if need("perl").is_none() {
        return;
    }
    in_both_modes("races", |bench| {
        serve_the_neighbour(bench);
        let stop = bench.host.scratch().join("stop");
        let mut directories: Vec<String> = Place::ALL.iter().map(|place| place.parent().to_owned()).collect();
        directories.extend(Place::ALL.iter().map(|place| format!("{}/{SHOP}", place.parent())));
        directories.extend(["/home/shop".to_owned(), "/home/shop/.local/state/mailchute".to_owned()]);
        let racers: Vec<_> = (0..3)
            .map(|seed| {
                let words = ["-e", RACER, stop.to_str().unwrap(), &seed.to_string()].map(str::to_owned);
                Mailchute::new("/usr/bin/perl").uid(SHOP).args(words).args(directories.clone()).spawn()
            })
            .collect();
        let script = format!(
            "n=0; while [ ! -e {stop} ]; do n=$((n + 1)); echo 'Subject: x' | timeout -s KILL 0.0$((n % 7)) {binary} -i bob@example.net; \
             timeout -s KILL 0.0$((n % 5)) {binary} queue flush; done >/dev/null 2>&1; echo $n",
            stop = stop.display(),
            binary = bench.binary.display()
        );
        let killer = Mailchute::new("/bin/sh").uid(SHOP).args(["-c", &script]).spawn();
        let (binary, mode) = (bench.binary.clone(), bench.mode);
        let sent: Vec<(String, Run)> = thread::scope(|scope| {
            let binary = &binary;
            let send = move |from: usize| -> Vec<(String, Run)> {
                let ids = (from..MESSAGES).step_by(3).map(|number| format!("{number}@race.example"));
                ids.map(|id| (id.clone(), send_as_neighbour(binary, &id))).collect()
            };
            let three: Vec<_> = (0..3).map(|from| scope.spawn(move || send(from))).collect();
            let mut rounds = 0;
            while rounds == 0 || three.iter().any(|sender| !sender.is_finished()) {
                rounds += 1;
                for words in [
                    &["queue", "flush", "--all", "--quiet"][..],
                    &["queue", "list", "--json"],
                    &["init", "--users"],
                    &["log", "-n", "5"],
                    &["report"],
                ] {
                    let run = Mailchute::new(binary).args(words.iter().copied()).run();
                    // What the site did to directories of its own is what its own process ends with: it cannot make
                    // or read something there (73, 74, 77).
                    if ![0, 1, 69, 73, 74, 77, 79].contains(&run.status) {
                        bench.breaks(&format!("root's {words:?}, {mode}: {}", run.report()));
                    }
                }
            }
            three.into_iter().flat_map(|sender| sender.join().unwrap()).collect()
        });
        fs::write(&stop, "").unwrap();
        for racer in racers {
            let run = racer.finish();
            let tried: usize = run.stdout.split(' ').next().unwrap_or_default().parse().unwrap_or_default();
            assert!(tried > 100, "{}", run.report());
            bench.tried.set(bench.tried.get() + tried);
        }
        let rounds: usize = killer.finish().stdout.trim().parse().unwrap();
        bench.tried.set(bench.tried.get() + rounds);
        let flushed = Mailchute::new(&bench.binary).uid(BLOG).args(["queue", "flush"]).run();
        bench.judge_text("flush", &flushed.stderr);
        let ledger = Ledger::of(bench);
        for (id, run) in &sent {
            ledger.judge(bench, id, run);
        }
        assert_eq!(sent.len(), MESSAGES);
        // Nothing has come to where the site looks.
        let places = Place::ALL.map(Place::parent).join(" ");
        let script = format!("find /home/shop {places} -uid {SHOP} -type f -exec cat {{}} +");
        let found = Mailchute::new("/bin/sh").args(["-c", &script]).run();
        bench.judge_text("what the site has in the end", &found.stdout);
        bench.accept();
    });
}
