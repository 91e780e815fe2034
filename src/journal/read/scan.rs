//! The search itself: files are read in pieces, the newest first, by as many threads as help.

use std::collections::BinaryHeap;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::sync_channel;
use std::thread;

use memchr::{memchr, memrchr};

use super::Strange;
use super::line::Line;
use super::query::Query;
use super::source::{LONGEST, Source};
use crate::process;

/// How much is read at once, in octets: it stays in the processor's own memory while it is searched.
const READ: usize = 256 << 10;

/// How much one thread takes at a time, in octets.
const PIECE: u64 = 1 << 20;

/// How many threads there are at most.
const THREADS: usize = 4;

/// How far from its place in time a record may stand among those that are shown, in milliseconds.
const SLACK: i64 = 1000;

/// A part of one file: the lines that begin in it.
#[derive(Debug)]
struct Piece {
    source: usize,
    start: u64,
    end: u64,
    /// No record in it is much newer.
    until: i64,
}

/// Where a record is that is meant. Ordered by time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Hit {
    time: i64,
    source: usize,
    start: u64,
    length: usize,
}

/// How many threads help.
fn threads() -> usize {
    thread::available_parallelism().map_or(1, std::num::NonZero::get).min(THREADS)
}

/// The pieces of `sources` that `query` is about, the newest first.
fn pieces(sources: &[Source], query: &Query) -> Vec<Piece> {
    let mut pieces = Vec::new();
    for (number, source) in sources.iter().enumerate() {
        let range = source.between(query.since, query.until);
        let mut end = range.end;
        let mut until = if end == source.length { source.written } else { i64::MAX };
        while end > range.start {
            let start = end.saturating_sub(PIECE).max(range.start);
            pieces.push(Piece { source: number, start, end, until });
            // A single file needs no times: it is in order.
            if sources.len() > 1 && start > range.start {
                until = source.time_at(start).unwrap_or(until);
            }
            end = start;
        }
    }
    if sources.len() > 1 {
        pieces.sort_by_key(|piece| std::cmp::Reverse(piece.until));
    }
    pieces
}

