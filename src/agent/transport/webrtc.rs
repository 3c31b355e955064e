//! task: one WebRTC call: drives its endpoint, and the protocol on its data channel

use std::convert::Infallible;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use super::encode::Packet;
use super::film::EncodedFrame;
use super::projector::Path;
use super::realtime::{Input, Output, Protocol};
use crate::agent::flow::{Ask, Fact, Fault, Floor, Mic, Notice, Settings};
use crate::media::time::MediaTime;
use crate::metrics::{Door, Guard, LaneName, Metrics, Object};
use crate::rtc::{self, Endpoint, Event, Gone};
use crate::runtime::clock;
use crate::runtime::lane::Shedder;

/// What is joined to the call.
pub struct Lanes {
    pub mic: Shedder<Mic>,
    pub asks: mpsc::Sender<Ask>,
    pub settings: watch::Sender<Settings>,
    pub notices: mpsc::Receiver<Notice>,
    pub floor: watch::Receiver<Floor>,
    pub sound: mpsc::Receiver<Packet>,
    pub pictures: mpsc::Receiver<EncodedFrame>,
    pub path: watch::Sender<Path>,
    pub loss: watch::Sender<f32>,
    /// Told once when media flows: the media clock starts.
    pub connected: oneshot::Sender<Instant>,
}

/// The link below: datagrams of this call alone.
pub trait Link: Send {
    fn recv(&mut self) -> impl Future<Output = Option<Arrival>> + Send;
    fn try_recv(&mut self) -> Option<Arrival>;
    fn send(&self, destination: std::net::SocketAddr, bytes: &[u8]);
}

/// One datagram, as it came.
pub struct Arrival {
    pub source: std::net::SocketAddr,
    pub destination: std::net::SocketAddr,
    pub bytes: bytes::Bytes,
}

/// Runs until either side hangs up; says why. `token` hangs up for us.
pub async fn run<L: Link>(
    lanes: Lanes,
    endpoint: Endpoint,
    link: L,
    protocol: Protocol,
    token: CancellationToken,
    metrics: Metrics,
) -> Result<Gone, Infallible> {
    let Lanes { mic, asks, settings, mut notices, mut floor, mut sound, mut pictures, path, loss, connected } = lanes;
    let mut call = Call {
        endpoint,
        link,
        protocol,
        mic,
        asks,
        settings,
        path,
        loss,
        connected: Some(connected),
        began: clock::now(),
        sounding: None,
        _alive: metrics.live(Object::Endpoint),
        metrics,
        open: false,
        held: Vec::new(),
        said_goodbye: Goodbye::No,
        gone: None,
    };
    let mut hanging_up = None;
    let (mut rooms_live, mut floor_lives, mut sound_lives, mut picture_lives) = (true, true, true, true);
    loop {
        if call.path.borrow().jammed {
            call.look_at_the_queue(clock::now());
        }
        let deadline = call.settle();
        if let Some(gone) = call.gone.take() {
            return Ok(gone);
        }
        if call.said_goodbye == Goodbye::Played {
            token.cancel();
        }
        if hanging_up.is_some_and(|by| clock::now() >= by) {
            return Ok(Gone::Us);
        }
        tokio::select! {
            biased;
            () = token.cancelled(), if hanging_up.is_none() => {
                call.hang_up();
                hanging_up = Some(clock::now() + GOODBYE);
            }
            arrival = call.link.recv() => match arrival {
                Some(arrival) => call.receive(arrival),
                None => return Ok(Gone::Us),
            },
            packet = sound.recv(), if sound_lives => match packet {
                Some(packet) => {
                    call.sounding = Some(packet.media_time);
                    call.endpoint.write_audio(clock::now(), packet.media_time, packet.opus);
                }
                None => sound_lives = false,
            },
            changed = floor.changed(), if floor_lives => match changed {
                Ok(()) => {
                    let floor = *floor.borrow_and_update();
                    // What led to the change was told before it, and the client hears it in that order.
                    while let Ok(notice) = notices.try_recv() {
                        call.tell(notice);
                    }
                    call.handle(Input::Floor(floor));
                }
                Err(_) => floor_lives = false,
            },
            notice = notices.recv(), if rooms_live => match notice {
                Some(notice) => {
                    call.metrics.lane_depth(LaneName::Notices, notices.len() + 1);
                    call.tell(notice);
                }
                // Every room has gone: there is no call without them.
                None => {
                    rooms_live = false;
                    token.cancel();
                }
            },
            frame = pictures.recv(), if picture_lives => match frame {
                Some(frame) => call.show(frame),
                None => picture_lives = false,
            },
            () = clock::sleep_until(Some(deadline)) => call.endpoint.handle_timeout(clock::now()),
        }
    }
}

struct Call<L> {
    endpoint: Endpoint,
    link: L,
    protocol: Protocol,
    mic: Shedder<Mic>,
    asks: mpsc::Sender<Ask>,
    settings: watch::Sender<Settings>,
    path: watch::Sender<Path>,
    loss: watch::Sender<f32>,
    connected: Option<oneshot::Sender<Instant>>,
    /// When the offer had been answered.
    began: Instant,
    /// The moment of the sound that left last.
    sounding: Option<MediaTime>,
    metrics: Metrics,
    _alive: Guard,
    /// The data channel is open: events may go.
    open: bool,
    /// Events that came before the channel was open.
    held: Vec<String>,
    said_goodbye: Goodbye,
    gone: Option<Gone>,
}

/// The dialogue ends the call when its goodbye has been played.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Goodbye {
    No,
    Said,
    Played,
}

