//! io: what can be typed after `visavis load`, and what it means

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

/// What is called, with how many, for how long, and what is told of it.
#[derive(Debug, Args)]
pub struct Load {
    /// What is called: a whole server, or one engine's door
    #[arg(value_enum, default_value_t = Door::Calls)]
    pub door: Door,
    /// The server [default: what --command says, else 127.0.0.1 and 8080; 8089 for tts, 8090 for stt, 8091 for llm]
    #[arg(long, value_name = "URL")]
    pub server: Option<String>,
    /// How calls are placed
    #[arg(long, value_enum, default_value_t = Dial::Realtime)]
    pub dial: Dial,
    /// stt: whose protocol the engine speaks
    #[arg(long, value_enum, default_value_t = Dialect::Visavis)]
    pub dialect: Dialect,
    /// The server's token
    #[arg(long, value_name = "TOKEN")]
    pub token: Option<String>,
    /// What callers do: conversation, interruptions, arrivals, or a file
    #[arg(long, value_name = "NAME|FILE", default_value = "conversation")]
    pub scenario: String,
    /// So many callers at the same time
    #[arg(long, value_name = "N", conflicts_with = "users", value_parser = callers)]
    pub concurrency: Option<usize>,
    /// One step for each of these numbers of callers
    #[arg(long, value_name = "N,N,…", value_delimiter = ',', value_parser = callers)]
    pub users: Vec<usize>,
    /// The most callers that a search tries
    #[arg(long, value_name = "N", default_value_t = 256, value_parser = callers)]
    pub most: usize,
    /// How long a step lasts, seconds
    #[arg(long, value_name = "S", default_value = "30", value_parser = seconds)]
    pub duration: Duration,
    /// What of a step does not count, before that: callers arrive and are greeted
    #[arg(long, value_name = "S", default_value = "5", value_parser = seconds)]
    pub warmup: Duration,
    /// What a step must reach, such as success:1.00,turn:p99@1.5s,underrun:p99@1%,fps:p05@14
    #[arg(long, value_name = "SPEC")]
    pub target: Option<String>,
    /// Start this server for the run, and end it after; `visavis` is this program
    #[arg(long, value_name = "COMMAND")]
    pub command: Option<String>,
    /// Run once for each value, with the server started anew with --set KEY=VALUE
    #[arg(long, value_name = "KEY=V1,V2,…", requires = "command", value_parser = sweep)]
    pub sweep: Option<Sweep>,
    /// What chance begins with: the same seed, the same callers
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// Ask for no picture, whatever the scenario says
    #[arg(long)]
    pub no_video: bool,
    /// The folder of recorded speech [default: speech in the models' folder]
    #[arg(long, value_name = "DIR")]
    pub speech: Option<PathBuf>,
    /// Write everything measured as JSON; - is the standard output
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Write the tables as Markdown, for a note; - is the standard output
    #[arg(long, value_name = "FILE")]
    pub markdown: Option<PathBuf>,
    /// Write a report that a browser shows: one file, no network
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Door {
    /// Calls: WebRTC, as a browser places them
    Calls,
    /// Text to speech: /api/tts_streaming
    Tts,
    /// Speech to text: /api/asr-streaming
    Stt,
    /// A language model: /v1/chat/completions
    Llm,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Dialect {
    /// 16 kHz, partials and finals, as our engine offers them
    Visavis,
    /// 24 kHz and words as they come, for a real moshi-server
    Moshi,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Dial {
    /// OpenAI Realtime's: the offer as SDP to /v1/realtime/calls
    Realtime,
    /// Pipecat's small WebRTC transport and its like: JSON with the offer to /api/offer
    Offer,
}

impl From<Dialect> for visavis::load::doors::stt::Dialect {
    fn from(dialect: Dialect) -> Self {
        match dialect {
            Dialect::Visavis => Self::Visavis,
            Dialect::Moshi => Self::Moshi,
        }
    }
}

impl From<Dial> for visavis::load::Dial {
    fn from(dial: Dial) -> Self {
        match dial {
            Dial::Realtime => Self::Realtime,
            Dial::Offer => Self::Offer,
        }
    }
}

/// One key of the server's configuration and the values to try.
#[derive(Clone, Debug, PartialEq)]
pub struct Sweep {
    pub key: String,
    pub values: Vec<String>,
}

fn sweep(text: &str) -> Result<Sweep, String> {
    let (key, values) = text.split_once('=').ok_or("write it as section.key=value,value")?;
    let values: Vec<String> = values.split(',').map(|value| value.trim().to_owned()).collect();
    if key.trim().is_empty() || values.iter().any(String::is_empty) {
        return Err("write it as section.key=value,value".into());
    }
    Ok(Sweep { key: key.trim().to_owned(), values })
}

fn callers(text: &str) -> Result<usize, String> {
    match text.trim().parse() {
        Ok(count @ 1..=100_000) => Ok(count),
        _ => Err("allowed is 1 to 100000".into()),
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    let number = text.trim().trim_end_matches('s');
    match number.parse::<f64>() {
        Ok(seconds) if (0.0..=86_400.0).contains(&seconds) => Ok(Duration::from_secs_f64(seconds)),
        _ => Err("allowed are 0 to 86400 seconds".into()),
    }
}

pub const EXAMPLES: &str = "\
Examples:
  visavis load                                        the most callers that the server at 127.0.0.1:8080 serves well
  visavis load --concurrency 8 --duration 60          eight callers for a minute
  visavis load --users 1,2,4,8 --html report.html     a step for each, and plots
  visavis load --scenario interruptions --concurrency 4
                                                      callers who talk over the agent
  visavis load --command 'visavis serve --config configs/load/server.toml' --concurrency 16 --no-video
                                                      with a server of its own, without the face
  visavis load --command 'visavis serve --config configs/load/server.toml' --sweep video.fps=10,15,25
                                                      the same search for each value of a setting
  visavis load --server http://host:7860 --dial offer --concurrency 4
                                                      the same callers for a Pipecat server: its figures beside ours
  visavis load tts --server ws://gpu:8089 --target success:1.00,ttfb:p99@1s,rtf:p99@1.00
                                                      how many voices at once an engine has

Ctrl-C ends the step and prints what was measured so far; a second one ends the program.
Exit codes: 0 all done, and any --target met; 1 a --target was missed; 64 wrong usage; 69 the server or the recorded speech
is not there.";
