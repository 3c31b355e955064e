//! io: crowds of callers against servers that are well, full, dead, mad or mute; and clients of engines' doors

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use visavis::engine::scripted::llm::ScriptedLlm;
use visavis::engine::scripted::stt::ScriptedRecognizer;
use visavis::engine::scripted::tts::Script;
use visavis::engine::serve::{chat, stt, tts};
use visavis::engine::stt::{Ear, SttEngine};
use visavis::engine::tts::TtsEngine;
use visavis::load::CallSettings;
use visavis::load::crowd::{Length, Stage, step};
use visavis::load::doors::llm::Llm;
use visavis::load::doors::stt::{Dialect, Stt};
use visavis::load::doors::tts::Tts;
use visavis::load::doors::{Clients, Engine};
use visavis::load::figure::Figure;
use visavis::load::host::Watched;
use visavis::load::outcome::{Cause, Outcome, Step};
use visavis::load::scenario::{From, Scenario};
use visavis::load::speech::{Speech, Spoken};
use visavis::metrics::Metrics;
use visavis::rtc::Identity;
use visavis::runtime::clock;
use visavis::runtime::scope::TaskCounter;

use crate::kit::house::Running;
use crate::kit::program::Program;
use crate::kit::server::Served;
use crate::kit::speech::models;

const SHORT: &str = "say: { from: [librivox-0880.wav] }\nturns: 1\npause_s: 0.1\n\
                     call: { silence_ms: 300, video: false, greeting: false }\n";

/// Longer than anything here takes: a step that lasts as long has hung.
const LONG: Length = Length { warmup: Duration::ZERO, counted: Duration::from_secs(120) };

fn spoken() -> Vec<Arc<Spoken>> {
    let mut speech = Speech::open(&models().join("speech")).expect("script/test has fetched it");
    speech.take(&From::Files(vec!["librivox-0880.wav".into()])).unwrap()
}

fn stage(url: &str, scenario: &str) -> Arc<Stage> {
    let began = clock::now();
    let scenario =
        Scenario::parse("test", std::path::Path::new("test.yaml"), scenario).unwrap_or_else(|e| panic!("{e}"));
    let call =
        CallSettings { video: scenario.video, ..CallSettings::measuring(url, Identity::generate().unwrap(), began) };
    Arc::new(Stage {
        http: reqwest::Client::new(),
        call,
        scenario,
        say: spoken(),
        talk_over: spoken(),
        seed: 7,
        began,
        progress: Arc::default(),
    })
}

fn unwatched() -> Watched {
    Watched::new(reqwest::Client::new(), None, None, None, None)
}

async fn crowd(url: &str, scenario: &str, callers: usize, length: Length) -> Step {
    let stage = stage(url, scenario);
    let step = step(&stage, callers, length, &mut unwatched(), &CancellationToken::new()).await;
    assert_eq!(stage.call.tasks.alive(), 0, "nobody stays behind");
    step
}

fn failures(step: &Step) -> Vec<Cause> {
    step.outcomes.iter().filter_map(|outcome| outcome.failure).collect()
}

fn value(outcome: &Outcome, request: usize, figure: Figure) -> Option<f64> {
    outcome.requests[request].value(figure)
}

