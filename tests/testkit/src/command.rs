//! Runs the real binary.

use std::ffi::{OsStr, OsString};
use std::io::Read;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

/// How long a run may take before it is ended and fails its test.
const LIMIT: Duration = Duration::from_secs(120);

/// Less than anything that a run could wait for by mistake.
const AT_ONCE: Duration = Duration::from_secs(15);

/// One call of the binary, in an empty environment.
pub struct Mailchute {
    binary: PathBuf,
    name: Option<OsString>,
    args: Vec<OsString>,
    environment: Vec<(OsString, OsString)>,
    stdin: Box<dyn Read + Send>,
    directory: PathBuf,
    uid: Option<u32>,
}

/// What came of a run.
#[derive(Clone, Debug)]
pub struct Run {
    /// The exit status; -1 after death by a signal.
    pub status: i32,
    /// The signal it died of.
    pub signal: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
    /// How long it took.
    pub took: Duration,
    /// Whether all of standard input was taken.
    pub drained: bool,
}

impl Mailchute {
    /// A call of `binary`, which the suite knows as `env!("CARGO_BIN_EXE_mailchute")`.
    pub fn new(binary: impl Into<PathBuf>) -> Self {
        Self {
            binary: binary.into(),
            name: None,
            args: Vec::new(),
            environment: Vec::new(),
            stdin: Box::new(std::io::empty()),
            directory: PathBuf::from("/"),
            uid: None,
        }
    }

    /// Called by another name: `argv[0]`.
    pub fn name(mut self, name: impl Into<OsString>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// `--config FILE`. Before any sendmail option.
    pub fn config(self, file: &Path) -> Self {
        self.arg("--config").arg(file)
    }

    /// One more argument.
    pub fn arg(mut self, arg: impl Into<OsString>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// More arguments.
    pub fn args<A: Into<OsString>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Started by `program` with `words` before the call's own, the binary's path first.
    pub fn under(mut self, program: &str, words: &[&str]) -> Self {
        let binary = std::mem::replace(&mut self.binary, program.into());
        let words = words.iter().map(OsString::from).chain([binary.into_os_string()]);
        self.args.splice(..0, words);
        self
    }

    /// One word more in front of all.
    pub(crate) fn before(mut self, word: &str) -> Self {
        self.args.insert(0, word.into());
        self
    }

    /// One environment variable.
    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }

    /// Standard input; empty unless given.
    pub fn stdin(self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin_from(std::io::Cursor::new(bytes.into()))
    }

    /// Standard input that is made while it is written, for what should not be held in memory.
    pub fn stdin_from(mut self, octets: impl Read + Send + 'static) -> Self {
        self.stdin = Box::new(octets);
        self
    }

    /// The working directory; `/` unless given.
    pub fn directory(mut self, path: &Path) -> Self {
        self.directory = path.to_owned();
        self
    }

    /// Run as this uid, with the gid of the same number and no further group. Needs root.
    pub fn uid(mut self, uid: u32) -> Self {
        self.uid = Some(uid);
        self
    }

    /// Starts it.
    ///
    /// # Panics
    /// It cannot be started.
    pub fn spawn(self) -> Running {
        let mut command = Command::new(&self.binary);
        command.args(&self.args).env_clear().current_dir(&self.directory);
        command.env("PATH", "/usr/local/bin:/usr/bin:/bin");
        command.envs(self.environment);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        if let Some(name) = &self.name {
            command.arg0(name);
        }
        if let Some(uid) = self.uid {
            // As root, std drops the supplementary groups on the way.
            command.uid(uid).gid(uid);
        }
        let begun = Instant::now();
        let mut child =
            crate::bare::spawn(&mut command).unwrap_or_else(|error| panic!("{}: {error}", self.binary.display()));
        let mut input = child.stdin.take().expect("piped");
        let mut stdin = self.stdin;
        let writer = thread::spawn(move || std::io::copy(&mut stdin, &mut input).is_ok());
        let (sender, ends) = mpsc::channel();
        let (speaker, said) = mpsc::channel();
        let stdout = collect(child.stdout.take().expect("piped"), sender.clone(), Some(speaker));
        let stderr = collect(child.stderr.take().expect("piped"), sender, None);
        Running { child, args: self.args, begun, writer, stdout, stderr, ends, said, seen: String::new() }
    }

    /// Runs it and collects everything.
    ///
    /// # Panics
    /// It cannot be started, or is not done in time.
    pub fn run(self) -> Run {
        self.spawn().finish()
    }
}

/// A call under way.
pub struct Running {
    child: Child,
    args: Vec<OsString>,
    begun: Instant,
    writer: thread::JoinHandle<bool>,
    stdout: thread::JoinHandle<String>,
    stderr: thread::JoinHandle<String>,
    /// Told twice: when standard output and when standard error came to their end.
    ends: mpsc::Receiver<()>,
    /// Standard output as it comes, and what was seen of it.
    said: mpsc::Receiver<Vec<u8>>,
    seen: String,
}

impl Running {
    /// The process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits until `find` finds what it looks for in standard output.
    ///
    /// # Panics
    /// It does not come, or not in time.
    pub fn wait_for<T>(&mut self, find: impl Fn(&str) -> Option<T>) -> T {
        loop {
            if let Some(found) = find(&self.seen) {
                return found;
            }
            let left = LIMIT.saturating_sub(self.begun.elapsed());
            let octets =
                self.said.recv_timeout(left).unwrap_or_else(|_| panic!("{:?} said only: {}", self.args, self.seen));
            self.seen += &String::from_utf8_lossy(&octets);
        }
    }

