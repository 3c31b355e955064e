//! task: a picture for every cue, drawn on the pool

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::agent::flow::{Cue, Image, Level, Mood, Picture, Speech, TurnId};
use crate::face::animator::{self, Animator, Voice};
use crate::face::asset::Face;
use crate::face::portrait::Portrait;
use crate::face::script::Script;
use crate::media::picture::I420;
use crate::metrics::{Codec, Metrics};
use crate::runtime::clock;
use crate::runtime::lane::{Shed, Shedder};
use crate::runtime::pool::{Class, Pool, PoolError};

/// The lanes of the room.
pub struct Lanes {
    /// The voice's speech of the turns that have the floor or may get it.
    pub script: Shed<Arc<Speech>>,
    /// The moment to draw; hanging up ends the room.
    pub cue: watch::Receiver<Option<Cue>>,
    pub picture: Shedder<Picture>,
}

/// Where and how the pictures are made.
pub struct Studio {
    pub face: Arc<Face>,
    pub pool: Pool,
    pub metrics: Metrics,
    /// Pictures per second that the cues come at.
    pub fps: u32,
    /// Two sessions with different seeds do not move in step.
    pub seed: u64,
}

/// Draws until the stage or the transport hangs up.
pub async fn run(mut lanes: Lanes, studio: Studio) -> Result<(), PoolError> {
    let mut easel = Box::new(Easel::new(&studio));
    let mut scripts_come = true;
    loop {
        tokio::select! {
            biased;
            // Speech first: a cue of the moment at which a turn begins must find its script.
            speech = lanes.script.recv(), if scripts_come => match speech {
                Some(speech) => easel.learn(&speech),
                // The voice is done; what it said may still be heard.
                None => scripts_come = false,
            },
            changed = lanes.cue.changed() => {
                if changed.is_err() {
                    return Ok(());
                }
                let Some(cue) = *lanes.cue.borrow_and_update() else { continue };
                let drawn;
                (easel, drawn) = draw(easel, cue, &studio).await?;
                if !lanes.picture.send(Picture { media_time: cue.media_time, image: Image::Raw(drawn) }) {
                    return Ok(());
                }
            }
        }
    }
}

/// Draws on the pool. The easel travels with the job and comes back with the picture.
async fn draw(mut easel: Box<Easel>, cue: Cue, studio: &Studio) -> Result<(Box<Easel>, Arc<I420>), PoolError> {
    let period = Duration::from_secs(1) / studio.fps.max(1);
    let metrics = studio.metrics.clone();
    let job = move || {
        let began = clock::now();
        let picture = easel.draw(&cue);
        metrics.encoded(Codec::Face, clock::now() - began, period);
        (easel, picture)
    };
    studio.pool.run(Class::Picture, period, job).await
}

/// All that drawing needs and changes. After the first pictures it allocates nothing.
struct Easel {
    animator: Animator,
    portrait: Portrait,
    /// Of the last two turns that spoke.
    scripts: [(Option<TurnId>, Script); 2],
    /// Pictures that were given away, to be used again once nobody looks at them.
    frames: Vec<Arc<I420>>,
}

impl Easel {
    fn new(studio: &Studio) -> Self {
        let script = Script::new(studio.fps as f32);
        Self {
            animator: Animator::new(studio.seed),
            portrait: Portrait::new(studio.face.clone()),
            scripts: [(None, script.clone()), (None, script)],
            frames: Vec::with_capacity(FRAMES),
        }
    }

    fn learn(&mut self, speech: &Speech) {
        let Some(script) = self.script_to_write(speech.turn) else { return };
        for phone in &speech.phones {
            script.phone(&phone.ipa, phone.start.as_secs_f64() as f32, phone.stop.as_secs_f64() as f32);
        }
        script.sound(speech.at.as_secs_f64() as f32, &speech.pcm.0);
    }

