//! core: the protocol stack of one call, set up the way a talking agent needs it
//! In:    datagrams, media, texts, time.
//! Out:   datagrams and events, into the queue that the caller brings along.
//! Law:   every call drains the stack to its next timeout before it returns (str0m allows one mutation per drain).
//! Never: panics by itself; but the stack may, on input from outside: [`super::endpoint`] stands around it.
//!
//! Time is always an argument. The stack draws its own randomness (keys, SSRCs), so tests assert behaviour, not bytes.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use str0m::bwe::{Bitrate, BweKind};
use str0m::change::{SdpAnswer, SdpOffer, SdpPendingOffer};
use str0m::channel::ChannelId;
use str0m::config::DtlsVersion;
use str0m::format::Codec;
use str0m::media::{Direction, Frequency, KeyframeRequestKind, MediaData, MediaKind, MediaTime as StackTime, Mid};
use str0m::net::{Protocol, Receive};
use str0m::{Candidate, Input, Rtc};

use crate::media::time::{MediaTime, Samples};

use super::clock::MediaClock;
use super::event::{AudioPacket, Event, Gone, Output, SenderReport, Track, VideoFrame};
use super::identity::{RtcConfig, RtcError};
use super::outbox::{Outbox, SendError};
use super::sdp::{self, Offered};

/// The label that OpenAI's clients give the channel of events.
pub(super) const CHANNEL: &str = "oai-events";

/// The stack's default of 5 s delays lip sync in browsers by two reports.
const REPORT_INTERVAL: Duration = Duration::from_secs(1);

/// What can be resent. No cap on the share of resends: the default (15 %) forgets the requests it exceeds, and at our low
/// rate one lost keyframe does.
const RESEND_PACKETS: usize = 1024;
const RESEND_AGE: Duration = Duration::from_secs(3);

/// Video that waits longer than this for its turn in the pacer is growing old faster than it leaves. A 15 kB keyframe
/// takes 0.2 s at the starting bitrate and must not trip it.
const QUEUE_TOO_OLD: Duration = Duration::from_millis(300);

/// Rounds of "due at once" before the stack is taken to be stuck, and given a moment.
const MAX_ROUNDS: usize = 200;
const STUCK_PAUSE: Duration = Duration::from_millis(5);

pub(super) struct Peer {
    rtc: Rtc,
    audio: Mid,
    video: Option<Mid>,
    clock: MediaClock,
    first_audio: Option<u64>,
    channel: Option<Opened>,
    outbox: Outbox,
    pending: Option<SdpPendingOffer>,
    connected: bool,
    gone: Option<Gone>,
    now: Instant,
    next: Instant,
}

struct Opened {
    id: ChannelId,
    is_ours: bool,
}

type Sink = VecDeque<Output>;

impl Peer {
    /// Answers an offer as an ICE-lite server.
    pub(super) fn answer(config: &RtcConfig, offer: &str, now: Instant) -> Result<(Self, String), RtcError> {
        let offered = sdp::check_offer(offer)?;
        let offer = SdpOffer::from_sdp_string(offer).map_err(|e| RtcError::Malformed(e.to_string()))?;
        let stack = base(config).set_ice_lite(true).enable_bwe(Some(Bitrate::from(config.start_bitrate)));
        let mut rtc = stack.build(now);
        announce(&mut rtc, config)?;
        let answer = rtc.sdp_api().accept_offer(offer).map_err(|e| RtcError::Malformed(e.to_string()))?;
        rtc.bwe().set_bitrate(Bitrate::ZERO, Bitrate::from(config.wanted_bitrate));

        let answer = sdp::finish_answer(&answer.to_sdp_string(), &offered);
        let Offered { audio, video } = offered;
        let audio = Mid::from(&*audio);
        if rtc.media(audio).is_none_or(|media| media.disabled()) {
            return Err(RtcError::NoOpus);
        }
        let video = video
            .map(|mid| Mid::from(&*mid))
            .filter(|&mid| rtc.media(mid).is_some_and(|media| !media.disabled() && media.direction().is_sending()));
        Ok((Self::new(rtc, audio, video, None, now), answer))
    }

