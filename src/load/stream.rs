//! core: a track of sound against its own numbers: what was lost, what came twice, whether its clock ran true
//! In:    sequence numbers as they arrive; RTP times in order.
//! Out:   counts.

use crate::media::time::Samples;

use super::jitter::Position;

/// What came of a track.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Packets that came, each once.
    pub received: u64,
    /// Packets that were sent, by the numbers of the first and the last that came (RFC 3550, A.3), and never came.
    pub lost: u64,
    pub duplicates: u64,
    /// Steps of the RTP clock that are not the length of the packets in between.
    pub jumps: u64,
}

impl Counts {
    /// Lost, as a share of those due.
    pub fn loss(&self) -> f64 {
        let due = self.received + self.lost;
        if due == 0 { 0.0 } else { self.lost as f64 / due as f64 }
    }
}

/// Watches one track.
#[derive(Clone, Debug, Default)]
pub struct Stream {
    first: Option<u64>,
    highest: u64,
    /// Bit n: the packet n before the highest has come.
    lately: u64,
    received: u64,
    duplicates: u64,
    jumps: u64,
    /// The number and the RTP time at which the next packet in order is due.
    due: Option<(u64, Position)>,
}

impl Stream {
    /// A packet arrived. `seq` rises by one per packet sent and does not wrap.
    pub fn arrived(&mut self, seq: u64) {
        let first = *self.first.get_or_insert(seq);
        if self.received == 0 {
            self.highest = seq;
            self.lately = 1;
        } else if seq > self.highest {
            let step = seq - self.highest;
            self.lately = if step < 64 { self.lately << step | 1 } else { 1 };
            self.highest = seq;
        } else {
            let back = self.highest - seq;
            // Older than can be told apart, or from before the beginning: as good as a copy.
            if back >= 64 || seq < first || self.lately >> back & 1 == 1 {
                self.duplicates += 1;
                return;
            }
            self.lately |= 1 << back;
        }
        self.received += 1;
    }

    /// A packet's turn has come. `length` is what its sound lasts.
    pub fn played(&mut self, seq: u64, position: Position, length: Position) {
        if let Some((due, at)) = self.due {
            // Packets of one stream are equally long: what a lost one lasted is known by its neighbours.
            let expected = at + Samples(length.0 * seq.saturating_sub(due));
            self.jumps += u64::from(position != expected);
        }
        self.due = Some((seq + 1, position + length));
    }

    pub fn counts(&self) -> Counts {
        let due = self.first.map_or(0, |first| self.highest - first + 1);
        let Self { received, duplicates, jumps, .. } = *self;
        Counts { received, lost: due - received, duplicates, jumps }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LENGTH: Position = Position::from_ms(20);

    /// Swaps, copies, a single loss and a hole of a hundred: every packet is counted for what it was.
    #[test]
    fn every_packet_is_counted_once() {
        let mut stream = Stream::default();
        for seq in [50, 51, 53, 52, 52, 54, 56, 57, 50, 158, 157, 157] {
            stream.arrived(seq);
        }
        // Due: 50 to 158. Missing: 55 and 58 to 156.
        assert_eq!(stream.counts(), Counts { received: 9, lost: 100, duplicates: 3, jumps: 0 });
        assert_eq!(Counts::default().loss(), 0.0);
        assert!((stream.counts().loss() - 100.0 / 109.0).abs() < 1e-12);
    }

    /// Losses leave the clock true; a time left out, or told twice, does not.
    #[test]
    fn the_clock_is_true_across_losses() {
        let mut stream = Stream::default();
        let mut play = |seq, ms| stream.played(seq, Position::from_ms(ms), LENGTH);
        for (seq, ms) in [(7, 0), (8, 20), (10, 60), (15, 160)] {
            play(seq, ms);
        }
        for (seq, ms) in [(16, 200), (17, 220), (18, 220), (19, 240)] {
            play(seq, ms);
        }
        assert_eq!(stream.counts().jumps, 2);
    }
}
