//! io: what can be typed after `visavis`, and what it means

pub mod load;

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use visavis::app::engines::Kind;
use visavis::config::Flag;

/// A real-time voice agent with a face: talk to it in the browser.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100, after_help = EXAMPLES)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the server: the page, the calls, and the engines that are not elsewhere
    ///
    /// Everything here can also be set in the configuration file and in the environment; `visavis check` shows what is in
    /// force. The brain is the embedded demo model unless VISAVIS_LLM_URL or OPENAI_API_KEY is in the environment.
    Serve(Serve),
    /// Run one engine alone, for servers elsewhere
    ///
    /// stt speaks moshi-server's /api/asr-streaming, tts its /api/tts_streaming, llm OpenAI's /v1/chat/completions. A server
    /// is pointed at them by `url` in [stt], [tts] and [llm]. Callers must present engines.token, where there is one.
    /// server.max_sessions says for how many calls it has room.
    Engine(Engine),
    /// Call a server, or an engine, with many callers at once, and measure what they get
    ///
    /// Without --concurrency and --users it looks for the most callers that the server serves as well as --target asks: it
    /// doubles their number until the target is missed, then halves the difference.
    #[command(after_help = load::EXAMPLES)]
    Load(Box<load::Load>),
    /// Show or check the model files
    #[command(subcommand)]
    Models(Models),
    /// Check a configuration and print what is in force
    ///
    /// Prints every setting as TOML, with where it came from. Exits with 64 when something is wrong, naming file, line, key
    /// and what is allowed.
    Check(Check),
}

#[derive(Debug, Args)]
pub struct Serve {
    /// Address and port of the page [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<SocketAddr>,
    /// Address and port of the media, one UDP port for all calls [default: 0.0.0.0:8443]
    #[arg(long, value_name = "ADDRESS:PORT")]
    rtc: Option<SocketAddr>,
    /// The address that callers reach this machine by, when it is not one of its own
    #[arg(long, value_name = "IP")]
    public_ip: Option<IpAddr>,
    /// What answers where no url is configured [default: embedded]
    #[arg(long, value_name = "KIND")]
    engines: Option<Engines>,
    #[command(flatten)]
    pub common: Common,
}

#[derive(Debug, Args)]
pub struct Engine {
    /// Which engine
    pub kind: EngineKind,
    /// Where it listens [default: 127.0.0.1 and port 8090 for stt, 8089 for tts, 8091 for llm]
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub listen: Option<SocketAddr>,
    /// A model or a script [default: embedded]
    #[arg(long, value_name = "KIND")]
    engines: Option<Engines>,
    #[command(flatten)]
    pub common: Common,
}

#[derive(Debug, Subcommand)]
pub enum Models {
    /// What there must be, where, under which licence, and whether it is there
    List(Common),
    /// Read every file and compare its SHA-256; exits with 69 when one is missing or different
    Verify(Common),
}

#[derive(Debug, Args)]
pub struct Check {
    /// The file to check [default: configs/visavis.toml, where it is there]
    #[arg(value_name = "FILE")]
    pub file: Option<PathBuf>,
    #[command(flatten)]
    pub common: Common,
}

/// What every command that reads the configuration takes.
#[derive(Debug, Args)]
pub struct Common {
    /// Read this configuration file [default: configs/visavis.toml, where it is there]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Set any key, as in --set turn.silence_duration_ms=300; may be repeated
    #[arg(long, value_name = "SECTION.KEY=VALUE", value_parser = assignment)]
    set: Vec<(String, String)>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Engines {
    /// The models inside this program
    Embedded,
    /// Deterministic stand-ins that need no model but the voice detector's, for tests and load
    Scripted,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum EngineKind {
    /// Speech to text
    Stt,
    /// Text to speech
    Tts,
    /// The language model
    Llm,
}

impl From<EngineKind> for Kind {
    fn from(kind: EngineKind) -> Self {
        match kind {
            EngineKind::Stt => Self::Stt,
            EngineKind::Tts => Self::Tts,
            EngineKind::Llm => Self::Llm,
        }
    }
}

impl Serve {
    pub fn flags(&self) -> Vec<Flag> {
        let mut flags = self.common.flags();
        flags.extend(flag("--listen", "server.listen", self.listen));
        flags.extend(flag("--rtc", "rtc.listen", self.rtc));
        flags.extend(flag("--public-ip", "rtc.public_ip", self.public_ip));
        flags.extend(engines(self.engines));
        flags
    }
}

impl Engine {
    pub fn flags(&self) -> Vec<Flag> {
        let mut flags = self.common.flags();
        flags.extend(engines(self.engines));
        flags
    }
}

impl Common {
    pub fn flags(&self) -> Vec<Flag> {
        self.set.iter().map(|(key, value)| Flag { flag: "--set", key: key.clone(), value: value.clone() }).collect()
    }
}

fn engines(engines: Option<Engines>) -> Option<Flag> {
    let word = engines.map(|engines| match engines {
        Engines::Embedded => "embedded",
        Engines::Scripted => "scripted",
    });
    flag("--engines", "engines.mode", word)
}

fn flag(flag: &'static str, key: &str, value: Option<impl ToString>) -> Option<Flag> {
    value.map(|value| Flag { flag, key: key.to_owned(), value: value.to_string() })
}

fn assignment(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("write it as SECTION.KEY=VALUE")?;
    Ok((key.trim().to_owned(), value.trim().to_owned()))
}

const EXAMPLES: &str = "\
Examples:
  visavis serve                                       talk to it at http://127.0.0.1:8080
  VISAVIS_LLM_URL=http://localhost:11434/v1 visavis serve
                                                      with any OpenAI-compatible brain
  OPENAI_API_KEY=sk-... visavis serve                 with OpenAI's
  visavis serve --engines scripted                    with scripts for models, to try the plumbing
  visavis engine tts --listen 0.0.0.0:8089            speech for servers elsewhere
  visavis check my.toml                               what is in force, and where it came from

Exit codes: 64 wrong usage or configuration, 69 something needed is missing or taken, 70 a fault of ours.";
