//! An index that finds the words of which a text may be a misspelling, without comparing each.

use std::collections::HashMap;

use crate::did_you_mean::is_misspelt;

/// Longer words are skipped: the index of a word grows with the square of its length.
const LONGEST: usize = 100;

/// Words, by their variants with one letter removed. Two words that differ by one mistake share a variant.
pub(super) struct SpellingIndex<'a> {
    by_rest: HashMap<String, Vec<&'a str>>,
}

impl<'a> SpellingIndex<'a> {
    pub(super) fn of(words: impl Iterator<Item = &'a str>) -> Self {
        let mut by_rest: HashMap<String, Vec<&'a str>> = HashMap::new();
        for word in words {
            rests(word).for_each(|rest| by_rest.entry(rest).or_default().push(word));
        }
        Self { by_rest }
    }

    /// The words of which `text` may be a misspelling.
    pub(super) fn meant_by(&self, text: &str) -> impl Iterator<Item = &'a str> {
        rests(text).filter_map(|rest| self.by_rest.get(&rest)).flatten().copied().filter(|word| is_misspelt(text, word))
    }
}

/// The word, and the word without each of its letters.
fn rests(word: &str) -> impl Iterator<Item = String> {
    let letters: Vec<(usize, char)> = if word.len() > LONGEST { Vec::new() } else { word.char_indices().collect() };
    let without = move |(at, letter): (usize, char)| format!("{}{}", &word[..at], &word[at + letter.len_utf8()..]);
    std::iter::once(word.to_owned()).chain(letters.into_iter().map(without))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_that_is_one_mistake_away_is_found() {
        let words = ["lint", "docs", "py310", "tests", "äöü"];
        let spellings = SpellingIndex::of(words.into_iter());
        for text in
            ["lnt", "linnt", "litn", "lant", "dcos", "doc", "docz", "ests", "äü", "äxü", "lint", "py311", "none"]
        {
            let expected = words.into_iter().find(|word| is_misspelt(text, word));
            assert_eq!(spellings.meant_by(text).next(), expected, "{text}");
        }
    }
}
