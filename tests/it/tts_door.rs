//! io: the TTS engine's door, as its callers meet it

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};
use visavis::engine::scripted::tts::{LETTER, Script};
use visavis::engine::serve::access::Token;
use visavis::engine::serve::tts::router;
use visavis::engine::tts::TtsEngine;
use visavis::wire::moshi::{TtsIn, TtsOut, pack, unpack};

pub type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

const AT_ONCE: Script = Script { first_sound_after: Duration::ZERO, times_real_time: 0.0 };

/// The engine behind its door on a loopback port; the base address of it.
pub async fn serve(engine: TtsEngine, auth: Option<Token>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router(engine, auth)).await });
    format!("ws://{address}")
}

pub async fn connect(base: &str, query: &str) -> Result<Socket, tungstenite::Error> {
    connect_async(format!("{base}/api/tts_streaming?{query}")).await.map(|(socket, _)| socket)
}

pub async fn say(socket: &mut Socket, message: TtsIn) {
    socket.send(Message::Binary(pack(&message).into())).await.unwrap();
}

pub async fn next(socket: &mut Socket) -> Option<TtsOut> {
    loop {
        match tokio::time::timeout(Duration::from_secs(20), socket.next()).await.expect("an answer within 20 s")? {
            Ok(Message::Binary(bytes)) => return Some(unpack(&bytes).unwrap()),
            Ok(Message::Close(_)) | Err(_) => return None,
            Ok(_) => {}
        }
    }
}

pub async fn rest(socket: &mut Socket) -> Vec<TtsOut> {
    let mut all = vec![];
    while let Some(message) = next(socket).await {
        all.push(message);
    }
    all
}

fn texts(messages: &[TtsOut]) -> Vec<(String, f64, f64)> {
    let text = |m: &TtsOut| match m {
        TtsOut::Text { text, start_s, stop_s } => Some((text.clone(), *start_s, *stop_s)),
        _ => None,
    };
    messages.iter().filter_map(text).collect()
}

fn samples(messages: &[TtsOut]) -> usize {
    messages.iter().map(|m| if let TtsOut::Audio { pcm } = m { pcm.len() } else { 0 }).sum()
}

fn refused_with(result: Result<Socket, tungstenite::Error>) -> (u16, String) {
    match result {
        Err(tungstenite::Error::Http(response)) => {
            (response.status().as_u16(), String::from_utf8(response.into_body().unwrap_or_default()).unwrap())
        }
        other => panic!("not refused: {other:?}"),
    }
}

/// One Text back for every Text sent, in order; sound in steps of 80 ms at most; phones only where they were asked for; the
/// socket closes after the last sound.
#[tokio::test]
async fn a_turn_is_spoken_and_closed() {
    let base = serve(TtsEngine::new(AT_ONCE, 2), None).await;
    for phones in [true, false] {
        let mut socket =
            connect(&base, if phones { "format=PcmMessagePack&phones=1" } else { "format=PcmMessagePack" })
                .await
                .unwrap();
        assert_eq!(next(&mut socket).await, Some(TtsOut::Ready));
        let words = ["Hello,", "dear", "friend!", "How", "are", "you?"];
        for word in words {
            say(&mut socket, TtsIn::Text { text: word.into() }).await;
        }
        say(&mut socket, TtsIn::Eos).await;
        let all = rest(&mut socket).await;
        let back = texts(&all);
        assert_eq!(back.iter().map(|(text, ..)| text.as_str()).collect::<Vec<_>>(), words);
        assert!(back.windows(2).all(|pair| pair[0].2 <= pair[1].1), "{back:?}");
        assert_eq!(back[0].2, 5.0 * LETTER as f64 / 24_000.0);
        assert!(all.iter().all(|m| !matches!(m, TtsOut::Audio { pcm } if pcm.is_empty() || pcm.len() > 1_920)));
        assert!(samples(&all) as f64 / 24_000.0 >= back[5].2);
        let spans: usize = all.iter().map(|m| if let TtsOut::Phones { spans } = m { spans.len() } else { 0 }).sum();
        assert_eq!(spans, if phones { 24 } else { 0 }, "a phone a letter, and only on demand");
    }
}

/// Plain text frames are words, a binary zero is the end; without messages the raw format is nothing but sound.
#[tokio::test]
async fn plain_frames_and_raw_sound() {
    let base = serve(TtsEngine::new(AT_ONCE, 1), None).await;
    let mut socket = connect(&base, "format=Pcm&voice=nobody.wav&cfg_alpha=1.5").await.unwrap();
    socket.send(Message::Text("Hi there".into())).await.unwrap();
    socket.send(Message::Binary(vec![0].into())).await.unwrap();
    let mut bytes = 0;
    while let Some(Ok(message)) = socket.next().await {
        match message {
            Message::Binary(sound) => bytes += sound.len(),
            Message::Close(_) => break,
            other => panic!("not sound: {other:?}"),
        }
    }
    assert_eq!(bytes as u64, 4 * (2 + 5 + 1 + 1) * LETTER);
}

