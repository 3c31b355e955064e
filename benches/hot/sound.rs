//! dsp: the codec of the sound and its resampler, 20 ms at a time

use std::time::Duration;

use visavis::media::opus::{Decoder, Encoder};
use visavis::media::resample::Polyphase;

use crate::Function;
use crate::inputs::Inputs;
use crate::meter::Call;

const FRAME: Duration = Duration::from_millis(20);

pub fn functions() -> Vec<Function> {
    vec![
        Function::new("Opus encode", FRAME, encode),
        Function::new("Opus decode to 16 kHz", FRAME, decode::<16_000>),
        Function::new("Opus decode to 24 kHz", FRAME, decode::<24_000>),
        Function::new("Opus recovery of a lost packet from the next", FRAME, recover),
        Function::new("Opus concealment of a lost packet", FRAME, conceal),
        Function::new("resample 22.05 → 24 kHz", FRAME, resample),
    ]
}

fn encode(inputs: &Inputs) -> Result<Call, String> {
    let mut frames = inputs.frames().into_iter().cycle();
    let mut encoder = Encoder::new();
    Ok(Box::new(move |watch| {
        let frame = frames.next().expect("a cycle has no end");
        watch.time(|| encoder.encode(&frame).map(<[u8]>::len)).expect("a frame is encoded");
    }))
}

/// The recording as a server sends it to a peer that reports losses: each packet has a copy of the one before.
fn packets(inputs: &Inputs, expected_loss: f32) -> Vec<Vec<u8>> {
    let mut encoder = Encoder::new();
    encoder.set_expected_loss(expected_loss);
    inputs.frames().iter().map(|frame| encoder.encode(frame).expect("a frame is encoded").to_vec()).collect()
}

fn decode<const HZ: u32>(inputs: &Inputs) -> Result<Call, String> {
    let mut packets = packets(inputs, 0.0).into_iter().cycle();
    let (mut decoder, mut sound) = (Decoder::<HZ>::new(), Vec::new());
    Ok(Box::new(move |watch| {
        let packet = packets.next().expect("a cycle has no end");
        sound.clear();
        watch.time(|| decoder.decode(&packet, &mut sound)).expect("our own packet");
    }))
}

fn recover(inputs: &Inputs) -> Result<Call, String> {
    let mut packets = packets(inputs, 0.1).into_iter().cycle();
    let (mut decoder, mut sound) = (Decoder::<16_000>::new(), Vec::new());
    Ok(Box::new(move |watch| {
        // One is lost; the next, which is decoded afterwards as usual, has a copy of it.
        packets.next();
        let packet = packets.next().expect("a cycle has no end");
        sound.clear();
        watch.time(|| decoder.recover(&packet, 320, &mut sound)).expect("our own packet");
        decoder.decode(&packet, &mut sound).expect("our own packet");
    }))
}

fn conceal(inputs: &Inputs) -> Result<Call, String> {
    let mut packets = packets(inputs, 0.0).into_iter().cycle();
    let (mut decoder, mut sound) = (Decoder::<16_000>::new(), Vec::new());
    Ok(Box::new(move |watch| {
        packets.next();
        let packet = packets.next().expect("a cycle has no end");
        sound.clear();
        watch.time(|| decoder.conceal(320, &mut sound)).expect("20 ms can be concealed");
        decoder.decode(&packet, &mut sound).expect("our own packet");
    }))
}

fn resample(inputs: &Inputs) -> Result<Call, String> {
    // 441 samples at 22.05 kHz are 20 ms; of what they are samples does not matter to a filter.
    let mut pieces = inputs.speech.chunks_exact(441).map(<[f32]>::to_vec).collect::<Vec<_>>().into_iter().cycle();
    let (mut resampler, mut sound) = (Polyphase::new(22_050, 24_000), Vec::new());
    Ok(Box::new(move |watch| {
        let piece = pieces.next().expect("a cycle has no end");
        sound.clear();
        watch.time(|| resampler.process(&piece, &mut sound));
    }))
}
