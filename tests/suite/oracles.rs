//! What providers are asked, judged by what others have published about them: validators, models and types
//! of the vendors' SDKs, OpenAPI descriptions. `tests/oracles/NAME.case`, one file an oracle and provider;
//! `tests/oracles/judge.py` asks the oracle, `tests/oracles/install` installs it.
//!
//! | Key | Meaning |
//! |---|---|
//! | `provider:` | its ID |
//! | `relay:` | a line of `[relay.main]`; every setting that gets into the body |
//! | `message:` | a message of `tests/providers` to be submitted in place of `canonical.eml` |
//! | `oracle:` | who judges, in the words of `judge.py` |
//! | `unlike:` | `/path: reason`, what the oracle does not take though it is right; `*` is one step |
//! | `lacks:` | `/path: reason`, a string that the oracle wants though it is rightly not there |
//! | `any-name:` | `/path: reason`, a field that the oracle takes by any name |
//! | `any-value:` | `/path: reason`, where the oracle takes any value |
//!
//! Every message has to be accepted. An oracle that accepts everything would show nothing: each field
//! of the first message is misspelt in turn, and each value mistyped, and the oracle has to refuse that.

use std::io::Write;
use std::process::Stdio;

use serde_json::{Value, json};
use testkit::{Case, Scratch, Web, apart, need};

use crate::setup::{data, mailchute};

/// Submitted beside the canonical message, from `tests/oracles`.
const MESSAGES: [&str; 2] = ["text.eml", "html.eml"];

/// Providers that nothing in a registry could judge.
const WITHOUT: [(&str, &str); 5] = [
    ("mailgun", "the vendor's types take any field"),
    ("microsoft365", "the body is the message"),
    ("smtp-com", "the vendor's SDK has no types"),
    ("smtp2go", "the vendor's SDK has no types"),
    ("zoho-mail", "nothing describes its requests but pages"),
];

/// A body, and whether the oracle has to accept it.
struct Trial {
    what: String,
    body: Value,
    accept: bool,
}

