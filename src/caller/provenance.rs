//! Where a message came from, for whoever looks for the source of an incident: the programs above, the unit, the cron
//! job, the PHP-FPM pool, the script.
//!
//! It is read with every message, because spam that was sent well is what one looks for later, and so it is cheap: one
//! read a file, three processes beside the shells between them, a command line only of a program that says something by
//! it. Where the unit is cron's, its job is looked for further up.
//!
//! Only the uid and the unit are the system's word. Everything else a process says of itself.

use std::ffi::OsStr;

use super::job;
use super::processes::{Process, above, read};
use crate::host;
use crate::reply::printable;

/// How many programs above this one are named, the shells between them not counted.
const NAMED: usize = 3;

/// The longest text, in octets.
const TEXT: usize = 256;

/// Programs that start jobs by the clock.
const CRONS: [&str; 6] = ["cron", "crond", "anacron", "atd", "fcron", "supercronic"];

/// Programs whose first argument that is no option is the script they run.
const INTERPRETERS: [&str; 6] = ["php", "php-cgi", "python", "perl", "ruby", "node"];

/// Where a message came from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Provenance {
    /// The command name of the process that runs us, seen through the shells in between.
    pub parent: Option<String>,
    /// The command names of the nearest three, nearest first, and of the shells between them; empty where `parent` is the
    /// only one.
    pub parents: Vec<String>,
    /// The systemd unit: `php8.4-fpm.service`, `session-5.scope`; a user's own behind the one of its manager,
    /// `user@1000.service/backup.service`.
    pub unit: Option<String>,
    /// What cron runs, without what may be a secret among its arguments.
    pub job: Option<String>,
    /// The PHP-FPM pool.
    pub pool: Option<String>,
    /// The script that a CGI program or an interpreter runs.
    pub script: Option<String>,
    /// The name of the web site that a CGI program answers for.
    pub web_host: Option<String>,
}

impl Provenance {
    /// That of this process.
    pub fn current() -> Self {
        let unit = read("/proc/self/cgroup").and_then(|text| unit(&text));
        let is_cron = unit.as_deref().is_some_and(|unit| is_cron(unit.trim_end_matches(".service")));
        // Where there are units the first process is their manager, which starts everything and says nothing.
        let is_enough = |chain: &[Process]| if is_cron { job_process(chain).is_some() } else { has_enough(chain) };
        let chain = above(unit.is_none(), is_enough);
        let parent = nearest(&chain);
        let mut parents: Vec<String> = chain.iter().map(|process| process.name.clone()).collect();
        if parents.len() == 1 {
            parents.clear();
        }
        let (pool, script) = parent.map(said_by).unwrap_or_default();
        let variable = |name| host::variable(name).as_deref().and_then(text);
        Self {
            parent: parent.map(|process| process.name.clone()),
            parents,
            job: job_process(&chain).map(|process| job::shown(&process.words())).filter(|job| !job.is_empty()),
            pool,
            script: variable("SCRIPT_FILENAME").or(script),
            web_host: variable("HTTP_HOST").or_else(|| variable("SERVER_NAME")),
            unit,
        }
    }
}

/// The command name of the process that runs us, seen through the shells in between; `None` where procfs does not tell.
pub fn parent() -> Option<String> {
    nearest(&above(true, has_enough)).map(|process| process.name.clone())
}

/// Whether three of them are no shells.
fn has_enough(chain: &[Process]) -> bool {
    chain.iter().filter(|process| !process.is_shell()).count() >= NAMED
}

/// The nearest that is no shell; the furthest where all are.
fn nearest(chain: &[Process]) -> Option<&Process> {
    chain.iter().find(|process| !process.is_shell()).or(chain.last())
}

fn text(value: &OsStr) -> Option<String> {
    Some(printable(value.as_encoded_bytes(), TEXT)).filter(|text| !text.is_empty())
}

/// Pool and script, where `process` is of a kind that has one.
fn said_by(process: &Process) -> (Option<String>, Option<String>) {
    said(&process.name, || process.words())
}

