//! core: sound, words and phones of one turn, put together into pieces of speech
//!
//! In:  words as they were shown and what was sent for them; what the engine says about its sound; the sound.
//! Out: contiguous pieces, each with the shown words and the phones that begin in it; the last one has `end`.
//! Law: every shown word comes out once, in order, with times that never step back, whatever the engine answers.

use std::collections::VecDeque;

use crate::agent::flow::{PhoneTime, Speech, TurnId, WordTime};
use crate::media::sound::Pcm;
use crate::media::time::MediaTime;

pub struct Assembly {
    turn: TurnId,
    at: MediaTime,
    /// Shown, and not yet placed by the engine.
    pending: VecDeque<Pending>,
    /// Placed, and not yet given out with their sound.
    words: VecDeque<WordTime>,
    phones: VecDeque<PhoneTime>,
    last_start: MediaTime,
    last_stop: MediaTime,
}

struct Pending {
    shown: String,
    /// Letters and digits of what was sent and has not been answered. A word that was not sent has none.
    unanswered: String,
    start: Option<MediaTime>,
}

impl Assembly {
    pub fn new(turn: TurnId) -> Self {
        Self {
            turn,
            at: MediaTime::ZERO,
            pending: VecDeque::new(),
            words: VecDeque::new(),
            phones: VecDeque::new(),
            last_start: MediaTime::ZERO,
            last_stop: MediaTime::ZERO,
        }
    }

    /// A word was shown, and `said` was sent for it.
    pub fn shown(&mut self, shown: String, said: Option<&str>) {
        self.pending.push_back(Pending { shown, unanswered: letters(said.unwrap_or_default()), start: None });
    }

    /// The engine places a text of ours. Engines split and respell what they are sent ("10:30" comes back as "10", "30"),
    /// so letters are compared, not messages counted.
    pub fn text(&mut self, text: &str, start: MediaTime, stop: MediaTime) {
        let start = start.max(self.last_start);
        let stop = stop.max(start);
        let mut answered = letters(text);
        if answered.is_empty() {
            return;
        }
        self.place_unsent(start);
        // What we did not show is not ours to caption.
        let Some(first) = self.pending.front_mut() else { return };
        first.start.get_or_insert(start);
        if let Some(rest) = first.unanswered.strip_prefix(answered.as_str()).filter(|rest| !rest.is_empty()) {
            first.unanswered = rest.to_owned();
            self.last_stop = stop;
            return;
        }
        // The whole word, possibly of several, or something that we did not send: then it stands for one word.
        loop {
            let Some(word) = self.pending.pop_front() else { return };
            let left = answered.strip_prefix(word.unanswered.as_str()).unwrap_or_default().to_owned();
            self.place(WordTime { text: word.shown, start: word.start.unwrap_or(start), stop });
            let goes_on = self.pending.front().is_some_and(|next| {
                !left.is_empty() && !next.unanswered.is_empty() && left.starts_with(next.unanswered.as_str())
            });
            if !goes_on {
                return;
            }
            answered = left;
        }
    }

    pub fn phones(&mut self, spans: Vec<(f64, f64, String)>) {
        self.phones.extend(spans.into_iter().map(|(start, stop, ipa)| {
            let start = MediaTime::from_secs_f64(start);
            PhoneTime { ipa, start, stop: MediaTime::from_secs_f64(stop).max(start) }
        }));
    }

    /// The next piece of sound, with what begins in it.
    pub fn sound(&mut self, pcm: Vec<f32>) -> Speech {
        let pcm = Pcm::<24_000>(pcm);
        let (at, stop) = (self.at, self.at + pcm.len());
        self.at = stop;
        let words = take_while(&mut self.words, |word| word.start < stop);
        let phones = take_while(&mut self.phones, |phone| phone.start < stop);
        Speech { turn: self.turn, at, pcm, words, phones, end: false }
    }

    /// Nothing follows: the last piece, without sound, carries the words that are left.
    pub fn end(&mut self) -> Speech {
        let at = self.at;
        while let Some(word) = self.pending.pop_front() {
            let start = word.start.unwrap_or(self.last_stop.min(at)).max(self.last_start);
            self.place(WordTime { text: word.shown, start, stop: at.max(start) });
        }
        let (words, phones) = (self.words.drain(..).collect(), self.phones.drain(..).collect());
        Speech { turn: self.turn, at, pcm: Pcm(vec![]), words, phones, end: true }
    }

    /// Words that were not sent take no time: they are there once what was before them has been said.
    fn place_unsent(&mut self, start: MediaTime) {
        while self.pending.front().is_some_and(|word| word.unanswered.is_empty()) {
            if let Some(word) = self.pending.pop_front() {
                let at = self.last_stop.min(start).max(self.last_start);
                self.place(WordTime { text: word.shown, start: at, stop: at });
            }
        }
    }