/// Three callers are greeted, ask one thing each and leave: three good outcomes, and the step ends with the last of them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crowd_is_served() {
    let server = Running::scripted(|_| {}).await;
    let scenario = SHORT.replace("greeting: false", "greeting: true, include: [visavis.trace]");
    let step = crowd(&server.url, &scenario, 3, LONG).await;
    assert_eq!((step.callers, step.outcomes.len(), step.cut_short), (3, 3, false));
    assert!(step.lasted_s < 60.0, "nobody waited for the end of the time");
    for (number, outcome) in step.outcomes.iter().enumerate() {
        assert_eq!((outcome.caller, outcome.failure, outcome.requests.len()), (number, None, 2), "{outcome:?}");
        assert!(
            outcome.connected_s > 3.0 && outcome.caller_spoke_s > 1.0 && outcome.agent_spoke_s > 1.0,
            "{outcome:?}"
        );
        assert!(outcome.requests.iter().all(|request| request.failure.is_none()));
        assert_eq!(value(outcome, 0, Figure::Turn), None, "a greeting answers nobody");
        assert!(value(outcome, 0, Figure::Underrun).is_some(), "how it sounded counts");
        // Most of the silence that ends a turn, at least (the recording trails off); nothing of a quiet conversation takes seconds.
        let turn = value(outcome, 1, Figure::Turn).expect("the answer was heard");
        assert!((0.2..5.0).contains(&turn), "{turn}");
        assert!(value(outcome, 1, Figure::Ttfb).is_some(), "the server's steps are known from its trace");
        let pace = value(outcome, 1, Figure::Words).expect("the server tells the words");
        assert!((0.5..10.0).contains(&pace), "{pace}");
    }
}

/// Whoever finds no room is counted as that; the others are served.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_house_is_counted() {
    let server = Running::scripted(|config| config.server.max_sessions = 1).await;
    let step = crowd(&server.url, SHORT, 3, LONG).await;
    assert_eq!(failures(&step), [Cause::Busy; 2]);
    assert_eq!(
        step.outcomes.iter().filter(|outcome| outcome.failure.is_none() && outcome.requests.len() == 1).count(),
        1
    );
}

/// Everybody dials in the warm-up, as is usual: who found no room then is missing in what counts.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_was_turned_away_in_the_warm_up_is_counted() {
    let server = Running::scripted(|config| config.server.max_sessions = 1).await;
    let length = Length { warmup: Duration::from_secs(3), counted: Duration::from_secs(2) };
    let step = crowd(&server.url, &SHORT.replace("turns: 1\n", ""), 3, length).await;
    assert_eq!((failures(&step), step.came), (vec![Cause::Busy; 2], 3));
}

/// The server has not answered when the time is up: it is waited for as long as a caller would, and then it has not answered.
/// Nobody leaves a seat taken.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_hangs_at_the_end_is_counted() {
    let server = Running::scripted(|_| {}).await;
    let slow = SHORT.replace("silence_ms: 300", "silence_ms: 9000") + "patience: { answer_s: 4 }\n";
    // Time to say it once, and not to wait for the answer.
    let said = spoken()[0].utterance.speech_length();
    let length = Length { warmup: Duration::ZERO, counted: said + Duration::from_millis(1500) };
    let step = crowd(&server.url, &slow, 1, length).await;
    let asked: Vec<_> = step.outcomes[0].requests.iter().map(|request| request.failure).collect();
    assert_eq!((asked, failures(&step)), (vec![Some(Cause::NoAnswer)], vec![]));
    assert!(step.lasted_s < length.counted.as_secs_f64() + 0.5 && !step.cut_short);
    assert!(server.calls.ids().is_empty());
}

/// What a server does not take of a caller's wishes is told; the calls go on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_wish_is_told() {
    let server = Running::scripted(|_| {}).await;
    let scenario = SHORT.replace("greeting: false", "greeting: false, include: [visavis.horoscope]");
    let stage = stage(&server.url, &scenario);
    let step = step(&stage, 1, LONG, &mut unwatched(), &CancellationToken::new()).await;
    assert_eq!((failures(&step), step.outcomes[0].requests.len()), (vec![], 1));
    let refusal = stage.progress.refusal().expect("the server said something");
    assert!(refusal.contains("visavis.horoscope"), "{refusal}");
}

