//! What every module needs: the binary, a server with a configuration, and the runner over files.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use testkit::{Case, Delivery, Mailchute, Run, Scratch, Server, Session};

/// How many cases of a folder run at once: they wait more than they work.
const AT_ONCE: usize = 8;

/// A message that needs no change before it is sent.
pub(crate) const MESSAGE: &str = "From: Alice <alice@example.org>\r
To: Bob <bob@example.net>\r
Subject: a message that needs no change\r
Date: Fri, 21 Nov 2025 10:00:00 +0000\r
Message-ID: <complete@example.org>\r
MIME-Version: 1.0\r
Content-Type: text/plain; charset=us-ascii\r
\r
one line\r
.\r
..and lines that begin with dots\r
";

/// A table of cron's that sends what waits.
pub(crate) const CRON: &str = concat!("* * * * * root ", env!("CARGO_BIN_EXE_mailchute"), " queue flush --all\n");

/// The real binary.
pub(crate) fn mailchute() -> Mailchute {
    Mailchute::new(env!("CARGO_BIN_EXE_mailchute"))
}

/// A folder of test data.
pub(crate) fn data(folder: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(folder)
}

/// A server, and a configuration that reaches it and logs to a file.
pub(crate) struct Setup {
    pub(crate) scratch: Scratch,
    pub(crate) server: Server,
    top: String,
    relay: String,
    secret: Option<&'static str>,
}

impl Setup {
    /// For this server, which is started here.
    pub(crate) fn new(server: Server) -> Self {
        let server = server.start();
        Self { scratch: Scratch::new(), server, top: String::new(), relay: String::new(), secret: None }
    }

    /// With one more line at the top level of the configuration.
    pub(crate) fn top(mut self, line: &str) -> Self {
        self.top += line;
        self.top.push('\n');
        self
    }

    /// With one more line in `[relay.main]`.
    pub(crate) fn relay(mut self, line: &str) -> Self {
        self.relay += line;
        self.relay.push('\n');
        self
    }

    /// With another password or token than the one the server takes.
    pub(crate) fn secret(mut self, secret: &'static str) -> Self {
        self.secret = Some(secret);
        self
    }

    /// Writes the configuration and calls the binary with it.
    pub(crate) fn mailchute(&self) -> Mailchute {
        let server = match self.secret {
            Some(secret) => self.server.relay_lines_with(&self.scratch, secret),
            None => self.server.relay_lines(&self.scratch),
        };
        let text = format!(
            "{}\n[relay.main]\n{server}{}\n[log]\nto = [\"{}\"]\n",
            self.top,
            self.relay,
            self.scratch.join("log").display(),
        );
        mailchute().config(&self.scratch.write("config.toml", text, 0o644))
    }

    /// Sends [`MESSAGE`] to these recipients.
    pub(crate) fn send(&self, recipients: &[&str]) -> Run {
        self.mailchute().arg("-i").args(recipients.iter().copied()).stdin(MESSAGE).run()
    }

    /// The log record of the one run; null when there is none.
    pub(crate) fn record(&self) -> serde_json::Value {
        let log = self.scratch.read("log");
        assert!(log.lines().count() <= 1, "more than one record:\n{log}");
        serde_json::from_str(&log).unwrap_or_default()
    }

    /// Ends the server: its sessions.
    pub(crate) fn finish(self) -> Vec<Session> {
        self.server.finish()
    }

    /// Ends the server: every message for which octets came.
    pub(crate) fn deliveries(self) -> Vec<Delivery> {
        self.finish().into_iter().flat_map(|session| session.deliveries).collect()
    }
}

/// Runs `check` over every case of a folder, several at once, and reports all that fail. Beside cases the
/// folder holds messages, `NAME.eml`, and no file that nobody reads.
pub(crate) fn every_case(folder: &str, check: impl Fn(&Case) + Sync) {
    for entry in data(folder).read_dir().expect("a folder of test data") {
        let path = entry.expect("a directory entry").path();
        let is_read = path.extension().is_some_and(|extension| extension == "case" || extension == "eml");
        assert!(is_read, "{}: neither `NAME.case` nor `NAME.eml`", path.display());
    }
    let cases = Case::all(&data(folder));
    every(&cases, |case| format!("tests/{folder}/{}.case", case.name()), check);
}

/// Runs `check` over `cases`, several at once, and reports all that fail.
pub(crate) fn every<T: Sync>(cases: &[T], name: impl Fn(&T) -> String + Sync, check: impl Fn(&T) + Sync) {
    let next = AtomicUsize::new(0);
    let failed = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some(case) = cases.get(next.fetch_add(1, Ordering::SeqCst)) {
                    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| check(case))) {
                        let text = panic
                            .downcast_ref::<String>()
                            .cloned()
                            .or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()))
                            .unwrap_or_default();
                        failed.lock().unwrap().push(format!("== {}\n{text}", name(case)));
                    }
                }
            });
        }
    });
    let mut failed = failed.into_inner().unwrap();
    failed.sort();
    assert!(failed.is_empty(), "{} of {} failed\n\n{}", failed.len(), cases.len(), failed.join("\n"));
}

/// Runs `check` with a deadline in seconds that is to be over, a short one. It answers whether its moment came
/// before that; on a machine that has much else to do it may not, and then it gets more time.
pub(crate) fn with_enough_time(check: impl Fn(u32) -> bool) {
    assert!([1, 5, 25].into_iter().any(check), "the moment did not come within 25 s");
}

/// Compares standard error, line by line, with the `stderr` patterns of a case. Without any, success
/// must be silent and failure must not.
pub(crate) fn check_stderr(case: &Case, run: &Run) {
    let patterns: Vec<&str> = case.values("stderr").collect();
    let lines: Vec<&str> = run.stderr.lines().collect();
    if patterns.is_empty() {
        assert_eq!(lines.is_empty(), run.status == 0, "{}", run.report());
        return;
    }
    let same = patterns.len() == lines.len()
        && patterns.iter().zip(&lines).all(|(pattern, line)| testkit::matches(pattern, line));
    assert!(same, "expected on stderr:\n{}\n{}", patterns.join("\n"), run.report());
}

/// The expected exit status of a case.
pub(crate) fn exit(case: &Case) -> i32 {
    case.value("exit").and_then(|value| value.parse().ok()).expect("every case says `exit: N`")
}
