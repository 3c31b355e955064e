//! io: `visavis load`: finds or starts the server, lets callers call it, and tells what came of it

mod command_line;
mod date;
mod server;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::{Context, anyhow};
use tokio_util::sync::CancellationToken;

use visavis::config::models;
use visavis::load::CallSettings;
use visavis::load::crowd::{Length, Stage};
use visavis::load::doors::llm::Llm;
use visavis::load::doors::stt::Stt;
use visavis::load::doors::tts::Tts;
use visavis::load::doors::{Clients, Engine};
use visavis::load::host::Watched;
use visavis::load::process;
use visavis::load::reach::{Reached, plain, reach};
use visavis::load::report::{Kind, Maximum, Row, Run, html, json, table};
use visavis::load::run::{self, Crowd, Mode, Ran};
use visavis::load::scenario::Scenario;
use visavis::load::speech::{Speech, SpeechError, Spoken};
use visavis::load::spread::Stat;
use visavis::load::target::{self, Targets};
use visavis::rtc::Identity;
use visavis::runtime::clock;
use visavis::runtime::program::Program;
use visavis::runtime::scope::TaskCounter;

use self::date::date;
use super::progress::Bar;
use super::{Failure, Outcome, because, signals};
use crate::cli::load::{Door, Load};
use crate::{MISSED, SOFTWARE, UNAVAILABLE, USAGE};

/// Everything that does not depend on the server.
struct Cast {
    kind: Kind,
    scenario: Scenario,
    say: Vec<Arc<Spoken>>,
    talk_over: Vec<Arc<Spoken>>,
    mode: Mode,
    length: Length,
    targets: Targets,
}

pub async fn load(load: Load) -> Outcome {
    let cast = cast(&load)?;
    let (stop, impatient) = signals()?;
    tokio::select! {
        outcome = perform(&load, &cast, &stop) => outcome,
        () = impatient => Err(Failure { code: SOFTWARE, error: anyhow!("ended at once, as asked for") }),
    }
}

/// What can be wrong before anybody is called is told before anybody is called.
fn cast(load: &Load) -> Result<Cast, Failure> {
    let usage = because(USAGE);
    if is_stdout(&load.json) && is_stdout(&load.markdown) {
        return Err(usage(anyhow!("only one of --json and --markdown can have the standard output")));
    }
    let mut scenario = Scenario::load(&load.scenario).map_err(|error| usage(error.into()))?;
    scenario.video &= !load.no_video;
    let kind = match load.door {
        Door::Calls => Kind::Calls,
        Door::Tts => Kind::Tts,
        Door::Stt => Kind::Stt,
        Door::Llm => Kind::Llm,
    };
    let given = load.target.as_deref().unwrap_or(match kind {
        Kind::Calls => target::OF_CALLS,
        Kind::Tts => target::OF_TTS,
        Kind::Stt => target::OF_STT,
        Kind::Llm => target::OF_LLM,
    });
    let targets = given.parse::<Targets>().context("--target").map_err(&usage)?;
    let (say, talk_over) = match kind {
        Kind::Calls | Kind::Stt => speech(load, &scenario).map_err(|error| because(UNAVAILABLE)(error.into()))?,
        Kind::Tts | Kind::Llm => (vec![], vec![]),
    };
    let mode = match (load.concurrency, load.users.is_empty()) {
        (Some(callers), _) => Mode::Steps(vec![callers]),
        (None, false) => Mode::Steps(load.users.clone()),
        (None, true) => Mode::Search { cap: load.most },
    };
    let length = Length { warmup: load.warmup, counted: load.duration };
    Ok(Cast { kind, scenario, say, talk_over, mode, length, targets })
}

/// What is said, and what is said over answers.
#[expect(clippy::type_complexity, reason = "two lists of one kind")]
fn speech(load: &Load, scenario: &Scenario) -> Result<(Vec<Arc<Spoken>>, Vec<Arc<Spoken>>), SpeechError> {
    let folder = load.speech.clone().unwrap_or_else(|| models::folder().join("speech"));
    let mut speech = Speech::open(&folder)?;
    let say = speech.take(&scenario.say.from)?;
    let talk_over = match &scenario.talk_over {
        Some(over) => speech.take(&over.say)?,
        None => vec![],
    };
    Ok((say, talk_over))
}

