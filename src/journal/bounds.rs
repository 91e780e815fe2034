//! How much of a record there is: nothing that a caller, a message or a server says may make it vanish from a log or
//! show something else than it is.

use super::{Record, TryRecord};
use crate::reply::{is_hidden, printable};

/// How many items a list has at most.
pub(super) const ITEMS: usize = 100;

/// What is kept of a record.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// The longest string, in octets.
    text: usize,
    /// The longest list.
    items: usize,
}

/// All that a record may hold.
pub(super) const FULL: Bounds = Bounds { text: 1024, items: ITEMS };

/// Less and less of it, where a log takes no more. The last is below 4 KB.
const LESS: [Bounds; 3] =
    [Bounds { text: 256, items: 20 }, Bounds { text: 120, items: 5 }, Bounds { text: 50, items: 1 }];

/// The item that stands for those left out.
pub(super) fn more(count: usize) -> String {
    format!("and {count} more")
}

impl Record {
    /// The line in at most `limit` octets, or as short as it gets.
    pub(super) fn line_within(&self, limit: usize) -> String {
        let mut line = self.line();
        let mut shrunk = self.clone();
        for bounds in LESS {
            if line.len() <= limit {
                break;
            }
            shrunk.bound(bounds);
            line = shrunk.line();
        }
        line
    }

    /// Makes every string and every list fit.
    pub(super) fn bound(&mut self, bounds: Bounds) {
        // Named one by one, so that no field is forgotten.
        let Self {
            v: _,
            time: _,
            id: _,
            status: _,
            resend_of: _,
            by: _,
            site,
            uid: _,
            user,
            cwd,
            parent,
            parents,
            unit,
            job,
            pool,
            web_host,
            script,
            argv,
            tag,
            relay,
            provider: _,
            from,
            to,
            diverted_from,
            message_id,
            size: _,
            code: _,
            enhanced: _,
            text,
            spool: _,
            hint,
            provider_id,
            key,
            stage: _,
            tls,
            tries,
            repairs,
            warnings,
            ignored,
            retry: _,
            ms: _,
            exit: _,
            dialogue,
            is_in_doubt: _,
        } = self;
        let strings = [site, user, cwd, parent, unit, job, pool, web_host, script, tag, relay, from, message_id];
        let more = [hint, provider_id, key, tls];
        strings.into_iter().chain(more).flatten().chain([text]).for_each(|text| bounds.text(text));
        for list in [parents, argv, to, diverted_from, repairs, warnings, ignored] {
            bounds.list(list);
        }
        // Its end tells most.
        dialogue.drain(..dialogue.len().saturating_sub(bounds.items));
        dialogue.iter_mut().for_each(|line| bounds.text(line));
        tries.truncate(bounds.items);
        for TryRecord { relay, peer, code: _, text, stage: _, ms: _ } in tries {
            [relay, text].into_iter().chain(peer).for_each(|text| bounds.text(text));
        }
    }
}

impl Bounds {
    fn text(self, text: &mut String) {
        if text.len() > self.text {
            *text = printable(text.as_bytes(), self.text - CUT.len()) + CUT;
        } else if text.chars().any(is_hidden) {
            *text = printable(text.as_bytes(), self.text);
        }
    }

    fn list(self, list: &mut Vec<String>) {
        let left_out = list.len().saturating_sub(self.items);
        // One too many is the item that stands for others already.
        if left_out > usize::from(self.items == ITEMS) {
            list.truncate(self.items);
            list.push(more(left_out));
        }
        list.iter_mut().for_each(|text| self.text(text));
    }
}

/// Stands for what was cut off.
const CUT: &str = "...";

#[cfg(test)]
mod tests {
    use super::*;

    /// A record that says as much as a caller can make it say.
    fn longest() -> Record {
        let long = "x\u{9b}\u{202e}\"\\ü".repeat(100_000);
        let list = || vec![long.clone(); 500];
        let mut record = Record::new(1000);
        let strings = [&mut record.site, &mut record.user, &mut record.cwd, &mut record.script, &mut record.message_id];
        let where_from = [&mut record.unit, &mut record.job, &mut record.pool, &mut record.web_host];
        for text in strings.into_iter().chain(where_from).chain([&mut record.hint]) {
            *text = Some(long.clone());
        }
        record.text.clone_from(&long);
        for items in [&mut record.argv, &mut record.to, &mut record.warnings, &mut record.dialogue] {
            *items = list();
        }
        record.tries = (0..500)
            .map(|_| TryRecord {
                relay: long.clone(),
                peer: Some(long.clone()),
                code: None,
                text: long.clone(),
                stage: None,
                ms: 0,
            })
            .collect();
        record.finish(150, std::time::Duration::ZERO);
        record
    }

    #[test]
    fn nothing_makes_a_record_longer_than_a_log_takes() {
        let record = longest();
        assert!(!record.line().contains(is_hidden));
        assert!(record.line().len() < 2 << 20);
        assert_eq!(record.to.last().map(String::as_str), Some("and 400 more"));
        for limit in [64 << 10, 8 << 10, 4 << 10] {
            let line = record.line_within(limit);
            assert!(line.len() <= limit, "{}: {line}", line.len());
            let read: serde_json::Value = serde_json::from_str(&line).expect("JSON");
            assert_eq!((&read["uid"], &read["exit"]), (&1000.into(), &150.into()));
        }
        assert_eq!(record.line_within(usize::MAX), record.line());
    }

    #[test]
    fn what_is_seen_is_what_is_there() {
        let mut record = Record::new(1000);
        record.message_id = Some("<a\u{9b}31m\u{202e}b\u{200b}c\u{feff}d\te>".to_owned());
        record.user = Some("Zoë".to_owned());
        record.finish(0, std::time::Duration::ZERO);
        assert_eq!(record.message_id.as_deref(), Some("<a?31m?b?c?d e>"));
        assert_eq!(record.user.as_deref(), Some("Zoë"));
    }
}
