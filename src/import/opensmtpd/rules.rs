//! `match ... action` and the older `accept`: whose mail goes where.

use super::grammar::{Sort, Word};

/// What a rule decides on, and what it leads to.
#[derive(Debug, Default)]
pub(super) struct Rule {
    /// `for any`.
    pub(super) is_for_all: bool,
    /// `for local`, or nothing.
    pub(super) is_for_local: bool,
    /// It is about mail of other hosts or of those who log in alone.
    pub(super) is_from_others: bool,
    /// It is also about mail of other hosts.
    pub(super) is_from_any: bool,
    /// The senders it is for.
    pub(super) sender: Option<Word>,
    /// It depends on something else.
    pub(super) is_special: bool,
    pub(super) is_reject: bool,
    /// The action by name.
    pub(super) action: Option<String>,
}

impl Rule {
    /// Reads the words of a rule behind the first, up to the action.
    pub(super) fn read(words: &[Word]) -> Self {
        let mut rule = Self { is_for_local: true, ..Self::default() };
        let mut words = words.iter().peekable();
        while let Some(word) = words.next() {
            let mut what = || words.next().map_or("", |word| word.text.as_str()).to_owned();
            match word.text.as_str() {
                _ if word.sort == Sort::Table => rule.is_special = true,
                "for" => {
                    rule.is_for_local = false;
                    match what().as_str() {
                        "any" => rule.is_for_all = true,
                        "local" => rule.is_for_local = true,
                        _ => {
                            words.next();
                        }
                    }
                }
                "from" => match what().as_str() {
                    "local" | "socket" => {}
                    "any" => rule.is_from_any = true,
                    "mail-from" => rule.sender = words.next().cloned(),
                    "auth" => {
                        rule.is_from_others = true;
                        words.next_if(|word| word.sort == Sort::Table);
                    }
                    _ => {
                        rule.is_from_others = true;
                        words.next();
                    }
                },
                "mail-from" | "sender" => rule.sender = words.next().cloned(),
                "action" => rule.action = words.next().map(|word| word.text.clone()),
                "reject" => rule.is_reject = true,
                "alias" | "virtual" | "userbase" => {
                    words.next();
                }
                _ => rule.is_special = true,
            }
        }
        rule.is_special |= rule.sender.as_ref().is_some_and(|word| word.is("!") || word.is("regex"));
        rule
    }
}
