//! What a site may do and how it is answered: the keys that the top level gives as every site's default.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::keeping;
use super::spooling::Written;
use super::staging::{self, Staging};
use super::{InDoubt, Keeping, OtherSender, SenderPattern, Spooling, Terms};
use crate::address::{Mailbox, compared_domain};
use crate::config::document::Section;
use crate::config::limit::{self, Limit, OVER_LIMIT, OverLimit};
use crate::config::route::Strategy;
use crate::config::route::read::STRATEGIES;
use crate::config::value;
use crate::exit::Scheme;
use crate::failure::Failure;

/// The keys of a policy.
pub(in crate::config) const KEYS: &[&str] = &[
    "from",
    "sender",
    "other_sender",
    "partial",
    "in_doubt",
    "exit_status",
    "transient_status",
    "domain",
    "local_domains",
    "deadline",
    "on_relay_failure",
    "give_up_after",
    "bounce",
    "spool_max",
    "keep_messages",
    "keep_for",
    "strategy",
    "divert",
    "discard",
    "limit",
    "over_limit",
];

/// What other transient refusals read as under `exit_status = "sysexits"`.
const TRANSIENT: u8 = 69;
/// Connect and send, all relays together, unless `deadline` says otherwise.
const DEADLINE: Duration = Duration::from_secs(30);

/// A policy as written; what is `None` is left to the level above.
#[derive(Clone, Debug, Default)]
pub(in crate::config) struct Policy {
    pub(super) from: Option<Mailbox>,
    pub(super) sender: Option<Arc<[SenderPattern]>>,
    pub(super) other_sender: Option<OtherSender>,
    deliver_partially: Option<bool>,
    in_doubt: Option<InDoubt>,
    sysexits: Option<bool>,
    transient: Option<u8>,
    pub(super) domain: Option<String>,
    pub(super) local_domains: Option<Arc<BTreeSet<String>>>,
    deadline: Option<Duration>,
    spooling: Written,
    keeping: keeping::Written,
    strategy: Option<Strategy>,
    staging: staging::Written,
    limits: Option<Vec<Limit>>,
    over_limit: Option<OverLimit>,
}

impl Policy {
    /// Reads the policy keys of the top level or of a site.
    ///
    /// # Errors
    /// `Configuration`, with the place of the key at fault.
    pub(in crate::config) fn read(section: &Section<'_>) -> Result<Self, Failure> {
        let from = match section.string("from")? {
            Some(text) => Some(value::mailbox(text).ok_or_else(|| {
                section.wrong("from", format!("is not an address: {text:?}")).hint("write \"Name <local@domain>\"")
            })?),
            None => None,
        };
        let others = [("rewrite", OtherSender::Rewrite), ("refuse", OtherSender::Refuse), ("pass", OtherSender::Pass)];
        let compared = |domain: &String| compared_domain(domain).into_owned();
        let doubts = [("report", InDoubt::Report), ("hold", InDoubt::Hold), ("retry", InDoubt::Retry)];
        Ok(Self {
            from,
            sender: senders(section)?,
            other_sender: section.word("other_sender", &others)?,
            deliver_partially: section.word("partial", &[("deliver", true), ("refuse", false)])?,
            in_doubt: section.word("in_doubt", &doubts)?,
            sysexits: section.word("exit_status", &[("sysexits", true), ("reply", false)])?,
            transient: section.number("transient_status", u8::MAX.into())?.and_then(|n| u8::try_from(n).ok()),
            domain: domains(section, "domain")?.and_then(|mut list| list.pop()),
            local_domains: domains(section, "local_domains")?.map(|list| Arc::new(list.iter().map(compared).collect())),
            deadline: section.duration("deadline")?,
            spooling: Written::read(section)?,
            keeping: keeping::Written::read(section)?,
            strategy: section.word("strategy", STRATEGIES)?,
            staging: staging::Written::read(section)?,
            limits: limit::read(section)?,
            over_limit: section.word("over_limit", OVER_LIMIT)?,
        })
    }

