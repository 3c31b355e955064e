//! core: when each word is heard, from when each phone is
//!
//! A phonemiser runs words together ("in the" → `ɪnðə`) and says them differently in company, so the clause's phones are
//! laid along the phones that every word has by itself: the alignment of least edits.

/// One symbol of a clause: an IPA letter, a mark (`ˈ`, `ː`), or a space, and when it is heard.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Symbol {
    pub letter: char,
    pub start: u64,
    pub stop: u64,
}

/// `(start, stop)` of each word, in order, starts and stops never falling. `own`: the phones of each word by itself; empty for a
/// word that is not said, which takes no time.
pub fn word_times(clause: &[Symbol], own: &[String]) -> Vec<(u64, u64)> {
    let heard: Vec<&Symbol> = clause.iter().filter(|symbol| !is_mark(symbol.letter)).collect();
    let mut expected: Vec<(char, usize)> = Vec::new();
    for (word, phones) in own.iter().enumerate() {
        if phones.is_empty() {
            continue;
        }
        if !expected.is_empty() {
            expected.push((' ', word));
        }
        let letters = phones.chars().filter(|c| !is_mark(*c) && *c != ' ');
        expected.extend(letters.map(|letter| (letter, word)));
    }
    let owners = align(&heard, &expected);

    let mut spans: Vec<Option<(u64, u64)>> = vec![None; own.len()];
    let mut last = owners.iter().flatten().next().copied();
    for (symbol, owner) in heard.iter().zip(owners) {
        // A letter that no word expects belongs to the word that is being said.
        last = owner.or(last);
        if let Some(word) = last.filter(|_| symbol.letter != ' ') {
            let span = spans[word].get_or_insert((symbol.start, symbol.stop));
            span.1 = symbol.stop;
        }
    }
    let mut at = heard.first().map_or(0, |symbol| symbol.start);
    spans
        .into_iter()
        .map(|span| {
            let (start, stop) = span.unwrap_or((at, at));
            let start = start.max(at);
            at = stop.max(start);
            (start, at)
        })
        .collect()
}

/// For each heard letter the word that it belongs to: the cheapest way from one sequence to the other.
fn align(heard: &[&Symbol], expected: &[(char, usize)]) -> Vec<Option<usize>> {
    let (rows, columns) = (heard.len() + 1, expected.len() + 1);
    let mut cost = vec![0.0f32; rows * columns];
    let at = |row: usize, column: usize| row * columns + column;
    for row in 0..rows {
        for column in 0..columns {
            let mut best = if row == 0 && column == 0 { 0.0 } else { f32::INFINITY };
            if row > 0 {
                best = best.min(cost[at(row - 1, column)] + skip(heard[row - 1].letter));
            }
            if column > 0 {
                best = best.min(cost[at(row, column - 1)] + skip(expected[column - 1].0));
            }
            if row > 0 && column > 0 {
                let change = distance(heard[row - 1].letter, expected[column - 1].0);
                best = best.min(cost[at(row - 1, column - 1)] + change);
            }
            cost[at(row, column)] = best;
        }
    }
    let mut owners = vec![None; heard.len()];
    let (mut row, mut column) = (heard.len(), expected.len());
    while row > 0 {
        let here = cost[at(row, column)];
        if column > 0 {
            let change = distance(heard[row - 1].letter, expected[column - 1].0);
            if here >= cost[at(row - 1, column - 1)] + change - EPSILON {
                owners[row - 1] = Some(expected[column - 1].1);
                (row, column) = (row - 1, column - 1);
                continue;
            }
            if here >= cost[at(row, column - 1)] + skip(expected[column - 1].0) - EPSILON {
                column -= 1;
                continue;
            }
        }
        row -= 1;
    }
    owners
}

/// What it costs that a letter stands on one side only. Spaces come and go as words run together.
fn skip(letter: char) -> f32 {
    if letter == ' ' { 0.3 } else { 1.0 }
}

/// What it costs that one letter stands for another: vowels are reduced in company, consonants keep their kind.
fn distance(a: char, b: char) -> f32 {
    match (a == b, a == ' ' || b == ' ', is_vowel(a), is_vowel(b)) {
        (true, ..) => 0.0,
        (_, true, ..) => 3.0,
        (_, _, true, true) => 0.5,
        (_, _, false, false) => 0.9,
        _ => 1.6,
    }
}

fn is_vowel(letter: char) -> bool {
    "aeiouyæøœɐɑɒɔəɘɚɛɜɝɞɨɪɯɵɶʉʊʌʏᵻ".contains(letter)
}

/// Stress, length and diacritics: they come and go, and take no part.
pub fn is_mark(letter: char) -> bool {
    matches!(letter, 'ˈ' | 'ˌ' | 'ː' | 'ˑ' | '˞' | 'ˤ' | 'ʰ' | 'ʲ' | '\u{300}'..='\u{36f}')
}

const EPSILON: f32 = 1e-4;

#[cfg(test)]
mod tests {
    use super::*;

    /// Ten units for each symbol.
    fn clause(ipa: &str) -> Vec<Symbol> {
        ipa.chars()
            .enumerate()
            .map(|(n, letter)| Symbol { letter, start: n as u64 * 10, stop: n as u64 * 10 + 10 })
            .collect()
    }

    fn times(ipa: &str, own: &[&str]) -> Vec<(u64, u64)> {
        word_times(&clause(ipa), &own.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>())
    }

    /// Words that run together are told apart by their own phones.
    #[test]
    fn merged_words_are_found() {
        // "in the house" is said `ɪnðə hˈaʊs`; alone the words are `ˈɪn`, `ðˈə`, `hˈaʊs`.
        assert_eq!(times("ɪnðə hˈaʊs", &["ˈɪn", "ðˈə", "hˈaʊs"]), [(0, 20), (20, 40), (50, 100)]);
        // "I am" → `aɪɐm`, with another vowel than the word alone.
        assert_eq!(times("aɪɐm hˈiə", &["ˈaɪ", "ˈæm", "hˈɪɹ"]), [(0, 20), (20, 40), (50, 90)]);
    }

    /// A word that is several when said ("Dr." of one letter more, "$5") keeps all of them; one that is not said takes no time.
    #[test]
    fn one_written_word_may_be_many_or_none() {
        assert_eq!(times("fˈaɪv dˈɑlɚz nˈaʊ", &["fˈaɪv dˈɑːlɚz", "", "nˈaʊ"]), [(0, 120), (120, 120), (130, 170)]);
        assert_eq!(times("", &["", ""]), [(0, 0), (0, 0)]);
        assert_eq!(times("", &["dˈɑːɡ"]), [(0, 0)]);
    }

    /// Whatever the phones are, every word has a time, and time does not step back.
    #[test]
    fn times_rise_whatever_comes() {
        let letters: Vec<char> = "aeɪʊðθnstkm ˈː".chars().collect();
        let mut random = fastrand::Rng::with_seed(3);
        for _ in 0..3_000 {
            let mut text = |most: usize| {
                (0..random.usize(..most)).map(|_| letters[random.usize(..letters.len())]).collect::<String>()
            };
            let ipa = text(40);
            let own: Vec<String> = (0..9).map(|_| text(7)).collect();
            let spans = word_times(&clause(&ipa), &own);
            assert_eq!(spans.len(), own.len());
            assert!(spans.iter().all(|(start, stop)| start <= stop));
            assert!(spans.windows(2).all(|pair| pair[0].1 <= pair[1].0), "{spans:?}");
        }
    }
}
