//! data: whom a caller can dial: a peer of another kind over real sockets, and every way of not getting through

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UdpSocket};
use visavis::load::figure::Figure;
use visavis::load::outcome::Cause;
use visavis::load::{CallSettings, Caller, Dial, Utterance};
use visavis::media::opus::Encoder;
use visavis::media::sound::{FRAME, SILENCE, rms};
use visavis::media::time::MediaTime;
use visavis::rtc::{Endpoint, Event, Identity, Output, RtcConfig};

use crate::kit::echo::SOON;
use crate::kit::server::Served;

/// A peer as Pipecat's small WebRTC transport is one: an offer as JSON, no events, and a voice that answers 300 ms after
/// the caller has fallen silent. It reads the microphone as a real one would: by its loudness.
async fn small_peer(State(identity): State<Identity>, Json(offer): Json<Value>) -> Json<Value> {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let config = RtcConfig::new(identity, vec![socket.local_addr().unwrap()]);
    assert_eq!(offer["type"], "offer");
    let (endpoint, answer) = Endpoint::answer(&config, offer["sdp"].as_str().unwrap(), Instant::now()).unwrap();
    tokio::spawn(speak(endpoint, socket));
    Json(json!({ "sdp": answer, "type": "answer", "pc_id": "SmallWebRTCConnection#0" }))
}

async fn speak(mut endpoint: Endpoint, socket: UdpSocket) {
    let own = socket.local_addr().unwrap();
    let (mut ear, mut voice) = (visavis::media::opus::MicDecoder::new(), Encoder::new());
    let (mut start, mut frame) = (None, 0u64);
    let (mut spoken, mut quiet_since, mut answer_left) = (false, 0, 0);
    let mut buffer = vec![0; 2048];
    loop {
        let wake = loop {
            match endpoint.poll() {
                Output::Timeout(at) => break at,
                Output::Transmit { destination, bytes, .. } => drop(socket.try_send_to(&bytes, destination)),
                Output::Event(Event::Connected) => start = Some(Instant::now()),
                Output::Event(Event::Audio(packet)) => {
                    let mut sound = vec![];
                    ear.decode(&packet.bytes, &mut sound).unwrap();
                    if rms(&sound) > 0.02 {
                        (spoken, quiet_since) = (true, frame);
                    }
                }
                Output::Event(_) => {}
            }
        };
        if !endpoint.is_alive() {
            return;
        }
        let due: Option<Instant> = start.map(|start| start + Duration::from_millis(20 * frame));
        tokio::select! {
            received = socket.recv_from(&mut buffer) => {
                let (length, source): (usize, SocketAddr) = received.unwrap();
                endpoint.handle_datagram(Instant::now(), source, own, &buffer[..length]);
            }
            () = tokio::time::sleep_until(due.unwrap_or(wake).min(wake).into()) => {
                let now = Instant::now();
                endpoint.handle_timeout(now);
                if due.is_some_and(|due| due <= now) {
                    if spoken && frame > quiet_since + 15 {
                        (spoken, answer_left) = (false, 40);
                    }
                    let tone = std::array::from_fn(|n| 0.2 * ((frame as usize * FRAME + n) as f32 * 0.1).sin());
                    let sound = if answer_left > 0 { tone } else { SILENCE };
                    answer_left = u64::saturating_sub(answer_left, 1);
                    endpoint.write_audio(now, MediaTime::from_ms(20 * frame), voice.encode(&sound).unwrap().to_vec());
                    frame += 1;
                }
            }
        }
    }
}

fn measuring(server: &str, dial: Dial) -> CallSettings {
    CallSettings { dial, ..CallSettings::measuring(server, Identity::generate().unwrap(), Instant::now()) }
}

