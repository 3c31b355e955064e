//! io: `visavis load`: finds or starts the server, lets callers call it, and tells what came of it

use std::io::IsTerminal;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow};
use tokio_util::sync::CancellationToken;

use visavis::config::models;
use visavis::load::CallSettings;
use visavis::load::crowd::{Length, Stage};
use visavis::load::figure::Figure;
use visavis::load::host::Watched;
use visavis::load::outcome::Step;
use visavis::load::reach::{Reached, reach};
use visavis::load::run::{self, Crowd, Mode, Ran};
use visavis::load::scenario::Scenario;
use visavis::load::speech::{Speech, Spoken};
use visavis::load::spread::Stat;
use visavis::load::tally::Tally;
use visavis::load::target::{self, Targets};
use visavis::rtc::Identity;
use visavis::runtime::clock;
use visavis::runtime::program::{Program, words};

use super::{Failure, Outcome, because, signals};
use crate::cli::load::Load;
use crate::{MISSED, SOFTWARE, UNAVAILABLE, USAGE};

/// Everything that does not depend on the server.
struct Cast {
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
    let mut scenario = Scenario::load(&load.scenario).map_err(|error| usage(error.into()))?;
    scenario.video &= !load.no_video;
    let given = load.target.as_deref().unwrap_or(target::OF_CALLS);
    let targets = given.parse::<Targets>().context("--target").map_err(&usage)?;
    let unavailable = because(UNAVAILABLE);
    let folder = load.speech.clone().unwrap_or_else(|| models::folder().join("speech"));
    let mut speech = Speech::open(&folder).map_err(|error| unavailable(error.into()))?;
    let say = speech.take(&scenario.say.from).map_err(|error| unavailable(error.into()))?;
    let talk_over = match &scenario.talk_over {
        Some(over) => speech.take(&over.say).map_err(|error| unavailable(error.into()))?,
        None => vec![],
    };
    let mode = match (load.concurrency, load.users.is_empty()) {
        (Some(callers), _) => Mode::Steps(vec![callers]),
        (None, false) => Mode::Steps(load.users.clone()),
        (None, true) => Mode::Search { cap: load.most },
    };
    let length = Length { warmup: load.warmup, counted: load.duration };
    Ok(Cast { scenario, say, talk_over, mode, length, targets })
}

async fn perform(load: &Load, cast: &Cast, stop: &CancellationToken) -> Outcome {
    let mut met = true;
    let values = match &load.sweep {
        Some(sweep) => sweep.values.iter().map(|value| Some(format!("{}={value}", sweep.key))).collect(),
        None => vec![None],
    };
    for setting in values {
        if let Some(setting) = &setting {
            eprintln!("{setting}:");
        }
        let ran = one(load, cast, setting.as_deref(), stop).await?;
        print(&ran, &cast.targets);
        met &= ran.met;
        if ran.cut_short {
            break;
        }
    }
    if load.target.is_some() && !met && !matches!(cast.mode, Mode::Search { .. }) {
        return Err(Failure { code: MISSED, error: anyhow!("the target was missed: {}", cast.targets) });
    }
    Ok(())
}

/// One run, with a server of its own where a command is given.
async fn one(load: &Load, cast: &Cast, setting: Option<&str>, stop: &CancellationToken) -> Result<Ran, Failure> {
    let started = match &load.command {
        Some(command) => Some(start(command, setting, stop).await?),
        None => None,
    };
    let (program, said) = started.map_or((None, None), |(program, url)| (Some(program), url));
    let url = load.server.clone().or(said).unwrap_or_else(|| USUAL_SERVER.to_owned());
    let ran = call(load, cast, &url, program.as_ref().and_then(Program::id), stop).await;
    if let Some(program) = program {
        program.stop(GRACE).await;
    }
    ran
}

/// Starts the server and waits until it is ready; gives where it says that it is.
async fn start(
    command: &str,
    setting: Option<&str>,
    stop: &CancellationToken,
) -> Result<(Program, Option<String>), Failure> {
    let mut words = words(command).context("--command").map_err(because(USAGE))?;
    if words[0] == "visavis" {
        let this = std::env::current_exe().context("where is this program?").map_err(because(SOFTWARE))?;
        words[0] = this.to_string_lossy().into_owned();
    }
    if let Some(setting) = setting {
        words.extend(["--set".to_owned(), setting.to_owned()]);
    }
    let unavailable = because(UNAVAILABLE);
    let failed =
        |error| unavailable(anyhow::Error::from(error).context(format!("the server of --command {command:?}")));
    let mut program = Program::start(&words, |line| line.starts_with("Ready:")).map_err(failed)?;
    let ready = tokio::select! {
        ready = program.ready(READY) => ready.map_err(failed)?,
        () = stop.cancelled() => return Err(unavailable(anyhow!("ended before the server was ready"))),
    };
    Ok((program, url_in(&ready)))
}

