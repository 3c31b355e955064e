//! io: a Piper voice (VITS): an encoder that sees a clause at once, and a vocoder that is run in pieces
//!
//! In: a clause. Out: when its words and phones are heard, known before the first sound; then 24 kHz sound, the first
//! piece after about 60 ms of work. The two graphs and `config.json` are made by `script/convert/piper.py`.

use std::collections::HashMap;
use std::path::Path;

use ort::session::Session;
use ort::value::Tensor;
use serde::Deserialize;

use super::espeak::Espeak;
use super::normalise::normalise;
use super::phonemes::{groups, phones, sequence, symbols};
use super::words::{Symbol, word_times};
use crate::engine::model::{ClauseEnd, ClauseText, ModelError, Plan, Synthesizer};
use crate::media::resample::Polyphase;
use crate::onnx::{Onnx, OnnxError};

/// How a voice is used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PiperOptions {
    /// Without the random part of pitch and rhythm: the same text is the same sound. For tests.
    pub deterministic: bool,
}

/// The voice's folder in the models folder.
pub const PIPER_FOLDER: &str = "piper-en_US-joe-medium";

/// A loaded voice. Loading takes about 1.2 s of CPU time, nearly all of it the encoder's.
pub struct Piper {
    encoder: Session,
    vocoder: Session,
    espeak: Espeak,
    config: Config,
    ids: HashMap<char, i64>,
    options: PiperOptions,
}

/// `config.json`, as the converter writes it.
#[derive(Debug, Deserialize)]
struct Config {
    sample_rate: u32,
    /// Samples per frame.
    hop: usize,
    /// Frames on each side that the vocoder must see around a piece.
    context_frames: usize,
    espeak_voice: String,
    noise_scale: f32,
    length_scale: f32,
    noise_w: f32,
    ids: HashMap<char, i64>,
}

/// A clause between its encoder and its last sound.
pub struct PiperClause {
    /// `[channels, frames]`.
    latent: Vec<f32>,
    frames: usize,
    /// The next frame to sound, and where to stop: the silence at both ends is cut to what speech needs.
    next: usize,
    stop: usize,
    /// Frames of the next piece.
    piece: usize,
    resampler: Polyphase,
    given: u64,
    /// 24 kHz samples in all; what the voice does not fill is silence.
    length: u64,
}

impl Piper {
    /// Opens the voice in `folder` and starts its phonemiser.
    pub fn load(onnx: &Onnx, folder: &Path, options: PiperOptions) -> Result<Self, ModelError> {
        let path = folder.join("config.json");
        let text = std::fs::read(&path).map_err(|error| failed(&format!("cannot read {}", path.display()), error))?;
        let mut config: Config = serde_json::from_slice(&text)
            .map_err(|error| failed(&format!("cannot understand {}", path.display()), error))?;
        Ok(Self {
            espeak: Espeak::start(&config.espeak_voice)?,
            encoder: onnx.session(&folder.join("enc.onnx")).map_err(|error| failed("opening the encoder", error))?,
            vocoder: onnx.session(&folder.join("dec.onnx")).map_err(|error| failed("opening the vocoder", error))?,
            ids: std::mem::take(&mut config.ids),
            config,
            options,
        })
    }

    /// The phonemiser's process id, if it runs.
    pub fn phonemiser(&self) -> Option<u32> {
        self.espeak.child_id()
    }

    /// `z` and the frames of every id.
    fn encode(&mut self, ids: Vec<i64>, speed: f32) -> Result<(Vec<f32>, usize, Vec<usize>), OnnxError> {
        let noise = if self.options.deterministic { 0.0 } else { 1.0 };
        let Config { noise_scale, length_scale, noise_w, .. } = self.config;
        let scales = vec![noise_scale * noise, length_scale / speed.clamp(0.25, 4.0), noise_w * noise];
        let count = ids.len();
        let outputs = self.encoder.run(ort::inputs! {
            "input" => Tensor::from_array(([1, count], ids))?,
            "input_lengths" => Tensor::from_array(([1], vec![count as i64]))?,
            "scales" => Tensor::from_array(([3], scales))?,
        })?;
        let (shape, latent) = outputs["z"].try_extract_tensor::<f32>()?;
        let (_, durations) = outputs["durations"].try_extract_tensor::<f32>()?;
        let frames = shape[2] as usize;
        Ok((latent.to_vec(), frames, durations.iter().map(|frames| *frames as usize).collect()))
    }

