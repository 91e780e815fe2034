//! SPF records as they should be, made of those that are there: never a second one.

/// One record with every term of `records`, and `all` at its end.
pub fn one(records: &[String]) -> String {
    joined(&terms(records), None)
}

/// The same with this include.
pub fn with_include(records: &[String], include: &str) -> String {
    let wanted = format!("include:{include}");
    let mut terms = terms(records);
    // What stood there without letting pass is in the way.
    terms.retain(|term| !bare(term).eq_ignore_ascii_case(&wanted));
    terms.push(wanted);
    joined(&terms, None)
}

/// The same without this term.
pub fn without(records: &[String], term: &str) -> String {
    let mut terms = terms(records);
    terms.retain(|other| other != term);
    joined(&terms, None)
}

/// The same with another `all`.
pub fn ending(records: &[String], all: &str) -> String {
    joined(&terms(records), Some(all))
}

/// The term that leads to `name`.
pub fn term_of(records: &[String], name: &str) -> Option<String> {
    let leads = |term: &&String| term.split_once([':', '=']).is_some_and(|(_, value)| value.eq_ignore_ascii_case(name));
    terms(records).iter().find(leads).cloned()
}

/// Every term once, without versions. Where there are several records, a redirect stands for what it leads to.
fn terms(records: &[String]) -> Vec<String> {
    let mut terms: Vec<String> = Vec::new();
    for term in records.iter().flat_map(|record| record.split(' ').skip(1)).filter(|term| !term.is_empty()) {
        let term = match term.split_once('=') {
            Some((name, value)) if records.len() > 1 && name.eq_ignore_ascii_case("redirect") => {
                format!("include:{value}")
            }
            _ => term.to_owned(),
        };
        if !terms.iter().any(|known| known.eq_ignore_ascii_case(&term)) {
            terms.push(term);
        }
    }
    terms
}

fn joined(terms: &[String], all: Option<&str>) -> String {
    let own = terms.iter().find(|term| is_all(term)).map(String::as_str);
    let goes_on = terms.iter().any(|term| is_redirect(term));
    let end = all.or(own).or_else(|| (!goes_on).then_some("~all"));
    let kept = terms.iter().map(String::as_str).filter(|term| !(is_all(term) || is_redirect(term) && end.is_some()));
    let modifiers_last = |term: &&str| term.contains('=') && !term.contains(':');
    let (last, first): (Vec<_>, Vec<_>) = kept.partition(modifiers_last);
    let words = std::iter::once("v=spf1").chain(first).chain(end).chain(last);
    words.collect::<Vec<_>>().join(" ")
}

fn bare(term: &str) -> &str {
    term.strip_prefix(['+', '-', '~', '?']).unwrap_or(term)
}

fn is_all(term: &str) -> bool {
    bare(term).eq_ignore_ascii_case("all")
}

fn is_redirect(term: &str) -> bool {
    term.get(..9).is_some_and(|start| start.eq_ignore_ascii_case("redirect="))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn records(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    #[test]
    fn one_record_is_made_of_what_is_there() {
        for (texts, expected) in [
            (&["v=spf1 a mx -all"][..], "v=spf1 a mx include:x.example -all"),
            (&[], "v=spf1 include:x.example ~all"),
            (&["v=spf1 a"], "v=spf1 a include:x.example ~all"),
            (&["v=spf1 a ~all", "v=spf1 mx A -all"], "v=spf1 a mx include:x.example ~all"),
            (&["v=spf1 redirect=b.example"], "v=spf1 include:x.example redirect=b.example"),
            (
                &["v=spf1 a redirect=b.example", "v=spf1 mx -all"],
                "v=spf1 a include:b.example mx include:x.example -all",
            ),
            (&["v=spf1 a -all mx exp=e.example"], "v=spf1 a mx include:x.example -all exp=e.example"),
            (&["v=spf1 ?include:x.example ip4:192.0.2.1 -all"], "v=spf1 ip4:192.0.2.1 include:x.example -all"),
        ] {
            assert_eq!(with_include(&records(texts), "x.example"), expected, "{texts:?}");
        }
    }

    #[test]
    fn terms_are_taken_out_and_the_end_is_changed() {
        let there = records(&["v=spf1 include:a.example  include:b.example +all"]);
        assert_eq!(without(&there, "include:a.example"), "v=spf1 include:b.example +all");
        assert_eq!(ending(&there, "~all"), "v=spf1 include:a.example include:b.example ~all");
        assert_eq!(term_of(&there, "B.example").as_deref(), Some("include:b.example"));
        assert_eq!(one(&records(&["v=spf1 a -all mx"])), "v=spf1 a mx -all");
    }
}
