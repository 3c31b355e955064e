//! core: when each 20 ms of speech leaves, and therefore which words have been said
//!
//! In:    speech faster than real time, with the offsets of its words; the floor.
//! Out:   one `Sound` per 20 ms; `Cue` for the face; `Progress` when a word falls due or a turn ends; notices.
//! Law:   after every `handle`, `poll` until `None`; then sleep until `deadline`.
//! Never: lets a frame of an old or a held turn out; drifts: frame n is due at start + n × 20 ms.
//!
//! ```text
//!            floor: now = A, Full        Paused                Full
//!  silent ───────────────────► playing ────────► one fading ────────► playing, from that very sample
//!    ▲                            │ last sample      frame, then
//!    │        End(A) published    │ or Cut           silence
//!    └────────────────────────────┴──────────────────── Cut ──► End(A)
//! ```
//! The first frame of a new turn leaves only after the `End` of the one before.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::recital::Recital;
use crate::agent::flow::{Cue, Ended, Fact, Floor, Level, Notice, Played, Progress, Sound, Speech, TurnId};
use crate::media::sound::{FRAME, FRAME_LEN, Frame, SILENCE};
use crate::media::time::{MediaTime, Samples};

/// Decides frame by frame. Starts with the call's media clock.
#[derive(Debug)]
pub struct Playout {
    start: Instant,
    /// Frames of sound that have left since `start`.
    frames: u64,
    /// Cues given since `start`.
    cues: u64,
    /// Length of a picture in media time.
    picture: MediaTime,
    floor: Floor,
    /// The turns that the floor names, and the one that is being faded out.
    turns: Vec<Recital>,
    /// The turn whose sound is on the stage: begun and not ended.
    on_stage: Option<TurnId>,
    /// What the voice at the end of the last frame asks of the next one.
    edge: Edge,
    /// The turn and position at the start of the last frame, for cues that fall into it.
    spoken: Option<(TurnId, MediaTime)>,
    /// Frames of the turn on stage that left since the floor turned away from it.
    after_floor: Option<usize>,
    history: VecDeque<Played>,
    said: usize,
    out: VecDeque<Output>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Edge {
    /// Silence, or speech that goes on.
    Steady,
    /// The next frame of the turn on stage is the last for now: it fades.
    FadeOut,
    /// The next frame of the turn on stage begins in its middle.
    FadeIn,
}

#[derive(Debug)]
pub enum Input {
    Speech(Arc<Speech>),
    /// The voice has hung up on this turn.
    HungUp(TurnId),
    /// The floor changed; `unsent` frames, the last that were put out, lay in the sound lane and were taken back.
    Floor {
        floor: Floor,
        unsent: Vec<Sound>,
    },
}

#[derive(Debug, PartialEq)]
pub enum Output {
    Sound(Sound),
    Cue(Cue),
    Progress(Progress),
    Notice(Notice),
    /// How many frames of a turn left after the floor had turned away from it.
    FramesAfterFloor(usize),
}

impl Playout {
    /// The media clock starts at `start`; pictures come at `fps` a second (at least 1).
    pub fn new(start: Instant, fps: u32) -> Self {
        Self {
            start,
            frames: 0,
            cues: 0,
            picture: Samples(u64::from(24_000 / fps.max(1))),
            floor: Floor::default(),
            turns: Vec::with_capacity(3),
            on_stage: None,
            edge: Edge::Steady,
            spoken: None,
            after_floor: None,
            history: VecDeque::with_capacity(3),
            said: 0,
            out: VecDeque::with_capacity(16),
        }
    }

    /// Whether more of `turn`'s speech should be fetched: a second ahead is enough, the rest waits in its lane.
    pub fn wants(&self, turn: TurnId) -> bool {
        self.turns.iter().find(|r| r.turn == turn).is_none_or(|r| r.ahead() < FETCH_AHEAD)
    }

    /// Nothing lies here that could still be played.
    pub fn is_done(&self) -> bool {
        self.turns.is_empty() && self.on_stage.is_none()
    }