    /// The sound of the frames `from..to`, at the voice's own rate.
    fn vocode(&mut self, clause: &PiperClause, from: usize, to: usize) -> Result<Vec<f32>, OnnxError> {
        let (context, hop) = (self.config.context_frames, self.config.hop);
        let (low, high) = (from.saturating_sub(context), (to + context).min(clause.frames));
        let channels = clause.latent.len() / clause.frames.max(1);
        let mut window = Vec::with_capacity(channels * (high - low));
        for row in clause.latent.chunks_exact(clause.frames) {
            window.extend_from_slice(&row[low..high]);
        }
        let outputs =
            self.vocoder.run(ort::inputs! { "z" => Tensor::from_array(([1, channels, high - low], window))? })?;
        let (_, sound) = outputs["audio"].try_extract_tensor::<f32>()?;
        sound
            .get((from - low) * hop..(to - low) * hop)
            .map(<[f32]>::to_vec)
            .ok_or_else(|| OnnxError::Run(format!("{} samples for {} frames", sound.len(), high - low)))
    }

    /// 24 kHz samples of so many frames.
    fn at_24_khz(&self, frames: usize) -> u64 {
        (frames as u64 * self.config.hop as u64 * 24_000).div_ceil(u64::from(self.config.sample_rate))
    }

    /// The heard span of every symbol, on the clause's timeline, which begins with frame `begin`. A symbol owns the pad
    /// behind it.
    fn timed(&self, line: &[char], durations: &[usize], begin: usize) -> Vec<Symbol> {
        let mut frame = durations[..2].iter().sum::<usize>();
        let at = |frame: usize| self.at_24_khz(frame.saturating_sub(begin));
        line.iter()
            .zip(durations[2..].chunks(2))
            .map(|(letter, own)| {
                let start = frame;
                frame += own.iter().sum::<usize>();
                Symbol { letter: *letter, start: at(start), stop: at(frame) }
            })
            .collect()
    }
}

impl Synthesizer for Piper {
    type Clause = PiperClause;

    fn plan(&mut self, clause: &ClauseText) -> Result<Plan<PiperClause>, ModelError> {
        let said = normalise(&clause.words);
        let groups = groups(&said, clause.end);
        let texts: Vec<&str> =
            groups.iter().map(|group| group.text.as_str()).chain(said.iter().map(|word| word.text.as_str())).collect();
        let mut ipa = self.espeak.phonemes(&texts)?;
        let own = ipa.split_off(groups.len());
        let line = symbols(&groups, &ipa, &self.ids);
        // Only the mark at its end: nothing that can be said.
        if line.len() < 2 {
            return Ok(Plan { words: vec![(0, 0); said.len()], phones: vec![], length: 0, clause: self.silence() });
        }
        let ids = sequence(&line, &self.ids).ok_or_else(|| ModelError::Failed("the voice has no ^, _ and $".into()))?;
        let expected = ids.len();
        let (latent, frames, durations) =
            self.encode(ids, clause.speed).map_err(|error| failed("encoding a clause", error))?;
        if durations.len() != expected || durations.iter().sum::<usize>() != frames || frames == 0 {
            return Err(ModelError::Failed(format!(
                "{} durations for {expected} ids and {frames} frames",
                durations.len()
            )));
        }
        let next = durations[..2].iter().sum::<usize>().min(LEAD_FRAMES);
        let mark_from = frames - durations[durations.len() - 3..].iter().sum::<usize>();
        let stop = match clause.end {
            ClauseEnd::Open => (mark_from + 1).clamp(next, frames),
            _ => frames,
        };
        let pause = if clause.end == ClauseEnd::Sentence { SENTENCE_PAUSE } else { 0 };
        let length = self.at_24_khz(stop - next) + pause;
        let heard = self.timed(&line, &durations, next);
        let clip = |(start, stop): (u64, u64)| (start.min(length), stop.min(length));
        let words = word_times(&heard[..heard.len() - 1], &own).into_iter().map(clip).collect();
        let phones = phones(&heard)
            .into_iter()
            .map(|(start, stop, ipa)| (start.min(length), stop.min(length), ipa))
            .filter(|(start, stop, _)| start < stop)
            .collect();
        let piece = if clause.first { FIRST_PIECE } else { PIECE };
        let resampler = Polyphase::new(self.config.sample_rate, 24_000);
        let clause = PiperClause { latent, frames, next, stop, piece, resampler, given: 0, length };
        Ok(Plan { words, phones, length, clause })
    }

