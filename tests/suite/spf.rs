//! SPF, judged by others: the test suite of RFC 7208 with its verdicts and explanations, pyspf with its count of
//! look-ups, and checkdmarc with what it counts in generated trees.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::net::IpAddr;
use std::path::Path;
use std::process::Stdio;

use mailchute::dns::{Known, Qtype, Question, Rdata, Resolved, Said, settle};
use mailchute::records::spf::{Fault, LOOKUPS, Peer, Verdict, evaluate, survey};
use serde_json::{Value, json};
use testkit::{apart, missing, need};

use crate::setup::data;

/// Where Debian's python3-spf keeps the suite.
const SUITE: &str = "/usr/share/doc/python3-spf/rfc7208-tests.yml.gz";

/// Here pyspf counts a redirect that is never gone to, because `all` stands before it.
const UNREACHED: &str = "redirect-after-mechanisms1";

/// Records by name, as the suite has them.
type Zone = HashMap<String, Vec<(String, Value)>>;

fn zone(value: &Value) -> Zone {
    let records = |list: &Value| {
        let pairs = list.as_array().unwrap().iter();
        pairs.map(|pair| (pair[0].as_str().unwrap().to_owned(), pair[1].clone())).collect()
    };
    value.as_object().unwrap().iter().map(|(name, list)| (name.clone(), records(list))).collect()
}

/// What a resolver says that knows this zone only.
fn ask(zone: &Zone, question: &Question) -> Resolved {
    let mut aliases: Vec<String> = Vec::new();
    loop {
        let name = aliases.last().map_or(question.name(), String::as_str);
        let Some(records) = zone.get(name) else { return Resolved { aliases, said: Said::NoName } };
        let found: Vec<_> = records.iter().filter_map(|(kind, value)| record(kind, value, question.kind())).collect();
        if !found.is_empty() {
            return Resolved { aliases, said: Said::Records(found) };
        }
        if records.iter().any(|(kind, value)| {
            kind == "TIMEOUT" || value == "TIMEOUT" && kind.eq_ignore_ascii_case(&question.kind().to_string())
        }) {
            return Resolved::unasked("no answer");
        }
        let alias = records.iter().find(|(kind, _)| kind == "CNAME");
        match alias.map(|(_, value)| value.as_str().unwrap().to_lowercase().trim_end_matches('.').to_owned()) {
            Some(next) if aliases.contains(&next) || next == question.name() => return Resolved::unasked("a loop"),
            Some(next) => aliases.push(next),
            None => return Resolved { aliases, said: Said::NoRecord },
        }
    }
}

fn record(kind: &str, value: &Value, wanted: Qtype) -> Option<Rdata> {
    if value == "TIMEOUT" || kind != wanted.to_string() {
        return None;
    }
    let name = |value: &Value| value.as_str().unwrap().to_lowercase().trim_end_matches('.').to_owned();
    Some(match kind {
        "A" | "AAAA" => Rdata::Address(value.as_str().unwrap().parse().unwrap()),
        "TXT" => {
            Rdata::Text(value.as_array().unwrap().iter().flat_map(|part| part.as_str().unwrap().bytes()).collect())
        }
        "MX" => Rdata::Exchange { preference: value[0].as_u64().unwrap() as u16, host: name(&value[1]) },
        "PTR" => Rdata::Pointer(name(value)),
        "CNAME" => Rdata::Alias(name(value)),
        _ => return None,
    })
}

