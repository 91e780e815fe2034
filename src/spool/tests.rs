use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::time::{Duration, SystemTime};

use super::entry::{Ended, Head, Line, State, Waiting};
use super::store::{Folder, Opened, Spool, Unopened};
use crate::address::Address;
use crate::envelope::{Dsn, Envelope};
use crate::failure::Kind;
use crate::message::Message;

const ID: &str = "0123456789ab";

fn address(text: &str) -> Address {
    text.parse().unwrap()
}

fn message(text: &str) -> Message {
    Message::read(&mut text.as_bytes(), false).unwrap()
}

/// The head of an entry of `message` to two people.
pub(super) fn head(message: &Message) -> Head {
    let (header, body) = message.lengths();
    Head {
        id: ID.to_owned(),
        site: "shop".to_owned(),
        created: 1_795_000_000,
        until: 1_795_432_000,
        envelope: Envelope {
            reverse_path: Some(address("shop@shop.example")),
            forward_paths: vec![address("ann@example.org"), address("\"b c\"@b\u{fc}cher.example")],
            dsn: Dsn::default(),
        },
        route: vec!["main".to_owned(), "backup".to_owned()],
        facts: message.facts(),
        repairs: vec!["Date added".to_owned()],
        header,
        length: header + body,
        key: None,
        keyed: None,
        why: "451 4.3.0 later".to_owned(),
        in_doubt: false,
        is_unadmitted: false,
        is_bounce: false,
        diverted_from: Vec::new(),
    }
}

fn spool(directory: &Path) -> Spool {
    fs::set_permissions(directory, fs::Permissions::from_mode(0o700)).unwrap();
    Spool::at(directory.to_owned(), nix::unistd::geteuid().as_raw())
}

fn enqueued(directory: &Path, text: &str) -> (Spool, Head) {
    let (spool, message) = (spool(directory), message(text));
    let head = head(&message);
    spool.enqueue(Folder::Queue, &head, &message, SystemTime::now()).unwrap();
    (spool, head)
}

fn whole(message: &Message) -> Vec<u8> {
    let (mut octets, mut chunks) = (Vec::new(), message.chunks());
    while let Some(piece) = chunks.advance().unwrap() {
        octets.extend_from_slice(piece);
    }
    octets
}

#[test]
fn what_is_enqueued_is_read_back() {
    let long = format!("Subject: long\n\n{}", "0123456789abcdef\n".repeat(200_000));
    for text in ["Subject: a\nTo: b\n\nbody\n.dot\n", "Subject: a\n\n", &long] {
        let dir = tempfile::tempdir().unwrap();
        let (spool, head) = enqueued(dir.path(), text);
        let opened = spool.open(Folder::Queue, ID).unwrap();
        assert_eq!(opened.entry.head, head);
        assert_eq!(opened.entry.state, State::default());
        assert!(whole(&opened.message().unwrap()) == whole(&message(text)));
        assert_eq!(opened.message().unwrap().repairs(), ["Date added"]);
        let path = dir.path().join("queue").join(ID);
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o7777, 0o600);
        let list = spool.list(Folder::Queue).unwrap();
        assert_eq!((list.len(), list[0].id.as_str(), list[0].size), (1, ID, path.metadata().unwrap().len()));
    }
}

#[test]
fn an_entry_is_made_once_and_failing_leaves_none() {
    let dir = tempfile::tempdir().unwrap();
    let (spool, head) = enqueued(dir.path(), "A: b\n\nfirst\n");
    let again = spool.enqueue(Folder::Queue, &head, &message("A: b\n\nother\n"), SystemTime::now()).unwrap_err();
    assert_eq!(again.kind, Kind::CannotCreate);
    assert!(whole(&spool.open(Folder::Queue, ID).unwrap().message().unwrap()).ends_with(b"first\r\n"));
    // A head that says another length than the message has.
    let wrong = Head { id: "1".to_owned(), length: head.length + 1, ..head };
    assert_eq!(
        spool.enqueue(Folder::Queue, &wrong, &message("A: b\n\nfirst\n"), SystemTime::now()).unwrap_err().kind,
        Kind::Io
    );
    assert_eq!(spool.list(Folder::Queue).unwrap().len(), 1);
}

