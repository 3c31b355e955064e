//! dsp: what hearing computes: the voice detector, alone and for many calls at once, and the transcript of a sentence

use std::time::Duration;

use futures_util::future::join_all;
use visavis::engine::stt::gate::Window;
use visavis::engine::stt::mel::LogMel;
use visavis::engine::stt::whisper::{WHISPER_FOLDER, Whisper};
use visavis::metrics::Metrics;
use visavis::onnx::{CHUNK, LIBRARY, Onnx, VAD_MODEL, VadWorker};

use crate::Function;
use crate::inputs::Inputs;
use crate::meter::Call;

const CHUNK_LENGTH: Duration = Duration::from_millis(32);
const CALLS: usize = 8;
/// The sentence that is transcribed: the recording's first three seconds.
const SENTENCE: Duration = Duration::from_secs(3);

pub fn functions() -> Vec<Function> {
    vec![
        Function::new("voice detector, one call", CHUNK_LENGTH, alone).elsewhere(),
        Function {
            covers: CHUNK_LENGTH * CALLS as u32,
            ..Function::new("voice detector, eight calls in a batch", CHUNK_LENGTH, batch).elsewhere()
        },
        Function::new("mel spectrogram of 3 s", SENTENCE, mel),
        Function::new("Whisper, a transcript of 3 s", SENTENCE, whisper).elsewhere(),
    ]
}

fn onnx(inputs: &Inputs) -> Result<Onnx, String> {
    inputs.model(LIBRARY)?;
    Onnx::open(None, &inputs.models).map_err(|error| error.to_string())
}

fn detector(inputs: &Inputs) -> Result<VadWorker, String> {
    let model = inputs.model(VAD_MODEL)?;
    VadWorker::start(&onnx(inputs)?, &model, &Metrics::new()).map_err(|error| error.to_string())
}

fn chunks(inputs: &Inputs) -> impl Iterator<Item = [f32; CHUNK]> + use<> {
    let chunks: Vec<_> = inputs.speech.chunks_exact(CHUNK).map(|chunk| chunk.try_into().expect("exact")).collect();
    chunks.into_iter().cycle()
}

fn alone(inputs: &Inputs) -> Result<Call, String> {
    let (mut seat, mut chunks) = (detector(inputs)?.seat(), chunks(inputs));
    Ok(Box::new(move |watch| {
        let chunk = chunks.next().expect("a cycle has no end");
        watch.time(|| seat.probability_blocking(&chunk)).expect("the detector answers");
    }))
}

fn batch(inputs: &Inputs) -> Result<Call, String> {
    let worker = detector(inputs)?;
    let mut seats: Vec<_> = (0..CALLS).map(|_| worker.seat()).collect();
    let mut chunks = chunks(inputs);
    let runtime = tokio::runtime::Builder::new_current_thread().build().map_err(|error| error.to_string())?;
    Ok(Box::new(move |watch| {
        let chunk = chunks.next().expect("a cycle has no end");
        watch.time(|| {
            let answers = runtime.block_on(join_all(seats.iter_mut().map(|seat| seat.probability(&chunk))));
            assert!(answers.iter().all(Result::is_ok), "the detector answers everybody");
        });
    }))
}

fn sentence(inputs: &Inputs) -> Vec<f32> {
    inputs.speech.iter().copied().cycle().take(SENTENCE.as_millis() as usize * 16).collect()
}

fn mel(inputs: &Inputs) -> Result<Call, String> {
    let (pcm, mut mel) = (sentence(inputs), LogMel::new());
    Ok(Box::new(move |watch| {
        watch.time(|| mel.draw(&pcm, pcm.len() / 160 + 20));
    }))
}

fn whisper(inputs: &Inputs) -> Result<Call, String> {
    let folder = inputs.model(WHISPER_FOLDER)?;
    let mut whisper = Whisper::open(&onnx(inputs)?, &folder).map_err(|error| error.to_string())?;
    let pcm = sentence(inputs);
    Ok(Box::new(move |watch| {
        watch.time(|| whisper.decode(&pcm, Window::Speech, &|| true)).expect("the model runs");
    }))
}