    /// What has left of the turn on stage, and its late frames: of a call that ends in its middle nothing more is told.
    pub fn unfinished(&self) -> Option<(MediaTime, u64)> {
        let recital = self.turns.iter().find(|r| Some(r.turn) == self.on_stage)?;
        Some((recital.position(), recital.underruns))
    }

    /// Never fails: what no turn of the floor asked for is dropped.
    pub fn handle(&mut self, now: Instant, input: Input) {
        match input {
            Input::Speech(speech) => {
                if let Some(recital) = self.recital(speech.turn) {
                    recital.add(now, speech);
                }
            }
            Input::HungUp(turn) => {
                if let Some(recital) = self.recital(turn) {
                    recital.hang_up();
                }
            }
            Input::Floor { floor, unsent } => self.turn_to(now, floor, unsent),
        }
    }

    /// The turn's recital, begun if the floor wants it and it has not been played yet.
    fn recital(&mut self, turn: TurnId) -> Option<&mut Recital> {
        if !self.turns.iter().any(|r| r.turn == turn) {
            if !self.floor.wants(turn) || self.history.iter().any(|played| played.turn == turn) {
                return None;
            }
            self.turns.push(Recital::new(turn));
        }
        self.turns.iter_mut().find(|r| r.turn == turn)
    }

    fn turn_to(&mut self, now: Instant, floor: Floor, unsent: Vec<Sound>) {
        let before = std::mem::replace(&mut self.floor, floor);
        if before.mood != floor.mood {
            self.out.push_back(notice(None, Fact::State { mood: floor.mood }));
        }
        if let Some(turn) = self.on_stage {
            let was_heard = before.now == Some(turn) && before.level == Level::Full;
            match (was_heard, self.hears(turn)) {
                // Away again before the first frame back: it is silent already.
                (true, false) if self.edge == Edge::FadeIn => self.edge = Edge::Steady,
                (true, false) => {
                    self.edge = Edge::FadeOut;
                    self.after_floor = Some(0);
                }
                // Back before the fading frame left: it was never silent.
                (false, true) if self.edge == Edge::FadeOut => self.edge = Edge::Steady,
                (false, true) => self.edge = Edge::FadeIn,
                _ => {}
            }
        }
        self.put_back(now, unsent);
        self.close_what_is_over();
    }

    /// Whether the floor lets `turn` be heard.
    fn hears(&self, turn: TurnId) -> bool {
        self.floor.now == Some(turn) && self.floor.level == Level::Full
    }

    /// Frames that the transport has not taken. Of a turn that may not be heard any more, the first leaves faded and
    /// the rest go back to the turn; silence takes their place, for their time on the media clock has come all the
    /// same.
    fn put_back(&mut self, now: Instant, unsent: Vec<Sound>) {
        let mut back = 0;
        for sound in unsent {
            self.out.push_back(Output::Sound(match sound {
                Sound::Frame { turn: Some(turn), media_time, mut pcm } if !self.hears(turn) => {
                    back += 1;
                    if back == 1 {
                        fade(&mut pcm, 1.0, 0.0, FRAME);
                        Sound::Frame { turn: Some(turn), media_time, pcm }
                    } else {
                        Sound::Frame { turn: None, media_time, pcm: SILENCE }
                    }
                }
                other => other,
            }));
        }
        if back > 0 && self.edge == Edge::FadeOut {
            self.edge = Edge::Steady;
            self.after_floor = None;
            self.fell_silent(now, 1);
            if let Some(recital) = self.on_stage.and_then(|turn| self.recital(turn)) {
                recital.take_back(back - 1);
            }
        }
    }

    /// Everything that is due by `now`, oldest first.
    pub fn poll(&mut self, now: Instant) -> Option<Output> {
        loop {
            if let Some(output) = self.out.pop_front() {
                return Some(output);
            }
            let (sound_due, cue_due) = (self.sound_due(), self.cue_due());
            if now >= sound_due && sound_due <= cue_due {
                self.skip_what_is_lost(now);
                self.play(now);
            } else if now >= cue_due {
                self.cue();
            } else {
                return None;
            }
        }
    }

