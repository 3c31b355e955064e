//! data: what an endpoint tells its driver

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::media::time::Samples;

/// What [`Endpoint::poll`](super::Endpoint::poll) wants done.
#[derive(Clone, Debug)]
pub enum Output {
    /// Send `bytes` to `destination`. `source` is the announced address that the peer expects it from.
    Transmit {
        source: SocketAddr,
        destination: SocketAddr,
        bytes: Vec<u8>,
    },
    Event(Event),
    /// Nothing more until a datagram, a write, or this moment ([`Endpoint::handle_timeout`](super::Endpoint::handle_timeout)).
    Timeout(Instant),
}

/// A fact about the call.
#[derive(Clone, Debug)]
pub enum Event {
    /// Media flows from now on. Write the first audio packet and one keyframe at once: until a track has been written, its
    /// sender reports claim RTP time 0, a false clock.
    Connected,
    Audio(AudioPacket),
    Video(VideoFrame),
    /// The peer cannot go on without a keyframe (PLI or FIR).
    KeyframeWanted,
    ChannelOpen,
    /// One text on the data channel.
    ChannelMessage(String),
    ChannelClosed,
    /// What the path to the peer carries of media, headers not counted.
    Estimate {
        bits_per_second: u64,
    },
    /// The share of our audio packets that the peer lost since its last report, 0–1.
    LossReported {
        fraction: f32,
    },
    /// Round trip time by the peer's reports.
    Rtt(Duration),
    /// Which moment of the sender's wall clock an RTP time of one of its tracks means.
    SenderReport(SenderReport),
    /// The call is over; nothing but timeouts follows.
    Closed(Gone),
}

/// One Opus packet, as soon as it arrived: order and loss are the reader's business.
#[derive(Clone, Debug)]
pub struct AudioPacket {
    /// RTP sequence number, extended: rises by one per packet sent.
    pub seq: u64,
    /// RTP time at 48 kHz, as sent.
    pub rtp: u32,
    /// RTP time since the first packet that arrived.
    pub media_time: Samples<48_000>,
    pub arrival: Instant,
    pub bytes: Bytes,
}

/// One VP8 frame, whole and in order.
#[derive(Clone, Debug)]
pub struct VideoFrame {
    /// RTP time at 90 kHz, as sent.
    pub rtp: u32,
    /// When its first packet arrived.
    pub arrival: Instant,
    /// Whether nothing is missing between the frame before and this one. If not, ask for a keyframe.
    pub contiguous: bool,
    pub keyframe: bool,
    pub bytes: Arc<[u8]>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Track {
    Audio,
    Video,
}

impl Track {
    /// The rate of the track's RTP clock (RFC 7587, RFC 7741).
    pub const fn clock_hz(self) -> u32 {
        match self {
            Self::Audio => 48_000,
            Self::Video => 90_000,
        }
    }
}

/// RFC 3550, section 6.4.1. With one per track, sound and picture are joined on the sender's wall clock.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SenderReport {
    pub track: Track,
    /// The sender's wall clock, since 1970.
    pub wall: Duration,
    /// The same moment on the track's RTP clock.
    pub rtp: u32,
    pub arrival: Instant,
}

impl SenderReport {
    /// The sender's wall clock at `rtp`, for RTP times within ±2³¹ ticks of the report. Seconds since 1970.
    pub fn wall_of(&self, rtp: u32) -> f64 {
        let ticks = rtp.wrapping_sub(self.rtp).cast_signed();
        self.wall.as_secs_f64() + f64::from(ticks) / f64::from(self.track.clock_hz())
    }
}

/// Why a call is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Gone {
    /// [`Endpoint::close`](super::Endpoint::close), and the goodbye is on its way.
    Us,
    /// The peer said goodbye.
    Peer,
    /// Nothing came from the peer for the configured time.
    Silent,
    /// The peer never completed ICE and DTLS.
    NeverConnected,
    /// The protocol stack gave up, or broke.
    Broken(String),
}