impl<L: Link> Call<L> {
    /// A batch of what has arrived.
    fn receive(&mut self, first: Arrival) {
        let mut next = Some(first);
        let mut taken = 0;
        while let Some(Arrival { source, destination, bytes }) = next {
            self.endpoint.handle_datagram(clock::now(), source, destination, &bytes);
            self.settle();
            taken += 1;
            next = if taken < BATCH { self.link.try_recv() } else { None };
        }
    }

    /// Does everything that is to be done, and says when to come again.
    fn settle(&mut self) -> Instant {
        loop {
            match self.endpoint.poll() {
                rtc::Output::Transmit { destination, bytes, .. } => self.link.send(destination, &bytes),
                rtc::Output::Event(event) => self.happened(event),
                rtc::Output::Timeout(at) => return at,
            }
        }
    }

    fn happened(&mut self, event: Event) {
        match event {
            Event::Connected => {
                if let Some(connected) = self.connected.take() {
                    self.metrics.connected(clock::now().saturating_duration_since(self.began));
                    // A line that is gone already shows in the other lanes.
                    let _ = connected.send(clock::now());
                }
            }
            Event::Audio(packet) => {
                let (seq, media_time, arrival, bytes) = (packet.seq, packet.media_time, packet.arrival, packet.bytes);
                self.hearing(Mic::Packet { seq, media_time, arrival, bytes });
            }
            Event::KeyframeWanted => self.path.send_modify(|path| path.keyframes_wanted += 1),
            Event::Estimate { bits_per_second } => {
                self.path.send_modify(|path| path.estimate_bps = Some(bits_per_second));
            }
            Event::LossReported { fraction } => drop(self.loss.send_replace(fraction)),
            Event::ChannelOpen => {
                self.open = true;
                for text in std::mem::take(&mut self.held) {
                    self.send(text);
                }
                self.act();
            }
            Event::ChannelMessage(text) => self.handle(Input::Client(&text)),
            Event::Closed(gone) => self.gone = Some(gone),
            Event::Rtt(rtt) => self.metrics.caller_rtt(rtt),
            Event::ChannelClosed | Event::Video(_) | Event::SenderReport(_) => {}
        }
    }

    fn tell(&mut self, notice: Notice) {
        self.said_goodbye = match (self.said_goodbye, &notice.fact) {
            (_, Fact::Goodbye) => Goodbye::Said,
            (Goodbye::Said, Fact::AudioStopped) => Goodbye::Played,
            // The user had something to say after all.
            (Goodbye::Said, Fact::AudioCleared { .. }) => Goodbye::No,
            (before, _) => before,
        };
        self.handle(Input::Notice(notice));
    }

    fn handle(&mut self, input: Input<'_>) {
        self.protocol.handle(input);
        self.act();
    }

    /// Does what the protocol wants done.
    fn act(&mut self) {
        while let Some(output) = self.protocol.poll() {
            match output {
                Output::Event(text) if self.open => self.send(text),
                Output::Event(text) if self.held.len() < EARLY_EVENTS => self.held.push(text),
                Output::Event(_) => {}
                Output::Ask { ask, event_id } => {
                    if let Err(refused) = self.asks.try_send(ask) {
                        self.metrics.lane_shed(LaneName::Asks);
                        let ask = refused.into_inner();
                        self.protocol.handle(Input::Refused { ask, event_id });
                    }
                }
                Output::Mic(mic) => self.hearing(mic),
                Output::Settings(settings) => drop(self.settings.send_replace(settings)),
                // Only a WebSocket carries sound in events.
                Output::Sound(_) => {}
            }
        }
    }

    /// Live sound sheds, the client's commands do not. A room that has gone already shows in the other lanes.
    fn hearing(&self, mic: Mic) {
        self.mic.send_unless(mic, |oldest| matches!(oldest, Mic::Packet { .. }));
    }

    fn send(&mut self, text: String) {
        if let Err(error) = self.endpoint.send_event(clock::now(), text) {
            tracing::warn!(%error, "a caller who does not read its events is gone");
            self.metrics.bad_input(Door::Events);
            self.endpoint.close(clock::now());
        }
    }

    fn show(&mut self, frame: EncodedFrame) {
        let now = clock::now();
        self.metrics.picture_sent(frame.keyframe);
        if let Some(sounding) = self.sounding {
            self.metrics.av_skew(sounding.as_secs_f64() - frame.media_time.as_secs_f64());
        }
        self.endpoint.write_video(now, frame.media_time, frame.vp8.as_ref());
        self.look_at_the_queue(now);
    }

    /// Tells the film whether video leaves more slowly than it comes. While it does none is encoded, so that this must not wait
    /// for the next frame to be looked at again.
    fn look_at_the_queue(&mut self, now: Instant) {
        let jammed = self.endpoint.video_queue_is_growing(now);
        self.path.send_if_modified(|path| std::mem::replace(&mut path.jammed, jammed) != jammed);
    }

    /// Tells the page first: a browser takes seconds to notice by itself.
    fn hang_up(&mut self) {
        let message = "the call was ended by the server".to_owned();
        self.handle(Input::Notice(Notice { turn: None, fact: Fact::Trouble { fault: Fault::Busy, message } }));
        self.settle();
        self.endpoint.close(clock::now());
    }
}

/// Datagrams between two looks at what else there is to do.
const BATCH: usize = 32;

/// How long a goodbye may take.
const GOODBYE: Duration = Duration::from_millis(1_000);

/// Events before the channel is open: `session.created` and little else.
const EARLY_EVENTS: usize = 64;
