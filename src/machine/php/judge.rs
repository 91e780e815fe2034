//! What is wrong with a PHP that is to send through us.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::{Kind, Php, Pool, Setting, listed};
use crate::finding::{Finding, Grade, Section, codes};
use crate::machine::mailer::{self, Owner};
use crate::machine::{Wanted, confinement, exists, text};
use crate::reply::{TEXT_LIMIT, printable};
use crate::root::Root;

/// What PHP runs where nothing else is said.
const DEFAULT: &str = "/usr/sbin/sendmail -t -i";
/// Where a name without a slash is looked for, as a shell without `PATH` does.
const PATH: [&str; 5] = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/bin"];
/// What a pool needs in its chroot to run a program.
const SHELL: &str = "/bin/sh";

/// What everything is judged by.
struct Judge<'a> {
    root: &'a Root,
    wanted: Wanted,
    /// The numbers of a user: `None` where there is no such one.
    accounts: Vec<(String, u32, u32)>,
}

pub(in crate::machine) fn judge(root: &Root, all: &[Php], wanted: Wanted) -> Section {
    let mut section = Section::new("PHP");
    let judge = Judge { root, wanted, accounts: accounts(root) };
    for php in all {
        judge.of_php(php, &mut section);
    }
    section
}

/// Whether every PHP names us itself, so that it does not matter to PHP what stands in sendmail's place.
pub(in crate::machine) fn all_name_us(root: &Root, all: &[Php]) -> bool {
    let names_us = |path: Option<&Setting>| {
        let word = path.and_then(|path| words(&path.value).into_iter().next());
        word.is_some_and(|program| mailer::find(root, Path::new(&program)).owner == Owner::Us)
    };
    let of_php = |php: &Php| {
        let base = php.setting("sendmail_path");
        match php.pools.is_empty() {
            true => names_us(base),
            false => php.pools.iter().all(|pool| names_us(pool.php("sendmail_path").or(base))),
        }
    };
    !all.is_empty() && all.iter().all(of_php)
}

/// Name, uid and gid of every user.
fn accounts(root: &Root) -> Vec<(String, u32, u32)> {
    let passwd = text(root, "/etc/passwd").unwrap_or_default();
    let of_line = |line: &str| {
        let fields: Vec<&str> = line.split(':').collect();
        Some((fields.first()?.to_string(), fields.get(2)?.parse().ok()?, fields.get(3)?.parse().ok()?))
    };
    passwd.lines().filter_map(of_line).collect()
}

