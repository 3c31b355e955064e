//! task: a voice of known times: every letter hums for 60 ms
//!
//! Words, phones and sound are arithmetic, so a test knows what must be heard when. The hum is voiced while a letter
//! sounds and silent between words, so mouths and voice detectors can be judged by it.

use std::f32::consts::TAU;
use std::future::Future;
use std::pin::Pin;
use std::time::{Duration, Instant};

use crate::engine::model::{ClauseEnd, ClauseText, ModelError, Plan};
use crate::engine::tts::{Sounding, Speaker};
use crate::runtime::clock;

/// How the scripted voice behaves.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Script {
    /// From a clause being known to its first sound, for the first clause of a stream.
    pub first_sound_after: Duration,
    /// How much faster than real time sound is made; 0 = at once.
    pub times_real_time: f32,
}

impl Default for Script {
    fn default() -> Self {
        Self { first_sound_after: Duration::from_millis(60), times_real_time: 8.0 }
    }
}

type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, ModelError>> + Send + 'a>>;

impl Speaker for Script {
    fn plan(&self, _due: Instant, clause: ClauseText) -> Answer<'_, Plan<Box<dyn Sounding>>> {
        let script = *self;
        Box::pin(async move {
            if clause.first {
                clock::sleep(script.first_sound_after).await;
            }
            let (words, phones, length) = plan(&clause);
            let hum = Hum { phones: phones.clone(), at: 0, length, script };
            Ok(Plan { words, phones, length, clause: Box::new(hum) as _ })
        })
    }
}

/// `(start, stop)` of each word, `(start, stop, IPA)` of each letter, and the length: all in 24 kHz samples.
fn plan(clause: &ClauseText) -> (Vec<(u64, u64)>, Vec<(u64, u64, String)>, u64) {
    let letter = (LETTER as f32 / clause.speed.clamp(0.25, 4.0)) as u64;
    let (mut words, mut phones, mut at) = (vec![], vec![], 0);
    for word in &clause.words {
        let start = at;
        for c in word.chars().filter(|c| c.is_alphanumeric()) {
            phones.push((at, at + letter, ipa(c).to_owned()));
            at += letter;
        }
        words.push((start, at));
        at += if at > start { GAP } else { 0 };
    }
    at += match clause.end {
        ClauseEnd::Sentence => SENTENCE_PAUSE,
        ClauseEnd::Comma => COMMA_PAUSE,
        ClauseEnd::Open | ClauseEnd::Last => 0,
    };
    (words, phones, at)
}

struct Hum {
    phones: Vec<(u64, u64, String)>,
    at: u64,
    length: u64,
    script: Script,
}

impl Sounding for Hum {
    fn next(&mut self, _due: Instant) -> Answer<'_, Option<Vec<f32>>> {
        Box::pin(async move {
            let samples = (self.length - self.at).min(PIECE);
            if samples == 0 {
                return Ok(None);
            }
            if self.script.times_real_time > 0.0 {
                let lasts = samples as f32 / RATE;
                clock::sleep(Duration::from_secs_f32(lasts / self.script.times_real_time)).await;
            }
            let pcm = (self.at..self.at + samples).map(|n| self.sample(n)).collect();
            self.at += samples;
            Ok(Some(pcm))
        })
    }
}

impl Hum {
    fn sample(&self, n: u64) -> f32 {
        let next = self.phones.partition_point(|(start, _, _)| *start <= n);
        let Some((start, stop, ipa)) = next.checked_sub(1).map(|at| &self.phones[at]) else { return 0.0 };
        if n >= *stop {
            return 0.0;
        }
        // 5 ms of fade at both ends: no clicks, and every letter is a syllable of its own.
        let edge = (n - start + 1).min(stop - n) as f32 / EDGE;
        let pitch = 110.0 + 10.0 * (ipa.chars().next().map_or(0, |c| c as u32) % 8) as f32;
        let phase = (n - start) as f32 * pitch / RATE;
        // Three harmonics, falling: more like a throat than like a whistle.
        let hum = (phase * TAU).sin() + 0.5 * (phase * 2.0 * TAU).sin() + 0.25 * (phase * 3.0 * TAU).sin();
        0.2 * hum * edge.min(1.0)
    }
}