    /// This policy, with what it leaves open taken from `base`.
    pub(in crate::config) fn over(self, base: &Self) -> Self {
        Self {
            from: self.from.or_else(|| base.from.clone()),
            sender: self.sender.or_else(|| base.sender.clone()),
            other_sender: self.other_sender.or(base.other_sender),
            deliver_partially: self.deliver_partially.or(base.deliver_partially),
            in_doubt: self.in_doubt.or(base.in_doubt),
            sysexits: self.sysexits.or(base.sysexits),
            transient: self.transient.or(base.transient),
            domain: self.domain.or_else(|| base.domain.clone()),
            local_domains: self.local_domains.or_else(|| base.local_domains.clone()),
            deadline: self.deadline.or(base.deadline),
            spooling: self.spooling.over(base.spooling),
            keeping: self.keeping.over(base.keeping),
            strategy: self.strategy.or(base.strategy),
            staging: self.staging.over(&base.staging),
            limits: self.limits.or_else(|| base.limits.clone()),
            over_limit: self.over_limit.or(base.over_limit),
        }
    }

    /// As [`Policy::over`], for whoever may not lift a limit that `base` sets: every one of both holds.
    pub(in crate::config) fn within(self, base: &Self) -> Self {
        let limits = match (&base.limits, &self.limits) {
            (Some(base), Some(own)) => Some([base.as_slice(), own].concat()),
            _ => None,
        };
        let over_limit = base.over_limit;
        let this = self.over(base);
        Self { limits: limits.or(this.limits), over_limit: over_limit.or(this.over_limit), ..this }
    }

    pub(super) fn exit_status(&self) -> Scheme {
        match self.sysexits {
            Some(true) => Scheme::Sysexits { transient: self.transient.unwrap_or(TRANSIENT) },
            _ => Scheme::Reply,
        }
    }

    pub(super) fn spooling(&self) -> Spooling {
        self.spooling.spooling()
    }

    pub(super) fn staging(&self) -> Staging {
        self.staging.staging()
    }

    pub(super) fn keeping(&self) -> Keeping {
        self.keeping.keeping()
    }

    pub(super) fn limits(&self) -> Vec<Limit> {
        self.limits.clone().unwrap_or_default()
    }

    pub(super) fn over_limit(&self) -> OverLimit {
        self.over_limit.unwrap_or_default()
    }

    pub(super) fn strategy(&self) -> Strategy {
        self.strategy.unwrap_or_default()
    }

    pub(super) fn terms(&self) -> Terms {
        Terms {
            deliver_partially: self.deliver_partially.unwrap_or(false),
            in_doubt: self.in_doubt.unwrap_or(InDoubt::Report),
            deadline: self.deadline.unwrap_or(DEADLINE),
        }
    }
}

fn senders(section: &Section<'_>) -> Result<Option<Arc<[SenderPattern]>>, Failure> {
    let Some(list) = section.strings("sender")? else { return Ok(None) };
    let mut patterns = Vec::with_capacity(list.len());
    for text in list {
        patterns.push(value::sender_pattern(text).ok_or_else(|| {
            section
                .wrong("sender", format!("holds {text:?}, which is not a sender pattern"))
                .hint("write \"local@domain\", \"*@domain\" or \"*@*.domain\"")
        })?);
    }
    Ok(Some(patterns.into()))
}

fn domains(section: &Section<'_>, key: &str) -> Result<Option<Vec<String>>, Failure> {
    let list = if key == "domain" { section.string(key)?.map(|one| vec![one]) } else { section.strings(key)? };
    let Some(list) = list else { return Ok(None) };
    let named =
        |text| value::domain(text).ok_or_else(|| section.wrong(key, format!("holds {text:?}, which is not a domain")));
    list.into_iter().map(named).collect::<Result<_, _>>().map(Some)
}
