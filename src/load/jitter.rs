//! core: one answer behind a jitter buffer: what a listener would have missed, and whether it came in real time
//! In:    its packets in the order of their RTP times, each with its arrival.
//! Out:   how long there was nothing to play, how often for longer than the buffer hides, how far it was stretched.
//! Never: looks at sound; keeps more than a handful of packets.
//!
//! The model of a buffer of 60 ms: the first packet is played 60 ms after it came, each further one when the one before has
//! been played and, by the RTP clock, its time has come; but never before it has come. What is missing on the RTP clock and
//! what comes later than its turn are both nothing to play. A packet that comes late is played then, and everything after it
//! is late by as much: so does a browser's buffer, which grows after a stall, and one stall is not counted again with every
//! packet that follows it.
//!
//! ```text
//! arrivals   1  2  3        4 5 6
//! played        1  2  3  ..  4  5  6      .. nothing to play: 4 came that much too late
//! ```

use std::time::{Duration, Instant};

use super::medians;
use crate::media::time::Samples;

/// A place on the RTP clock of Opus.
pub type Position = Samples<48_000>;

/// One answer, from its first packet.
#[derive(Clone, Copy, Debug)]
pub struct Talk {
    buffer: Duration,
    began: Instant,
    first: Position,
    /// Up to here on the RTP clock everything has been played, or was missing, at this time of the wall.
    end: Position,
    played_until: Instant,
    gaps: u64,
    empty: Duration,
    packets: usize,
    /// Arrival against RTP time, of the first and of the last packets.
    head: [Offset; EDGE],
    tail: [Offset; EDGE],
}

/// How far a packet came behind the first one's clock.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Offset {
    position_s: f64,
    late_s: f64,
}

impl Talk {
    /// Begins with a packet of `length` that came at `arrival`. `buffer` is how long it waits to be played: more hides more
    /// of the network's unevenness, and is heard as delay. Browsers hold 40 to 80 ms on a good line.
    pub fn new(arrival: Instant, position: Position, length: Position, buffer: Duration) -> Self {
        let mut talk = Self {
            buffer,
            began: arrival,
            first: position,
            end: position + length,
            played_until: arrival + buffer + length.as_duration(),
            gaps: 0,
            empty: Duration::ZERO,
            packets: 0,
            head: [Offset::default(); EDGE],
            tail: [Offset::default(); EDGE],
        };
        talk.note(arrival, position);
        talk
    }

    /// Takes the next packet. One that lies before the end of what was played already is too late to be of use.
    pub fn packet(&mut self, arrival: Instant, position: Position, length: Position) {
        if position < self.end {
            return;
        }
        let due = self.played_until + (position - self.end).as_duration();
        let played_at = due.max(arrival);
        let hole = played_at - self.played_until;
        self.empty += hole;
        self.gaps += u64::from(hole > AUDIBLE_GAP);
        self.end = position + length;
        self.played_until = played_at + length.as_duration();
        self.note(arrival, position);
    }

    fn note(&mut self, arrival: Instant, position: Position) {
        let position_s = (position - self.first).as_secs_f64();
        // The first packet may have come later than its successors allow: the offset may be negative.
        let late_s = arrival.saturating_duration_since(self.began).as_secs_f64()
            - self.began.saturating_duration_since(arrival).as_secs_f64()
            - position_s;
        let offset = Offset { position_s, late_s };
        if self.packets < EDGE {
            self.head[self.packets] = offset;
        }
        self.tail[self.packets % EDGE] = offset;
        self.packets += 1;
    }

    /// How long it lasts on its RTP clock.
    pub fn length(&self) -> Duration {
        (self.end - self.first).as_duration()
    }

    /// How long it took to play, with all that was missing.
    pub fn lasted(&self) -> Duration {
        self.played_until - self.began - self.buffer
    }

    /// Where it ends on its RTP clock, so far.
    pub fn end(&self) -> Position {
        self.end
    }

    /// How often there was nothing to play for more than 60 ms.
    pub fn gaps(&self) -> u64 {
        self.gaps
    }

    /// How long there was nothing to play, all in all.
    pub fn empty(&self) -> Duration {
        self.empty
    }

    /// How much longer it took to come than it lasts, as a share; negative when it came faster. `None` when it is too short
    /// to say. By the medians of its first and of its last packets: one that was held up says nothing about the rate.
    pub fn stretch(&self) -> Option<f64> {
        let edge = EDGE.min(self.packets / 3);
        if edge == 0 {
            return None;
        }
        let newest = |n: usize| self.tail[(self.packets - 1 - n) % EDGE];
        let (early, late) = (median(edge, |n| self.head[n]), median(edge, newest));
        let lasted = late.position_s - early.position_s;
        (lasted > 0.0).then(|| (late.late_s - early.late_s) / lasted)
    }
}

/// The median lateness of `count` packets, at the mean of their positions.
fn median(count: usize, of: impl Fn(usize) -> Offset) -> Offset {
    let mut late = [0.0; EDGE];
    let mut position_s = 0.0;
    for (n, slot) in late.iter_mut().enumerate().take(count) {
        let offset = of(n);
        *slot = offset.late_s;
        position_s += offset.position_s / count as f64;
    }
    Offset { position_s, late_s: medians::median(&mut late[..count]).unwrap_or_default() }
}

