//! io: what each command does

mod load;
mod progress;

use std::future::Future;
use std::io::IsTerminal;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, anyhow};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use visavis::app::catalogue::{Catalogue, Size, State};
use visavis::app::engines::{Ground, Kind, Sound, door_alone};
use visavis::app::{House, OpenError, loopback};
use visavis::config::{Config, Flag, Loaded, Sources};
use visavis::engine::serve::access::Token;
use visavis::metrics::Metrics;
use visavis::runtime::scope::{Scope, TaskCounter};
use visavis::runtime::{clock, lag};

use crate::cli::{self, Command};
use crate::{SOFTWARE, UNAVAILABLE, USAGE};

/// Why a command failed, and the exit code that says so.
pub struct Failure {
    pub code: u8,
    pub error: anyhow::Error,
}

type Outcome = Result<(), Failure>;

fn because(code: u8) -> impl Fn(anyhow::Error) -> Failure {
    move |error| Failure { code, error }
}

pub fn run(command: Command) -> Outcome {
    match command {
        Command::Serve(serve) => {
            let loaded = settings(serve.common.config.clone(), serve.flags())?;
            log(&loaded);
            in_runtime(self::serve(loaded.config))
        }
        Command::Engine(engine) => {
            let loaded = settings(engine.common.config.clone(), engine.flags())?;
            log(&loaded);
            let kind = Kind::from(engine.kind);
            let usual = SocketAddr::from((Ipv4Addr::LOCALHOST, kind.usual_port()));
            in_runtime(self::engine(kind, engine.listen.unwrap_or(usual), loaded.config))
        }
        Command::Models(cli::Models::List(common)) => {
            models(&settings(common.config.clone(), common.flags())?.config, false)
        }
        Command::Models(cli::Models::Verify(common)) => {
            models(&settings(common.config.clone(), common.flags())?.config, true)
        }
        Command::Load(load) => {
            quiet_log();
            in_runtime(self::load::load(*load))
        }
        Command::Check(check) => {
            let flags = check.common.flags();
            let loaded = settings(check.file.or(check.common.config), flags)?;
            for warning in &loaded.warnings {
                eprintln!("visavis: {warning}");
            }
            print!("{}", loaded.effective);
            Ok(())
        }
    }
}

fn settings(file: Option<PathBuf>, flags: Vec<Flag>) -> Result<Loaded, Failure> {
    Sources::of_process(file, flags).load().map_err(|error| Failure { code: USAGE, error: error.into() })
}

fn log(loaded: &Loaded) {
    let filter = tracing_subscriber::EnvFilter::new(&loaded.config.log_filter);
    let coloured = std::io::stderr().is_terminal();
    tracing_subscriber::fmt().with_env_filter(filter).with_ansi(coloured).with_writer(std::io::stderr).init();
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
}

/// For a command without a configuration: what goes wrong, and nothing else.
fn quiet_log() {
    let coloured = std::io::stderr().is_terminal();
    tracing_subscriber::fmt().with_env_filter("warn").with_ansi(coloured).with_writer(std::io::stderr).init();
}

fn in_runtime(work: impl Future<Output = Outcome>) -> Outcome {
    // Half of the cores: the rooms only decide and pass on, the work is done by the pool and the models. On two cores
    // two workers spent more time waking one another than one takes for everything.
    let cores = std::thread::available_parallelism().map_or(2, NonZeroUsize::get);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads((cores / 2).max(1))
        .enable_all()
        .thread_name("visavis")
        .build();
    let runtime = runtime.context("cannot start the runtime").map_err(because(SOFTWARE))?;
    let outcome = runtime.block_on(work);
    // A model that is still loading or thinking for nobody does not hold the process up.
    runtime.shutdown_timeout(Duration::from_secs(1));
    outcome
}

async fn serve(config: Config) -> Outcome {
    let listener = listen(config.server.listen).await?;
    let brain = config.llm.brain();
    let rooms = config.server.max_sessions;
    let house = House::open(config, listener).await.map_err(|error| {
        let code = if matches!(error, OpenError::Bug(_)) { SOFTWARE } else { UNAVAILABLE };
        Failure { code, error: error.into() }
    })?;
    let better = if brain.demo { " (a demo; VISAVIS_LLM_URL or OPENAI_API_KEY brings a better one)" } else { "" };
    println!("The brain: {}{better}", brain.label);
    println!("Room for {rooms} calls at a time; their media on UDP port {}", house.rtc[0].port());
    println!("Ready: open http://{}", reachable(house.http));
    let (stop, impatient) = signals()?;
    tokio::select! {
        ended = house.run(stop.cancelled_owned()) => ended.map_err(|error| Failure { code: SOFTWARE, error: error.into() }),
        () = impatient => Ok(()),
    }
}