    /// Waits for its end and collects everything.
    ///
    /// # Panics
    /// It is not done in time.
    pub fn finish(mut self) -> Run {
        for _ in 0..2 {
            if self.ends.recv_timeout(LIMIT.saturating_sub(self.begun.elapsed())).is_err() {
                let _ = self.child.kill();
                let _ = self.child.wait();
                panic!("{:?} was not done within {LIMIT:?}", self.args);
            }
        }
        let status = self.child.wait().expect("the child's status");
        Run {
            status: status.code().unwrap_or(-1),
            signal: status.signal(),
            stdout: self.stdout.join().expect("the reader does not panic"),
            stderr: self.stderr.join().expect("the reader does not panic"),
            took: self.begun.elapsed(),
            drained: self.writer.join().expect("the writer does not panic"),
        }
    }
}

fn collect(
    mut pipe: impl Read + Send + 'static,
    done: mpsc::Sender<()>,
    listener: Option<mpsc::Sender<Vec<u8>>>,
) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        let mut buffer = [0; 8192];
        while let Ok(count @ 1..) = pipe.read(&mut buffer) {
            bytes.extend_from_slice(&buffer[..count]);
            if let Some(listener) = &listener {
                let _ = listener.send(buffer[..count].to_vec());
            }
        }
        let _ = done.send(());
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

impl Run {
    /// Fails with everything that is known unless the status is `status`.
    ///
    /// # Panics
    /// It is another one.
    #[track_caller]
    pub fn expect_status(&self, status: i32) -> &Self {
        assert_eq!(self.status, status, "{}", self.report());
        self
    }

    /// Fails unless the first line of standard error is what `pattern` says (`*` is any text).
    ///
    /// # Panics
    /// It is not.
    #[track_caller]
    pub fn expect_stderr(&self, pattern: &str) -> &Self {
        let first = self.stderr.lines().next().unwrap_or_default();
        assert!(crate::matches(pattern, first), "expected: {pattern}\n{}", self.report());
        self
    }

    /// Fails if it waited for something. What waits for nothing is done in a fraction of a second, and in some
    /// on a machine that has much else to do.
    ///
    /// # Panics
    /// It took a quarter of a minute.
    #[track_caller]
    pub fn expect_at_once(&self) -> &Self {
        assert!(self.took < AT_ONCE, "it waited\n{}", self.report());
        self
    }

    /// What follows `hint: ` on standard error.
    pub fn hint(&self) -> Option<&str> {
        self.stderr.lines().find_map(|line| line.strip_prefix("hint: "))
    }

    /// Does what the hint says, a command for a user who may become root, as root.
    ///
    /// # Panics
    /// There is no hint, or the command fails.
    pub fn take_hint(&self) {
        let hint = self.hint().filter(|hint| hint.starts_with("sudo ")).unwrap_or_else(|| panic!("{}", self.report()));
        let done = Command::new("sh").args(["-c", &hint.replace("sudo ", "")]).status();
        assert!(done.is_ok_and(|status| status.success()), "{}", self.report());
    }

    /// Everything about the run, for a failing test's message.
    pub fn report(&self) -> String {
        let Self { status, signal, stdout, stderr, took, .. } = self;
        format!("status {status}, signal {signal:?}, after {took:?}\nstderr:\n{stderr}stdout:\n{stdout}")
    }
}

/// The words of a line as a shell would split it, quotes only.
pub fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    for c in line.chars() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (Some(_), c) => word.get_or_insert_default().push(c),
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, ' ') => words.extend(word.take()),
            (None, c) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

impl Mailchute {
    /// The words of `line`, as a shell would split it; only quotes are known.
    pub fn line(self, line: &str) -> Self {
        self.args(words(line).iter().map(OsStr::new))
    }
}
