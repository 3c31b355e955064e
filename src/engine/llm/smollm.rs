//! io: SmolLM2 on llama.cpp: several conversations in one cache, two answers a token each at a time
//!
//! In: chats. Out: text. One thread, no spinning (llama.cpp's second thread would wait for the first by burning the core
//! that the sound needs). Measured on one core of 2026's small machines: 4 ms per token read, 7–14 ms per token said.

use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use llama_cpp_2::LogOptions;
use llama_cpp_2::context::LlamaContext;
use llama_cpp_2::context::params::LlamaContextParams;
use llama_cpp_2::llama_backend::LlamaBackend;
use llama_cpp_2::llama_batch::LlamaBatch;
use llama_cpp_2::model::LlamaModel;
use llama_cpp_2::model::params::LlamaModelParams;
use llama_cpp_2::sampling::LlamaSampler;
use llama_cpp_2::token::LlamaToken;
use llama_cpp_2::token::logit_bias::LlamaLogitBias;

use super::LlmEngine;
use super::cpu;
use super::desk::{Desk, Ready, StartError};
use super::memory::Memory;
use super::window::{self, Turn};
use crate::engine::model::{Chat, Finish, Generator, ModelError, Piece, Speaker, TokenUsage};
use crate::metrics::Metrics;
use crate::runtime::clock;

/// The name under which it is listed.
pub const MODEL: &str = "smollm2-135m-instruct";
/// Its file in the folder of models.
pub const FILE: &str = "smollm2-135m-instruct-q4_1.gguf";

/// How much of it to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SmolLmSettings {
    /// The GGUF file.
    pub path: PathBuf,
    /// Conversations that are remembered between requests: the calls that the server admits. Each costs `window` × 23 kB.
    pub conversations: usize,
    /// Tokens of one conversation that the model sees, answer included. It was trained on 8192; what it makes of more than
    /// a few hundred is not worth the time to read them.
    pub window: u32,
}

impl SmolLmSettings {
    pub fn new(path: impl Into<PathBuf>, conversations: usize) -> Self {
        Self { path: path.into(), conversations, window: 768 }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error(transparent)]
    Cpu(#[from] cpu::UnfitCpu),
    #[error("there is no language model at {}: run script/models, or point [llm] at any OpenAI-compatible server", .0.display())]
    Missing(PathBuf),
    #[error("cannot load the language model {}: {why}", path.display())]
    Unreadable { path: PathBuf, why: String },
}

/// Loads the model onto a thread of its own and lets it say a word, so that its weights are in memory. Blocks for some
/// 300 ms (more where the file is not in the page cache).
pub fn start(settings: SmolLmSettings, metrics: &Metrics) -> Result<LlmEngine, StartError<LoadError>> {
    // Each call may have one answer coming and its next prompt read ahead; and a caller that interrupts has its next question
    // in before its last one has gone.
    let promised = settings.conversations * 2 + SEATS;
    let desk = Desk::start(MODEL, promised, metrics, move |ready: Ready<'_, LoadError>| {
        let unreadable = |why: String| LoadError::Unreadable { path: settings.path.clone(), why };
        cpu::check()?;
        let model = load(&settings.path)?;
        let mut smollm = SmolLm::new(&model, &settings).map_err(unreadable)?;
        smollm.warm_up().map_err(|error| unreadable(error.to_string()))?;
        ready.serve(smollm);
        Ok(())
    })?;
    Ok(LlmEngine::new(desk))
}

/// Answers generated at once: a second caller must not wait for the first one's answer, a third can wait for a second.
const SEATS: usize = 2;
/// Tokens read in one step: 64 are 250 ms alone, and then nobody else's token waits longer.
const READ_AT_ONCE: usize = 64;
/// The same while somebody else is being answered: 100 ms.
const READ_BESIDE: usize = 24;
/// Tokens already said that a penalty looks back on, and the penalty: without it this model says everything twice.
const PENALTY_WINDOW: i32 = 64;
const REPEAT_PENALTY: f32 = 1.05;
/// "Don't repeat yourself" (p-e-w's sampler, its recommended strength): four tokens that were said before in this order make
/// the next one of that order unlikely, rising with length. Phrases of everyday speech are shorter.
const DRY_MULTIPLIER: f32 = 0.8;
const DRY_BASE: f32 = 1.75;
const DRY_ALLOWED: i32 = 4;
const DRY_WINDOW: i32 = 256;
const NO_BREAKERS: [&str; 0] = [];
/// Replies before this one that it looks back on.
const REMEMBERED_REPLIES: usize = 2;
/// Among how many of the likeliest tokens chance may choose. The tail of a small model is nonsense.
const TOP_K: i32 = 40;
const TOP_P: f32 = 0.9;
/// An answer never takes more, whatever is asked.
const MOST_TOKENS: u32 = 256;
/// After this share of its tokens an answer ends with the sentence: half a sentence is worse than a short answer.
const SOFT_LIMIT: f32 = 0.6;