    pub fn deadline(&self) -> Option<Instant> {
        Some(self.sound_due().min(self.cue_due()))
    }

    fn sound_due(&self) -> Instant {
        self.start + Duration::from_millis(20 * self.frames)
    }

    fn cue_due(&self) -> Instant {
        self.start + self.cue_time().as_duration()
    }

    fn cue_time(&self) -> MediaTime {
        Samples(self.cues * self.picture.0)
    }

    /// A machine that slept wakes up to the present: the clock never drifts, and nobody wants the sound of then.
    fn skip_what_is_lost(&mut self, now: Instant) {
        let due = (now.saturating_duration_since(self.start).as_millis() / 20) as u64;
        if due > self.frames + MOST_LATE_FRAMES {
            self.frames = due;
            self.cues = self.cues.max(self.frames * FRAME as u64 / self.picture.0);
        }
    }

    fn play(&mut self, now: Instant) {
        let media_time = Samples(self.frames * FRAME as u64);
        self.frames += 1;
        self.spoken = None;
        let frame = self.speaker().and_then(|turn| Some((turn, self.perform(turn, now)?)));
        let (turn, pcm) = match frame {
            Some((turn, pcm)) => (Some(turn), pcm),
            None => (None, SILENCE),
        };
        self.out.push_back(Output::Sound(Sound::Frame { turn, media_time, pcm }));
        if self.edge == Edge::FadeOut {
            self.edge = Edge::Steady;
            if let Some(frames) = self.after_floor.take() {
                self.fell_silent(now, frames);
            }
        }
        self.close_what_is_over();
    }

    /// The fading frame of the turn on stage has left, after `frames` in all since the floor turned away.
    fn fell_silent(&mut self, now: Instant, frames: usize) {
        self.out.push_back(Output::FramesAfterFloor(frames));
        if let Some(recital) = self.on_stage.and_then(|turn| self.recital(turn)) {
            recital.faded = Some(now);
        }
        self.publish();
    }

    /// Whose frame is next: the turn that fades out whatever the floor says, or the one that the floor lets be heard,
    /// once the turn before it has ended.
    fn speaker(&self) -> Option<TurnId> {
        match self.on_stage {
            Some(turn) => (self.edge == Edge::FadeOut || self.hears(turn)).then_some(turn),
            None => self.floor.now.filter(|turn| self.hears(*turn)),
        }
    }

    /// The next frame of `turn`, shaped by the edge it stands at; `None` when it has none to give.
    fn perform(&mut self, turn: TurnId, now: Instant) -> Option<Frame> {
        let (begun, edge) = (self.on_stage == Some(turn), self.edge);
        let recital = self.recital(turn)?;
        let at = recital.position();
        let Some(mut pcm) = recital.take() else {
            if begun && edge != Edge::FadeOut && recital.over().is_none() {
                recital.underruns += 1;
            }
            return None;
        };
        if !begun {
            recital.first_sound = Some(now);
            self.on_stage = Some(turn);
            self.said = 0;
            self.out.push_back(notice(Some(turn), Fact::AudioStarted));
            self.publish();
        }
        match edge {
            Edge::FadeOut => fade(&mut pcm, 1.0, 0.0, FRAME),
            Edge::FadeIn => fade(&mut pcm, 0.0, 1.0, FADE_IN),
            Edge::Steady => {}
        }
        if edge == Edge::FadeIn {
            self.edge = Edge::Steady;
        }
        if let Some(frames) = &mut self.after_floor {
            *frames += 1;
        }
        self.spoken = Some((turn, at));
        self.tell_words(turn);
        Some(pcm)
    }

    fn tell_words(&mut self, turn: TurnId) {
        let skip = self.said;
        let Some(recital) = self.recital(turn) else { return };
        let words = recital.said().get(skip..).unwrap_or_default().to_vec();
        if !words.is_empty() {
            self.said += words.len();
            self.out.push_back(notice(Some(turn), Fact::Captions { words }));
            self.publish();
        }
    }

