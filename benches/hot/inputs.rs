//! io: what the benches work on: a recorded sentence, the committed face, the phones of a spoken sentence

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use visavis::agent::flow::{PhoneTime, WordTime};
use visavis::face::asset::Face;
use visavis::face::gallery::Gallery;
use visavis::media::resample;
use visavis::media::sound::{FRAME, Frame};
use visavis::media::time::MediaTime;

pub struct Inputs {
    /// A sentence at 16 kHz, full scale ±1.0.
    pub speech: Vec<f32>,
    /// Where it is from, for the reader of the table.
    pub speech_is: &'static str,
    pub face: Arc<Face>,
    pub models: PathBuf,
}

/// One sentence as an agent says it: 17 words.
pub const SENTENCE: &str =
    "The museum on King Street opens at 9:30, tickets are $12.50, and Dr. Brown gives a tour at noon.";

/// What [`SENTENCE`] takes to say, at 160 words a minute.
pub const SENTENCE_LENGTH: Duration = Duration::from_millis(6_750);

/// One word at 160 words a minute.
pub const WORD_LENGTH: Duration = Duration::from_millis(375);

impl Inputs {
    pub fn load() -> Self {
        let models = visavis::config::models::folder();
        let recorded = hound::WavReader::open(models.join("speech/librivox-0880.wav")).ok().and_then(|mut wav| {
            wav.samples::<i16>().map(|sample| sample.ok().map(|sample| f32::from(sample) / 32_768.0)).collect()
        });
        let (speech, speech_is) = match recorded {
            Some(speech) => (speech, "a recorded sentence"),
            None => (vowels(), "a made vowel, because no recorded speech is here (script/models --tests)"),
        };
        let gallery = Gallery::embedded().expect("the committed face is whole");
        let face = gallery.get("theo").expect("the committed face is theo");
        Self { speech, speech_is, face, models }
    }

    /// How long the recording is.
    pub fn length(&self) -> Duration {
        Duration::from_secs_f64(self.speech.len() as f64 / 16_000.0)
    }

    /// The recording in frames of 20 ms at 24 kHz: what the encoder of a call gets.
    pub fn frames(&self) -> Vec<Frame> {
        let raised = resample::convert(&self.speech, 16_000, 24_000);
        raised.chunks_exact(FRAME).map(|chunk| chunk.try_into().expect("a chunk is as long as a frame")).collect()
    }

    pub fn model(&self, name: &str) -> Result<PathBuf, String> {
        let path = self.models.join(name);
        if path.exists() { Ok(path) } else { Err(format!("{name} is not in the models folder (script/models)")) }
    }
}

/// Phones at the rate of speech, twelve a second, from 0 to `until`.
pub fn phones(until: MediaTime) -> Vec<PhoneTime> {
    const SAID: [&str; 16] = ["ð", "ə", "m", "j", "uː", "z", "ˈiː", "ə", "m", "ˈɔ", "n", "k", "ˈɪ", "ŋ", "s", "t"];
    (0..until.as_ms() / 80)
        .map(|n| PhoneTime {
            ipa: SAID[n as usize % SAID.len()].to_owned(),
            start: MediaTime::from_ms(n * 80),
            stop: MediaTime::from_ms(n * 80 + 80),
        })
        .collect()
}

/// Words at the rate of speech, from 0 to `until`.
pub fn words(until: MediaTime) -> Vec<WordTime> {
    let each = WORD_LENGTH.as_millis() as u64;
    let said = SENTENCE.split(' ').cycle();
    (0..until.as_ms() / each)
        .zip(said)
        .map(|(n, text)| WordTime {
            text: text.to_owned(),
            start: MediaTime::from_ms(n * each),
            stop: MediaTime::from_ms(n * each + each - 40),
        })
        .collect()
}

/// Six seconds of something like a voice: harmonics of a gliding pitch under two formants, in syllables.
fn vowels() -> Vec<f32> {
    let mut phase = 0.0f32;
    let sample = |n: usize| {
        let t = n as f32 / 16_000.0;
        let f0 = 120.0 + 35.0 * (t * 5.1).sin();
        phase = (phase + f0 / 16_000.0).fract();
        let formants = [500.0 + 250.0 * (t * 9.0).sin(), 1_500.0 + 600.0 * (t * 6.3).sin()];
        let harmonic = |k: usize| {
            let gain: f32 = formants.iter().map(|f| 1.0 / (1.0 + ((f0 * k as f32 - f) / 120.0).powi(2))).sum();
            gain * (std::f32::consts::TAU * phase * k as f32).sin()
        };
        0.15 * (1..30).map(harmonic).sum::<f32>() * (0.55 + 0.45 * (t * 25.0).sin())
    };
    (0..96_000).map(sample).collect()
}
