//! data: every setting as a typed value that needs no further check
//!
//! Units, defaults and what raising or lowering a number does stand in `configs/visavis.toml`, beside the value;
//! here stands what each allows.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use super::layers::Layers;
use super::reader::Reader;
use super::voices::Voices;

/// Everything that can be set.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    pub server: Server,
    pub rtc: Rtc,
    pub engines: Engines,
    pub stt: Stt,
    pub tts: Tts,
    pub llm: Llm,
    pub turn: Turn,
    pub video: Video,
    pub audio: Audio,
    pub voices: Voices,
    pub scripted: Scripted,
    /// A filter as `tracing_subscriber::EnvFilter` reads it.
    pub log_filter: String,
}

/// A key or token: shown by nothing but [`Secret::expose`].
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(not shown)")
    }
}

/// `[server]`: the page and the desk.
#[derive(Clone, Debug, PartialEq)]
pub struct Server {
    pub listen: SocketAddr,
    /// 1 to 10000.
    pub max_sessions: usize,
    pub retry_after: Duration,
    pub token: Option<Secret>,
    /// `*`, `localhost` or whole origins, without a slash at the end.
    pub allow_origins: Vec<String>,
    pub grace: Duration,
}

/// `[rtc]`: the UDP port of all calls.
#[derive(Clone, Debug, PartialEq)]
pub struct Rtc {
    pub listen: SocketAddr,
    pub public_ip: Option<IpAddr>,
    pub idle_timeout: Duration,
    pub connect_timeout: Duration,
}

/// `[engines]`: what answers where no URL is given.
#[derive(Clone, Debug, PartialEq)]
pub struct Engines {
    /// Scripts instead of models: nothing of the models folder is needed but the voice detector.
    pub scripted: bool,
    /// The folder of the models; it need not exist unless an engine is embedded.
    pub models: PathBuf,
    /// What callers of `visavis engine` must present.
    pub token: Option<Secret>,
}

/// Where an engine is.
#[derive(Clone, Debug, PartialEq)]
pub enum Place<R> {
    /// In this program, behind a loopback port.
    Embedded,
    /// The same door, with a deterministic stand-in behind it.
    Scripted,
    /// Somewhere else.
    Remote(R),
}

/// A speech engine somewhere else.
#[derive(Clone, Debug, PartialEq)]
pub struct Speech {
    /// `ws://` or `wss://`, without the path of the protocol.
    pub url: String,
    pub token: Option<Secret>,
}

/// An OpenAI-compatible language model somewhere else.
#[derive(Clone, Debug, PartialEq)]
pub struct Chat {
    /// `http://` or `https://`, up to and with `/v1`.
    pub url: String,
    pub api_key: Option<Secret>,
    /// `None`: the first under `/models`.
    pub model: Option<String>,
    /// Sent as it is; with it go `max_completion_tokens` in the place of `max_tokens`, as models that think want it.
    pub reasoning_effort: Option<String>,
}

/// Where all engines are, once each of them is somewhere.
#[derive(Clone, Debug, PartialEq)]
pub struct Dials {
    pub stt: Speech,
    pub tts: Speech,
    pub llm: Chat,
}

/// How the speech-to-text engine is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// 16 kHz, partials, finals.
    Visavis,
    /// As a moshi-server is.
    Moshi,
}

/// `[stt]`
#[derive(Clone, Debug, PartialEq)]
pub struct Stt {
    pub place: Place<Speech>,
    pub dialect: Dialect,
    pub connect_timeout: Duration,
    pub final_timeout: Duration,
}

/// `[tts]`
#[derive(Clone, Debug, PartialEq)]
pub struct Tts {
    pub place: Place<Speech>,
    pub connect_timeout: Duration,
    pub answer_timeout: Duration,
}

/// `[llm]`; temperatures are the person's, in voices.yaml.
#[derive(Clone, Debug, PartialEq)]
pub struct Llm {
    pub place: Place<Chat>,
    /// 1 to 4096.
    pub max_tokens: u32,
    /// 256 to 1000000.
    pub context_tokens: u32,
    pub connect_timeout: Duration,
    pub first_token_timeout: Duration,
    pub token_timeout: Duration,
}

/// Which brain answers, in a few words for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Brain {
    /// Not to be taken for an assistant: the page shows a badge.
    pub demo: bool,
    pub label: String,
}

