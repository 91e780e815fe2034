//! Patterns of names and texts, as the providers' files have them ([`crate::providers::Published`]).

/// Whether `text` is like `pattern`, for `domain`; in any case.
pub fn is_like(pattern: &str, text: &str, domain: &str) -> bool {
    let pattern = filled(pattern, domain).to_ascii_lowercase();
    is_matched(&pattern, &text.to_ascii_lowercase())
}

/// The pattern with the domain put in.
pub fn filled(pattern: &str, domain: &str) -> String {
    pattern.replace("{domain}", domain).replace("{dashed}", &domain.replace('.', "-"))
}

/// The pattern with the domain put in, where it stands for one text.
pub fn fixed(pattern: &str, domain: &str) -> Option<String> {
    Some(filled(pattern, domain)).filter(|text| !text.contains('{'))
}

fn is_matched(pattern: &str, text: &str) -> bool {
    let Some((before, rest)) = pattern.split_once('{') else { return pattern == text };
    let Some(text) = text.strip_prefix(before) else { return false };
    let Some((name, rest)) = rest.split_once('}') else { return false };
    // What the placeholder may stand for; a token is no less than one letter of a label.
    let (least, letters): (usize, fn(char) -> bool) = match name {
        "n" => (0, |letter| letter.is_ascii_digit()),
        "token" => (1, |letter| letter.is_ascii_alphanumeric() || letter == '-' || letter == '_'),
        _ => (0, |_| true),
    };
    let most = text.find(|letter| !letters(letter)).unwrap_or(text.len());
    (least..=most).any(|end| text.is_char_boundary(end) && is_matched(rest, &text[end..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_stand_for_what_they_may() {
        for (pattern, text, matches) in [
            ("pm.mtasv.net", "PM.mtasv.net", true),
            ("pm.mtasv.net", "pm.mtasv.net.example", false),
            ("s1.domainkey.u{n}.wl{n}.sendgrid.net", "s1.domainkey.u123.wl.sendgrid.net", true),
            ("s1.domainkey.u{n}.wl{n}.sendgrid.net", "s1.domainkey.u1a.wl2.sendgrid.net", false),
            ("b1.{dashed}.dkim.brevo.com", "b1.shop-example.dkim.brevo.com", true),
            ("b1.{dashed}.dkim.brevo.com", "b1.other-example.dkim.brevo.com", false),
            ("pdk1._domainkey.{token}.dkim1.{any}mailgun.com", "pdk1._domainkey.ab12c.dkim1.eu.mailgun.com", true),
            ("pdk1._domainkey.{token}.dkim1.{any}mailgun.com", "pdk1._domainkey..dkim1.mailgun.com", false),
            ("v=DMARC1{any}", "v=dmarc1; p=none \u{e9}", true),
            ("{any}", "", true),
            ("{token}", "a.b", false),
        ] {
            assert_eq!(is_like(pattern, text, "shop.example"), matches, "{pattern} {text}");
        }
        assert_eq!(fixed("fm1.{domain}.dkim.fmhosted.com", "a.b").as_deref(), Some("fm1.a.b.dkim.fmhosted.com"));
        assert_eq!(fixed("u{n}.wl.sendgrid.net", "a.b"), None);
    }
}
