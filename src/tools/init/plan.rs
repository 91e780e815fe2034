//! What would be written: one value, whatever it was made of, that is shown and then written as it was shown.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use nix::unistd::geteuid;
use zeroize::Zeroizing;

use super::draft::{self, key, line, list};
use super::surroundings::Pool;
use crate::cli::init::Init;
use crate::config::quoted;
use crate::failure::{Failure, Kind};
use crate::host;
use crate::modes::Modes;
use crate::secret::Secret;
use crate::tools::secret::files::{self, Laid};
use crate::tools::secret::put::{CLOSED, MODE};
use crate::tools::speaker;

/// The configuration where nothing else is said.
pub(super) const MAIN: &str = "/etc/mailchute/config.toml";

/// The site's name where none is said.
const SITE: &str = "main";

/// What would be written.
#[derive(Debug)]
pub(super) struct Plan {
    /// The secrets, then the configuration: whoever reads that finds what it names.
    pub(super) files: Vec<Planned>,
    /// Who sends, for a test as each of them; empty: anybody.
    pub(super) users: Vec<String>,
    /// The directories that the files need, with their modes.
    directories: Vec<(PathBuf, u32)>,
}

/// One file.
#[derive(Debug)]
pub(super) struct Planned {
    /// Where.
    pub(super) path: PathBuf,
    /// Whose.
    pub(super) as_of: Modes,
    /// What is in it.
    content: Content,
    /// What is there so far.
    pub(super) there: There,
}

#[derive(Debug)]
enum Content {
    Configuration(String),
    Secret(Secret),
}

/// What is in a file's place so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum There {
    /// Nothing.
    Nothing,
    /// The very same.
    Same,
    /// Another file.
    Other,
    /// What is no file, and is not replaced.
    NoFile,
}

/// Those that speak as one site.
struct Speaking {
    site: String,
    users: Vec<String>,
    /// The group that reads the secret.
    gid: Option<u32>,
}

/// Where the configuration goes.
pub(super) fn place(of: &Init) -> PathBuf {
    of.writing.output.clone().map_or_else(|| PathBuf::from(MAIN), |path| std::path::absolute(&path).unwrap_or(path))
}

/// The `sites.d` that a configuration is for, and the user whose directory in there it is for.
fn within(configuration: &Path) -> Option<(&Path, Option<&str>)> {
    let above = configuration.parent()?;
    if above.ends_with("sites.d") {
        return Some((above, None));
    }
    let sites = above.parent().filter(|sites| sites.ends_with("sites.d"))?;
    Some((sites, Some(above.file_name()?.to_str()?)))
}

/// The user that all in this configuration is bound to, as it lies in that user's directory.
fn holder(configuration: &Path) -> Option<&str> {
    within(configuration)?.1
}

/// Says who sends where the place of the configuration does.
pub(super) fn fill(of: &mut Init) {
    if of.user.is_empty() && !of.sites_by_pool {
        of.user.extend(holder(&place(of)).map(str::to_owned));
    }
}

/// Where the secret goes: `secrets` beside the configuration, or beside `sites.d`.
fn secrets(configuration: &Path) -> PathBuf {
    let beside = within(configuration).map_or(configuration, |(sites, _)| sites);
    beside.with_file_name("secrets")
}

/// Whether the secret is one to be stored, so that it needs a group.
pub(super) fn is_stored(of: &Init) -> bool {
    of.secret_stdin || of.taken.as_ref().is_some_and(|taken| taken.secret_key.is_some())
}

/// Whether it is known who reads the secret.
pub(super) fn has_readers(of: &Init) -> bool {
    let is_own = !geteuid().is_root();
    !is_stored(of) || is_own || of.sites_by_pool || !of.user.is_empty() || of.group.is_some() || has_binary_group()
}

fn has_binary_group() -> bool {
    host::binary_group().is_some()
}

