//! core: a recognizer that reads from a script instead of listening

use crate::engine::model::{ModelError, Recognizer, Spoken, SpokenWord, Transcript};

/// Hears in each caller's turn n the line n of its script, whatever is said, over and over. While the turn goes on it has
/// heard as many words as fit into its length at [`WORDS_PER_SECOND`]; asked for good, it has heard all of them.
#[derive(Clone, Debug)]
pub struct ScriptedRecognizer {
    script: Vec<String>,
}

impl ScriptedRecognizer {
    /// An empty script hears one `hello` per turn.
    pub fn new(script: impl IntoIterator<Item = impl Into<String>>) -> Self {
        let mut script: Vec<String> = script.into_iter().map(Into::into).collect();
        if script.is_empty() {
            script.push("hello".to_owned());
        }
        Self { script }
    }
}

impl Recognizer for ScriptedRecognizer {
    fn transcribe(&mut self, spoken: &Spoken, _wanted: &dyn Fn() -> bool) -> Result<Transcript, ModelError> {
        let line = &self.script[(spoken.turn % self.script.len() as u64) as usize];
        let heard_s = spoken.pcm.len() as f64 / 16_000.0;
        let words: Vec<&str> = line.split_whitespace().collect();
        let so_far = if spoken.last_word { words.len() } else { (heard_s * WORDS_PER_SECOND) as usize };
        let each_s = heard_s / words.len().max(1) as f64;
        let words = words.into_iter().take(so_far).enumerate().map(|(at, text)| SpokenWord {
            text: text.to_owned(),
            start_s: at as f64 * each_s,
            stop_s: (at + 1) as f64 * each_s,
        });
        Ok(Transcript { words: words.collect(), doubtful: false })
    }
}

/// As people speak.
const WORDS_PER_SECOND: f64 = 2.5;

#[cfg(test)]
mod tests {
    use super::*;

    /// The same sound in the same turn is always the same words; partials are beginnings of finals.
    #[test]
    fn partials_begin_the_final() {
        let mut recognizer = ScriptedRecognizer::new(["one two three four five", "six"]);
        let mut heard = |seconds: usize, turn, last_word| {
            let spoken = Spoken { pcm: vec![0.1; 16_000 * seconds], turn, last_word };
            let transcript = recognizer.transcribe(&spoken, &|| true).unwrap();
            transcript.words.into_iter().map(|word| word.text).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(heard(1, 0, false), "one two");
        assert_eq!(heard(1, 0, true), "one two three four five");
        assert_eq!(heard(9, 0, false), "one two three four five");
        assert_eq!(heard(1, 1, true), "six");
        assert_eq!(heard(1, 2, true), "one two three four five");
    }
}
