//! What an AWS client is told beside its program: the region, and the profile of its two files.

use std::path::PathBuf;

use crate::attempt::Attempt;
use crate::caller::Caller;
use crate::failure::Failure;
use crate::host;
use crate::modes;
use crate::secret::{LIMIT, Secret, read_file};

/// One profile: what the configuration file says of it, and the shared credentials file over that.
pub struct Profile {
    /// Its name.
    pub name: String,
    /// Whether somebody chose it, so that it has to be there.
    pub is_chosen: bool,
    /// Whether one of the files has it.
    pub exists: bool,
    values: Vec<(String, Secret)>,
}

impl Profile {
    /// Reads the profile `chosen`, or the one `AWS_PROFILE` names, or `default`. What is weak about the owner or mode
    /// of the credentials file is named in the attempt's warnings, or refused with `strict`.
    ///
    /// # Errors
    /// A file is there and cannot be read.
    pub fn read(chosen: Option<&str>, strict: bool, attempt: &mut Attempt) -> Result<Self, Failure> {
        let mut profile = Self::named(chosen);
        if let Some(path) = file(CONFIG).filter(|path| path.exists()) {
            let (octets, _) = modes::read(&path, LIMIT).map_err(|error| modes::unreadable(&path, &error))?;
            profile.take(&String::from_utf8_lossy(&octets), true);
        }
        if let Some(path) = file(CREDENTIALS).filter(|path| path.exists()) {
            profile.take(read_file(&path, strict, &mut attempt.trace.warnings)?.expose(), false);
        }
        Ok(profile)
    }

    /// Whether `key` has a value.
    pub fn has(&self, key: &str) -> bool {
        self.find(key).is_some()
    }

    /// The value of `key`, where it has one.
    pub fn find(&self, key: &str) -> Option<&str> {
        let (_, value) = self.values.iter().rev().find(|(name, _)| name == key)?;
        Some(value.expose()).filter(|value| !value.is_empty())
    }

    fn named(chosen: Option<&str>) -> Self {
        let name = chosen.map(str::to_owned).or_else(|| variable("AWS_PROFILE"));
        let is_chosen = name.is_some();
        let name = name.unwrap_or_else(|| "default".to_owned());
        Self { name, is_chosen, exists: false, values: Vec::new() }
    }

    /// Adds what `text` says of it. The configuration file writes `profile` before every name but `default`.
    fn take(&mut self, text: &str, is_config: bool) {
        let (mut is_ours, mut is_nested) = (false, false);
        for line in text.lines().filter(|line| !line.trim_start().starts_with(['#', ';'])) {
            let is_indented = line.starts_with([' ', '\t']);
            let line = line.trim();
            if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
                let name = name.trim();
                let bare = name.strip_prefix("profile").filter(|rest| rest.starts_with([' ', '\t'])).map(str::trim);
                is_ours = match bare.filter(|_| is_config) {
                    Some(bare) => bare == self.name,
                    None => name == self.name && (!is_config || name == "default"),
                };
                self.exists |= is_ours;
                is_nested = false;
            } else if let Some((key, value)) = line.split_once('=').filter(|_| is_ours) {
                let (key, value) = (key.trim(), value.trim());
                // Lines that stand in below a key without a value are that key's own.
                if !(is_nested && is_indented) {
                    is_nested = value.is_empty();
                    self.values.push((key.to_owned(), Secret::new(value.to_owned())));
                }
            }
        }
    }
}

/// The region that an AWS client here would take: `AWS_REGION`, `AWS_DEFAULT_REGION`, or that of the profile. A file
/// that cannot be read has none, and what cannot be part of a host's name is none.
pub(super) fn region(profile: Option<&str>) -> Option<String> {
    let is_label = |text: &String| text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    let told = ["AWS_REGION", "AWS_DEFAULT_REGION"].into_iter().find_map(variable);
    told.or_else(|| region_of(profile)).filter(is_label)
}

fn region_of(profile: Option<&str>) -> Option<String> {
    let mut profile = Profile::named(profile);
    for which in [CONFIG, CREDENTIALS] {
        if let Some((octets, _)) = file(which).and_then(|path| modes::read(&path, LIMIT).ok()) {
            profile.take(&String::from_utf8_lossy(&octets), which == CONFIG);
        }
    }
    profile.find("region").map(str::to_owned)
}

/// The environment variable `name`, where it is text and not empty; none in a privileged process.
pub fn variable(name: &str) -> Option<String> {
    host::variable(name)?.into_string().ok().filter(|value| !value.is_empty())
}

/// The variable that names a file, and where the file is below the home otherwise.
type Which = (&'static str, &'static str);

const CONFIG: Which = ("AWS_CONFIG_FILE", ".aws/config");
const CREDENTIALS: Which = ("AWS_SHARED_CREDENTIALS_FILE", ".aws/credentials");

/// Where a file is; `None` without a home, and for a privileged process: its caller's files choose nothing.
fn file((name, usual): Which) -> Option<PathBuf> {
    if host::is_privileged() {
        return None;
    }
    variable(name).map(PathBuf::from).or_else(|| Some(Caller::current().home?.join(usual)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The value of `key` in the profile `name` of the two files.
    fn value(config: &str, credentials: &str, name: &str, key: &str) -> Option<String> {
        let mut profile = Profile::named(Some(name));
        profile.take(config, true);
        profile.take(credentials, false);
        profile.find(key).map(str::to_owned)
    }

    #[test]
    fn profiles_are_told_apart() {
        let config = "[default]\nregion = eu-north-1\ns3 =\n  region = nowhere\nrole_arn=R\n[profile shop]\nregion=eu-west-1\n\
                      aws_access_key_id = OLD\n[other]\nregion = none\n[profile default2]\n";
        let credentials = "[default]\naws_access_key_id = A\naws_secret_access_key=B\n# x\n[shop]\n aws_access_key_id=C\n\
                           aws_secret_access_key = D=\nregion =\n;[other]\n[profile odd]\nregion = y\n";
        for (name, key, expected) in [
            ("default", "region", Some("eu-north-1")),
            ("default", "role_arn", Some("R")),
            ("default", "aws_access_key_id", Some("A")),
            ("default", "aws_secret_access_key", Some("B")),
            ("shop", "aws_access_key_id", Some("C")),
            ("shop", "aws_secret_access_key", Some("D=")),
            ("shop", "region", None),
            ("other", "region", None),
            ("odd", "region", None),
            ("profile odd", "region", Some("y")),
        ] {
            assert_eq!(value(config, credentials, name, key).as_deref(), expected, "{name} {key}");
        }
        let mut empty = Profile::named(Some("default2"));
        empty.take(config, true);
        assert!(empty.exists);
        empty = Profile::named(Some("other"));
        empty.take(config, true);
        assert!(!empty.exists);
    }
}