async fn engine(kind: Kind, at: SocketAddr, config: Config) -> Outcome {
    let listener = listen(at).await?;
    // Port 0 is any that is free.
    let at = listener.local_addr().unwrap_or(at);
    let unavailable = because(UNAVAILABLE);
    let metrics = Metrics::new();
    let sound = match kind {
        Kind::Stt | Kind::Tts if !config.engines.scripted => {
            Some(Sound::open(&config.engines.models, &metrics).map_err(|error| unavailable(error.into()))?)
        }
        _ => None,
    };
    let token = config.engines.token.as_ref().map(|token| Token::new(token.expose()));
    let rooms = config.server.max_sessions;
    let ground = Ground { config, metrics: metrics.clone(), sound };
    let router = door_alone(kind, ground, token).await.map_err(|error| unavailable(error.into()))?;
    println!("Room for {rooms} calls at a time");
    println!("Ready: the {} engine on {at}", kind.name());
    let (stop, impatient) = signals()?;
    // A task of its own: here, on the main thread, it would measure the one thread that no caller waits for.
    let mut scope = Scope::new(TaskCounter::default());
    scope.spawn("the measure of lag", lag::measure(metrics));
    tokio::select! {
        ended = loopback::serve(listener, router, stop.clone()) => ended.map_err(|error| because(SOFTWARE)(error.into())),
        // Callers keep their connections for as long as a call lasts.
        () = async { stop.cancelled().await; clock::sleep(GRACE).await } => Ok(()),
        () = impatient => Ok(()),
    }
}

async fn listen(at: SocketAddr) -> Result<TcpListener, Failure> {
    TcpListener::bind(at).await.with_context(|| format!("cannot listen on {at}")).map_err(because(UNAVAILABLE))
}

/// What to type into a browser on this machine.
fn reachable(at: SocketAddr) -> SocketAddr {
    let ip = if at.ip().is_unspecified() { IpAddr::V4(Ipv4Addr::LOCALHOST) } else { at.ip() };
    SocketAddr::new(ip, at.port())
}

/// A token that SIGTERM or SIGINT cancels, while the future is polled; it ends with the second of them.
fn signals() -> Result<(CancellationToken, impl Future<Output = ()>), Failure> {
    let listen = |kind| signal(kind).context("cannot listen for signals").map_err(because(SOFTWARE));
    let (mut term, mut int) = (listen(SignalKind::terminate())?, listen(SignalKind::interrupt())?);
    let stop = CancellationToken::new();
    let told = stop.clone();
    let twice = async move {
        for _ in 0..2 {
            tokio::select! {
                _ = term.recv() => {}
                _ = int.recv() => {}
            }
            told.cancel();
        }
    };
    Ok((stop, twice))
}

/// Lists the model files, and with `verify` reads them. Fails when one that the configuration needs is not there.
fn models(config: &Config, verify: bool) -> Outcome {
    let catalogue = Catalogue::shipped();
    let folder = &config.engines.models;
    println!("The models lie in {} (VISAVIS_MODELS=DIR names another folder).", folder.display());
    let needed: Vec<&str> = catalogue.wanted(config).map(|file| file.path.as_str()).collect();
    let mut lacking = 0;
    for file in &catalogue.files {
        let state = if verify { file.verify(folder) } else { file.look(folder) };
        let word = match (&state, needed.contains(&file.path.as_str())) {
            (State::Good, _) if verify => "good",
            (State::Good, _) => "there",
            (_, true) => {
                lacking += 1;
                if state == State::Missing { "MISSING" } else { "WRONG" }
            }
            (State::Missing, false) => "not needed",
            (State::Different(_), false) => "wrong, not needed",
        };
        println!("\n{}  [{word}]", file.path);
        if let State::Different(why) = &state {
            println!("    found:   {why}");
        }
        println!("{}", catalogue.advice(file));
    }
    let total = Size(catalogue.files.iter().map(|file| file.bytes).sum());
    println!("\n{} files, {total}.", catalogue.files.len());
    if lacking == 0 {
        return Ok(());
    }
    let what = anyhow!(
        "{lacking} of the files that this configuration needs are missing or wrong; script/models fetches them"
    );
    Err(Failure { code: UNAVAILABLE, error: what })
}

/// What an engine that runs alone gives its callers after the first signal.
const GRACE: Duration = Duration::from_secs(5);
