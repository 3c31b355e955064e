//! core: a clause as the symbols that the voice was taught, and its symbols as the phones that are heard
//!
//! The ids follow Piper: `^`, then each symbol with a pad `_` behind it, then `$`. A clause ends in punctuation, because a
//! voice without it does not know how to end; where a sentence goes on, what it does with it is cut off again.

use std::collections::HashMap;

use unicode_normalization::UnicodeNormalization;

use super::normalise::Said;
use super::words::{Symbol, is_mark};
use crate::engine::model::ClauseEnd;

/// The words of a clause that are said between two marks.
#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    pub text: String,
    pub mark: char,
}

/// Joins the words up to each mark; words without a sound only lend their mark.
pub fn groups(words: &[Said], end: ClauseEnd) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    let mut text = String::new();
    for word in words {
        if !word.text.is_empty() {
            if !text.is_empty() {
                text.push(' ');
            }
            text.push_str(&word.text);
        }
        match word.mark {
            Some(mark) if !text.is_empty() => groups.push(Group { text: std::mem::take(&mut text), mark }),
            Some(mark) => groups.iter_mut().next_back().into_iter().for_each(|group| group.mark = mark),
            None => {}
        }
    }
    if !text.is_empty() {
        groups.push(Group { text, mark: ',' });
    }
    if let Some(last) = groups.last_mut() {
        last.mark = match end {
            ClauseEnd::Comma | ClauseEnd::Open => ',',
            ClauseEnd::Sentence | ClauseEnd::Last if last.mark == ',' => '.',
            ClauseEnd::Sentence | ClauseEnd::Last => last.mark,
        };
    }
    groups
}

/// The symbols of a clause, decomposed (NFD) as the voice's table has them; those that it lacks are left out. The last one is
/// the mark that ends the clause.
pub fn symbols(groups: &[Group], ipa: &[String], ids: &HashMap<char, i64>) -> Vec<char> {
    let mut line: Vec<char> = Vec::new();
    for (group, ipa) in groups.iter().zip(ipa) {
        if !line.is_empty() {
            line.push(' ');
        }
        line.extend(ipa.nfd());
        line.push(group.mark);
    }
    line.retain(|symbol| ids.contains_key(symbol));
    line
}

/// What the encoder eats for these symbols.
pub fn sequence(symbols: &[char], ids: &HashMap<char, i64>) -> Option<Vec<i64>> {
    let (start, pad, end) = (*ids.get(&'^')?, *ids.get(&'_')?, *ids.get(&'$')?);
    let body = symbols.iter().filter_map(|symbol| ids.get(symbol)).flat_map(|id| [*id, pad]);
    Some([start, pad].into_iter().chain(body).chain([end]).collect())
}

/// Symbols with their times as phones: a stress mark opens the phone behind it, a length mark and a space prolong the one before,
/// and punctuation is a pause.
pub fn phones(symbols: &[Symbol]) -> Vec<(u64, u64, String)> {
    let mut phones: Vec<(u64, u64, String)> = Vec::new();
    let mut stress: Option<(u64, char)> = None;
    for symbol in symbols {
        match symbol.letter {
            'ˈ' | 'ˌ' => stress = Some((symbol.start, symbol.letter)),
            ' ' => prolong(&mut phones, symbol, false),
            letter if is_mark(letter) => prolong(&mut phones, symbol, true),
            letter if PUNCTUATION.contains(letter) => phones.push((symbol.start, symbol.stop, letter.to_string())),
            letter => {
                let (start, mark) = stress.take().map_or((symbol.start, None), |(start, mark)| (start, Some(mark)));
                phones.push((start, symbol.stop, mark.into_iter().chain([letter]).collect()));
            }
        }
    }
    phones
}

fn prolong(phones: &mut [(u64, u64, String)], symbol: &Symbol, is_letter: bool) {
    if let Some((_, stop, ipa)) = phones.last_mut() {
        *stop = symbol.stop;
        if is_letter {
            ipa.push(symbol.letter);
        }
    }
}

const PUNCTUATION: &str = ",.!?;:";

#[cfg(test)]
mod tests {
    use super::*;

    fn said(words: &[(&str, Option<char>)]) -> Vec<Said> {
        words.iter().map(|(text, mark)| Said { text: (*text).into(), mark: *mark }).collect()
    }

    /// Marks cut the clause, its end decides the last one, and words without a sound leave no trace but their mark.
    #[test]
    fn marks_make_groups() {
        let words = said(&[("well", Some(',')), ("you", None), ("", None), ("know", None), ("", Some('!'))]);
        let marks = |end| groups(&words, end).iter().map(|g| format!("{}{}", g.text, g.mark)).collect::<Vec<_>>();
        assert_eq!(marks(ClauseEnd::Last), ["well,", "you know!"]);
        assert_eq!(marks(ClauseEnd::Open), ["well,", "you know,"]);
        assert_eq!(groups(&said(&[("really", Some('?'))]), ClauseEnd::Sentence)[0].mark, '?');
        assert_eq!(groups(&said(&[("", Some('.'))]), ClauseEnd::Last), []);
    }

    /// A pad behind every symbol, accents decomposed, strange symbols left out.
    #[test]
    fn the_sequence_is_pipers() {
        let ids: HashMap<char, i64> =
            [('^', 1), ('_', 0), ('$', 2), ('c', 16), ('\u{327}', 140), ('.', 10), (' ', 3)].into_iter().collect();
        let line = symbols(&[Group { text: String::new(), mark: '.' }], &["ç ☃".to_owned()], &ids);
        assert_eq!(line, ['c', '\u{327}', ' ', '.']);
        assert_eq!(sequence(&line, &ids).unwrap(), [1, 0, 16, 0, 140, 0, 3, 0, 10, 0, 2]);
    }

    /// `ˈaː t,` is a long stressed a, a t, and a pause: three spans without a gap.
    #[test]
    fn marks_belong_to_their_phones() {
        let symbols: Vec<Symbol> = "ˈaː t,"
            .chars()
            .enumerate()
            .map(|(n, letter)| Symbol { letter, start: n as u64, stop: n as u64 + 1 })
            .collect();
        assert_eq!(phones(&symbols), [(0, 4, "ˈaː".into()), (4, 5, "t".into()), (5, 6, ",".into())]);
    }
}
