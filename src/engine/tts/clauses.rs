//! core: where a stream of words is cut into clauses that can be spoken
//!
//! In:  texts as they come, and the end of them.
//! Out: clauses of at most eight words, cut at punctuation where there is any; pauses (`<break time="0.5s"/>`).
//! Law: every word taken in comes out in exactly one clause, in order; every break tag in exactly one pause.
//!
//! The first clause is as short as punctuation allows, because somebody is waiting for it. Later ones reach to the end of
//! the sentence where it is near: one breath with a comma in it sounds better than two breaths.

use std::collections::VecDeque;
use std::time::Duration;

use crate::engine::model::ClauseEnd;

/// The words of one stream that have not been spoken yet.
#[derive(Debug, Default)]
pub struct Clauses {
    waiting: VecDeque<Token>,
    finished: bool,
    begun: bool,
}

#[derive(Debug, PartialEq)]
enum Token {
    Word(String),
    Break(Duration),
}

/// The next thing to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Unit {
    Clause {
        words: Vec<String>,
        end: ClauseEnd,
        first: bool,
    },
    /// Silence that the text asked for.
    Pause(Duration),
}

impl Clauses {
    /// Takes one text: words between white space, and break tags.
    pub fn text(&mut self, text: &str) {
        let mut rest = text.trim_start();
        while !rest.is_empty() {
            if let Some((pause, after)) = break_tag(rest) {
                self.waiting.push_back(Token::Break(pause));
                rest = after.trim_start();
                continue;
            }
            let stop = rest.find(char::is_whitespace).unwrap_or(rest.len());
            // A tag may follow a word without a space between.
            let stop =
                rest[..stop].find(BREAK_TAG).filter(|at| *at > 0 && break_tag(&rest[*at..]).is_some()).unwrap_or(stop);
            self.waiting.push_back(Token::Word(rest[..stop].to_owned()));
            rest = rest[stop..].trim_start();
        }
    }

    /// No text follows.
    pub fn finish(&mut self) {
        self.finished = true;
    }

    /// Whether everything has been handed out and nothing follows.
    pub fn is_over(&self) -> bool {
        self.finished && self.waiting.is_empty()
    }

    /// What can be spoken now; `None`: not enough is known yet, or all is said. In a `hurry`, because what was said
    /// before is nearly over, a later clause too ends at the first punctuation instead of waiting for its sentence.
    pub fn poll(&mut self, hurry: bool) -> Option<Unit> {
        if let Some(Token::Break(pause)) = self.waiting.front() {
            let pause = *pause;
            self.waiting.pop_front();
            return Some(Unit::Pause(pause));
        }
        let size = self.cut(hurry)?;
        let words: Vec<String> = self
            .waiting
            .drain(..size)
            .map(|token| match token {
                Token::Word(word) => word,
                Token::Break(_) => unreachable!("a cut never goes beyond a break"),
            })
            .collect();
        let end = if self.is_over() { ClauseEnd::Last } else { end_of(words.last().map_or("", String::as_str)) };
        // A pause was asked for: the sentence is complete as far as the voice is concerned, the silence is the tag's.
        let end = match self.waiting.front() {
            Some(Token::Break(_)) => ClauseEnd::Last,
            _ => end,
        };
        Some(Unit::Clause { words, end, first: !std::mem::replace(&mut self.begun, true) })
    }

    /// How many of the waiting words make the next clause.
    fn cut(&self, hurry: bool) -> Option<usize> {
        let words: Vec<&str> = self
            .waiting
            .iter()
            .map_while(|token| match token {
                Token::Word(word) => Some(word.as_str()),
                Token::Break(_) => None,
            })
            .take(MAX_WORDS)
            .collect();
        let ends: Vec<ClauseEnd> = words.iter().map(|word| end_of(word)).collect();
        let sentence = ends.iter().position(|end| *end == ClauseEnd::Sentence);
        let first_mark = ends.iter().position(|end| *end != ClauseEnd::Open);
        let last_mark = ends.iter().rposition(|end| *end != ClauseEnd::Open);
        let all_known = self.finished || words.len() == MAX_WORDS || words.len() < self.waiting.len();
        let at = match (self.begun, sentence) {
            (false, _) if first_mark.is_some() => first_mark,
            (true, Some(_)) => sentence,
            // Nothing better can come within reach.
            (true, None) if words.len() == MAX_WORDS => last_mark,
            (true, None) if hurry && !all_known => last_mark,
            _ => None,
        };
        match at {
            Some(at) => Some(at + 1),
            None if all_known && !words.is_empty() => Some(words.len()),
            None => None,
        }
    }
}