/// Gives the records that `query` means to `each`, the newest first, until it has enough.
pub(super) fn newest(
    sources: &[Source],
    query: &Query,
    strange: &Strange,
    mut each: impl FnMut(&Line<'_>) -> ControlFlow<()>,
) {
    let pieces = pieces(sources, query);
    let mut show = |hit: Hit| {
        let mut buffer = vec![0; hit.length];
        let source = &sources[hit.source];
        match source.read(&mut buffer, hit.start) {
            Ok(filled) if filled == hit.length => {}
            _ => return ControlFlow::Continue(()),
        }
        match Line::read(&buffer).or_else(|| Line::behind_torn(&buffer)) {
            Some(line) => each(&line),
            None => ControlFlow::Continue(()),
        }
    };
    let search = |piece: &Piece, scratch: &mut Vec<u8>| {
        let mut hits = Vec::new();
        let source = &sources[piece.source];
        lines(source, piece, query, strange, scratch, &mut |start, line| {
            let time = line.time().unwrap_or(0);
            hits.push(Hit { time, source: piece.source, start, length: line.octets().len() });
        });
        hits
    };
    let mut waiting = BinaryHeap::new();
    let threads = threads().min(pieces.len()).max(1);
    let is_one_file = sources.len() == 1;
    let mut take = |number: usize, hits: Vec<Hit>| {
        waiting.extend(hits);
        // What is still to come may be newer than what is here already.
        let next =
            pieces.get(number + 1).map(|piece| if is_one_file { i64::MIN } else { piece.until.saturating_add(SLACK) });
        let until = next.unwrap_or(i64::MIN);
        while let Some(hit) = waiting.peek().copied().filter(|hit| hit.time > until) {
            waiting.pop();
            show(hit)?;
        }
        ControlFlow::Continue(())
    };
    thread::scope(|scope| {
        // Each thread has its own share of the pieces in turn, and is ahead of the others by no more than one.
        let results: Vec<_> = (0..threads)
            .map(|first| {
                let (sender, receiver) = sync_channel(1);
                let (pieces, search) = (&pieces, &search);
                let work = move || {
                    let mut scratch = Vec::new();
                    for piece in pieces.iter().skip(first).step_by(threads) {
                        // Whoever had enough listens no longer.
                        if sender.send(search(piece, &mut scratch)).is_err() {
                            break;
                        }
                    }
                };
                let is_started = process::start_in(scope, "reader", work).is_ok();
                (receiver, is_started)
            })
            .collect();
        let mut scratch = Vec::new();
        for number in 0..pieces.len() {
            let (receiver, is_started) = &results[number % threads];
            let hits = match receiver.recv() {
                Ok(hits) => hits,
                // There was no thread to be had.
                Err(_) if !is_started => search(&pieces[number], &mut scratch),
                Err(_) => break,
            };
            if take(number, hits).is_break() {
                break;
            }
        }
    });
}

/// Gives every record that `query` means to one of several counts, in no order, and returns these.
pub(super) fn count<T: Default + Send>(
    sources: &[Source],
    query: &Query,
    strange: &Strange,
    add: impl Fn(&mut T, &Line<'_>) + Sync,
) -> Vec<T> {
    let pieces = pieces(sources, query);
    let next = AtomicUsize::new(0);
    let work = || {
        let (mut count, mut scratch) = (T::default(), Vec::new());
        while let Some(piece) = pieces.get(next.fetch_add(1, Ordering::Relaxed)) {
            let source = &sources[piece.source];
            lines(source, piece, query, strange, &mut scratch, &mut |_, line| add(&mut count, line));
        }
        count
    };
    thread::scope(|scope| {
        let others: Vec<_> = (1..threads()).filter_map(|_| process::start_in(scope, "reader", work).ok()).collect();
        let mut counts = vec![work()];
        counts.extend(others.into_iter().filter_map(|other| other.join().ok()));
        counts
    })
}

/// Gives every record that begins in `piece` and that `query` means to `found`, with the place of its line.
fn lines(
    source: &Source,
    piece: &Piece,
    query: &Query,
    strange: &Strange,
    scratch: &mut Vec<u8>,
    found: &mut dyn FnMut(u64, &Line<'_>),
) {
    let mut search = Search { source, query, strange, found };
    scratch.resize(scratch.len().max(READ), 0);
    // A line that begins before the piece is not of it: one that ends right before it tells.
    let mut at = piece.start.saturating_sub(1);
    let mut is_begun = piece.start == 0;
    let mut kept = 0;
    loop {
        let filled = match source.read(&mut scratch[kept..], at + kept as u64) {
            Ok(filled) => kept + filled,
            Err(_) => return strange.unread(),
        };
        let is_end = filled < scratch.len();
        let mut from = 0;
        if !is_begun {
            match memchr(b'\n', &scratch[..filled]) {
                Some(end) => (from, is_begun) = (end + 1, true),
                None if is_end => return,
                None => {
                    (at, kept) = (at + filled as u64, 0);
                    continue;
                }
            }
        }
        // Only whole lines are looked at; what has no end yet is still being written, or torn.
        let whole = match memrchr(b'\n', &scratch[from..filled]) {
            Some(end) => from + end + 1,
            None if is_end => from,
            None if filled - from < LONGEST => {
                scratch.copy_within(from..filled, 0);
                (at, kept) = (at + from as u64, filled - from);
                if kept * 2 > scratch.len() {
                    scratch.resize(scratch.len() * 2, 0);
                }
                continue;
            }
            None => {
                strange.torn();
                (at, kept, is_begun) = (at + filled as u64, 0, false);
                continue;
            }
        };
        // Lines that begin behind the piece are the next one's.
        let own = usize::try_from(piece.end.saturating_sub(at)).unwrap_or(usize::MAX);
        if own < whole {
            // The one that goes over the end is still this one's.
            let last = match own {
                0 => 0,
                own => memchr(b'\n', &scratch[own - 1..whole]).map_or(whole, |end| own + end),
            };
            search.block(at, from, &scratch[..last.max(from)]);
            return;
        }
        search.block(at, from, &scratch[..whole]);
        if is_end {
            if whole < filled && at + (filled as u64) >= source.length {
                search.block(at, whole, &scratch[..filled]);
            }
            return;
        }
        scratch.copy_within(whole..filled, 0);
        (at, kept) = (at + whole as u64, filled - whole);
    }
}

/// A search through whole lines.
struct Search<'s> {
    source: &'s Source,
    query: &'s Query,
    strange: &'s Strange,
    found: &'s mut dyn FnMut(u64, &Line<'_>),
}

impl Search<'_> {
    /// Searches the lines of `text` from `from`; `at` is where the text stands in the file.
    fn block(&mut self, at: u64, mut from: usize, text: &[u8]) {
        let literal = self.query.literal();
        while from < text.len() {
            let start = match literal {
                None => from,
                Some(literal) => match literal.find(&text[from..]) {
                    Some(found) => memrchr(b'\n', &text[from..from + found]).map_or(from, |end| from + end + 1),
                    None => return,
                },
            };
            let end = memchr(b'\n', &text[start..]).map_or(text.len(), |end| start + end);
            self.line(at + start as u64, &text[start..end]);
            from = end + 1;
        }
    }

    fn line(&mut self, at: u64, octets: &[u8]) {
        if octets.is_empty() {
            return;
        }
        let line = Line::read(octets).or_else(|| {
            self.strange.torn();
            Line::behind_torn(octets)
        });
        let Some(line) = line else { return };
        if !self.query.is_for(&line) {
            return;
        }
        match self.source.uid {
            Some(uid) if line.number(super::Field::Uid) != Some(u64::from(uid)) => {
                // All sites write to one file, where others' records are nothing strange.
                if self.source.is_own {
                    self.strange.forged();
                }
            }
            _ => (self.found)(at + (octets.len() - line.octets().len()) as u64, &line),
        }
    }
}

/// Gives the records that `query` means of the whole lines behind `at` to `each`, and returns where the next begins.
pub(super) fn tail(
    source: &Source,
    at: u64,
    query: &Query,
    strange: &Strange,
    each: &mut dyn FnMut(&Line<'_>) -> ControlFlow<()>,
) -> ControlFlow<(), u64> {
    let (mut at, mut flow) = (at, ControlFlow::Continue(()));
    let mut buffer = vec![0; READ];
    while at < source.length && flow.is_continue() {
        let Ok(filled) = source.read(&mut buffer, at) else { break };
        match memrchr(b'\n', &buffer[..filled]) {
            Some(end) => {
                let mut found = |_, line: &Line<'_>| {
                    if flow.is_continue() {
                        flow = each(line);
                    }
                };
                Search { source, query, strange, found: &mut found }.block(at, 0, &buffer[..=end]);
                at += end as u64 + 1;
            }
            None if filled < buffer.len() => break,
            None if buffer.len() < LONGEST => buffer.resize(buffer.len() * 2, 0),
            None => at += filled as u64,
        }
    }
    flow?;
    ControlFlow::Continue(at)
}
