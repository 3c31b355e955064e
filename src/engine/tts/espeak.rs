//! io: phonemes from `espeak-ng`, a program of its own that stays running
//!
//! It is GPL-3 and keeps global state, so it is never linked: it runs as a child, one line of text in, IPA out. A line may
//! be answered by several, so each request ends with a word of ours whose IPA was learnt at the start. A child that dies or
//! hangs costs one restart; the request that was in it is asked again.

use std::collections::HashMap;
use std::time::Duration;

use crate::engine::model::ModelError;
use crate::runtime::child::{ChildError, LineChild};

pub struct Espeak {
    voice: String,
    child: Option<Child>,
    known: HashMap<String, String>,
}

struct Child {
    lines: LineChild,
    /// What it says for [`SENTINEL`].
    sentinel: String,
}

impl Espeak {
    /// Starts the program with a voice (`en-us`), so that a missing one is known now and not at the first word.
    pub fn start(voice: &str) -> Result<Self, ModelError> {
        let mut espeak = Self { voice: voice.to_owned(), child: None, known: HashMap::new() };
        espeak.child().map_err(|error| match error {
            ChildError::Start { .. } => {
                ModelError::Failed(format!("{error}: install the Debian or Ubuntu package espeak-ng"))
            }
            error => ModelError::Failed(format!("espeak-ng with the voice {voice:?}: {error}")),
        })?;
        Ok(espeak)
    }

    /// The IPA of each text, words separated by spaces; empty for a text without a letter or digit. Texts have been
    /// normalised: letters, apostrophes and spaces.
    pub fn phonemes(&mut self, texts: &[&str]) -> Result<Vec<String>, ModelError> {
        let unknown: Vec<String> =
            texts.iter().filter(|text| !self.known.contains_key(**text)).map(|t| (*t).to_owned()).collect();
        if !unknown.is_empty() {
            let answers = self.ask(&unknown).or_else(|error| {
                tracing::warn!("espeak-ng is started again: {error}");
                self.child = None;
                self.ask(&unknown)
            });
            let answers = answers.map_err(|error| {
                self.child = None;
                ModelError::Failed(format!("espeak-ng: {error}"))
            })?;
            if self.known.len() + unknown.len() > MAX_KNOWN {
                self.known.clear();
            }
            self.known.extend(unknown.into_iter().zip(answers));
        }
        // A text that was forgotten by the line above to make room was asked for again with the unknown ones, or is asked now.
        texts.iter().map(|text| self.known.get(*text).cloned().map_or_else(|| self.one(text), Ok)).collect()
    }

    /// The child's process id, if it runs.
    pub fn child_id(&self) -> Option<u32> {
        self.child.as_ref().map(|child| child.lines.id())
    }

    fn one(&mut self, text: &str) -> Result<String, ModelError> {
        let answers =
            self.ask(&[text.to_owned()]).map_err(|error| ModelError::Failed(format!("espeak-ng: {error}")))?;
        Ok(answers.into_iter().next().unwrap_or_default())
    }

    fn ask(&mut self, texts: &[String]) -> Result<Vec<String>, ChildError> {
        let child = self.child()?;
        let mut answers = Vec::with_capacity(texts.len());
        // Few enough at a time that neither pipe can fill up.
        for batch in texts.chunks(BATCH) {
            let lines: String = batch.iter().map(|text| format!("{}\n{SENTINEL}\n", line(text))).collect();
            child.lines.write(&lines, ANSWER_LIMIT)?;
            for _ in batch {
                answers.push(child.answer()?);
            }
        }
        Ok(answers)
    }

    fn child(&mut self) -> Result<&mut Child, ChildError> {
        if self.child.is_none() {
            self.child = Some(Child::start(&self.voice)?);
        }
        Ok(self.child.as_mut().expect("it was put there above"))
    }
}

impl Child {
    fn start(voice: &str) -> Result<Self, ChildError> {
        let mut lines = LineChild::start(PROGRAM, &["-q", "--ipa", "-v", voice])?;
        lines.write(&format!("{SENTINEL}\n"), START_LIMIT)?;
        let sentinel = loop {
            let line = lines.read_line(START_LIMIT)?;
            if !line.trim().is_empty() {
                break line;
            }
        };
        Ok(Self { lines, sentinel })
    }

    /// What lies before the next sentinel, its lines joined.
    fn answer(&mut self) -> Result<String, ChildError> {
        let mut words: Vec<String> = Vec::new();
        loop {
            let line = self.lines.read_line(ANSWER_LIMIT)?;
            if line == self.sentinel {
                return Ok(words.join(" "));
            }
            words.extend(line.split_whitespace().map(str::to_owned));
        }
    }
}

/// One line, without what the program would take for commands (`[[phonemes]]`), and never our own word.
fn line(text: &str) -> String {
    let plain: String =
        text.chars().map(|c| if c.is_control() || "[]<>".contains(c) { ' ' } else { c }).take(MAX_LINE_CHARS).collect();
    if plain.to_lowercase().contains(SENTINEL) { String::new() } else { plain }
}

const PROGRAM: &str = "espeak-ng";
/// No word of any text.
const SENTINEL: &str = "kwizlefrumpit";
const BATCH: usize = 32;
/// The program reads lines into a buffer of about a thousand bytes.
const MAX_LINE_CHARS: usize = 400;
/// Measured: 18-47 ms.
const START_LIMIT: Duration = Duration::from_secs(5);
/// Measured: 0.5-2 ms for a clause.
const ANSWER_LIMIT: Duration = Duration::from_secs(2);
/// Words and clauses that are not asked for twice: a few MB.
const MAX_KNOWN: usize = 10_000;

#[cfg(test)]
mod tests {
    use super::*;

    /// Words, several at once, twice, and texts that have no sound at all.
    #[test]
    fn words_become_phonemes() {
        let mut espeak = Espeak::start("en-us").unwrap();
        assert_eq!(espeak.phonemes(&["hello", "", "...", "in the house"]).unwrap(), ["həlˈoʊ", "", "", "ɪnðə hˈaʊs"]);
        assert_eq!(espeak.phonemes(&["house", "hello"]).unwrap(), ["hˈaʊs", "həlˈoʊ"]);
    }

    /// Nothing in a text can break the protocol: not our own word, not the program's commands, not a new line.
    #[test]
    fn no_text_breaks_the_line() {
        let mut espeak = Espeak::start("en-us").unwrap();
        for text in [
            "kwizlefrumpit",
            "KwizleFrumpit",
            "[[hello",
            "a\nb",
            "<break/>",
            &"long ".repeat(900),
            "wait, what? no. yes",
        ] {
            espeak.phonemes(&[text]).unwrap();
            assert_eq!(espeak.phonemes(&[&format!("dog {}", text.len())]).unwrap().len(), 1);
            assert_eq!(espeak.ask(&["cat".into()]).unwrap(), ["kˈæt"], "after {text:?}");
        }
    }

    /// A child that was killed between or inside of requests is replaced, and the request is answered.
    #[test]
    fn a_killed_child_is_replaced() {
        let mut espeak = Espeak::start("en-us").unwrap();
        let first = espeak.child_id().unwrap();
        // SAFETY: the child is ours, and alive because we hold it.
        unsafe { libc::kill(first as i32, libc::SIGKILL) };
        assert_eq!(espeak.phonemes(&["dog"]).unwrap(), ["dˈɑːɡ"]);
        assert_ne!(espeak.child_id().unwrap(), first);
    }

    /// A voice that the program does not have is an error at the start.
    #[test]
    fn an_unknown_voice_is_an_error() {
        assert!(Espeak::start("xx-no-such-voice").is_err());
    }
}
