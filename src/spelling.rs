//! What a word that nobody knows was probably meant to be.

/// The candidate that `word` was probably meant to be: at most one edit away, and one more for every five letters.
pub fn nearest<'a>(word: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let close = candidates.map(|c| (strsim::damerau_levenshtein(word, c), c)).min_by_key(|(distance, _)| *distance)?;
    (close.0 <= 1 + word.len() / 5).then_some(close.1)
}

/// As [`nearest`], and every other candidate that is as near: where the wrong one would harm somebody, all are named.
pub fn as_near<'a>(word: &str, candidates: impl Iterator<Item = &'a str> + Clone) -> Vec<&'a str> {
    let Some(near) = nearest(word, candidates.clone()) else { return Vec::new() };
    let distance = strsim::damerau_levenshtein(word, near);
    candidates.filter(|candidate| strsim::damerau_levenshtein(word, candidate) == distance).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearest_is_near() {
        assert_eq!(nearest("pasword", ["port", "password"].into_iter()), Some("password"));
        assert_eq!(nearest("pass", ["tags"].into_iter()), None);
        assert_eq!(nearest("zzz", ["port", "password"].into_iter()), None);
        let sites = ["site03", "site30", "site35", "site04"];
        assert_eq!(as_near("site350", sites.into_iter()), ["site30", "site35"]);
        assert_eq!(as_near("site4", sites.into_iter()), ["site04"]);
        assert_eq!(as_near("shop", sites.into_iter()), [""; 0]);
    }
}
