//! core: one turn's sound as it lies on the stage: what has been taken, what may be taken back, which words were said

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use crate::agent::flow::{Ended, Played, Speech, TurnId, WordTime};
use crate::media::sound::{FRAME, Frame, SILENCE};
use crate::media::time::{MediaTime, Samples};

/// The stage's copy of one turn: pieces of sound, and a position that moves only when a frame leaves.
#[derive(Debug)]
pub struct Recital {
    pub turn: TurnId,
    pieces: VecDeque<Arc<Speech>>,
    words: Vec<WordTime>,
    /// Where the sound that has arrived ends.
    arrived: MediaTime,
    /// Where the sound that has left ends.
    position: MediaTime,
    /// No piece will come any more.
    closed: bool,
    /// Closed before the last piece came.
    failed: bool,
    ready: Option<Instant>,
    pub first_sound: Option<Instant>,
    /// When its fading frame last left.
    pub faded: Option<Instant>,
    /// Frames of silence that stood in for speech that came late.
    pub underruns: u64,
}

impl Recital {
    pub fn new(turn: TurnId) -> Self {
        Self {
            turn,
            pieces: VecDeque::new(),
            words: Vec::new(),
            arrived: MediaTime::ZERO,
            position: MediaTime::ZERO,
            closed: false,
            failed: false,
            ready: None,
            first_sound: None,
            faded: None,
            underruns: 0,
        }
    }

    /// Takes a piece. Pieces are contiguous; one that is not is dropped.
    pub fn add(&mut self, now: Instant, speech: Arc<Speech>) {
        if speech.at != self.arrived || self.closed {
            return;
        }
        self.arrived += speech.pcm.len();
        self.words.extend(speech.words.iter().cloned());
        self.closed = speech.end;
        if !speech.pcm.is_empty() {
            self.ready.get_or_insert(now);
            self.pieces.push_back(speech);
        }
    }

    /// The voice has hung up: if the last piece has not come by now, it failed.
    pub fn hang_up(&mut self) {
        self.failed |= !self.closed;
        self.closed = true;
    }

    /// Everything has left, and nothing will come.
    pub fn over(&self) -> Option<Ended> {
        let over = self.closed && self.ahead() == MediaTime::ZERO;
        over.then_some(if self.failed { Ended::Failed } else { Ended::Complete })
    }

    /// Sound that lies here and has not left.
    pub fn ahead(&self) -> MediaTime {
        self.arrived - self.position
    }

    pub fn position(&self) -> MediaTime {
        self.position
    }

    /// Takes the next 20 ms off; the last frame is padded with silence. `None`: it is late, or over.
    pub fn take(&mut self) -> Option<Frame> {
        let ahead = self.ahead().0 as usize;
        (ahead >= FRAME || (self.closed && ahead > 0)).then(|| self.copy(ahead.min(FRAME)))
    }

    /// Puts the position back by `frames` frames that were taken but never left.
    pub fn take_back(&mut self, frames: usize) {
        self.position = self.position - MediaTime::from_ms(20 * frames as u64);
    }

    fn copy(&mut self, count: usize) -> Frame {
        let mut frame = SILENCE;
        let mut filled = 0;
        for piece in &self.pieces {
            let from = (self.position.0 + filled as u64).saturating_sub(piece.at.0) as usize;
            let Some(sound) = piece.pcm.0.get(from..) else { continue };
            let n = sound.len().min(count - filled);
            frame[filled..filled + n].copy_from_slice(&sound[..n]);
            filled += n;
            if filled == count {
                break;
            }
        }
        self.position += Samples(count as u64);
        // What may still be taken back is kept.
        while let Some(first) = self.pieces.front()
            && first.at + first.pcm.len() + KEPT < self.position
        {
            self.pieces.pop_front();
        }
        frame
    }

    /// Words whose sound has begun to leave.
    pub fn said(&self) -> &[WordTime] {
        &self.words[..self.words.partition_point(|word| word.start < self.position)]
    }

    pub fn played(&self, ended: Option<Ended>) -> Played {
        Played {
            turn: self.turn,
            words: self.said().to_vec(),
            played: self.position,
            ready: self.ready,
            first_sound: self.first_sound,
            faded: self.faded,
            ended,
        }
    }
}

/// As much as the sound lane can hold.
const KEPT: MediaTime = MediaTime::from_ms(200);