#[test]
fn oracles() {
    let Some(python) = need("oracles-python") else { return };
    let cases = Case::all(&data("oracles"));
    let (mut asked, mut trials) = (Vec::new(), Vec::new());
    for case in &cases {
        case.knows(&["provider", "relay", "message", "oracle", "unlike", "lacks", "any-name", "any-value"], &[]);
        let oracle = case.value("oracle").expect("an oracle");
        for trial in trials_of(case) {
            asked.push(json!([oracle, trial.body]));
            trials.push((case.name(), trial));
        }
    }
    let mut judge = apart(python)
        .arg(data("oracles").join("judge.py"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("judge.py starts");
    judge.stdin.take().unwrap().write_all(json!(asked).to_string().as_bytes()).expect("judge.py listens");
    let output = judge.wait_with_output().unwrap();
    assert!(output.status.success(), "judge.py failed");
    let answers: Vec<Vec<String>> = serde_json::from_slice(&output.stdout).expect("an array of complaints");
    assert_eq!(answers.len(), trials.len());

    let wrong: Vec<String> = trials
        .iter()
        .zip(&answers)
        .filter(|((_, trial), complaints)| trial.accept != complaints.is_empty())
        .map(|((name, trial), complaints)| match trial.accept {
            true => format!("{name}: {} is refused: {}\n{}", trial.what, complaints.join("\n"), trial.body),
            false => format!("{name}: {} is accepted", trial.what),
        })
        .collect();
    assert!(wrong.is_empty(), "{} of {} trials\n\n{}", wrong.len(), trials.len(), wrong.join("\n"));
}

#[test]
fn every_provider_has_an_oracle() {
    let cases = Case::all(&data("oracles"));
    for provider in Case::all(&data("providers")).iter().map(Case::name) {
        let is_judged = cases.iter().any(|case| case.value("provider") == Some(&provider));
        let reason = WITHOUT.iter().find(|(without, _)| *without == provider);
        assert!(is_judged != reason.is_some(), "{provider}: judged: {is_judged}, {reason:?}");
    }
}

/// Everything the oracle of `case` is asked.
fn trials_of(case: &Case) -> Vec<Trial> {
    let first = case.value("message").unwrap_or("canonical.eml");
    let messages: Vec<(&str, Value)> = [("providers", first)]
        .into_iter()
        .chain(MESSAGES.map(|name| ("oracles", name)))
        .map(|(folder, name)| (name, body(case, folder, name)))
        .collect();
    let mut trials = Vec::new();
    for (name, body) in &messages {
        trials.push(Trial { what: (*name).to_owned(), body: adapt(case, body, ""), accept: true });
    }
    // A waiver that no message needs has to go.
    for (path, reason) in patterns(case, "unlike").chain(patterns(case, "lacks")) {
        let (name, body) = messages
            .iter()
            .find(|(_, body)| adapt(case, body, "") != adapt(case, body, path))
            .unwrap_or_else(|| panic!("{}: {path} is nowhere: take the waiver out", case.name()));
        let what = format!("{name} without the waiver of {path} ({reason})");
        trials.push(Trial { what, body: adapt(case, body, path), accept: false });
    }
    let body = adapt(case, &messages[0].1, "");
    let paths = paths(&body);
    for path in &paths {
        let any = |key| patterns(case, key).any(|(pattern, _)| is_at(pattern, path));
        if let Some(body) = misspelt(&body, path) {
            trials.push(Trial { what: format!("{path} misspelt"), body, accept: any("any-name") });
        }
        trials.push(Trial { what: format!("{path} mistyped"), body: mistyped(&body, path), accept: any("any-value") });
    }
    for (pattern, _) in patterns(case, "any-name").chain(patterns(case, "any-value")) {
        let some = paths.iter().any(|path| is_at(pattern, path));
        assert!(some, "{}: {pattern} is nowhere: take it out", case.name());
    }
    trials
}

/// The values `/path: reason` of `key`.
fn patterns<'a>(case: &'a Case, key: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
    case.values(key).map(|line| line.split_once(": ").expect("/path: reason"))
}

/// The body of the request that comes of a message.
fn body(case: &Case, folder: &str, name: &str) -> Value {
    let web = Web::saying("HTTP/1.1 500 Internal Server Error\n\n");
    let scratch = Scratch::new();
    let provider = case.value("provider").expect("a provider");
    let relay: String = case.values("relay").map(|line| format!("{line}\n")).collect();
    let port = web.port();
    let config = format!(
        "[log]\nto = []\n[relay.main]\nprovider = \"{provider}\"\nvia = \"api\"\n\
         endpoint = \"http://127.0.0.1:{port}\"\n{relay}"
    );
    let call = mailchute().config(&scratch.write("config.toml", config, 0o644));
    let run = call.args(["-i", "-t"]).stdin(std::fs::read(data(folder).join(name)).unwrap()).run();
    let requests = web.finish();
    assert_eq!(requests.len(), 1, "{}: {name}\n{}", case.name(), run.report());
    assert_eq!(requests[0].header("content-type"), Some("application/json"), "{}", case.name());
    serde_json::from_slice(&requests[0].body).expect("JSON")
}

/// `body` as the oracle would have it, but for the waiver of `kept`.
fn adapt(case: &Case, body: &Value, kept: &str) -> Value {
    let mut body = body.clone();
    for (pattern, _) in patterns(case, "unlike").filter(|(pattern, _)| *pattern != kept) {
        for path in paths(&body).iter().filter(|path| is_at(pattern, path)) {
            let (fields, name) = fields(&mut body, path).expect("only fields are waived");
            fields.remove(&name);
        }
    }
    for (path, _) in patterns(case, "lacks").filter(|(path, _)| *path != kept) {
        let (pattern, name) = path.rsplit_once('/').expect("a pointer");
        for parent in paths(&body).iter().map(String::as_str).chain([""]).filter(|parent| is_at(pattern, parent)) {
            if let Some(fields) = body.pointer_mut(parent).and_then(Value::as_object_mut) {
                fields.entry(name).or_insert_with(|| json!(""));
            }
        }
    }
    body
}

/// Where every value but the whole is, as JSON pointers. Names with `/` or `~` are not met.
pub(crate) fn paths(value: &Value) -> Vec<String> {
    let children: Vec<(String, &Value)> = match value {
        Value::Object(map) => map.iter().map(|(key, value)| (key.clone(), value)).collect(),
        Value::Array(list) => list.iter().enumerate().map(|(index, value)| (index.to_string(), value)).collect(),
        _ => Vec::new(),
    };
    let below = |(key, value)| {
        let path = format!("/{key}");
        let inner: Vec<String> = paths(value).iter().map(|inner| format!("{path}{inner}")).collect();
        [path].into_iter().chain(inner)
    };
    children.into_iter().flat_map(below).collect()
}

/// Whether a pattern of a case names `path`.
fn is_at(pattern: &str, path: &str) -> bool {
    pattern.split('/').count() == path.split('/').count()
        && pattern.split('/').zip(path.split('/')).all(|(wanted, step)| wanted == "*" || wanted == step)
}

/// The object that holds the field at `path`, and the field's name; `None` for an element of an array.
fn fields<'a>(body: &'a mut Value, path: &str) -> Option<(&'a mut serde_json::Map<String, Value>, String)> {
    let (parent, name) = path.rsplit_once('/').expect("a pointer");
    Some((body.pointer_mut(parent)?.as_object_mut()?, name.to_owned()))
}

/// `body` with another name for what is at `path`.
pub(crate) fn misspelt(body: &Value, path: &str) -> Option<Value> {
    let mut body = body.clone();
    let (fields, name) = fields(&mut body, path)?;
    let value = fields.remove(&name)?;
    fields.insert(format!("{name}z"), value);
    Some(body)
}

/// `body` with another type of value at `path`.
pub(crate) fn mistyped(body: &Value, path: &str) -> Value {
    let mut body = body.clone();
    let value = body.pointer_mut(path).expect("a path of this body");
    *value = if value.is_object() { json!(7) } else { json!({ "planted": true }) };
    body
}