    fn place(&mut self, mut word: WordTime) {
        word.start = word.start.max(self.last_start);
        word.stop = word.stop.max(word.start);
        (self.last_start, self.last_stop) = (word.start, word.stop);
        self.words.push_back(word);
    }
}

fn take_while<T>(queue: &mut VecDeque<T>, wanted: impl Fn(&T) -> bool) -> Vec<T> {
    let count = queue.iter().take_while(|item| wanted(item)).count();
    queue.drain(..count).collect()
}

fn letters(text: &str) -> String {
    text.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secs(seconds: f64) -> MediaTime {
        MediaTime::from_secs_f64(seconds)
    }

    fn shown(assembly: &mut Assembly, text: &str) {
        text.split(' ').for_each(|word| assembly.shown(word.into(), Some(word)));
    }

    /// Words and phones go with the piece of sound that they begin in, and pieces follow each other without a gap.
    #[test]
    fn pieces_carry_what_begins_in_them() {
        let mut assembly = Assembly::new(TurnId(3));
        shown(&mut assembly, "Hi there, Ann.");
        for (text, start, stop) in [("Hi", 0.0, 0.1), ("there,", 0.12, 0.3), ("Ann.", 0.35, 0.5)] {
            assembly.text(text, secs(start), secs(stop));
        }
        assembly.phones(vec![(0.0, 0.1, "h".into()), (0.1, 0.2, "aɪ".into())]);
        let (a, b) = (assembly.sound(vec![0.0; 2_400]), assembly.sound(vec![0.0; 4_800]));
        assert_eq!((a.at, b.at), (secs(0.0), secs(0.1)));
        assert_eq!((a.words.len(), b.words.len()), (1, 1));
        assert_eq!((a.phones.len(), b.phones.len()), (1, 1));
        let end = assembly.end();
        assert!(end.end && end.pcm.is_empty());
        assert_eq!((end.at, end.words.len()), (secs(0.3), 1));
    }

    /// Engines that split, merge or respell our texts do not shift the captions after them.
    #[test]
    fn other_cuttings_are_followed() {
        let mut assembly = Assembly::new(TurnId(1));
        shown(&mut assembly, "At 10:30 we met in Rome.");
        for (n, text) in ["at", "10", "30", "we", "met in", "rome"].iter().enumerate() {
            assembly.text(text, secs(n as f64), secs(n as f64 + 0.5));
        }
        let words = assembly.end().words;
        let starts: Vec<(&str, f64)> = words.iter().map(|w| (w.text.as_str(), w.start.as_secs_f64())).collect();
        assert_eq!(starts, [("At", 0.0), ("10:30", 1.0), ("we", 3.0), ("met", 4.0), ("in", 4.0), ("Rome.", 5.0)]);
        assert_eq!(words[1].stop, secs(2.5));
    }

    /// Whatever comes back, every shown word comes out once, in order, and time does not step back.
    #[test]
    fn nothing_is_lost_and_time_rises() {
        let mut random = fastrand::Rng::with_seed(5);
        for _ in 0..500 {
            let mut assembly = Assembly::new(TurnId(1));
            let (mut sent, mut out) = (vec![], vec![]);
            for n in 0..random.usize(1..30) {
                let word = format!("word{n}");
                assembly.shown(word.clone(), random.bool().then_some(word.as_str()));
                sent.push(word.clone());
                match random.usize(..5) {
                    0 => assembly.text(&word, secs(random.f64() * 9.0), secs(random.f64() * 9.0)),
                    1 => assembly.text("nonsense", secs(random.f64() * 9.0), secs(0.0)),
                    2 => assembly.text("wo", secs(n as f64), secs(n as f64)),
                    3 => out.extend(assembly.sound(vec![0.0; random.usize(..4_800)]).words),
                    _ => {}
                }
            }
            out.extend(assembly.end().words);
            assert!(out.windows(2).all(|pair| pair[0].start <= pair[1].start), "{out:?}");
            assert!(out.iter().all(|word| word.start <= word.stop));
            let ours: Vec<&String> = out.iter().map(|w| &w.text).filter(|t| t.starts_with("word")).collect();
            assert_eq!(ours, sent.iter().collect::<Vec<_>>());
        }
    }

    /// What is only shown appears with its neighbours, and a turn of nothing else is complete, too.
    #[test]
    fn unspoken_words_are_kept() {
        let mut assembly = Assembly::new(TurnId(1));
        assembly.shown("Hi".into(), Some("Hi"));
        assembly.shown("😀".into(), None);
        assembly.shown("you".into(), Some("you"));
        assembly.text("Hi", secs(0.0), secs(0.2));
        assembly.text("you", secs(0.4), secs(0.6));
        let words: Vec<(String, MediaTime)> = assembly.end().words.into_iter().map(|w| (w.text, w.start)).collect();
        assert_eq!(words, [("Hi".into(), secs(0.0)), ("😀".into(), secs(0.2)), ("you".into(), secs(0.4))]);
    }
}
