//! core: which of the conversations that a model has read is worth keeping, and where a new one is read
//!
//! In:    prompts as tokens, tokens that were read, the end of an answer; the time.
//! Out:   a [`Place`]: the sequence to use, what of it to keep, whom to copy a beginning from.
//! Law:   requests carry no conversation id. What a sequence has read of a prompt tells whether it is its conversation.
//! Never: gives away a sequence that is in use.
//!
//! ```text
//!   prompt   P P P P a b c d            P: the persona; letters: talk
//!   seq 0    P P P P a b x y   idle     keeping 6 would forget x y    (cost 2: a reply that was cut)
//!   seq 1    P P P P q r s t u idle     keeping 4 would forget q…u    (cost 5: another call)
//!   seq 2    (empty)                    copy 6 from seq 0, forget nothing (cost 0) ← taken
//! ```
//!
//! A talk that has outgrown its prompt loses its oldest turns. What follows them has been read too, only further on: the
//! forgotten turns are cut out and the rest moves up, instead of being read again.
//!
//! ```text
//!   prompt   P P P P c d e f
//!   seq 0    P P P P a b c d           keep 4, cut 2, move 2 up; e f are left to read
//! ```

use std::time::{Duration, Instant};

/// A sequence that nobody asked about for so long is as good as empty: its caller has hung up or thinks of something else.
const STALE: Duration = Duration::from_secs(120);

/// Shorter runs are not worth moving: llama.cpp turns the keys of its whole cache for it, which takes as long as reading
/// some sixty tokens. And a few words in common may be a phrase that happens to stand in both.
const SHORTEST_MOVE: usize = 96;

/// Where a prompt is to be read, and what to do with the sequence before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    pub sequence: usize,
    /// First, copy this other sequence over it.
    pub copy_from: Option<usize>,
    /// Keep so many tokens, which are the beginning of the prompt,
    pub keep: usize,
    /// cut so many after them,
    pub cut: usize,
    /// move so many up, which are what the prompt goes on with; and forget the rest.
    pub moved: usize,
}

impl Place {
    /// How many tokens of the prompt have been read then. At least one is always left to read, because the first token of
    /// the answer comes out of reading the last one of the prompt.
    pub fn read(&self) -> usize {
        self.keep + self.moved
    }
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
        let known: Vec<Known> = self.sequences.iter().map(|s| Known::of(&s.tokens, prompt)).collect();
        let sequence = (0..self.sequences.len()).filter(|&at| !self.sequences[at].busy).min_by_key(|&at| {
            let s = &self.sequences[at];
            let stale = s.used.is_none_or(|used| now.saturating_duration_since(used) > STALE);
            let forgets = if stale { 0 } else { s.tokens.len() - known[at].total() };
            (forgets, std::cmp::Reverse(known[at].total()), s.used)
        })?;
        let best =
            (0..known.len()).max_by_key(|&at| known[at].total()).expect("there is a sequence: one was just found");
        let copy_from = (known[best].total() > known[sequence].total()).then_some(best);
        let Known { keep, cut, moved } = known[copy_from.unwrap_or(sequence)];
        let most = prompt.len().saturating_sub(1);
        let keep = keep.min(most);
        let moved = moved.min(most - keep);
        let place = Place { sequence, copy_from, keep, cut: if moved > 0 { cut } else { 0 }, moved };
        let taken = &mut self.sequences[sequence];
        taken.tokens = prompt[..place.read()].to_vec();
        taken.busy = true;
        taken.used = Some(now);
        Some(place)
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

/// What a sequence has read of a prompt.
#[derive(Clone, Copy, Debug)]
struct Known {
    keep: usize,
    cut: usize,
    moved: usize,
}

impl Known {
    fn of(tokens: &[i32], prompt: &[i32]) -> Self {
        let keep = common(tokens, prompt);
        let (rest, wanted) = (&tokens[keep..], &prompt[keep..]);
        let longest = (1..rest.len())
            .map(|cut| (common(&rest[cut..], wanted), cut))
            .max_by_key(|&(run, cut)| (run, std::cmp::Reverse(cut)));
        match longest {
            Some((moved, cut)) if moved >= SHORTEST_MOVE => Self { keep, cut, moved },
            _ => Self { keep, cut: 0, moved: 0 },
        }
    }