/// `Eos` without a text closes at once.
#[tokio::test]
async fn nothing_to_say_is_no_error() {
    let base = serve(TtsEngine::new(AT_ONCE, 1), None).await;
    let mut socket = connect(&base, "format=PcmMessagePack").await.unwrap();
    say(&mut socket, TtsIn::Eos).await;
    assert_eq!(rest(&mut socket).await, [TtsOut::Ready]);
}

/// The key goes in the header or the query; a wrong one is told so before the upgrade. Formats we lack are refused in words.
#[tokio::test]
async fn strangers_and_odd_formats_are_refused() {
    let base = serve(TtsEngine::new(AT_ONCE, 4), Some(Token::new("public_token"))).await;
    assert_eq!(refused_with(connect(&base, "format=PcmMessagePack").await), (401, String::new()));
    assert_eq!(refused_with(connect(&base, "format=PcmMessagePack&auth_id=wrong").await).0, 401);
    assert!(connect(&base, "format=PcmMessagePack&auth_id=public_token").await.is_ok());
    for query in ["format=Mp3&auth_id=public_token", "auth_id=public_token", "format=Pcm&speed=9&auth_id=public_token"]
    {
        let (status, why) = refused_with(connect(&base, query).await);
        assert_eq!(status, 400, "{query}");
        assert!(!why.is_empty());
    }
}

/// A full engine says so in the protocol's words and closes; a caller that leaves in the middle frees its seat.
#[tokio::test]
async fn seats_are_counted_and_come_back() {
    let slow = Script { first_sound_after: Duration::ZERO, times_real_time: 1.0 };
    let engine = TtsEngine::new(slow, 1);
    let base = serve(engine.clone(), None).await;
    let mut first = connect(&base, "format=PcmMessagePack").await.unwrap();
    assert_eq!(next(&mut first).await, Some(TtsOut::Ready));
    let mut second = connect(&base, "format=PcmMessagePack").await.unwrap();
    assert_eq!(rest(&mut second).await, [TtsOut::Error { message: "no free channels".into() }]);

    // A hundred seconds of speech at real time: without its caller it must end now, not then.
    say(&mut first, TtsIn::Text { text: "word ".repeat(300) }).await;
    say(&mut first, TtsIn::Eos).await;
    while !matches!(next(&mut first).await, Some(TtsOut::Audio { .. })) {}
    drop(first);
    for _ in 0..500 {
        if engine.free_seats() == 1 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(engine.free_seats(), 1);
    let mut third = connect(&base, "format=PcmMessagePack").await.unwrap();
    assert_eq!(next(&mut third).await, Some(TtsOut::Ready));
}

/// What is not the protocol is answered in words, ends the connection, and harms nobody else.
#[tokio::test]
async fn garbage_is_told_so() {
    let engine = TtsEngine::new(AT_ONCE, 1);
    let base = serve(engine.clone(), None).await;
    for garbage in [vec![0xc1, 1, 2, 3], b"{\"type\":\"Text\"}".to_vec(), pack(&TtsOut::Ready), vec![]] {
        let mut socket = connect(&base, "format=PcmMessagePack").await.unwrap();
        assert_eq!(next(&mut socket).await, Some(TtsOut::Ready));
        socket.send(Message::Binary(garbage.into())).await.unwrap();
        let last = rest(&mut socket).await;
        assert!(matches!(&last[..], [TtsOut::Error { message }] if message.contains("protocol")), "{last:?}");
        while engine.free_seats() == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

/// Two callers are served side by side: neither waits for the other's turn to end.
#[tokio::test]
async fn streams_interleave() {
    let script = Script { first_sound_after: Duration::ZERO, times_real_time: 20.0 };
    let base = serve(TtsEngine::new(script, 2), None).await;
    let mut sockets = vec![];
    for _ in 0..2 {
        let mut socket = connect(&base, "format=PcmMessagePack").await.unwrap();
        say(&mut socket, TtsIn::Text { text: "several words of one long sentence in a row".into() }).await;
        say(&mut socket, TtsIn::Eos).await;
        sockets.push(socket);
    }
    let mut order = vec![];
    let (left, right) = sockets.split_at_mut(1);
    let (left, right) = (&mut left[0], &mut right[0]);
    let (mut more_left, mut more_right) = (true, true);
    while more_left || more_right {
        tokio::select! {
            message = next(left), if more_left => match message {
                Some(TtsOut::Audio { .. }) => order.push('l'),
                Some(_) => {}
                None => more_left = false,
            },
            message = next(right), if more_right => match message {
                Some(TtsOut::Audio { .. }) => order.push('r'),
                Some(_) => {}
                None => more_right = false,
            },
        }
    }
    // Buffers on the way make bursts, so the exact order says nothing; but halfway through, both have come a good way.
    let half = &order[..order.len() / 2];
    for who in ['l', 'r'] {
        let came = half.iter().filter(|c| **c == who).count();
        assert!(came >= half.len() / 5, "{}", order.iter().collect::<String>());
    }
}