#[test]
fn every_cut_and_every_changed_octet_is_torn() {
    let dir = tempfile::tempdir().unwrap();
    let (spool, _) = enqueued(dir.path(), "A: b\n\nbody\n");
    let path = dir.path().join("queue").join(ID);
    let good = fs::read(&path).unwrap();
    for length in 0..good.len() {
        fs::write(&path, &good[..length]).unwrap();
        assert!(matches!(spool.open(Folder::Queue, ID), Err(Unopened::Torn(_))), "{length} octets");
    }
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 1;
        fs::write(&path, &bad).unwrap();
        let opened = spool.open(Folder::Queue, ID);
        let is_version = at == b"mailchute spool ".len();
        assert!(
            matches!(opened, Err(Unopened::Torn(_))) || is_version && matches!(opened, Err(Unopened::Newer)),
            "octet {at}: {opened:?}"
        );
    }
    fs::write(&path, [b"mailchute spool 12\n", &good[18..]].concat()).unwrap();
    assert!(matches!(spool.open(Folder::Queue, ID), Err(Unopened::Newer)));
    fs::write(&path, good).unwrap();
    spool.open(Folder::Queue, ID).unwrap();
}

fn end(result: Ended, waiting: Option<&[&str]>) -> Line {
    let waiting = waiting.map(|list| Waiting(list.iter().map(|text| address(text)).collect()));
    Line::End {
        t: 2,
        relay: "main".to_owned(),
        result,
        code: Some(451),
        text: "later".to_owned(),
        waiting,
        is_of_relays: false,
    }
}

#[test]
fn what_happened_is_folded_into_a_state() {
    let begun = || Line::Begun { t: 1, relay: "main".to_owned() };
    let state = |lines: &[Line]| {
        let dir = tempfile::tempdir().unwrap();
        let (spool, _) = enqueued(dir.path(), "A: b\n\nbody\n");
        let mut opened = spool.open(Folder::Queue, ID).unwrap();
        for line in lines {
            opened.append(line, true).unwrap();
        }
        drop(opened);
        let Opened { entry, .. } = spool.open(Folder::Queue, ID).unwrap();
        (entry.state.clone(), entry.head.envelope.forward_paths.len())
    };
    let (of, _) = state(&[begun()]);
    assert!(of.is_in_doubt() && !of.is_accepted() && of.tries == 1);
    let (of, waiting) = state(&[begun(), end(Ended::Deferred, None)]);
    assert!(!of.is_in_doubt() && of.tries == 1 && waiting == 2);
    assert_eq!(of.said, Some((Some(451), "later".to_owned())));
    // A try that came to no hand-over has an end only.
    let (of, waiting) = state(&[end(Ended::Deferred, None), begun(), end(Ended::Deferred, Some(&["ann@example.org"]))]);
    assert!(of.tries == 2 && waiting == 1);
    let (of, _) = state(&[begun(), end(Ended::Accepted, None)]);
    assert!(of.is_accepted() && !of.is_in_doubt());
    let (of, _) = state(&[begun(), end(Ended::InDoubt, None)]);
    assert!(of.is_in_doubt());
    let (of, _) = state(&[begun(), end(Ended::InDoubt, None), Line::Released { t: 3 }]);
    assert!(!of.is_in_doubt() && of.tries == 1);
    let (of, _) = state(&[begun(), Line::Released { t: 3 }, begun()]);
    assert!(of.is_in_doubt());
    assert!(state(&[Line::Bounced { t: 3 }]).0.is_bounced);
}