/// The time is up in the middle of everything: what was measured until then is kept, and nothing counts as failed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_early_end_keeps_what_was_measured() {
    let server = Running::scripted(|_| {}).await;
    let stage = stage(&server.url, &SHORT.replace("turns: 1\n", ""));
    let (stop, progress) = (CancellationToken::new(), stage.progress.clone());
    let mut watched = unwatched();
    let ended = async {
        while progress.standing().answered < 2 {
            clock::sleep(Duration::from_millis(20)).await;
        }
        stop.cancel();
    };
    let (step, ()) = tokio::join!(step(&stage, 2, LONG, &mut watched, &stop), ended);
    assert!(step.cut_short && step.lasted_s < 100.0);
    assert_eq!((step.outcomes.len(), failures(&step)), (2, vec![]));
    assert!(step.outcomes.iter().map(|outcome| outcome.requests.len()).sum::<usize>() >= 2);
    assert!(step.outcomes.iter().flat_map(|outcome| &outcome.requests).all(|request| request.failure.is_none()));
}

/// Somebody takes the connection and never says a word.
#[tokio::test(start_paused = true)]
async fn a_black_hole_is_unreachable() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let hole = tokio::spawn(async move {
        let mut held = vec![];
        while let Ok((socket, _)) = listener.accept().await {
            held.push(socket);
        }
    });
    let step = crowd(&url, SHORT, 4, LONG).await;
    hole.abort();
    assert_eq!(failures(&step), [Cause::Unreachable; 4]);
    assert!(step.lasted_s < 60.0);
}

/// What is no HTTP, and what is no answer to an offer, is garbage; a port where nobody listens is unreachable.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nonsense_is_garbage() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let raw = format!("http://{}", listener.local_addr().unwrap());
    let server = tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let mut asked = [0; 4096];
            let _ = socket.read(&mut asked).await;
            let _ = socket.write_all(b"What do you want?\r\n\r\n").await;
        }
    });
    assert_eq!(failures(&crowd(&raw, SHORT, 2, LONG).await), [Cause::Garbage; 2]);
    server.abort();
    let polite = axum::Router::new().fallback(|| async { (axum::http::StatusCode::CREATED, "v=0, more or less") });
    let polite = Served::start(polite).await;
    assert_eq!(failures(&crowd(&polite.http(), SHORT, 2, LONG).await), [Cause::Garbage; 2]);
    let stranger = Served::start(axum::Router::new()).await;
    assert_eq!(failures(&crowd(&stranger.http(), SHORT, 1, LONG).await), [Cause::Refused]);
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    assert_eq!(failures(&crowd(&format!("http://{nobody}"), SHORT, 1, LONG).await), [Cause::Unreachable]);
}

/// The server dies in the middle of two calls: both are counted, by cause, and the step does not wait for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_dies_is_counted() {
    let server = Program::serve(&["--engines", "scripted"]);
    let stage = stage(&server.address, &SHORT.replace("turns: 1\n", "patience: { answer_s: 5, end_s: 5 }\n"));
    let (stop, progress) = (CancellationToken::new(), stage.progress.clone());
    let mut watched = unwatched();
    let length = Length { warmup: Duration::ZERO, counted: Duration::from_secs(60) };
    let death = async {
        while progress.standing().answered < 1 || progress.standing().talking < 2 {
            clock::sleep(Duration::from_millis(20)).await;
        }
        drop(server);
    };
    let (step, ()) = tokio::join!(step(&stage, 2, length, &mut watched, &stop), death);
    assert_eq!(step.outcomes.len(), 2);
    for outcome in &step.outcomes {
        let unanswered = outcome.requests.iter().filter_map(|request| request.failure);
        let causes: Vec<Cause> = unanswered.chain(outcome.failure).collect();
        let known = [Cause::Dropped, Cause::NoAnswer, Cause::Endless];
        assert!(!causes.is_empty() && causes.iter().all(|cause| known.contains(cause)), "{outcome:?}");
    }
    assert_eq!(stage.call.tasks.alive(), 0);
}

