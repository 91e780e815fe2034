//! What a relay is known by, and by what it is seen that somebody mended it.

use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use ring::digest::{Context, SHA256};

use super::page::{Name, crc32};
use crate::caller::Caller;
use crate::config::relay::{Relay, Username};
use crate::oauth::store::Store;
use crate::secret::Source;

/// One relay of one file.
pub(super) struct Identity<'a> {
    /// What its slot is found by. No secret is in it.
    pub(super) name: Name,
    /// The file that defines it.
    scope: Option<&'a Path>,
    relay: &'a Relay,
}

impl<'a> Identity<'a> {
    /// That of `relay`, which is defined in `scope`: that file, its name, its place, its user and the files of its
    /// secrets.
    pub(super) fn of(scope: Option<&'a Path>, relay: &'a Relay) -> Self {
        let mut context = Context::new(&SHA256);
        let mut add = |part: &[u8]| {
            context.update(part);
            context.update(b"\0");
        };
        add(scope.map_or(b"", |file| file.as_os_str().as_bytes()));
        add(relay.name.as_bytes());
        add(relay.place.to_string().as_bytes());
        add(relay.username().unwrap_or_default().as_bytes());
        for file in sources(relay).iter().filter_map(|source| source.file()) {
            add(file.as_os_str().as_bytes());
        }
        let digest = context.finish();
        let name = digest.as_ref().first_chunk().copied().unwrap_or_default();
        Self { name, scope, relay }
    }

    /// Changes when one of the files does that its settings, secrets and certificates are read from.
    pub(super) fn stamp(&self) -> u32 {
        let mut seen = Vec::new();
        for file in self.files() {
            let found = file.metadata().ok();
            let facts =
                found.map(|found| [found.ino(), found.size(), seconds(found.mtime()), seconds(found.mtime_nsec())]);
            seen.extend(facts.unwrap_or_default().into_iter().flat_map(u64::to_le_bytes));
        }
        crc32(&seen)
    }

    fn files(&self) -> Vec<PathBuf> {
        let relay = self.relay;
        let mut files: Vec<PathBuf> = sources(relay).iter().filter_map(|source| source.file()).collect();
        files.extend(self.scope.map(Path::to_owned));
        files.extend(relay.ca_file.clone());
        files.extend(relay.client_cert.iter().flat_map(|own| [own.certificate.clone(), own.key.clone()]));
        // A login by a person changes that file only.
        let kept = relay.oauth.as_ref().filter(|oauth| oauth.needs_person());
        files.extend(kept.and_then(|oauth| Some(Store::of(oauth, &Caller::current()).ok()?.path().to_owned())));
        files
    }
}

fn seconds(time: i64) -> u64 {
    time.cast_unsigned()
}

/// Where the secrets of `relay` are read from.
fn sources(relay: &Relay) -> Vec<&Source> {
    let mut sources = Vec::new();
    if let Some(login) = relay.smtp_login() {
        if let Username::Read(source) = &login.username {
            sources.push(source);
        }
        sources.extend(&login.secret);
    }
    if let Some(interface) = relay.api() {
        sources.extend(interface.credentials.iter().map(|(_, source)| source));
    }
    if let Some(oauth) = &relay.oauth {
        sources.extend(oauth.secrets().map(|(_, source)| source));
    }
    sources.extend(relay.proxy.iter().filter_map(|proxy| proxy.login.as_ref()).map(|(_, source)| source));
    sources
}