impl Judge<'_> {
    fn of_php(&self, php: &Php, section: &mut Section) {
        let name = php.name();
        let mut found = Vec::new();
        let own = |key: &str| php.pools.is_empty() || php.pools.iter().any(|pool| pool.php(key).is_none());
        if own("sendmail_path") {
            found.extend(self.of_path(php, &name, php.setting("sendmail_path"), None));
        }
        if let Some(setting) = php.setting("disable_functions") {
            found.extend(self.of_disabled(php, &name, setting));
        }
        if let Some(setting) = php.setting("mail.force_extra_parameters").filter(|setting| !setting.value.is_empty()) {
            found.push(forced(&name, setting));
        }
        if php.kind == Kind::Cli {
            // Cron jobs and a person at the shell; sites are not served by it.
            found = found.into_iter().map(|finding| finding.at_most(Grade::Weak)).collect();
        }
        let is_fine = found.iter().all(|finding| finding.grade < Grade::Weak);
        section.findings.append(&mut found);
        let mut fine = Vec::new();
        for pool in &php.pools {
            let mut found = self.of_pool(php, pool);
            if is_fine && found.iter().all(|finding| finding.grade < Grade::Weak) {
                fine.push(pool.name.as_str());
            }
            section.findings.append(&mut found);
        }
        if fine.is_empty() {
            section.fine.extend((is_fine && php.pools.is_empty()).then_some(name));
            return;
        }
        section.fine.push(shown(&format!("{name}: {}", listed(fine))));
    }

    fn of_pool(&self, php: &Php, pool: &Pool) -> Vec<Finding> {
        let name = shown(&format!("{} pool {}", php.name(), pool.name));
        let mut found = Vec::new();
        let own = pool.php("sendmail_path");
        let said = own.or_else(|| php.setting("sendmail_path"));
        if own.is_some() || pool.setting("chroot").is_some() {
            found.extend(self.of_path(php, &name, said, Some(pool)));
        } else {
            let program = words(said.map_or(DEFAULT, |said| &said.value)).into_iter().next();
            let target = program.map(|program| mailer::find(self.root, &self.located(&program)));
            found.extend(target.and_then(|target| self.of_rights(&name, pool, &target.target)));
        }
        if let Some(setting) = pool.php_of_user("sendmail_path") {
            let sentence = "php_value[sendmail_path] has no effect, only php_admin_value has";
            found.push(at(Finding::new(&codes::PHP_NO_EFFECT, &name, sentence), setting).run(format!(
                "sudo sed -i '{}s/php_value/php_admin_value/' {}",
                setting.line,
                quoted(&setting.file)
            )));
        }
        for setting in pool.every_php("disable_functions") {
            found.extend(self.of_disabled(php, &name, setting));
        }
        if let Some(setting) = pool.php("mail.force_extra_parameters").filter(|setting| !setting.value.is_empty()) {
            found.push(forced(&name, setting));
        }
        let is_off = |setting: &Setting| ["", "0"].contains(&setting.value.as_str());
        let is_handed_on = |name: &str| pool.setting(&format!("env[{name}]")).is_some();
        if self.wanted.by_environment
            && !pool.setting("clear_env").is_some_and(is_off)
            && !["MAILCHUTE_URL", "MAILER_DSN", "MAIL_HOST"].iter().any(|name| is_handed_on(name))
        {
            let sentence = "PHP-FPM clears the environment, in which the configuration is";
            let finding = Finding::new(&codes::PHP_CLEAR_ENV, &name, sentence);
            found.push(finding.advise("clear_env = no in the pool, or a file: mailchute init --from-env"));
        }
        if self.wanted.logs_to_stderr && pool.setting("catch_workers_output").is_none_or(is_off) {
            let sentence = "PHP-FPM drops what its workers write: what mailchute says and its log are lost";
            let finding = Finding::new(&codes::PHP_OUTPUT_LOST, &name, sentence);
            found.push(finding.advise("catch_workers_output = yes and decorate_workers_output = no in the pool"));
        }
        if let Some(user) = pool.user()
            && !self.accounts.is_empty()
            && !self.accounts.iter().any(|(known, ..)| known == user)
            && user.parse::<u32>().is_err()
        {
            let sentence = shown(&format!("runs as {user}, and there is no such user"));
            let finding = Finding::new(&codes::PHP_NO_USER, &name, sentence);
            found.push(match pool.setting("user") {
                Some(setting) => at(finding, setting),
                None => finding,
            });
        }
        found
    }

    /// What is wrong with `sendmail_path` as PHP, or one of its pools, has it.
    fn of_path(&self, php: &Php, name: &str, said: Option<&Setting>, pool: Option<&Pool>) -> Vec<Finding> {
        let seen = |finding: Finding| match said {
            Some(said) => at(finding, said),
            None => finding,
        };
        let value = match said {
            Some(said) => said.value.trim(),
            None if php.knows_no_sendmail => {
                let sentence = "sendmail_path is not set, and a PHP that is built without a sendmail knows none";
                return vec![Finding::new(&codes::PHP_NO_DEFAULT, name, sentence).run(self.set(php))];
            }
            None => DEFAULT,
        };
        let mend = |finding: Finding| {
            let line = match (pool, said) {
                // The pool's own word goes, and what stands for all counts again.
                (Some(_), Some(said)) => {
                    format!("sudo sed -i '{}s/^/;/' {}{}", said.line, quoted(&said.file), self.reload(php))
                }
                _ => self.set(php),
            };
            seen(finding.run(line))
        };
        let words = words(value);
        let Some(program) = words.first() else {
            return vec![mend(Finding::new(&codes::PHP_EMPTY_PATH, name, "sendmail_path is empty"))];
        };
        let mut found = Vec::new();
        let chroot = pool.and_then(|pool| pool.value("chroot")).filter(|chroot| !chroot.is_empty());
        if let Some(chroot) = &chroot {
            let inside = |path: &str| PathBuf::from(format!("{}{path}", chroot.trim_end_matches('/')));
            let missing = [program.as_str(), SHELL].into_iter().find(|path| !exists(self.root, inside(path)));
            if let Some(missing) = missing {
                let sentence = shown(&format!("its chroot {chroot} has no {missing}, which PHP runs to send"));
                found.push(
                    Finding::new(&codes::PHP_CHROOT, name, sentence).advise(
                        "leave out chroot, or put sendmail, /bin/sh, /etc/mailchute and /etc/resolv.conf into it",
                    ),
                );
            }
            return found;
        }
        let path = self.located(program);
        let target = mailer::find(self.root, &path);
        // What stands in sendmail's place has its own finding.
        let is_usual = matches!(program.as_str(), "/usr/sbin/sendmail" | "/usr/lib/sendmail" | "sendmail");
        match target.owner {
            Owner::Nobody if !is_usual => {
                let sentence = shown(&format!("sendmail_path runs {program}, which is not there"));
                found.push(mend(Finding::new(&codes::PHP_NO_PROGRAM, name, sentence)));
                return found;
            }
            Owner::Known(_) | Owner::Unknown if !is_usual => {
                let sentence = shown(&format!("sendmail_path runs {program}, which {}", target.described()));
                found.push(mend(Finding::new(&codes::PHP_OTHER_MAILER, name, sentence)));
                return found;
            }
            _ => {}
        }
        found.extend(pool.and_then(|pool| self.of_rights(name, pool, &target.target)));
        let options = &words[1..];
        let is_cluster = |word: &&String| word.starts_with('-') && !word.starts_with("--");
        let has_recipients = options.iter().filter(is_cluster).any(|word| {
            // A letter that takes a value takes the rest of the word.
            let letters = word[1..].split(['f', 'F', 'r', 'N', 'R', 'V', 'B', 'L', 'o', 'O', 'C', 'X', 'q', 'h', 'p']);
            letters.into_iter().next().is_some_and(|letters| letters.contains('t'))
        });
        if !has_recipients {
            let sentence = shown(&format!("sendmail_path = {} lacks -t, so no message has a recipient", masked(value)));
            found.push(mend(Finding::new(&codes::PHP_NO_RECIPIENTS, name, sentence)));
        }
        if let Some(sender) = fixed_sender(options) {
            let sentence = shown(&format!("sendmail_path always gives {sender} as the sender (-f)"));
            found.push(seen(Finding::new(&codes::PHP_FIXED_SENDER, name, sentence)));
        }
        found
    }

    /// Whether the pool's user may run the program.
    fn of_rights(&self, name: &str, pool: &Pool, program: &Path) -> Option<Finding> {
        let user = pool.user().filter(|user| !self.may_run(user, program))?;
        let sentence = shown(&format!("{user} may not run {}", program.display()));
        let line = format!("sudo chmod a+rx {}", quoted(program));
        Some(Finding::new(&codes::PHP_NOT_EXECUTABLE, name, sentence).run(line))
    }

    fn of_disabled(&self, php: &Php, name: &str, setting: &Setting) -> Option<Finding> {
        let disabled: Vec<&str> = setting.value.split([',', ' ']).map(str::trim).collect();
        if disabled.contains(&"mail") {
            let finding = Finding::new(&codes::PHP_DISABLED, name, "mail is in disable_functions");
            let file = quoted(&setting.file);
            let line = format!("sudo sed -i '{}s/\\bmail\\b,\\?//' {file}{}", setting.line, self.reload(php));
            return Some(at(finding, setting).run(line));
        }
        let others: Vec<&str> = ["popen", "proc_open"].into_iter().filter(|word| disabled.contains(word)).collect();
        (!others.is_empty()).then(|| {
            let sentence = format!(
                "{} in disable_functions: mail() works, and what starts sendmail itself (PHPMailer, Symfony) does not",
                others.join(" and ")
            );
            at(Finding::new(&codes::PHP_NO_PROCESS, name, sentence), setting)
        })
    }

    /// The command that sets `sendmail_path` for all of this PHP.
    fn set(&self, php: &Php) -> String {
        let file = php.more.join("zz-mailchute.ini");
        format!("echo 'sendmail_path = \"{DEFAULT}\"' | sudo tee {}{}", quoted(&file), self.reload(php))
    }

    /// The command behind another that has the service read its files again.
    fn reload(&self, php: &Php) -> String {
        let unit = (php.kind == Kind::Fpm).then(|| confinement::unit(self.root, php)).flatten();
        unit.map_or_else(String::new, |unit| format!(" && sudo systemctl reload {unit}"))
    }

    /// The path of a program.
    fn located(&self, program: &str) -> PathBuf {
        if program.contains('/') {
            return PathBuf::from(program);
        }
        let all = PATH.iter().map(|place| Path::new(place).join(program));
        all.into_iter().find(|path| exists(self.root, path)).unwrap_or_else(|| PathBuf::from(program))
    }

    /// Whether owner, group and mode let this user run it; where nothing is known of the user, they do.
    fn may_run(&self, user: &str, program: &Path) -> bool {
        let (Ok(found), Some((_, uid, gid))) =
            (self.root.metadata(program), self.accounts.iter().find(|(known, ..)| known == user))
        else {
            return true;
        };
        let bits = match () {
            () if *uid == 0 => 0o111,
            () if found.uid() == *uid => found.mode() & 0o100,
            () if found.gid() == *gid => found.mode() & 0o010,
            () => found.mode() & 0o001,
        };
        // A group of the user's that passwd does not name may open it.
        bits != 0 || (found.gid() != *gid && found.mode() & 0o010 != 0 && found.gid() != 0)
    }
}

