//! io: one caller's phone: drives its endpoint on a link, speaks on the tick, writes down and measures what comes

use std::io;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::sync::{mpsc, oneshot, watch};

use crate::media::time::MediaTime;
use crate::rtc::{Endpoint, Event, Output, SendError, VideoFrame};
use crate::runtime::clock;

use super::ear::Ear;
use super::link::Link;
use super::meter::Meter;
use super::mouth::{Edge, Line, Mouth};
use super::recording::{EventNote, FrameNote, Recording};
use super::told::Told;
use super::turns::Question;
use super::utterance::Packet;

/// What the holder of the phone wants.
pub(super) enum Command {
    Say(Line),
    Send {
        text: String,
        /// The event asks for an answer.
        asks: Option<Question>,
        done: oneshot::Sender<Result<(), SendError>>,
    },
    /// Say goodbye.
    Close,
}

/// What is kept of what comes. With nothing kept, a call of any length takes the memory of its turns.
#[derive(Clone, Copy, Debug)]
pub(super) struct Keep {
    pub(super) sound: bool,
    pub(super) frames: bool,
    pub(super) events: bool,
}

/// What the phone and its holder share.
pub(super) struct Shared {
    notes: Mutex<Notes>,
    /// Bumped after a change that somebody may wait for: every one where things are kept, else those of the turns, so that
    /// a packet does not wake its caller's script 65 times a second.
    pub(super) changed: watch::Sender<u64>,
}

pub(super) struct Notes {
    pub(super) recording: Recording,
    pub(super) meter: Meter,
}

