//! core: where a stream of tokens becomes words, and where a clause ends so that speaking can begin
//!
//! In:    the model's text in pieces of any size, then the end.
//! Out:   [`Say::Word`], [`Say::Boundary`], and one [`Say::End`].
//! Law:   the same text gives the same output however it was cut into pieces.
//! Never: splits a word, or holds more than one word back.
//!
//! A word is known to be complete only when the white space after it arrives, so its boundary comes one token late; that
//! is cheaper than speaking "3" and then ".5".

use std::collections::VecDeque;

use crate::agent::flow::Say;

/// The first clause is cut here at the latest: the caller waits for it, and eight words last two to three seconds, long
/// enough for any engine to make the second clause.
const FIRST_CLAUSE_WORDS: usize = 8;
/// Later clauses have time; a cut without punctuation costs intonation, so it is a last resort.
const LATER_CLAUSE_WORDS: usize = 24;
/// A comma ends the first clause from here on: "Well," alone would be spoken like a sentence of its own.
const FIRST_COMMA_WORDS: usize = 2;
/// A comma ends a later clause from here on.
const LATER_COMMA_WORDS: usize = 3;
/// Longer runs without white space are cut (a URL, base64, a model gone wrong): nothing here grows without bound.
const LONGEST_WORD_CHARS: usize = 80;

/// Words that end in a full stop and do not end a sentence. Lower case, without the last stop.
const ABBREVIATIONS: &[&str] = &[
    "mr", "mrs", "ms", "dr", "prof", "sr", "jr", "st", "mt", "vs", "approx", "dept", "est", "fig", "gen", "gov", "rev",
    "sen", "rep", "capt", "col", "lt", "sgt", "e.g", "i.e", "cf", "jan", "feb", "mar", "apr", "jun", "jul", "aug",
    "sep", "sept", "oct", "nov", "dec",
];

/// Cuts one reply into words and clauses.
#[derive(Debug, Default)]
pub struct Clauses {
    /// What may still grow into a longer word.
    word: String,
    word_chars: usize,
    /// Words since the last boundary.
    open: usize,
    /// Whether a boundary has been given yet.
    begun: bool,
    ended: bool,
    ready: VecDeque<Say>,
}

impl Clauses {
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next piece of text. After [`Self::end`] it is ignored.
    pub fn handle(&mut self, text: &str) {
        if self.ended {
            return;
        }
        for c in text.chars() {
            if c.is_whitespace() {
                self.finish_word();
                if c == '\n' {
                    // A line of a list rarely ends in punctuation.
                    self.boundary();
                }
                continue;
            }
            self.word.push(c);
            self.word_chars += 1;
            // Scripts without spaces: their own punctuation ends what can be shown as a word.
            if matches!(c, '。' | '！' | '？' | '，' | '、' | '；' | '：') || self.word_chars >= LONGEST_WORD_CHARS
            {
                self.finish_word();
            }
        }
    }

    /// The text is complete.
    pub fn end(&mut self) {
        if !self.ended {
            self.finish_word();
            self.boundary();
            self.ready.push_back(Say::End);
            self.ended = true;
        }
    }

    /// Drain to `None` after every `handle`.
    pub fn poll(&mut self) -> Option<Say> {
        self.ready.pop_front()
    }

    fn finish_word(&mut self) {
        let run = std::mem::take(&mut self.word);
        self.word_chars = 0;
        for part in parts(&run) {
            self.word(part);
        }
    }

    fn word(&mut self, raw: &str) {
        let shown = without_markup(raw);
        if !shown.chars().any(is_spoken) {
            // A lone dash, bullet, rule or emoji: nothing to say, but a place to breathe.
            self.boundary();
            return;
        }
        let pause = pause_after(&shown, self.open == 0);
        self.ready.push_back(Say::Word(shown));
        self.open += 1;
        let (comma, longest) = match self.begun {
            false => (FIRST_COMMA_WORDS, FIRST_CLAUSE_WORDS),
            true => (LATER_COMMA_WORDS, LATER_CLAUSE_WORDS),
        };
        match pause {
            Pause::Sentence => self.boundary(),
            Pause::Clause if self.open >= comma => self.boundary(),
            _ if self.open >= longest => self.boundary(),
            _ => {}
        }
    }