    fn total(&self) -> usize {
        self.keep + self.moved
    }
}

fn common(a: &[i32], b: &[i32]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PERSONA: [i32; 4] = [1, 2, 3, 4];

    fn prompt(talk: &[i32]) -> Vec<i32> {
        [&PERSONA, talk].concat()
    }

    fn plain(sequence: usize, copy_from: Option<usize>, keep: usize) -> Place {
        Place { sequence, copy_from, keep, cut: 0, moved: 0 }
    }

    /// Reads a prompt and an answer.
    fn ask(memory: &mut Memory, now: Instant, talk: &[i32], answer: &[i32]) -> Place {
        let prompt = prompt(talk);
        let place = memory.take(now, &prompt).unwrap();
        memory.read(place.sequence, &prompt[place.read()..]);
        memory.read(place.sequence, answer);
        memory.release(now, place.sequence);
        place
    }

    /// A conversation finds its own sequence again; another one copies the persona and leaves it alone.
    #[test]
    fn calls_do_not_disturb_each_other() {
        let (mut memory, now) = (Memory::new(4), Instant::now());
        assert_eq!(ask(&mut memory, now, &[10], &[11, 12]), plain(0, None, 0));
        assert_eq!(ask(&mut memory, now, &[20], &[21]), plain(1, Some(0), 4));
        assert_eq!(ask(&mut memory, now, &[10, 11, 12, 13], &[14]), plain(0, None, 7));
        assert_eq!(ask(&mut memory, now, &[20, 21, 22], &[23]), plain(1, None, 6));
        // The same prompt again: its last token has to be read once more.
        assert_eq!(ask(&mut memory, now, &[20, 21, 22, 23], &[]).keep, 7);
    }

    /// A sequence in use is never given away, but its beginning can be copied; all in use is said.
    #[test]
    fn busy_sequences_stay() {
        let (mut memory, now) = (Memory::new(2), Instant::now());
        let first = memory.take(now, &prompt(&[10])).unwrap();
        memory.read(first.sequence, &prompt(&[10]));
        assert_eq!(memory.take(now, &prompt(&[20])), Some(plain(1, Some(0), 4)));
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

    /// The oldest turns of a long talk are cut out, and what follows them is not read again.
    #[test]
    fn a_talk_that_loses_its_beginning_moves_up() {
        let (mut memory, now) = (Memory::new(1), Instant::now());
        let talk: Vec<i32> = (100..260).collect();
        ask(&mut memory, now, &talk, &[]);
        let shorter: Vec<i32> = (120..263).collect();
        assert_eq!(
            ask(&mut memory, now, &shorter, &[]),
            Place { sequence: 0, copy_from: None, keep: 4, cut: 20, moved: 140 }
        );
        // A short run in common is no reason.
        let other: Vec<i32> = (200..270).collect();
        assert_eq!(ask(&mut memory, now, &other, &[]).moved, 0);
    }

    proptest! {
        /// What counts as read is always a true beginning of the prompt, and something is left to read.
        #[test]
        fn what_is_kept_was_read(talks in prop::collection::vec((0usize..40, 0usize..250, 0i32..3), 1..40)) {
            let (mut memory, now) = (Memory::new(3), Instant::now());
            let mut read: Vec<Vec<i32>> = vec![vec![]; 3];
            for (from, length, last) in talks {
                let talk: Vec<i32> = (from as i32..).take(length).chain([1000 + last]).collect();
                let prompt = prompt(&talk);
                let place = memory.take(now, &prompt).unwrap();
                if let Some(from) = place.copy_from {
                    read[place.sequence] = read[from].clone();
                }
                let sequence = &mut read[place.sequence];
                sequence.drain(place.keep..place.keep + place.cut);
                sequence.truncate(place.read());
                prop_assert!(place.read() < prompt.len());
                prop_assert_eq!(&sequence[..], &prompt[..place.read()]);
                *sequence = prompt.clone();
                memory.read(place.sequence, &prompt[place.read()..]);
                memory.release(now, place.sequence);
            }
        }
    }
}