async fn perform(load: &Load, cast: &Cast, stop: &CancellationToken) -> Outcome {
    let bar = Bar::new();
    let scenario = (cast.kind == Kind::Calls).then(|| cast.scenario.name.clone());
    let mut report = Run {
        title: format!("Load on {}", cast.kind.title()),
        command: command_line::shown(std::env::args()),
        kind: cast.kind,
        scenario,
        seed: Some(load.seed),
        machine: process::machine(),
        date: date(SystemTime::now()),
        targets: cast.targets.clone(),
        rows: vec![],
        maxima: vec![],
        notes: vec![],
    };
    let settings = match &load.sweep {
        Some(sweep) => sweep.values.iter().map(|value| Some(format!("{}={value}", sweep.key))).collect(),
        None => vec![None],
    };
    let mut trouble = None;
    for setting in settings {
        if let Some(setting) = &setting {
            bar.say(&format!("{setting}:"));
        }
        match one(load, cast, setting.as_deref(), &bar, stop).await {
            Ok(ran) => {
                let rows = ran.steps.iter().map(|step| Row::of(cast.kind, setting.clone(), step, &cast.targets));
                report.rows.extend(rows);
                report.maxima.extend(ran.search.map(|search| Maximum::of(setting.clone(), &search)));
                if ran.cut_short {
                    break;
                }
            }
            // What was measured before is told all the same.
            Err(failure) => {
                trouble = Some(failure);
                break;
            }
        }
    }
    drop(bar);
    notes(&mut report, cast);
    match trouble {
        // There is nothing to tell beside it.
        Some(failure) if report.rows.is_empty() => return Err(failure),
        trouble => {
            tell(load, &report)?;
            trouble.map_or(Ok(()), Err)?;
        }
    }
    let met = if matches!(cast.mode, Mode::Steps(_)) { report.met() } else { report.found() };
    if load.target.is_some() && !met {
        return Err(Failure { code: MISSED, error: anyhow!("the target was missed: {}", cast.targets) });
    }
    Ok(())
}

/// What a reader must know to trust the numbers.
fn notes(report: &mut Run, cast: &Cast) {
    if report.cut_short() {
        report.notes.push("Ended before its time: the last step is shorter than the others.".into());
    }
    if !report.rows.is_empty() && report.rows.iter().all(|row| row.tally.server.is_none()) {
        report
            .notes
            .push("What the server used could not be seen: it is on another machine and tells no metrics.".into());
    }
    if report.rows.iter().any(|row| row.tally.requests.total == 0) {
        let why = "In a step nothing was asked, or nothing was answered within it: make it longer.";
        report.notes.push(why.into());
    }
    if cast.kind == Kind::Calls && !cast.scenario.video {
        report.notes.push("Without the face.".into());
    }
}

fn tell(load: &Load, report: &Run) -> Outcome {
    // What is for a machine or a note has the standard output to itself.
    match is_stdout(&load.json) || is_stdout(&load.markdown) {
        true => eprintln!("{}", table::text(report)),
        false => println!("{}", table::text(report)),
    }
    if let Some(path) = &load.json {
        write(path, &json::text(report))?;
    }
    if let Some(path) = &load.markdown {
        write(path, &table::markdown(report))?;
    }
    if let Some(path) = &load.html {
        write(path, &html::page(report))?;
    }
    Ok(())
}

fn is_stdout(path: &Option<PathBuf>) -> bool {
    path.as_deref() == Some(Path::new("-"))
}

fn write(path: &Path, text: &str) -> Outcome {
    if path == Path::new("-") {
        print!("{text}");
        return Ok(());
    }
    std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display())).map_err(because(UNAVAILABLE))
}

