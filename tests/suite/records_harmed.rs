//! Each record of each provider's good zone (`tests/dns/*.case`) gone, proxied, or leading to a name that is gone: what is
//! said names it, from memory and by a real name server.

use std::collections::{BTreeMap, BTreeSet};

use mailchute::dns::Client;
use mailchute::finding::Section;
use mailchute::providers::{Provider, Purpose};
use testkit::{Case, need};

use crate::records::{
    Nsd, Situation, WORLD, Zone, applied, by_network, findings, from_memory, lines, of_case, record, renamed, together,
};
use crate::setup::data;

/// What was done to a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Harm {
    Gone,
    Proxied,
    Dangling,
}

/// One record of a good zone that is harmed, and the findings of which one has to be made: code and subject.
struct Harmed {
    harm: Harm,
    situation: Situation,
    expected: Vec<(&'static str, String)>,
}

/// What has to be said; nothing where the provider can do without the record.
fn expected(
    harm: Harm,
    case: &Case,
    provider: &Provider,
    at: &(String, String, String),
) -> Vec<(&'static str, String)> {
    let (name, kind, value) = at;
    let published = provider.published().unwrap();
    let home = case.value("username").and_then(|name| name.split_once('@')).map_or("shop.example", |(_, home)| home);
    let is_key = name.contains("._domainkey.");
    let first = published.bounce.names.first().map(|first| format!("{first}.{home}"));
    let is_numbered = first.as_ref().is_some_and(|first| first.contains('{'));
    let is_first = is_numbered || first.as_ref() == Some(name);
    match (harm, kind.as_str()) {
        (Harm::Proxied, _) if is_key || is_first => vec![("dns.proxied", name.clone())],
        (Harm::Dangling, _) if is_key => vec![("dns.dangling", name.clone())],
        // A name that only others are below is not gone, and has no record.
        (Harm::Dangling, _) => vec![("dns.dangling", name.clone()), ("spf.missing", name.clone())],
        (Harm::Gone, _) if is_key && published.own_selectors && case.value("selector").is_none() => {
            vec![("dkim.missing", name.clone()), ("dkim.unknown", home.to_owned())]
        }
        (Harm::Gone, _) if is_key => vec![("dkim.missing", name.clone())],
        (Harm::Gone, "MX") if name == home => {
            let is_wanted = published.others.iter().any(|other| other.purpose == Purpose::Mx);
            is_wanted.then(|| ("dns.mx", name.clone())).into_iter().collect()
        }
        (_, "CNAME" | "MX") => {
            first.filter(|_| !is_numbered).map(|first| ("dns.return-path", first)).into_iter().collect()
        }
        (_, "TXT") if name.starts_with("_dmarc.") => vec![("dmarc.missing", name.clone())],
        (_, "TXT") if value.starts_with("v=spf1") => {
            let is_wanted = name != home || published.spf.needed;
            is_wanted.then(|| ("spf.missing", name.clone())).into_iter().collect()
        }
        _ => vec![("dns.verification", name.clone())],
    }
}

fn harmed(harm: Harm, case: &Case, number: usize) -> Option<Harmed> {
    let own: Zone = case.values("with").map(|line| record(line).unwrap()).collect();
    let provider = Provider::find(case.value("provider")?)?;
    let at = own.get(number)?.clone();
    let expected = expected(harm, case, provider, &at);
    if expected.is_empty() || harm != Harm::Gone && at.1 != "CNAME" {
        return None;
    }
    let mut zone: Zone = [lines(WORLD), own].concat();
    zone.retain(|record| if harm == Harm::Dangling { record.0 != at.2 } else { *record != at });
    if harm == Harm::Proxied {
        zone.push((at.0.clone(), "A".to_owned(), "104.21.7.9".to_owned()));
    }
    let name = format!("{}: {} {} {harm:?}", provider.id, at.0, at.1);
    Some(Harmed { harm, situation: Situation { name, case: case.clone(), zone }, expected })
}

/// Every harm to every record of every provider.
fn every() -> Vec<Harmed> {
    let mut all = Vec::new();
    for file in Case::all(&data("dns")) {
        let (_, good) = file.each().next().unwrap();
        // Files named otherwise are about something else.
        if good.value("provider").is_none_or(|provider| *provider != *file.name()) {
            continue;
        }
        for number in 0..good.values("with").count() {
            let harms = [Harm::Gone, Harm::Proxied, Harm::Dangling];
            all.extend(harms.into_iter().filter_map(|harm| harmed(harm, &good, number)));
        }
    }
    all
}

/// What should have been said.
fn unsaid(one: &Harmed, sections: &[Section], name: impl Fn(&str) -> String) -> Option<String> {
    let said: Vec<_> = findings(sections).iter().map(|found| (found.code.word, found.subject.clone())).collect();
    let is_said = one.expected.iter().any(|(code, subject)| said.contains(&(*code, name(subject))));
    (!is_said).then(|| format!("{}: none of {:?}, but {said:?}", one.situation.name, one.expected))
}

#[test]
fn every_harmed_record_is_named() {
    let all = every();
    let (mut wrong, mut seen) = (Vec::new(), BTreeMap::new());
    for one in &all {
        let mut stays = Vec::new();
        let sections = of_case(&one.situation.case, str::to_owned, |subject| {
            let sections = from_memory(&one.situation.zone, std::slice::from_ref(subject));
            stays = applied(&one.situation, &sections, subject);
            sections
        });
        wrong.extend(unsaid(one, &sections, str::to_owned));
        // Where the target itself is gone, the same record does not mend it.
        if one.harm != Harm::Dangling {
            wrong.extend(stays.into_iter().map(|text| format!("{}: {text}", one.situation.name)));
        }
        *seen.entry(one.harm).or_insert(0) += 1;
    }
    assert!(wrong.is_empty(), "{} of {}\n{}", wrong.len(), all.len(), wrong.join("\n"));
    assert!(seen[&Harm::Gone] >= 60 && seen[&Harm::Proxied] >= 20 && seen[&Harm::Dangling] >= 20, "{seen:?}");
}

#[test]
fn every_harmed_record_is_named_by_a_real_name_server() {
    let Some(nsd) = need("nsd") else { return };
    let (dangling, others): (Vec<_>, Vec<_>) = every().into_iter().partition(|one| one.harm == Harm::Dangling);
    let mut wrong = Vec::new();
    for (all, is_dangling) in [(dangling, true), (others, false)] {
        let situations: Vec<&Situation> = all.iter().map(|one| &one.situation).collect();
        let mut zone = together(&situations, lines(WORLD));
        if is_dangling {
            // What dangles in one is gone for all of them.
            let led = zone.iter().filter(|record| record.1 == "CNAME");
            let targets: BTreeSet<String> = led.map(|record| record.2.clone()).collect();
            zone.retain(|record| !targets.contains(&record.0));
        }
        let server = Nsd::start(&nsd, &zone);
        let mut client = Client::at(server.address());
        for (number, one) in all.iter().enumerate() {
            if client.count() > 300 {
                client = Client::at(server.address());
            }
            let name = |text: &str| renamed(text, number);
            let sections = of_case(&one.situation.case, name, |subject| by_network(subject, &mut client));
            wrong.extend(unsaid(one, &sections, name));
        }
    }
    assert!(wrong.is_empty(), "{}\n{}", wrong.len(), wrong.join("\n"));
}
