//! io: our ears understand our voice

use visavis::engine::tts::Voiced;
use visavis::media::resample::Polyphase;

use crate::kit::speech::WordErrors;
use crate::tts_sentences::piper;
use crate::whisper::{say, serve};

/// Sentences that neither side was tuned on, spoken by the real voice and heard by the real recognizer, each as a turn of
/// one call. Without figures and signs, which the two may write differently and both be right.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_said_is_heard() {
    let plain = |sentence: &&str| sentence.chars().all(|c| c.is_alphabetic() || " .,!?'".contains(c));
    let sentences: Vec<&str> =
        include_str!("fixtures/sentences.txt").lines().filter(plain).step_by(3).take(30).collect();
    let voice = piper(1).await;
    let (_served, mut ears) = serve().await;
    let (mut total, mut table) = (WordErrors::default(), String::new());
    for sentence in sentences {
        let mut stream = voice.open(1.0).expect("one stream at a time");
        stream.text(sentence);
        stream.finish();
        let (mut down, mut pcm) = (Polyphase::new(24_000, 16_000), vec![0.0; 4_800]);
        while let Some(voiced) = stream.next().await.unwrap() {
            if let Voiced::Sound(sound) = voiced {
                down.process(&sound, &mut pcm);
            }
        }
        down.flush(&mut pcm);
        pcm.extend([0.0; 4_800]);
        let heard = say(&mut ears, &pcm).await.text;
        let errors = WordErrors::between(sentence, &heard);
        total += errors;
        if errors.errors > 0 {
            table += &format!("{errors:?}\n  said  {sentence}\n  heard {heard}\n");
        }
    }
    let rate = total.rate() * 100.0;
    println!("{table}our voice in our ears: WER {rate:.1} % of {} words", total.words);
    assert!(total.words >= 150 && rate < 10.0, "{rate:.1} % of {} words\n{table}", total.words);
}
