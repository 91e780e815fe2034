//! What an address list holds, piece by piece.

use std::ops::Range;

use super::{BadAddress, Mailbox, phrase};

/// An address list as it was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct List {
    /// What it holds, in order.
    pub pieces: Vec<Piece>,
    /// Somebody else may read it in another way, so it has to be written anew: an encoded word with specials in it,
    /// a name with separators that nothing quotes, a domain with a final dot, white space outside of ASCII beside an
    /// address.
    pub is_doubtful: bool,
    /// Something is written in a way that not everybody reads, obsolete (RFC 5322 4.4) or worse: an address with a route,
    /// with white space or comments inside, or behind a name that nothing quotes and that is another address; a group
    /// that does not end, or the end of none.
    pub is_obsolete: bool,
}

/// A piece of an address list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// A mailbox, that of a group among them.
    Mailbox(Listed),
    /// Something that is no address.
    Unreadable(Unreadable),
    /// A group of this name begins.
    Group(String),
    /// It ends.
    GroupEnd,
}

/// A mailbox and where the list holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// The mailbox; a comment stands in for a missing display name, as in `root (Cron Daemon)`.
    pub mailbox: Mailbox,
    /// Its place in the text, name, brackets and comments included.
    pub span: Range<usize>,
}

/// A piece that is no address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable {
    /// What it is, and why it is none.
    pub bad: BadAddress,
    /// The display name beside it, where there is one.
    pub name: Option<String>,
    /// Its place in the text.
    pub span: Range<usize>,
}

impl List {
    /// The mailboxes in order, members of groups included.
    pub fn mailboxes(&self) -> impl Iterator<Item = &Listed> {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Mailbox(listed) => Some(listed),
            _ => None,
        })
    }

    /// The mailboxes alone, in order.
    pub fn into_mailboxes(self) -> impl Iterator<Item = Mailbox> {
        self.pieces.into_iter().filter_map(|piece| match piece {
            Piece::Mailbox(listed) => Some(listed.mailbox),
            _ => None,
        })
    }

    /// The pieces that are no addresses.
    pub fn errors(&self) -> impl Iterator<Item = &Unreadable> {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Unreadable(unreadable) => Some(unreadable),
            _ => None,
        })
    }

    /// The list written anew, so that everybody reads it as it was read here. A piece that is no address becomes text.
    pub fn written(&self) -> String {
        let mut out = String::new();
        let mut is_first = true;
        let mut in_group = false;
        for piece in &self.pieces {
            if matches!(piece, Piece::GroupEnd) {
                out.push(';');
                in_group = false;
                continue;
            }
            if !std::mem::take(&mut is_first) {
                out.push_str(", ");
            }
            match piece {
                // Without brackets, a name of this host could be taken for the beginning of a name with commas.
                Piece::Mailbox(Listed { mailbox: Mailbox { name: None, spec }, .. }) if spec.domain.is_none() => {
                    out.push_str(&format!("<{spec}>"));
                }
                Piece::Mailbox(listed) => out.push_str(&listed.mailbox.to_string()),
                Piece::Unreadable(unreadable) => out.push_str(&phrase(&unreadable.bad.text)),
                Piece::Group(name) => {
                    out.push_str(&phrase(name));
                    out.push_str(": ");
                    (is_first, in_group) = (true, true);
                }
                Piece::GroupEnd => {}
            }
        }
        if in_group {
            out.push(';');
        }
        out
    }
}