/// What the punctuation after `word` says.
pub(super) fn end_of(word: &str) -> ClauseEnd {
    let bare = word.trim_end_matches(|c: char| {
        CLOSERS.contains(c) || (!c.is_alphanumeric() && !c.is_ascii() && !MARKS.contains(c))
    });
    let Some(mark) = bare.chars().last() else { return ClauseEnd::Open };
    match mark {
        '!' | '?' | '…' => ClauseEnd::Sentence,
        '.' if bare.ends_with("..") => ClauseEnd::Sentence,
        '.' if is_abbreviation(bare) => ClauseEnd::Open,
        '.' => ClauseEnd::Sentence,
        ',' | ';' | ':' | '—' | '–' => ClauseEnd::Comma,
        '-' if bare.ends_with("--") || bare == "-" => ClauseEnd::Comma,
        _ => ClauseEnd::Open,
    }
}

/// Whether the dot at the end of `word` belongs to the word.
pub(super) fn is_abbreviation(word: &str) -> bool {
    let stem = word.trim_end_matches('.').trim_start_matches(|c: char| !c.is_alphanumeric());
    let mut letters = stem.chars();
    let initial = matches!((letters.next(), letters.next()), (Some(c), None) if c.is_uppercase() && c != 'I');
    initial || stem.contains('.') && stem.chars().all(|c| c.is_alphabetic() || c == '.') || {
        let lower = stem.to_lowercase();
        ABBREVIATIONS.contains(&lower.as_str())
    }
}

/// The length of the break tag that `text` begins with, and what follows it.
fn break_tag(text: &str) -> Option<(Duration, &str)> {
    let inside = text.strip_prefix(BREAK_TAG)?;
    let (inside, after) = inside.split_once('>')?;
    let value = inside.split_once("time=")?.1.trim().trim_end_matches('/').trim().trim_matches(['"', '\'']);
    let seconds = match value.strip_suffix("ms") {
        Some(ms) => ms.trim().parse::<f64>().ok()? / 1000.0,
        None => value.strip_suffix('s').unwrap_or(value).trim().parse::<f64>().ok()?,
    };
    (seconds.is_finite() && seconds >= 0.0).then(|| (Duration::from_secs_f64(seconds.min(MAX_BREAK_S)), after))
}

