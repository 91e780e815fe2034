//! `mailchute secret check`: whether each secret that the configuration names is there, is read by those who send and by
//! nobody else, and looks right. Nothing of a value is shown, not even its length: it tells some kinds of keys apart.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use nix::unistd::User;

use super::file;
use super::files::shared;
use super::readers::Reader;
use super::uses::{self, Use};
use crate::caller::Caller;
use crate::cli::secret::CheckSecrets;
use crate::config::site::{NOBODY, Site};
use crate::config::{Config, Search};
use crate::failure::{Failure, Kind};
use crate::finding::{Finding, Grade, codes};
use crate::host;
use crate::modes;
use crate::reply::{TEXT_LIMIT, printable};
use crate::secret::{self, STORED, Source};
use crate::tools::check::worded;

/// What is said of a secret.
pub(crate) enum Row {
    /// It is as it should be: what it is, and who reads it.
    Fine(String, String),
    /// Something is to be said.
    Found(Finding),
}

/// The finding with a command that names `path`, where it is safe for root to run it there.
fn next_on(finding: Finding, path: &Path, line: impl FnOnce(std::path::Display<'_>) -> String) -> Finding {
    if is_safe(path) { finding.run(line(path.display())) } else { finding }
}

/// Whether nobody but root decides what this path leads to, and a shell takes it as it is: in a directory of a user's own
/// it may be a link to a file of root's by the time the command runs.
fn is_safe(path: &Path) -> bool {
    let is_usual = |c: char| c.is_ascii_alphanumeric() || "/._+@-".contains(c);
    let is_roots = |above: &Path| {
        above.symlink_metadata().is_ok_and(|found| found.is_dir() && found.uid() == 0 && found.mode() & 0o022 == 0)
    };
    path.is_absolute()
        && path.to_str().is_some_and(|text| text.chars().all(is_usual))
        && !path.is_symlink()
        && path.ancestors().skip(1).all(is_roots)
}

/// A path as a reader may see it.
fn shown(path: &Path) -> String {
    printable(path.as_os_str().as_encoded_bytes(), TEXT_LIMIT)
}

/// What was found, and whether something is broken.
///
/// # Errors
/// The configuration cannot be read, or no secret has the name that was given.
pub(super) fn run(of: &CheckSecrets) -> Result<(String, bool), Failure> {
    let only = of.name.as_deref().map(file).transpose()?;
    let config = Search::new(of.config.clone()).load(&Caller::current())?;
    let mut found = rows(&config, only.as_deref());
    if only.is_none() {
        found.extend(config.skipped.iter().map(|skipped| {
            let why = printable(skipped.why.as_bytes(), TEXT_LIMIT);
            let sentence = format!("is not looked at: {why}");
            Row::Found(Finding::new(&codes::CONFIG_SKIPPED, shown(&skipped.file), sentence).at_most(Grade::Note))
        }));
    }
    if let Some(only) = only.filter(|_| found.is_empty()) {
        return Err(Failure::new(
            Kind::Configuration,
            only.display().to_string(),
            "no such secret, and nothing names it",
        )
        .hint(format!("ls {STORED}")));
    }
    let findings = found.iter_mut().filter_map(|row| match row {
        Row::Found(finding) => Some(finding),
        Row::Fine(..) => None,
    });
    worded(&config, findings);
    let is_broken = found.iter().any(|row| matches!(row, Row::Found(finding) if finding.grade == Grade::Broken));
    Ok((page(&found), is_broken))
}

/// What is to be said of every secret that `config` names and every one that is stored, or of the file `only`.
pub(crate) fn rows(config: &Config, only: Option<&Path>) -> Vec<Row> {
    let uses: Vec<Use<'_>> = uses::all(config);
    let is_meant = |using: &&Use<'_>| only.is_none_or(|only| using.is_of(only));
    let mut found: Vec<Row> = look_at_all(uses.iter().filter(is_meant), &uses, config);
    let stored = stored().into_iter().filter(|path| only.is_none_or(|only| only == path));
    let unused = stored.filter(|path| !uses.iter().any(|using| using.is_of(path)));
    let is_whole = config.skipped.is_empty() && config.unread().is_empty();
    found.extend(unused.map(|path| Row::Found(of_unused(&path, is_whole))));
    found
}

/// The same of what the sites that `is_meant` need, each on its own: nothing is said of what nobody needs.
pub(crate) fn rows_of(config: &Config, is_meant: impl Fn(&Site) -> bool) -> Vec<Row> {
    let uses: Vec<Use<'_>> = uses::all(config);
    look_at_all(uses.iter().filter(|using| using.sites.iter().any(|site| is_meant(site))), &uses, config)
}

/// Looks at each of these, who reads a file once for all that name it.
fn look_at_all<'u>(these: impl Iterator<Item = &'u Use<'u>>, all: &[Use<'_>], config: &Config) -> Vec<Row> {
    let (mut rows, mut seen) = (Vec::new(), Vec::new());
    for using in these {
        let is_new = using.source.file().is_none_or(|file| !seen.contains(&file));
        seen.extend(using.source.file());
        rows.extend(look_at(using, is_new.then_some(all), config));
    }
    rows
}