    /// The script of `turn`, begun over that of the older of the two that are known; `None` for a turn older than both.
    fn script_to_write(&mut self, turn: TurnId) -> Option<&mut Script> {
        if !self.scripts.iter().any(|(of, _)| *of == Some(turn)) {
            let (of, script) = self.scripts.iter_mut().min_by_key(|(of, _)| *of)?;
            if of.is_some_and(|of| of > turn) {
                return None;
            }
            *of = Some(turn);
            script.clear();
        }
        self.scripts.iter_mut().find(|(of, _)| *of == Some(turn)).map(|(_, script)| script)
    }

    fn draw(&mut self, cue: &Cue) -> Arc<I420> {
        let heard = cue.speech.filter(|_| cue.level == Level::Full);
        let voice = heard.and_then(|(turn, position)| {
            let (_, script) = self.scripts.iter_mut().find(|(of, _)| *of == Some(turn))?;
            let position = position.as_secs_f64() as f32;
            script.forget_before(position);
            Some(Voice { script, position })
        });
        let mood = match cue.mood {
            Mood::Idle => animator::Mood::Idle,
            Mood::Listening => animator::Mood::Listening,
            Mood::Thinking => animator::Mood::Thinking,
            Mood::Speaking => animator::Mood::Speaking,
        };
        let expression = self.animator.express(cue.media_time.as_secs_f64(), mood, voice);
        let mut frame = self.blank();
        let canvas = Arc::get_mut(&mut frame).expect("`blank` gives a frame that nobody else holds");
        self.portrait.draw(&expression, canvas);
        if self.frames.len() < FRAMES {
            self.frames.push(frame.clone());
        }
        frame
    }

    /// A frame that nobody looks at any more, taken out of the stack; a new one while all are looked at.
    fn blank(&mut self) -> Arc<I420> {
        match self.frames.iter_mut().position(|frame| Arc::get_mut(frame).is_some()) {
            Some(free) => self.frames.swap_remove(free),
            None => {
                let size = self.portrait.face().size();
                Arc::new(I420::black(size, size))
            }
        }
    }
}

