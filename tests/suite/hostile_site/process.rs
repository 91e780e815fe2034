//! The process itself, while it waits for a relay: procfs, ptrace(2) and its like, cores, limits, and what it inherits.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use testkit::{Mailchute, Running, need};

use super::{Bench, Mode, SHOP, in_both_modes};

/// Lets the relay of `shop` be one that says nothing.
fn silent(bench: &Bench<'_>) -> TcpListener {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let file = "/etc/mailchute/sites.d/shop.toml";
    let text = fs::read_to_string(file).unwrap();
    let port = bench.server.as_ref().unwrap().port().to_string();
    let text = text.replace(&port, &listener.local_addr().unwrap().port().to_string());
    let of = fs::metadata(file).unwrap();
    bench.host.write_as(file, &text, 0o640, (of.uid(), of.gid()));
    bench.accept();
    listener
}

/// A process of the site's that waits for the relay.
fn held(listener: &TcpListener, call: Mailchute) -> (Running, TcpStream) {
    let running = call.args(["-i", "bob@example.net"]).spawn();
    let (connection, _) = listener.accept().unwrap();
    (running, connection)
}

/// What is tried against another process: each line that is printed is a success. The numbers are those of x86-64.
const TRIES: &str = r#"
    my $pid = shift;
    sub told { my ($what, $text) = @_; $text =~ s/[^ -~]/./g; print "got $what: ", substr($text, 0, 2000), "\n"; }
    my $tried = 0;
    for my $name (qw(mem environ maps smaps smaps_rollup numa_maps auxv io syscall stack pagemap personality
                     clear_refs coredump_filter timers mountinfo)) {
        $tried++;
        # These tell everybody nothing.
        next if $name =~ /mountinfo|timers|coredump_filter/;
        if (open(my $file, "<", "/proc/$pid/$name")) {
            my $text = ""; my $read = sysread($file, $text, 4096);
            # Some may be opened and tell nothing.
            told($name, $text) if $read;
        }
        $tried++;
        if (open(my $file, "+<", "/proc/$pid/$name")) { told("$name for writing", ""); }
    }
    for my $name (qw(cwd root exe)) { $tried++; my $to = readlink("/proc/$pid/$name"); told($name, $to) if defined $to; }
    for my $name (qw(fd fdinfo map_files ns attr)) {
        $tried++;
        if (opendir(my $dir, "/proc/$pid/$name")) {
            next if $name eq "attr";
            my @in = grep { !/^\./ } readdir($dir); told($name, "@in") if @in;
        }
    }
    for my $number (0 .. 30) {
        $tried += 2;
        if (open(my $file, "<", "/proc/$pid/fd/$number")) { told("fd $number", ""); }
        if (open(my $file, ">>", "/proc/$pid/fd/$number")) { told("fd $number for writing", ""); }
    }
    my $room = "\0" x 4096;
    my $local = pack("QQ", unpack("Q", pack("p", $room)), 4096);
    my $remote = pack("QQ", 0x400000, 4096);
    my %calls = (
        "PTRACE_ATTACH" => [101, 16, $pid, 0, 0], "PTRACE_ATTACH" => [101, 0x4206, $pid, 0, 0],
        "process_vm_readv" => [310, $pid, $local, 1, $remote, 1, 0],
        "process_vm_writev" => [311, $pid, $local, 1, $remote, 1, 0],
        "kcmp" => [312, $pid, $$, 0, 0, 0],
        "move_pages" => [279, $pid, 0, 0, 0, 0, 0],
        "get_robust_list" => [274, $pid, $room, $room],
        "perf_event_open" => [298, pack("LLQ", 1, 112, 0) . ("\0" x 96), $pid, -1, -1, 0],
    );
    for my $name (sort keys %calls) {
        $tried++;
        my @words = map { /^-?\d+$/ ? $_ + 0 : $_ } @{$calls{$name}};
        my $answer = syscall(shift @words, @words);
        # EFAULT: there is nothing at that address, and it would be told.
        told($name, $answer) if $answer != -1 || $! == 14;
    }
    my $pidfd = syscall(434, $pid + 0, 0);
    for my $number (0 .. 30) { $tried++; my $fd = syscall(438, $pidfd, $number, 0); told("pidfd_getfd $number", "") if $fd != -1; }
    print "tried $tried\n";
"#;

