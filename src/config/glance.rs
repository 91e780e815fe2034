//! Whether a file of `sites.d` is for other users only, told from its lines alone.
//!
//! On a host of hundreds of sites, every process would parse hundreds of files to use one. What is not beyond doubt
//! here is left to the parser: a text that spans lines, an escape, a dotted key, a site without `user`. What remains is
//! a part of TOML in which every line is a whole statement, so that none can be taken for what it is not.

use std::collections::BTreeMap;

use super::accounts::Accounts;

/// The table that a line belongs to.
enum Table<'s> {
    /// Before the first header.
    Top,
    /// `[site.NAME]`.
    Site(&'s str),
    /// One below `[site.NAME]`.
    Below(&'s str),
    /// Another one: no key of it makes a site.
    Other,
}

const BLANK: [char; 2] = [' ', '\t'];

/// The names of the sites that `source` defines, where each of them says `user` and the caller is none of them. `None`:
/// only the parser can tell. A file with a mistake may be taken for others', too, where that is all it says of users.
pub(super) fn others<'s>(source: &'s str, accounts: &Accounts<'_>) -> Option<Vec<&'s str>> {
    let mut table = Table::Top;
    // Each with whether it is bound to others.
    let mut sites: BTreeMap<&str, bool> = BTreeMap::new();
    for line in source.split('\n') {
        let line = line.strip_suffix('\r').unwrap_or(line).trim_matches(BLANK);
        match line.as_bytes().first() {
            None | Some(b'#') => {}
            Some(b'[') => {
                table = header(line)?;
                let (Table::Site(name) | Table::Below(name)) = table else { continue };
                sites.entry(name).or_insert(false);
            }
            Some(_) => {
                let (key, value) = statement(line)?;
                match table {
                    Table::Top if ["site", "default_site"].contains(&key) => return None,
                    Table::Site(name) if key == "user" => {
                        sites.insert(name, excludes(value, accounts).then_some(true)?);
                    }
                    _ => {}
                }
            }
        }
    }
    let are_bound = !sites.is_empty() && sites.values().all(|is_bound| *is_bound);
    are_bound.then(|| sites.into_keys().collect())
}

/// The table that a header names.
fn header(line: &str) -> Option<Table<'_>> {
    let (is_array, inside) = match line.strip_prefix("[[") {
        Some(inside) => (true, inside),
        None => (false, line.strip_prefix('[')?),
    };
    let (first, mut rest) = name(inside)?;
    let (mut second, mut is_below) = (None, false);
    while let Some(more) = rest.strip_prefix('.') {
        let (next, after) = name(more)?;
        rest = after;
        is_below = second.is_some();
        second = second.or(Some(next));
    }
    let rest = rest.strip_prefix(if is_array { "]]" } else { "]" })?;
    if !is_rest(rest) {
        return None;
    }
    match (first == "site", second) {
        (false, _) => Some(Table::Other),
        (true, Some(name)) if is_below => Some(Table::Below(name)),
        (true, Some(name)) if !is_array => Some(Table::Site(name)),
        // Its keys are sites.
        (true, _) => None,
    }
}

/// The key and the value of a line that holds both whole.
fn statement(line: &str) -> Option<(&str, &str)> {
    let (key, rest) = name(line)?;
    let value = rest.strip_prefix('=')?.trim_start_matches(BLANK);
    is_whole(value).then_some((key, value))
}

/// A bare or a quoted word without escapes and what follows it, blanks around it left out.
fn name(text: &str) -> Option<(&str, &str)> {
    let text = text.trim_start_matches(BLANK);
    let (name, rest) = match text.as_bytes().first()? {
        b'"' | b'\'' => quoted(text)?,
        _ => {
            let is_bare = |octet: u8| octet.is_ascii_alphanumeric() || octet == b'-' || octet == b'_';
            let (name, rest) = text.split_at(text.bytes().position(|octet| !is_bare(octet)).unwrap_or(text.len()));
            if name.is_empty() {
                return None;
            }
            (name, rest)
        }
    };
    Some((name, rest.trim_start_matches(BLANK)))
}

/// What stands in the quotes that `text` begins with, and what follows them. No text that may span lines, no escapes.
fn quoted(text: &str) -> Option<(&str, &str)> {
    let quote = text.chars().next()?;
    let inside = &text[1..];
    let end = inside.find(quote)?;
    let (content, rest) = (&inside[..end], &inside[end + 1..]);
    let is_plain = !(content.is_empty() && rest.starts_with(quote)) && (quote == '\'' || !content.contains('\\'));
    is_plain.then_some((content, rest))
}

/// Whether `value` ends on its line.
fn is_whole(value: &str) -> bool {
    let (mut rest, mut depth) = (value, 0_u32);
    while let Some(place) =
        rest.bytes().position(|octet| matches!(octet, b'"' | b'\'' | b'#' | b'[' | b']' | b'{' | b'}'))
    {
        rest = &rest[place..];
        let next = match rest.as_bytes()[0] {
            b'#' => return depth == 0,
            b'[' | b'{' => depth.checked_add(1),
            b']' | b'}' => depth.checked_sub(1),
            _ => {
                let Some((_, after)) = quoted(rest) else { return false };
                rest = after;
                continue;
            }
        };
        let Some(next) = next else { return false };
        (depth, rest) = (next, &rest[1..]);
    }
    depth == 0
}

/// Whether the line ends here.
fn is_rest(text: &str) -> bool {
    let text = text.trim_start_matches(BLANK);
    text.is_empty() || text.starts_with('#')
}

/// Whether `value`, that of `user`, names users, and none of them is the caller.
fn excludes(value: &str, accounts: &Accounts<'_>) -> bool {
    let Some(mut rest) = value.strip_prefix('[') else {
        return other(value, accounts).is_some_and(is_rest);
    };
    let mut count = 0;
    loop {
        rest = rest.trim_start_matches(BLANK);
        if let Some(rest) = rest.strip_prefix(']') {
            return count > 0 && is_rest(rest);
        }
        let Some(after) = other(rest, accounts) else { return false };
        count += 1;
        rest = after.trim_start_matches(BLANK);
        match rest.strip_prefix(',') {
            Some(after) => rest = after,
            None if rest.starts_with(']') => {}
            None => return false,
        }
    }
}

/// What follows the name or number of a user at the start of `text`, where that is not the caller.
fn other<'s>(text: &'s str, accounts: &Accounts<'_>) -> Option<&'s str> {
    let (uid, rest) = match text.as_bytes().first()? {
        b'"' | b'\'' => {
            let (name, rest) = quoted(text)?;
            if name.is_empty() {
                return None;
            }
            (accounts.uid(name), rest)
        }
        _ => {
            let (digits, rest) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
            (Some(digits.parse().ok()?), rest)
        }
    };
    (uid != Some(accounts.caller.uid)).then_some(rest)
}