/// One run, with a server of its own where a command is given.
async fn one(
    load: &Load,
    cast: &Cast,
    setting: Option<&str>,
    bar: &Bar,
    stop: &CancellationToken,
) -> Result<Ran, Failure> {
    let (program, said) = match &load.command {
        Some(command) => match server::start(command, setting, load.server.as_deref(), stop).await? {
            Some((program, url)) => (Some(program), url),
            None => return Ok(Ran::cut_short()),
        },
        None => (None, None),
    };
    let url = load.server.clone().or(said).unwrap_or_else(|| server::usual(cast.kind));
    let ran = call(load, cast, &url, program.as_ref().and_then(Program::id), bar, stop).await;
    if let Some(program) = program {
        program.stop(server::GRACE).await;
    }
    ran
}

async fn call(
    load: &Load,
    cast: &Cast,
    url: &str,
    process: Option<u32>,
    bar: &Bar,
    stop: &CancellationToken,
) -> Result<Ran, Failure> {
    let http = reqwest::Client::new();
    let reached = tokio::select! {
        reached = reach(&http, url) => reached.map_err(|error| because(UNAVAILABLE)(error.into()))?,
        () = stop.cancelled() => return Ok(Ran::cut_short()),
    };
    // Engines' sockets may be given as they are dialled; questions over HTTP go to the same door.
    let url = &plain(url);
    let crowd = crowd(load, cast, url, &http, &reached)?;
    let metrics = url.parse::<reqwest::Url>().ok().and_then(|url| url.join("/metrics").ok()).map(String::from);
    let mut watched = Watched::new(http, process, Some(reached.address), metrics, load.token.clone());
    let run = run::run(&crowd, &cast.mode, cast.length, &cast.targets, &mut watched, stop, |step| {
        bar.say(&in_a_line(cast.kind, &Row::of(cast.kind, None, step, &cast.targets)));
    });
    tokio::select! {
        ran = run => Ok(ran),
        () = bar.follow(crowd.progress()) => unreachable!("a bar is followed for ever"),
    }
}

fn crowd(load: &Load, cast: &Cast, url: &str, http: &reqwest::Client, reached: &Reached) -> Result<Crowd, Failure> {
    let (server, key, http) = (url.to_owned(), load.token.clone(), http.clone());
    let engine = match cast.kind {
        Kind::Calls => return calls(load, cast, url, http, reached),
        Kind::Tts => Engine::Tts(Tts { server, key }),
        Kind::Stt => Engine::Stt(Stt::new(server, key, load.dialect.into(), &cast.say)),
        Kind::Llm => Engine::Llm(Llm::new(http, url, key)),
    };
    Ok(Crowd::Clients(Arc::new(Clients {
        engine,
        began: clock::now(),
        ramp: RAMP.min(cast.length.warmup),
        progress: Arc::default(),
        tasks: TaskCounter::default(),
    })))
}

fn calls(load: &Load, cast: &Cast, url: &str, http: reqwest::Client, reached: &Reached) -> Result<Crowd, Failure> {
    let identity = Identity::generate().context("a certificate for the callers").map_err(because(SOFTWARE))?;
    let began = clock::now();
    let call = CallSettings {
        dial: load.dial.into(),
        token: load.token.clone(),
        bind: reached.from,
        video: cast.scenario.video,
        ..CallSettings::measuring(url, identity, began)
    };
    Ok(Crowd::Calls(Arc::new(Stage {
        http,
        call,
        scenario: cast.scenario.clone(),
        say: cast.say.clone(),
        talk_over: cast.talk_over.clone(),
        seed: load.seed,
        began,
        progress: Arc::default(),
    })))
}

/// A step as soon as it is over.
fn in_a_line(kind: Kind, row: &Row) -> String {
    let tally = &row.tally;
    let latency = |percent| {
        let value = tally.get(kind.latency(), Stat::Percentile(percent));
        value.map_or_else(|| "–".to_owned(), |seconds| format!("{:.0} ms", seconds * 1e3))
    };
    format!(
        "{}: {} of {} answered, {} {} (p50), {} (p99): {}",
        row.label(),
        tally.requests.ok(),
        tally.requests.total,
        kind.latency().title(),
        latency(50),
        latency(99),
        if row.verdict.met { "target met" } else { "target missed" },
    )
}

/// Clients of an engine begin within this time.
const RAMP: Duration = Duration::from_secs(2);