    /// Offers a call the way a browser does: speaks and hears Opus, watches VP8 if `video`, opens the event channel.
    pub(super) fn offer(config: &RtcConfig, video: bool, now: Instant) -> Result<(Self, String), RtcError> {
        let mut rtc = base(config).build(now);
        announce(&mut rtc, config)?;
        let mut changes = rtc.sdp_api();
        let audio = changes.add_media(MediaKind::Audio, Direction::SendRecv, None, None, None);
        let video = video.then(|| changes.add_media(MediaKind::Video, Direction::RecvOnly, None, None, None));
        changes.add_channel(CHANNEL.to_owned());
        let (offer, pending) = changes.apply().ok_or_else(|| RtcError::Broken("an offer without changes".into()))?;
        Ok((Self::new(rtc, audio, video, Some(pending), now), offer.to_sdp_string()))
    }

    fn new(rtc: Rtc, audio: Mid, video: Option<Mid>, pending: Option<SdpPendingOffer>, now: Instant) -> Self {
        Self {
            rtc,
            audio,
            video,
            clock: MediaClock::default(),
            first_audio: None,
            channel: None,
            outbox: Outbox::default(),
            pending,
            connected: false,
            gone: None,
            now,
            next: now,
        }
    }

    /// Completes an offer.
    pub(super) fn accept_answer(&mut self, now: Instant, answer: &str, out: &mut Sink) -> Result<(), RtcError> {
        sdp::check_size(answer)?;
        let answer = SdpAnswer::from_sdp_string(answer).map_err(|e| RtcError::Malformed(e.to_string()))?;
        let pending = self.pending.take().ok_or_else(|| RtcError::Malformed("an answer to no offer".into()))?;
        self.rtc.sdp_api().accept_answer(pending, answer).map_err(|e| RtcError::Malformed(e.to_string()))?;
        self.settle(now, out)
    }

    pub(super) fn ufrag(&mut self) -> String {
        self.rtc.direct_api().local_ice_credentials().ufrag
    }

    pub(super) fn has_video(&self) -> bool {
        self.video.is_some()
    }

    pub(super) fn is_connected(&self) -> bool {
        self.connected
    }

    pub(super) fn gone(&self) -> Option<&Gone> {
        self.gone.as_ref()
    }

    pub(super) fn is_alive(&self) -> bool {
        self.rtc.is_alive()
    }

    /// When the stack wants to be called again.
    pub(super) fn next(&self) -> Instant {
        self.next
    }

    /// False: the datagram was none that this call understands, and nothing happened.
    pub(super) fn receive(
        &mut self,
        now: Instant,
        source: SocketAddr,
        destination: SocketAddr,
        bytes: &[u8],
        out: &mut Sink,
    ) -> Result<bool, RtcError> {
        let Ok(datagram) = Receive::new(Protocol::Udp, source, destination, bytes) else { return Ok(false) };
        // An error here is a bad datagram, which anybody can send; a broken stack says so when polled.
        let understood = self.rtc.handle_input(Input::Receive(now.max(self.now), datagram)).is_ok();
        self.settle(now, out)?;
        Ok(understood)
    }

    pub(super) fn timeout(&mut self, now: Instant, out: &mut Sink) -> Result<(), RtcError> {
        self.now = self.now.max(now);
        self.rtc.handle_input(Input::Timeout(self.now)).map_err(broken)?;
        self.settle(now, out)
    }

    /// False: not connected yet, or the track was not negotiated; the media is lost.
    pub(super) fn write(
        &mut self,
        now: Instant,
        track: Track,
        media_time: MediaTime,
        bytes: Arc<[u8]>,
        out: &mut Sink,
    ) -> Result<bool, RtcError> {
        self.now = self.now.max(now);
        let (mid, codec, clock) = match track {
            Track::Audio => (Some(self.audio), Codec::Opus, Frequency::FORTY_EIGHT_KHZ),
            Track::Video => (self.video, Codec::Vp8, Frequency::NINETY_KHZ),
        };
        let (true, Some(mid)) = (self.connected, mid) else { return Ok(false) };
        let wall = self.clock.wall(self.now, media_time);
        let rtp = StackTime::new(MediaClock::rtp(track, media_time), clock);
        let Some(writer) = self.rtc.writer(mid) else { return Ok(false) };
        // Payload types are the offerer's choice.
        let Some(pt) = writer.payload_params().find(|p| p.spec().codec == codec).map(|p| p.pt()) else {
            return Ok(false);
        };
        let written = writer.write(pt, wall, rtp, bytes).is_ok();
        self.settle(now, out)?;
        Ok(written)
    }

