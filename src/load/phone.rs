//! io: one caller's phone: drives its endpoint on a socket, speaks on the tick, writes down what comes

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::net::UdpSocket;
use tokio::sync::{mpsc, oneshot, watch};

use crate::media::time::MediaTime;
use crate::rtc::{Endpoint, Event, Output, SendError, VideoFrame};
use crate::runtime::clock;

use super::ear::Ear;
use super::recording::{EventNote, FrameNote, Recording};
use super::utterance::{PACKET, Packet, Utterance};

/// What the holder of the phone wants.
pub(super) enum Command {
    Say {
        utterance: Utterance,
        times: SayTimes,
    },
    Send {
        text: String,
        done: oneshot::Sender<Result<(), SendError>>,
    },
    /// Say goodbye.
    Close,
}

/// Where the moments of an utterance are told.
pub(super) struct SayTimes {
    pub(super) began: oneshot::Sender<Instant>,
    pub(super) speech_ended: oneshot::Sender<Instant>,
    pub(super) finished: oneshot::Sender<Instant>,
}

/// What the phone and its holder share. `changed` is bumped after every change.
pub(super) struct Shared {
    pub(super) recording: Mutex<Recording>,
    pub(super) changed: watch::Sender<u64>,
}

pub(super) struct Phone {
    pub(super) endpoint: Endpoint,
    pub(super) socket: UdpSocket,
    pub(super) address: SocketAddr,
    pub(super) commands: mpsc::Receiver<Command>,
    pub(super) shared: Arc<Shared>,
    pub(super) silence: Vec<Packet>,
    pub(super) keep_sound: bool,
    pub(super) keep_frames: bool,
    pub(super) mouth: Mouth,
    pub(super) ear: Ear,
    pub(super) asked_for_keyframe: Option<Instant>,
    pub(super) sees: bool,
}

/// What is being said, and the tick it is said on.
#[derive(Default)]
pub(super) struct Mouth {
    /// Tick n is due at `start` + n × 20 ms; there are none before the call is up.
    start: Option<Instant>,
    tick: u64,
    lines: VecDeque<Line>,
}

struct Line {
    utterance: Utterance,
    said: usize,
    began: Option<oneshot::Sender<Instant>>,
    speech_ended: Option<oneshot::Sender<Instant>>,
    finished: Option<oneshot::Sender<Instant>>,
}

impl Phone {
    /// Until the call is over or nobody holds the phone any more.
    pub(super) async fn run(mut self) -> io::Result<()> {
        let mut buffer = vec![0; 2048];
        loop {
            let wake = self.drain();
            if !self.endpoint.is_alive() {
                return Ok(());
            }
            let next = self.mouth.due().map_or(wake, |tick| tick.min(wake));
            tokio::select! {
                biased;
                command = self.commands.recv() => match command {
                    Some(command) => self.obey(command),
                    None => return Ok(()),
                },
                ready = self.socket.readable() => {
                    ready?;
                    self.receive(&mut buffer)?;
                }
                () = clock::sleep_until(Some(next)) => {
                    let now = clock::now();
                    self.speak(now);
                    if now >= wake {
                        self.endpoint.handle_timeout(now);
                    }
                }
            }
        }
    }

    fn obey(&mut self, command: Command) {
        match command {
            // Too much to say: dropping the times tells whoever waits for them.
            Command::Say { .. } if self.mouth.lines.len() >= MOST_LINES => {}
            Command::Say { utterance, times: SayTimes { began, speech_ended, finished } } => {
                self.mouth.lines.push_back(Line {
                    utterance,
                    said: 0,
                    began: Some(began),
                    speech_ended: Some(speech_ended),
                    finished: Some(finished),
                });
            }
            // Whoever asked may have stopped waiting for the answer.
            Command::Send { text, done } => {
                let _ = done.send(self.endpoint.send_event(clock::now(), text));
            }
            Command::Close => self.endpoint.close(clock::now()),
        }
    }