#[test]
fn what_a_crash_cut_off_has_not_happened_and_hides_nothing_behind_it() {
    let dir = tempfile::tempdir().unwrap();
    let (spool, _) = enqueued(dir.path(), "A: b\n\nbody\n");
    let path = dir.path().join("queue").join(ID);
    let add = |octets: &[u8]| OpenOptions::new().append(true).open(&path).unwrap().write_all(octets).unwrap();
    let state = || spool.open(Folder::Queue, ID).unwrap().entry.state.clone();
    add(br#"{"event":"begun","t":1,"rel"#);
    assert_eq!(state(), State::default());
    let mut opened = spool.open(Folder::Queue, ID).unwrap();
    opened.append(&Line::Begun { t: 1, relay: "main".to_owned() }, true).unwrap();
    drop(opened);
    assert!(state().is_in_doubt());
    // Blocks that never reached the disk read as zeros.
    add(&[0; 100]);
    let mut opened = spool.open(Folder::Queue, ID).unwrap();
    opened.append(&end(Ended::Deferred, None), false).unwrap();
    drop(opened);
    assert!(!state().is_in_doubt());
    add(b"{\"event\":\"of a newer version\",\"t\":7}\n{\"event\":3}\nnot JSON\n\n{}\n");
    assert_eq!(state().tries, 1);
}

#[test]
fn an_entry_belongs_to_one_process_and_to_its_uid() {
    let dir = tempfile::tempdir().unwrap();
    let (spool, _) = enqueued(dir.path(), "A: b\n\nbody\n");
    let opened = spool.open(Folder::Queue, ID).unwrap();
    assert!(matches!(spool.open(Folder::Queue, ID), Err(Unopened::Busy)));
    assert_eq!(spool.look(Folder::Queue, ID).unwrap().head.site, "shop");
    opened.remove().unwrap();
    assert!(matches!(spool.open(Folder::Queue, ID), Err(Unopened::Gone)));

    let (spool, _) = enqueued(dir.path(), "A: b\n\nbody\n");
    let queue = dir.path().join("queue");
    fs::hard_link(queue.join(ID), dir.path().join("other")).unwrap();
    assert!(matches!(spool.open(Folder::Queue, ID), Err(Unopened::Failed(_))), "two names");
    fs::remove_file(queue.join(ID)).unwrap();
    symlink(dir.path().join("other"), queue.join(ID)).unwrap();
    assert!(matches!(spool.open(Folder::Queue, ID), Err(Unopened::Failed(_))), "a link");
    assert!(spool.list(Folder::Queue).unwrap().is_empty());
    for name in ["../other", "", ".", "a/b", "a.b", "-x"] {
        assert!(matches!(spool.open(Folder::Queue, name), Err(Unopened::Gone)), "{name:?}");
    }
    if nix::unistd::geteuid().is_root() {
        fs::remove_file(queue.join(ID)).unwrap();
        fs::rename(dir.path().join("other"), queue.join(ID)).unwrap();
        spool.open(Folder::Queue, ID).unwrap();
        std::os::unix::fs::chown(queue.join(ID), Some(61_042), None).unwrap();
        assert!(matches!(spool.open(Folder::Queue, ID), Err(Unopened::Failed(_))), "another's");
    }
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let shared = Spool::at(dir.path().join("queue"), nix::unistd::geteuid().as_raw());
    fs::set_permissions(dir.path().join("queue"), fs::Permissions::from_mode(0o777)).unwrap();
    let first = message("A: b\n\n");
    assert_eq!(
        shared.enqueue(Folder::Queue, &head(&first), &first, SystemTime::now()).unwrap_err().kind,
        Kind::NoPermission
    );
}

#[test]
fn an_entry_moves_between_folders() {
    let dir = tempfile::tempdir().unwrap();
    let (spool, _) = enqueued(dir.path(), "A: b\n\nbody\n");
    let mut opened = spool.open(Folder::Queue, ID).unwrap();
    let later = SystemTime::UNIX_EPOCH + Duration::from_secs(1_900_000_000);
    opened.retry_at(later).unwrap();
    opened.move_to(Folder::Held).unwrap();
    assert_eq!((opened.folder(), opened.due()), (Folder::Held, later));
    assert!(matches!(spool.open(Folder::Held, ID), Err(Unopened::Busy)));
    drop(opened);
    assert!(spool.list(Folder::Queue).unwrap().is_empty());
    assert_eq!(spool.list(Folder::Held).unwrap()[0].due, later);
    assert_eq!(spool.measure(Folder::Held).unwrap().0, 1);
    // The message is whole wherever it is.
    assert!(File::open(dir.path().join("held").join(ID)).is_ok());
    spool.open(Folder::Held, ID).unwrap().message().unwrap();
    // What is done with is kept from then on, however long ago it was due.
    let mut opened = spool.open(Folder::Held, ID).unwrap();
    opened.retry_at(SystemTime::UNIX_EPOCH).unwrap();
    opened.move_to(Folder::Failed).unwrap();
    drop(opened);
    spool.age(&|_| Some(Duration::from_secs(3600))).unwrap();
    assert_eq!(spool.list(Folder::Failed).unwrap().len(), 1);
}
