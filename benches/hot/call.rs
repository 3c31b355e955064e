//! core: what a call costs between the codecs and the network: the stage's clock, WebRTC, events, engines' messages

use std::sync::Arc;
use std::time::{Duration, Instant};

use visavis::agent::flow::{Fact, Floor, Level, Mood, Notice, Speech, TurnId, WordTime};
use visavis::agent::stage::{self, Playout};
use visavis::agent::transport::realtime::{self, Protocol, Setup};
use visavis::media::sound::Pcm;
use visavis::media::time::{MediaTime, Samples};
use visavis::rtc::{Endpoint, Output, Router};
use visavis::wire::moshi::{SttIn, TtsOut, pack, unpack};

use crate::Function;
use crate::inputs::{Inputs, WORD_LENGTH, phones, words};
use crate::link::{Link, caller_address, server_address};
use crate::meter::Call;

const FRAME: Duration = Duration::from_millis(20);
const PICTURE: Duration = Duration::from_nanos(1_000_000_000 / 15);
const PIECE: Duration = Duration::from_millis(80);

pub fn functions() -> Vec<Function> {
    vec![
        Function::new("playout, a frame and its cue", FRAME, playout),
        Function::new("RTP and SRTP, an audio packet out", FRAME, audio_out),
        Function::new("RTP and SRTP, an audio packet in", FRAME, audio_in),
        Function::new("RTP and SRTP, a video frame out", PICTURE, video_out),
        Function::new("router, a datagram to one of 64 calls", FRAME, route),
        Function::new("event for a word: text", WORD_LENGTH, |_| event(false)),
        Function::new("event for a word: caption", WORD_LENGTH, |_| event(true)),
        Function::new("MessagePack, 80 ms to the hearing: encode", PIECE, hearing_encode),
        Function::new("MessagePack, 80 ms to the hearing: decode", PIECE, hearing_decode),
        Function::new("MessagePack, 80 ms from the voice: encode", PIECE, voice_encode),
        Function::new("MessagePack, 80 ms from the voice: decode", PIECE, voice_decode),
    ]
}

/// Ten seconds of a turn in pieces of 80 ms, with words and phones.
fn speech(inputs: &Inputs, turn: TurnId) -> Vec<Arc<Speech>> {
    let (total, piece) = (MediaTime::from_ms(10_000), MediaTime::from_ms(80));
    let (words, phones) = (words(total), phones(total));
    let pcm: Vec<f32> = inputs.frames().concat().into_iter().cycle().take(total.0 as usize).collect();
    pcm.chunks(piece.0 as usize)
        .enumerate()
        .map(|(n, pcm)| {
            let at = Samples(n as u64 * piece.0);
            let here = |start: MediaTime| start >= at && start < at + piece;
            Arc::new(Speech {
                turn,
                at,
                pcm: Pcm(pcm.to_vec()),
                words: words.iter().filter(|word| here(word.start)).cloned().collect(),
                phones: phones.iter().filter(|phone| here(phone.start)).cloned().collect(),
                end: at + piece == total,
            })
        })
        .collect()
}

/// What falls due in 20 ms while a turn is spoken, with what its pieces cost to take in. Turn follows turn.
fn playout(inputs: &Inputs) -> Result<Call, String> {
    let start = Instant::now();
    let mut playout = Playout::new(start, 15);
    let spoken = speech(inputs, TurnId(0));
    let (mut turn, mut pieces, mut now) = (TurnId(0), vec![].into_iter(), start);
    Ok(Box::new(move |watch| {
        if playout.is_done() {
            turn = TurnId(turn.0 + 1);
            let of_turn = |piece: &Arc<Speech>| Arc::new(Speech { turn, ..(**piece).clone() });
            pieces = spoken.iter().map(of_turn).collect::<Vec<_>>().into_iter();
            let floor = Floor { now: Some(turn), next: None, level: Level::Full, mood: Mood::Speaking };
            playout.handle(now, stage::Input::Floor { floor, unsent: vec![] });
        }
        watch.time(|| {
            while playout.wants(turn)
                && let Some(piece) = pieces.next()
            {
                playout.handle(now, stage::Input::Speech(piece));
            }
            while playout.poll(now).is_some() {}
        });
        now += FRAME;
    }))
}

