//! Where distributions, panels and images lay PHP's files.

use std::path::{Path, PathBuf};

use super::{Kind, Php, ini, pool};
use crate::machine::{files, text};
use crate::root::Root;

/// How one of them lays its files. `{}` stands for what tells versions apart: the rest of one directory's name.
pub(super) struct Layout {
    /// The directory of one version.
    base: &'static str,
    /// The kinds of PHP below it.
    kinds: &'static [Place],
    /// The version is not what stands in the path, but unknown.
    is_unversioned: bool,
    /// PHP is built where no sendmail is.
    knows_no_sendmail: bool,
}

/// Where one kind of PHP reads, below the base.
struct Place {
    kind: Kind,
    /// php.ini.
    ini: &'static str,
    /// The directory that is scanned for more.
    more: &'static str,
    /// php-fpm.conf.
    fpm: &'static str,
}

const fn place(kind: Kind, ini: &'static str, more: &'static str, fpm: &'static str) -> Place {
    Place { kind, ini, more, fpm }
}

const fn layout(base: &'static str, kinds: &'static [Place]) -> Layout {
    Layout { base, kinds, is_unversioned: false, knows_no_sendmail: false }
}

/// php.ini, a directory beside it and FPM's file, the first two read by every kind.
const ONE_FILE: &[Place] =
    &[place(Kind::Fpm, "php.ini", "php.d", "php-fpm.conf"), place(Kind::Any, "php.ini", "php.d", "")];
/// The same with the other name of the directory.
const ONE_FILE_CONF_D: &[Place] =
    &[place(Kind::Fpm, "php.ini", "conf.d", "php-fpm.conf"), place(Kind::Any, "php.ini", "conf.d", "")];

pub(super) static LAYOUTS: &[Layout] = &[
    // Debian, Ubuntu.
    layout(
        "/etc/php/{}",
        &[
            place(Kind::Fpm, "fpm/php.ini", "fpm/conf.d", "fpm/php-fpm.conf"),
            place(Kind::Cli, "cli/php.ini", "cli/conf.d", ""),
            place(Kind::Cgi, "cgi/php.ini", "cgi/conf.d", ""),
            place(Kind::Apache, "apache2/php.ini", "apache2/conf.d", ""),
        ],
    ),
    // Fedora, RHEL and its kin.
    Layout { is_unversioned: true, ..layout("/etc", ONE_FILE) },
    // Remi's collections.
    layout("/etc/opt/remi/php{}", ONE_FILE),
    // Alpine.
    layout("/etc/php{}", ONE_FILE_CONF_D),
    // SUSE.
    layout(
        "/etc/php{}",
        &[
            place(Kind::Fpm, "fpm/php.ini", "conf.d", "fpm/php-fpm.conf"),
            place(Kind::Cli, "cli/php.ini", "conf.d", ""),
            place(Kind::Apache, "apache2/php.ini", "conf.d", ""),
        ],
    ),
    // Arch.
    Layout { is_unversioned: true, ..layout("/etc/php", ONE_FILE_CONF_D) },
    // The official image, and what is built from source.
    Layout {
        is_unversioned: true,
        knows_no_sendmail: true,
        ..layout(
            "/usr/local/etc/php",
            &[place(Kind::Fpm, "php.ini", "conf.d", "../php-fpm.conf"), place(Kind::Any, "php.ini", "conf.d", "")],
        )
    },
    // cPanel.
    layout("/opt/cpanel/ea-php{}/root/etc", ONE_FILE),
    // Plesk.
    layout("/opt/plesk/php/{}/etc", ONE_FILE),
    // DirectAdmin.
    layout(
        "/usr/local/php{}",
        &[
            place(Kind::Fpm, "lib/php.ini", "lib/php.conf.d", "etc/php-fpm.conf"),
            place(Kind::Any, "lib/php.ini", "lib/php.conf.d", ""),
        ],
    ),
    // CloudLinux.
    layout("/opt/alt/php{}/etc", ONE_FILE),
    // LiteSpeed.
    layout("/usr/local/lsws/lsphp{}/etc", &[place(Kind::LiteSpeed, "php.ini", "php.d", "")]),
];

impl Layout {
    /// Every PHP that is laid like this.
    pub(super) fn find(&self, root: &Root) -> Vec<Php> {
        self.bases(root).into_iter().flat_map(|(base, version)| self.of(root, &base, &version)).collect()
    }

    /// The directories of the versions, each with its version.
    fn bases(&self, root: &Root) -> Vec<(PathBuf, String)> {
        let Some((before, behind)) = self.base.split_once("{}") else {
            return vec![(PathBuf::from(self.base), String::new())];
        };
        let (above, prefix) = before.rsplit_once('/').unwrap_or(("", before));
        let names = root.list(Path::new(above)).unwrap_or_default();
        let of_name = |name: &std::ffi::OsString| {
            let version = version(name.to_str()?.strip_prefix(prefix)?)?;
            let base = Path::new(above).join(name);
            Some((if behind.is_empty() { base } else { base.join(behind.trim_start_matches('/')) }, version))
        };
        names.iter().filter_map(of_name).collect()
    }

    fn of(&self, root: &Root, base: &Path, version: &str) -> Vec<Php> {
        let has_own = |place: &Place| match place.fpm {
            // The directory alone may be another layout's, or another kind's.
            "" => {
                root.has_file(&base.join(place.ini))
                    || (self.knows_no_sendmail && !files(root, base.join(place.more), ".ini").is_empty())
            }
            fpm => root.has_file(&base.join(fpm)),
        };
        let of_place = |place: &Place| {
            let mut read: Vec<PathBuf> =
                Some(base.join(place.ini)).filter(|ini| root.has_file(ini)).into_iter().collect();
            read.extend(files(root, base.join(place.more), ".ini"));
            let of_file = |file: &PathBuf| ini::settings(file, &text(root, file).unwrap_or_default());
            Php {
                version: if self.is_unversioned { String::new() } else { version.to_owned() },
                kind: place.kind,
                settings: read.iter().flat_map(of_file).collect(),
                files: read,
                more: base.join(place.more),
                pools: match place.fpm {
                    "" => Vec::new(),
                    fpm => pool::read(root, &base.join(fpm)),
                },
                knows_no_sendmail: self.knows_no_sendmail,
            }
        };
        self.kinds.iter().filter(|place| has_own(place)).map(of_place).collect()
    }
}

/// `8.2` of `8.2` and `82`, `8` of `8`; `None`: it is no version.
fn version(text: &str) -> Option<String> {
    let is_digit = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match text.split_once('.') {
        Some((major, minor)) => (is_digit(major) && is_digit(minor)).then(|| text.to_owned()),
        None if !is_digit(text) => None,
        None if text.len() == 1 => Some(text.to_owned()),
        None => Some(format!("{}.{}", &text[..1], &text[1..])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_written_in_three_ways() {
        let all = ["8.2", "82", "8", "810", "", "my-admin", "8.x", "conf.d"].map(version);
        let known = [Some("8.2"), Some("8.2"), Some("8"), Some("8.10"), None, None, None, None];
        assert_eq!(all.each_ref().map(Option::as_deref), known);
    }
}
