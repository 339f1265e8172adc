//! Finds the word that a user probably meant. Typed names are compared by edit distance, options and keys by common
//! beginnings; where tox's messages contain the answer, the algorithm is that of Python's `difflib`.

/// The similarity below which `difflib` suggests nothing.
const CUTOFF: f64 = 0.6;
/// The similarity from which two spellings count as the same word, from 0 to 1.
const ALIKE: f64 = 0.85;
/// Words shorter than this are too similar to others to count as misspelt.
const SHORTEST_MISSPELLING: usize = 3;

/// The number of typing errors between the two words; `None` if there are too many for one to be a misspelling.
pub fn slips(written: &str, meant: &str) -> Option<usize> {
    let distance = strsim::damerau_levenshtein(written, meant);
    (distance <= 1 + written.chars().count() / 4).then_some(distance)
}

/// The name with the fewest typing errors.
pub fn nearest<'a>(written: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    names.filter_map(|name| Some((slips(written, name)?, name))).min().map(|(_, name)| name)
}

/// The candidate most similar to the text; the first letters count most.
pub fn most_alike<'a>(text: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let alike = candidates.map(|candidate| (strsim::jaro_winkler(text, candidate), candidate));
    let nearest = alike.filter(|(alike, _)| *alike >= ALIKE).max_by(|one, other| one.0.total_cmp(&other.0));
    nearest.map(|(_, candidate)| candidate)
}

/// Whether one is the other with one letter wrong, missing, extra or swapped. Digits do not count: `py310` is not a
/// misspelt `py311`.
pub fn is_misspelt(text: &str, meant: &str) -> bool {
    let letters = |text: &str| text.chars().filter(|c| !c.is_ascii_digit()).collect::<String>();
    text.chars().count() >= SHORTEST_MISSPELLING
        && strsim::osa_distance(text, meant) == 1
        && letters(text) != letters(meant)
}

/// The word of `possibilities` most like `word`, as Python's `difflib.get_close_matches(…, n=1)` finds it.
pub fn closest<'a>(word: &str, possibilities: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word: Vec<char> = word.chars().collect();
    let mut best: Option<(f64, &str)> = None;
    for candidate in possibilities {
        let letters: Vec<char> = candidate.chars().collect();
        let ratio = similarity(&letters, &word);
        let better = best.is_none_or(|(known, name)| (ratio, candidate) > (known, name));
        if ratio >= CUTOFF && better {
            best = Some((ratio, candidate));
        }
    }
    best.map(|(_, candidate)| candidate)
}

/// Twice the number of letters in matching blocks by the number of letters (Ratcliff and Obershelp).
fn similarity(one: &[char], other: &[char]) -> f64 {
    let letters = one.len() + other.len();
    if letters == 0 { 1.0 } else { 2.0 * matching(one, other) as f64 / letters as f64 }
}

fn matching(one: &[char], other: &[char]) -> usize {
    let Some((from, to, length)) = longest_common(one, other) else { return 0 };
    length + matching(&one[..from], &other[..to]) + matching(&one[from + length..], &other[to + length..])
}

fn longest_common(one: &[char], other: &[char]) -> Option<(usize, usize, usize)> {
    let mut best: Option<(usize, usize, usize)> = None;
    let mut lengths = vec![0usize; other.len() + 1];
    for (from, letter) in one.iter().enumerate() {
        for to in (0..other.len()).rev() {
            lengths[to + 1] = if *letter == other[to] { lengths[to] + 1 } else { 0 };
            let length = lengths[to + 1];
            if length > 0 && best.is_none_or(|(_, _, known)| length > known) {
                best = Some((from + 1 - length, to + 1 - length, length));
            }
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::{closest, is_misspelt};

    #[test]
    fn the_likeliest_word_is_found_and_unlike_ones_are_not() {
        assert_eq!(closest("lnit", ["lint", "docs"]), Some("lint"));
        assert_eq!(closest("py31", ["py310", "docs"]), Some("py310"));
        assert_eq!(closest("zzz", ["lint"]), None);
    }

    #[test]
    fn a_misspelling_is_one_letter_away() {
        assert!(is_misspelt("lnt", "lint") && is_misspelt("dcos", "docs") && is_misspelt("testt", "test"));
        assert!(!is_misspelt("py310", "py311") && !is_misspelt("lint", "lint") && !is_misspelt("ab", "a"));
        assert!(!is_misspelt("notes", "nobyte"));
    }
}