async fn clients(engine: Engine, count: usize, seconds: u64) -> Step {
    let began = clock::now();
    let (progress, tasks) = (Arc::default(), TaskCounter::default());
    let clients = Arc::new(Clients { engine, began, ramp: Duration::ZERO, progress, tasks: tasks.clone() });
    let length = Length { warmup: Duration::ZERO, counted: Duration::from_secs(seconds) };
    let step = clients.step(count, length, &mut unwatched(), &CancellationToken::new()).await;
    assert_eq!((step.outcomes.len(), tasks.alive()), (count, 0));
    step
}

/// Every request that was answered, and the causes of the others.
fn requests(step: &Step) -> (Vec<&visavis::load::outcome::Request>, Vec<Cause>) {
    let all = step.outcomes.iter().flat_map(|outcome| &outcome.requests);
    let (good, bad): (Vec<_>, Vec<_>) = all.partition(|request| request.failure.is_none());
    (good, bad.into_iter().filter_map(|request| request.failure).collect())
}

/// A voice that begins after 300 ms and is four times as fast as it speaks is measured as that; one seat too few is counted.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn voices_are_measured() {
    let script = Script { first_sound_after: Duration::from_millis(300), times_real_time: 4.0 };
    let served = Served::start(tts::router(TtsEngine::new(script, 2), None)).await;
    let step = clients(Engine::Tts(Tts { server: served.http(), key: None }), 3, 8).await;
    let (good, bad) = requests(&step);
    assert!(good.len() >= 2 && !bad.is_empty() && bad.iter().all(|cause| *cause == Cause::Busy), "{bad:?}");
    for request in good {
        let ttfb = request.value(Figure::Ttfb).unwrap();
        let rtf = request.value(Figure::Rtf).unwrap();
        assert!((0.3..2.0).contains(&ttfb), "{ttfb}");
        assert!((0.15..0.9).contains(&rtf), "{rtf}");
        assert!(request.value(Figure::Underrun).unwrap() < 0.5 && request.value(Figure::Words).unwrap() > 0.5);
    }
}

/// Speech is said as fast as it was spoken, and the words of it are waited for; both dialects.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ears_are_measured() {
    let script = ScriptedRecognizer::new(["one two three four"]);
    let engine = SttEngine::start(script, Ear::Loudness, 4, Metrics::new()).with_delay(Duration::from_millis(300));
    let served = Served::start(stt::router(engine, None)).await;
    let spoken = spoken();
    for dialect in [Dialect::Visavis, Dialect::Moshi] {
        let step = clients(Engine::Stt(Stt::new(served.ws(), None, dialect, &spoken)), 1, 9).await;
        let (good, bad) = requests(&step);
        assert!(!good.is_empty() && bad.is_empty(), "{dialect:?}: {bad:?}");
        for request in good {
            let answer = request.value(Figure::SttFinal).unwrap();
            assert!((0.15..3.0).contains(&answer), "{dialect:?}: {answer}");
            assert_eq!(request.value(Figure::Words), None, "the pace would be that of the recording");
        }
    }
}

/// First word and pace are those of the script; who gets no seat is busy.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn brains_are_measured() {
    let script = ScriptedLlm {
        first_word: Duration::from_millis(250),
        words_per_second: 20.0,
        seats: 1,
        ..ScriptedLlm::default()
    };
    let served = Served::start(chat::router(script.engine(&Metrics::new()), None)).await;
    let step = clients(Engine::Llm(Llm::new(reqwest::Client::new(), &served.http(), None)), 2, 6).await;
    let (good, bad) = requests(&step);
    assert!(!good.is_empty() && !bad.is_empty() && bad.iter().all(|cause| *cause == Cause::Busy), "{bad:?}");
    for request in good {
        let (ttft, words) = (request.value(Figure::Ttft).unwrap(), request.value(Figure::Words).unwrap());
        assert!((0.25..2.0).contains(&ttft) && (4.0..21.0).contains(&words), "{ttft} {words}");
    }
    let nobody = clients(Engine::Tts(Tts { server: served.http(), key: None }), 1, 1).await;
    assert!(requests(&nobody).1.iter().all(|cause| *cause == Cause::Refused), "there is no voice behind that door");
}