/// A call that is up.
fn call(video: bool) -> Link {
    let mut link = Link::new(1, 0.0, video);
    link.connect();
    link
}

/// Everything that an endpoint has to say, as its driver takes it: how many bytes.
fn drain(endpoint: &mut Endpoint) -> usize {
    let mut bytes = 0;
    while let output @ (Output::Transmit { .. } | Output::Event(_)) = endpoint.poll() {
        if let Output::Transmit { bytes: datagram, .. } = output {
            bytes += datagram.len();
        }
    }
    bytes
}

fn audio_out(_: &Inputs) -> Result<Call, String> {
    let (mut link, mut frames) = (call(false), 0);
    let packet: Arc<[u8]> = vec![0x78; 80].into();
    Ok(Box::new(move |watch| {
        let (now, at) = (link.now, MediaTime::from_ms(20 * frames));
        let sent = watch.time(|| {
            link.server.write_audio(now, at, packet.clone());
            drain(&mut link.server)
        });
        assert!(sent > 80, "the packet left");
        link.wait(FRAME);
        frames += 1;
    }))
}

fn audio_in(_: &Inputs) -> Result<Call, String> {
    let (mut link, mut frames) = (call(false), 0);
    let packet: Arc<[u8]> = vec![0x78; 80].into();
    Ok(Box::new(move |watch| {
        let (now, at) = (link.now, MediaTime::from_ms(20 * frames));
        link.caller.write_audio(now, at, packet.clone());
        let mut datagrams = vec![];
        while let output @ (Output::Transmit { .. } | Output::Event(_)) = link.caller.poll() {
            if let Output::Transmit { bytes, .. } = output {
                datagrams.push(bytes);
            }
        }
        watch.time(|| {
            for datagram in &datagrams {
                link.server.handle_datagram(now, caller_address(), server_address(), datagram);
                drain(&mut link.server);
            }
        });
        link.wait(FRAME);
        frames += 1;
    }))
}

/// A frame of a speaking face is some 2 kB, two packets; they leave paced, so the polls in between count too.
fn video_out(_: &Inputs) -> Result<Call, String> {
    let (mut link, mut frames) = (call(true), 0);
    let mut vp8 = vec![1, 0, 0, 0x9d, 0x01, 0x2a, 0, 2, 0, 2];
    vp8.resize(2_000, 7);
    let vp8: Arc<[u8]> = vp8.into();
    Ok(Box::new(move |watch| {
        let (now, at) = (link.now, Samples(frames * 1_600));
        let sent = watch.time(|| {
            link.server.write_video(now, at, vp8.clone());
            let mut sent = drain(&mut link.server);
            for ms in (5..=60).step_by(5) {
                link.server.handle_timeout(now + Duration::from_millis(ms));
                sent += drain(&mut link.server);
            }
            sent
        });
        assert!(sent > 2_000, "the frame leaves before the next comes: {sent} bytes did");
        link.wait(PICTURE);
        frames += 1;
    }))
}

fn route(_: &Inputs) -> Result<Call, String> {
    let mut router = Router::new();
    for call in 0..64u32 {
        router.register(call, &format!("call{call}"));
        // The first datagram of a call is STUN and names it; a source that is known is found at once.
        let source = ([198, 51, 100, call as u8], 40_000).into();
        router.route(source, &binding_request(&format!("call{call}:peer")));
    }
    let mut call = 0u8;
    let packet = [0x80; 100];
    Ok(Box::new(move |watch| {
        call = (call + 1) % 64;
        let source = ([198, 51, 100, call], 40_000).into();
        let found = watch.time(|| router.route(source, &packet));
        assert_eq!(found, Some(u32::from(call)));
    }))
}