/// A clause is planned whole before its first sound: eight words cost about 100 ms.
const MAX_WORDS: usize = 8;
const BREAK_TAG: &str = "<break";
/// moshi-server's limit.
const MAX_BREAK_S: f64 = 10.0;
const CLOSERS: &str = "\"')]}*_`’”»";
const MARKS: &str = "…—–";
/// Lower case, without the dot: those after which a sentence usually goes on.
const ABBREVIATIONS: [&str; 26] = [
    "dr", "mr", "mrs", "ms", "prof", "st", "sr", "jr", "vs", "etc", "approx", "dept", "est", "fig", "gen", "gov",
    "inc", "no", "rev", "sen", "rep", "capt", "lt", "sgt", "ave", "blvd",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(texts: &[&str]) -> Vec<String> {
        let mut clauses = Clauses::default();
        texts.iter().for_each(|t| clauses.text(t));
        clauses.finish();
        let mut out = vec![];
        while let Some(unit) = clauses.poll(false) {
            out.push(match unit {
                Unit::Clause { words, end, .. } => format!("{} [{end:?}]", words.join(" ")),
                Unit::Pause(length) => format!("({} ms)", length.as_millis()),
            });
        }
        assert!(clauses.is_over());
        out
    }

    /// The first clause leaves at the first comma; later ones reach for the end of the sentence.
    #[test]
    fn first_short_then_whole_breaths() {
        let text = "Well, yes, I can, if you like. It is easy, fun, and quick! Shall we?";
        assert_eq!(
            cut(&[text]),
            [
                "Well, [Comma]",
                "yes, I can, if you like. [Sentence]",
                "It is easy, fun, and quick! [Sentence]",
                "Shall we? [Last]"
            ]
        );
    }

    /// Without punctuation in reach eight words are enough, and a comma in reach is better than the eighth word.
    #[test]
    fn eight_words_are_the_limit() {
        assert_eq!(cut(&["a b c d e f g h i j k"]), ["a b c d e f g h [Open]", "i j k [Last]"]);
        assert_eq!(
            cut(&["Oh! a b c, d e f g h i j k."]),
            ["Oh! [Sentence]", "a b c, [Comma]", "d e f g h i j k. [Last]"]
        );
    }

    /// Dots that belong to the word do not end a sentence.
    #[test]
    fn abbreviations_and_numbers_go_on() {
        assert_eq!(cut(&["Dr. J. Smith saw 3.5 e.g. apples."]), ["Dr. J. Smith saw 3.5 e.g. apples. [Last]"]);
        assert_eq!(cut(&["So am I. Good."]), ["So am I. [Sentence]", "Good. [Last]"]);
        assert_eq!(cut(&["(Yes.) \"No?\" So"]), ["(Yes.) [Sentence]", "\"No?\" [Sentence]", "So [Last]"]);
    }

    /// Nothing is spoken before it is known to be a clause, and a clause is not held once it is.
    #[test]
    fn words_wait_for_their_mark() {
        let mut clauses = Clauses::default();
        clauses.text("Hello");
        clauses.text("there");
        assert_eq!(clauses.poll(true), None);
        clauses.text("Ann,");
        assert!(matches!(clauses.poll(false), Some(Unit::Clause { first: true, words, .. }) if words.len() == 3));
        clauses.text("you, too,");
        assert_eq!(clauses.poll(false), None, "there is time to wait for the sentence");
        assert!(matches!(clauses.poll(true), Some(Unit::Clause { first: false, words, .. }) if words.len() == 2));
        clauses.text("now");
        assert_eq!(clauses.poll(true), None);
        clauses.finish();
        assert!(matches!(clauses.poll(false), Some(Unit::Clause { first: false, end: ClauseEnd::Last, .. })));
        assert!(clauses.is_over());
    }

    /// Break tags become pauses wherever they stand; the limit is ten seconds; a broken tag is only text.
    #[test]
    fn breaks_pause() {
        assert_eq!(
            cut(&["One<break time=\"0.5s\"/> two <break time='90s' /> three."]),
            ["One [Last]", "(500 ms)", "two [Last]", "(10000 ms)", "three. [Last]"]
        );
        assert_eq!(cut(&["<break time=\"250ms\"/>"]), ["(250 ms)"]);
        assert_eq!(cut(&["<break up"]), ["<break up [Last]"]);
    }

    /// However the text arrives and whatever it is: every word comes out once, in order, and eight at most together.
    #[test]
    fn nothing_is_lost() {
        let mut random = fastrand::Rng::with_seed(7);
        for _ in 0..2_000 {
            let words: Vec<String> = (0..random.usize(1..40))
                .map(|n| format!("w{n}{}", ["", "", "", ",", ".", "?", "!\"", "—", "..."][random.usize(..9)]))
                .collect();
            let (mut clauses, mut out, mut sent) = (Clauses::default(), vec![], 0);
            loop {
                if sent < words.len() && random.bool() {
                    clauses.text(&words[sent]);
                    sent += 1;
                    if sent == words.len() {
                        clauses.finish();
                    }
                }
                match clauses.poll(random.bool()) {
                    Some(Unit::Clause { words, .. }) => {
                        assert!((1..=MAX_WORDS).contains(&words.len()));
                        out.extend(words);
                    }
                    Some(Unit::Pause(_)) => panic!("no tag was sent"),
                    None if clauses.is_over() => break,
                    None => {}
                }
            }
            assert_eq!(out, words);
        }
    }
}