    fn sound(&mut self, clause: &mut PiperClause) -> Result<Option<Vec<f32>>, ModelError> {
        if clause.given == clause.length {
            return Ok(None);
        }
        let (from, to) = (clause.next, (clause.next + clause.piece).min(clause.stop));
        let mut out = Vec::with_capacity((to - from) * self.config.hop * 11 / 10 + SENTENCE_PAUSE as usize);
        if from < to {
            let mut sound = self.vocode(clause, from, to).map_err(|error| failed("making sound", error))?;
            // Clauses begin and end in silence; this makes sure of it where a clause was cut.
            if clause.given == 0 {
                sound.iter_mut().take(FADE).enumerate().for_each(|(n, sample)| *sample *= n as f32 / FADE as f32);
            }
            if to == clause.stop {
                sound.iter_mut().rev().take(FADE).enumerate().for_each(|(n, sample)| *sample *= n as f32 / FADE as f32);
            }
            clause.resampler.process(&sound, &mut out);
        }
        clause.next = to;
        clause.piece = (clause.piece * 2).min(PIECE);
        if to == clause.stop {
            clause.resampler.flush(&mut out);
            out.resize((clause.length - clause.given) as usize, 0.0);
        }
        clause.given += out.len() as u64;
        Ok(Some(out))
    }
}

impl Piper {
    fn silence(&self) -> PiperClause {
        let resampler = Polyphase::new(self.config.sample_rate, 24_000);
        PiperClause { latent: vec![], frames: 0, next: 0, stop: 0, piece: PIECE, resampler, given: 0, length: 0 }
    }
}

fn failed(what: &str, error: impl std::fmt::Display) -> ModelError {
    ModelError::Failed(format!("{what}: {error}"))
}

