//! The uids of the users that a configuration names, each asked for once.

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::HashMap;
use std::fs;

use nix::unistd::User;

use crate::caller::Caller;

/// The accounts of this host's own file.
const PASSWD: &str = "/etc/passwd";

/// Where it stands among the sources of accounts.
const SOURCES: &str = "/etc/nsswitch.conf";

/// So many names are asked for one by one. The system reads its file from the beginning for each, so for more it is
/// read here, once.
const FEW: usize = 8;

/// The accounts, as far as a caller's configuration names them.
pub(super) struct Accounts<'c> {
    /// Who calls, whose name needs no look-up.
    pub(super) caller: &'c Caller,
    asked: Cell<usize>,
    known: RefCell<HashMap<String, Option<u32>>>,
    file: OnceCell<HashMap<String, u32>>,
}

impl<'c> Accounts<'c> {
    /// The accounts as `caller` needs them.
    pub(super) fn of(caller: &'c Caller) -> Self {
        Self { caller, asked: Cell::new(0), known: RefCell::default(), file: OnceCell::new() }
    }

    /// The uid of the user `name`; `None`: there is no such user.
    pub(super) fn uid(&self, name: &str) -> Option<u32> {
        if self.caller.user.as_deref() == Some(name) {
            return Some(self.caller.uid);
        }
        if let Some(known) = self.known.borrow().get(name) {
            return *known;
        }
        self.asked.set(self.asked.get() + 1);
        let in_file = match self.asked.get() > FEW {
            true => self.file.get_or_init(file).get(name).copied(),
            false => None,
        };
        let uid = in_file.or_else(|| Some(User::from_name(name).ok()??.uid.as_raw()));
        self.known.borrow_mut().insert(name.to_owned(), uid);
        uid
    }
}

/// What this host's own file says; nothing where another source comes first.
fn file() -> HashMap<String, u32> {
    let sources = fs::read_to_string(SOURCES).unwrap_or_default();
    let is_first = sources.lines().find_map(|line| line.trim_start().strip_prefix("passwd:"));
    match is_first.is_none_or(|sources| sources.split_whitespace().next() == Some("files")) {
        true => entries(&fs::read_to_string(PASSWD).unwrap_or_default()),
        false => HashMap::new(),
    }
}

/// Names and uids in the form of passwd(5); of two entries of one name the first counts.
fn entries(text: &str) -> HashMap<String, u32> {
    let mut entries = HashMap::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let mut fields = line.split(':');
        let (name, uid) = (fields.next().unwrap_or_default(), fields.nth(1).and_then(|uid| uid.parse().ok()));
        if let Some(uid) = uid.filter(|_| !name.is_empty() && !name.starts_with(['+', '-']) && fields.count() == 4) {
            entries.entry(name.to_owned()).or_insert(uid);
        }
    }
    entries
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_read_as_the_system_reads_them() {
        let text = "root:x:0:0:root:/root:/bin/sh\nroot:x:7:0::/:/bin/sh\n+nis:x:1:1:::\n#a:x:2:2:::\nshort:x:3\n\
                    odd:x:y:1:::\n:x:4:4:::\nshop:x:1042:1042:Shop, Inc.:/srv/shop:\n";
        let entries = entries(text);
        assert_eq!(entries, HashMap::from([("root".to_owned(), 0), ("shop".to_owned(), 1042)]));
    }

    #[test]
    fn few_and_many_names_have_the_same_uids() {
        let caller = Caller { uid: 61042, gid: 61042, user: Some("somebody".to_owned()), home: None, cwd: None };
        let accounts = Accounts::of(&caller);
        let system = |name: &str| User::from_name(name).ok().flatten().map(|user| user.uid.as_raw());
        for round in 0..3 {
            for name in ["root", "daemon", "bin", "mail", "nobody", "www-data", "no-such-user"] {
                assert_eq!(accounts.uid(name), system(name), "{round} {name}");
            }
            (0..4).for_each(|number| assert_eq!(accounts.uid(&format!("nobody-{round}-{number}")), None));
        }
        assert!(accounts.file.get().is_some());
        assert_eq!(accounts.asked.get(), 7 + 12, "each name once");
        assert_eq!(accounts.uid("somebody"), Some(61042));
    }

    #[test]
    fn work_is_linear() {
        let begun = std::time::Instant::now();
        let text: String =
            (0..200_000).map(|uid| format!("user{uid}:x:{uid}:{uid}::/home/user{uid}:/bin/sh\n")).collect();
        let entries = entries(&text);
        assert!((0..200_000).all(|uid| entries.get(&format!("user{uid}")) == Some(&uid)));
        assert!(begun.elapsed().as_secs() < 30, "{:?}", begun.elapsed());
    }
}