/// The same, of a program called `name` whose command line is `words`.
fn said(name: &str, words: impl Fn() -> Vec<Vec<u8>>) -> (Option<String>, Option<String>) {
    let titled = |before: &[u8]| words().first().and_then(|title| titled(title, before));
    match kind(name) {
        "php-fpm" => (titled(b"php-fpm: pool "), None),
        "lsphp" => (None, titled(b"lsphp:")),
        kind if INTERPRETERS.contains(&kind) => (None, script(&words())),
        _ => (None, None),
    }
}

/// A program's name without the version behind it.
fn kind(name: &str) -> &str {
    name.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.')
}

/// What stands behind `before` in the title that a process gives itself.
fn titled(title: &[u8], before: &[u8]) -> Option<String> {
    let name = title.strip_prefix(before)?.trim_ascii();
    Some(printable(name, TEXT)).filter(|name| !name.is_empty())
}

/// The script among the arguments of an interpreter. Program text on the command line is none.
fn script(words: &[Vec<u8>]) -> Option<String> {
    let mut words = words.iter().skip(1).map(Vec::as_slice);
    while let Some(word) = words.next() {
        match word {
            b"-c" | b"-d" | b"-I" | b"-W" | b"-X" => drop(words.next()),
            b"-e" | b"-r" | b"-m" => return None,
            [b'-', ..] | [] => {}
            _ if word.iter().any(|octet| octet.is_ascii_whitespace() || b"=;(".contains(octet)) => return None,
            _ => return Some(printable(word, TEXT)),
        }
    }
    None
}

/// The unit in `/proc/self/cgroup`: the first on the path, which the system's manager made, and behind a slash the last,
/// where a manager that is no more than its user made that.
fn unit(cgroup: &[u8]) -> Option<String> {
    let lines = || cgroup.split(|octet| *octet == b'\n');
    let path = |mark: &[u8]| lines().find_map(|line| line.splitn(2, |o| *o == b':').nth(1)?.strip_prefix(mark));
    // The second is how older hosts have it.
    [&b":"[..], b"name=systemd:"].into_iter().find_map(|mark| unit_of(path(mark)?))
}

fn unit_of(path: &[u8]) -> Option<String> {
    let is_unit = |part: &&[u8]| {
        [&b".service"[..], b".scope"].into_iter().any(|end| part.strip_suffix(end).is_some_and(|name| !name.is_empty()))
    };
    let mut units = path.split(|octet| *octet == b'/').filter(is_unit);
    let first = units.next()?;
    let own = units.next_back().filter(|_| first.starts_with(b"user@"));
    Some(printable(&[first, own.unwrap_or_default()].join(&b'/'), TEXT).trim_end_matches('/').to_owned())
}

fn is_cron(name: &str) -> bool {
    CRONS.iter().any(|cron| name.eq_ignore_ascii_case(cron))
}

