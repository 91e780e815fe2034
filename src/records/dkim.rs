//! DKIM key records (RFC 6376 3.6.1, RFC 8301, RFC 8463).

use base64::Engine as _;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};

use crate::der::{BIT_STRING, INTEGER, OBJECT_IDENTIFIER, SEQUENCE, expect};

/// A key that a receiver can use, and what is to be said of it all the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRecord {
    /// Its algorithm.
    pub algorithm: Algorithm,
    /// How long it is.
    pub bits: usize,
    /// `t=y`: receivers need not care about it.
    pub testing: bool,
    /// `t=s`: only the domain itself, none below it, may be signed for.
    pub strict: bool,
}

impl KeyRecord {
    /// Whether receivers take it (RFC 8301 3.2).
    pub fn is_taken(&self) -> bool {
        self.algorithm != Algorithm::Rsa || self.bits >= LEAST_BITS
    }
}

/// What the key is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// `k=rsa`.
    Rsa,
    /// `k=ed25519`.
    Ed25519,
}

/// Why a key is of no use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Useless {
    /// It was taken back: `p=` is empty.
    Revoked,
    /// It is none of mail: `s=`, `h=` or `k=` rule it out.
    Unfit(String),
    /// It cannot be read.
    Garbled(String),
}

/// The least length that receivers take (RFC 8301 3.2).
pub const LEAST_BITS: usize = 1024;
/// The length that keys should have.
pub const GOOD_BITS: usize = 2048;

/// DER of the algorithm in a public key: rsaEncryption.
const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];

/// Padding is left out here and there, and receivers take that.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Whether `text` is meant to be a key record: there may be others at its name.
pub fn is_meant(text: &str) -> bool {
    let text = text.trim_start_matches(['"', ' ', '\\']);
    text.starts_with("v=DKIM1") || text.split(';').any(|tag| tag.trim_start().starts_with("p="))
}

/// Reads a key record.
///
/// # Errors
/// Why it is of no use.
pub fn read(text: &str) -> Result<KeyRecord, Useless> {
    let garbled = |why: &str| Useless::Garbled(why.to_owned());
    let trimmed = text.trim_matches([' ', '\t']);
    if trimmed.contains('"') {
        return Err(garbled("quotes of a zone file are part of the text"));
    }
    if trimmed.contains('\\') {
        return Err(garbled("backslashes of a zone file are part of the text"));
    }
    let mut tags: Vec<(&str, String)> = Vec::new();
    for tag in trimmed.split(';').filter(|tag| !tag.trim().is_empty()) {
        let Some((name, value)) = tag.split_once('=') else {
            return Err(Useless::Garbled(format!("`{}` is no tag", shown(tag))));
        };
        let name = name.trim();
        if tags.iter().any(|(known, _)| *known == name) {
            return Err(Useless::Garbled(format!("`{}=` is there twice", shown(name))));
        }
        tags.push((name, value.trim().to_owned()));
    }
    let tag = |name: &str| tags.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str());
    if let Some(at) = tags.iter().position(|(name, _)| *name == "v") {
        match (at, tag("v")) {
            (0, Some("DKIM1")) => {}
            (0, _) => return Err(garbled("its version is not DKIM1")),
            _ => return Err(garbled("`v=` is not its first tag")),
        }
    }
    let listed = |name: &str, wanted: &[&str]| {
        tag(name).is_none_or(|list| list.split(':').any(|one| wanted.contains(&one.trim())))
    };
    if !listed("s", &["*", "email"]) {
        return Err(Useless::Unfit("`s=` rules mail out".to_owned()));
    }
    if !listed("h", &["sha256"]) {
        return Err(Useless::Unfit("`h=` rules SHA-256 out".to_owned()));
    }
    let key: String = tag("p").ok_or_else(|| garbled("`p=` is missing"))?.split_whitespace().collect();
    if key.is_empty() {
        return Err(Useless::Revoked);
    }
    let key = BASE64.decode(key).map_err(|_| garbled("the key is no base64: part of it may be missing"))?;
    let (algorithm, bits) = match tag("k").unwrap_or("rsa") {
        "rsa" => (Algorithm::Rsa, rsa_bits(&key)),
        "ed25519" => (Algorithm::Ed25519, Some(256).filter(|_| key.len() == 32)),
        other => return Err(Useless::Unfit(format!("`k={}` is no algorithm that receivers know", shown(other)))),
    };
    let bits = bits.ok_or_else(|| match algorithm {
        Algorithm::Rsa => garbled("the key is no RSA key: part of it may be missing"),
        Algorithm::Ed25519 => garbled("the key is no Ed25519 key"),
    })?;
    let flag = |wanted: &str| tag("t").is_some_and(|list| list.split(':').any(|flag| flag.trim() == wanted));
    Ok(KeyRecord { algorithm, bits, testing: flag("y"), strict: flag("s") })
}

fn shown(text: &str) -> String {
    crate::reply::printable(text.trim().as_bytes(), 40)
}