impl Shared {
    pub(super) fn new(meter: Meter) -> (Arc<Self>, watch::Receiver<u64>) {
        let (changed, receiver) = watch::channel(0);
        (Arc::new(Self { notes: Mutex::new(Notes { recording: Recording::default(), meter }), changed }), receiver)
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Notes> {
        self.notes.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

pub(super) struct Phone<L> {
    pub(super) endpoint: Endpoint,
    pub(super) link: L,
    pub(super) commands: mpsc::Receiver<Command>,
    pub(super) shared: Arc<Shared>,
    pub(super) silence: Arc<[Packet]>,
    pub(super) keep: Keep,
    pub(super) mouth: Mouth,
    pub(super) ear: Ear,
    pub(super) asked_for_keyframe: Option<Instant>,
    pub(super) sees: bool,
}

impl<L: Link> Phone<L> {
    /// Until the call is over or nobody holds the phone any more.
    pub(super) async fn run(mut self) -> io::Result<()> {
        let mut buffer = vec![0; 2048];
        loop {
            let wake = self.drain();
            if !self.endpoint.is_alive() {
                return Ok(());
            }
            let turns = self.shared.lock().meter.turns.deadline();
            let next = self.mouth.due().into_iter().chain(turns).fold(wake, Instant::min);
            tokio::select! {
                biased;
                command = self.commands.recv() => match command {
                    Some(command) => self.obey(command),
                    None => return Ok(()),
                },
                ready = self.link.readable() => {
                    ready?;
                    self.receive(&mut buffer)?;
                }
                () = clock::sleep_until(Some(next)) => {
                    let now = clock::now();
                    self.speak(now);
                    self.measure(|meter| meter.turns.handle_timeout(now));
                    if now >= wake {
                        self.endpoint.handle_timeout(now);
                    }
                }
            }
        }
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Say(line) => self.mouth.say(line),
            Command::Send { text, asks, done } => {
                let now = clock::now();
                let sent = self.endpoint.send_event(now, text);
                if let (Ok(()), Some(question)) = (&sent, asks) {
                    self.measure(|meter| meter.turns.asked(now, question));
                }
                // Whoever asked may have stopped waiting for the answer.
                let _ = done.send(sent);
            }
            Command::Close => self.endpoint.close(clock::now()),
        }
    }

    fn receive(&mut self, buffer: &mut [u8]) -> io::Result<()> {
        let now = clock::now();
        for _ in 0..BATCH {
            let Some((length, source)) = self.link.try_recv(buffer)? else { break };
            self.endpoint.handle_datagram(now, source, self.link.address(), &buffer[..length]);
        }
        Ok(())
    }

    /// Sends the packets that are due.
    fn speak(&mut self, now: Instant) {
        for _ in 0..MOST_PACKETS_AT_ONCE {
            if self.mouth.due().is_none_or(|due| due > now) {
                return;
            }
            let media_time = MediaTime::from_ms(20 * self.mouth.tick());
            let (packet, edges) = self.mouth.next(&self.silence, now);
            self.endpoint.write_audio(now, media_time, packet);
            for edge in edges.into_iter().flatten() {
                self.measure(|meter| match edge {
                    _ if meter.is_over() => {}
                    Edge::Onset(question) => meter.turns.speech_began(now, question),
                    Edge::End => meter.turns.speech_ended(now),
                });
            }
        }
    }

    fn measure(&mut self, note: impl FnOnce(&mut Meter)) {
        let changed = {
            let meter = &mut self.shared.lock().meter;
            let before = meter.turns.changes();
            note(meter);
            meter.turns.changes() != before
        };
        if changed {
            self.tell();
        }
    }

    fn tell(&self) {
        self.shared.changed.send_modify(|version| *version += 1);
    }

    /// Does what the endpoint wants; gives the time of its next timeout.
    fn drain(&mut self) -> Instant {
        let mut changed = false;
        let wake = loop {
            match self.endpoint.poll() {
                Output::Timeout(at) => break at,
                Output::Transmit { destination, bytes, .. } => self.link.send(destination, &bytes),
                Output::Event(event) => changed |= self.note(event),
            }
        };
        if changed {
            self.tell();
        }
        wake
    }

    /// Writes down what happened. Says whether somebody may wait for it.
    fn note(&mut self, event: Event) -> bool {
        let now = clock::now();
        let shared = self.shared.clone();
        let Notes { recording, meter } = &mut *shared.lock();
        let before = meter.turns.changes();
        // Of a caller who has hung up nothing is measured any more: what still comes is the end of the call, and an answer
        // that breaks off is no failure.
        let counts = !meter.is_over();
        let kept = match event {
            Event::Connected => {
                recording.connected = Some(now);
                meter.connected(now);
                self.mouth.open(now);
                true
            }
            Event::Audio(packet) => {
                if counts {
                    meter.stream.arrived(packet.seq);
                    meter.sight.sound(packet.arrival, packet.rtp);
                }
                self.ear.hear(packet, &mut recording.tape, |seq, heard| {
                    if counts {
                        meter.stream.played(seq, heard.position, heard.length);
                        meter.turns.heard(heard);
                    }
                });
                self.keep.sound
            }
            Event::Video(frame) => {
                self.look(now, &frame);
                let VideoFrame { rtp, arrival, contiguous, keyframe, bytes } = frame;
                if self.sees && counts {
                    meter.sight.picture(now, rtp);
                }
                if self.keep.frames {
                    recording.frames.push(FrameNote { rtp, arrival, keyframe, contiguous, bytes });
                }
                self.keep.frames
            }
            Event::SenderReport(report) => {
                if counts {
                    meter.report(report);
                }
                if self.keep.sound || self.keep.frames {
                    recording.reports.push(report);
                }
                self.keep.sound || self.keep.frames
            }
            Event::ChannelOpen => {
                recording.channel_open = Some(now);
                true
            }
            Event::ChannelMessage(text) => {
                match Told::read(&text).filter(|_| counts) {
                    Some(Told::Refused { what }) => drop(meter.refused.get_or_insert(what)),
                    Some(told) => meter.turns.told(now, told),
                    None => {}
                }
                if self.keep.events {
                    match serde_json::from_str::<Value>(&text) {
                        Ok(value) => recording.events.push(EventNote { arrival: now, value }),
                        Err(_) => recording.rubbish.push(text),
                    }
                }
                self.keep.events
            }
            Event::Rtt(rtt) => {
                if counts {
                    meter.round_trip(now, rtt);
                }
                false
            }
            Event::Closed(gone) => {
                recording.ended = Some((now, gone));
                meter.ended(now);
                true
            }
            Event::KeyframeWanted | Event::ChannelClosed | Event::Estimate { .. } | Event::LossReported { .. } => false,
        };
        kept || meter.turns.changes() != before
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

/// Datagrams per wake-up.
const BATCH: usize = 64;

/// A caller that was held up catches up, this much per wake-up.
const MOST_PACKETS_AT_ONCE: usize = 50;

const BETWEEN_REQUESTS: Duration = Duration::from_millis(500);
