//! The likeliest word a person meant, as Python's `difflib.get_close_matches(…, n=1)` finds it, since tox's messages
//! carry its answer.

/// Words less alike than this are no suggestion.
const CUTOFF: f64 = 0.6;

/// The word of `possibilities` most like `word`.
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
    use super::closest;

    #[test]
    fn the_likeliest_word_is_found_and_unlike_ones_are_not() {
        assert_eq!(closest("lnit", ["lint", "docs"]), Some("lint"));
        assert_eq!(closest("py31", ["py310", "docs"]), Some("py310"));
        assert_eq!(closest("zzz", ["lint"]), None);
    }
}