    /// Ends the turn that has given its last frame or that nobody wants, and drops those that nobody will hear.
    fn close_what_is_over(&mut self) {
        if self.edge == Edge::FadeOut {
            return;
        }
        let mut at = 0;
        while let Some(recital) = self.turns.get(at) {
            let turn = recital.turn;
            match recital.over() {
                Some(how) if self.on_stage == Some(turn) || self.hears(turn) => self.end(at, how),
                _ if self.floor.wants(turn) => at += 1,
                _ if self.on_stage == Some(turn) => self.end(at, Ended::Cut),
                _ => drop(self.turns.remove(at)),
            }
        }
    }

    /// Publishes the end of the turn: nothing of it follows.
    fn end(&mut self, at: usize, how: Ended) {
        let recital = self.turns.remove(at);
        let turn = recital.turn;
        let played = recital.played(Some(how));
        if self.on_stage == Some(turn) {
            self.on_stage = None;
        }
        let was_heard = played.first_sound.is_some();
        let underrun = MediaTime::from_ms(20 * recital.underruns);
        let performed = Fact::Performed { played: played.played, underrun };
        let fact = match how {
            Ended::Complete | Ended::Failed => Fact::AudioStopped,
            Ended::Cut => Fact::AudioCleared { played: played.played, words: played.words.len() },
        };
        if self.history.len() == 2 {
            self.history.pop_front();
        }
        self.history.push_back(played);
        self.publish();
        self.out.push_back(Output::Sound(Sound::End { turn }));
        if was_heard {
            self.out.push_back(notice(Some(turn), performed));
            self.out.push_back(notice(Some(turn), fact));
        }
    }

    fn publish(&mut self) {
        let playing = self.turns.iter().find(|r| Some(r.turn) == self.on_stage);
        // Words are copied: only those of the two turns that are told.
        let over = self.history.len().saturating_sub(if playing.is_some() { 1 } else { 2 });
        let turns = self.history.iter().skip(over).cloned().chain(playing.map(|r| r.played(None))).collect();
        self.out.push_back(Output::Progress(Progress { turns }));
    }

    fn cue(&mut self) {
        let media_time = self.cue_time();
        self.cues += 1;
        // The frame on air began at the last tick; the cue falls somewhere into it.
        let frame_began = Samples::<24_000>(self.frames.saturating_sub(1) * FRAME as u64);
        let speech = self.spoken.map(|(turn, at)| (turn, at + (media_time - frame_began).min(FRAME_LEN)));
        self.out.push_back(Output::Cue(Cue { media_time, speech, level: self.floor.level, mood: self.floor.mood }));
    }
}

fn notice(turn: Option<TurnId>, fact: Fact) -> Output {
    Output::Notice(Notice { turn, fact })
}

/// A raised-cosine ramp from `from` to `to` over the first `length` samples; the rest keeps `to`.
fn fade(pcm: &mut Frame, from: f32, to: f32, length: usize) {
    for (n, sample) in pcm.iter_mut().enumerate() {
        let x = (n as f32 / length as f32).min(1.0);
        *sample *= from + (to - from) * (0.5 - 0.5 * (x * std::f32::consts::PI).cos());
    }
}

/// 2.5 ms: too short to be heard as a swell, long enough not to click.
const FADE_IN: usize = 60;

const FETCH_AHEAD: MediaTime = MediaTime::from_ms(1_000);

/// Behind by more than this (200 ms) the sound is lost: the transport's lane could not hold it either.
const MOST_LATE_FRAMES: u64 = 10;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::flow::{Mood, WordTime};
    use crate::media::sound::Pcm;
    use proptest::prelude::*;

    const FPS: u32 = 15;

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    fn floor(now: Option<u64>, next: Option<u64>, level: Level) -> Floor {
        Floor { now: now.map(TurnId), next: next.map(TurnId), level, mood: Mood::Speaking }
    }

    /// Sound whose every sample tells its turn and position, so that what left can be read back.
    fn sample(turn: u64, position: u64) -> f32 {
        0.25 + turn as f32 / 8.0 + position as f32 / 16_777_216.0
    }