fn page(found: &[Row]) -> String {
    let mut text = String::new();
    for row in found {
        // Writing to a string cannot fail.
        let _ = match row {
            Row::Fine(subject, sentence) => writeln!(text, "{:<7} {subject}: {sentence}", "ok"),
            Row::Found(finding) => writeln!(text, "{:<7} {finding}", finding.grade),
        };
        if let Row::Found(Finding { next: Some(next), .. }) = row {
            let _ = writeln!(text, "     -> {next}");
        }
    }
    if found.is_empty() {
        text.push_str("the configuration names no secret\n");
    }
    text
}

/// The files that are stored.
fn stored() -> Vec<PathBuf> {
    let entries = fs::read_dir(STORED).into_iter().flatten().filter_map(Result::ok);
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(|path| !path.is_dir()).collect();
    paths.sort();
    paths
}

/// That nothing names what is stored. Whether that is so is known only where the configuration was read whole (`is_whole`).
fn of_unused(path: &Path, is_whole: bool) -> Finding {
    if !is_whole {
        let sentence = "nothing names it in what could be read; it may be named in a file that is left out or not read";
        return Finding::new(&codes::SECRET_UNUSED, shown(path), sentence);
    }
    let sentence = "nothing in the configuration names it";
    let finding = Finding::new(&codes::SECRET_UNUSED, shown(path), sentence);
    next_on(finding, path, |path| format!("rm {path}"))
}

/// With `all` uses, who reads its file is looked at, too.
fn look_at(using: &Use<'_>, all: Option<&[Use<'_>]>, config: &Config) -> Vec<Row> {
    let title = using.title();
    let path = match using.source {
        Source::File(path) => path,
        Source::Inline(value) => {
            let place = using.sites.first().and_then(|site| site.file.as_ref());
            let place = place.map_or_else(|| "the environment".to_owned(), |file| file.display().to_string());
            let mut finding = Finding::new(&codes::SECRET_INLINE, &title, format!("stands in {place} itself"));
            if let Some(wrong) = using.wrong(value.expose()) {
                finding = Finding::new(&codes::SECRET_WRONG, &title, format!("stands in {place} itself, and {wrong}"));
            }
            let name = using.name;
            return vec![Row::Found(match file(name) {
                Ok(_) => finding.run(format!("mailchute secret put {name}")),
                Err(_) => finding,
            })];
        }
        Source::Env(_) | Source::Credential(_) => {
            let sentence =
                format!("{}, which is set where the caller starts and not seen from here", using.source.describe());
            return vec![Row::Found(Finding::new(&codes::SECRET_UNSEEN, title, sentence))];
        }
        Source::Command(_) => {
            let sentence = format!("{}, which is run when a message is sent", using.source.describe());
            return vec![Row::Found(Finding::new(&codes::SECRET_UNSEEN, title, sentence))];
        }
    };
    let subject = format!("{} ({title})", shown(path));
    let value = match secret::read_file(path, false, &mut Vec::new()) {
        Ok(value) => value,
        Err(failure) => {
            let is_refused = failure.kind == Kind::NoPermission;
            let code = if is_refused { &codes::SECRET_MODES } else { &codes::SECRET_MISSING };
            let finding = Finding::new(code, subject, failure.why);
            return vec![Row::Found(match stored_name(path) {
                Some(name) if !path.exists() => finding.run(format!("mailchute secret put {name}")),
                _ => match failure.hint.filter(|hint| is_safe(path) || !hint.starts_with("sudo ")) {
                    Some(hint) => finding.advise(hint),
                    None => finding,
                },
            })];
        }
    };
    let users = all.map(|all| Use::users_of_file(all, path)).unwrap_or_default();
    let mut found = match all {
        Some(_) => of_readers(&users, path, &subject, config),
        None => Vec::new(),
    };
    let is_empty = value.expose().is_empty().then(|| "is empty".to_owned());
    let wrong = is_empty.or_else(|| using.wrong(value.expose()));
    if let Some(wrong) = wrong {
        let finding = Finding::new(&codes::SECRET_WRONG, &subject, wrong);
        found.push(match stored_name(path) {
            Some(name) => finding.run(format!("mailchute secret put {name} --replace")),
            None => finding,
        });
    }
    if found.is_empty() && all.is_some() {
        let names: Vec<String> = readers(&users).into_iter().map(|reader| reader.name).collect();
        let by = if names.is_empty() { "whoever sends".to_owned() } else { names.join(", ") };
        return vec![Row::Fine(subject, format!("read by {by}"))];
    }
    found.into_iter().map(Row::Found).collect()
}

