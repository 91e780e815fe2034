//! What was found as JSON: for programs, and from the process of a user to root's.

use serde_json::{Value, json};

use super::general::shown;
use crate::door;
use crate::finding::{self, Finding, Grade, Next, Record, Section};

/// The findings, in order, as one array.
pub(super) fn of_findings<'f>(findings: impl Iterator<Item = &'f Finding>) -> String {
    let all: Vec<Value> = findings.map(of_finding).collect();
    let mut text = serde_json::to_string_pretty(&all).unwrap_or_default();
    text.push('\n');
    door::harmless_json(&text)
}

/// The sections, which [`sections`] reads.
pub(super) fn of_sections(sections: &[Section]) -> String {
    let of_section = |section: &Section| {
        let findings: Vec<Value> = section.findings.iter().map(of_finding).collect();
        json!({ "label": section.label, "site": section.site, "fine": section.fine, "findings": findings })
    };
    serde_json::to_string(&sections.iter().map(of_section).collect::<Vec<_>>()).unwrap_or_default()
}

fn of_finding(found: &Finding) -> Value {
    let next = match &found.next {
        None => Value::Null,
        Some(Next::Run(line)) => json!({ "run": line }),
        Some(Next::Do(clause)) => json!({ "do": clause }),
        Some(Next::Set { record, replaces }) => {
            json!({ "set": { "name": record.name, "type": record.kind, "value": record.value, "replaces": replaces } })
        }
    };
    json!({
        "code": found.code.word,
        "grade": found.grade.word(),
        "site": found.site,
        "subject": found.subject,
        "sentence": found.sentence,
        "next": next,
        "evidence": found.evidence,
    })
}

/// The sections that a process of a user wrote. It may have been made to write anything, so every text is made
/// printable and no command of it is one for root to run. `None`: they are none.
pub(super) fn sections(text: &str) -> Option<Vec<Section>> {
    let Value::Array(all) = serde_json::from_str(text).ok()? else { return None };
    all.iter().map(section).collect()
}

fn section(value: &Value) -> Option<Section> {
    let findings = value["findings"].as_array()?;
    Some(Section {
        label: string(&value["label"])?,
        site: string(&value["site"]),
        fine: strings(&value["fine"]),
        findings: findings.iter().map(finding).collect::<Option<_>>()?,
    })
}

fn finding(value: &Value) -> Option<Finding> {
    let code = finding::code(value["code"].as_str()?)?;
    let grade = match value["grade"].as_str()? {
        "broken" => Grade::Broken,
        "weak" => Grade::Weak,
        _ => Grade::Note,
    };
    let next = &value["next"];
    let record = |set: &Value| {
        let kind = ["TXT", "CNAME", "MX", "A", "AAAA"].into_iter().find(|kind| Some(*kind) == set["type"].as_str())?;
        let record = Record { name: string(&set["name"])?, kind, value: string(&set["value"])? };
        Some(Next::Set { record, replaces: set["replaces"].as_bool()? })
    };
    Some(Finding {
        code,
        grade: grade.min(code.grade),
        site: string(&value["site"]),
        subject: string(&value["subject"])?,
        sentence: string(&value["sentence"])?,
        next: record(&next["set"])
            .or_else(|| string(&next["run"]).map(Next::Run))
            .or_else(|| string(&next["do"]).map(Next::Do)),
        evidence: strings(&value["evidence"]),
    })
}

fn string(value: &Value) -> Option<String> {
    value.as_str().map(shown)
}

fn strings(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().filter_map(string).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finding::codes;

    #[test]
    fn sections_come_back_as_they_were_and_printable() {
        let finding = |next| Finding {
            next,
            site: Some("shop".to_owned()),
            ..Finding::new(&codes::PHP_EMPTY_PATH, "php", "is empty").seen("php.ini:3: sendmail_path =")
        };
        let record =
            Record { name: "_dmarc.shop.example".to_owned(), kind: "TXT", value: "v=DMARC1; p=none".to_owned() };
        let section = Section {
            label: "as shop".to_owned(),
            site: Some("shop".to_owned()),
            fine: vec!["reads".to_owned()],
            findings: vec![
                finding(None),
                finding(Some(Next::Do("this".to_owned()))),
                finding(Some(Next::Set { record, replaces: true })).at_most(Grade::Note),
            ],
        };
        assert_eq!(sections(&of_sections(std::slice::from_ref(&section))), Some(vec![section.clone()]));
        let hostile = Section { label: "\x1b[2J".to_owned(), ..section };
        let read = sections(&of_sections(&[hostile])).unwrap();
        assert!(!read[0].label.contains('\x1b'));
        for text in ["", "{}", "[1]", "[{\"label\":\"x\",\"findings\":[{\"code\":\"no.such\"}]}]"] {
            assert_eq!(sections(text), None, "{text}");
        }
    }
}