    /// `frames` × 20 ms of turn `turn`, a word every 100 ms, in pieces of 70 ms.
    fn speech(turn: u64, frames: u64) -> Vec<Arc<Speech>> {
        let total = frames * FRAME as u64;
        let piece = 1_680;
        (0..total.div_ceil(piece))
            .map(|n| {
                let (from, to) = (n * piece, ((n + 1) * piece).min(total));
                Arc::new(Speech {
                    turn: TurnId(turn),
                    at: Samples(from),
                    pcm: Pcm((from..to).map(|p| sample(turn, p)).collect()),
                    words: (from.div_ceil(2_400)..to.div_ceil(2_400))
                        .map(|w| WordTime {
                            text: format!("w{w}"),
                            start: Samples(w * 2_400),
                            stop: Samples(w * 2_400 + 2_000),
                        })
                        .collect(),
                    phones: vec![],
                    end: to == total,
                })
            })
            .collect()
    }

    struct Bench {
        start: Instant,
        playout: Playout,
        /// Every 20 ms frame that left: whose it was, and its sound.
        frames: Vec<(Option<TurnId>, Frame)>,
        others: Vec<Output>,
    }

    impl Bench {
        fn new() -> Self {
            let start = Instant::now();
            Self { start, playout: Playout::new(start, FPS), frames: vec![], others: vec![] }
        }

        fn floor(&mut self, floor: Floor) {
            self.playout.handle(self.start, Input::Floor { floor, unsent: vec![] });
        }

        fn say(&mut self, turn: u64, frames: u64) {
            for piece in speech(turn, frames) {
                self.playout.handle(self.start, Input::Speech(piece));
            }
            self.playout.handle(self.start, Input::HungUp(TurnId(turn)));
        }

        /// Sleeps as the task does, from deadline to deadline.
        fn until(&mut self, at: u64) {
            let at = self.start + ms(at);
            while let Some(due) = self.playout.deadline().filter(|due| *due <= at) {
                self.drain(due);
            }
            self.drain(at);
        }

        fn drain(&mut self, now: Instant) {
            while let Some(output) = self.playout.poll(now) {
                match output {
                    Output::Sound(Sound::Frame { turn, media_time, pcm }) => {
                        assert_eq!(
                            media_time.0,
                            self.frames.len() as u64 * FRAME as u64,
                            "the media clock never skips"
                        );
                        self.frames.push((turn, pcm));
                    }
                    other => self.others.push(other),
                }
            }
        }

        fn of(&self, turn: u64) -> usize {
            self.frames.iter().filter(|(t, _)| *t == Some(TurnId(turn))).count()
        }

        fn last_played(&self, turn: u64) -> Option<Played> {
            self.others.iter().rev().find_map(|o| match o {
                Output::Progress(p) => p.turns.iter().find(|t| t.turn == TurnId(turn)).cloned(),
                _ => None,
            })
        }
    }

    /// A reply plays to its last sample, in order, on the clock, and its words fall due as they begin.
    #[test]
    fn a_reply_is_played_whole() {
        let mut b = Bench::new();
        b.floor(floor(Some(1), None, Level::Full));
        b.until(50);
        b.say(1, 25);
        b.until(2_000);
        assert_eq!(b.frames.len(), 101);
        assert_eq!(b.of(1), 25);
        let sound: Vec<f32> = b.frames.iter().filter(|(t, _)| t.is_some()).flat_map(|(_, pcm)| *pcm).collect();
        assert!(sound.iter().enumerate().all(|(n, s)| *s == sample(1, n as u64)));
        let played = b.last_played(1).unwrap();
        assert_eq!((played.ended, played.words.len(), played.played.as_ms()), (Some(Ended::Complete), 5, 500));
    }

    /// Pictures are cued on start + n / fps, with the position of the sound at that very moment.
    #[test]
    fn cues_lie_on_the_video_grid() {
        let mut b = Bench::new();
        b.floor(floor(Some(1), None, Level::Full));
        b.say(1, 100);
        for at in 0..1_000 {
            b.until(at);
        }
        let cues: Vec<Cue> =
            b.others.iter().filter_map(|o| if let Output::Cue(c) = o { Some(*c) } else { None }).collect();
        assert_eq!(cues.len(), 15);
        for (n, cue) in cues.iter().enumerate() {
            assert_eq!(cue.media_time.0, n as u64 * 1_600);
            assert_eq!(cue.speech, Some((TurnId(1), cue.media_time)), "speech began with the clock here");
        }
    }