    fn receive(&mut self, buffer: &mut [u8]) -> io::Result<()> {
        let now = clock::now();
        for _ in 0..BATCH {
            match self.socket.try_recv_from(buffer) {
                Ok((length, source)) => {
                    self.endpoint.handle_datagram(now, source, self.address, &buffer[..length]);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                // An answer to a datagram of ours that reached nobody: the silence will tell.
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Sends the packets that are due.
    fn speak(&mut self, now: Instant) {
        for _ in 0..MOST_PACKETS_AT_ONCE {
            if self.mouth.due().is_none_or(|due| due > now) {
                return;
            }
            let media_time = MediaTime::from_ms(20 * self.mouth.tick);
            let packet = self.mouth.next(&self.silence, now);
            self.endpoint.write_audio(now, media_time, packet);
        }
    }

    /// Does what the endpoint wants; gives the time of its next timeout.
    fn drain(&mut self) -> Instant {
        let mut changed = false;
        let wake = loop {
            match self.endpoint.poll() {
                Output::Timeout(at) => break at,
                // What the system has no room for is lost, as on any other link.
                Output::Transmit { destination, bytes, .. } => drop(self.socket.try_send_to(&bytes, destination)),
                Output::Event(event) => {
                    self.note(event);
                    changed = true;
                }
            }
        };
        if changed {
            self.shared.changed.send_modify(|version| *version += 1);
        }
        wake
    }

    fn note(&mut self, event: Event) {
        let now = clock::now();
        let shared = self.shared.clone();
        let mut recording = shared.recording.lock().expect("no holder of this lock can panic");
        match event {
            Event::Connected => {
                recording.connected = Some(now);
                self.mouth.start = Some(now);
            }
            Event::Audio(packet) if self.keep_sound => self.ear.hear(packet, &mut recording.tape),
            Event::Video(frame) => {
                self.look(now, &frame);
                let VideoFrame { rtp, arrival, contiguous, keyframe, bytes } = frame;
                if self.keep_frames {
                    recording.frames.push(FrameNote { rtp, arrival, keyframe, contiguous, bytes });
                }
            }
            Event::SenderReport(report) => recording.reports.push(report),
            Event::ChannelOpen => recording.channel_open = Some(now),
            Event::ChannelMessage(text) => match serde_json::from_str::<Value>(&text) {
                Ok(value) => recording.events.push(EventNote { arrival: now, value }),
                Err(_) => recording.rubbish.push(text),
            },
            Event::Closed(gone) => recording.ended = Some((now, gone)),
            _ => {}
        }
    }

    /// Asks for a keyframe as a browser would: when what came cannot be decoded, twice a second at most.
    fn look(&mut self, now: Instant, frame: &VideoFrame) {
        self.sees = frame.keyframe || (self.sees && frame.contiguous);
        let asked_lately = self.asked_for_keyframe.is_some_and(|at| now < at + BETWEEN_REQUESTS);
        if !self.sees && !asked_lately && self.endpoint.request_keyframe(now) {
            self.asked_for_keyframe = Some(now);
        }
    }
}

impl Mouth {
    fn due(&self) -> Option<Instant> {
        self.start.map(|start| start + PACKET * self.tick as u32)
    }

    /// The packet of this tick, which is being sent `now`.
    fn next(&mut self, silence: &[Packet], now: Instant) -> Packet {
        let tick = self.tick;
        self.tick += 1;
        let tell = |whom: &mut Option<oneshot::Sender<Instant>>| {
            if let Some(whom) = whom.take() {
                // Nobody may wait for this moment.
                let _ = whom.send(now);
            }
        };
        while let Some(line) = self.lines.front_mut() {
            tell(&mut line.began);
            let packet = line.utterance.packets().get(line.said).cloned();
            line.said += 1;
            if line.said >= line.utterance.speech_packets() {
                tell(&mut line.speech_ended);
            }
            if line.said >= line.utterance.packets().len() {
                tell(&mut line.finished);
                self.lines.pop_front();
            }
            if let Some(packet) = packet {
                return packet;
            }
        }
        silence[tick as usize % silence.len()].clone()
    }
}

/// Datagrams per wake-up.
const BATCH: usize = 64;

/// A caller that was held up catches up, this much per wake-up.
const MOST_PACKETS_AT_ONCE: usize = 50;

/// Utterances that may wait behind the one being said.
const MOST_LINES: usize = 64;

const BETWEEN_REQUESTS: Duration = Duration::from_millis(500);