fn forced(name: &str, setting: &Setting) -> Finding {
    let sentence =
        shown(&format!("mail.force_extra_parameters = {} goes behind every command line", masked(&setting.value)));
    at(Finding::new(&codes::PHP_FORCED, name, sentence), setting)
}

/// The finding with the line that it comes from.
fn at(mut finding: Finding, setting: &Setting) -> Finding {
    finding.sentence = shown(&format!("{} ({})", finding.sentence, setting.place()));
    let is_command = !setting.key.contains("disable_functions");
    let value = if is_command { masked(&setting.value) } else { setting.value.clone() };
    finding.seen(shown(&format!("{}: {} = {value}", setting.place(), setting.key)))
}

/// A command line without what may be a secret: ssmtp and others take passwords there. The program, the sender
/// and options that are sendmail's and hold none are left.
fn masked(line: &str) -> String {
    let mut is_address = false;
    let shown = words(line).into_iter().enumerate().map(|(at, word)| {
        let is_sender = word.starts_with("-f") || word.starts_with("-r");
        let is_shown = at == 0 || is_sender || is_address || ["-t", "-i", "-oi", "-ti", "-bs"].contains(&word.as_str());
        is_address = word == "-f" || word == "-r";
        if is_shown { word } else { "***".to_owned() }
    });
    shown.collect::<Vec<_>>().join(" ")
}