    /// Barge-in at every 20 ms of a reply: one fading frame and not one more, however it is taken from the turn.
    #[test]
    fn a_barge_in_at_any_moment_leaves_one_fading_frame() {
        for at in (0..520).step_by(20) {
            for level in [Level::Paused, Level::Cut] {
                let mut b = Bench::new();
                b.floor(floor(Some(1), None, Level::Full));
                b.say(1, 25);
                b.until(at);
                let before = b.of(1);
                b.floor(floor(Some(1), None, level));
                b.until(3_000);
                assert!(b.of(1) <= before + 1, "at {at} ms, {level:?}");
                if before > 0 && before < 25 {
                    let (_, last) = b.frames.iter().rev().find(|(t, _)| t.is_some()).unwrap();
                    assert!(last[FRAME - 1].abs() < 0.01, "the last frame fades to nothing");
                    assert!((last[0] - sample(1, before as u64 * 480)).abs() < 1e-3, "from where the voice was");
                }
            }
        }
    }

    /// A cough: the voice goes on from the very sample at which it stopped.
    #[test]
    fn full_after_paused_continues_at_the_very_sample() {
        for at in (20..480).step_by(20) {
            let mut b = Bench::new();
            b.floor(floor(Some(1), None, Level::Full));
            b.say(1, 25);
            b.until(at);
            b.floor(floor(Some(1), None, Level::Paused));
            b.until(at + 700);
            assert!(b.frames.last().unwrap().1 == SILENCE);
            b.floor(floor(Some(1), None, Level::Full));
            b.until(3_000);
            assert_eq!(b.of(1), 25, "paused at {at}: nothing lost, nothing said twice");
            let sound: Vec<f32> = b.frames.iter().filter(|(t, _)| t.is_some()).flat_map(|(_, pcm)| *pcm).collect();
            let exact = sound.iter().enumerate().filter(|(n, s)| **s == sample(1, *n as u64)).count();
            assert!(exact >= sound.len() - FRAME - FADE_IN, "all but the fading edges to the bit");
            assert_eq!(b.last_played(1).unwrap().ended, Some(Ended::Complete));
        }
    }

    /// What lies in the sound lane comes back: the caller hears one fading frame and the turn continues behind it.
    #[test]
    fn unsent_frames_go_back_to_their_turn() {
        let mut b = Bench::new();
        b.floor(floor(Some(1), None, Level::Full));
        b.say(1, 25);
        b.until(200);
        let unsent: Vec<Sound> = (7..11)
            .map(|n| Sound::Frame { turn: Some(TurnId(1)), media_time: Samples(n * 480), pcm: b.frames[n as usize].1 })
            .collect();
        b.frames.truncate(7);
        b.playout.handle(b.start, Input::Floor { floor: floor(Some(1), None, Level::Paused), unsent });
        b.until(400);
        assert_eq!(b.of(1), 8, "seven sent, one fading");
        b.floor(floor(Some(1), None, Level::Full));
        b.until(3_000);
        assert_eq!(b.of(1), 25);
    }

    /// A held turn is not heard, not cued, not in the progress; dropped it leaves nothing, confirmed it is there at
    /// once.
    #[test]
    fn a_held_turn_waits_behind_the_gate() {
        let mut b = Bench::new();
        b.floor(floor(None, Some(1), Level::Full));
        b.say(1, 5);
        b.until(500);
        b.floor(floor(None, Some(2), Level::Full));
        b.say(2, 5);
        b.until(1_000);
        assert!(b.frames.iter().all(|(t, pcm)| t.is_none() && *pcm == SILENCE));
        assert!(
            b.others.iter().all(|o| matches!(
                o,
                Output::Cue(Cue { speech: None, .. }) | Output::Notice(Notice { turn: None, .. })
            ))
        );
        b.floor(floor(Some(2), None, Level::Full));
        b.until(1_020);
        assert_eq!(b.of(2), 1, "its sound was ready");
        b.until(2_000);
        assert_eq!((b.of(1), b.of(2)), (0, 5));
    }