#[test]
fn no_process_of_its_own_gives_the_site_what_it_holds() {
    if !cfg!(target_arch = "x86_64") || need("perl").is_none() {
        return;
    }
    in_both_modes("procfs and ptrace", |bench| {
        let listener = silent(bench);
        let (running, connection) = held(&listener, bench.call());
        let tell = |pid: u32| Mailchute::new("/usr/bin/perl").uid(SHOP).args(["-e", TRIES, &pid.to_string()]);
        let run = bench.attempt("what is told of its process", tell(running.id()));
        let (got, tried): (Vec<&str>, Vec<&str>) = run.stdout.lines().partition(|line| line.starts_with("got "));
        // Of a process that does not defend itself everything is told.
        let other = Mailchute::new("/bin/sleep").uid(SHOP).arg("60").spawn();
        let told = tell(other.id()).run().stdout;
        kill(Pid::from_raw(i32::try_from(other.id()).unwrap()), Signal::SIGKILL).unwrap();
        for what in
            ["maps", "environ", "mem for writing", "exe", "fd", "process_vm_readv", "pidfd_getfd 0", "PTRACE_ATTACH"]
        {
            assert!(told.contains(&format!("got {what}")), "{what} is not told of any process: {told}");
        }
        for line in got {
            bench.breaks(line);
        }
        let tried: usize = tried.first().and_then(|line| line.strip_prefix("tried ")?.parse().ok()).expect("the end");
        bench.tried.set(bench.tried.get() + tried);
        if bench.mode == Mode::SetGroupId {
            // Limits are a process's own business where it has its caller's rights.
            for limit in ["--nofile=1", "--fsize=0", "--as=1", "--core=unlimited", "--cpu=0", "--nproc=0"] {
                let pid = running.id().to_string();
                let call = Mailchute::new("/usr/bin/prlimit").uid(SHOP).args(["--pid", &pid, limit]);
                if bench.attempt(&format!("prlimit {limit}"), call).status == 0 {
                    bench.breaks(&format!("prlimit {limit}"));
                }
            }
        }
        drop(connection);
        running.finish();
    });
}

#[test]
fn no_signal_leaves_a_core_or_a_message_behind() {
    if need("prlimit").is_none() {
        return;
    }
    in_both_modes("signals and cores", |bench| {
        let listener = silent(bench);
        fs::create_dir("/home/shop/cores").unwrap();
        std::os::unix::fs::chown("/home/shop/cores", Some(SHOP), Some(SHOP)).unwrap();
        for signal in Signal::iterator()
            .filter(|signal| !matches!(signal, Signal::SIGSTOP | Signal::SIGTSTP | Signal::SIGTTIN | Signal::SIGTTOU))
        {
            let call = bench.call().directory(Path::new("/home/shop/cores")).under("prlimit", &["--core=unlimited"]);
            let (running, connection) = held(&listener, call);
            kill(Pid::from_raw(i32::try_from(running.id()).unwrap()), signal).unwrap();
            drop(connection);
            let run = running.finish();
            bench.judge(signal.as_str(), &format!("{}{}", run.stdout, run.stderr));
        }
        let left: Vec<_> = fs::read_dir("/home/shop/cores").unwrap().map(|entry| entry.unwrap().path()).collect();
        if !left.is_empty() {
            bench.breaks(&format!("left behind: {left:?}"));
        }
    });
}

#[test]
fn no_descriptor_that_it_inherits_is_written_to() {
    if need("perl").is_none() {
        return;
    }
    in_both_modes("inherited descriptors", |bench| {
        let note = "/home/shop/inherited";
        bench.host.write_as(note, "", 0o644, (SHOP, SHOP));
        // Which of the standard descriptors are closed, and how many others are open for writing to a file of the site's.
        for closed in 0..8 {
            for others in [0, 1, 5, 100] {
                let close: String =
                    (0..3).filter(|fd| closed >> fd & 1 == 1).map(|fd| format!("POSIX::close({fd});")).collect();
                let script = format!(
                    "use POSIX; $^F = 10000; for (1..{others}) {{ open($f[$_], '>>', '{note}') or die }} {close} exec @ARGV or die"
                );
                for words in [
                    &["-i", "bob@example.net"][..],
                    &["-v", "-i", "nobody"],
                    &["queue", "flush"],
                    &["explain", "bob@example.net"],
                    &["--no-such"],
                ] {
                    let call = bench.call().under("perl", &["-e", &script]).args(words.iter().copied());
                    bench.attempt(&format!("closed {closed:03b}, {others} others, {words:?}"), call);
                }
            }
        }
        let written = fs::read_to_string(note).unwrap();
        if !written.is_empty() {
            bench.breaks(&format!("a descriptor of the caller's got {written:?}"));
        }
        // What it opens itself takes no number of a standard one, so nothing that it says lands in a file.
        for place in mailchute::keep::Place::ALL {
            let mut all = super::Snapshot::new();
            super::walk(Path::new(place.parent()), &mut all);
            for (path, super::Found { content, .. }) in all {
                if String::from_utf8_lossy(&content).contains("mailchute: ")
                    && !path.display().to_string().contains("log")
                {
                    bench.breaks(&format!("{} got what was said", path.display()));
                }
            }
        }
    });
}
