//! core: written English made sayable: numbers, money, dates, times, abbreviations, units, signs
//!
//! In:  the words of a clause as they are written.
//! Out: for each of them the words to say (letters, apostrophes and spaces only; perhaps none) and the punctuation behind it.
//! Law: one output for every input, in order, because every word that is sent gets its time back.
//!
//! By hand and by table: a word is looked at with its neighbours, which tells a year from a count and a saint from a street.

use super::clauses::{end_of, is_abbreviation};
use super::numbers::{cardinal, digits, number, ordinal, plural, whole_number, year};
use super::quantities::{is_unit, money, unit, unsigned};
use crate::engine::model::ClauseEnd;

/// What to say for one written word.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Said {
    pub text: String,
    /// `,` `.` `!` or `?`: what the voice does behind it.
    pub mark: Option<char>,
}

pub fn normalise(words: &[String]) -> Vec<Said> {
    let bare: Vec<Bare> = words.iter().map(|word| Bare::of(word)).collect();
    (0..bare.len()).map(|at| Said { text: clean(&say(&bare, at)), mark: mark(&words[at]) }).collect()
}

/// A word without what stands around it.
pub(super) struct Bare {
    /// Straight quotes, no emoji; brackets, quotes and punctuation off both ends.
    pub core: String,
    pub lower: String,
    /// It ended in a dot.
    dotted: bool,
}

impl Bare {
    fn of(word: &str) -> Self {
        let plain: String = word.chars().filter_map(plain).collect();
        let core = plain.trim_matches(|c: char| AROUND.contains(c));
        let stem = core.trim_end_matches([',', ';', ':', '!', '?', '.', '"', '\'', ')', ']', '}']);
        let dotted = core[stem.len()..].starts_with('.') && !core[stem.len()..].starts_with("..");
        // "-5" keeps its sign, "- five" and "--" do not.
        let stem = stem.trim_matches(|c: char| AROUND.contains(c));
        Self { core: stem.to_owned(), lower: stem.to_lowercase(), dotted }
    }

    fn is_month(&self) -> bool {
        MONTHS
            .iter()
            .any(|(name, short)| self.lower == *name || (self.lower == *short && (self.dotted || *short != "mar")))
    }

    fn is_capitalised(&self) -> bool {
        self.core.starts_with(char::is_uppercase)
    }

    fn whole(&self) -> Option<u64> {
        whole_number(&self.core)?
    }
}

fn say(words: &[Bare], at: usize) -> String {
    let word = &words[at];
    let (previous, next) = (at.checked_sub(1).map(|at| &words[at]), words.get(at + 1));
    if word.core.is_empty() || is_address(&word.lower) {
        return String::new();
    }
    let by_rule = abbreviation(word, previous, next)
        .or_else(|| money(word, previous, next))
        .or_else(|| unit(word, previous))
        .or_else(|| count(words, at))
        .or_else(|| sign(word));
    by_rule.unwrap_or_else(|| pieces(&word.core))
}

// ------------------------------------------------------------------------------------------------ words

fn abbreviation(word: &Bare, previous: Option<&Bare>, next: Option<&Bare>) -> Option<String> {
    let lower = word.lower.as_str();
    let next_is_name = next.is_some_and(Bare::is_capitalised);
    let next_is_number = next.is_some_and(|next| next.whole().is_some());
    let after_name = previous.is_some_and(Bare::is_capitalised);
    let said = match lower {
        "dr" if word.dotted || next_is_name => {
            if next_is_name || !after_name {
                "Doctor"
            } else {
                "Drive"
            }
        }
        "st" if next_is_name && !(after_name && next.is_none()) => "Saint",
        "st" if word.dotted || after_name => "Street",
        "no" if word.dotted && next_is_number => "number",
        "e.g" => "for example",
        "i.e" => "that is",
        "a.m" => "ay em",
        "p.m" => "PM",
        "am" if previous.is_some_and(|p| p.whole().is_some_and(|hour| hour <= 12) || is_clock(&p.core)) => "ay em",
        "pm" if previous.is_some_and(|p| p.whole().is_some() || is_clock(&p.core)) => "PM",
        "ph.d" => "P H D",
        "w/" => "with",
        "w/o" => "without",
        "vs" | "v.s" => "versus",
        "etc" => "et cetera",
        "mr" => "Mister",
        "mrs" => "Missus",
        "ms" if word.is_capitalised() && word.dotted => "Miz",
        "and/or" => "and or",
        "visavis" => "veezavee",
        _ => {
            let (_, full) = *SHORT.iter().find(|(short, _)| word.dotted && lower == *short)?;
            full
        }
    };
    Some(said.to_owned())
}

