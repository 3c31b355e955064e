//! io: one text to a TTS engine, and the sound of it: moshi-server's `/api/tts_streaming`, ours or a real one
//!
//! Measured as load testers of such services do it: time to first byte from the first text sent, and a real-time factor
//! that leaves that wait out, (elapsed − TTFB) / length of the sound.

use std::time::{Duration, Instant};

use super::listener::Listener;
use super::socket::{Seat, Socket};
use super::texts::TO_SPEAK;
use crate::load::figure::Figure;
use crate::load::outcome::Cause;
use crate::runtime::clock;
use crate::wire::moshi::{TtsIn, TtsOut};

/// A TTS engine's door.
#[derive(Clone, Debug)]
pub struct Tts {
    /// `ws://host:port` or `http://host:port`.
    pub server: String,
    /// Sent as `kyutai-api-key`.
    pub key: Option<String>,
}

impl Tts {
    /// Has the `n`-th text spoken, and adds what is measured to `values`.
    pub(super) async fn ask(&self, n: usize, values: &mut Vec<(Figure, f64)>) -> Result<(), Cause> {
        let text = TO_SPEAK[n % TO_SPEAK.len()];
        let dialled = clock::now();
        let mut socket = Socket::open(&self.server, PATH, self.key.as_deref()).await?;
        socket.seated(seat).await?;
        let asked = clock::now();
        values.push((Figure::Connect, (asked - dialled).as_secs_f64()));
        let words: Vec<&str> = text.split_whitespace().collect();
        for &word in &words {
            socket.say(&TtsIn::Text { text: word.to_owned() }).await?;
        }
        socket.say(&TtsIn::Eos).await?;
        let Heard { first, last, listener } = listen(&mut socket, asked).await?;
        let (ttfb, elapsed) = ((first - asked).as_secs_f64(), (last - asked).as_secs_f64());
        values.extend([
            (Figure::Ttfb, ttfb),
            (Figure::Rtf, (elapsed - ttfb) / listener.heard().as_secs_f64()),
            (Figure::Underrun, listener.underrun()),
            (Figure::Gaps, listener.gaps() as f64),
            (Figure::Words, words.len() as f64 / elapsed.max(LEAST_S)),
        ]);
        Ok(())
    }
}

fn seat(message: &TtsOut) -> Seat {
    match message {
        TtsOut::Ready => Seat::Given,
        TtsOut::Error { .. } => Seat::Full,
        _ => Seat::Unsaid,
    }
}

struct Heard {
    first: Instant,
    last: Instant,
    listener: Listener,
}

/// Until the engine closes: that is the end of its speech.
async fn listen(socket: &mut Socket, asked: Instant) -> Result<Heard, Cause> {
    let (mut listener, mut first, mut last) = (Listener::default(), None, asked);
    loop {
        let late = if first.is_some() { Cause::Endless } else { Cause::NoAnswer };
        let until = (asked + LONGEST).min(clock::now() + SILENCE);
        match socket.next_until(until, late).await? {
            Some(TtsOut::Audio { pcm }) if !pcm.is_empty() => {
                last = clock::now();
                first.get_or_insert(last);
                listener.handle(last, Duration::from_secs_f64(pcm.len() as f64 / 24_000.0));
            }
            Some(TtsOut::Error { .. }) => return Err(Cause::Failed),
            Some(_) => {}
            None => break,
        }
    }
    // Closed without a sound, though it was asked for some.
    let first = first.ok_or(Cause::Dropped)?;
    Ok(Heard { first, last, listener })
}

const PATH: &str = "/api/tts_streaming?format=PcmMessagePack";
/// Of an engine that has something to say.
const SILENCE: Duration = Duration::from_secs(15);
/// Some 12 s of sound take as long on an engine that is far too slow.
const LONGEST: Duration = Duration::from_secs(120);
/// Nothing is divided by less.
const LEAST_S: f64 = 1e-3;