    /// Late speech is silence, counted, and nothing of it is lost; a voice that dies ends its turn honestly.
    #[test]
    fn late_speech_is_counted_and_a_dead_voice_ends_the_turn() {
        let mut b = Bench::new();
        b.floor(floor(Some(1), None, Level::Full));
        let pieces = speech(1, 14);
        b.playout.handle(b.start, Input::Speech(pieces[0].clone()));
        b.until(300);
        assert_eq!((b.of(1), b.playout.unfinished()), (3, Some((MediaTime::from_ms(60), 13))));
        b.playout.handle(b.start, Input::Speech(pieces[1].clone()));
        b.playout.handle(b.start, Input::HungUp(TurnId(1)));
        b.until(900);
        assert_eq!(b.of(1), 7);
        assert_eq!(b.last_played(1).unwrap().ended, Some(Ended::Failed));
        let told: Vec<_> = b
            .others
            .iter()
            .filter_map(|o| match o {
                Output::Notice(Notice { turn, fact: Fact::Performed { played, underrun } }) => {
                    Some((*turn, played.as_ms(), underrun.as_ms()))
                }
                _ => None,
            })
            .collect();
        assert_eq!(told, [(Some(TurnId(1)), 140, 260)], "told once, with every late frame in it");
        assert_eq!(b.playout.unfinished(), None, "and not counted again");
    }

    #[derive(Clone, Debug)]
    enum Op {
        Floor(Floor),
        Say(u64, u64),
        Wait(u64),
    }

    fn ops() -> impl Strategy<Value = Vec<Op>> {
        let turn = 0u64..5;
        let level = prop_oneof![Just(Level::Full), Just(Level::Paused), Just(Level::Cut)];
        let floor = (prop::option::of(turn.clone()), prop::option::of(turn.clone()), level)
            .prop_map(|(now, next, level)| Op::Floor(floor(now, next.filter(|n| Some(*n) != now), level)));
        let op = prop_oneof![floor, (turn, 1u64..40).prop_map(|(t, n)| Op::Say(t, n)), (1u64..400).prop_map(Op::Wait)];
        prop::collection::vec(op, 1..40)
    }

    proptest! {
        /// Whatever happens: one frame every 20 ms; a frame of a turn leaves only while the floor lets it be heard, or
        /// as the single fading one; each turn's sound is a prefix of what was said, in order; turns never interleave.
        #[test]
        fn the_law_holds(ops in ops()) {
            let mut b = Bench::new();
            let (mut now, mut current) = (0u64, Floor::default());
            let mut ended: Vec<TurnId> = vec![];
            for op in ops {
                match op {
                    Op::Floor(f) => {
                        current = f;
                        b.floor(f);
                    }
                    Op::Say(turn, n) => b.say(turn, n),
                    Op::Wait(n) => {
                        let (from, began) = (b.frames.len(), b.others.len());
                        now += n;
                        b.until(now);
                        for (n, (turn, _)) in b.frames[from..].iter().enumerate() {
                            let Some(turn) = *turn else { continue };
                            let heard = current.now == Some(turn) && current.level == Level::Full;
                            let fading = n == 0 && from > 0 && b.frames[from - 1].0 == Some(turn);
                            prop_assert!(heard || fading, "{turn:?} under {current:?}");
                            prop_assert!(!ended.contains(&turn), "{turn:?} had ended");
                        }
                        for o in &b.others[began..] {
                            if let Output::Sound(Sound::End { turn }) = o {
                                ended.push(*turn);
                            }
                            if let Output::FramesAfterFloor(n) = o {
                                prop_assert!(*n <= 1);
                            }
                        }
                        prop_assert_eq!(b.frames.len() as u64, now / 20 + 1);
                    }
                }
            }
        }
    }
}