/// The phone that a letter stands for, roughly: enough to move lips by.
fn ipa(letter: char) -> &'static str {
    match letter.to_ascii_lowercase() {
        'a' => "æ",
        'b' => "b",
        'c' | 'k' | 'q' => "k",
        'd' => "d",
        'e' => "ɛ",
        'f' => "f",
        'g' => "ɡ",
        'h' => "h",
        'i' => "ɪ",
        'j' => "dʒ",
        'l' => "l",
        'm' => "m",
        'n' => "n",
        'o' => "oʊ",
        'p' => "p",
        'r' => "ɹ",
        's' | 'x' => "s",
        't' => "t",
        'u' => "uː",
        'v' => "v",
        'w' => "w",
        'y' => "i",
        'z' => "z",
        _ => "ə",
    }
}

const RATE: f32 = 24_000.0;
/// 60 ms for a letter.
pub const LETTER: u64 = 1_440;
/// 60 ms between words.
pub const GAP: u64 = 1_440;
const SENTENCE_PAUSE: u64 = 6_000;
const COMMA_PAUSE: u64 = 3_000;
/// 80 ms at a time.
const PIECE: u64 = 1_920;
const EDGE: f32 = 120.0;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::tts::{TtsEngine, Voiced};
    use crate::media::sound::rms;

    async fn speak(engine: &TtsEngine, text: &str) -> (Vec<(String, u64, u64)>, Vec<(u64, u64, String)>, Vec<f32>) {
        let mut stream = engine.open(1.0).expect("a seat is free");
        stream.text(text);
        stream.finish();
        let (mut words, mut phones, mut pcm) = (vec![], vec![], vec![]);
        while let Some(spoken) = stream.next().await.expect("a script does not fail") {
            match spoken {
                Voiced::Word { text, start, stop } => words.push((text, start, stop)),
                Voiced::Phones(spans) => phones.extend(spans),
                Voiced::Sound(piece) => pcm.extend(piece),
            }
        }
        assert!(stream.is_over());
        (words, phones, pcm)
    }

    /// The times are arithmetic: 60 ms a letter, 60 ms a gap; sound where a phone is, silence where none is.
    #[tokio::test(start_paused = true)]
    async fn times_are_known_beforehand() {
        let engine = TtsEngine::new(Script::default(), 1);
        let (words, phones, pcm) = speak(&engine, "Hi Ann. <break time=\"0.1s\"/> Go").await;
        assert_eq!(words[0], ("Hi".into(), 0, 2 * LETTER));
        assert_eq!(words[1], ("Ann.".into(), 3 * LETTER, 6 * LETTER));
        assert_eq!(words[2], (String::new(), 7 * LETTER, 7 * LETTER + 2_400));
        assert_eq!(words[3].1, 7 * LETTER + 2_400);
        assert_eq!(phones.len(), 7);
        for (start, stop, ipa) in &phones {
            assert!(rms(&pcm[*start as usize + 200..*stop as usize - 200]) > 0.1, "{ipa} sounds");
        }
        assert!(rms(&pcm[words[0].2 as usize..words[1].1 as usize]) < 1e-6, "a gap is silent");
        assert_eq!(pcm.len() as u64, 7 * LETTER + 2_400 + 3 * LETTER);
    }

    /// The first sound is late by what the script says, and the rest comes at its speed, on the virtual clock.
    #[tokio::test(start_paused = true)]
    async fn delays_are_as_scripted() {
        let engine = TtsEngine::new(Script { first_sound_after: Duration::from_millis(300), times_real_time: 4.0 }, 1);
        let began = clock::now();
        let (_, _, pcm) = speak(&engine, "one two three four").await;
        let took = (clock::now() - began).as_secs_f32();
        let expected = 0.3 + pcm.len() as f32 / RATE / 4.0;
        assert!((took - expected).abs() < 0.05, "{took} s instead of {expected} s");
    }
}