#[test]
fn the_test_suite_of_rfc_7208() {
    let Some(python) = need("oracles-python") else { return };
    if !Path::new(SUITE).exists() {
        return missing("python3-spf is not installed with its test suite");
    }
    let output = apart(python).arg(data("oracles").join("spf.py")).arg("suite").arg(SUITE).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let scenarios: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    let (mut wrong, mut verdicts, mut counts) = (Vec::new(), 0, 0);
    for scenario in &scenarios {
        let zone = zone(&scenario["zone"]);
        for (name, test) in scenario["tests"].as_object().unwrap() {
            let text = |key: &str| test[key].as_str().unwrap();
            let address: IpAddr = text("host").parse().unwrap();
            let address = address.to_canonical();
            let peer = Peer { address, sender: text("mailfrom"), helo: text("helo") };
            let answer = |known: &mut Known, wanted: Vec<Question>| {
                wanted.into_iter().for_each(|question| known.put(question.clone(), ask(&zone, &question)));
            };
            let evaluation = settle(&mut Known::default(), answer, |known| evaluate(known, &peer));
            // Several results are one as good as the other.
            let allowed: Vec<&str> = match &test["result"] {
                Value::String(one) => vec![one],
                several => several.as_array().unwrap().iter().map(|one| one.as_str().unwrap()).collect(),
            };
            verdicts += 1;
            if !allowed.contains(&evaluation.verdict.to_string().as_str()) {
                wrong.push(format!("{name}: {allowed:?}, not {evaluation:?}"));
            }
            // Nibbles of an address are upper case here, and lower case in the RFC's example (7.4).
            let explanation = test["explanation"].as_str().filter(|_| evaluation.verdict == Verdict::Fail);
            if let Some(expected) = explanation
                && !evaluation.explanation.as_deref().unwrap_or("DEFAULT").eq_ignore_ascii_case(expected)
            {
                wrong.push(format!("{name}: explained by {expected:?}, not {evaluation:?}"));
            }
            if let Some(lookups) = test["lookups"].as_u64()
                && evaluation.why.is_none()
                && name != UNREACHED
            {
                counts += 1;
                if evaluation.lookups as u64 != lookups {
                    wrong.push(format!("{name}: {lookups} look-ups, not {evaluation:?}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {verdicts}\n{}", wrong.len(), wrong.join("\n"));
    assert!(verdicts >= 203 && counts >= 100, "{verdicts} verdicts and {counts} counts");
}

/// What a script of `tests/oracles` makes of `input`.
pub(crate) fn oracle(python: &Path, words: &[&str], input: &Value) -> Vec<Value> {
    let mut command = apart(python);
    command.arg(data("oracles").join(words[0])).args(&words[1..]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.to_string().as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "the oracle failed");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The same numbers every time.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new() -> Self {
        Self(0x5eed_0f5b_f7e4_1234)
    }

    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

/// A policy of `depth` levels at `name`, and all that it leads to, put into `zone`.
fn grow(dice: &mut Dice, zone: &mut serde_json::Map<String, Value>, name: &str, depth: u64) {
    let mut text = "v=spf1".to_owned();
    let mut records = vec![json!(["A", format!("192.0.2.{}", dice.below(4))])];
    if dice.below(2) == 0 {
        records.push(json!(["MX", [10, format!("mx.{name}")]]));
        zone.insert(format!("mx.{name}"), json!([["A", format!("192.0.2.{}", dice.below(4))]]));
    }
    for number in 0..1 + dice.below(4) {
        let qualifier = ["", "", "", "+", "-", "~", "?"][dice.below(7) as usize];
        let term = match dice.below(if depth == 0 { 6 } else { 10 }) {
            0 => format!("ip4:192.0.2.{}/{}", dice.below(8), 28 + dice.below(5)),
            1 => format!("ip6:2001:db8::{}/{}", dice.below(8), dice.below(129)),
            2 => format!("a/{}", 29 + dice.below(4)),
            3 => "mx".to_owned(),
            4 => format!("a:gone{number}.{name}"),
            5 => format!("exists:%{{ir}}.x.{name}"),
            _ => {
                let child = format!("i{number}.{name}");
                grow(dice, zone, &child, depth - 1);
                format!("include:{child}")
            }
        };
        let _ = write!(text, " {qualifier}{term}");
    }
    match dice.below(8) {
        0 if depth > 0 => {
            let child = format!("r.{name}");
            grow(dice, zone, &child, depth - 1);
            let _ = write!(text, " redirect={child}");
        }
        0 | 1 => {}
        end => {
            let _ = write!(text, " {}all", ["-", "~", "?", "-", "~", "-"][(end - 2) as usize]);
        }
    }
    records.push(json!(["TXT", [text]]));
    zone.insert(name.to_owned(), Value::Array(records));
}

/// 200 trees, or as many as `MAILCHUTE_SPF_TREES` says.
#[test]
fn generated_trees_as_others_walk_them() {
    let Some(python) = need("oracles-python") else { return };
    if !Path::new(SUITE).exists() {
        return missing("python3-spf is not installed with its test suite");
    }
    let count = std::env::var("MAILCHUTE_SPF_TREES").ok().and_then(|text| text.parse().ok()).unwrap_or(200);
    let mut dice = Dice::new();
    let trees: Vec<Value> = (0..count)
        .map(|number| {
            let (mut zone, domain) = (serde_json::Map::new(), format!("t{number}.example"));
            let depth = dice.below(4);
            grow(&mut dice, &mut zone, &domain, depth);
            json!({ "zone": zone, "domain": domain, "address": format!("192.0.2.{}", dice.below(8)) })
        })
        .collect();
    let judged = oracle(&python, &["spf.py", "trees"], &json!(trees));
    let (mut wrong, mut verdicts, mut totals, mut errors) = (Vec::new(), 0, 0, 0);
    for (tree, judged) in trees.iter().zip(&judged) {
        let (zone, domain) = (zone(&tree["zone"]), tree["domain"].as_str().unwrap());
        let answer = |known: &mut Known, wanted: Vec<Question>| {
            wanted.into_iter().for_each(|question| known.put(question.clone(), ask(&zone, &question)));
        };
        let sender = format!("a@{domain}");
        let peer = Peer { address: tree["address"].as_str().unwrap().parse().unwrap(), sender: &sender, helo: domain };
        let evaluation = settle(&mut Known::default(), answer, |known| evaluate(known, &peer));
        verdicts += 1;
        errors += usize::from(evaluation.why.is_some());
        // A redirect counts there whether it is gone to or not.
        let redirects = tree["zone"].to_string().matches("redirect=").count();
        let counts_alike = redirects == 0;
        let is_full_there =
            judged["verdict"] == "permerror" && !counts_alike && evaluation.lookups + redirects > LOOKUPS;
        if judged["verdict"] != evaluation.verdict.to_string() && !is_full_there {
            wrong.push(format!("{domain}: {}, not {evaluation:?}: {}", judged["verdict"], tree["zone"]));
        } else if let Some(lookups) = judged["lookups"].as_u64().filter(|_| counts_alike)
            && lookups != evaluation.lookups as u64
        {
            wrong.push(format!("{domain}: {lookups} look-ups, not {evaluation:?}: {}", tree["zone"]));
        }
        let found = settle(&mut Known::default(), answer, |known| survey(known, domain));
        let is_too_much = found.flaws.iter().any(|flaw| matches!(flaw, Fault::Lookups(..)));
        assert_eq!(is_too_much, found.lookups > LOOKUPS, "{found:?}");
        if let Some(total) = judged["total"].as_u64() {
            totals += 1;
            if total != found.lookups as u64 {
                wrong.push(format!("{domain}: {total} look-ups in all, not {found:?}: {}", tree["zone"]));
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {verdicts}\n{}", wrong.len(), wrong[..wrong.len().min(5)].join("\n"));
    assert!(errors >= count / 20 && totals >= count / 4, "{verdicts} verdicts, {errors} errors, {totals} totals");
}
