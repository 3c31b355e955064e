//! core: which of the conversations that a model has read is worth keeping, and where a new one is read
//!
//! In:    prompts as tokens, tokens that were read, the end of an answer; the time.
//! Out:   a [`Place`]: the sequence to use, what of it to keep, whom to copy a beginning from.
//! Law:   requests carry no conversation id. The longest common beginning tells which they continue.
//! Never: gives away a sequence that is in use.
//!
//! ```text
//!   prompt   P P P P a b c d            P: the persona; letters: talk
//!   seq 0    P P P P a b x y   idle     keeping 6 would forget x y    (cost 2: a reply that was cut)
//!   seq 1    P P P P q r s t u idle     keeping 4 would forget q…u    (cost 5: another call)
//!   seq 2    (empty)                    copy 6 from seq 0, forget nothing (cost 0) ← taken
//! ```

use std::time::{Duration, Instant};

/// A sequence that nobody asked about for so long is as good as empty: its caller has hung up or thinks of something else.
const STALE: Duration = Duration::from_secs(120);

/// Where a prompt is to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    pub sequence: usize,
    /// Before anything else, copy this other sequence over it.
    pub copy_from: Option<usize>,
    /// How many tokens of the prompt it has read already (after the copy). At least one is always left to read, because
    /// the first token of the answer comes out of reading the last one of the prompt.
    pub keep: usize,
}

/// What each sequence of a model's cache has read.
#[derive(Debug)]
pub struct Memory {
    sequences: Vec<Sequence>,
}

#[derive(Debug, Default)]
struct Sequence {
    tokens: Vec<i32>,
    busy: bool,
    used: Option<Instant>,
}

impl Memory {
    pub fn new(sequences: usize) -> Self {
        Self { sequences: (0..sequences).map(|_| Sequence::default()).collect() }
    }

    /// Takes a sequence for `prompt`: the one that forgets least by it; of several the one that knows most of the prompt,
    /// then the one longest unused. `None` when all are in use.
    pub fn take(&mut self, now: Instant, prompt: &[i32]) -> Option<Place> {
        let knows: Vec<usize> = self.sequences.iter().map(|s| s.common(prompt)).collect();
        let sequence = (0..self.sequences.len()).filter(|&at| !self.sequences[at].busy).min_by_key(|&at| {
            let s = &self.sequences[at];
            let stale = s.used.is_none_or(|used| now.saturating_duration_since(used) > STALE);
            let forgets = if stale { 0 } else { s.tokens.len() - knows[at] };
            (forgets, std::cmp::Reverse(knows[at]), s.used)
        })?;
        let best = (0..knows.len()).max_by_key(|&at| knows[at]).expect("there is a sequence: one was just found");
        let copy_from = (knows[best] > knows[sequence]).then_some(best);
        let keep = knows[copy_from.unwrap_or(sequence)].min(prompt.len().saturating_sub(1));
        let taken = &mut self.sequences[sequence];
        taken.tokens = prompt[..keep].to_vec();
        taken.busy = true;
        taken.used = Some(now);
        Some(Place { sequence, copy_from, keep })
    }

    /// The sequence has read `tokens` more.
    pub fn read(&mut self, sequence: usize, tokens: &[i32]) {
        self.sequences[sequence].tokens.extend_from_slice(tokens);
    }

    /// Nobody uses the sequence any more; it is remembered.
    pub fn release(&mut self, now: Instant, sequence: usize) {
        self.sequences[sequence].busy = false;
        self.sequences[sequence].used = Some(now);
    }

    /// Forget everything: the model has failed and nobody knows what it has read.
    pub fn clear(&mut self) {
        self.sequences.iter_mut().for_each(|s| *s = Sequence::default());
    }
}

impl Sequence {
    fn common(&self, prompt: &[i32]) -> usize {
        self.tokens.iter().zip(prompt).take_while(|(a, b)| a == b).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PERSONA: [i32; 4] = [1, 2, 3, 4];

    fn prompt(talk: &[i32]) -> Vec<i32> {
        [&PERSONA, talk].concat()
    }

    /// Reads a prompt and an answer.
    fn ask(memory: &mut Memory, now: Instant, talk: &[i32], answer: &[i32]) -> Place {
        let prompt = prompt(talk);
        let place = memory.take(now, &prompt).unwrap();
        memory.read(place.sequence, &prompt[place.keep..]);
        memory.read(place.sequence, answer);
        memory.release(now, place.sequence);
        place
    }

    /// A conversation finds its own sequence again; another one copies the persona and leaves it alone.
    #[test]
    fn calls_do_not_disturb_each_other() {
        let (mut memory, now) = (Memory::new(4), Instant::now());
        assert_eq!(ask(&mut memory, now, &[10], &[11, 12]), Place { sequence: 0, copy_from: None, keep: 0 });
        assert_eq!(ask(&mut memory, now, &[20], &[21]), Place { sequence: 1, copy_from: Some(0), keep: 4 });
        assert_eq!(ask(&mut memory, now, &[10, 11, 12, 13], &[14]), Place { sequence: 0, copy_from: None, keep: 7 });
        assert_eq!(ask(&mut memory, now, &[20, 21, 22], &[23]), Place { sequence: 1, copy_from: None, keep: 6 });
        // The same prompt again: its last token has to be read once more.
        assert_eq!(ask(&mut memory, now, &[20, 21, 22, 23], &[]).keep, 7);
    }

    /// A sequence in use is never given away, but its beginning can be copied; all in use is said.
    #[test]
    fn busy_sequences_stay() {
        let (mut memory, now) = (Memory::new(2), Instant::now());
        let first = memory.take(now, &prompt(&[10])).unwrap();
        memory.read(first.sequence, &prompt(&[10]));
        assert_eq!(memory.take(now, &prompt(&[20])), Some(Place { sequence: 1, copy_from: Some(0), keep: 4 }));
        assert_eq!(memory.take(now, &prompt(&[30])), None);
    }

    /// When all are full, the least is forgotten; but an old conversation counts as nothing.
    #[test]
    fn the_least_is_forgotten() {
        let (mut memory, start) = (Memory::new(2), Instant::now());
        ask(&mut memory, start, &[10, 11, 12, 13, 14, 15], &[]);
        ask(&mut memory, start, &[20], &[21]);
        assert_eq!(ask(&mut memory, start, &[30], &[]).sequence, 1);
        let later = start + STALE * 2;
        ask(&mut memory, later, &[30], &[31]);
        assert_eq!(ask(&mut memory, later, &[40], &[]).sequence, 0);
    }

    proptest! {
        /// What is kept is always a true beginning of the prompt, and something is left to read.
        #[test]
        fn what_is_kept_was_read(talks in prop::collection::vec(prop::collection::vec(0i32..3, 0..6), 1..40)) {
            let (mut memory, now) = (Memory::new(3), Instant::now());
            let mut read: Vec<Vec<i32>> = vec![vec![]; 3];
            for talk in talks {
                let prompt = prompt(&talk);
                let place = memory.take(now, &prompt).unwrap();
                if let Some(from) = place.copy_from {
                    read[place.sequence] = read[from].clone();
                }
                prop_assert!(place.keep < prompt.len());
                prop_assert_eq!(read[place.sequence].get(..place.keep), Some(&prompt[..place.keep]));
                read[place.sequence] = prompt.clone();
                memory.read(place.sequence, &prompt[place.keep..]);
                memory.release(now, place.sequence);
            }
        }
    }
}
