//! What another program sends mail with, as a configuration of ours. Nothing is executed, and no network is asked.
//!
//! A kind of program is a file of this folder and a line of [`KINDS`]. It reads its files through [`source::Inquiry`], notes
//! every setting in the draft's ledger, and sets what the program *does* with them, not what they seem to say.

mod application;
mod django;
mod dma;
pub mod draft;
mod drupal;
mod env;
mod esmtp;
mod exim;
mod laravel;
pub mod literal;
mod local;
mod msmtp;
mod nextcloud;
mod nullmailer;
mod opensmtpd;
mod postfix;
mod rails;
mod sendmail;
pub mod source;
mod ssmtp;
mod symfony;
mod wordpress;

use std::path::{Path, PathBuf};

use self::draft::Draft;
use self::source::{Inquiry, MailUser};
use crate::failure::{Failure, Kind as Failing};
use crate::root::Root;
use crate::spelling;

pub use self::local::Given;

/// A program whose configuration can be imported.
pub struct Program {
    /// The word of the command line.
    pub name: &'static str,
    /// Its own name.
    pub title: &'static str,
    /// Its files, for the manual.
    pub files: &'static str,
    /// Finds what there is of it.
    find: fn(&Root, &MailUser) -> Vec<Importable>,
    /// Reads it.
    read: fn(&Inquiry<'_>, &mut Draft) -> Result<(), Failure>,
}

/// Every kind, in the order of the help: a line each.
#[rustfmt::skip]
pub static KINDS: &[Program] = &[
    msmtp::KIND,
    ssmtp::KIND,
    nullmailer::KIND,
    dma::KIND,
    esmtp::KIND,
    postfix::KIND,
    exim::KIND,
    opensmtpd::KIND,
    sendmail::KIND,
    wordpress::KIND,
    laravel::KIND,
    symfony::KIND,
    django::KIND,
    rails::KIND,
    nextcloud::KIND,
    drupal::KIND,
    env::KIND,
];

/// Something to import.
#[derive(Debug, PartialEq, Eq)]
pub struct Importable {
    /// Its files.
    pub files: Vec<PathBuf>,
    /// Whose mail it sends: `everybody`, or `user NAME`.
    pub whom: String,
}

impl Program {
    /// The kind called `name`.
    ///
    /// # Errors
    /// `Usage`: there is none.
    pub fn named(name: &str) -> Result<&'static Self, Failure> {
        KINDS.iter().find(|kind| kind.name == name).ok_or_else(|| {
            let names = || KINDS.iter().map(|kind| kind.name);
            let failure = Failure::new(Failing::Usage, name, "nothing that can be imported is called so");
            match spelling::nearest(name, names()) {
                Some(near) => failure.hint(format!("did you mean `{near}`?")),
                None => failure.hint(format!("there are {}", names().collect::<Vec<_>>().join(", "))),
            }
        })
    }

    /// What there is of it below `root` for `person`.
    pub fn find(&self, root: &Root, person: &MailUser) -> Vec<Importable> {
        (self.find)(root, person)
    }

    /// Reads it whole.
    ///
    /// # Errors
    /// `NoInput`: it is not there. `Data`: its own program would refuse it. `NoPermission`, `Io`: it cannot be read.
    pub fn read(&self, asked: &Inquiry<'_>) -> Result<Draft, Failure> {
        let mut draft = Draft::default();
        (self.read)(asked, &mut draft)?;
        local::settle(asked, &mut draft)?;
        Ok(draft)
    }
}

/// Says of every file that is no longer kept what waits in it.
fn queue(draft: &mut Draft, program: &str, directory: &str) {
    let why = format!(
        "{program} keeps a message that it cannot hand over and tries again; mailchute tells the caller at once \
         (on_relay_failure = \"spool\" keeps it). What waits in {directory} is not taken along: have it sent first"
    );
    draft.ledger.remark("queue", &draft::code::QUEUE, why);
}

/// Those of `files` that are there, as one thing to import for everybody; nothing without the first.
fn of_everybody(root: &Root, files: &[&str]) -> Vec<Importable> {
    let first = files.first().is_some_and(|first| root.has_file(Path::new(first)));
    let there = files.iter().map(Path::new).filter(|file| first && root.has_file(file)).map(Path::to_path_buf);
    let files: Vec<_> = there.collect();
    match files.is_empty() {
        true => Vec::new(),
        false => vec![Importable { files, whom: "everybody".to_owned() }],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_a_file_and_a_line() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/import");
        for (at, kind) in KINDS.iter().enumerate() {
            assert!(KINDS[..at].iter().all(|other| other.name != kind.name), "{}", kind.name);
            let place = folder.join(kind.name);
            assert!(place.with_extension("rs").exists() || place.join("mod.rs").exists(), "{}", kind.name);
            assert!(!kind.files.is_empty() && !kind.title.is_empty(), "{}", kind.name);
        }
        assert_eq!(
            Program::named("msmpt").err().and_then(|failure| failure.hint).as_deref(),
            Some("did you mean `msmtp`?")
        );
    }
}
