//! What a word that nobody knows was probably meant to be.

/// The candidate that `word` was probably meant to be: at most one edit away, and one more for every five letters.
pub fn nearest<'a>(word: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let close = candidates.map(|c| (strsim::damerau_levenshtein(word, c), c)).min_by_key(|(distance, _)| *distance)?;
    (close.0 <= 1 + word.len() / 5).then_some(close.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearest_is_near() {
        assert_eq!(nearest("pasword", ["port", "password"].into_iter()), Some("password"));
        assert_eq!(nearest("pass", ["tags"].into_iter()), None);
        assert_eq!(nearest("zzz", ["port", "password"].into_iter()), None);
    }
}