/// llama.cpp is set up once per process and has no way to be set up twice.
static BACKEND: OnceLock<LlamaBackend> = OnceLock::new();

fn backend() -> &'static LlamaBackend {
    BACKEND.get_or_init(|| {
        llama_cpp_2::send_logs_to_tracing(LogOptions::default().with_logs_enabled(false));
        LlamaBackend::init().expect("nobody else in this process sets it up")
    })
}

fn load(path: &Path) -> Result<LlamaModel, LoadError> {
    if !path.is_file() {
        return Err(LoadError::Missing(path.to_owned()));
    }
    LlamaModel::load_from_file(backend(), path, &LlamaModelParams::default())
        .map_err(|error| LoadError::Unreadable { path: path.to_owned(), why: error.to_string() })
}

/// The model with the memory of its conversations.
struct SmolLm<'m> {
    model: &'m LlamaModel,
    context: LlamaContext<'m>,
    batch: LlamaBatch<'static>,
    memory: Memory,
    window: usize,
    seats: [Option<Seat>; SEATS],
    marks: Marks,
    seed: u64,
}

/// The tokens that frame a turn.
struct Marks {
    turn: LlamaToken,
    end: LlamaToken,
    newline: Vec<LlamaToken>,
    /// What a voice cannot say: Markdown, and the marks themselves. Never chosen.
    unspeakable: Vec<LlamaLogitBias>,
}

/// An answer being given.
struct Seat {
    sequence: usize,
    prompt: Vec<i32>,
    /// How many of `prompt` have been read.
    read: usize,
    cached: u32,
    sampler: LlamaSampler,
    /// The token said last, not read yet.
    last: Option<LlamaToken>,
    said: u32,
    most: u32,
    /// Bytes of a character that is not complete.
    partial: Vec<u8>,
    /// The last character said, for the soft limit.
    ended_sentence: bool,
}

impl<'m> SmolLm<'m> {
    fn new(model: &'m LlamaModel, settings: &SmolLmSettings) -> Result<Self, String> {
        // One for every call, and one for each answer that continues nobody's call: a new caller, a second thought.
        let sequences = settings.conversations + SEATS;
        let window = settings.window.next_multiple_of(256);
        let params = LlamaContextParams::default()
            .with_n_ctx(NonZeroU32::new(window * sequences as u32))
            .with_n_seq_max(sequences as u32)
            // A stream of its own for each conversation: attention then looks at that one only.
            .with_kv_unified(false)
            .with_n_batch(READ_AT_ONCE as u32 * SEATS as u32)
            .with_n_ubatch(READ_AT_ONCE as u32)
            .with_n_threads(1)
            .with_n_threads_batch(1)
            .with_no_perf(true);
        let context = model.new_context(backend(), params).map_err(|error| error.to_string())?;
        Ok(Self {
            model,
            context,
            batch: LlamaBatch::new(READ_AT_ONCE * SEATS, 1),
            memory: Memory::new(sequences),
            window: window as usize,
            seats: Default::default(),
            marks: Marks::find(model)?,
            seed: 1,
        })
    }

    fn warm_up(&mut self) -> Result<(), ModelError> {
        let turns = vec![super::super::model::ChatTurn { speaker: Speaker::User, text: "Hello.".into() }];
        self.begin(0, &Chat { turns, max_tokens: 2, ..Chat::default() })?;
        while self.seats[0].is_some() {
            self.step()?;
        }
        self.memory.clear();
        self.context.clear_kv_cache();
        Ok(())
    }

    /// The tokens to read before the answer: ChatML, which SmolLM2 was trained on. Text is never read as a mark, so nobody
    /// can speak for the system by saying "<|im_start|>".
    fn prompt(&self, chat: &Chat, room: usize) -> Vec<i32> {
        let vocab = self.model.vocab();
        let plain = |text: &str| vocab.tokenize(text.as_bytes(), false, false);
        let turns = chat.turns.iter().map(|turn| {
            let role = match turn.speaker {
                Speaker::System => "system",
                Speaker::User => "user",
                Speaker::Assistant => "assistant",
            };
            let mut tokens = vec![self.marks.turn.0];
            tokens.extend(plain(&format!("{role}\n{}", turn.text.trim())).iter().map(|t| t.0));
            tokens.push(self.marks.end.0);
            tokens.extend(self.marks.newline.iter().map(|t| t.0));
            Turn { speaker: turn.speaker, tokens }
        });
        let mut opening = vec![self.marks.turn.0];
        opening.extend(plain("assistant\n").iter().map(|t| t.0));
        let mut prompt = window::fit(turns.collect(), room.saturating_sub(opening.len()));
        prompt.extend(opening);
        prompt
    }

