//! data: a piece of speech as it grows: the sound around the voice, and what is known of its words

use crate::engine::model::{Spoken, SpokenWord, Transcript};

/// Sound from shortly before somebody began to speak. Positions are 16 kHz samples since the caller connected.
#[derive(Debug)]
pub struct Piece {
    pub number: u64,
    /// Where `pcm` begins.
    first: u64,
    pcm: Vec<f32>,
    voice: Option<Voice>,
    /// The latest answer of the model.
    pub known: Option<Known>,
}

#[derive(Clone, Copy, Debug)]
struct Voice {
    from: u64,
    until: u64,
    /// How much of it was voiced: a click is not speech.
    samples: u64,
}

/// Words in seconds since the caller connected, of the voice up to `until`.
#[derive(Clone, Debug)]
pub struct Known {
    pub until: u64,
    pub words: Vec<SpokenWord>,
    pub doubtful: bool,
}

impl Piece {
    pub fn new(number: u64, first: u64) -> Self {
        Self { number, first, pcm: Vec::new(), voice: None, known: None }
    }

    /// Appends a chunk. Without a voice only the last [`LEAD`] are kept, so that hours of silence cost nothing.
    pub fn push(&mut self, chunk: &[f32], probability: f32) {
        let from = self.end();
        self.pcm.extend_from_slice(chunk);
        let until = self.end();
        let threshold = if self.voice.is_some() { STAYS } else { BEGINS };
        if probability >= threshold {
            let voice = self.voice.get_or_insert(Voice { from, until, samples: 0 });
            voice.until = until;
            voice.samples += chunk.len() as u64;
        } else if self.voice.is_some_and(|voice| voice.samples < SPEECH && until - voice.until >= CLICK) {
            self.voice = None;
        }
        if self.voice.is_none() && self.pcm.len() as u64 > 2 * LEAD {
            let surplus = self.pcm.len() - LEAD as usize;
            self.pcm.drain(..surplus);
            self.first += surplus as u64;
        }
    }

    /// Where the sound ends so far.
    pub fn end(&self) -> u64 {
        self.first + self.pcm.len() as u64
    }

    /// Where the voice ends, if there is speech.
    pub fn until(&self) -> Option<u64> {
        self.voice.filter(|voice| voice.samples >= SPEECH).map(|voice| voice.until)
    }

    /// From the first voice to the last.
    pub fn span(&self) -> u64 {
        self.voice.map_or(0, |voice| voice.until - voice.from)
    }

    /// Whether the model has said for good what the voice up to `until` says.
    pub fn is_known(&self, until: u64) -> bool {
        self.known.as_ref().is_some_and(|known| known.until >= until && !known.doubtful)
    }

    /// What the model gets: the voice with a little sound around it.
    pub fn spoken(&self, turn: u64, last_word: bool) -> Option<(u64, Spoken)> {
        let voice = self.voice?;
        let (from, to) = self.bounds(voice);
        let pcm = self.pcm[(from - self.first) as usize..(to - self.first) as usize].to_vec();
        Some((voice.until, Spoken { pcm, turn, last_word }))
    }

    /// Takes the answer to [`Self::spoken`], given for the voice up to `until`.
    pub fn learn(&mut self, until: u64, transcript: Transcript) {
        let Some(voice) = self.voice else { return };
        let offset_s = self.bounds(voice).0 as f64 / RATE_HZ;
        let shifted =
            |word: SpokenWord| SpokenWord { start_s: word.start_s + offset_s, stop_s: word.stop_s + offset_s, ..word };
        let words = transcript.words.into_iter().map(shifted).collect();
        self.known = Some(Known { until, words, doubtful: transcript.doubtful });
    }

