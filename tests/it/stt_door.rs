//! io: the speech-to-text door and the agent's client of it, over real sockets, with a scripted recognizer

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};
use visavis::agent::flow::Fault;
use visavis::agent::hearing::stt::{Dialect, SttClient, SttError, SttEvent, SttSettings};
use visavis::engine::scripted::stt::ScriptedRecognizer;
use visavis::engine::serve::access::Token;
use visavis::engine::serve::stt::router;
use visavis::engine::stt::{Ear, SttEngine};
use visavis::metrics::Metrics;
use visavis::runtime::scope::TaskCounter;
use visavis::wire::moshi::{SttIn, SttOut, pack, unpack};

use crate::kit::server::Served;

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

fn engine(seats: usize) -> SttEngine {
    SttEngine::start(ScriptedRecognizer::new(["hello there", "how are you"]), Ear::Loudness, seats, Metrics::new())
}

fn settings(served: &Served) -> SttSettings {
    SttSettings { url: served.ws(), token: None, dialect: Dialect::Visavis, connect_within: Duration::from_secs(5) }
}

async fn dial(served: &Served, query: &str) -> Socket {
    connect_async(format!("{}/api/asr-streaming{query}", served.ws())).await.unwrap().0
}

async fn next(socket: &mut Socket) -> Option<SttOut> {
    loop {
        match tokio::time::timeout(Duration::from_secs(10), socket.next()).await.expect("an answer in time")? {
            Ok(Message::Binary(bytes)) => return Some(unpack(&bytes).unwrap()),
            Ok(Message::Close(_)) | Err(_) => return None,
            Ok(_) => {}
        }
    }
}

async fn send(socket: &mut Socket, message: SttIn) {
    socket.send(Message::Binary(pack(&message).into())).await.unwrap();
}

fn tone(samples: usize) -> Vec<f32> {
    (0..samples).map(|n| 0.3 * (n as f32 * 0.2).sin()).collect()
}

