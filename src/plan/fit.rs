//! The message made fit: what every relay needs of it, and nothing more.

use std::collections::HashMap;

use jiff::Zoned;
use jiff::fmt::rfc2822;

use super::envelope::{Submitter, Wishes};
use super::sender::{self, is_ambiguous};
use crate::address::{AddrSpec, Address, Listed, Mailbox, Piece};
use crate::envelope::Envelope;
use crate::failure::{Failure, Kind};
use crate::message::header::Edit;
use crate::message::{Field, Header, Message, note};
use crate::random;

/// Makes the message fit for any relay. What changes is named in [`Message::repairs`].
///
/// Bcc, Resent-Bcc and Return-Path go, unless the header section belongs to the caller. Date, Message-ID, From and
/// MIME-Version come where they are missing. A bare name in an address field becomes an address, and what of such a field
/// could be read in another way is written anew. Then the site's sender rules are applied, to `envelope` too. `now` is asked only where Date is missing: the local time zone is worth a few
/// file reads.
///
/// Returns what goes out as it is though it may not arrive so, for the record's `warnings`.
///
/// # Errors
/// 553 5.7.1 for an address the site may not write as, `Data` where a sender cannot be read or a control character
/// stands in an address field, and `System` where the operating system has no random octets.
pub fn make_fit(
    message: &mut Message,
    envelope: &mut Envelope,
    wishes: &Wishes,
    origin: &Submitter<'_>,
    now: impl FnOnce() -> Zoned,
) -> Result<Vec<String>, Failure> {
    message.edit_header(|header, repairs| {
        check_controls(header)?;
        for name in ["Bcc", "Resent-Bcc", "Return-Path"] {
            if !wishes.keep_fields && header.remove(name) {
                note(repairs, format!("{name} removed"));
            }
        }
        add(header, repairs, "From", |_| Ok(new_from(envelope, wishes, origin)?.to_string()))?;
        add(header, repairs, "Date", |_| date(&now()))?;
        settle_people(header, origin, repairs);
        sender::apply(header, envelope, origin, repairs)?;
        add(header, repairs, "Message-ID", |header| message_id(header, origin.names.host_name))?;
        add(header, repairs, "MIME-Version", |_| Ok("1.0".to_owned()))
    })?;
    Ok(message.doubts())
}

/// Adds the field `name` unless there is one that says something, or a signature covers that there is none.
fn add(
    header: &mut Header,
    repairs: &mut Vec<String>,
    name: &str,
    value: impl FnOnce(&Header) -> Result<String, Failure>,
) -> Result<(), Failure> {
    if header.all(name).any(|field| !field.text().is_empty()) || header.signs(name) {
        return Ok(());
    }
    let value = value(header)?;
    header.remove(name);
    header.append(name, &value);
    note(repairs, format!("{name} added"));
    Ok(())
}

/// The From field of a message that has none: the reverse-path, else the caller's own address, under
/// the name `-F` gave.
fn new_from(envelope: &Envelope, wishes: &Wishes, origin: &Submitter<'_>) -> Result<Mailbox, Failure> {
    let spec = match &envelope.reverse_path {
        Some(path) => AddrSpec::from(path),
        None => AddrSpec::from(&origin.own_address()?.0),
    };
    let own_name =
        || origin.names.site.from.as_ref().filter(|from| from.spec == spec).and_then(|from| from.name.clone());
    let name = wishes.full_name.clone().filter(|name| !name.trim().is_empty()).or_else(own_name);
    Ok(Mailbox { name, spec })
}

pub(super) fn date(now: &Zoned) -> Result<String, Failure> {
    rfc2822::to_string(now).map_err(|error| Failure::new(Kind::System, "system clock", error.to_string()))
}

/// A random Message-ID in the domain of the first From address, else of this host.
pub(super) fn message_id(header: &Header, host_name: &str) -> Result<String, Failure> {
    let octets = random::octets::<16>();
    let octets =
        octets.ok_or_else(|| Failure::new(Kind::System, "random numbers", "the operating system provides none"))?;
    let from = header.all("From").find_map(|field| field.first_address());
    let domain = from.as_ref().map(Address::domain).filter(|domain| domain.is_ascii() && !domain.starts_with('['));
    Ok(format!("<{:032x}@{}>", u128::from_be_bytes(octets), domain.unwrap_or(host_name)))
}

