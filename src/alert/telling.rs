//! One alert on its way: what happened, as people read it in one line and as programs get it.

use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};
use serde::Serialize;

use super::notice::Notice;
use crate::config::alert::Occasion;
use crate::hex;
use ring::digest::{SHA256, digest};

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Severity {
    /// Mail is not sent, or may not have been.
    Error,
    /// It may come to that.
    Warning,
    /// It is over.
    Info,
}

/// What is known when an alert is told.
pub(super) struct Moment<'a> {
    /// This host's name.
    pub(super) host: &'a str,
    /// Now, and the zone in which times are told.
    pub(super) now: &'a Zoned,
    /// Messages that wait in the spool.
    pub(super) waiting: u64,
}

/// The facts of an alert: the object that a program or a URL of kind `json` gets. The fields stand in this order.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Telling {
    v: u8,
    /// The word of `on`.
    pub(super) event: Occasion,
    /// `firing`, or `resolved` where a relay works again.
    pub(super) status: &'static str,
    /// How bad it is.
    pub(super) severity: Severity,
    /// The line for people.
    pub(super) text: String,
    /// This host.
    pub(super) host: String,
    /// The site; none where no site is concerned.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub(super) site: String,
    /// The relay.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) relay: Option<String>,
    /// Why.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub(super) reason: String,
    /// When it began, RFC 3339.
    pub(super) since: String,
    /// How often it has happened.
    pub(super) count: u64,
    /// Messages that wait in the spool.
    pub(super) waiting: u64,
    /// The record that tells the rest.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub(super) record: String,
    /// The same for all that is told of one trouble, its end included.
    pub(super) key: String,
    /// The same each time this one is told: whoever has it already need not hear it again.
    pub(super) id: String,
    /// It may have been told before: nobody knows whether that arrived.
    pub(super) again: bool,
}

impl Telling {
    /// `notice`, which has happened `count` times, at `moment`; `told` of them were told before.
    pub(super) fn of(notice: &Notice, count: u64, told: u64, is_again: bool, moment: &Moment<'_>) -> Self {
        let zone = moment.now.time_zone();
        let since = zoned(notice.time, zone);
        let mut text = line(notice, &clock(&since, moment.now), told > 0);
        let more = count.saturating_sub(told);
        if notice.event != Occasion::Recovered && count > 1 {
            text += &match told {
                0 => format!(", {count} times"),
                _ => format!(", {more} more times"),
            };
        }
        if moment.waiting > 0 && notice.event != Occasion::Ban {
            text += &match moment.waiting {
                1 => ", 1 message waits".to_owned(),
                waiting => format!(", {waiting} messages wait"),
            };
        }
        if let Some(instead) = notice.instead.as_ref().filter(|_| notice.event != Occasion::Recovered) {
            text += &format!(", {instead} is used");
        }
        if is_again {
            text += " (perhaps told before)";
        }
        let key = key(notice, moment.host);
        let mark = format!("{key} {} {} {told}", notice.event.word(), notice.time);
        Self {
            v: 1,
            event: notice.event,
            status: if notice.event == Occasion::Recovered { "resolved" } else { "firing" },
            severity: severity(notice.event),
            text,
            host: moment.host.to_owned(),
            site: notice.site.clone(),
            relay: notice.relay.clone(),
            reason: notice.reason.clone(),
            since: since.timestamp().to_string(),
            count,
            waiting: moment.waiting,
            record: notice.id.clone(),
            key,
            id: hex::encode(&digest(&SHA256, mark.as_bytes()).as_ref()[..12]),
            again: is_again,
        }
    }

    /// The line with the host's name, for whoever has several.
    pub(super) fn line(&self) -> String {
        format!("{} ({})", self.text, self.host)
    }

    /// A title beside the line.
    pub(super) fn title(&self) -> String {
        format!("mailchute on {}", self.host)
    }

    /// The facts as JSON.
    pub(super) fn json(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }
}

/// What all that is told of one trouble has in common. What a relay's state is about has one key for all its events, so
/// that the end ends them all.
fn key(notice: &Notice, host: &str) -> String {
    let what = if notice.event.is_of_relay() { "relay" } else { notice.event.word() };
    let whole = format!("{host} {what} {} {}", notice.site, notice.relay.as_deref().unwrap_or_default());
    format!("mailchute-{}", hex::encode(&digest(&SHA256, whole.as_bytes()).as_ref()[..16]))
}

fn severity(event: Occasion) -> Severity {
    match event {
        Occasion::Recovered => Severity::Info,
        Occasion::Backup | Occasion::Limit | Occasion::Ban | Occasion::Spooled | Occasion::Silent => Severity::Warning,
        _ => Severity::Error,
    }
}

