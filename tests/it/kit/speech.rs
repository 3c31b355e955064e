//! data: the recorded speech that tests talk with, and how far a transcript is from what was said

use std::path::PathBuf;

use serde::Deserialize;
use visavis::engine::tts::numbers::{cardinal, digits};

/// One recording of the `speech` folder: 16 kHz mono.
#[derive(Clone, Debug, Deserialize)]
pub struct Clip {
    pub file: String,
    pub text: String,
    /// `phrases`: single sentences and commands. `long`: up to the whole passage.
    pub set: String,
}

impl Clip {
    /// The whole file, header and all.
    pub fn bytes(&self) -> Vec<u8> {
        let path = folder().join(&self.file);
        std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    /// Full scale ±1.0.
    pub fn samples(&self) -> Vec<f32> {
        let path = folder().join(&self.file);
        let mut wav = hound::WavReader::open(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        assert_eq!((wav.spec().sample_rate, wav.spec().channels), (16_000, 1), "{}", path.display());
        wav.samples::<i16>().map(|sample| f32::from(sample.expect("a whole file")) / 32_768.0).collect()
    }
}

/// All recordings.
pub fn clips() -> Vec<Clip> {
    let path = folder().join("transcripts.json");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).expect("the converter writes it")
}

/// The recording called `file`.
pub fn clip(file: &str) -> Clip {
    clips().into_iter().find(|clip| clip.file == file).unwrap_or_else(|| panic!("no recording is called {file}"))
}

/// Where `script/test` has put the models.
pub fn models() -> PathBuf {
    visavis::config::models::folder()
}

fn folder() -> PathBuf {
    models().join("speech")
}

/// Words to get wrong, and how many were: substituted, left out or put in.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct WordErrors {
    pub errors: usize,
    pub words: usize,
}

impl WordErrors {
    /// Between what was said and what was heard, both made plain: lower case, no punctuation, numbers as words.
    pub fn between(said: &str, heard: &str) -> Self {
        let (said, heard) = (plain(said), plain(heard));
        let mut row: Vec<usize> = (0..=heard.len()).collect();
        for (at, word) in said.iter().enumerate() {
            let mut diagonal = std::mem::replace(&mut row[0], at + 1);
            for (to, other) in heard.iter().enumerate() {
                let cost = diagonal + usize::from(word != other);
                diagonal = row[to + 1];
                row[to + 1] = cost.min(diagonal + 1).min(row[to] + 1);
            }
        }
        Self { errors: row[heard.len()], words: said.len() }
    }

    /// Word error rate: errors per word said.
    pub fn rate(self) -> f64 {
        self.errors as f64 / self.words.max(1) as f64
    }
}

impl std::ops::AddAssign for WordErrors {
    fn add_assign(&mut self, other: Self) {
        self.errors += other.errors;
        self.words += other.words;
    }
}

/// The words of `text` in a form in which two ways of writing them are the same.
pub fn plain(text: &str) -> Vec<String> {
    text.to_lowercase()
        .replace('\u{2019}', "'")
        .split(|c: char| !(c.is_alphanumeric() || c == '\''))
        .map(|word| word.trim_matches('\''))
        .filter(|word| !word.is_empty())
        .flat_map(|word| match word {
            "mr" => vec!["mister".to_owned()],
            "mrs" => vec!["missus".to_owned()],
            "dr" => vec!["doctor".to_owned()],
            "ok" => vec!["okay".to_owned()],
            number if number.bytes().all(|byte| byte.is_ascii_digit()) => spoken_number(number),
            word => vec![word.to_owned()],
        })
        .collect()
}

/// `42` → forty two; whatever is longer than three digits is read digit by digit.
fn spoken_number(text: &str) -> Vec<String> {
    let said = match text.parse() {
        Ok(number) if text.len() <= 3 => cardinal(number),
        _ => digits(text),
    };
    said.split(' ').map(str::to_owned).collect()
}

#[test]
fn errors_are_counted() {
    for (said, heard, errors, words) in [
        ("it was the best of times", "It was the best of times.", 0, 6),
        ("ten of clubs", "10 of clubs", 0, 3),
        ("four queen of clubs", "4. Queen of clothes", 1, 4),
        ("mister john dashwood", "Mr. John Dash wood", 2, 3),
        ("one hundred forty two", "142", 0, 4),
        ("hello there", "", 2, 2),
        ("hello", "well hello there", 2, 1),
        ("ill disposed", "ill-disposed", 0, 2),
    ] {
        assert_eq!(WordErrors::between(said, heard), WordErrors { errors, words }, "{said} / {heard}");
    }
}