    pub(super) fn send_text(
        &mut self,
        now: Instant,
        text: String,
        out: &mut Sink,
    ) -> Result<Result<(), SendError>, RtcError> {
        if self.gone.is_some() {
            return Ok(Err(SendError::Closed));
        }
        if let Err(refused) = self.outbox.push(text) {
            return Ok(Err(refused));
        }
        self.settle(now, out)?;
        Ok(Ok(()))
    }

    pub(super) fn request_keyframe(&mut self, now: Instant, out: &mut Sink) -> Result<bool, RtcError> {
        let Some(mut writer) = self.video.and_then(|mid| self.rtc.writer(mid)) else { return Ok(false) };
        let asked = writer.request_keyframe(None, KeyframeRequestKind::Pli).is_ok();
        self.settle(now, out)?;
        Ok(asked)
    }

    /// Whether video leaves more slowly than it comes: skip frames *before* encoding until this is false.
    pub(super) fn video_queue_is_growing(&mut self, now: Instant) -> bool {
        let Some(mid) = self.video else { return false };
        self.rtc
            .direct_api()
            .stream_tx_by_mid(mid, None)
            .and_then(|stream| stream.queue_info())
            .and_then(|queue| queue.first_unsent())
            .is_some_and(|since| now.saturating_duration_since(since) > QUEUE_TOO_OLD)
    }

    /// Says goodbye (RTCP BYE, SCTP and DTLS shutdown). Poll on until [`Self::is_alive`] is false.
    pub(super) fn close(&mut self, now: Instant, out: &mut Sink) -> Result<(), RtcError> {
        self.gone.get_or_insert(Gone::Us);
        self.rtc.close().map_err(broken)?;
        self.settle(now, out)
    }

    /// Drains the stack, and gives the channel what waits for it, until neither has more to do now.
    fn settle(&mut self, now: Instant, out: &mut Sink) -> Result<(), RtcError> {
        self.now = self.now.max(now);
        self.drain(out)?;
        while self.give_channel_a_text() {
            self.drain(out)?;
        }
        Ok(())
    }

    fn drain(&mut self, out: &mut Sink) -> Result<(), RtcError> {
        for _ in 0..MAX_ROUNDS {
            // Each round ends at a timeout; media just written is due at once, in a round of its own.
            loop {
                match self.rtc.poll_output().map_err(broken)? {
                    str0m::Output::Transmit(datagram) => out.push_back(Output::Transmit {
                        source: datagram.source,
                        destination: datagram.destination,
                        bytes: datagram.contents.into(),
                    }),
                    str0m::Output::Event(event) => {
                        if let Some(event) = self.translate(event) {
                            out.push_back(Output::Event(event));
                        }
                    }
                    str0m::Output::Timeout(at) => {
                        self.next = at;
                        break;
                    }
                }
            }
            if self.next > self.now || !self.rtc.is_alive() {
                return Ok(());
            }
            self.rtc.handle_input(Input::Timeout(self.now)).map_err(broken)?;
        }
        self.next = self.now + STUCK_PAUSE;
        Ok(())
    }

    fn give_channel_a_text(&mut self) -> bool {
        let (Some(opened), Some(text)) = (&self.channel, self.outbox.oldest()) else { return false };
        let Some(mut channel) = self.rtc.channel(opened.id) else { return false };
        // `false`: its buffer is full, and `ChannelBufferedAmountLow` will say when it is not. An error: it is closing.
        let taken = channel.write(false, text.as_bytes()).unwrap_or(false);
        if taken {
            self.outbox.taken();
        }
        taken
    }