/// 186 ms of sound after about 20 ms of vocoding: somebody waits for it.
const FIRST_PIECE: usize = 16;
/// 743 ms: the context of ten frames on both sides costs a third more, and other streams wait some 60 ms.
const PIECE: usize = 64;
/// The voice begins with four or five silent frames (46-58 ms), those of `^` and its pad; without three of them it answers
/// 35 ms earlier and sounds the same.
const LEAD_FRAMES: usize = 3;
/// What this voice pauses by itself between sentences, about 200 ms, is hurried in a conversation: 150 ms more.
const SENTENCE_PAUSE: u64 = 3_600;
/// 3 ms at the voice's rate.
const FADE: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::sound::rms;
    use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

    /// One voice for all tests: loading costs more than speaking.
    fn voice() -> MutexGuard<'static, Piper> {
        static VOICE: LazyLock<Mutex<Piper>> = LazyLock::new(|| {
            let models = crate::config::models::folder();
            let onnx = Onnx::open(None, &models).expect("ONNX Runtime lies in the models folder");
            let folder = models.join("piper-en_US-joe-medium");
            Mutex::new(Piper::load(&onnx, &folder, PiperOptions { deterministic: true }).unwrap())
        });
        VOICE.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn clause(text: &str, end: ClauseEnd) -> ClauseText {
        ClauseText { words: text.split(' ').map(str::to_owned).collect(), end, speed: 1.0, first: true }
    }

    fn speak(voice: &mut Piper, clause: &ClauseText) -> (Plan<()>, Vec<Vec<f32>>) {
        let mut plan = voice.plan(clause).unwrap();
        let mut pieces = vec![];
        while let Some(piece) = voice.sound(&mut plan.clause).unwrap() {
            pieces.push(piece);
        }
        (Plan { words: plan.words, phones: plan.phones, length: plan.length, clause: () }, pieces)
    }

    /// Sound in pieces is the sound of one run, sample for sample, and as long as it was promised to be.
    #[test]
    fn pieces_make_the_whole() {
        let mut voice = voice();
        let text = clause("The quick brown fox jumps over the dog.", ClauseEnd::Last);
        let (plan, pieces) = speak(&mut voice, &text);
        assert!(pieces.len() >= 4 && pieces[0].len() < 4_800, "{:?}", pieces.iter().map(Vec::len).collect::<Vec<_>>());
        let heard = pieces.concat();
        assert_eq!(heard.len() as u64, plan.length);

        let mut whole = voice.plan(&text).unwrap();
        whole.clause.piece = usize::MAX / 2;
        let whole = voice.sound(&mut whole.clause).unwrap().unwrap();
        assert_eq!(whole.len(), heard.len());
        let worst = whole.iter().zip(&heard).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(worst < 1e-4, "off by {worst}");
    }

    /// Words and phones are where the sound is: voiced inside of words, silent in the pause of a comma, and all in order.
    #[test]
    fn times_fit_the_sound() {
        let mut voice = voice();
        let (plan, pieces) = speak(&mut voice, &clause("Dr. Smith, in the house, has $5.", ClauseEnd::Last));
        let heard = pieces.concat();
        assert_eq!(plan.words.len(), 7);
        assert!(plan.words.windows(2).all(|pair| pair[0].1 <= pair[1].0 && pair[0].0 < pair[0].1), "{:?}", plan.words);
        for (start, stop) in &plan.words {
            assert!(rms(&heard[*start as usize..*stop as usize]) > 0.01, "{start}..{stop}");
        }
        assert!(plan.phones.windows(2).all(|pair| pair[0].1 <= pair[1].0));
        let pauses: Vec<_> = plan.phones.iter().filter(|(.., ipa)| ipa == ",").collect();
        assert_eq!(pauses.len(), 2);
        let (start, stop, _) = pauses[0];
        let middle = (start + stop) as usize / 2;
        assert!(rms(&heard[middle..middle + 240]) < 0.01, "the comma is silent");
        assert!(plan.phones.iter().any(|(.., ipa)| ipa.starts_with('ˈ')));
    }

    /// Clauses join without a click: both ends are silence, also where a sentence was cut because it is long, and there the
    /// silence is short.
    #[test]
    fn clauses_join_without_a_click() {
        let mut voice = voice();
        for end in [ClauseEnd::Open, ClauseEnd::Comma, ClauseEnd::Sentence, ClauseEnd::Last] {
            let (plan, pieces) = speak(&mut voice, &clause("one of the very many things that we", end));
            let heard = pieces.concat();
            let edge = heard[..48].iter().chain(&heard[heard.len() - 48..]).fold(0.0f32, |max, s| max.max(s.abs()));
            assert!(edge < 0.003, "{end:?}: {edge}");
            let silence = heard.rchunks(240).take_while(|piece| rms(piece) < 0.004).count() * 10;
            let expected = match end {
                ClauseEnd::Open => 0..120,
                ClauseEnd::Sentence => 220..500,
                _ => 80..350,
            };
            assert!(expected.contains(&silence), "{end:?}: {silence} ms of silence");
            assert!(plan.length > 24_000);
        }
    }

    /// Speed is the voice's own trade: the same words in less time.
    #[test]
    fn speed_shortens() {
        let mut voice = voice();
        let text = clause("a sentence of some length to say", ClauseEnd::Last);
        let normal = voice.plan(&text).unwrap().length as f32;
        let fast = voice.plan(&ClauseText { speed: 1.5, ..text }).unwrap().length as f32;
        assert!((1.25..1.7).contains(&(normal / fast)), "{}", normal / fast);
    }

    /// What has no sound takes no time, and a phonemiser that dies in the middle costs nothing but its restart.
    #[test]
    fn silence_and_a_dead_phonemiser() {
        let mut voice = voice();
        let (plan, pieces) = speak(&mut voice, &clause("🎉 —", ClauseEnd::Last));
        assert_eq!((plan.words, plan.length, pieces.len()), (vec![(0, 0); 2], 0, 0));
        let child = voice.phonemiser().unwrap();
        // SAFETY: the child is ours, and alive because the voice holds it.
        unsafe { libc::kill(child as i32, libc::SIGKILL) };
        let (plan, _) = speak(&mut voice, &clause("still here", ClauseEnd::Last));
        assert!(plan.length > 12_000);
    }
}