/// What cron has started, of this chain. What cron itself sends, as a job's output, has none.
fn job_process(chain: &[Process]) -> Option<&Process> {
    let cron = chain.iter().position(|process| is_cron(&process.name))?;
    chain.get(cron.checked_sub(1)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<Vec<u8>> {
        line.split('|').map(|word| word.as_bytes().to_vec()).collect()
    }

    #[test]
    fn a_unit_is_the_systems_word() {
        for (cgroup, found) in [
            ("0::/system.slice/php8.4-fpm.service", "php8.4-fpm.service"),
            ("0::/system.slice/system-getty.slice/getty@tty1.service\n", "getty@tty1.service"),
            ("0::/user.slice/user-1000.slice/session-5.scope", "session-5.scope"),
            ("0::/system.slice/docker-0a1b.scope/init", "docker-0a1b.scope"),
            // What stands below is made by whom the unit was handed to.
            ("0::/system.slice/shop.service/php8.4-fpm.service", "shop.service"),
            (
                "0::/user.slice/user-1000.slice/user@1000.service/app.slice/backup.service",
                "user@1000.service/backup.service",
            ),
            ("0::/user.slice/user-1000.slice/user@1000.service/init.scope", "user@1000.service/init.scope"),
            ("0::/user.slice/user-1000.slice/user@1000.service", "user@1000.service"),
            ("9:name=systemd:/system.slice/cron.service\n1:cpu:/x.service\n0::/\n", "cron.service"),
            ("2:cpu:/x.service\n", ""),
            ("0::/", ""),
            ("0::/docker/0a1b", ""),
            ("0::/.service/.scope", ""),
            ("", ""),
            ("nonsense", ""),
        ] {
            assert_eq!(unit(cgroup.as_bytes()).unwrap_or_default(), found, "{cgroup}");
        }
        let hostile = unit(b"0::/user.slice/user@1.service/\x1b[31m\xe2\x80\xae.service").unwrap_or_default();
        assert!(!hostile.contains(crate::reply::is_hidden), "{hostile:?}");
    }

    #[test]
    fn a_pool_and_a_script_are_what_the_program_calls_them() {
        let process = |name: &str, line: &str| said(name, || words(line));
        for (name, line, pool, script) in [
            ("php-fpm8.2", "php-fpm: pool shop|||||", "shop", ""),
            ("php-fpm", "php-fpm: pool my shop", "my shop", ""),
            ("php-fpm8.2", "php-fpm: master process (/etc/php/8.2/fpm/php-fpm.conf)", "", ""),
            ("php-fpm8.2", "php-fpm: pool ", "", ""),
            ("php-fpm8.2", "", "", ""),
            ("lsphp", "lsphp:/home/shop/public_html/index.php", "", "/home/shop/public_html/index.php"),
            ("lsphp", "lsphp", "", ""),
            ("php", "php|/srv/www/shop/cron.php|--token=x", "", "/srv/www/shop/cron.php"),
            ("php8.4", "/usr/bin/php8.4|-d|memory_limit=1G|-n|bin/console|x", "", "bin/console"),
            ("php", "php|-f|a.php", "", "a.php"),
            ("php", "php|-r|mail('a');", "", ""),
            ("python3.11", "python3|-u|report.py", "", "report.py"),
            ("python3", "python3|-c|import os|x", "", "x"),
            ("python3", "python3|-m|reports", "", ""),
            ("perl", "perl|-e|print 1|x", "", ""),
            ("node", "node|--no-warnings|a.js", "", "a.js"),
            ("ruby", "ruby", "", ""),
            // No interpreter: what stands on its command line may be anything.
            ("mysql", "mysql|-psecret|secret", "", ""),
            ("sh", "sh|-c|secret", "", ""),
        ] {
            let said = process(name, line);
            assert_eq!(
                (said.0.unwrap_or_default(), said.1.unwrap_or_default()),
                (pool.into(), script.into()),
                "{line}"
            );
        }
    }

    #[test]
    fn cron_is_above_its_job() {
        let chain = |names: &[&str]| -> Vec<Process> { names.iter().map(|name| Process::called(name)).collect() };
        for (names, job) in [
            (&["sh", "php", "cron"][..], Some("php")),
            (&["sh", "php", "sh", "crond", "crond"], Some("sh")),
            (&["CRON"], None),
            (&["cron", "cron"], None),
            (&["bash", "sshd"], None),
            (&[], None),
        ] {
            let chain = chain(names);
            assert_eq!(job_process(&chain).map(|process| process.name.as_str()), job, "{names:?}");
        }
        let nearest = |names: &[&str]| nearest(&chain(names)).map(|process| process.name.clone());
        assert_eq!(nearest(&["sh", "php-fpm8.2", "php-fpm8.2"]).as_deref(), Some("php-fpm8.2"));
        assert_eq!(nearest(&["sh", "bash", "dash"]).as_deref(), Some("dash"));
        assert_eq!(nearest(&[]), None);
    }
}
