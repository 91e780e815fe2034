//! What stands in sendmail's place: whose program a name leads to, over links, alternatives and packages.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::{exists, text};
use crate::finding::{Finding, Grade, Section, codes};
use crate::reply::{TEXT_LIMIT, printable};
use crate::root::Root;

/// The names that programs call to send.
pub(super) const SENDMAILS: [&str; 2] = ["/usr/sbin/sendmail", "/usr/lib/sendmail"];
/// The other names, of which only ours knows our spool.
const OTHERS: [&str; 2] = ["/usr/bin/mailq", "/usr/bin/newaliases"];

/// How many links are followed.
const LINKS: usize = 16;

/// Whose a program is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Owner {
    /// This program.
    Us,
    /// A mailer that is known: its name.
    Known(&'static str),
    /// Somebody else.
    Unknown,
    /// Nobody: nothing is there.
    Nobody,
}

/// Where a name leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mailer {
    /// The name.
    pub name: PathBuf,
    /// The file at the end of the links.
    pub target: PathBuf,
    /// Whose it is.
    pub owner: Owner,
}

/// A mailer: its name, what the file is called at the end of the links, the packages that own `/usr/sbin/sendmail`
/// itself.
const KNOWN: &[(&str, &[&str], &[&str])] = &[
    ("msmtp", &["msmtp"], &["msmtp-mta"]),
    ("ssmtp", &["ssmtp"], &["ssmtp"]),
    ("nullmailer", &["nullmailer-inject", "sendmail.nullmailer"], &["nullmailer"]),
    ("dma", &["dma", "sendmail.dma"], &["dma"]),
    ("esmtp", &["esmtp", "sendmail.esmtp"], &["esmtp-run"]),
    ("Postfix", &["sendmail.postfix"], &["postfix"]),
    ("Exim", &["exim4", "exim", "sendmail.exim"], &["exim4-daemon-light", "exim4-daemon-heavy"]),
    ("OpenSMTPD", &["smtpctl", "sendmail.opensmtpd"], &["opensmtpd"]),
    ("Sendmail", &["sendmail.sendmail", "sendmail-msp"], &["sendmail-bin"]),
    ("Courier", &["sendmail.courier"], &["courier-mta"]),
    ("BusyBox", &["busybox", "busybox.nosuid"], &[]),
    ("Mailpit", &["mailpit"], &[]),
    ("MailHog", &["mhsendmail", "mailhog", "MailHog"], &[]),
    ("Mailcatcher", &["catchmail"], &[]),
    ("true, which throws everything away", &["true"], &[]),
    ("cat, which throws everything away", &["cat"], &[]),
];

/// Where `name` leads below `root`.
pub fn find(root: &Root, name: &Path) -> Mailer {
    let mut target = name.to_owned();
    for _ in 0..LINKS {
        let Ok(said) = root.link(&target) else { break };
        target = normal(&target.parent().unwrap_or(Path::new("/")).join(said));
    }
    Mailer { name: name.to_owned(), owner: owner(root, &target), target }
}

/// Without `..` and `.`.
fn normal(path: &Path) -> PathBuf {
    let mut all = PathBuf::new();
    for part in path.components() {
        match part {
            std::path::Component::ParentDir => drop(all.pop()),
            std::path::Component::CurDir => {}
            part => all.push(part),
        }
    }
    all
}

fn owner(root: &Root, target: &Path) -> Owner {
    let Ok(found) = root.metadata(target) else { return Owner::Nobody };
    let file = target.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let is_this = root.is_host()
        && fs::metadata("/proc/self/exe").is_ok_and(|own| (own.dev(), own.ino()) == (found.dev(), found.ino()));
    if is_this || file == "mailchute" {
        return Owner::Us;
    }
    if let Some((name, ..)) = KNOWN.iter().find(|(_, files, _)| files.contains(&file)) {
        return Owner::Known(name);
    }
    let is_of = |package: &str| {
        let line = format!("{}\n", target.display());
        let list = text(root, format!("/var/lib/dpkg/info/{package}.list"));
        list.is_some_and(|list| list.contains(&line))
    };
    let by_package = KNOWN.iter().find(|(_, _, packages)| packages.iter().any(|package| is_of(package)));
    // A file of its own in sendmail's place, and a configuration that only Postfix or Sendmail has.
    let by_files = || match () {
        () if file != "sendmail" => None,
        () if root.has_file(Path::new("/etc/postfix/main.cf")) => Some("Postfix"),
        () if root.has_file(Path::new("/etc/mail/sendmail.cf")) => Some("Sendmail"),
        () => None,
    };
    by_package.map(|(name, ..)| *name).or_else(by_files).map_or(Owner::Unknown, Owner::Known)
}

impl Mailer {
    /// What it is, such as `is msmtp (/usr/bin/msmtp)`.
    pub fn described(&self) -> String {
        let target = printable(self.target.as_os_str().as_encoded_bytes(), TEXT_LIMIT);
        match &self.owner {
            Owner::Nobody => format!("is not there{}", self.led_to(&target)),
            Owner::Us => format!("is mailchute{}", self.led_to(&target)),
            Owner::Known(name) => format!("is {name}{}", self.led_to(&target)),
            Owner::Unknown => format!("is some other program{}", self.led_to(&target)),
        }
    }

    fn led_to(&self, target: &str) -> String {
        if self.name == self.target { String::new() } else { format!(" ({target})") }
    }
}

/// The command that puts ours in its place: the package's own way where it came as one.
fn taking(root: &Root) -> &'static str {
    let holds = |path: &str, line: &str| text(root, path).is_some_and(|text| text.lines().any(|have| have == line));
    if exists(root, "/var/lib/dpkg/info/mailchute.list") {
        return "sudo apt install mailchute-mta";
    }
    if holds("/var/lib/alternatives/mta", "/usr/bin/mailchute") {
        return "sudo alternatives --set mta /usr/bin/mailchute";
    }
    "sudo mailchute init --take-sendmail"
}

/// Judges it; `is_passed_by`: every PHP names us itself.
pub(super) fn judge(root: &Root, is_passed_by: bool) -> Section {
    let mut section = Section::new("sendmail");
    let taking = taking(root);
    let mut ours = Vec::new();
    let mut told: Vec<PathBuf> = Vec::new();
    for name in SENDMAILS {
        let mailer = find(root, Path::new(name));
        // Two names of one program are one finding.
        if told.contains(&mailer.target) {
            continue;
        }
        let finding = match mailer.owner {
            Owner::Us => {
                ours.push(name);
                continue;
            }
            // Programs use the first name, and nobody misses the second.
            Owner::Nobody if name != SENDMAILS[0] => continue,
            Owner::Nobody => Finding::new(&codes::SENDMAIL_MISSING, name, mailer.described()),
            _ => Finding::new(&codes::SENDMAIL_OTHER, name, mailer.described()),
        };
        let finding = finding.run(taking);
        // Cron and others still use it.
        told.push(mailer.target);
        section.findings.push(if is_passed_by { finding.at_most(Grade::Weak) } else { finding });
    }
    for name in OTHERS {
        let mailer = find(root, Path::new(name));
        if !ours.is_empty() && !matches!(mailer.owner, Owner::Us | Owner::Nobody) {
            let sentence = format!("{}, which does not know what waits in mailchute's spool", mailer.described());
            section.findings.push(Finding::new(&codes::SENDMAIL_COMPANION, name, sentence).run(taking));
        }
    }
    if !ours.is_empty() {
        let verb = if ours.len() == 1 { "leads" } else { "lead" };
        section.fine.push(format!("{} {verb} to mailchute", ours.join(" and ")));
    }
    section
}