/// "U.S." → "US", which a speller spells.
fn initials(core: &str) -> Option<String> {
    let parts: Vec<&str> = core.split('.').filter(|part| !part.is_empty()).collect();
    let single =
        parts.len() > 1 && parts.iter().all(|part| part.chars().count() == 1 && part.chars().all(char::is_alphabetic));
    single.then(|| parts.concat().to_uppercase())
}

/// Addresses are for eyes.
fn is_address(lower: &str) -> bool {
    lower.starts_with("http://") || lower.starts_with("https://") || lower.starts_with("www.")
}

/// What no rule knows: cut where letters, digits and signs meet.
fn pieces(core: &str) -> String {
    if let Some(initials) = initials(core) {
        return initials;
    }
    let mut out: Vec<String> = Vec::new();
    let mut rest = core;
    while let Some(first) = rest.chars().next() {
        let stop = if first.is_ascii_digit() {
            // A number goes as far as it is one: "3.5x", "1.2.3".
            let run = rest.find(|c: char| !c.is_ascii_digit() && c != '.' && c != ',').unwrap_or(rest.len());
            let run = rest[..run].trim_end_matches(['.', ',']).len();
            let text = &rest[..run];
            let version = || {
                text.split(['.', ',']).map(|part| number(part).unwrap_or_default()).collect::<Vec<_>>().join(" point ")
            };
            out.push(number(text).unwrap_or_else(version));
            run
        } else if first.is_alphabetic() || first == '\'' {
            let run = rest.find(|c: char| !c.is_alphabetic() && c != '\'').unwrap_or(rest.len());
            out.push(rest[..run].to_owned());
            run
        } else {
            let inside = out.last().is_some() && rest.len() > first.len_utf8();
            out.extend(name_of_sign(first, inside).map(str::to_owned));
            first.len_utf8()
        };
        rest = &rest[stop..];
    }
    out.join(" ")
}

fn sign(word: &Bare) -> Option<String> {
    if let Some(tag) = word.core.strip_prefix('#') {
        return Some(match number(tag) {
            Some(number) => format!("number {number}"),
            None => pieces(tag),
        });
    }
    let (user, host) = word.core.split_once('@').filter(|(user, host)| !user.is_empty() && host.contains('.'))?;
    let dots = |text: &str| text.split('.').map(pieces).collect::<Vec<_>>().join(" dot ");
    Some(format!("{} at {}", dots(user), dots(host)))
}

fn name_of_sign(sign: char, inside: bool) -> Option<&'static str> {
    Some(match sign {
        '&' => "and",
        '+' => "plus",
        '=' => "equals",
        '@' => "at",
        '%' => "percent",
        '°' => "degrees",
        '×' => "times",
        '÷' => "divided by",
        '<' => "less than",
        '>' => "greater than",
        '~' | '≈' => "about",
        '$' => "dollars",
        '€' => "euros",
        '£' => "pounds",
        '/' if inside => "or",
        '.' if inside => "dot",
        _ => return None,
    })
}

// ------------------------------------------------------------------------------------------------ dates, times, numbers