impl Llm {
    pub fn brain(&self) -> Brain {
        match &self.place {
            Place::Embedded => Brain { demo: true, label: "SmolLM2-135M-Instruct, in this program".to_owned() },
            Place::Scripted => Brain { demo: true, label: "scripted replies".to_owned() },
            Place::Remote(chat) => {
                let host = chat.url.split("://").last().and_then(|rest| rest.split('/').next()).unwrap_or(&chat.url);
                // A URL may carry a password before its host.
                let host = host.rsplit('@').next().unwrap_or(host);
                let model = chat.model.as_deref().unwrap_or("its first model");
                Brain { demo: false, label: format!("{model} at {host}") }
            }
        }
    }
}

/// `[turn]`: what a call starts with until its client changes it.
#[derive(Clone, Debug, PartialEq)]
pub struct Turn {
    /// 0.05 to 0.95.
    pub threshold: f32,
    pub prefix_padding: Duration,
    /// 100 ms to 10 s.
    pub silence_duration: Duration,
}

/// `[video]`
#[derive(Clone, Debug, PartialEq)]
pub struct Video {
    pub enabled: bool,
    /// A divisor of 24000 (the media clock) between 5 and 30, so that every picture falls on a sample.
    pub fps: u32,
    pub bitrate_bps: u32,
}

/// `[audio]`
#[derive(Clone, Debug, PartialEq)]
pub struct Audio {
    pub bitrate_bps: u32,
    /// 0 to 10.
    pub complexity: u32,
}

/// `[scripted]`: what the scripted engines say and how long they take. The lists are not empty.
#[derive(Clone, Debug, PartialEq)]
pub struct Scripted {
    pub heard: Vec<String>,
    pub stt_delay: Duration,
    pub replies: Vec<String>,
    pub first_token: Duration,
    pub words_per_second: f64,
    pub first_sound: Duration,
    /// Times real time, 0.1 to 1000.
    pub tts_speed: f64,
}

const USUAL_VOICES: &str = "voices.yaml";

#[derive(Clone, Copy)]
enum Mode {
    Embedded,
    Scripted,
}

impl Mode {
    fn place<R>(self, remote: Option<R>) -> Place<R> {
        match (remote, self) {
            (Some(remote), _) => Place::Remote(remote),
            (None, Mode::Embedded) => Place::Embedded,
            (None, Mode::Scripted) => Place::Scripted,
        }
    }
}

impl Config {
    /// Everything but the voices, which stand in a file of their own and are given, with the folder that `models` means
    /// when it is empty.
    pub(super) fn read(r: &mut Reader, voices: Voices, default_models: PathBuf) -> Self {
        let mode = r.choice("engines.mode", &[("embedded", Mode::Embedded), ("scripted", Mode::Scripted)]);
        Self {
            server: Server {
                listen: r.address("server.listen"),
                max_sessions: r.whole("server.max_sessions", 1..=10_000) as usize,
                retry_after: r.seconds("server.retry_after_s", 1..=3_600),
                token: r.secret("server.token"),
                allow_origins: origins(r),
                grace: r.seconds("server.grace_s", 0..=600),
            },
            rtc: Rtc {
                listen: r.address("rtc.listen"),
                public_ip: r.ip("rtc.public_ip"),
                idle_timeout: r.seconds("rtc.idle_timeout_s", 2..=300),
                connect_timeout: r.seconds("rtc.connect_timeout_s", 1..=120),
            },
            engines: Engines {
                scripted: matches!(mode, Mode::Scripted),
                models: r.optional("engines.models").map_or(default_models, PathBuf::from),
                token: r.secret("engines.token"),
            },
            stt: Stt {
                place: mode.place(speech(r, "stt")),
                dialect: r.choice("stt.dialect", &[("visavis", Dialect::Visavis), ("moshi", Dialect::Moshi)]),
                connect_timeout: r.millis("stt.connect_timeout_ms", 50..=60_000),
                final_timeout: r.millis("stt.final_timeout_ms", 50..=120_000),
            },
            tts: Tts {
                place: mode.place(speech(r, "tts")),
                connect_timeout: r.millis("tts.connect_timeout_ms", 50..=60_000),
                answer_timeout: r.millis("tts.answer_timeout_ms", 50..=120_000),
            },
            llm: Llm {
                place: mode.place(chat(r)),
                max_tokens: r.whole("llm.max_tokens", 1..=4_096),
                context_tokens: r.whole("llm.context_tokens", 256..=1_000_000),
                connect_timeout: r.millis("llm.connect_timeout_ms", 50..=60_000),
                first_token_timeout: r.millis("llm.first_token_timeout_ms", 50..=300_000),
                token_timeout: r.millis("llm.token_timeout_ms", 50..=300_000),
            },
            turn: Turn {
                threshold: r.number("turn.threshold", 0.05..=0.95) as f32,
                prefix_padding: r.millis("turn.prefix_padding_ms", 0..=2_000),
                silence_duration: r.millis("turn.silence_duration_ms", 100..=10_000),
            },
            video: Video {
                enabled: r.flag("video.enabled"),
                fps: fps(r),
                bitrate_bps: r.whole("video.bitrate_kbps", 50..=10_000) * 1_000,
            },
            audio: Audio {
                bitrate_bps: r.whole("audio.bitrate_kbps", 6..=256) * 1_000,
                complexity: r.whole("audio.complexity", 0..=10),
            },
            voices,
            scripted: Scripted {
                heard: r.some_texts("scripted.heard"),
                stt_delay: r.millis("scripted.stt_delay_ms", 0..=60_000),
                replies: r.some_texts("scripted.replies"),
                first_token: r.millis("scripted.first_token_ms", 0..=60_000),
                words_per_second: r.number("scripted.words_per_second", 0.1..=10_000.0),
                first_sound: r.millis("scripted.first_sound_ms", 0..=60_000),
                tts_speed: r.number("scripted.tts_speed", 0.1..=1_000.0),
            },
            log_filter: log_filter(r),
        }
    }
}