/// `Ready: open http://127.0.0.1:8080`, `Ready: the tts engine on 127.0.0.1:8089`.
fn url_in(line: &str) -> Option<String> {
    line.split_whitespace().rev().find_map(|word| match word.parse::<SocketAddr>() {
        Ok(address) => Some(format!("http://{address}")),
        Err(_) => word.starts_with("http").then(|| word.to_owned()),
    })
}

async fn call(
    load: &Load,
    cast: &Cast,
    url: &str,
    process: Option<u32>,
    stop: &CancellationToken,
) -> Result<Ran, Failure> {
    let http = reqwest::Client::new();
    let reached = tokio::select! {
        reached = reach(&http, url) => reached.map_err(|error| because(UNAVAILABLE)(error.into()))?,
        () = stop.cancelled() => return Ok(Ran { cut_short: true, ..Ran::default() }),
    };
    let crowd = crowd(load, cast, url, &http, &reached)?;
    let metrics = url.parse::<reqwest::Url>().ok().and_then(|url| url.join("/metrics").ok()).map(String::from);
    let mut watched = Watched::new(http, process, Some(reached.address), metrics, load.token.clone());
    let run = run::run(&crowd, &cast.mode, cast.length, &cast.targets, &mut watched, stop, |step, tally, met| {
        if !std::io::stderr().is_terminal() {
            eprintln!("{}", in_a_line(step, tally, met));
        }
    });
    Ok(run.await)
}

fn crowd(load: &Load, cast: &Cast, url: &str, http: &reqwest::Client, reached: &Reached) -> Result<Crowd, Failure> {
    let identity = Identity::generate().context("a certificate for the callers").map_err(because(SOFTWARE))?;
    let call = CallSettings {
        token: load.token.clone(),
        bind: reached.from,
        video: cast.scenario.video,
        keep_sound: false,
        keep_frames: false,
        ..CallSettings::new(url, identity)
    };
    Ok(Crowd::Calls(Arc::new(Stage {
        http: http.clone(),
        call,
        scenario: cast.scenario.clone(),
        say: cast.say.clone(),
        talk_over: cast.talk_over.clone(),
        seed: load.seed,
        began: clock::now(),
        progress: Arc::default(),
    })))
}

fn in_a_line(step: &Step, tally: &Tally, met: bool) -> String {
    let number = |figure, stat| tally.get(figure, stat).map_or("–".into(), |value| format!("{value:.3}"));
    format!(
        "{} callers: {} answers, {} of {} calls failed, turn p50 {} s p99 {} s, server {} CPU-ms per session second, ours {}: {}",
        step.callers,
        tally.requests.ok(),
        tally.calls.total - tally.calls.ok(),
        tally.calls.total,
        number(Figure::Turn, Stat::Percentile(50)),
        number(Figure::Turn, Stat::Percentile(99)),
        tally.server.and_then(|cost| cost.cpu_ms_per_session_s).map_or("–".into(), |ms| format!("{ms:.1}")),
        tally.own.cpu_ms_per_session_s.map_or("–".into(), |ms| format!("{ms:.1}")),
        if met { "good" } else { "not good" },
    )
}

fn print(ran: &Ran, targets: &Targets) {
    for step in &ran.steps {
        let tally = Tally::of(step);
        println!("{}", in_a_line(step, &tally, targets.judge(&tally).met));
    }
    match ran.found {
        Some(Some(most)) => println!("Most callers that meet {targets}: {most}"),
        Some(None) => println!("Not even one caller meets {targets}"),
        None => {}
    }
}

const USUAL_SERVER: &str = "http://127.0.0.1:8080";

/// Models are loaded and warmed.
const READY: Duration = Duration::from_secs(120);

/// What a server gives its calls, and a little more.
const GRACE: Duration = Duration::from_secs(10);