    /// Cuts the piece where the last [`CUT_WITHIN`] are quietest: for somebody who speaks without a pause. `self`
    /// keeps what lies before; the rest, all of it voice, becomes the piece `number`.
    pub fn split(&mut self, number: u64) -> Option<Self> {
        let voice = self.voice?;
        let earliest = voice.until.saturating_sub(CUT_WITHIN).max(voice.from + SPEECH);
        let within = (earliest - self.first) as usize..(voice.until - self.first) as usize;
        let (quietest, _) = self.pcm[within.clone()]
            .chunks_exact(CUT_FRAME)
            .enumerate()
            .map(|(at, frame)| (at, frame.iter().map(|s| s * s).sum::<f32>()))
            .min_by(|a, b| a.1.total_cmp(&b.1))?;
        let cut = within.start + quietest * CUT_FRAME + CUT_FRAME / 2;
        let at = self.first + cut as u64;
        let rest = Self {
            number,
            first: at,
            pcm: self.pcm.split_off(cut),
            voice: Some(Voice { from: at, until: voice.until, samples: voice.until - at }),
            known: None,
        };
        self.voice = Some(Voice { until: at, ..voice });
        self.known = None;
        Some(rest)
    }

    /// Ends the piece in a pause; the sound after the voice leads the piece `number`.
    pub fn follow(&self, number: u64) -> Self {
        let keep = (self.end() - self.until().unwrap_or(self.first)).min(LEAD) as usize;
        let pcm = self.pcm[self.pcm.len() - keep..].to_vec();
        Self { number, first: self.end() - keep as u64, pcm, voice: None, known: None }
    }

    fn bounds(&self, voice: Voice) -> (u64, u64) {
        (voice.from.saturating_sub(LEAD).max(self.first), (voice.until + TRAIL).min(self.end()))
    }
}

const RATE_HZ: f64 = 16_000.0;
const MS: u64 = 16;

/// Silero's own thresholds are 0.5 and 0.35. A lower bar to begin costs a little work on noise; a higher one costs words.
const BEGINS: f32 = 0.4;
const STAYS: f32 = 0.3;
/// Less voice than this is a click or a breath.
const SPEECH: u64 = 96 * MS;
/// A click is forgotten after this much silence.
const CLICK: u64 = 500 * MS;
/// Sound kept before and after the voice: soft beginnings and ends lie there.
const LEAD: u64 = 300 * MS;
const TRAIL: u64 = 160 * MS;
const CUT_WITHIN: u64 = 4_000 * MS;
const CUT_FRAME: usize = 40 * MS as usize;

#[cfg(test)]
mod tests {
    use super::*;

    const CHUNK: usize = 512;

    fn said(piece: &mut Piece, chunks: usize, level: f32, probability: f32) {
        for _ in 0..chunks {
            piece.push(&[level; CHUNK], probability);
        }
    }

    /// An hour of silence leaves less than a second in memory, and the voice after it comes with its lead.
    #[test]
    fn silence_is_forgotten() {
        let mut piece = Piece::new(0, 0);
        said(&mut piece, 112_500, 0.0, 0.01);
        assert!(piece.pcm.len() <= CHUNK + 2 * LEAD as usize);
        assert_eq!(piece.end(), 3_600 * 16_000);
        said(&mut piece, 10, 0.1, 0.9);
        let (until, spoken) = piece.spoken(0, true).unwrap();
        assert_eq!(until, piece.end());
        assert_eq!(spoken.pcm.len(), LEAD as usize + 10 * CHUNK);
    }

    /// Two loud chunks are no speech, and do not keep the silence around them.
    #[test]
    fn a_click_is_not_speech() {
        let mut piece = Piece::new(0, 0);
        said(&mut piece, 2, 0.5, 0.9);
        assert_eq!(piece.until(), None);
        said(&mut piece, 60, 0.0, 0.0);
        assert!(piece.voice.is_none());
    }

    /// A speech without a pause is cut where it is quietest, and no sample is lost or said twice.
    #[test]
    fn a_cut_loses_nothing() {
        let mut piece = Piece::new(0, 0);
        said(&mut piece, 500, 0.2, 0.9);
        said(&mut piece, 2, 0.001, 0.9);
        said(&mut piece, 60, 0.2, 0.9);
        let (until, end) = (piece.until().unwrap(), piece.end());
        let rest = piece.split(1).unwrap();
        let quiet = 500 * CHUNK as u64..502 * CHUNK as u64;
        assert!(quiet.contains(&piece.until().unwrap()), "{:?} is not in {quiet:?}", piece.until());
        assert_eq!((piece.until(), piece.end()), (Some(rest.first), rest.first));
        assert_eq!((rest.until(), rest.end()), (Some(until), end));
    }
}