/// Two turns with a peer that has nothing of ours but WebRTC: dialled its way, measured by its sound, left by closing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_of_another_kind_is_measured_by_its_sound() {
    let router = Router::new().route("/api/offer", post(small_peer)).with_state(Identity::generate().unwrap());
    let served = Served::start(router).await;
    let settings = measuring(&served.http(), Dial::Offer);
    let mut caller = Caller::join(&reqwest::Client::new(), &settings).await.unwrap();
    caller.connected(SOON).await.unwrap();
    let pcm: Vec<f32> = (0..12_000).map(|n| 0.3 * (n as f32 * 0.1).sin()).collect();
    let words = Utterance::encode(&pcm, 24_000).unwrap();
    for _ in 0..2 {
        caller.say(&words).await.unwrap();
        caller.hears_answer(SOON).await.unwrap();
        let request = caller.answered(SOON).await.unwrap();
        let turn = request.value(Figure::Turn).unwrap();
        assert!((0.25..2.0).contains(&turn), "{turn} s after the end of speech");
    }
    let visit = caller.leave().await;
    assert_eq!((visit.requests.len(), visit.gone), (2, None));
    assert_eq!(settings.tasks.alive(), 0);
}

/// A server of few words: everything it is sent gets the same answer.
async fn says(status: StatusCode, body: &'static str) -> Served {
    Served::start(Router::new().fallback(move || async move { (status, body) })).await
}

async fn cause(server: &str, dial: Dial) -> Cause {
    match Caller::join(&reqwest::Client::new(), &measuring(server, dial)).await {
        Err(error) => Cause::from(&error),
        Ok(_) => panic!("{server} took the call"),
    }
}

/// Every way of not getting a call is counted for what it is.
#[tokio::test]
async fn a_call_that_does_not_come_about_has_a_cause() {
    let sdp = "v=0\r\nthis is no session";
    for (status, body, dial, counted) in [
        (StatusCode::SERVICE_UNAVAILABLE, "full", Dial::Realtime, Cause::Busy),
        (StatusCode::TOO_MANY_REQUESTS, "", Dial::Offer, Cause::Busy),
        (StatusCode::UNAUTHORIZED, "who are you?", Dial::Realtime, Cause::Refused),
        (StatusCode::INTERNAL_SERVER_ERROR, "", Dial::Offer, Cause::Refused),
        (StatusCode::CREATED, sdp, Dial::Realtime, Cause::Garbage),
        (StatusCode::OK, "", Dial::Realtime, Cause::Garbage),
        (StatusCode::OK, "<html>hello</html>", Dial::Offer, Cause::Garbage),
        (StatusCode::OK, r#"{"sdp":"v=0","type":"answer"}"#, Dial::Offer, Cause::Garbage),
        (StatusCode::OK, r#"{"sdp":"v=0","type":"pranswer"}"#, Dial::Offer, Cause::Garbage),
    ] {
        let served = says(status, body).await;
        assert_eq!(cause(&served.http(), dial).await, counted, "{status} {body:?}");
    }
    assert_eq!(cause("not an address", Dial::Realtime).await, Cause::Garbage);

    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    assert_eq!(cause(&format!("http://{nobody}"), Dial::Realtime).await, Cause::Unreachable);

    // Somebody who speaks no HTTP, and somebody who hangs up at once.
    for (reply, counted) in [("220 mail.example.com\r\n", Cause::Garbage), ("", Cause::Unreachable)] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let answering = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let _ = stream.read(&mut [0; 64]).await;
            let _ = stream.write_all(reply.as_bytes()).await;
        });
        assert_eq!(cause(&format!("http://{address}"), Dial::Realtime).await, counted, "{reply:?}");
        answering.await.unwrap();
    }
}

/// A server that takes the call and then sends no media: the caller does not wait for ever, and says why it left.
#[tokio::test]
async fn a_call_without_media_is_not_connected() {
    let config = RtcConfig::new(Identity::generate().unwrap(), vec![([127, 0, 0, 1], 9).into()]);
    let take = move |offer: String| async move {
        let (_, answer) = Endpoint::answer(&config, &offer, Instant::now()).unwrap();
        (StatusCode::CREATED, answer)
    };
    let served = Served::start(Router::new().fallback(take)).await;
    let settings = measuring(&served.http(), Dial::Realtime);
    let mut caller = Caller::join(&reqwest::Client::new(), &settings).await.unwrap();
    let error = caller.connected(Duration::from_millis(300)).await.unwrap_err();
    assert_eq!(Cause::from(&error), Cause::NotConnected, "{error}");
    let visit = caller.drop_out().await;
    assert_eq!((visit.connected_s, visit.requests.len()), (0.0, 0));
    assert_eq!(settings.tasks.alive(), 0);
}