/// Refuses what has no place in an address field and could join two addresses, or part them.
fn check_controls(header: &Header) -> Result<(), Failure> {
    let is_control = |c: char| c.is_control() && c != '\t';
    let holds_one = |field: &Field<'_>| field.is_address() && field.text().contains(is_control);
    match header.fields().find(holds_one) {
        None => Ok(()),
        Some(field) => {
            let why = "holds a NUL or another control character, which no address field may";
            Err(Failure::new(Kind::Data, format!("{} field", field.name()), why))
        }
    }
}

/// Gives every bare name in an address field the address it stands for, and writes anew what somebody else may read in
/// another way than it is judged here. Signed fields are not written anew.
///
/// A sender's address is what `domain` makes of the name, if the site may write so, else the site's own. A recipient's is
/// the first one its alias leads to; one that leads nowhere stays as it is, because the envelope alone decides
/// who gets the message. Everybody else's is the recipient's or, where there is none, the site's own.
fn settle_people(header: &mut Header, origin: &Submitter<'_>, repairs: &mut Vec<String>) {
    let names = origin.names;
    let own = || origin.own_address().ok().map(|(address, _)| address);
    let may_write_as = |address: &Address| sender::allows(names.site, &AddrSpec::from(address));
    let sender = |spec: &AddrSpec| names.qualify(spec).ok().filter(may_write_as).or_else(own);
    let is_signed = header.first("DKIM-Signature").is_some();
    let mut known = HashMap::new();
    header.edit(|field| {
        if !field.is_address() {
            return Edit::Keep;
        }
        let mut list = origin.people(&field);
        let says_who = sender::says_who(&field);
        let is_anew = !is_signed && is_ambiguous(&field, &list);
        let mut qualified = Vec::new();
        for listed in list.pieces.iter_mut().filter_map(bare) {
            let spec = &listed.mailbox.spec;
            let address = match field.is_recipients() {
                _ if says_who => sender(spec),
                true => names.first(spec, &mut known),
                false => names.first(spec, &mut known).or_else(own),
            };
            let Some(address) = address else { continue };
            note(repairs, format!("{} made an address: {spec} to {address}", field.name()));
            listed.mailbox.spec = AddrSpec::from(&address);
            qualified.push(listed.clone());
        }
        if is_anew {
            note(repairs, format!("{} written anew, so that everybody reads the same", field.name()));
            return Edit::Value(list.written());
        }
        match qualified.as_slice() {
            [] => Edit::Keep,
            qualified => Edit::Value(spliced(&field.text(), qualified)),
        }
    });
}

/// A mailbox without domain.
fn bare(piece: &mut Piece) -> Option<&mut Listed> {
    match piece {
        Piece::Mailbox(listed) if listed.mailbox.spec.domain.is_none() => Some(listed),
        _ => None,
    }
}