/// The name it is stored under, where it is.
fn stored_name(path: &Path) -> Option<&str> {
    path.strip_prefix(STORED).ok()?.to_str().filter(|name| file(name).is_ok())
}

/// Those who send with it, with the group of a set-group-id binary.
fn readers(users: &[u32]) -> Vec<Reader> {
    users.iter().map(|uid| Reader::of(*uid, host::binary_group())).collect()
}

/// Whether those who send, `users`, can read it, and who else can.
fn of_readers(users: &[u32], path: &Path, subject: &str, config: &Config) -> Vec<Finding> {
    let mut found = Vec::new();
    let Ok(own) = modes::probe(path) else { return found };
    let whose = match users[..] {
        [uid] => uid,
        _ => 0,
    };
    for weakness in own.weaknesses(whose, true) {
        let is_owner = own.uid != 0 && own.uid != whose;
        let command = if is_owner { "chown root" } else { "chmod 0640" };
        let grade = if own.mode & 0o002 != 0 { Grade::Broken } else { Grade::Weak };
        let finding = Finding::new(&codes::SECRET_MODES, subject, format!("is {weakness} ({own})")).at_most(grade);
        found.push(next_on(finding, path, |path| format!("{command} {path}")));
    }
    let group = host::binary_group();
    for reader in readers(users) {
        if let Some(obstacle) = reader.obstacle(path) {
            let sentence = format!("{} sends with it and cannot read it ({own})", reader.name);
            let finding = Finding::new(&codes::SECRET_UNREADABLE, subject, sentence);
            found.push(match obstacle == path {
                false => next_on(finding, &obstacle, |above| format!("chmod a+x {above}")),
                true => regrouped(finding, path, users, config),
            });
        }
    }
    let others = config.sites.iter().flat_map(|site| site.users.iter().map(move |uid| (site, *uid)));
    let mut named = Vec::new();
    for (site, uid) in others.filter(|(_, uid)| *uid != NOBODY && *uid != 0) {
        let is_own = users.is_empty() || users.contains(&uid);
        // A set-group-id binary reads it for them; by themselves they are not to.
        if (is_own && group.is_none()) || named.contains(&uid) || own.mode & 0o004 != 0 {
            continue;
        }
        named.push(uid);
        let reader = Reader::of(uid, None);
        if reader.obstacle(path).is_none() {
            let why = if is_own { "by itself, though the binary is set-group-id" } else { "and does not send with it" };
            let sentence = format!("{}, of site {}, can read it {why} ({own})", reader.name, site.name);
            found.push(regrouped(Finding::new(&codes::SECRET_SHARED, subject, sentence), path, users, config));
        }
    }
    found
}

/// With the step that gives the file to `users`, and to nobody else: to their group by a command, where they have one that
/// no other site's user is in.
fn regrouped(finding: Finding, path: &Path, users: &[u32], config: &Config) -> Finding {
    let named = path.file_name().and_then(|name| User::from_name(name.to_str()?).ok().flatten());
    if let Some(other) =
        named.filter(|user| host::binary_group().is_none() && !users.is_empty() && !users.contains(&user.uid.as_raw()))
    {
        // A copy of another user's file may name it by mistake.
        return finding.advise(format!(
            "it is called after {0}, who does not send with it: look whom the site is for that names it, before anybody \
             but {0} is given it",
            other.name
        ));
    }
    let to = host::binary_group().or_else(|| shared(users).ok().filter(|gid| is_theirs_alone(*gid, users, config)));
    if let Some(gid) = to {
        let group = modes::group_name(gid);
        return next_on(finding, path, |path| format!("chgrp {group} {path} && chmod 0640 {path}"));
    }
    let names: Vec<String> = readers(users).into_iter().map(|reader| reader.name).collect();
    match names.is_empty() || !is_safe(path) {
        true => finding,
        false => finding.advise(format!(
            "a secret of its own for each of {} is safest; to share this one, they need a group that nobody else is in \
             (groupadd, usermod -aG), which the file is given to",
            names.join(", ")
        )),
    }
}

/// Whether no user of a site but `users` is in the group `gid`.
fn is_theirs_alone(gid: u32, users: &[u32], config: &Config) -> bool {
    let all = config.sites.iter().flat_map(|site| site.users.iter().copied());
    let mut others = all.filter(|uid| *uid != NOBODY && *uid != 0 && !users.contains(uid));
    !others.any(|uid| Reader::of(uid, None).is_in(gid))
}