/// The address behind `-f` or `-r`.
fn fixed_sender(options: &[String]) -> Option<String> {
    let at = options.iter().position(|word| word.starts_with("-f") || word.starts_with("-r"))?;
    let glued = options[at][2..].to_owned();
    Some(glued).filter(|glued| !glued.is_empty()).or_else(|| options.get(at + 1).cloned())
}

/// The words of a command line as a shell parts them.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None | Some('"'), '\\') => word.get_or_insert_default().extend(chars.next()),
            (None, c) if c.is_whitespace() => words.extend(word.take()),
            (_, c) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

/// A path as a shell takes it.
fn quoted(path: &Path) -> String {
    let text = shown(&path.display().to_string());
    let is_plain = text.chars().all(|c| c.is_ascii_alphanumeric() || "/._+@-".contains(c));
    if is_plain { text } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

fn shown(text: &str) -> String {
    printable(text.as_bytes(), TEXT_LIMIT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_line_is_parted_as_a_shell_does() {
        for (line, expected) in [
            ("/usr/sbin/sendmail -t -i", &["/usr/sbin/sendmail", "-t", "-i"][..]),
            ("\"/opt/my mailer\" -t", &["/opt/my mailer", "-t"]),
            (r"/opt/my\ mailer  -t", &["/opt/my mailer", "-t"]),
            ("'a'b \"\"", &["ab", ""]),
            ("  ", &[]),
        ] {
            assert_eq!(words(line), expected, "{line}");
        }
        let sender = |line: &str| fixed_sender(&words(line));
        assert_eq!(sender("-t -i -f admin@blog.example").as_deref(), Some("admin@blog.example"));
        assert_eq!(sender("-t -fadmin@blog.example").as_deref(), Some("admin@blog.example"));
        assert_eq!(sender("-t -i"), None);
        let line = "/usr/sbin/ssmtp -t -au ann -apS3cret -ap S3cret --password=S3cret -f a@b.example";
        assert_eq!(masked(line), "/usr/sbin/ssmtp -t *** *** *** *** *** *** -f a@b.example");
    }
}
