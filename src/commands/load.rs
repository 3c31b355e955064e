//! io: `visavis load`: finds or starts the server, lets callers call it, and tells what came of it

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, anyhow};
use tokio_util::sync::CancellationToken;

use visavis::config::models;
use visavis::load::CallSettings;
use visavis::load::crowd::{Length, Stage};
use visavis::load::doors::llm::Llm;
use visavis::load::doors::stt::Stt;
use visavis::load::doors::tts::Tts;
use visavis::load::doors::{Clients, Engine};
use visavis::load::host::{self, Watched};
use visavis::load::reach::{Reached, is_ready, reach};
use visavis::load::report::{Kind, Maximum, Row, Run, html, json, table};
use visavis::load::run::{self, Crowd, Mode, Ran};
use visavis::load::scenario::Scenario;
use visavis::load::speech::{Speech, SpeechError, Spoken};
use visavis::load::spread::Stat;
use visavis::load::target::{self, Targets};
use visavis::rtc::Identity;
use visavis::runtime::clock;
use visavis::runtime::program::{Program, words};
use visavis::runtime::scope::TaskCounter;

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
        command: std::env::args().map(|word| quoted(&word)).collect::<Vec<_>>().join(" "),
        kind: cast.kind,
        scenario,
        seed: Some(load.seed),
        machine: host::machine(),
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
    tell(load, &report)?;
    if let Some(failure) = trouble {
        return Err(failure);
    }
    if load.target.is_some() && matches!(cast.mode, Mode::Steps(_)) && !report.met() {
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
    let to_stdout = |path: &Path| path.as_os_str() == "-";
    if report.rows.is_empty() {
        return Ok(());
    }
    match &load.json {
        Some(path) if to_stdout(path) => {
            eprintln!("{}", table::text(report));
            print!("{}", json::text(report));
        }
        Some(path) => {
            println!("{}", table::text(report));
            write(path, &json::text(report))?;
        }
        None => println!("{}", table::text(report)),
    }
    if let Some(path) = &load.html {
        write(path, &html::page(report))?;
    }
    Ok(())
}

fn write(path: &Path, text: &str) -> Outcome {
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
        Some(command) => match start(command, setting, load.server.as_deref(), stop).await? {
            Some((program, url)) => (Some(program), url),
            None => return Ok(Ran::cut_short()),
        },
        None => (None, None),
    };
    let url = load.server.clone().or(said).unwrap_or_else(|| usual_server(cast.kind));
    let ran = call(load, cast, &url, program.as_ref().and_then(Program::id), bar, stop).await;
    if let Some(program) = program {
        program.stop(GRACE).await;
    }
    ran
}

/// Starts the server and waits until it says that it is ready, or answers at `server`; gives where it says that it is.
/// `None`: ended before that.
async fn start(
    command: &str,
    setting: Option<&str>,
    server: Option<&str>,
    stop: &CancellationToken,
) -> Result<Option<(Program, Option<String>)>, Failure> {
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
        () = answers(server) => String::new(),
        () = stop.cancelled() => {
            program.stop(GRACE).await;
            return Ok(None);
        }
    };
    Ok(Some((program, url_in(&ready))))
}

/// Until somebody answers at `server`: what other servers say when they are ready nobody knows.
async fn answers(server: Option<&str>) {
    let Some(server) = server else { return std::future::pending().await };
    let http = reqwest::Client::new();
    while !is_ready(&http, server).await {
        clock::sleep(BETWEEN_KNOCKS).await;
    }
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
    bar: &Bar,
    stop: &CancellationToken,
) -> Result<Ran, Failure> {
    let http = reqwest::Client::new();
    let reached = tokio::select! {
        reached = reach(&http, url) => reached.map_err(|error| because(UNAVAILABLE)(error.into()))?,
        () = stop.cancelled() => return Ok(Ran::cut_short()),
    };
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

/// As a shell takes it.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,@%+".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// `2026-11-22 16:42 UTC`. Days to a date: H. Hinnant, "chrono-compatible low-level date algorithms", civil_from_days.
fn date(at: SystemTime) -> String {
    let seconds = at.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let days = seconds / 86_400 + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let (day, month) =
        (day_of_year - (153 * shifted + 2) / 5 + 1, if shifted < 10 { shifted + 3 } else { shifted - 9 });
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute) = (seconds / 3600 % 24, seconds / 60 % 60);
    format!("{year}-{month:02}-{day:02} {hour:02}:{minute:02} UTC")
}

/// Where `serve` and `engine` listen unless they are told otherwise.
fn usual_server(kind: Kind) -> String {
    let port = match kind {
        Kind::Calls => 8080,
        Kind::Tts => 8089,
        Kind::Stt => 8090,
        Kind::Llm => 8091,
    };
    format!("http://127.0.0.1:{port}")
}

/// Clients of an engine begin within this time.
const RAMP: Duration = Duration::from_secs(2);

/// Models are loaded and warmed.
const READY: Duration = Duration::from_secs(120);

const BETWEEN_KNOCKS: Duration = Duration::from_millis(200);

/// What a server gives its calls, and a little more.
const GRACE: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        let at = |seconds| date(UNIX_EPOCH + Duration::from_secs(seconds));
        assert_eq!(at(0), "1970-01-01 00:00 UTC");
        assert_eq!(at(951_782_399), "2000-02-28 23:59 UTC");
        assert_eq!(at(951_782_400), "2000-02-29 00:00 UTC");
        assert_eq!(at(1_795_365_720), "2026-11-22 16:42 UTC");
    }

    #[test]
    fn a_server_says_where_it_is() {
        assert_eq!(url_in("Ready: open http://127.0.0.1:8080").unwrap(), "http://127.0.0.1:8080");
        assert_eq!(url_in("Ready: the tts engine on 127.0.0.1:8089").unwrap(), "http://127.0.0.1:8089");
        assert_eq!(url_in("Ready: at last"), None);
    }
}