/// `text` with `mailboxes` in the places where they stood.
fn spliced(text: &str, mailboxes: &[Listed]) -> String {
    let mut value = String::new();
    let mut copied = 0;
    for Listed { mailbox, span } in mailboxes {
        value.push_str(&text[copied..span.start]);
        value.push_str(&mailbox.to_string());
        copied = span.end;
    }
    value + &text[copied..]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::parse_mailbox;
    use crate::config::site::{OtherSender, SenderPattern, Site};
    use crate::envelope::ReversePath;
    use crate::plan::envelope::choose;
    use crate::plan::envelope::tests::{origin, site};

    fn shop() -> Site {
        let mut site = site();
        site.from = Some(parse_mailbox("Shop <orders@shop.example>").unwrap());
        site.domain = Some("shop.example".into());
        site.alias.insert("root", vec!["admin@shop.example".into(), "b@x.org".into()]);
        site
    }

    fn strict(other_sender: OtherSender) -> Site {
        let pattern = |local: Option<&str>, domain: &str, subdomains| SenderPattern {
            local: local.map(str::to_owned),
            domain: domain.to_owned(),
            subdomains,
        };
        let sender = [pattern(None, "shop.example", false), pattern(Some("news"), "mail.example", true)];
        Site { sender: sender.into(), other_sender, ..shop() }
    }

    fn fit(site: &Site, wishes: &Wishes, text: &str) -> Result<(String, Envelope, Vec<String>, Vec<String>), Failure> {
        let mut message = Message::read(&mut text.as_bytes(), false).unwrap();
        let intake = message.repairs().len();
        let wishes = Wishes { recipients: vec!["r@x.org".into()], ..wishes.clone() };
        let mut envelope = choose(&wishes, message.header(), &origin(site))?.envelope;
        let now = || "2026-11-21T10:20:30+01:00[+01:00]".parse().unwrap();
        let warnings = make_fit(&mut message, &mut envelope, &wishes, &origin(site), now)?;
        let header = String::from_utf8_lossy(message.header().as_bytes()).replace("\r\n", "\n");
        Ok((header, envelope, message.repairs()[intake..].to_vec(), warnings))
    }

    /// The fields every test would repeat.
    const REST: &str = "Date: Sat, 21 Nov 2026 10:00:00 +0000\nMessage-ID: <1@x>\nMIME-Version: 1.0\n\n";

    #[test]
    fn what_is_missing_is_added() {
        let wishes = Wishes { full_name: Some("Jürgen".into()), ..Wishes::default() };
        let (header, _, repairs, warnings) = fit(&shop(), &wishes, "Subject: x\nFrom:\n\nb\n").unwrap();
        assert_eq!(repairs, ["From added", "Date added", "Message-ID added", "MIME-Version added"]);
        assert!(warnings.is_empty());
        let lines: Vec<_> = header.lines().collect();
        assert_eq!(lines[..2], ["Subject: x", "From: =?utf-8?B?SsO8cmdlbg==?= <orders@shop.example>"]);
        assert_eq!(lines[2], "Date: Sat, 21 Nov 2026 10:20:30 +0100");
        assert!(lines[3].starts_with("Message-ID: <") && lines[3].ends_with("@shop.example>"), "{}", lines[3]);
        assert_eq!(lines[4..], ["MIME-Version: 1.0", ""]);
    }

    #[test]
    fn nothing_else_changes() {
        let text = format!("FROM:  Bob  <bob@x.org>\nto: a@x.org,\n\t b@x.org (c)\n{REST}");
        let (header, _, repairs, _) = fit(&shop(), &Wishes::default(), &text).unwrap();
        assert_eq!((header, repairs), (text, vec![]));
    }

    #[test]
    fn every_bcc_goes() {
        let text = format!(
            "BCC: a@x.org\nFrom: b@x.org\nbcc:c@x.org,\n d@x.org\nResent-Bcc : e@x.org\nReturn-Path: <f@x.org>\n{REST}"
        );
        let (header, _, repairs, _) = fit(&shop(), &Wishes::default(), &text).unwrap();
        assert_eq!(header, format!("From: b@x.org\n{REST}"));
        assert_eq!(repairs, ["Bcc removed", "Resent-Bcc removed", "Return-Path removed"]);
    }

    #[test]
    fn bare_names_become_addresses() {
        let text = format!("From: root (Cron Daemon)\nTo: root, A <a@x.org>, Bo B <bo>\nCc: G: root;\n{REST}");
        let (header, _, repairs, _) = fit(&shop(), &Wishes::default(), &text).unwrap();
        assert_eq!(
            header,
            format!(
                "From: Cron Daemon <root@shop.example>\nTo: admin@shop.example, A <a@x.org>, Bo B <bo@shop.example>\n\
                 Cc: G: admin@shop.example;\n{REST}"
            )
        );
        assert_eq!(repairs[0], "From made an address: root to root@shop.example");
        let bare = format!("From: root\nTo: nobody\n{REST}");
        let (header, ..) = fit(&site(), &Wishes::default(), &bare).unwrap();
        assert_eq!(header, format!("From: www-data@web1.example.net\nTo: nobody\n{REST}"));
    }

    #[test]
    fn another_sender_is_refused_by_name() {
        let site = strict(OtherSender::Refuse);
        for (from, path, other) in [
            ("From: a@x.org", None, "a@x.org"),
            ("From: b@shop.example, a@x.org", None, "a@x.org"),
            ("From: b@shop.example\nSender: s@x.org", Some("b@shop.example"), "s@x.org"),
            ("From: b@shop.example\nResent-From: s@x.org", None, "s@x.org"),
            ("From: b@shop.example\nFrom: s@x.org", None, "s@x.org"),
            ("From: b@shop.example", Some("p@x.org"), "p@x.org"),
            ("From: news@mail.example", None, "news@mail.example"),
            ("From: news@badmail.example", None, "news@badmail.example"),
            ("From: other@eu.mail.example", None, "other@eu.mail.example"),
        ] {
            let wishes = Wishes { reverse_path: path.map(ReversePath::of), ..Wishes::default() };
            let failure = fit(&site, &wishes, &format!("{from}\n{REST}")).unwrap_err();
            let text = "553 5.7.1 sender not allowed; site shop writes as *@shop.example, news@*.mail.example";
            assert_eq!(failure.to_string(), format!("{other}: {text}"), "{from}");
        }
        for (from, path) in [
            ("From: B@Shop.Example", None),
            ("From: news@eu.mail.example", Some("<>")),
            ("From: root (Cron Daemon)", None),
            ("Subject: x", Some("root")),
        ] {
            let wishes = Wishes { reverse_path: path.map(ReversePath::of), ..Wishes::default() };
            assert!(fit(&site, &wishes, &format!("{from}\n{REST}")).is_ok(), "{from}");
        }
        let unreadable = fit(&site, &Wishes::default(), &format!("From: My Shop\n{REST}")).unwrap_err();
        assert_eq!((unreadable.kind, unreadable.what.as_str()), (Kind::Data, "My Shop"));
    }

    #[test]
    fn another_sender_is_rewritten() {
        let site = strict(OtherSender::Rewrite);
        for (from, rewritten) in [
            ("From: Bob <bob@x.org>", "From: Bob <orders@shop.example>\nReply-To: Bob <bob@x.org>"),
            ("From: bob@x.org\nReply-To: c@x.org", "From: Shop <orders@shop.example>\nReply-To: c@x.org"),
            ("From: www@localhost", "From: Shop <orders@shop.example>"),
            (
                "From: a@shop.example, b@x.org, c@x.org",
                "From: a@shop.example, Shop <orders@shop.example>\nReply-To: b@x.org, c@x.org",
            ),
            ("From: a@shop.example\nSender: s@x.org", "From: a@shop.example\nSender: Shop <orders@shop.example>"),
        ] {
            let (header, envelope, repairs, _) = fit(&site, &Wishes::default(), &format!("{from}\n{REST}")).unwrap();
            for line in rewritten.lines() {
                assert!(header.lines().any(|found| found == line), "{line} is not in\n{header}");
            }
            assert_eq!(header.lines().count(), rewritten.lines().count() + REST.lines().count(), "{header}");
            let path = envelope.reverse_path.unwrap();
            assert!(path.domain() == "shop.example", "{path}");
            assert!(repairs.iter().any(|repair| repair.contains("rewritten from")), "{repairs:?}");
        }
    }

    #[test]
    fn what_a_signature_covers_by_its_absence_is_not_added() {
        let signed = "DKIM-Signature: v=1; d=x.org; h=From:Date:Message-ID:MIME-Version; b=x\nFrom: b@x.org\nDate:\n";
        let (header, _, repairs, warnings) = fit(&shop(), &Wishes::default(), &format!("{signed}\nb\n")).unwrap();
        assert_eq!((header, repairs), (format!("{signed}\n"), vec![]));
        assert_eq!(
            warnings,
            [
                "Message-ID is missing, and a DKIM-Signature covers that it is",
                "MIME-Version is missing, and a DKIM-Signature covers that it is"
            ]
        );
        let signed = signed.replace(":Message-ID:MIME-Version", "");
        let (header, _, repairs, _) = fit(&shop(), &Wishes::default(), &format!("{signed}\nb\n")).unwrap();
        assert_eq!(repairs, ["Message-ID added", "MIME-Version added"], "{header}");
    }

    #[test]
    fn what_may_not_arrive_as_it_is_gets_a_warning() {
        let text = format!("From: b@x.org\n{REST}é\0\n");
        let (_, _, _, warnings) = fit(&shop(), &Wishes::default(), &text).unwrap();
        assert_eq!(warnings, ["8-bit body without a Content-Type field", "NUL in the body"]);
    }
}