    fn translate(&mut self, event: str0m::Event) -> Option<Event> {
        use str0m::Event as Stack;
        match event {
            Stack::Connected => {
                self.connected = true;
                if let Some(stream) =
                    self.video.and_then(|mid| self.rtc.direct_api().stream_tx_by_mid(mid, None).map(|_| mid))
                {
                    self.allow_resends(stream);
                }
                Some(Event::Connected)
            }
            Stack::MediaAdded(added) if Some(added.mid) == self.video => {
                self.allow_resends(added.mid);
                None
            }
            Stack::MediaData(data) if data.mid == self.audio => Some(Event::Audio(self.audio_packet(&data))),
            Stack::MediaData(data) if Some(data.mid) == self.video => Some(Event::Video(VideoFrame {
                rtp: data.time.numer() as u32,
                arrival: data.network_time,
                contiguous: data.contiguous,
                keyframe: data.is_keyframe(),
                bytes: data.data,
            })),
            Stack::KeyframeRequest(request) if Some(request.mid) == self.video => Some(Event::KeyframeWanted),
            Stack::SenderFeedback(report) => {
                let track = self.track(report.mid)?;
                let info = report.sender_info;
                Some(Event::SenderReport(SenderReport {
                    track,
                    wall: info.ntp_time.duration_since(std::time::SystemTime::UNIX_EPOCH).ok()?,
                    rtp: info.rtp_time.numer() as u32,
                    arrival: report.received_at,
                }))
            }
            Stack::ChannelOpen(id, label) => self.channel_opened(id, &label),
            Stack::ChannelData(data) if self.channel.as_ref().is_some_and(|c| c.id == data.id) => {
                String::from_utf8(data.data).ok().map(Event::ChannelMessage)
            }
            Stack::ChannelClose(id) if self.channel.as_ref().is_some_and(|c| c.id == id) => {
                self.channel = None;
                Some(Event::ChannelClosed)
            }
            Stack::EgressBitrateEstimate(BweKind::Twcc { estimate, .. } | BweKind::Remb { estimate, .. }) => {
                Some(Event::Estimate { bits_per_second: estimate.as_u64() })
            }
            Stack::MediaEgressStats(stats) if stats.mid == self.audio => {
                let fraction = stats.loss?;
                Some(Event::LossReported { fraction })
            }
            Stack::PeerStats(stats) => stats.rtt.map(Event::Rtt),
            Stack::Closed => {
                self.gone.get_or_insert(Gone::Peer);
                None
            }
            _ => None,
        }
    }

    fn audio_packet(&mut self, data: &MediaData) -> AudioPacket {
        let time = data.time.numer();
        let first = *self.first_audio.get_or_insert(time);
        AudioPacket {
            seq: **data.seq_range.start(),
            rtp: time as u32,
            media_time: Samples(time.saturating_sub(first)),
            arrival: data.network_time,
            bytes: Bytes::from_owner(data.data.clone()),
        }
    }

    /// The first channel carries the events, unless one with their label comes along.
    fn channel_opened(&mut self, id: ChannelId, label: &str) -> Option<Event> {
        let is_ours = label == CHANNEL;
        let first = self.channel.is_none();
        if self.channel.as_ref().is_some_and(|c| c.is_ours || !is_ours) {
            return None;
        }
        if let Some(mut channel) = self.rtc.channel(id) {
            channel.set_buffered_amount_low_threshold(LOW_WATER_BYTES);
        }
        self.channel = Some(Opened { id, is_ours });
        first.then_some(Event::ChannelOpen)
    }

    fn allow_resends(&mut self, mid: Mid) {
        if let Some(stream) = self.rtc.direct_api().stream_tx_by_mid(mid, None) {
            stream.set_rtx_cache(RESEND_PACKETS, RESEND_AGE, None);
        }
    }

    fn track(&self, mid: Mid) -> Option<Track> {
        if mid == self.audio { Some(Track::Audio) } else { (Some(mid) == self.video).then_some(Track::Video) }
    }
}

/// Half of what the association buffers.
const LOW_WATER_BYTES: usize = 64 * 1024;

/// What both roles share.
fn base(config: &RtcConfig) -> str0m::RtcConfig {
    str0m::RtcConfig::new()
        .set_crypto_provider(config.identity.crypto.clone())
        .set_dtls_cert(config.identity.certificate.clone())
        .set_dtls_version(DtlsVersion::Dtls12)
        .clear_codecs()
        .enable_opus(true, false)
        .enable_vp8(true)
        .set_rtcp_report_interval_audio(REPORT_INTERVAL)
        .set_rtcp_report_interval_video(REPORT_INTERVAL)
        // Audio packets come out as they arrive. The stack would hold a packet back behind a lost one; whoever reads the
        // microphone knows better (it recovers the lost one from its successor).
        .set_reordering_size_audio(0)
        .set_stats_interval(Some(REPORT_INTERVAL))
}

fn announce(rtc: &mut Rtc, config: &RtcConfig) -> Result<(), RtcError> {
    for &address in &config.addresses {
        let candidate =
            Candidate::host(address, "udp").map_err(|e| RtcError::Address { address, why: e.to_string() })?;
        rtc.add_local_candidate(candidate);
    }
    Ok(())
}

fn broken(error: str0m::RtcError) -> RtcError {
    RtcError::Broken(error.to_string())
}
