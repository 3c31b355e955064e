//! io: one text to a TTS engine, and the sound of it: moshi-server's `/api/tts_streaming`, ours or a real one
//!
//! Measured as load testers of such services do it: time to first byte from the first text sent, and a real-time factor
//! that leaves that wait out, (elapsed − TTFB) / length of the sound.

use std::time::{Duration, Instant};

use super::listener::Listener;
use super::socket::Socket;
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
        ready(&mut socket).await?;
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

/// Until the seat is ours.
async fn ready(socket: &mut Socket) -> Result<(), Cause> {
    // A few messages may come before it; who sends many has not understood us.
    for _ in 0..10 {
        match clock::timeout(SILENCE, socket.next()).await.map_err(|_| Cause::NotConnected)?? {
            Some(TtsOut::Ready) => return Ok(()),
            // What an engine of this protocol says instead of Ready is that it has no seat.
            Some(TtsOut::Error { .. }) => return Err(Cause::Busy),
            Some(_) => {}
            None => return Err(Cause::Refused),
        }
    }
    Err(Cause::Garbage)
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
        let left = LONGEST.saturating_sub(clock::now() - asked).min(SILENCE);
        match clock::timeout(left, socket.next()).await.map_err(|_| late)?? {
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