/// What is missed: a hole longer than a short phone is heard as one; a shorter one is hidden by concealment, which Opus
/// fades out over about as long.
pub const AUDIBLE_GAP: Duration = Duration::from_millis(60);

/// Packets at either end that the stretch is judged by: 220 ms, more than one burst of a busy machine holds up.
const EDGE: usize = 11;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LENGTH: Position = Position::from_ms(20);
    const BUFFER: Duration = Duration::from_millis(60);

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// Packets of 20 ms: the number on the RTP clock, and the arrival in ms.
    fn talk(packets: impl IntoIterator<Item = (u64, u64)>) -> Talk {
        let t0 = Instant::now();
        let mut packets = packets.into_iter();
        let (number, at) = packets.next().unwrap();
        let mut talk = Talk::new(t0 + ms(at), Position::from_ms(20 * number), LENGTH, BUFFER);
        for (number, at) in packets {
            talk.packet(t0 + ms(at), Position::from_ms(20 * number), LENGTH);
        }
        talk
    }

    /// In step: nothing is missed, nothing stretched, whenever it began.
    #[test]
    fn what_comes_in_step_is_whole() {
        let talk = talk((0..200).map(|n| (n + 7, 900 + 20 * n)));
        assert_eq!((talk.gaps(), talk.empty(), talk.length()), (0, Duration::ZERO, ms(4_000)));
        assert!(talk.stretch().unwrap().abs() < 1e-9);
    }

    /// Up to 60 ms late is hidden by the buffer; each further ms is missed; more than 60 ms of that is a gap.
    #[test]
    fn the_buffer_hides_60_ms() {
        for (late, gaps, empty) in [(60, 0, 0), (61, 0, 1), (120, 0, 60), (121, 1, 61), (400, 1, 340)] {
            let talk = talk((0..100).map(|n| (n, 20 * n + if n >= 50 { late } else { 0 })));
            assert_eq!((talk.gaps(), talk.empty()), (gaps, ms(empty)), "{late} ms late");
        }
    }

    /// A stall that is made up for in a burst is one hole, and a second stall of the same length is none: the buffer holds
    /// more by then.
    #[test]
    fn a_stall_is_counted_once() {
        let arrival = |n: u64| match n {
            50..60 => 20 * 60,
            80..90 => 20 * 90,
            n => 20 * n,
        };
        let talk = talk((0..120).map(|n| (n, arrival(n))));
        assert_eq!((talk.gaps(), talk.empty()), (1, ms(140)));
        assert!(talk.stretch().unwrap().abs() < 1e-9);
    }

    /// What is missing on the RTP clock is missed, whether it was lost or never sent: three packets are no gap yet, four are.
    #[test]
    fn holes_of_the_rtp_clock_are_missed() {
        for (missing, gaps) in [(1, 0), (3, 0), (4, 1)] {
            let talk = talk((0..100).filter(|n| !(50..50 + missing).contains(n)).map(|n| (n, 20 * n)));
            assert_eq!((talk.gaps(), talk.empty()), (gaps, ms(20 * missing)));
            assert_eq!(talk.length(), ms(2_000));
        }
    }

    /// Swapped packets have their place in time; what comes twice or for a time that has passed changes nothing.
    #[test]
    fn late_copies_change_nothing() {
        let talk = talk([(0, 0), (1, 45), (2, 40), (2, 60), (1, 70), (3, 60)]);
        assert_eq!((talk.gaps(), talk.empty(), talk.length()), (0, Duration::ZERO, ms(80)));
    }

    /// The rate is found to a tenth of a percent, though the first packet comes 50 ms late and the last one 30.
    #[test]
    fn the_stretch_is_that_of_the_whole() {
        let t0 = Instant::now() + Duration::from_secs(1);
        for share in [-0.02, 0.0, 0.01, 0.05] {
            let arrival = |n: u64| t0 + Duration::from_micros((20_000.0 * n as f64 * (1.0 + share)) as u64);
            let mut talk = Talk::new(arrival(0) + ms(50), Position::ZERO, LENGTH, BUFFER);
            for n in 1..250 {
                let jitter = if n == 249 { ms(30) } else { Duration::ZERO };
                talk.packet(arrival(n) + jitter, Position::from_ms(20 * n), LENGTH);
            }
            let found = talk.stretch().unwrap();
            assert!((found - share).abs() < 1e-3, "{share}: {found}");
        }
        assert_eq!(self::talk([(0, 0), (1, 20)]).stretch(), None, "two packets have no rate");
    }

    proptest! {
        /// Whatever comes: what was played and what was missed fill the time from the first sound to the last, exactly.
        #[test]
        fn played_and_missed_fill_the_time(packets in proptest::collection::vec((0u64..300, 0u64..9_000), 1..200)) {
            let mut packets = packets;
            packets.sort();
            packets.dedup_by_key(|(number, _)| *number);
            let talk = talk(packets.iter().copied());
            let playing = LENGTH.as_duration() * packets.len() as u32;
            prop_assert_eq!(playing + talk.empty(), talk.lasted());
        }
    }
}