    fn sampler(&mut self, chat: &Chat) -> LlamaSampler {
        let vocab = self.model.n_vocab();
        let mut chain = vec![
            LlamaSampler::logit_bias(vocab, &self.marks.unspeakable),
            LlamaSampler::penalties(vocab, PENALTY_WINDOW, REPEAT_PENALTY, 0.0, 0.0),
            self.dry(chat),
        ];
        if chat.temperature <= 0.0 {
            chain.push(LlamaSampler::greedy());
        } else {
            self.seed = self.seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let seed = chat.seed.unwrap_or(self.seed >> 32) as u32;
            chain.extend([
                LlamaSampler::top_k(TOP_K),
                LlamaSampler::top_p(TOP_P, 1),
                LlamaSampler::temp(chat.temperature),
                LlamaSampler::dist(seed),
            ]);
        }
        LlamaSampler::chain_simple(chain)
    }

    /// What it said last counts as said: or it falls in love with a sentence and says it in every answer. Only whole phrases
    /// count, because its words it will need again.
    fn dry(&self, chat: &Chat) -> LlamaSampler {
        let mut dry = LlamaSampler::dry(self.model, DRY_MULTIPLIER, DRY_BASE, DRY_ALLOWED, DRY_WINDOW, NO_BREAKERS);
        let said: Vec<_> = chat.turns.iter().filter(|t| t.speaker == Speaker::Assistant).collect();
        for turn in &said[said.len().saturating_sub(REMEMBERED_REPLIES)..] {
            dry.accept_many(self.model.vocab().tokenize(turn.text.trim().as_bytes(), false, false));
        }
        dry
    }

    /// Puts the work of every seat into the batch. Returns, per seat, the row that its next token comes out of, if any.
    fn fill(&mut self) -> Result<[Option<i32>; SEATS], ModelError> {
        self.batch.clear();
        let saying = self.seats.iter().flatten().filter(|s| s.last.is_some()).count();
        let share = if saying > 0 { READ_BESIDE } else { READ_AT_ONCE };
        let mut rows = [None; SEATS];
        for (seat, row) in self.seats.iter_mut().zip(&mut rows) {
            let Some(seat) = seat else { continue };
            let at = self.batch.n_tokens();
            let add = |batch: &mut LlamaBatch, token, position: usize, says| {
                batch.add(token, position as i32, &[seat.sequence as i32], says).map_err(failed)
            };
            if let Some(token) = seat.last {
                add(&mut self.batch, token, seat.read, true)?;
                self.memory.read(seat.sequence, &[token.0]);
                seat.read += 1;
                *row = Some(at);
            } else {
                let until = (seat.read + share).min(seat.prompt.len());
                for position in seat.read..until {
                    let last = position + 1 == seat.prompt.len();
                    add(&mut self.batch, LlamaToken(seat.prompt[position]), position, last)?;
                }
                self.memory.read(seat.sequence, &seat.prompt[seat.read..until]);
                if until == seat.prompt.len() {
                    *row = Some(at + (until - seat.read) as i32 - 1);
                }
                seat.read = until;
            }
        }
        Ok(rows)
    }

    fn free(&mut self, seat: usize) {
        if let Some(seat) = self.seats[seat].take() {
            self.memory.release(clock::now(), seat.sequence);
        }
    }
}