    fn boundary(&mut self) {
        if self.open > 0 {
            self.open = 0;
            self.begun = true;
            self.ready.push_back(Say::Boundary);
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pause {
    None,
    Clause,
    Sentence,
}

/// What the punctuation at the end of a whole word means.
fn pause_after(word: &str, opens_clause: bool) -> Pause {
    let bare = word.trim_end_matches(['"', '\'', ')', ']', '}', '”', '’', '»']);
    let Some(last) = bare.chars().next_back() else { return Pause::None };
    match last {
        '!' | '?' | '。' | '！' | '？' => Pause::Sentence,
        '…' => Pause::Clause,
        '.' if bare.ends_with("..") => Pause::Clause,
        '.' if is_sentence_stop(&bare[..bare.len() - 1], opens_clause) => Pause::Sentence,
        ',' | ';' | ':' | '—' | '，' | '、' | '；' | '：' => Pause::Clause,
        _ => Pause::None,
    }
}

/// Whether the full stop after `stem` ends a sentence.
fn is_sentence_stop(stem: &str, opens_clause: bool) -> bool {
    let stem = stem.trim_start_matches(['"', '\'', '(', '[', '“', '‘', '«']);
    let lower = stem.to_lowercase();
    if ABBREVIATIONS.contains(&lower.as_str()) {
        return false;
    }
    // "1. First": the number of a list, not a sentence.
    if opens_clause && stem.chars().all(|c| c.is_ascii_digit()) {
        return false;
    }
    // Initials and "a.m.", "U.S.": single letters between stops. A lone "I." does end a sentence.
    let initials =
        !stem.is_empty() && stem.split('.').all(|s| s.chars().count() == 1 && s.chars().all(char::is_alphabetic));
    !initials || stem == "I"
}

/// Cuts a run without white space where a speaker would: after an em dash or an ellipsis between letters.
fn parts(run: &str) -> impl Iterator<Item = &str> {
    let mut rest = run;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let cut = rest
            .char_indices()
            .zip(rest.chars().skip(1))
            .find(|&((at, c), next)| match c {
                '—' => next != '—',
                '…' => next.is_alphanumeric(),
                '.' => rest[..=at].ends_with("...") && next.is_alphabetic(),
                _ => false,
            })
            .map_or(rest.len(), |((at, c), _)| at + c.len_utf8());
        let (part, after) = rest.split_at(cut);
        rest = after;
        Some(part)
    })
}

/// A word without the Markdown around it and without pictures: neither is spoken or shown as a caption.
fn without_markup(word: &str) -> String {
    let is_mark = |c: char| matches!(c, '*' | '_' | '`' | '#' | '~');
    let is_picture =
        |c: char| matches!(c, '\u{200d}' | '\u{fe0f}' | '\u{1f000}'..='\u{1faff}' | '\u{2600}'..='\u{27bf}');
    let bare: Vec<char> = word.chars().filter(|c| !is_picture(*c)).collect();
    // A mark between letters or digits belongs to the word: "5*3", "snake_case", "C#" is lost for "C".
    let inside =
        |at: usize| at > 0 && bare[at - 1].is_alphanumeric() && bare.get(at + 1).is_some_and(|c| c.is_alphanumeric());
    bare.iter().enumerate().filter(|&(at, &c)| !is_mark(c) || inside(at)).map(|(_, &c)| c).collect()
}

/// Whether a character gives a voice anything to say.
fn is_spoken(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '$' | '€' | '£' | '¥' | '%' | '&' | '+' | '=' | '@' | '°')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// One line per clause, words joined by spaces.
    fn cut(pieces: &[&str]) -> String {
        let mut clauses = Clauses::new();
        pieces.iter().for_each(|p| clauses.handle(p));
        clauses.end();
        let mut out = String::new();
        while let Some(say) = clauses.poll() {
            match say {
                Say::Word(w) => {
                    if !out.is_empty() && !out.ends_with('|') {
                        out.push(' ');
                    }
                    out.push_str(&w);
                }
                Say::Boundary => out.push('|'),
                Say::End => out.push('.'),
            }
        }
        out
    }

