//! io: speech to an STT engine, as fast as it is spoken, and the words of it: moshi-server's `/api/asr-streaming`
//!
//! Each utterance is a connection of its own. At its end a marker asks for the words; the time until they are there is what
//! a conversation waits for. To a real moshi-server, which answers by what it hears after the marker, silence follows.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_tungstenite::tungstenite::Bytes;

use super::socket::{Seat, Socket};
use crate::load::figure::Figure;
use crate::load::outcome::Cause;
use crate::load::speech::Spoken;
use crate::media::resample;
use crate::runtime::clock;
use crate::wire::moshi::{SttIn, SttOut, pack};

/// Whose protocol the engine speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dialect {
    /// 16 kHz, partials and finals.
    #[default]
    Visavis,
    /// 24 kHz, and words as they come.
    Moshi,
}

/// An STT engine's door, and what is said to it.
#[derive(Clone, Debug)]
pub struct Stt {
    server: String,
    key: Option<String>,
    dialect: Dialect,
    /// Each utterance as messages of 20 ms, packed once for all clients.
    said: Arc<[Vec<Bytes>]>,
    silence: Bytes,
}

impl Stt {
    /// `server`: `ws://host:port` or `http://host:port`. `key` is sent as `kyutai-api-key`.
    ///
    /// # Panics
    /// Without speech.
    pub fn new(server: String, key: Option<String>, dialect: Dialect, speech: &[Arc<Spoken>]) -> Self {
        assert!(!speech.is_empty(), "there is something to transcribe");
        let hz = dialect.hz();
        let frame = (hz / FRAMES_PER_SECOND) as usize;
        let said = speech.iter().map(|spoken| {
            let pcm = resample::convert(&spoken.pcm, spoken.hz, hz);
            // The answer is waited for from the last word on; silence behind it would be waiting, too.
            let frames = spoken.utterance.speech_length().div_duration_f64(FRAME).ceil() as usize;
            pcm.chunks(frame).take(frames).map(|pcm| packed(pcm.to_vec())).collect()
        });
        Self { server, key, dialect, said: said.collect(), silence: packed(vec![0.0; frame]) }
    }

    /// Says the `n`-th utterance, and adds what is measured to `values`.
    pub(super) async fn ask(&self, n: usize, values: &mut Vec<(Figure, f64)>) -> Result<(), Cause> {
        let frames = &self.said[n % self.said.len()];
        let dialled = clock::now();
        let mut socket = Socket::open(&self.server, self.dialect.path(), self.key.as_deref()).await?;
        socket.seated(seat).await?;
        let began = clock::now();
        values.push((Figure::Connect, (began - dialled).as_secs_f64()));
        let mut transcript = Transcript::default();
        for (n, frame) in frames.iter().enumerate() {
            transcript.listen(&mut socket, began + FRAME * n as u32).await?;
            socket.send(frame.clone()).await?;
        }
        socket.say(&SttIn::Marker { id: MARKER }).await?;
        let asked = clock::now();
        self.answered(&mut socket, asked, &mut transcript).await?;
        let answered = transcript.answered.unwrap_or(asked);
        values.push((Figure::SttFinal, (answered - asked).as_secs_f64()));
        Ok(())
    }

    /// Until the marker has come back; the words that it stands for have come before it.
    async fn answered(&self, socket: &mut Socket, asked: Instant, transcript: &mut Transcript) -> Result<(), Cause> {
        let end = asked + ANSWER;
        let mut until = asked;
        while until < end {
            until = match self.dialect {
                Dialect::Visavis => end,
                Dialect::Moshi => until + FRAME,
            };
            if transcript.listen(socket, until).await? {
                return Ok(());
            }
            if self.dialect == Dialect::Moshi {
                socket.send(self.silence.clone()).await?;
            }
        }
        Err(Cause::NoAnswer)
    }
}

impl Dialect {
    fn hz(self) -> u32 {
        match self {
            Self::Visavis => 16_000,
            Self::Moshi => 24_000,
        }
    }

    fn path(self) -> &'static str {
        match self {
            Self::Visavis => "/api/asr-streaming?rate=16000&partials=1",
            Self::Moshi => "/api/asr-streaming",
        }
    }
}

/// What is known of the answer so far.
#[derive(Default)]
struct Transcript {
    /// When the words were there: with a final, else with the marker.
    answered: Option<Instant>,
}

impl Transcript {
    /// Takes what comes until `until`; true as soon as the marker has come back.
    async fn listen(&mut self, socket: &mut Socket, until: Instant) -> Result<bool, Cause> {
        // The clock is looked at before each message: an engine that always has more to say holds nobody up.
        while clock::now() < until {
            let message = tokio::select! {
                biased;
                message = socket.next() => message?,
                () = clock::sleep_until(Some(until)) => return Ok(false),
            };
            match message {
                Some(SttOut::Final { .. }) => self.answered = Some(clock::now()),
                Some(SttOut::Marker { id: MARKER }) => {
                    self.answered.get_or_insert_with(clock::now);
                    return Ok(true);
                }
                Some(SttOut::Error { .. }) => return Err(Cause::Failed),
                Some(_) => {}
                None => return Err(Cause::Dropped),
            }
        }
        Ok(false)
    }
}

fn seat(message: &SttOut) -> Seat {
    match message {
        SttOut::Ready => Seat::Given,
        SttOut::Error { .. } => Seat::Full,
        _ => Seat::Unsaid,
    }
}

fn packed(pcm: Vec<f32>) -> Bytes {
    pack(&SttIn::Audio { pcm }).into()
}

const FRAMES_PER_SECOND: u32 = 50;
const FRAME: Duration = Duration::from_millis(20);
const MARKER: i64 = 1;
/// A conversation has moved on long before.
const ANSWER: Duration = Duration::from_secs(15);
