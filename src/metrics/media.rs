//! io: what codecs cost, and what goes over the wire

use std::time::Duration;

use prometheus::{Counter, Histogram, IntCounter};

use super::buckets;
use super::labels::{Codec, Direction};
use super::registry::Metrics;
use super::shelf::{By, Shelf};

pub struct Media {
    encode: By<Codec, Counter>,
    media: By<Codec, Counter>,
    pictures: IntCounter,
    keyframes: IntCounter,
    skipped: IntCounter,
    skew: Histogram,
    datagrams: By<Direction, IntCounter>,
    bytes: By<Direction, IntCounter>,
    unsent: IntCounter,
}

impl Media {
    pub fn new(shelf: &Shelf) -> Self {
        Self {
            encode: shelf.seconds_by(
                "visavis_encode_seconds_total",
                "Time spent in codecs; / media seconds = share of a core per stream",
            ),
            media: shelf.seconds_by("visavis_media_seconds_total", "Media that codecs made"),
            pictures: shelf.counter("visavis_pictures_sent_total", "Frames of video sent"),
            keyframes: shelf.counter("visavis_keyframes_sent_total", "Those of them that are keyframes"),
            skipped: shelf.counter(
                "visavis_pictures_skipped_total",
                "Pictures skipped before the encoder because video leaves more slowly than it comes",
            ),
            skew: shelf.histogram(
                "visavis_av_skew_seconds",
                "How much later a picture leaves than the sound of its moment",
                buckets::SKEW,
            ),
            datagrams: shelf.counters("visavis_datagrams_total", "Datagrams on the media port"),
            bytes: shelf.counters("visavis_datagram_bytes_total", "Bytes in them, without headers of UDP and IP"),
            unsent: shelf.counter("visavis_datagrams_unsent_total", "Datagrams that the system had no room for: lost"),
        }
    }
}

impl Metrics {
    /// `took` for so much `media` of sound or picture.
    pub fn encoded(&self, codec: Codec, took: Duration, media: Duration) {
        self.media().encode.of(codec).inc_by(took.as_secs_f64());
        self.media().media.of(codec).inc_by(media.as_secs_f64());
    }

    pub fn picture_sent(&self, keyframe: bool) {
        self.media().pictures.inc();
        if keyframe {
            self.media().keyframes.inc();
        }
    }

    pub fn picture_skipped(&self) {
        self.media().skipped.inc();
    }

    /// Seconds; negative: the picture left first.
    pub fn av_skew(&self, picture_late_s: f64) {
        self.media().skew.observe(picture_late_s);
    }

    pub fn datagram(&self, direction: Direction, bytes: usize) {
        self.media().datagrams.of(direction).inc();
        self.media().bytes.of(direction).inc_by(bytes as u64);
    }

    pub fn datagram_unsent(&self) {
        self.media().unsent.inc();
    }
}
