//! io: a server that speaks by a script: when each packet and picture leaves, what is lost, what it tells of itself
//!
//! Frame n is due at start + n × 20 ms on its clock, picture n at start + n × 40 ms. It sends silence and a still film all the
//! time, and departs from that only where the script says so: whoever measures it must find exactly that.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::sync::{mpsc, watch};
use visavis::load::Link;
use visavis::media::opus::Encoder;
use visavis::media::picture::I420;
use visavis::media::sound::{FRAME, SILENCE};
use visavis::media::time::MediaTime;
use visavis::media::vp8;
use visavis::rtc::{Endpoint, Event, Output};
use visavis::runtime::clock;

use super::wire::End;

/// What is unlike the others about one frame.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cue {
    /// A loud tone instead of silence.
    pub loud: bool,
    /// How much after its time it leaves.
    pub late: Duration,
    /// It leaves and never arrives.
    pub lost: bool,
}

/// What the script may say while the call goes on.
pub enum Line {
    Frame(u64, Cue),
    /// Picture n leaves late by so much; those behind it wait.
    Picture(u64, Duration),
    /// An event, from a frame's time on.
    Tell(u64, Value),
}

/// Gives the server its lines.
pub struct Prompter {
    lines: mpsc::Sender<Line>,
    started: watch::Receiver<Option<Instant>>,
}

impl Prompter {
    /// Takes the stage on `link`; it is left when the prompter is dropped.
    pub fn start(endpoint: Endpoint, link: End) -> Self {
        let (lines, read) = mpsc::channel(4096);
        let (start, started) = watch::channel(None);
        tokio::spawn(Server::new(endpoint, link, read, start).run());
        Self { lines, started }
    }

    /// The first frame that is due at `at` or later, and when it is.
    pub async fn frame_at(&mut self, at: Instant) -> (u64, Instant) {
        let start = self.started.wait_for(Option::is_some).await.unwrap().unwrap();
        let number = at.saturating_duration_since(start).as_micros().div_ceil(20_000) as u64;
        (number, start + FRAME_TIME * number as u32)
    }

    pub async fn say(&self, line: Line) {
        self.lines.send(line).await.unwrap();
    }
}

struct Server {
    endpoint: Endpoint,
    link: End,
    lines: mpsc::Receiver<Line>,
    started: watch::Sender<Option<Instant>>,
    frame: u64,
    picture: u64,
    cues: BTreeMap<u64, Cue>,
    held: BTreeMap<u64, Duration>,
    events: Vec<(u64, Value)>,
    voice: Encoder,
    film: vp8::Encoder,
}

pub const FRAME_TIME: Duration = Duration::from_millis(20);
pub const PICTURE_TIME: Duration = Duration::from_millis(40);

impl Server {
    fn new(
        endpoint: Endpoint,
        link: End,
        lines: mpsc::Receiver<Line>,
        started: watch::Sender<Option<Instant>>,
    ) -> Self {
        let settings = vp8::Vp8Settings { width: 64, height: 64, fps: 25, bitrate_kbps: 200 };
        let (voice, film) = (Encoder::new(), vp8::Encoder::new(settings).unwrap());
        let (cues, held, events) = (BTreeMap::new(), BTreeMap::new(), vec![]);
        Self { endpoint, link, lines, started, frame: 0, picture: 0, cues, held, events, voice, film }
    }

    async fn run(mut self) {
        let mut buffer = vec![0; 2048];
        loop {
            let wake = self.drain(false);
            if !self.endpoint.is_alive() {
                return;
            }
            let next = self.due().into_iter().flatten().fold(wake, Instant::min);
            tokio::select! {
                biased;
                line = self.lines.recv() => match line {
                    Some(Line::Frame(number, cue)) => drop(self.cues.insert(number, cue)),
                    Some(Line::Picture(number, late)) => drop(self.held.insert(number, late)),
                    Some(Line::Tell(number, event)) => self.events.push((number, event)),
                    None => return,
                },
                _ = self.link.readable() => {
                    while let Ok(Some((length, source))) = self.link.try_recv(&mut buffer) {
                        let own = self.link.address();
                        self.endpoint.handle_datagram(clock::now(), source, own, &buffer[..length]);
                        self.drain(false);
                    }
                }
                () = clock::sleep_until(Some(next)) => {
                    let now = clock::now();
                    self.perform(now);
                    self.endpoint.handle_timeout(now);
                }
            }
        }
    }

    /// When the next frame and the next picture leave.
    fn due(&self) -> [Option<Instant>; 2] {
        let start = *self.started.borrow();
        let frame = |start| start + FRAME_TIME * self.frame as u32 + self.cue().late;
        let held = self.held.get(&self.picture).copied().unwrap_or_default();
        let picture = |start| start + PICTURE_TIME * self.picture as u32 + held;
        [start.map(frame), start.map(picture)]
    }

    fn cue(&self) -> Cue {
        self.cues.get(&self.frame).copied().unwrap_or_default()
    }

    fn perform(&mut self, now: Instant) {
        while let [Some(frame), _] = self.due()
            && frame <= now
        {
            let cue = self.cue();
            let mut sound = SILENCE;
            if cue.loud {
                sound = std::array::from_fn(|n| 0.3 * ((self.frame as usize * FRAME + n) as f32 * 0.1).sin());
            }
            let opus = self.voice.encode(&sound).unwrap().to_vec();
            let number = self.frame;
            self.drain(false);
            self.endpoint.write_audio(now, MediaTime::from_ms(20 * number), opus);
            self.drain(cue.lost);
            let (due, later): (Vec<_>, Vec<_>) = self.events.drain(..).partition(|(at, _)| *at <= number);
            self.events = later;
            for (_, event) in due {
                self.endpoint.send_event(now, event.to_string()).unwrap();
            }
            self.frame += 1;
        }
        while let [_, Some(picture)] = self.due()
            && picture <= now
        {
            let media_time = MediaTime::from_ms(40 * self.picture);
            let mut vp8 = Vec::new();
            self.film.encode(&I420::black(64, 64), media_time.at_rate(), self.picture == 0, &mut vp8).unwrap();
            self.endpoint.write_video(now, media_time, vp8);
            self.picture += 1;
        }
    }

    fn drain(&mut self, lose: bool) -> Instant {
        loop {
            match self.endpoint.poll() {
                Output::Timeout(at) => return at,
                Output::Transmit { .. } if lose => {}
                Output::Transmit { destination, bytes, .. } => self.link.send(destination, &bytes),
                Output::Event(Event::Connected) => drop(self.started.send_replace(Some(clock::now()))),
                Output::Event(_) => {}
            }
        }
    }
}