/// Where the file of voices is, and whether it is another than usual, which then has to be there.
pub(super) fn voices_file(layers: &Layers) -> (PathBuf, bool) {
    let path = layers.get("voices.file").value.as_str().expect("the default of voices.file is a text");
    (PathBuf::from(path), path != USUAL_VOICES)
}

fn speech(r: &mut Reader, section: &str) -> Option<Speech> {
    let token = r.secret(&format!("{section}.token"));
    let url = r.url(&format!("{section}.url"), &["ws", "wss", "http", "https"])?;
    // People copy what their browser shows; the protocol is WebSocket all the same.
    let url = url.strip_prefix("http").map_or(url.clone(), |rest| format!("ws{rest}"));
    Some(Speech { url, token })
}

fn chat(r: &mut Reader) -> Option<Chat> {
    let api_key = r.secret("llm.api_key");
    let model = r.optional("llm.model");
    let reasoning_effort = r.optional("llm.reasoning_effort");
    // Read here so that they are checked even when no key makes use of them: see `sources`.
    for name in ["llm.openai_url", "llm.openai_model", "llm.openai_reasoning_effort"] {
        r.text(name);
    }
    let url = r.url("llm.url", &["http", "https"])?;
    Some(Chat { url, api_key, model, reasoning_effort })
}

fn log_filter(r: &mut Reader) -> String {
    let filter = r.text("log.filter").to_owned();
    if tracing_subscriber::EnvFilter::try_new(&filter).is_err() {
        r.refuse("log.filter", "a level (error, warn, info, debug, trace) and module=level pairs, with commas between");
    }
    filter
}

fn fps(r: &mut Reader) -> u32 {
    let fps = r.whole("video.fps", 0..=u32::MAX);
    let allowed: Vec<u32> = (5..=30).filter(|fps| 24_000 % fps == 0).collect();
    if allowed.contains(&fps) {
        return fps;
    }
    let words: Vec<_> = allowed.iter().map(u32::to_string).collect();
    r.refuse("video.fps", &format!("one of {}", words.join(", ")));
    allowed[0]
}

fn origins(r: &mut Reader) -> Vec<String> {
    let origins = r.list("server.allow_origins");
    let fine =
        |o: &String| o == "*" || o == "localhost" || (o.starts_with("http") && o.contains("://") && !o.ends_with('/'));
    if !origins.iter().all(fine) {
        r.refuse(
            "server.allow_origins",
            "\"*\", \"localhost\" and origins such as \"https://example.org\", without a slash at the end",
        );
    }
    origins
}