/// A STUN binding request with a USERNAME (RFC 8489, sections 5 and 14.3).
fn binding_request(username: &str) -> Vec<u8> {
    let padded = username.len().next_multiple_of(4);
    let mut request = vec![0, 1, 0, (4 + padded) as u8, 0x21, 0x12, 0xa4, 0x42];
    request.extend([7; 12]);
    request.extend([0, 6, 0, username.len() as u8]);
    request.extend(username.as_bytes());
    request.resize(20 + 4 + padded, 0);
    request
}

/// One word of a reply told to the client: a turn of forty words, then a fresh session.
fn event(captions: bool) -> Result<Call, String> {
    let turn = Some(TurnId(1));
    let told = |protocol: &mut Protocol| {
        let mut bytes = 0;
        while let Some(output) = protocol.poll() {
            if let realtime::Output::Event(text) = output {
                bytes += text.len();
            }
        }
        bytes
    };
    let session = move || {
        let setup = Setup {
            link: realtime::Link::WebRtc,
            seed: 1,
            model: "visavis".to_owned(),
            transcription_model: "whisper-tiny.en".to_owned(),
            person: "theo".to_owned(),
            persons: vec!["theo".to_owned()],
            turn_detection: Default::default(),
            expires_at_unix_s: 0,
        };
        let patch = serde_json::json!({ "type": "realtime", "include": ["visavis.captions"] });
        let mut protocol = Protocol::new(setup, Some(&patch)).expect("the session can be asked for");
        let floor = Floor { now: turn, next: None, level: Level::Full, mood: Mood::Speaking };
        protocol.handle(realtime::Input::Floor(floor));
        protocol.handle(realtime::Input::Notice(Notice { turn, fact: Fact::ReplyStarted { asked: None } }));
        protocol.handle(realtime::Input::Notice(Notice { turn, fact: Fact::AudioStarted }));
        told(&mut protocol);
        protocol
    };
    let (mut protocol, mut said) = (session(), 0);
    Ok(Box::new(move |watch| {
        if said == 40 {
            (protocol, said) = (session(), 0);
        }
        said += 1;
        let start = MediaTime::from_ms(375 * said);
        let fact = match captions {
            true => Fact::Captions {
                words: vec![WordTime { text: "tickets".to_owned(), start, stop: start + MediaTime::from_ms(300) }],
            },
            false => Fact::ReplyText { delta: " tickets".to_owned() },
        };
        let bytes = watch.time(|| {
            protocol.handle(realtime::Input::Notice(Notice { turn, fact }));
            told(&mut protocol)
        });
        assert!(bytes > 0, "the client was told");
    }))
}

fn hearing_audio(inputs: &Inputs) -> SttIn {
    SttIn::Audio { pcm: inputs.speech[..1_280].to_vec() }
}

fn voice_audio(inputs: &Inputs) -> TtsOut {
    TtsOut::Audio { pcm: inputs.speech[..1_920].to_vec() }
}

fn hearing_encode(inputs: &Inputs) -> Result<Call, String> {
    let message = hearing_audio(inputs);
    Ok(Box::new(move |watch| drop(watch.time(|| pack(&message)))))
}

fn hearing_decode(inputs: &Inputs) -> Result<Call, String> {
    let bytes = pack(&hearing_audio(inputs));
    Ok(Box::new(move |watch| drop(watch.time(|| unpack::<SttIn>(&bytes)).expect("our own message"))))
}

fn voice_encode(inputs: &Inputs) -> Result<Call, String> {
    let message = voice_audio(inputs);
    Ok(Box::new(move |watch| drop(watch.time(|| pack(&message)))))
}

fn voice_decode(inputs: &Inputs) -> Result<Call, String> {
    let bytes = pack(&voice_audio(inputs));
    Ok(Box::new(move |watch| drop(watch.time(|| unpack::<TtsOut>(&bytes)).expect("our own message"))))
}