/// What happened, in words; `is_still`: it was told before.
fn line(notice: &Notice, since: &str, is_still: bool) -> String {
    let relay = notice.relay.as_deref().unwrap_or("a relay");
    let because = |reason: &str| if reason.is_empty() { String::new() } else { format!(" ({reason})") };
    let why = because(&notice.reason);
    let still = if is_still { "still " } else { "" };
    let what = match notice.event {
        Occasion::Failed => format!("mail is {still}not sent{why} since {since}"),
        Occasion::Backup => format!("{relay} {still}takes no mail{why} since {since}"),
        Occasion::Recovered => format!("{relay} takes mail again since {since}"),
        Occasion::Limit => match &notice.relay {
            Some(relay) => format!("{still}too much mail for {relay}{why} since {since}"),
            None => format!("{still}too much mail{why} since {since}"),
        },
        Occasion::Ban => {
            let who = if notice.site.is_empty() { "a user" } else { "it" };
            format!("{who} is {still}banned{why} since {since}")
        }
        Occasion::Spooled => format!("mail {still}waits for {relay}{why} since {since}"),
        Occasion::Stuck => format!("mail {still}waits for more than an hour{why}"),
        Occasion::InDoubt => format!("nobody knows whether a message has arrived{why} since {since}"),
        Occasion::Login => {
            let who = notice.provider.as_deref().unwrap_or(relay);
            format!("{who} {still}refuses the login{why} since {since}")
        }
        Occasion::Silent => format!("no mail was sent{why} since {since}"),
        Occasion::Bounced => format!("mail was given up{why} since {since}"),
        Occasion::Flush => format!("what waits is {still}not sent{why} since {since}"),
    };
    match notice.site.as_str() {
        "" => what,
        site => format!("{site}: {what}"),
    }
}

/// `14:02`, and the day where that is not today.
fn clock(at: &Zoned, now: &Zoned) -> String {
    let form = if at.date() == now.date() { "%H:%M" } else { "%-d %b, %H:%M" };
    at.strftime(form).to_string()
}

fn zoned(at: i64, zone: &TimeZone) -> Zoned {
    Timestamp::from_second(at).unwrap_or_default().to_zoned(zone.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_who_what_why_since_when_and_what_follows() {
        let now: Zoned = "2026-11-27T14:10:00+01:00[+01:00]".parse().unwrap();
        let at = now.timestamp().as_second() - 480;
        let moment = |waiting| Moment { host: "web1", now: &now, waiting };
        let notice =
            |event, time| Notice::new(event, "shop", time, "535 5.7.8 no", "5cc2").of_relay("main", Some("Postmark"));
        let mut login = notice(Occasion::Login, at);
        login.instead = Some("backup".to_owned());
        for (notice, count, told, again, waiting, text) in [
            (
                login.clone(),
                12,
                0,
                false,
                12,
                "shop: Postmark refuses the login (535 5.7.8 no) since 14:02, 12 times, 12 messages wait, backup is used",
            ),
            (
                login,
                15,
                12,
                true,
                0,
                "shop: Postmark still refuses the login (535 5.7.8 no) since 14:02, 3 more times, backup is used (perhaps told before)",
            ),
            (
                notice(Occasion::Failed, at - 86_400),
                1,
                0,
                false,
                1,
                "shop: mail is not sent (535 5.7.8 no) since 26 Nov, 14:02, 1 message waits",
            ),
            (notice(Occasion::Recovered, at), 3, 0, false, 0, "shop: main takes mail again since 14:02"),
            (Notice::new(Occasion::Flush, "", at, "", ""), 1, 0, false, 0, "what waits is not sent since 14:02"),
        ] {
            assert_eq!(Telling::of(&notice, count, told, again, &moment(waiting)).text, text);
        }
    }

    #[test]
    fn a_trouble_and_its_end_have_one_key_and_each_telling_its_own_id() {
        let now: Zoned = "2026-11-27T14:10:00+00:00[+00:00]".parse().unwrap();
        let moment = Moment { host: "web1", now: &now, waiting: 0 };
        let of = |event, relay: &str, told| {
            let notice = Notice::new(event, "shop", 1, "", "").of_relay(relay, None);
            let telling = Telling::of(&notice, 9, told, told == 7, &moment);
            (telling.key, telling.id)
        };
        let (key, id) = of(Occasion::Login, "main", 0);
        assert_eq!(of(Occasion::Recovered, "main", 0).0, key);
        assert_eq!(of(Occasion::Backup, "main", 0).0, key);
        assert_ne!(of(Occasion::Login, "other", 0).0, key);
        assert_ne!(of(Occasion::InDoubt, "main", 0).0, key);
        assert_eq!(of(Occasion::Login, "main", 0).1, id);
        assert_ne!(of(Occasion::Login, "main", 7).1, id);
        assert!(key.len() < 64);
    }
}
