//! dsp: a picture of the face, from the phones to VP8 and back: 512×512, 15 a second

use std::sync::Arc;
use std::time::Duration;

use visavis::face::animator::{Animator, Mood, Voice};
use visavis::face::expression::Expression;
use visavis::face::portrait::Portrait;
use visavis::face::script::Script;
use visavis::media::picture::I420;
use visavis::media::time::{MediaTime, Samples};
use visavis::media::vp8::{Decoder, Encoder, Vp8Settings};

use crate::Function;
use crate::inputs::{Inputs, phones};
use crate::meter::Call;

const FPS: u32 = 15;
const PICTURE: Duration = Duration::from_nanos(1_000_000_000 / FPS as u64);
/// What a call rises to on a good path (`transport/shutter.rs`).
const KBPS: u32 = 500;
const PIECE: Duration = Duration::from_millis(80);
/// Eight seconds of pictures, over and over.
const PICTURES: usize = 120;

pub fn functions() -> Vec<Function> {
    vec![
        Function::new("lips learn 80 ms of speech", PIECE, learn),
        Function::new("animator, a picture", PICTURE, animate),
        Function::new("face draw, speaking", PICTURE, draw_speaking),
        Function::new("face draw, idle", PICTURE, draw_idle),
        Function::new("VP8 encode, speaking", PICTURE, |inputs| encode(inputs, true, false)),
        Function::new("VP8 encode, idle", PICTURE, |inputs| encode(inputs, false, false)),
        Function::new("VP8 encode, keyframe", PICTURE, |inputs| encode(inputs, true, true)),
        Function::new("VP8 decode, speaking", PICTURE, decode),
    ]
}

/// A turn's script with its phones and its loudness.
fn script(inputs: &Inputs) -> Script {
    let mut script = Script::new(FPS as f32);
    for phone in phones(MediaTime::from_ms(PICTURES as u64 * 1_000 / u64::from(FPS))) {
        script.phone(&phone.ipa, phone.start.as_secs_f64() as f32, phone.stop.as_secs_f64() as f32);
    }
    for (n, frame) in inputs.frames().iter().enumerate() {
        script.sound(n as f32 * 0.02, frame);
    }
    script
}

/// What the face does in [`PICTURES`] pictures.
fn expressions(inputs: &Inputs, speaking: bool) -> Vec<Expression> {
    let (mut animator, script) = (Animator::new(7), script(inputs));
    let express = |n: usize| {
        let now = n as f64 / f64::from(FPS);
        let voice = speaking.then_some(Voice { script: &script, position: now as f32 });
        animator.express(now, if speaking { Mood::Speaking } else { Mood::Idle }, voice)
    };
    (0..PICTURES).map(express).collect()
}

fn learn(inputs: &Inputs) -> Result<Call, String> {
    let (mut script, mut pieces) = (Script::new(FPS as f32), 0u32);
    let phones = phones(MediaTime::from_ms(1_280));
    let frames = inputs.frames();
    Ok(Box::new(move |watch| {
        let at = pieces as f32 * PIECE.as_secs_f32();
        let phone = &phones[pieces as usize % phones.len()];
        let sound = &frames[pieces as usize * 4 % (frames.len() - 4)..][..4];
        watch.time(|| {
            script.phone(&phone.ipa, at, at + PIECE.as_secs_f32());
            for (n, frame) in sound.iter().enumerate() {
                script.sound(at + n as f32 * 0.02, frame);
            }
        });
        script.forget_before(at);
        pieces += 1;
        // A turn ends: times in it would lose their precision.
        if pieces == 500 {
            script.clear();
            pieces = 0;
        }
    }))
}

fn animate(inputs: &Inputs) -> Result<Call, String> {
    let (mut animator, script) = (Animator::new(7), script(inputs));
    let mut pictures = 0;
    Ok(Box::new(move |watch| {
        let now = pictures as f64 / f64::from(FPS);
        let position = (pictures % PICTURES) as f32 / FPS as f32;
        watch.time(|| animator.express(now, Mood::Speaking, Some(Voice { script: &script, position })));
        pictures += 1;
    }))
}

fn draw(inputs: &Inputs, speaking: bool) -> Result<Call, String> {
    let mut expressions = expressions(inputs, speaking).into_iter().cycle();
    let mut portrait = Portrait::new(inputs.face.clone());
    let mut picture = I420::black(512, 512);
    Ok(Box::new(move |watch| {
        let expression = expressions.next().expect("a cycle has no end");
        watch.time(|| portrait.draw(&expression, &mut picture));
    }))
}

fn draw_speaking(inputs: &Inputs) -> Result<Call, String> {
    draw(inputs, true)
}

fn draw_idle(inputs: &Inputs) -> Result<Call, String> {
    draw(inputs, false)
}

/// Pictures one after the other, drawn when asked for: they are too large to keep eight seconds of them in a cache.
fn film(inputs: &Inputs, speaking: bool) -> impl FnMut() -> Arc<I420> + use<> {
    let mut expressions = expressions(inputs, speaking).into_iter().cycle();
    let mut portrait = Portrait::new(inputs.face.clone());
    let mut picture = Arc::new(I420::black(512, 512));
    move || {
        let canvas = Arc::make_mut(&mut picture);
        portrait.draw(&expressions.next().expect("a cycle has no end"), canvas);
        picture.clone()
    }
}

fn encoder() -> Result<Encoder, String> {
    let settings = Vp8Settings { width: 512, height: 512, fps: FPS, bitrate_kbps: KBPS };
    Encoder::new(settings).map_err(|error| error.to_string())
}

fn encode(inputs: &Inputs, speaking: bool, keyframes: bool) -> Result<Call, String> {
    let (mut film, mut encoder) = (film(inputs, speaking), encoder()?);
    let (mut bytes, mut pictures) = (Vec::with_capacity(32 * 1024), 0);
    Ok(Box::new(move |watch| {
        let (picture, pts) = (film(), Samples(pictures * 90_000 / u64::from(FPS)));
        watch.time(|| encoder.encode(&picture, pts, keyframes, &mut bytes)).expect("a picture is encoded");
        pictures += 1;
    }))
}

fn decode(inputs: &Inputs) -> Result<Call, String> {
    let (mut film, mut encoder) = (film(inputs, true), encoder()?);
    let (mut bytes, mut pictures) = (vec![], 0);
    let mut decoder = Decoder::new().map_err(|error| error.to_string())?;
    let mut picture = I420::black(512, 512);
    Ok(Box::new(move |watch| {
        let pts = Samples(pictures * 90_000 / u64::from(FPS));
        encoder.encode(&film(), pts, false, &mut bytes).expect("a picture is encoded");
        watch.time(|| decoder.decode(&bytes, &mut picture)).expect("our own frame");
        pictures += 1;
    }))
}
