//! io: Whisper tiny.en as two int8 graphs: sound in, words with their times out
//!
//! The encoder is given the speech and 0.2 s more instead of 30 s, which costs in proportion; [`super::gate`] keeps the
//! decoder from going astray for it. When it went astray all the same and the words are wanted for good, the whole window
//! is tried once, at ten times the price.

use std::borrow::Cow;
use std::path::Path;

use ort::session::{Session, SessionInputValue};
use ort::value::{DynValue, Tensor};
use serde::Deserialize;

use super::gate::{Gate, Proposal, Reason, Taken, Verdict, Window};
use super::mel::{BANDS, HOP, LogMel};
use super::vocabulary::Vocabulary;
use crate::engine::model::{ModelError, Recognizer, Spoken, SpokenWord, Transcript};
use crate::onnx::{Onnx, OnnxError};

/// The model's folder in the models folder: `enc.int8.onnx`, `dec.int8.onnx`, `config.json`, `vocabulary.txt`.
pub const WHISPER_FOLDER: &str = "whisper-tiny.en";

pub struct Whisper {
    encoder: Session,
    decoder: Session,
    mel: LogMel,
    vocabulary: Vocabulary,
    /// Tokens that are never chosen (noises, music, brackets), and those not chosen first.
    suppressed: Vec<bool>,
    suppressed_first: Vec<usize>,
    /// Shape of one layer's keys, `[1, heads, past, per head]`, and how many layers there are.
    heads: usize,
    per_head: usize,
    names: Vec<LayerNames>,
}

/// What the graphs call the tensors of one decoder layer.
struct LayerNames {
    past: [String; 2],
    present: [String; 2],
    cross: [String; 2],
}

/// What `config.json` says.
#[derive(Deserialize)]
struct Config {
    suppress_ids: Vec<usize>,
    suppress_ids_begin: Vec<usize>,
}

/// How one decoding went.
#[derive(Clone, Debug)]
pub struct Decoding {
    pub tokens: Vec<Taken>,
    pub reason: Reason,
    pub trusted: bool,
}

impl Whisper {
    /// Opens the model in `folder` and runs it once, so that the first caller finds it warm.
    pub fn open(onnx: &Onnx, folder: &Path) -> Result<Self, OnnxError> {
        let failed = |name: &str, reason: String| OnnxError::Model { path: folder.join(name), reason };
        let text = std::fs::read_to_string(folder.join("config.json"))
            .map_err(|error| failed("config.json", error.to_string()))?;
        let config: Config = serde_json::from_str(&text).map_err(|error| failed("config.json", error.to_string()))?;
        let vocabulary =
            Vocabulary::read(&folder.join("vocabulary.txt")).map_err(|reason| failed("vocabulary.txt", reason))?;
        let encoder = onnx.session(&folder.join("enc.int8.onnx"))?;
        let decoder = onnx.session(&folder.join("dec.int8.onnx"))?;
        let shape = decoder
            .inputs()
            .iter()
            .find(|input| input.name() == "past_k_0")
            .and_then(|input| input.dtype().tensor_shape().map(|shape| shape.to_vec()));
        let Some(&[_, heads, _, per_head]) = shape.as_deref() else {
            return Err(failed("dec.int8.onnx", "it has no input past_k_0 [1, heads, past, width]".to_owned()));
        };
        let layers = decoder.inputs().iter().filter(|input| input.name().starts_with("past_k_")).count();
        let mut suppressed = vec![false; vocabulary.end + 1];
        for token in config.suppress_ids {
            if let Some(entry) = suppressed.get_mut(token) {
                *entry = true;
            }
        }
        let mut whisper = Self {
            encoder,
            decoder,
            mel: LogMel::new(),
            vocabulary,
            suppressed,
            suppressed_first: config.suppress_ids_begin,
            heads: heads as usize,
            per_head: per_head as usize,
            names: (0..layers).map(LayerNames::new).collect(),
        };
        whisper.decode(&[0.0; 16_000], Window::Speech, &|| true).map_err(|error| OnnxError::Run(error.to_string()))?;
        Ok(whisper)
    }

    /// Decodes `pcm` (16 kHz, 30 s at most; what is longer is cut off) once.
    pub fn decode(&mut self, pcm: &[f32], window: Window, wanted: &dyn Fn() -> bool) -> Result<Decoding, ModelError> {
        let pcm = &pcm[..pcm.len().min(FULL_FRAMES * HOP)];
        // The encoder halves the frames, so they are even.
        let frames = match window {
            Window::Speech => ((pcm.len() + TAIL) / HOP).next_multiple_of(2).min(FULL_FRAMES),
            Window::Full => FULL_FRAMES,
        };
        let cross = self.encode(pcm, frames)?;
        let mut gate = Gate::new(pcm.len() / (2 * HOP), window);
        let mut tokens = self.vocabulary.prompt.to_vec();
        let mut past = self.nothing_past()?;
        loop {
            if !wanted() {
                return Err(ModelError::Unwanted);
            }
            let proposal = self.step(&tokens, &mut past, &cross, past_is_prompt(&tokens))?;
            let token = proposal.token;
            if let Verdict::Stop(reason) = gate.propose(proposal) {
                let (tokens, trusted) = gate.finish(reason);
                return Ok(Decoding { tokens, reason, trusted });
            }
            tokens = vec![token as i64];
        }
    }

