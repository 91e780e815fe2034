//! Entries that a test lays into a spool, as the sending process and the flush leave them.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use mailchute::address::{Address, parse_address};
use mailchute::envelope::{Dsn, Envelope};
use mailchute::message::Message;
use mailchute::spool::{Folder, Head, Line, Spool};

pub(crate) const SHOP: u32 = 61_042;
pub(crate) const BLOG: u32 = 61_043;
pub(crate) const USERS: [(&str, u32); 2] = [("shop", SHOP), ("blog", BLOG)];
pub(crate) const PLACE: &str = "/var/spool/mailchute";

pub(crate) fn address(text: &str) -> Address {
    parse_address(text).unwrap().address().unwrap()
}

pub(crate) fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() as i64
}

/// The spool of one user, as the flush and the sending process leave it.
pub(crate) struct Laid {
    uid: u32,
    pub(crate) spool: Spool,
}

impl Laid {
    pub(crate) fn of(uid: u32) -> Self {
        fs::create_dir_all(PLACE).unwrap();
        fs::set_permissions(PLACE, Permissions::from_mode(0o1733)).unwrap();
        let directory = Path::new(PLACE).join(uid.to_string());
        fs::create_dir_all(&directory).unwrap();
        fs::set_permissions(&directory, Permissions::from_mode(0o700)).unwrap();
        chown(&directory, Some(uid), Some(uid)).unwrap();
        // As root, who may do what the user may.
        Self { uid, spool: Spool::at(directory, uid) }
    }

    pub(crate) fn path(&self, folder: Folder, id: &str) -> PathBuf {
        self.spool.directory().join(folder.name()).join(id)
    }

    /// Lays an entry down, to which this happened.
    pub(crate) fn entry(&self, folder: Folder, id: &str, site: &str, lines: &[Line]) -> &Self {
        self.entry_with(folder, id, site, lines, |_| {})
    }

    /// The same with another head.
    pub(crate) fn entry_with(
        &self,
        folder: Folder,
        id: &str,
        site: &str,
        lines: &[Line],
        change: impl FnOnce(&mut Head),
    ) -> &Self {
        let text = format!(
            "From: a@{site}.example\nTo: bob@example.net, ann@example.net\nMessage-ID: <{id}@{site}.example>\nSubject: Gr\u{fc}\u{df}e {id}\n\nbody of {id}\n"
        );
        let message = Message::read(&mut text.as_bytes(), false).unwrap();
        let envelope = Envelope {
            reverse_path: Some(address(&format!("a@{site}.example"))),
            forward_paths: ["bob@example.net", "ann@example.net"].map(address).to_vec(),
            dsn: Dsn::default(),
        };
        let mut head = Head {
            id: id.to_owned(),
            site: site.to_owned(),
            created: now() - 7200,
            until: now() + 86_400,
            envelope,
            route: vec!["main".to_owned()],
            facts: message.facts(),
            repairs: Vec::new(),
            header: message.header().as_bytes().len() as u64,
            length: message.size(),
            key: None,
            keyed: None,
            why: "smtp.example.net:465: connection refused".to_owned(),
            in_doubt: false,
            is_unadmitted: false,
            is_bounce: false,
            diverted_from: Vec::new(),
        };
        change(&mut head);
        self.spool.enqueue(folder, &head, &message, SystemTime::now()).unwrap();
        for directory in [self.path(folder, ""), self.path(folder, id)] {
            chown(directory, Some(self.uid), Some(self.uid)).unwrap();
        }
        let mut entry = self.spool.open(folder, id).unwrap();
        for line in lines {
            entry.append(line, false).unwrap();
        }
        entry.retry_at(SystemTime::now() + Duration::from_secs(630)).unwrap();
        self
    }

    /// Lays an entry of the default site's into the queue that is due.
    pub(crate) fn due(&self, id: &str) -> &Self {
        self.entry(Folder::Queue, id, "default", &[]).set_due(Folder::Queue, id)
    }

    /// Lets an entry be due.
    pub(crate) fn set_due(&self, folder: Folder, id: &str) -> &Self {
        let at = SystemTime::now() - Duration::from_secs(1);
        self.spool.open(folder, id).unwrap().retry_at(at).unwrap();
        self
    }

    /// The folder of every entry.
    pub(crate) fn places(&self) -> Vec<(String, &'static str)> {
        let mut all: Vec<_> = Folder::ALL
            .into_iter()
            .flat_map(|folder| {
                self.spool.list(folder).unwrap().into_iter().map(move |listed| (listed.id, folder.name()))
            })
            .collect();
        all.sort();
        all
    }
}