impl Plan {
    /// What the options come to, with `secret` where one is stored; `pools` are this machine's.
    ///
    /// # Errors
    /// `Usage`: an option is wrong, or two do not go together; `Data`: the secret is not what is wanted.
    pub(super) fn of(of: &Init, pools: &[Pool], secret: Option<&Secret>) -> Result<Self, Failure> {
        draft::check_sender(of)?;
        draft::check_relay(of, secret.map(Secret::expose))?;
        draft::check_alias(of)?;
        let path = place(of);
        let speaking = speaking(of, pools)?;
        let relays = relays(of, &speaking);
        let mut files = Vec::new();
        let mut text = draft::sender_lines(of);
        for (name, gid) in &relays {
            let stored = secrets(&path).join(stored_name(of, name)?);
            let source = match secret {
                Some(_) => Some(format!("{{ file = {} }}", *quoted(&stored.display().to_string()))),
                None => reference(of)?,
            };
            text += "\n";
            text += &draft::relay_lines(of, name, source.as_deref())?;
            if let Some(secret) = secret {
                files.push(Planned::new(stored, Content::Secret(secret.clone()), secret_ownership(*gid)));
            }
        }
        for Speaking { site, users, gid } in speaking.iter().filter(|speaking| !speaking.users.is_empty()) {
            text += &format!("\n[site.{}]\n", *key(site));
            if holder(&path).is_none() {
                text += &format!("user = [{}]\n", list(&users.iter().map(String::as_str).collect::<Vec<_>>()));
            }
            if relays.len() > 1 {
                let own = relays.iter().find(|(_, of)| of == gid).map_or(site.as_str(), |(name, _)| name);
                text += &line("relay", own);
            }
        }
        text += &draft::alias_lines(of)?;
        text += &draft::log_lines(of);
        // As the sending program reads it.
        let config = draft::load(&path, &text)?;
        if let Some(warning) = config.warnings.first() {
            return Err(Failure::new(Kind::Usage, "init", warning.clone()));
        }
        let (uid, gid) = files::own();
        let as_of = Modes { uid, gid, mode: 0o644 };
        let directories = directories(&path, !files.is_empty());
        files.push(Planned::new(path, Content::Configuration(text), as_of));
        let users = speaking.into_iter().flat_map(|speaking| speaking.users).collect();
        Ok(Self { files, users, directories })
    }

    /// The configuration's path.
    pub(super) fn configuration(&self) -> &Path {
        self.files.last().map_or(Path::new(MAIN), |file| &file.path)
    }

    /// Whether another file is in the place of one.
    pub(super) fn is_in_the_way(&self) -> bool {
        self.files.iter().any(|file| file.there == There::Other)
    }