    /// The keys and values of cross-attention, two per decoder layer.
    fn encode(&mut self, pcm: &[f32], frames: usize) -> Result<Vec<DynValue>, ModelError> {
        let mel = Tensor::from_array(([1, BANDS, frames], self.mel.draw(pcm, frames))).map_err(broken)?;
        let mut outputs = self.encoder.run(ort::inputs! { "mel" => mel }).map_err(broken)?;
        let names = self.names.iter().flat_map(|layer| &layer.cross);
        names.map(|name| outputs.remove(name).ok_or_else(|| missing(name))).collect()
    }

    fn nothing_past(&self) -> Result<Vec<DynValue>, ModelError> {
        let shape = [1, self.heads, 0, self.per_head];
        let empty = || Tensor::from_array((shape, Vec::<f32>::new())).map(Tensor::into_dyn).map_err(broken);
        (0..2 * self.names.len()).map(|_| empty()).collect()
    }

    /// One step: what follows `tokens`; `past` becomes what the next step needs.
    fn step(
        &mut self,
        tokens: &[i64],
        past: &mut Vec<DynValue>,
        cross: &[DynValue],
        first: bool,
    ) -> Result<Proposal, ModelError> {
        let fed = Tensor::from_array(([1, tokens.len()], tokens.to_vec())).map_err(broken)?;
        let mut inputs: Vec<(Cow<str>, SessionInputValue)> = vec![("tokens".into(), fed.into())];
        let names = self.names.iter().flat_map(|layer| layer.past.iter().zip(&layer.cross));
        for ((earlier, across), (past_name, cross_name)) in past.iter().zip(cross).zip(names) {
            inputs.push((past_name.as_str().into(), earlier.into()));
            inputs.push((cross_name.as_str().into(), across.into()));
        }
        let mut outputs = self.decoder.run(inputs).map_err(broken)?;
        let (_, logits) = outputs["logits"].try_extract_tensor::<f32>().map_err(broken)?;
        let (_, attention) = outputs["attention"].try_extract_tensor::<f32>().map_err(broken)?;
        let end = self.vocabulary.end;
        let allowed = |token: usize| !self.suppressed[token] && !(first && self.suppressed_first.contains(&token));
        let Some(token) = (0..=end).filter(|token| allowed(*token)).max_by(|a, b| logits[*a].total_cmp(&logits[*b]))
        else {
            return Err(ModelError::Failed("the configuration suppresses every token".to_owned()));
        };
        let proposal = Proposal {
            token,
            text: self.vocabulary.text(token),
            position: focus(attention),
            is_end: token == end,
            end_margin: logits[end] - logits[token],
        };
        let names = self.names.iter().flat_map(|layer| &layer.present);
        *past = names.map(|name| outputs.remove(name).ok_or_else(|| missing(name))).collect::<Result<_, _>>()?;
        Ok(proposal)
    }

    /// Tokens become words: a word begins with a space, lasts until the next, and was said where the decoder looked.
    fn words(&self, tokens: &[Taken], speech_s: f64) -> Vec<SpokenWord> {
        let mut words: Vec<Vec<u8>> = vec![];
        let mut looks_s = vec![];
        for taken in tokens {
            let bytes = self.vocabulary.bytes(taken.token);
            match words.last_mut().filter(|_| !taken.text.starts_with(' ')) {
                Some(word) => word.extend_from_slice(bytes),
                None => {
                    words.push(bytes.to_vec());
                    looks_s.push((taken.position as f64 * FRAME_S - LOOKS_LATE_S).clamp(0.0, speech_s));
                }
            }
        }
        let starts_s = in_order(&looks_s);
        let stops_s = starts_s.iter().copied().skip(1).chain([speech_s]);
        let words = words.into_iter().zip(starts_s.iter().copied().zip(stops_s));
        words
            .map(|(bytes, (start_s, stop_s))| SpokenWord {
                text: String::from_utf8_lossy(&bytes).trim().to_owned(),
                start_s,
                stop_s,
            })
            .filter(|word| !word.text.is_empty())
            .collect()
    }
}