    /// The places where a clause ends, one case per rule.
    #[test]
    fn clauses_end_where_a_speaker_would_pause() {
        for (text, want) in [
            ("Sure, I can help. What do you need?", "Sure, I can help.|What do you need?|."),
            ("Oh sure, I can help.", "Oh sure,|I can help.|."),
            ("Hi! How are you?", "Hi!|How are you?|."),
            ("Dr. Smith lives on St. James street.", "Dr. Smith lives on St. James street.|."),
            ("It costs 3.50 dollars, or 1,000 yen.", "It costs 3.50 dollars,|or 1,000 yen.|."),
            ("Meet at 10:30 a.m. or at 5.", "Meet at 10:30 a.m. or at 5.|."),
            ("1. Eat well 2. Sleep", "1. Eat well 2.|Sleep|."),
            ("So am I. You too.", "So am I.|You too.|."),
            ("Well... maybe not.", "Well... maybe not.|."),
            ("I think so... maybe not.", "I think so...|maybe not.|."),
            ("I see—you are right.", "I see—|you are right.|."),
            ("well...maybe", "well... maybe|."),
            ("He said \"Stop.\" Then he left.", "He said \"Stop.\"|Then he left.|."),
            ("one\ntwo\n", "one|two|."),
            ("one two three four five six seven eight nine ten", "one two three four five six seven eight|nine ten|."),
            ("你好。我很好！", "你好。|我很好！|."),
            ("", "."),
            ("   \n ", "."),
        ] {
            assert_eq!(cut(&[text]), want, "{text:?}");
        }
    }

    /// Markdown and emoji never reach the voice or the captions.
    #[test]
    fn markup_is_not_a_word() {
        assert_eq!(cut(&["**Paris** is *nice*, 😊\n- one\n- two ✨!"]), "Paris is nice,|one|two|.");
        assert_eq!(cut(&["# Title\nsome `code` here 😀😀"]), "Title|some code here|.");
        assert_eq!(cut(&["5 + 5 = 10 & more"]), "5 + 5 = 10 & more|.");
    }

    /// A word is given as soon as the space after it is there, and not before.
    #[test]
    fn a_word_waits_for_its_end_only() {
        let mut clauses = Clauses::new();
        clauses.handle(" Hel");
        assert_eq!(clauses.poll(), None);
        clauses.handle("lo there");
        assert_eq!(clauses.poll(), Some(Say::Word("Hello".into())));
        assert_eq!(clauses.poll(), None);
        clauses.end();
        assert_eq!(clauses.poll(), Some(Say::Word("there".into())));
        assert_eq!(clauses.poll(), Some(Say::Boundary));
        assert_eq!(clauses.poll(), Some(Say::End));
        clauses.handle("late");
        clauses.end();
        assert_eq!(clauses.poll(), None);
    }

    /// A model gone wrong cannot make a word of any length.
    #[test]
    fn an_endless_word_is_cut() {
        let mut clauses = Clauses::new();
        clauses.handle(&"x".repeat(10_000));
        clauses.end();
        let mut chars = 0;
        while let Some(say) = clauses.poll() {
            if let Say::Word(w) = say {
                assert!(w.len() <= LONGEST_WORD_CHARS);
                chars += w.len();
            }
        }
        assert_eq!(chars, 10_000);
    }

    proptest! {
        /// Whatever the tokens, the words and clauses are those of the whole text.
        #[test]
        fn any_split_gives_the_same_words(text in "([a-zA-Z0-9.,!?—… \n*'\"😊é。-]{0,12} ?){0,20}", cuts in prop::collection::vec(0usize..400, 0..40)) {
            let chars: Vec<char> = text.chars().collect();
            let mut cuts: Vec<usize> = cuts.into_iter().map(|c| c.min(chars.len())).chain([0, chars.len()]).collect();
            cuts.sort_unstable();
            let pieces: Vec<String> = cuts.windows(2).map(|w| chars[w[0]..w[1]].iter().collect()).collect();
            let pieces: Vec<&str> = pieces.iter().map(String::as_str).collect();
            prop_assert_eq!(cut(&pieces), cut(&[&text]));
        }

        /// No letter or digit is lost or reordered, and every word lies in a closed clause.
        #[test]
        fn nothing_spoken_is_lost(text in "[a-zA-Z0-9.,!?—… \n*-]{0,200}") {
            let keep = |s: &str| s.chars().filter(|c| c.is_alphanumeric()).collect::<String>();
            let out = cut(&[&text]);
            prop_assert_eq!(keep(&out), keep(&text));
            prop_assert!(out == "." || out.ends_with("|."));
        }
    }
}