/// A client of the original protocol: words with rising times on a marker, then its echo; 24 kHz is resampled and
/// counted; a text frame is not worth a word.
#[tokio::test]
async fn words_for_whoever_speaks_the_original() {
    let engine = engine(1);
    let metrics = engine.metrics().clone();
    let served = Served::start(router(engine, None)).await;
    let mut socket = dial(&served, "").await;
    assert_eq!(next(&mut socket).await, Some(SttOut::Ready));
    socket.send(Message::Text("is anybody there?".into())).await.unwrap();
    for _ in 0..20 {
        send(&mut socket, SttIn::Audio { pcm: tone(1920) }).await;
    }
    send(&mut socket, SttIn::Marker { id: 42 }).await;
    let mut heard = vec![];
    let mut last = 0.0;
    loop {
        match next(&mut socket).await.unwrap() {
            SttOut::Word { text, start_time } => {
                assert!(start_time >= last, "{start_time} after {last}");
                heard.push(text);
            }
            SttOut::EndWord { stop_time } => last = stop_time,
            SttOut::Marker { id } => {
                assert_eq!(id, 42);
                break;
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(heard, ["hello", "there"]);
    assert!((1.0..1.7).contains(&last), "{last}");
    assert!((metrics.resampled_seconds() - 1.6).abs() < 0.01, "{}", metrics.resampled_seconds());
}

/// With the opt-ins: partials while somebody speaks, a final before the echo, `Ready` after an init, the next turn
/// after it.
#[tokio::test]
async fn the_agents_client_gets_finals() {
    let engine = engine(1);
    let metrics = engine.metrics().clone();
    let served = Served::start(router(engine, None)).await;
    let counter = TaskCounter::default();
    let mut stt = SttClient::connect(&settings(&served), &Metrics::new(), counter.clone()).await.unwrap();
    for (turn, expected) in ["hello there", "how are you"].into_iter().enumerate() {
        for piece in tone(16_000 * 2).chunks(320) {
            stt.send_audio(piece).unwrap();
            tokio::task::yield_now().await;
        }
        // A marker would overtake the glance that makes the partial, so the partial comes first.
        let (mut marked, mut partials) = (false, 0);
        loop {
            match tokio::time::timeout(Duration::from_secs(10), stt.next()).await.unwrap().unwrap() {
                SttEvent::Partial { text, stable } => {
                    assert!(expected.starts_with(&text), "{text}");
                    assert!(stable <= text.split(' ').count());
                    partials += 1;
                    if !marked {
                        stt.mark(turn as i64).unwrap();
                        marked = true;
                    }
                }
                SttEvent::Final { text, words } => {
                    assert_eq!(text, expected);
                    assert_eq!(words.len(), expected.split(' ').count());
                    assert_eq!(stt.next().await.unwrap(), SttEvent::Marker { id: turn as i64 });
                    break;
                }
                other => panic!("{other:?}"),
            }
        }
        assert!(partials > 0);
        stt.init().unwrap();
    }
    assert_eq!(metrics.resampled_seconds(), 0.0);
    assert_eq!(counter.alive(), 1);
    drop(stt);
    while counter.alive() > 0 {
        tokio::task::yield_now().await;
    }
}

/// What was asked of a turn that has been committed since is not heard of any more.
#[tokio::test]
async fn a_forgotten_turn_stays_forgotten() {
    let engine = engine(1).with_delay(Duration::from_millis(50));
    let served = Served::start(router(engine, None)).await;
    let mut stt = SttClient::connect(&settings(&served), &Metrics::new(), TaskCounter::default()).await.unwrap();
    stt.send_audio(&tone(16_000)).unwrap();
    stt.mark(1).unwrap();
    stt.init().unwrap();
    stt.mark(2).unwrap();
    let wait = Duration::from_secs(10);
    let event = tokio::time::timeout(wait, stt.next()).await.unwrap().unwrap();
    assert_eq!(event, SttEvent::Final { text: String::new(), words: vec![] });
    assert_eq!(stt.next().await.unwrap(), SttEvent::Marker { id: 2 });
}

/// A full engine says so to both kinds of client, and a seat is free again as soon as its caller is gone.
#[tokio::test]
async fn the_last_seat() {
    let engine = engine(1);
    let served = Served::start(router(engine.clone(), None)).await;
    let first = SttClient::connect(&settings(&served), &Metrics::new(), TaskCounter::default()).await.unwrap();
    let mut second = dial(&served, "").await;
    assert_eq!(next(&mut second).await, Some(SttOut::Error { message: "no free channels".to_owned() }));
    assert_eq!(next(&mut second).await, None);
    let refused = SttClient::connect(&settings(&served), &Metrics::new(), TaskCounter::default()).await.err().unwrap();
    assert_eq!(refused.fault(), Fault::Busy, "{refused}");
    assert_eq!(engine.free_seats(), 0);
    drop(first);
    while engine.free_seats() == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    SttClient::connect(&settings(&served), &Metrics::new(), TaskCounter::default()).await.unwrap();
}

/// No token, or a wrong one: 401 before any upgrade. A rate that nobody has: 400.
#[tokio::test]
async fn strangers_stay_outside() {
    let served = Served::start(router(engine(1), Some(Token::new("public_token")))).await;
    let status = async |query: &str, key: Option<&str>| {
        let mut request = format!("{}/api/asr-streaming{query}", served.ws()).into_client_request().unwrap();
        if let Some(key) = key {
            request.headers_mut().insert("kyutai-api-key", key.parse().unwrap());
        }
        match connect_async(request).await {
            Ok(_) => 101,
            Err(Error::Http(response)) => response.status().as_u16(),
            Err(error) => panic!("{error}"),
        }
    };
    assert_eq!(status("", None).await, 401);
    assert_eq!(status("?auth_id=public_token", Some("wrong")).await, 401);
    assert_eq!(status("?auth_id=public_token", None).await, 101);
    assert_eq!(status("?rate=8000", Some("public_token")).await, 400);
    assert_eq!(status("?rate=fast", Some("public_token")).await, 400);
    let stranger = SttClient::connect(&settings(&served), &Metrics::new(), TaskCounter::default()).await.err().unwrap();
    assert!(stranger.to_string().contains("401"), "{stranger}");
    let known = SttSettings { token: Some("public_token".to_owned()), ..settings(&served) };
    SttClient::connect(&known, &Metrics::new(), TaskCounter::default()).await.unwrap();
    let alive = reqwest::get(format!("{}/api/build_info", served.http())).await.unwrap();
    assert_eq!(alive.status(), 200);
}

/// Bytes that are no message get a reason and the end; numbers that are no sound are taken for silence.
#[tokio::test]
async fn nonsense_is_answered() {
    let engine = engine(1);
    let metrics = engine.metrics().clone();
    let served = Served::start(router(engine.clone(), None)).await;
    for nonsense in [&b"\xc1"[..], b"", b"\x81\xa4type\xa7Unknown", b"\x82\xa4type\xa5Audio\xa3pcm\xa3abc"] {
        let mut socket = dial(&served, "").await;
        assert_eq!(next(&mut socket).await, Some(SttOut::Ready));
        socket.send(Message::Binary(nonsense.to_vec().into())).await.unwrap();
        assert!(matches!(next(&mut socket).await, Some(SttOut::Error { .. })), "{nonsense:?}");
        assert_eq!(next(&mut socket).await, None);
        while engine.free_seats() == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    assert!(metrics.render().contains(r#"visavis_bad_input_total{door="stt"} 4"#));

    let mut socket = dial(&served, "?rate=16000&partials=1").await;
    assert_eq!(next(&mut socket).await, Some(SttOut::Ready));
    send(&mut socket, SttIn::Audio { pcm: [f32::NAN, f32::INFINITY, f32::NEG_INFINITY].repeat(5_000) }).await;
    send(&mut socket, SttIn::Marker { id: 1 }).await;
    assert_eq!(next(&mut socket).await, Some(SttOut::Final { text: String::new(), words: vec![] }));
    assert_eq!(next(&mut socket).await, Some(SttOut::Marker { id: 1 }));
}

/// Sound is sent in larger pieces than it comes in, and yet a mark stands behind all that came before it; what has not
/// gone out when the engine is told to forget is not sent at all.
#[tokio::test]
async fn a_mark_stands_behind_the_sound_before_it() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}", listener.local_addr().unwrap());
    let settings = SttSettings { url, token: None, dialect: Dialect::Visavis, connect_within: Duration::from_secs(5) };
    let heard = async {
        let mut socket = tokio_tungstenite::accept_async(listener.accept().await.unwrap().0).await.unwrap();
        socket.send(Message::Binary(pack(&SttOut::Ready).into())).await.unwrap();
        let mut heard = vec![];
        while heard.len() < 5 {
            if let Message::Binary(bytes) = socket.next().await.unwrap().unwrap() {
                heard.push(unpack::<SttIn>(&bytes).unwrap());
            }
        }
        heard
    };
    let sent = tone(3_200);
    let said = async {
        let mut stt = SttClient::connect(&settings, &Metrics::new(), TaskCounter::default()).await.unwrap();
        stt.send_audio(&sent[..640]).unwrap();
        stt.mark(7).unwrap();
        stt.send_audio(&sent[640..1_280]).unwrap();
        stt.init().unwrap();
        stt.send_audio(&sent[1_280..1_920]).unwrap();
        stt.send_audio(&sent[1_920..]).unwrap();
        stt.mark(8).unwrap();
        stt
    };
    let both = async { tokio::join!(heard, said) };
    let (heard, _stt) = tokio::time::timeout(Duration::from_secs(10), both).await.unwrap();
    let audio = |range: std::ops::Range<usize>| SttIn::Audio { pcm: sent[range].to_vec() };
    let expected = [audio(0..640), SttIn::Marker { id: 7 }, SttIn::Init, audio(1_280..3_200), SttIn::Marker { id: 8 }];
    assert_eq!(heard, expected);
}

/// Nobody answers there: the client says so in time, and where.
#[tokio::test]
async fn nobody_there() {
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}", silent.local_addr().unwrap());
    let settings = SttSettings {
        url: url.clone(),
        token: None,
        dialect: Dialect::Visavis,
        connect_within: Duration::from_millis(200),
    };
    let error = SttClient::connect(&settings, &Metrics::new(), TaskCounter::default()).await.err().unwrap();
    assert!(matches!(error, SttError::Unreachable { .. }) && error.to_string().contains(&url), "{error}");
}

/// The agent's client against an original server, which knows words and markers alone.
#[tokio::test]
async fn the_agents_client_speaks_the_original() {
    let served = Served::start(router(engine(1), None)).await;
    let metrics = Metrics::new();
    let settings = SttSettings { dialect: Dialect::Moshi, ..settings(&served) };
    let mut stt = SttClient::connect(&settings, &metrics, TaskCounter::default()).await.unwrap();
    stt.send_audio(&tone(16_000)).unwrap();
    stt.mark(3).unwrap();
    let mut events = vec![];
    while !matches!(events.last(), Some(SttEvent::Marker { id: 3 })) {
        events.push(tokio::time::timeout(Duration::from_secs(10), stt.next()).await.unwrap().unwrap());
    }
    assert_eq!(events[0], SttEvent::Partial { text: "hello".to_owned(), stable: 1 });
    let SttEvent::Final { text, words } = &events[events.len() - 2] else { panic!("{events:?}") };
    assert_eq!((text.as_str(), words.len()), ("hello there", 2));
    assert!(words[1].2 > words[1].1, "the end of a word is known: {words:?}");
    assert!((metrics.resampled_seconds() - 1.0).abs() < 1e-6);
}
