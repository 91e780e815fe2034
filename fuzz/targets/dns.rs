//! Answers of name servers: any octets.

use mailchute::dns::{Qtype, Question, Rdata, Reading, Resolved, Said, read};

use super::{Target, assert_printable};
use crate::mutate::hash;

pub(crate) const TARGET: Target = Target { name: "dns", seeds, words: WORDS, grammar: &[], check };

const ID: u16 = 0x1234;

const WORDS: &[&str] =
    &["\u{c}", "\x00\x10\x00\x01", "\x00\x05\x00\x01", "\x00\x29", "\x04shop\x07example\x00", "v=spf1 -all"];

fn question(kind: Qtype) -> Question {
    Question::new("shop.example", kind).expect("a name")
}

/// An answer to each kind of question, with names that are shortened.
fn seeds() -> Vec<Vec<u8>> {
    let name = b"\x04shop\x07example\x00";
    let answer = |code: u8, kind: u8, records: &[(u8, &[u8])]| {
        let mut octets = vec![0x12, 0x34, 0x81, 0x80 | code, 0, 1, 0, records.len() as u8, 0, 0, 0, 1];
        octets.extend(name);
        octets.extend([0, kind, 0, 1]);
        for (kind, data) in records {
            octets.extend([0xc0, 12, 0, *kind, 0, 1, 0, 0, 0, 60, 0, data.len() as u8]);
            octets.extend(*data);
        }
        // EDNS.
        octets.extend([0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0]);
        octets
    };
    vec![
        answer(0, 16, &[(16, b"\x0bv=spf1 -all"), (16, b"\x02ab\x02cd")]),
        answer(0, 1, &[(5, b"\x01b\xc0\x0c"), (1, &[192, 0, 2, 1])]),
        answer(0, 15, &[(15, b"\x00\x0a\x02mx\xc0\x0c")]),
        answer(0, 33, &[(33, b"\x00\x01\x00\x02\x01\xd1\x04smtp\xc0\x0c")]),
        answer(3, 28, &[]),
        answer(2, 12, &[]),
    ]
}

fn check(input: &[u8]) -> u64 {
    let mut path = Vec::new();
    for kind in [Qtype::A, Qtype::Aaaa, Qtype::Cname, Qtype::Mx, Qtype::Ptr, Qtype::Srv, Qtype::Txt] {
        let reading = read(input, ID, &question(kind));
        if input.get(..2) != Some(&ID.to_be_bytes()) {
            assert_eq!(reading, Reading::Foreign, "another question's answer is taken");
        }
        path.push(match &reading {
            Reading::Answer(answer) => taken(answer, kind, input.len()),
            Reading::Further(names) => {
                assert!((1..=8).contains(&names.len()), "{} names", names.len());
                100
            }
            Reading::Truncated => 101,
            Reading::Unsuitable => 102,
            Reading::Refused(why) => {
                assert_printable(why, 200);
                103
            }
            Reading::Foreign => 104,
        });
    }
    hash(&path)
}

/// What holds of every answer.
fn taken(answer: &Resolved, kind: Qtype, size: usize) -> u8 {
    // A text of a few hundred octets for each record and alias.
    assert_printable(&answer.to_string(), size * 400);
    assert!(answer.aliases.len() <= 8);
    let Said::Records(records) = &answer.said else { return answer.aliases.len() as u8 };
    assert!(!records.is_empty());
    for record in records {
        let is_kind = match record {
            Rdata::Address(address) => kind == if address.is_ipv4() { Qtype::A } else { Qtype::Aaaa },
            Rdata::Alias(_) => kind == Qtype::Cname,
            Rdata::Exchange { .. } => kind == Qtype::Mx,
            Rdata::Pointer(_) => kind == Qtype::Ptr,
            Rdata::Service { .. } => kind == Qtype::Srv,
            Rdata::Text(_) => kind == Qtype::Txt,
        };
        assert!(is_kind, "{record} is no {kind}");
    }
    10 + answer.aliases.len() as u8 * 8 + records.len().min(7) as u8
}