impl Generator for SmolLm<'_> {
    fn seats(&self) -> usize {
        SEATS
    }

    fn begin(&mut self, seat: usize, chat: &Chat) -> Result<(), ModelError> {
        self.free(seat);
        let most = chat.max_tokens.clamp(1, MOST_TOKENS.min(self.window as u32 / 2));
        let prompt = self.prompt(chat, self.window - most as usize);
        let place = self.memory.take(clock::now(), &prompt).expect("there are more sequences than seats");
        let sequence = place.sequence as u32;
        if let Some(from) = place.copy_from {
            self.context.clear_kv_cache_seq(Some(sequence), None, None).map_err(failed)?;
            // Between streams only whole sequences can be copied; the cut below takes off what is too much.
            self.context.copy_kv_cache_seq(from as i32, sequence as i32, None, None).map_err(failed)?;
        }
        if place.cut > 0 {
            let (from, to) = (place.keep as u32, (place.keep + place.cut) as u32);
            self.context.clear_kv_cache_seq(Some(sequence), Some(from), Some(to)).map_err(failed)?;
            self.context.kv_cache_seq_add(sequence as i32, Some(to), None, -(place.cut as i32)).map_err(failed)?;
        }
        self.context.clear_kv_cache_seq(Some(sequence), Some(place.read() as u32), None).map_err(failed)?;
        self.seats[seat] = Some(Seat {
            sequence: place.sequence,
            prompt,
            read: place.read(),
            cached: place.read() as u32,
            sampler: self.sampler(chat),
            last: None,
            said: 0,
            most,
            partial: vec![],
            ended_sentence: false,
        });
        Ok(())
    }

    fn step(&mut self) -> Result<Vec<(usize, Piece)>, ModelError> {
        let rows = self.fill()?;
        if let Err(error) = self.context.decode(&mut self.batch) {
            self.seats = Default::default();
            self.memory.clear();
            self.context.clear_kv_cache();
            return Err(failed(error));
        }
        let mut pieces = vec![];
        for (at, row) in rows.into_iter().enumerate() {
            let (Some(seat), Some(row)) = (&mut self.seats[at], row) else { continue };
            let token = seat.sampler.sample(&self.context, row);
            let vocab = self.model.vocab();
            let end = if vocab.is_eog(token) {
                Some(Finish::Stop)
            } else {
                seat.said += 1;
                seat.last = Some(token);
                let text = seat.decode(&vocab.token_to_piece(token, false, None));
                let line_ended = text.contains('\n');
                let text = text.split('\n').next().unwrap_or_default().to_owned();
                let text = if seat.said == 1 { text.trim_start().to_owned() } else { text };
                let soft = seat.said as f32 >= seat.most as f32 * SOFT_LIMIT;
                let sentence_over = soft && seat.ended_sentence && text.starts_with(' ');
                if !sentence_over && !text.is_empty() {
                    seat.ended_sentence = text.trim_end().ends_with(['.', '!', '?']);
                    pieces.push((at, Piece::Text(text)));
                }
                match () {
                    // A new line begins a list or a second thought; neither belongs into a spoken answer.
                    () if line_ended && seat.said > 1 || sentence_over => Some(Finish::Stop),
                    () if seat.said >= seat.most => Some(Finish::Length),
                    () => None,
                }
            };
            if let Some(finish) = end {
                let usage = TokenUsage { prompt: seat.prompt.len() as u32, cached: seat.cached, generated: seat.said };
                pieces.push((at, Piece::Done { finish, usage }));
                self.free(at);
            }
        }
        Ok(pieces)
    }

    fn abandon(&mut self, seat: usize) {
        self.free(seat);
    }
}

impl Seat {
    /// The whole characters that `bytes` complete; a token may end in the middle of one.
    fn decode(&mut self, bytes: &[u8]) -> String {
        self.partial.extend_from_slice(bytes);
        let whole = match std::str::from_utf8(&self.partial) {
            Ok(_) => self.partial.len(),
            // Incomplete at the end: wait for the rest. Wrong in the middle: give up on it.
            Err(error) if error.error_len().is_none() => error.valid_up_to(),
            Err(_) => self.partial.len(),
        };
        String::from_utf8_lossy(&self.partial.drain(..whole).collect::<Vec<_>>()).into_owned()
    }
}

impl Marks {
    fn find(model: &LlamaModel) -> Result<Self, String> {
        let vocab = model.vocab();
        let mark = |text: &str| match vocab.tokenize(text.as_bytes(), false, true)[..] {
            [token] if vocab.is_control(token) => Ok(token),
            _ => Err(format!("its vocabulary has no {text}: this is no ChatML model")),
        };
        let (turn, end) = (mark("<|im_start|>")?, mark("<|im_end|>")?);
        let unspeakable = vocab
            .tokens()
            .filter(|&token| token != end)
            .filter(|&token| {
                let piece = vocab.token_to_piece(token, true, None);
                let markup = piece.iter().any(|b| b"*#`_|<>[]{}~^\\".contains(b));
                vocab.is_control(token) && !vocab.is_eog(token) || markup
            })
            .map(|token| LlamaLogitBias::new(token, f32::NEG_INFINITY))
            .collect();
        Ok(Self { turn, end, newline: vocab.tokenize(b"\n", false, false), unspeakable })
    }
}

fn failed(error: impl std::fmt::Display) -> ModelError {
    ModelError::Failed(error.to_string())
}