/// How long the modulus of a public key is; `None`: it is none (RFC 5280 4.1, RFC 8017 A.1.1).
fn rsa_bits(der: &[u8]) -> Option<usize> {
    let (inside, _) = expect(SEQUENCE, der)?;
    // Without the frame that names the algorithm, it is the key itself.
    let modulus = match expect(SEQUENCE, inside) {
        Some((algorithm, rest)) => {
            let (oid, _) = expect(OBJECT_IDENTIFIER, algorithm)?;
            let (bits, _) = expect(BIT_STRING, rest)?;
            let key = bits.strip_prefix(&[0])?;
            let (key, _) = expect(SEQUENCE, key)?;
            expect(INTEGER, key).filter(|_| oid == RSA)?.0
        }
        None => expect(INTEGER, inside)?.0,
    };
    let first = modulus.iter().position(|octet| *octet != 0)?;
    let significant = &modulus[first..];
    Some(significant.len() * 8 - significant[0].leading_zeros() as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A key of this many bits, framed as a certificate has it; its modulus is no product of primes.
    fn rsa(bits: usize, framed: bool) -> String {
        let wrap = |kind: u8, content: &[u8]| {
            let length = content.len();
            let mut der = vec![kind];
            match length {
                0..0x80 => der.push(length as u8),
                _ => der.extend([0x82, (length >> 8) as u8, length as u8]),
            }
            der.extend_from_slice(content);
            der
        };
        let mut modulus = vec![0];
        modulus.extend(vec![0xff; bits / 8]);
        let key = wrap(0x30, &[wrap(0x02, &modulus), wrap(0x02, &[1, 0, 1])].concat());
        let der = if framed {
            let algorithm = wrap(0x30, &[wrap(0x06, RSA), vec![5, 0]].concat());
            wrap(0x30, &[algorithm, wrap(0x03, &[vec![0], key].concat())].concat())
        } else {
            key
        };
        BASE64.encode(der)
    }

    #[test]
    fn keys_are_read_as_receivers_read_them() {
        let key = |text: &str| read(text).map(|key| (key.algorithm, key.bits));
        for bits in [512, 1024, 2048, 4096] {
            assert_eq!(key(&format!("v=DKIM1; k=rsa; p={}", rsa(bits, true))), Ok((Algorithm::Rsa, bits)));
        }
        assert_eq!(key(&format!("p={}", rsa(2048, false))), Ok((Algorithm::Rsa, 2048)));
        let (one, other) = (&rsa(1024, true)[..90], &rsa(1024, true)[90..]);
        assert_eq!(key(&format!("v=DKIM1;\tp={one} {other} ;")), Ok((Algorithm::Rsa, 1024)));
        let ed = format!("v=DKIM1; k=ed25519; t=y:s; p={}", BASE64.encode([7; 32]));
        let expected = KeyRecord { algorithm: Algorithm::Ed25519, bits: 256, testing: true, strict: true };
        assert_eq!(read(&ed), Ok(expected));
    }

    #[test]
    fn what_is_of_no_use_says_why() {
        let good = rsa(2048, true);
        let cut = &good[..200];
        for (text, why) in [
            ("v=DKIM1; p=".to_owned(), Useless::Revoked),
            (format!("v=DKIM1; s=tlsrpt; p={good}"), Useless::Unfit("`s=` rules mail out".into())),
            (format!("v=DKIM1; h=sha1; p={good}"), Useless::Unfit("`h=` rules SHA-256 out".into())),
            (format!("k=dsa; p={good}"), Useless::Unfit("`k=dsa` is no algorithm that receivers know".into())),
            (format!("v=DKIM2; p={good}"), Useless::Garbled("its version is not DKIM1".into())),
            (format!("p={good}; v=DKIM1"), Useless::Garbled("`v=` is not its first tag".into())),
            ("v=DKIM1; k=rsa".into(), Useless::Garbled("`p=` is missing".into())),
            (
                format!("v=DKIM1\\; p={good}"),
                Useless::Garbled("backslashes of a zone file are part of the text".into()),
            ),
            (format!("\"v=DKIM1; p={good}\""), Useless::Garbled("quotes of a zone file are part of the text".into())),
            (format!("v=DKIM1; p={good}; p={good}"), Useless::Garbled("`p=` is there twice".into())),
            (format!("v=DKIM1; p={cut}"), Useless::Garbled("the key is no RSA key: part of it may be missing".into())),
            ("v=DKIM1; p=@@".into(), Useless::Garbled("the key is no base64: part of it may be missing".into())),
            (format!("v=DKIM1; k=ed25519; p={good}"), Useless::Garbled("the key is no Ed25519 key".into())),
            ("v=DKIM1 p=x".into(), Useless::Garbled("its version is not DKIM1".into())),
        ] {
            assert_eq!(read(&text), Err(why), "{text}");
        }
        assert!(is_meant("v=DKIM1; x") && is_meant("k=rsa; p=") && !is_meant("v=spf1 -all"));
    }
}