impl Recognizer for Whisper {
    fn transcribe(&mut self, spoken: &Spoken, wanted: &dyn Fn() -> bool) -> Result<Transcript, ModelError> {
        let mut decoding = self.decode(&spoken.pcm, Window::Speech, wanted)?;
        if !decoding.trusted && spoken.last_word {
            tracing::debug!(reason = ?decoding.reason, "decoded astray; once more with the full window");
            decoding = self.decode(&spoken.pcm, Window::Full, wanted)?;
        }
        let mut words = self.words(&decoding.tokens, spoken.pcm.len() as f64 / 16_000.0);
        undo_repetition(&mut words);
        Ok(Transcript { words, doubtful: !decoding.trusted && !spoken.last_word })
    }
}

impl LayerNames {
    fn new(layer: usize) -> Self {
        let pair = |stem: &str| ["k", "v"].map(|part| format!("{stem}_{part}_{layer}"));
        Self { past: pair("past"), present: pair("present"), cross: pair("cross") }
    }
}

/// Where the decoder looks: the middle of the five frames that together get most attention.
fn focus(attention: &[f32]) -> usize {
    let sum = |at: usize| attention[at.saturating_sub(2)..(at + 3).min(attention.len())].iter().sum::<f32>();
    (0..attention.len()).max_by(|a, b| sum(*a).total_cmp(&sum(*b)).then(b.cmp(a))).unwrap_or(0)
}

/// The rising sequence nearest to `times`: attention wavers, words come in order. Neighbours out of order get their mean
/// (pool adjacent violators).
fn in_order(times: &[f64]) -> Vec<f64> {
    let mut pools: Vec<(f64, usize)> = vec![];
    for &time in times {
        pools.push((time, 1));
        while let [.., before, last] = pools.as_mut_slice() {
            if before.0 <= last.0 {
                break;
            }
            let count = before.1 + last.1;
            *before = ((before.0 * before.1 as f64 + last.0 * last.1 as f64) / count as f64, count);
            pools.pop();
        }
    }
    pools.into_iter().flat_map(|(mean, count)| std::iter::repeat_n(mean, count)).collect()
}

/// Keeps the first of three or more repetitions in a row of two to eight words, and of five of one: nobody says that.
fn undo_repetition(words: &mut Vec<SpokenWord>) {
    let same = |a: &SpokenWord, b: &SpokenWord| {
        let letters = |word: &SpokenWord| word.text.trim_matches(|c: char| !c.is_alphanumeric()).to_lowercase();
        letters(a) == letters(b)
    };
    for n in 1..=8 {
        let allowed = if n == 1 { 4 } else { 2 };
        let mut at = 0;
        while at + n <= words.len() {
            let (phrase, rest) = words[at..].split_at(n);
            let times =
                rest.chunks_exact(n).take_while(|next| next.iter().zip(phrase).all(|(a, b)| same(a, b))).count();
            if times >= allowed {
                words.drain(at + n..at + n + times * n);
            }
            at += 1;
        }
    }
}

fn past_is_prompt(tokens: &[i64]) -> bool {
    tokens.len() > 1
}

fn broken(error: ort::Error) -> ModelError {
    ModelError::Failed(format!("{error:?}"))
}

fn missing(name: &str) -> ModelError {
    ModelError::Failed(format!("the graph has no output {name}"))
}

/// 30 s.
const FULL_FRAMES: usize = 3_000;
/// 0.2 s of silence after the speech: 0.5 s and more cost time and were no better.
const TAIL: usize = 3_200;
/// One encoder frame.
const FRAME_S: f64 = 0.02;
/// The decoder looks into a word, not at its beginning: so much later, after the pauses of our recordings.
const LOOKS_LATE_S: f64 = 0.12;

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<SpokenWord> {
        text.split(' ').map(|word| SpokenWord { text: word.to_owned(), start_s: 0.0, stop_s: 0.0 }).collect()
    }

    #[test]
    fn only_what_nobody_says_is_undone() {
        for (heard, kept) in [
            ("no no no", "no no no"),
            ("no no no no no no", "no"),
            ("do you hear me do you hear me", "do you hear me do you hear me"),
            ("so we go, so we go so we go so we went", "so we go, so we went"),
            ("it was it was", "it was it was"),
        ] {
            let mut heard = words(heard);
            undo_repetition(&mut heard);
            let heard: Vec<_> = heard.into_iter().map(|word| word.text).collect();
            assert_eq!(heard.join(" "), kept);
        }
    }

    #[test]
    fn words_come_in_order() {
        assert_eq!(in_order(&[0.5, 1.0, 3.0, 1.0, 2.0, 4.0, 3.0]), [0.5, 1.0, 2.0, 2.0, 2.0, 3.5, 3.5]);
        assert_eq!(in_order(&[]), [0.0; 0]);
    }

    #[test]
    fn attention_is_where_most_of_it_lies() {
        let mut attention = vec![0.0; 100];
        attention[90] = 0.3;
        for frame in 40..45 {
            attention[frame] = 0.1;
        }
        assert_eq!(focus(&attention), 42);
        assert_eq!(focus(&[]), 0);
    }
}
