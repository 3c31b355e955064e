//! io: a server that answers calls and sends everything back: the caller's sound, its events, and a film of grey pictures

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::http::header::{LOCATION, RETRY_AFTER};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, post};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use visavis::agent::server::port::Port;
use visavis::media::picture::I420;
use visavis::media::time::{MediaTime, Samples};
use visavis::media::vp8;
use visavis::metrics::Metrics;
use visavis::rtc::{Endpoint, Event, Identity, Output, RtcConfig};

use super::server::Served;

/// The film: 15 frames per second of media time, each a shade of grey that names its number.
pub const FRAME: Samples<24_000> = Samples(1600);

pub fn shade(number: u64) -> u8 {
    60 + (number % 15) as u8 * 10
}

pub struct Echo {
    pub served: Served,
    pub port: Port,
    /// Calls refused from now on.
    pub full: Arc<Mutex<bool>>,
    token: CancellationToken,
}

#[derive(Clone)]
struct Desk {
    port: Port,
    config: RtcConfig,
    calls: Arc<Mutex<HashMap<u64, oneshot::Sender<()>>>>,
    full: Arc<Mutex<bool>>,
}

impl Echo {
    pub async fn start() -> Self {
        let port = Port::bind(([127, 0, 0, 1], 0).into(), None, Metrics::new()).await.unwrap();
        let token = CancellationToken::new();
        tokio::spawn({
            let (port, token) = (port.clone(), token.clone());
            async move { port.run(token).await.unwrap() }
        });
        let full = Arc::new(Mutex::new(false));
        let desk = Desk {
            port: port.clone(),
            config: RtcConfig::new(Identity::generate().unwrap(), port.addresses().to_vec()),
            calls: Arc::default(),
            full: full.clone(),
        };
        let router = Router::new()
            .route("/v1/realtime/calls", post(answer))
            .route("/v1/realtime/calls/{id}", delete(hang_up))
            .with_state(desk);
        Self { served: Served::start(router).await, port, full, token }
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.token.cancel();
    }
}

async fn answer(State(desk): State<Desk>, offer: String) -> Response {
    if *desk.full.lock().unwrap() {
        return (StatusCode::SERVICE_UNAVAILABLE, [(RETRY_AFTER, "7")], "full").into_response();
    }
    match Endpoint::answer(&desk.config, &offer, Instant::now()) {
        Ok((endpoint, answer)) => {
            let mut calls = desk.calls.lock().unwrap();
            let id = calls.len() as u64;
            let (end, ended) = oneshot::channel();
            calls.insert(id, end);
            tokio::spawn(call(desk.port.clone(), endpoint, ended));
            (StatusCode::CREATED, [(LOCATION, format!("/v1/realtime/calls/{id}"))], answer).into_response()
        }
        Err(error) => (StatusCode::BAD_REQUEST, error.to_string()).into_response(),
    }
}

async fn hang_up(State(desk): State<Desk>, Path(id): Path<u64>) -> StatusCode {
    match desk.calls.lock().unwrap().remove(&id) {
        Some(end) => {
            let _ = end.send(());
            StatusCode::OK
        }
        None => StatusCode::NOT_FOUND,
    }
}

async fn call(port: Port, mut endpoint: Endpoint, mut ended: oneshot::Receiver<()>) {
    let mut registration = port.register(endpoint.ufrag());
    let mut film = None;
    loop {
        let now = Instant::now();
        let wake = loop {
            match endpoint.poll() {
                Output::Timeout(at) => break at,
                Output::Transmit { destination, bytes, .. } => drop(registration.send(destination, &bytes)),
                Output::Event(Event::Audio(packet)) => {
                    let film = film.get_or_insert_with(|| Film::new(now));
                    endpoint.write_audio(now, packet.media_time.at_rate(), &packet.bytes[..]);
                    film.show(now, &mut endpoint);
                }
                Output::Event(Event::ChannelMessage(text)) => endpoint.send_event(now, text).unwrap(),
                Output::Event(Event::KeyframeWanted) => drop(film.as_mut().map(|film| film.keyframe = true)),
                Output::Event(_) => {}
            }
        };
        if !endpoint.is_alive() {
            return;
        }
        tokio::select! {
            datagram = registration.recv() => {
                let datagram = datagram.unwrap();
                endpoint.handle_datagram(datagram.arrival, datagram.source, datagram.destination, &datagram.bytes);
            }
            _ = &mut ended, if !ended.is_terminated() => endpoint.close(Instant::now()),
            () = tokio::time::sleep_until(wake.into()) => endpoint.handle_timeout(Instant::now()),
        }
    }
}

struct Film {
    start: Instant,
    next: u64,
    keyframe: bool,
    encoder: vp8::Encoder,
}

impl Film {
    fn new(start: Instant) -> Self {
        let settings = vp8::Vp8Settings { width: 64, height: 64, fps: 15, bitrate_kbps: 200 };
        Self { start, next: 0, keyframe: true, encoder: vp8::Encoder::new(settings).unwrap() }
    }

    fn show(&mut self, now: Instant, endpoint: &mut Endpoint) {
        let due = MediaTime::from_ms(0) + Samples(FRAME.0 * self.next);
        if now < self.start + due.as_duration() {
            return;
        }
        let mut picture = I420::black(64, 64);
        picture.y.fill(shade(self.next));
        let mut frame = Vec::new();
        self.encoder.encode(&picture, due.at_rate(), std::mem::take(&mut self.keyframe), &mut frame).unwrap();
        endpoint.write_video(now, due, frame);
        self.next += 1;
    }
}

/// How long anything in a call on this machine may take.
pub const SOON: Duration = Duration::from_secs(10);