fn count(words: &[Bare], at: usize) -> Option<String> {
    let core = words[at].core.as_str();
    if !core.contains(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let lower = words[at].lower.as_str();
    whole(words, at)
        .or_else(|| clock(core, words.get(at + 1)))
        .or_else(|| iso_date(core))
        .or_else(|| slashes(core))
        .or_else(|| telephone(core))
        .or_else(|| range(core))
        .or_else(|| suffixed(lower))
        .or_else(|| {
            let (negative, rest) = unsigned(core);
            let minus = if negative { "minus " } else { "" };
            number(rest).map(|number| format!("{minus}{number}"))
        })
        .or_else(|| core.strip_prefix('+').and_then(number).map(|number| format!("plus {number}")))
}

/// A plain whole number: a day, a year, or a count.
fn whole(words: &[Bare], at: usize) -> Option<String> {
    let word = &words[at];
    let value = word.whole()?;
    let previous = at.checked_sub(1).map(|at| &words[at]);
    let next = words.get(at + 1);
    let before_month = next.is_some_and(Bare::is_month);
    if (1..=31).contains(&value) && previous.is_some_and(Bare::is_month) {
        return Some(ordinal(value));
    }
    if (1..=31).contains(&value) && before_month {
        let article = previous.is_some_and(|previous| previous.lower == "the");
        return Some(if article { format!("{} of", ordinal(value)) } else { format!("the {} of", ordinal(value)) });
    }
    let four_digits = word.core.len() == 4 && (1000..=2099).contains(&value);
    let in_date = previous.is_some_and(Bare::is_month)
        || at >= 2 && words[at - 2].is_month() && day_of(&words[at - 1]).is_some()
        || previous.is_some_and(|previous| YEAR_CUES.contains(&previous.lower.as_str()))
        || next.is_some_and(|next| ["ad", "bc", "bce", "ce"].contains(&next.lower.as_str()));
    let counted = next.is_some_and(is_unit);
    if four_digits && in_date && !counted {
        return Some(year(value));
    }
    Some(cardinal(value))
}

fn day_of(word: &Bare) -> Option<u64> {
    let text = word.lower.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    whole_number(text)?.filter(|day| (1..=31).contains(day))
}

fn is_clock(core: &str) -> bool {
    clock(core, None).is_some()
}

/// "10:30", "10:30pm", "5pm".
fn clock(core: &str, next: Option<&Bare>) -> Option<String> {
    let lower = core.to_lowercase();
    let (time, half) = match lower.trim_end_matches(['.']).replace('.', "") {
        text if text.ends_with("am") => (text[..text.len() - 2].to_owned(), Some("ay em")),
        text if text.ends_with("pm") => (text[..text.len() - 2].to_owned(), Some("PM")),
        _ => (lower.clone(), None),
    };
    let parts: Vec<u64> =
        time.split(':').map(|part| part.parse().ok().filter(|_| part.len() <= 2)).collect::<Option<_>>()?;
    let half_follows = next.is_some_and(|next| ["am", "pm", "a.m", "p.m"].contains(&next.lower.as_str()));
    let said = match parts[..] {
        [hour] if half.is_some() && (1..=12).contains(&hour) => cardinal(hour),
        [hour, 0] if hour <= 24 && (half.is_some() || half_follows) => cardinal(hour),
        [hour @ 0..=12, 0] => format!("{} o'clock", cardinal(hour)),
        [hour @ 13..=24, 0] => format!("{} hundred", cardinal(hour)),
        [hour @ 0..=24, minute @ 1..=9] if time.ends_with(&format!("0{minute}")) => {
            format!("{} oh {}", cardinal(hour), cardinal(minute))
        }
        [hour @ 0..=24, minute @ 10..=59] => format!("{} {}", cardinal(hour), cardinal(minute)),
        [first, minute @ 0..=59, second @ 0..=59] => {
            format!("{} {} {}", cardinal(first), cardinal(minute), cardinal(second))
        }
        _ => return None,
    };
    Some(half.map_or_else(|| said.clone(), |half| format!("{said} {half}")))
}

/// "2024-03-15".
fn iso_date(core: &str) -> Option<String> {
    let parts: Vec<&str> = core.split('-').collect();
    let [y, m, d] = parts[..] else { return None };
    if (y.len(), m.len(), d.len()) != (4, 2, 2) {
        return None;
    }
    date(y.parse().ok()?, m.parse().ok()?, d.parse().ok()?)
}

fn date(y: u64, m: usize, d: u64) -> Option<String> {
    let (month, _) = MONTHS.get(m.checked_sub(1)?)?;
    (1..=31).contains(&d).then(|| format!("{month} {} {}", ordinal(d), year(y)))
}

/// "3/15/2024", "1/2", "24/7", "and/or".
fn slashes(core: &str) -> Option<String> {
    let parts: Vec<&str> = core.split('/').collect();
    let numbers: Vec<u64> = parts.iter().map(|part| part.parse().ok()).collect::<Option<_>>()?;
    match numbers[..] {
        [m, d, y] if parts[2].len() == 4 => date(y, m as usize, d),
        [24, 7] => Some("twenty four seven".into()),
        [1, 2] => Some("one half".into()),
        [top, 4] => Some(format!("{} {}", cardinal(top), if top == 1 { "quarter" } else { "quarters" })),
        [top @ 1..=9, below @ 3..=20] if top < below => {
            let part = ordinal(below);
            Some(format!("{} {}", cardinal(top), if top == 1 { part } else { plural(&part) }))
        }
        [top, below] => Some(format!("{} over {}", cardinal(top), cardinal(below))),
        _ => None,
    }
}

/// "555-1234", "555-123-4567", "1-800-555-0100".
fn telephone(core: &str) -> Option<String> {
    let core = core.replace(['(', ')'], "-");
    let parts: Vec<&str> = core.split('-').filter(|part| !part.is_empty()).collect();
    let is_digits = parts.iter().all(|part| part.bytes().all(|b| b.is_ascii_digit()));
    let ends = parts.len() >= 2 && parts[parts.len() - 2].len() == 3 && parts[parts.len() - 1].len() == 4;
    (is_digits && ends).then(|| digits(&core))
}

/// "10-20", "1990-1995", "9:00-17:30".
fn range(core: &str) -> Option<String> {
    let (low, high) = core.split_once(['-', '–'])?;
    if low.is_empty() || high.is_empty() {
        return None;
    }
    let both_years = low.len() == 4 && high.len() == 4 && !low.contains(':');
    let end = |text: &str| match text.parse::<u64>() {
        Ok(value) if both_years && (1000..=2099).contains(&value) => Some(year(value)),
        _ => number(text).or_else(|| text.contains(':').then(|| clock(text, None))?),
    };
    Some(format!("{} to {}", end(low)?, end(high)?))
}

/// "21st", "1990s", "10k", "3x", "50%".
fn suffixed(lower: &str) -> Option<String> {
    let (negative, rest) = unsigned(lower.trim_start_matches('\''));
    let split = rest.find(|c: char| !c.is_ascii_digit() && c != '.' && c != ',')?;
    let (quantity, suffix) = rest.split_at(split);
    let minus = if negative { "minus " } else { "" };
    let value = whole_number(quantity).flatten();
    Some(match (suffix, value) {
        ("st" | "nd" | "rd" | "th", Some(value)) => ordinal(value),
        ("s" | "'s", Some(value)) if quantity.len() == 4 => plural(&year(value)),
        ("s" | "'s", Some(value)) => plural(&cardinal(value)),
        ("k", _) => format!("{minus}{} thousand", number(quantity)?),
        ("m", _) => format!("{minus}{} million", number(quantity)?),
        ("x", _) => format!("{minus}{} times", number(quantity)?),
        ("+", _) => format!("{minus}{} plus", number(quantity)?),
        _ => return None,
    })
}

// ------------------------------------------------------------------------------------------------ characters

/// Straight quotes; emoji, invisible characters and letters that the voice has no sounds for go.
fn plain(c: char) -> Option<char> {
    match c {
        '‘' | '’' | 'ʼ' | '`' | '´' => Some('\''),
        '“' | '”' | '„' | '«' | '»' => Some('"'),
        '–' | '—' | '…' | '€' | '−' | '≈' => Some(c),
        // Latin, with its accents.
        c if c.is_control() || u32::from(c) >= 0x250 => None,
        c => Some(c),
    }
}

/// Letters, apostrophes inside of words, and single spaces.
fn clean(text: &str) -> String {
    let kept: String = text.chars().map(|c| if c.is_alphabetic() || c == '\'' { c } else { ' ' }).collect();
    kept.split_whitespace()
        .map(|word| word.trim_matches('\''))
        .filter(|word| !word.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
}

/// The punctuation behind a word, as one of the four that the voice knows.
fn mark(word: &str) -> Option<char> {
    match end_of(word) {
        ClauseEnd::Sentence => {
            let tail: String = word.chars().rev().take_while(|c| !c.is_alphanumeric()).collect();
            Some(if tail.contains('?') {
                '?'
            } else if tail.contains('!') {
                '!'
            } else {
                '.'
            })
        }
        ClauseEnd::Comma => Some(','),
        // A dot that belongs to the word, or none.
        ClauseEnd::Open | ClauseEnd::Last => {
            debug_assert!(!word.ends_with('.') || is_abbreviation(word));
            None
        }
    }
}

// ------------------------------------------------------------------------------------------------ tables

const AROUND: &str = "\"'()[]{}*_~|\\^•·–—…";
const YEAR_CUES: [&str; 14] = [
    "in", "since", "by", "from", "until", "till", "year", "before", "after", "circa", "during", "of", "spring",
    "summer",
];
const MONTHS: [(&str, &str); 12] = [
    ("january", "jan"),
    ("february", "feb"),
    ("march", "mar"),
    ("april", "apr"),
    ("may", "may"),
    ("june", "jun"),
    ("july", "jul"),
    ("august", "aug"),
    ("september", "sept"),
    ("october", "oct"),
    ("november", "nov"),
    ("december", "dec"),
];
/// Said in full when their dot is there.
const SHORT: [(&str, &str); 34] = [
    ("prof", "Professor"),
    ("sr", "Senior"),
    ("jr", "Junior"),
    ("approx", "approximately"),
    ("dept", "department"),
    ("est", "established"),
    ("fig", "figure"),
    ("gen", "General"),
    ("gov", "Governor"),
    ("inc", "Incorporated"),
    ("ltd", "Limited"),
    ("rev", "Reverend"),
    ("sen", "Senator"),
    ("rep", "Representative"),
    ("capt", "Captain"),
    ("lt", "Lieutenant"),
    ("sgt", "Sergeant"),
    ("ave", "Avenue"),
    ("blvd", "Boulevard"),
    ("rd", "Road"),
    ("jan", "January"),
    ("feb", "February"),
    ("mar", "March"),
    ("apr", "April"),
    ("aug", "August"),
    ("sept", "September"),
    ("oct", "October"),
    ("nov", "November"),
    ("dec", "December"),
    ("mon", "Monday"),
    ("tue", "Tuesday"),
    ("wed", "Wednesday"),
    ("thu", "Thursday"),
    ("fri", "Friday"),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn said(text: &str) -> String {
        let words: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
        let said = normalise(&words);
        assert_eq!(said.len(), words.len());
        said.iter().map(|said| said.text.as_str()).filter(|text| !text.is_empty()).collect::<Vec<_>>().join(" ")
    }

    /// What is written, and what a person reads aloud.
    #[test]
    fn written_and_said() {
        for (written, expected) in [
            // plain words
            ("Hello, world!", "Hello world"),
            ("It's don’t ‘n’ “quoted”", "It's don't n quoted"),
            ("well-known up-to-date", "well known up to date"),
            ("(really) [so] *bold* _it_", "really so bold it"),
            ("and/or he/she", "and or he or she"),
            ("rock 'n' roll", "rock n roll"),
            ("café naïve", "café naïve"),
            // numbers
            ("0 7 13 42", "zero seven thirteen forty two"),
            (
                "100 1,234 1234567",
                "one hundred one thousand two hundred thirty four one million two hundred thirty four thousand five hundred sixty seven",
            ),
            ("3.14 0.5 .25", "three point one four zero point five point two five"),
            ("-5 -3.5 +7", "minus five minus three point five plus seven"),
            ("007 agents", "zero zero seven agents"),
            (
                "12345678901234567890",
                "one two three four five six seven eight nine zero one two three four five six seven eight nine zero",
            ),
            ("version 1.2.3", "version one point two point three"),
            ("#1 #win", "number one win"),
            ("3x 10k 2.5M", "three times ten thousand two point five million"),
            ("100+ people", "one hundred plus people"),
            ("COVID-19 B2B GPT4", "COVID nineteen B two B GPT four"),
            ("5%", "five percent"),
            ("3.5 %", "three point five percent"),
            ("-2%", "minus two percent"),
            ("100%!", "one hundred percent"),
            ("1/2 1/4 3/4 2/3 5/100", "one half one quarter three quarters two thirds five over one hundred"),
            ("24/7", "twenty four seven"),
            ("10-20 people", "ten to twenty people"),
            ("16:9", "sixteen nine"),
            // ordinals
            ("1st 2nd 3rd 4th 21st 100th", "first second third fourth twenty first one hundredth"),
            ("the 12th.", "the twelfth"),
            // money
            ("$5", "five dollars"),
            ("$1", "one dollar"),
            ("$1.50", "one dollar and fifty cents"),
            ("$0.99", "ninety nine cents"),
            ("$0.01", "one cent"),
            ("$1,234.56", "one thousand two hundred thirty four dollars and fifty six cents"),
            ("-$3.14", "minus three dollars and fourteen cents"),
            ("$-20", "minus twenty dollars"),
            ("$5 million", "five million dollars"),
            ("$2.5 billion,", "two point five billion dollars"),
            ("$10k", "ten thousand dollars"),
            ("$3.5M", "three point five million dollars"),
            ("$1.5", "one point five dollars"),
            ("€2.50", "two euros and fifty cents"),
            ("20€", "twenty euros"),
            ("£3.20", "three pounds and twenty pence"),
            ("¥500", "five hundred yen"),
            ("($7)", "seven dollars"),
            // dates
            ("2024-03-15", "march fifteenth twenty twenty four"),
            ("3/15/2024", "march fifteenth twenty twenty four"),
            ("July 4, 1999", "July fourth nineteen ninety nine"),
            ("July 4th, 2026", "July fourth twenty twenty six"),
            ("Jan. 5", "January fifth"),
            ("on 3 March", "on the third of March"),
            ("the 3 May", "the third of May"),
            ("in 1984", "in nineteen eighty four"),
            ("since 2005.", "since two thousand five"),
            ("March 2020", "March twenty twenty"),
            ("in 1900", "in nineteen hundred"),
            ("1066 AD", "ten sixty six AD"),
            ("1984 people", "one thousand nine hundred eighty four people"),
            ("in 1500 km", "in one thousand five hundred kilometers"),
            ("1990-1995", "nineteen ninety to nineteen ninety five"),
            ("the 1990s", "the nineteen nineties"),
            ("the '90s", "the nineties"),
            // times
            ("10:30", "ten thirty"),
            ("10:05", "ten oh five"),
            ("7:00", "seven o'clock"),
            ("7:00 pm", "seven PM"),
            ("7:30pm", "seven thirty PM"),
            ("5pm", "five PM"),
            ("9 am", "nine ay em"),
            ("9 a.m.", "nine ay em"),
            ("I am 9", "I am nine"),
            ("14:00 23:59", "fourteen hundred twenty three fifty nine"),
            ("9:00-17:30", "nine o'clock to seventeen thirty"),
            ("1:02:03", "one two three"),
            // abbreviations
            ("Dr. Smith", "Doctor Smith"),
            ("Mr. and Mrs. Jones", "Mister and Missus Jones"),
            ("Prof. Lee, Ph.D.", "Professor Lee P H D"),
            ("St. John on Main St.", "Saint John on Main Street"),
            ("e.g. apples, i.e. fruit, etc.", "for example apples that is fruit et cetera"),
            ("cats vs. dogs", "cats versus dogs"),
            ("No. 5 is no fun", "number five is no fun"),
            ("U.S. U.S.A.", "US USA"),
            ("w/ milk w/o sugar", "with milk without sugar"),
            ("NASA and AI", "NASA and AI"),
            ("approx. 5", "approximately five"),
            ("Visavis", "veezavee"),
            // units
            ("5 kg 1 kg", "five kilograms one kilogram"),
            ("5kg 10km", "five kilograms ten kilometers"),
            ("100 km/h", "one hundred kilometers per hour"),
            ("20°C -5°C 90°", "twenty degrees Celsius minus five degrees Celsius ninety degrees"),
            ("16GB 3.2GHz", "sixteen gigabytes three point two gigahertz"),
            ("30s 250ms", "thirty seconds two hundred fifty milliseconds"),
            ("in the m", "in the m"),
            // signs
            ("salt & pepper", "salt and pepper"),
            ("2 + 2 = 4", "two plus two equals four"),
            ("AT&T", "AT and T"),
            ("a@b.com", "a at b dot com"),
            ("example.com Node.js", "example dot com Node dot js"),
            ("3 < 5", "three less than five"),
            // telephone
            ("555-1234", "five five five one two three four"),
            ("1-800-555-0100", "one eight zero zero five five five zero one zero zero"),
            // not for the ear
            ("see https://example.com/a?b=c now", "see now"),
            ("www.example.org", ""),
            ("great 🎉 👩‍👩‍👧 job", "great job"),
            ("- -- — … ...", ""),
            ("* # |", ""),
            ("你好 Привет", ""),
            ("[[h@loU]]", "h at loU"),
        ] {
            assert_eq!(said(written), expected, "{written:?}");
        }
    }

    /// What the voice does behind a word: four marks, and none behind an abbreviation.
    #[test]
    fn marks_are_few() {
        for (word, mark) in [
            ("so.", Some('.')),
            ("so?!", Some('?')),
            ("so!\"", Some('!')),
            ("so,", Some(',')),
            ("so;", Some(',')),
            ("so:", Some(',')),
            ("so...", Some('.')),
            ("so…", Some('.')),
            ("—", Some(',')),
            ("Dr.", None),
            ("U.S.", None),
            ("so", None),
        ] {
            assert_eq!(normalise(&[word.to_owned()])[0].mark, mark, "{word}");
        }
    }

    /// Nothing that people type makes it panic, and nothing but letters, apostrophes and spaces comes out.
    #[test]
    fn any_input_is_said_somehow() {
        let parts = [
            "1", "0", "99", ",", ".", "$", "€", "-", "/", ":", "%", "a", "Dr", "pm", "°C", "s", "k", "(", "\"", "’",
            "é", "ß", "🎉", "\u{301}", "²", "٣",
        ];
        let mut random = fastrand::Rng::with_seed(11);
        for _ in 0..20_000 {
            let mut word = || (0..random.usize(1..7)).map(|_| parts[random.usize(..parts.len())]).collect::<String>();
            let words: Vec<String> = (0..3).map(|_| word()).collect();
            let said = normalise(&words);
            assert_eq!(said.len(), 3);
            for said in said {
                assert!(said.text.chars().all(|c| c.is_alphabetic() || c == '\'' || c == ' '), "{words:?}: {said:?}");
            }
        }
    }
}
