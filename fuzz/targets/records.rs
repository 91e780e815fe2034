//! The texts of SPF, DKIM and DMARC records, and what is made of them: any text.

use mailchute::dns::{Known, Qtype, Question, Rdata, Resolved, settle};
use mailchute::records::spf::{LOOKUPS, Peer, Verdict, evaluate, survey};
use mailchute::records::{dkim, dmarc, merge, spf};

use super::{Target, octets};
use crate::mutate::hash;

pub(crate) const TARGET: Target = Target { name: "records", seeds, words: WORDS, grammar: &[], check };

const WORDS: &[&str] = &[
    "v=spf1 ",
    " include:",
    "shop.example",
    "%{ir}",
    "%{l1r-}",
    " redirect=",
    " exp=",
    " -all",
    " ip4:192.0.2.0/24",
    " ip6:2001:db8::/32",
    " a:",
    " mx",
    " ptr",
    " exists:",
    "//64",
    "v=DKIM1; k=rsa; p=",
    "MFww",
    "t=y:s; ",
    "v=DMARC1; p=",
    "reject; sp=",
    "psd=y; ",
    "rua=mailto:a@b.example; ",
];

fn seeds() -> Vec<Vec<u8>> {
    octets(&[
        "v=spf1 a mx include:shop.example ip4:192.0.2.0/24 ip6:2001:db8::/32 exists:%{ir}.%{v}.shop.example -all exp=e.shop.example",
        "v=spf1 ptr:%{d2} a:%{l1r-}.shop.example/24//64 redirect=_spf.shop.example",
        "v=DKIM1; k=rsa; t=y:s; h=sha256; s=email; p=MFwwDQYJKoZIhvcNAQEBBQADSwAwSAJBAK",
        "v=DMARC1; p=reject; sp=none; np=quarantine; adkim=s; aspf=r; t=y; psd=n; rua=mailto:a@b.example!10m",
    ])
}

fn check(input: &[u8]) -> u64 {
    let text = String::from_utf8_lossy(input);
    let mut path = vec![
        match dkim::read(&text) {
            Ok(key) => 1 + (key.bits / 512).min(9) as u8,
            Err(dkim::Useless::Revoked) => 20,
            Err(dkim::Useless::Unfit(_)) => 21,
            Err(dkim::Useless::Garbled(why)) => 22 + (why.len() % 16) as u8,
        },
        match dmarc::read(&text) {
            Ok(policy) => 1 + policy.policy as u8 + 4 * u8::from(policy.testing),
            Err(why) => 40 + (why.len() % 16) as u8,
        },
    ];
    // The same text at every name: whatever it leads to is itself.
    let answer = |known: &mut Known, wanted: Vec<Question>| {
        for question in wanted {
            let records = match question.kind() {
                Qtype::Txt => vec![Rdata::Text(input.to_vec())],
                Qtype::Mx => vec![Rdata::Exchange { preference: 1, host: "mx.shop.example".into() }],
                Qtype::Ptr => vec![Rdata::Pointer("host.shop.example".into())],
                Qtype::A => vec![Rdata::Address([192, 0, 2, 1].into())],
                _ => Vec::new(),
            };
            known.put(question, Resolved::records(records));
        }
    };
    let peer = Peer { address: [192, 0, 2, 1].into(), sender: "a-b+c@shop.example", helo: "mx.shop.example" };
    let evaluation = settle(&mut Known::default(), answer, |known| evaluate(known, &peer));
    assert!(evaluation.lookups <= LOOKUPS + 1, "{evaluation:?}");
    let is_record = !spf::records(&Resolved::records(vec![Rdata::Text(input.to_vec())])).is_empty();
    assert_eq!(evaluation.verdict == Verdict::None, !is_record, "{evaluation:?}");
    assert_eq!(evaluation.why.is_some(), matches!(evaluation.verdict, Verdict::PermError | Verdict::TempError));
    path.extend([evaluation.verdict as u8, evaluation.lookups as u8]);
    let found = settle(&mut Known::default(), answer, |known| survey(known, "shop.example"));
    assert!(found.lookups <= 60);
    path.push(found.flaws.len().min(7) as u8);
    if is_record && spf::parse(input).is_ok() {
        let records = [text.into_owned()];
        for merged in
            [merge::one(&records), merge::with_include(&records, "x.example"), merge::ending(&records, "-all")]
        {
            assert!(spf::parse(merged.as_bytes()).is_ok(), "{merged} is made of {records:?}");
        }
    }
    hash(&path)
}