/// Two in the lane, one in the encoder, one being drawn, one to spare.
const FRAMES: usize = 5;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::flow::PhoneTime;
    use crate::media::sound::Pcm;
    use crate::media::time::MediaTime;
    use crate::metrics::LaneName;
    use crate::runtime::lane;

    const FACE: &[u8] = include_bytes!("../../../assets/theo.face");

    struct Room {
        script: Shedder<Arc<Speech>>,
        cue: watch::Sender<Option<Cue>>,
        picture: Shed<Picture>,
        ended: tokio::task::JoinHandle<Result<(), PoolError>>,
        frame: u64,
    }

    impl Room {
        fn open() -> Self {
            let metrics = Metrics::new();
            let (script, script_out) = lane::shedding(LaneName::Script, 64, &metrics);
            let (picture_in, picture) = lane::shedding(LaneName::Picture, 2, &metrics);
            let (cue, cue_out) = watch::channel(None);
            let face = Arc::new(Face::parse(FACE).unwrap());
            let studio = Studio { face, pool: Pool::new(1, metrics.clone()), metrics, fps: 15, seed: 1 };
            let lanes = Lanes { script: script_out, cue: cue_out, picture: picture_in };
            Self { script, cue, picture, ended: tokio::spawn(run(lanes, studio)), frame: 0 }
        }

        async fn show(&mut self, speech: Option<(u64, u64)>, level: Level, mood: Mood) -> Arc<I420> {
            let media_time = MediaTime::from_ms(0) + crate::media::time::Samples(self.frame * 1_600);
            self.frame += 1;
            let speech = speech.map(|(turn, ms)| (TurnId(turn), MediaTime::from_ms(ms)));
            self.cue.send(Some(Cue { media_time, speech, level, mood })).unwrap();
            let picture = self.picture.recv().await.unwrap();
            assert_eq!(picture.media_time, media_time);
            let Image::Raw(image) = picture.image else { panic!("an embedded face is never encoded") };
            image
        }
    }

    /// "mama…": one second of it.
    fn speech(turn: u64) -> Arc<Speech> {
        let phone = |n: u64| PhoneTime {
            ipa: ["m", "ˈɑː"][n as usize % 2].into(),
            start: MediaTime::from_ms(n * 200),
            stop: MediaTime::from_ms(n * 200 + 200),
        };
        Arc::new(Speech {
            turn: TurnId(turn),
            at: MediaTime::ZERO,
            pcm: Pcm(vec![0.1; 24_000]),
            words: vec![],
            phones: (0..5).map(phone).collect(),
            end: true,
        })
    }

    /// How different the mouths of two pictures are.
    fn differs(a: &I420, b: &I420) -> f64 {
        let mouth = (286..350).flat_map(|y| (196..316).map(move |x| y * 512 + x));
        mouth.map(|at| f64::from(a.y[at].abs_diff(b.y[at]))).sum::<f64>() / (64.0 * 120.0)
    }

    /// The lips follow the turn that is heard; a pause shuts them in two pictures; an unknown turn keeps them shut.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn the_mouth_follows_the_cue() {
        let mut room = Room::open();
        let rest = room.show(None, Level::Full, Mood::Speaking).await;
        assert!(room.script.send(speech(7)));
        let closed = room.show(Some((7, 40)), Level::Full, Mood::Speaking).await;
        let open = room.show(Some((7, 250)), Level::Full, Mood::Speaking).await;
        assert!(differs(&closed, &open) > 6.0, "{}", differs(&closed, &open));
        room.show(Some((7, 250)), Level::Paused, Mood::Listening).await;
        let paused = room.show(Some((7, 250)), Level::Paused, Mood::Listening).await;
        let unknown = room.show(Some((9, 250)), Level::Full, Mood::Speaking).await;
        for shut in [&paused, &unknown] {
            assert!(differs(shut, &rest) < differs(&open, &rest) / 2.0);
        }
        drop(room.cue);
        assert_eq!(room.ended.await.unwrap(), Ok(()));
    }

    /// The next turn is learnt while one is heard; a third takes the place of the oldest; a late piece of that is ignored.
    #[test]
    fn two_turns_are_known() {
        let face = Arc::new(Face::parse(FACE).unwrap());
        let metrics = Metrics::new();
        let studio = Studio { face, pool: Pool::new(1, metrics.clone()), metrics, fps: 15, seed: 1 };
        let mut easel = Easel::new(&studio);
        for turn in [3, 4, 5, 3] {
            easel.learn(&speech(turn));
        }
        let mut known = easel.scripts.each_ref().map(|(of, _)| of.unwrap().0);
        known.sort();
        assert_eq!(known, [4, 5]);
    }

    /// Frames go round: as many as are looked at, and no more.
    #[test]
    fn frames_are_used_again() {
        let face = Arc::new(Face::parse(FACE).unwrap());
        let metrics = Metrics::new();
        let studio = Studio { face, pool: Pool::new(1, metrics.clone()), metrics, fps: 15, seed: 1 };
        let mut easel = Easel::new(&studio);
        let cue = |n: u64| Cue {
            media_time: crate::media::time::Samples(n * 1_600),
            speech: None,
            level: Level::Full,
            mood: Mood::Idle,
        };
        let mut seen = std::collections::HashSet::new();
        let mut held = std::collections::VecDeque::new();
        for n in 0..50 {
            let frame = easel.draw(&cue(n));
            seen.insert(Arc::as_ptr(&frame));
            held.push_back(frame);
            if held.len() > 3 {
                held.pop_front();
            }
        }
        assert!(seen.len() <= FRAMES, "{} frames for three that are held", seen.len());
    }

    /// When the transport has gone the room ends by itself.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_gone_reader_ends_the_room() {
        let mut room = Room::open();
        room.show(None, Level::Full, Mood::Idle).await;
        drop(room.picture);
        let cue = Cue { media_time: MediaTime::from_ms(100), speech: None, level: Level::Full, mood: Mood::Idle };
        room.cue.send(Some(cue)).unwrap();
        assert_eq!(room.ended.await.unwrap(), Ok(()));
    }
}
