//! DKIM key records, held against dkimpy.

use base64::Engine as _;
use mailchute::records::dkim::{Useless, read};
use serde_json::json;
use testkit::need;

use crate::records::key;
use crate::spf::{Dice, oracle};

/// A record, and whether it has what is looked at here alone: there it is no error.
fn record(dice: &mut Dice) -> (String, bool) {
    let pick = |dice: &mut Dice, words: &[&str]| words[dice.below(words.len() as u64) as usize].to_owned();
    let mut tags = Vec::new();
    let kind = pick(dice, &["", "", "k=rsa", "k=rsa", "k=rsa", "k=dsa", "k=RSA", "k="]);
    tags.extend(Some(kind).filter(|tag| !tag.is_empty()));
    let mut text = key([512, 768, 1024, 2048, 3072, 4096][dice.below(6) as usize]);
    match dice.below(12) {
        0 => text.clear(),
        1 => text.truncate(dice.below(text.len() as u64) as usize),
        2 => text.insert(dice.below(text.len() as u64) as usize, ' '),
        // The key without the frame that names the algorithm.
        3 => {
            let der = base64::engine::general_purpose::STANDARD.decode(&text).unwrap();
            let inside = der.windows(3).rposition(|octets| octets[0] == 0x30 && octets[1] == 0x82);
            text = base64::engine::general_purpose::STANDARD.encode(&der[inside.unwrap_or(0)..]);
        }
        4 => text = "AAAA".to_owned(),
        _ => {}
    }
    tags.push(format!("p={text}"));
    tags.extend(Some(pick(dice, &["", "", "t=y", "t=s", "t=y:s", "n=a note"])).filter(|tag| !tag.is_empty()));
    let mut is_ours = false;
    match dice.below(10) {
        0 => {
            tags.push(pick(dice, &["s=tlsrpt", "s=other", "h=sha1"]));
            is_ours = true;
        }
        // No list in `s=` (RFC 6376 3.6.1), which dkimpy does not read.
        1 | 2 => tags.push(pick(dice, &["s=*", "s=email", "h=sha256", "h=sha1:sha256"])),
        3 => tags.push("t".to_owned()),
        4 => tags.push(pick(dice, &["t=y", "p=", "k=rsa"])),
        _ => {}
    }
    for at in (1..tags.len()).rev() {
        tags.swap(at, dice.below(at as u64 + 1) as usize);
    }
    match dice.below(6) {
        0 => {}
        1 => tags.insert(0, "v=DKIM2".to_owned()),
        2 => {
            tags.push("v=DKIM1".to_owned());
            is_ours = true;
        }
        _ => tags.insert(0, "v=DKIM1".to_owned()),
    }
    let between = pick(dice, &[";", "; ", " ; ", ";\t"]);
    let end = pick(dice, &["", ";", "; "]);
    (tags.join(&between) + &end, is_ours)
}

/// 500 records.
#[test]
fn generated_keys_as_dkimpy_reads_them() {
    let Some(python) = need("oracles-python") else { return };
    let mut dice = Dice::new();
    let records: Vec<_> = (0..500).map(|_| record(&mut dice)).collect();
    let texts: Vec<_> = records.iter().map(|(text, _)| text).collect();
    let judged = oracle(&python, &["dkim_keys.py"], &json!(texts));
    assert_eq!(judged.len(), records.len());
    let (mut wrong, mut good, mut bad) = (Vec::new(), 0, 0);
    for ((text, is_ours), theirs) in records.iter().zip(&judged) {
        let (ours, bits) = (read(text), theirs["bits"].as_u64());
        match (&ours, bits) {
            (Ok(key), Some(bits)) if key.bits as u64 == bits => good += 1,
            (Err(_), None) => bad += 1,
            (Err(why), Some(_)) if *is_ours && *why != Useless::Revoked => bad += 1,
            _ => wrong.push(format!("{text}: {theirs}, not {ours:?}")),
        }
    }
    assert!(wrong.is_empty(), "{}\n{}", wrong.len(), wrong[..wrong.len().min(6)].join("\n"));
    assert!(good >= 100 && bad >= 100, "{good} good and {bad} bad");
}