    /// What is in the way of a file and is not to be replaced.
    ///
    /// # Errors
    /// `CannotCreate`: the first of them.
    pub(super) fn check_places(&self, replace: bool) -> Result<(), Failure> {
        for file in &self.files {
            let refused = |why: &str| Failure::new(Kind::CannotCreate, file.path.display().to_string(), why);
            match file.there {
                There::NoFile => return Err(refused("is there, and is no regular file")),
                There::Other if !replace => {
                    let failure = refused("is there already, and is another");
                    return Err(match file.content {
                        Content::Configuration(_) => failure.hint(
                            "--replace puts this in its place; --output /etc/mailchute/sites.d/NAME.toml adds a site",
                        ),
                        Content::Secret(_) => failure.hint("--replace puts this one in its place"),
                    });
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Writes it all, or nothing.
    ///
    /// # Errors
    /// Something is in the way, or cannot be written; what was made before that is taken away.
    pub(super) fn write(&self, replace: bool) -> Result<(), Failure> {
        self.check_places(replace)?;
        let laid: Vec<Laid> = self.files.iter().filter(|file| file.there != There::Same).map(Planned::laid).collect();
        files::lay(&self.directories, &laid)
    }

    /// What would be written, as the text of the configuration with remarks above it.
    pub(super) fn shown(&self) -> String {
        let rows = self.files.iter().map(Planned::row);
        let head: String = rows.map(|row| format!("# {row}\n")).collect();
        let configuration = self.files.iter().find_map(|file| match &file.content {
            Content::Configuration(text) => Some(text.as_str()),
            Content::Secret(_) => None,
        });
        format!("{head}\n{}", configuration.unwrap_or_default())
    }
}

impl Planned {
    fn new(path: PathBuf, content: Content, as_of: Modes) -> Self {
        let mut planned = Self { path, as_of, content, there: There::Nothing };
        planned.there = planned.look();
        planned
    }

    fn look(&self) -> There {
        let found = match fs::symlink_metadata(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return There::Nothing,
            Err(_) => return There::NoFile,
            Ok(found) => found,
        };
        if !found.is_file() {
            return There::NoFile;
        }
        let as_of = Modes::of(&found);
        let octets = self.octets();
        let is_same = || fs::read(&self.path).map(Zeroizing::new).is_ok_and(|read| **read == *octets.as_bytes());
        match as_of == self.as_of && found.len() == octets.len() as u64 && is_same() {
            true => There::Same,
            false => There::Other,
        }
    }

    fn octets(&self) -> Zeroizing<String> {
        Zeroizing::new(match &self.content {
            Content::Configuration(text) => text.clone(),
            Content::Secret(secret) => format!("{}\n", secret.expose()),
        })
    }

    fn laid(&self) -> Laid {
        Laid {
            path: self.path.clone(),
            content: Zeroizing::new(self.octets().as_bytes().to_vec()),
            as_of: self.as_of.clone(),
            replace: self.there == There::Other,
        }
    }

    /// `/etc/mailchute/secrets/postmark  root:www-data 0640  new: the secret`.
    fn row(&self) -> String {
        let what = match self.there {
            There::Nothing => "new",
            There::Same => "there already, and the same",
            There::Other | There::NoFile => "in the place of another",
        };
        let of = if matches!(self.content, Content::Secret(_)) { ": the secret" } else { "" };
        format!("{}  {}  {what}{of}", self.path.display(), self.as_of)
    }
}

fn secret_ownership(gid: Option<u32>) -> Modes {
    match files::own() {
        (0, _) => Modes { uid: 0, gid: gid.unwrap_or(0), mode: MODE },
        (uid, gid) => Modes { uid, gid, mode: 0o600 },
    }
}

/// The directories of the house above these files: any other is for whoever names it.
fn directories(configuration: &Path, has_secret: bool) -> Vec<(PathBuf, u32)> {
    let above = configuration.parent().unwrap_or(Path::new("/"));
    let mut found = Vec::new();
    let house = Path::new(MAIN).parent().unwrap_or(Path::new("/"));
    if above.starts_with(house) {
        found.push((house.to_owned(), 0o755));
        if let Some((sites, holder)) = within(configuration).filter(|(sites, _)| sites.parent() == Some(house)) {
            found.push((sites.to_owned(), 0o755));
            found.extend(holder.map(|_| (above.to_owned(), 0o755)));
        }
    }
    if has_secret {
        found.push((secrets(configuration), if files::own().0 == 0 { CLOSED } else { 0o700 }));
    }
    found
}

/// Who speaks as which site, and which group reads the secret for them.
fn speaking(of: &Init, pools: &[Pool]) -> Result<Vec<Speaking>, Failure> {
    let group = match (&of.group, host::binary_group()) {
        (Some(name), _) => Some(files::group(name).map_err(|failure| option(failure, "--group"))?),
        (None, gid) => gid,
    };
    let gid = |users: &[String]| -> Result<Option<u32>, Failure> {
        if group.is_some() || !is_stored(of) || files::own().0 != 0 {
            return Ok(group);
        }
        let uids = users.iter().map(|user| speaker::uid(user)).collect::<Result<Vec<_>, _>>()?;
        // Root reads it anyway.
        let uids: Vec<u32> = uids.iter().copied().filter(|uid| *uid != 0 || uids.len() == 1).collect();
        files::shared(&uids).map(Some).map_err(|why| {
            Failure::new(Kind::Usage, "--user", why).hint("name the group that reads the secret: --group GROUP")
        })
    };
    let path = place(of);
    let holder = holder(&path);
    if let Some(holder) = holder {
        let uid = speaker::uid(holder).map_err(|failure| option(failure, "--output"))?;
        if of.sites_by_pool || of.user.iter().any(|user| speaker::uid(user).ok() != Some(uid)) {
            let why = format!("a file in the directory of {holder} is for that user alone");
            return Err(Failure::new(Kind::Usage, "--output", why).hint(
                "one for others lies in /etc/mailchute/sites.d itself: --output /etc/mailchute/sites.d/NAME.toml",
            ));
        }
    }
    if of.sites_by_pool {
        if pools.is_empty() {
            return Err(Failure::new(Kind::Usage, "--sites-by-pool", "there is no pool of PHP-FPM on this machine")
                .hint("name who sends: --user USER"));
        }
        let mut found: Vec<Speaking> = Vec::new();
        for Pool { name, user } in pools {
            let users = vec![user.clone()];
            found.push(Speaking { site: unused(name, &found), gid: gid(&users)?, users });
        }
        if !found.iter().any(|known| known.users.iter().any(|user| user == "root")) {
            // cron, and whatever else tells the administrator.
            let gid = found.first().and_then(|first| first.gid);
            found.push(Speaking { site: unused("system", &found), users: vec!["root".to_owned()], gid });
        }
        return Ok(found);
    }
    for user in &of.user {
        speaker::uid(user).map_err(|failure| option(failure, "--user"))?;
    }
    let site = of.site.clone().unwrap_or_else(|| SITE.to_owned());
    if of.user.is_empty() {
        if of.site.is_some() {
            return Err(Failure::new(Kind::Usage, "--site", "a site is for users").hint("name them: --user USER"));
        }
        return Ok(vec![Speaking { site, users: Vec::new(), gid: gid(&[])? }]);
    }
    let mut users = of.user.clone();
    users.dedup();
    let gid = gid(&users)?;
    if !users.iter().any(|user| user == "root") && of.site.is_none() && holder.is_none() {
        users.push("root".to_owned());
    }
    Ok(vec![Speaking { site, users, gid }])
}

/// A failure of what an option says.
fn option(failure: Failure, option: &str) -> Failure {
    Failure { what: format!("{option} {}", failure.what), ..failure }
}

/// `name`, or what is like it and no site's yet.
fn unused(name: &str, sites: &[Speaking]) -> String {
    let is_used = |name: &str| sites.iter().any(|known| known.site == name);
    let mut numbered = (2..).map(|number| format!("{name}-{number}"));
    if is_used(name) { numbered.find(|name| !is_used(name)).unwrap_or_default() } else { name.to_owned() }
}

/// The relays: one, or one for each group that reads a secret, which is the same in each of their files.
fn relays(of: &Init, speaking: &[Speaking]) -> Vec<(String, Option<u32>)> {
    let mut found: Vec<(String, Option<u32>)> = Vec::new();
    for Speaking { site, gid, .. } in speaking {
        if !found.iter().any(|(_, known)| known == gid) {
            found.push((site.clone(), *gid));
        }
    }
    if let ([one], None) = (&mut found[..], &of.site) {
        SITE.clone_into(&mut one.0);
    }
    found
}

/// The name of the stored secret of a relay: the provider's, the host's where there is none, or the site's.
fn stored_name(of: &Init, relay: &str) -> Result<String, Failure> {
    let provider = draft::provider(of)?;
    let general = provider.map_or("smtp", |provider| provider.id);
    let name = match (&of.site, relay) {
        (Some(site), _) => site.clone(),
        (None, SITE) => general.to_owned(),
        (None, relay) => format!("{general}-{relay}"),
    };
    let is_usual = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    let name: String = name.chars().map(|c| if is_usual(c) { c } else { '-' }).collect();
    Ok(name.trim_start_matches(['.', '-']).to_owned())
}

/// The value of TOML that says where a secret is that is not stored here; `None`: there is none.
fn reference(of: &Init) -> Result<Option<String>, Failure> {
    let table = |key: &str, value: &str| format!("{{ {key} = {} }}", *quoted(value));
    if let Some(path) = &of.secret_file {
        let path = std::path::absolute(path).unwrap_or_else(|_| path.clone());
        return Ok(Some(table("file", &path.display().to_string())));
    }
    if let Some(words) = &of.secret_command {
        let words: Vec<&str> = words.split_whitespace().collect();
        if words.is_empty() {
            return Err(Failure::new(Kind::Usage, "--secret-command", "is empty"));
        }
        return Ok(Some(format!("{{ command = [{}] }}", list(&words))));
    }
    let of_variable = of.secret_env.as_ref().map(|name| table("env", name));
    Ok(of_variable.or_else(|| of.secret_credential.as_ref().map(|name| table("credential", name))))
}

/// Looks at who speaks.
///
/// # Errors
/// `Usage`, with the reason.
pub(super) fn check_speakers(of: &Init, pools: &[Pool]) -> Result<(), Failure> {
    speaking(of, pools).map(drop)
}
