//! data: what a WebRTC call must do over a lossy link, in virtual time

use std::time::{Duration, Instant};

use visavis::media::time::{MediaTime, Samples};
use visavis::rtc::{
    AUDIO_RTP_BASE, Endpoint, Event, Gone, Output, RtcError, SendError, SenderReport, Track, VIDEO_RTP_BASE,
};

use crate::kit::link::{Link, Side, caller_address, config, server_address};

const SECOND: Duration = Duration::from_secs(1);

/// A VP8 payload that the depacketiser takes for what it says: the first bit of a frame is 0 for a keyframe.
fn vp8(number: u64, keyframe: bool, bytes: usize) -> Vec<u8> {
    let mut frame = vec![u8::from(!keyframe), 0, 0, 0x9d, 0x01, 0x2a, 0, 2, 0, 2];
    frame.extend(number.to_be_bytes());
    frame.resize(bytes.max(18), number as u8);
    frame
}

fn number_of(frame: &[u8]) -> u64 {
    u64::from_be_bytes(frame[10..18].try_into().unwrap())
}

fn packet(tick: u64) -> Vec<u8> {
    let mut packet = vec![0x78; 60];
    packet[1..9].copy_from_slice(&tick.to_be_bytes());
    packet
}

/// Both sides talk for `span`; the server films at 15 fps, one frame per 1600 samples of the media clock.
fn talk(link: &mut Link, span: Duration) {
    let began = link.now;
    let mut frame = 0u64;
    link.run(span, |link, tick| {
        let t = MediaTime::from_ms(20 * tick);
        link.server.write_audio(link.now, t, packet(tick));
        link.caller.write_audio(link.now, t, packet(tick));
        let due: MediaTime = Samples(frame * 1600);
        if link.now >= began + due.as_duration() {
            link.server.write_video(link.now, due, vp8(frame, frame == 0, 2_400));
            frame += 1;
        }
    });
}

fn audio_count(link: &Link, side: Side) -> usize {
    link.of(side).filter(|(_, event)| matches!(event, Event::Audio(_))).count()
}

fn frames(link: &Link) -> Vec<(Instant, u64, u32)> {
    link.of(Side::Caller)
        .filter_map(|(at, event)| match event {
            Event::Video(frame) => Some((at, number_of(&frame.bytes), frame.rtp)),
            _ => None,
        })
        .collect()
}

/// Without loss: connected within half a second, every packet and every frame arrives, in order, with its time.
#[test]
fn a_clean_link_carries_everything() {
    let mut link = Link::new(1, 0.0, true);
    assert!(link.connect() < SECOND / 2);
    talk(&mut link, 4 * SECOND);
    link.wait(SECOND / 2);
    assert_eq!(audio_count(&link, Side::Server), 200);
    assert_eq!(audio_count(&link, Side::Caller), 200);
    let frames = frames(&link);
    let numbers: Vec<u64> = frames.iter().map(|f| f.1).collect();
    assert_eq!(numbers, (0..60).collect::<Vec<_>>());
    for (_, number, rtp) in frames {
        assert_eq!(u64::from(rtp), VIDEO_RTP_BASE + number * 6000);
    }
    let seqs: Vec<(u64, u64)> = link
        .of(Side::Server)
        .filter_map(|(_, event)| match event {
            Event::Audio(packet) => Some((packet.seq, packet.media_time.0)),
            _ => None,
        })
        .collect();
    for pair in seqs.windows(2) {
        assert_eq!((pair[1].0 - pair[0].0, pair[1].1 - pair[0].1), (1, 960));
    }
}

/// Calls come up over a bad line within seconds, over a slow one too; the data channel follows.
#[test]
fn calls_come_up_under_loss() {
    let mut slowest = Duration::ZERO;
    for seed in 0..40 {
        let loss = if seed % 2 == 0 { 0.05 } else { 0.15 };
        let mut link = Link::new(seed, loss, true);
        slowest = slowest.max(link.connect());
        // SCTP repeats its opening after 3, 6 and 12 s and cannot be told otherwise.
        link.until(Side::Server, 60 * SECOND, |e| matches!(e, Event::ChannelOpen)).expect("the channel opens");
    }
    assert!(slowest < 8 * SECOND, "the slowest of 40 came up after {slowest:?}");

    let mut slow = Link::new(1, 0.0, true);
    slow.delay = Duration::from_millis(400);
    let connected = slow.connect();
    assert!(connected < 5 * SECOND, "at 0.8 s round trip: {connected:?}");
}

/// At 5 and 15 % loss each way: audio loses what the link loses, and frames are resent.
#[test]
fn losses_are_survived_and_frames_resent() {
    for (loss, seeds) in [(0.05, 1..=4u64), (0.15, 5..=8)] {
        for seed in seeds {
            let mut link = Link::new(seed, 0.0, true);
            link.connect();
            link.loss = loss;
            talk(&mut link, 8 * SECOND);
            // The tail of a stream has no successor to reveal its loss: let the last frames count only when followed.
            link.wait(2 * SECOND);
            for side in [Side::Server, Side::Caller] {
                let arrived = audio_count(&link, side) as f64 / 400.0;
                assert!((arrived - (1.0 - loss)).abs() < 0.06, "seed {seed}: {arrived} of the audio at {side:?}");
            }
            let frames = frames(&link);
            // A loss before the first packet that arrives cannot be known: a viewer asks for another keyframe instead.
            let missing: Vec<u64> = (1..115).filter(|n| !frames.iter().any(|f| f.1 == *n)).collect();
            // Without resends 14 and 39 % of these three-packet frames would be lost; a request or its answer may be lost
            // too, and the receiver's patience has an end.
            let bound = if loss < 0.1 { 1 } else { 5 };
            assert!(missing.len() <= bound, "seed {seed}, loss {loss}: frames {missing:?} never came");
            assert!(frames.windows(2).all(|pair| pair[0].1 < pair[1].1), "frames come out in order");
        }
    }
}

/// The peer learns our loss of its packets, and we learn its: what drives in-band FEC.
#[test]
fn loss_is_reported() {
    let mut link = Link::new(3, 0.10, false);
    link.connect();
    talk(&mut link, 8 * SECOND);
    let reports: Vec<f32> = link
        .of(Side::Server)
        .filter_map(|(_, event)| match event {
            Event::LossReported { fraction } => Some(*fraction),
            _ => None,
        })
        .collect();
    assert!(reports.len() >= 3, "only {} reports", reports.len());
    let mean = reports.iter().sum::<f32>() / reports.len() as f32;
    assert!((0.03..0.25).contains(&mean), "{mean}");
    assert!(
        link.of(Side::Server).any(|(_, event)| matches!(event, Event::Rtt(rtt) if *rtt >= Duration::from_millis(35)))
    );
}

/// Sender reports put both tracks on one clock: what was written for one media time is one moment of the sender's wall.
#[test]
fn sender_reports_join_lips_and_voice() {
    let mut link = Link::new(4, 0.0, true);
    link.connect();
    talk(&mut link, 4 * SECOND);
    let reports: Vec<SenderReport> = link
        .of(Side::Caller)
        .filter_map(|(_, event)| match event {
            Event::SenderReport(report) => Some(*report),
            _ => None,
        })
        .collect();
    for track in [Track::Audio, Track::Video] {
        assert!(reports.iter().filter(|r| r.track == track).count() >= 3, "one a second on {track:?}");
    }
    let true_ones = || reports.iter().filter(|r| r.rtp != 0);
    assert!(reports.iter().skip(2).all(|r| r.rtp != 0), "a false clock after media has begun");
    for audio in true_ones().filter(|r| r.track == Track::Audio) {
        for video in true_ones().filter(|r| r.track == Track::Video) {
            let apart = audio.wall_of(AUDIO_RTP_BASE as u32 + 48_000) - video.wall_of(VIDEO_RTP_BASE as u32 + 90_000);
            assert!(apart.abs() < 0.002, "sound and picture of second 1 lie {apart} s apart");
        }
    }
}

/// Texts cross the data channel both ways, in order, also a flood that exceeds the buffers of SCTP.
#[test]
fn the_data_channel_echoes_and_holds_a_flood() {
    for (seed, loss) in [(1, 0.0), (2, 0.05)] {
        let mut link = Link::new(seed, loss, true);
        assert_eq!(link.server.send_event(link.now, "early"), Ok(()), "kept until the channel opens");
        link.connect();
        link.until(Side::Server, 10 * SECOND, |e| matches!(e, Event::ChannelOpen)).expect("the channel opens");
        link.caller.send_event(link.now, "äh, hello").unwrap();
        link.until(Side::Server, 10 * SECOND, |e| matches!(e, Event::ChannelMessage(text) if text == "äh, hello"))
            .expect("heard");
        link.until(Side::Caller, 10 * SECOND, |e| matches!(e, Event::ChannelMessage(text) if text == "early"))
            .expect("heard");

        // 12 × 60 kB lie in front of a 128 KiB buffer.
        for n in 0..12 {
            link.server.send_event(link.now, format!("{n}:{}", "x".repeat(60_000))).unwrap();
        }
        link.until(Side::Caller, 60 * SECOND, |e| matches!(e, Event::ChannelMessage(text) if text.starts_with("11:")))
            .expect("all came");
        let order: Vec<String> = link
            .of(Side::Caller)
            .filter_map(|(_, event)| match event {
                Event::ChannelMessage(text) => text.split_once(':').map(|(n, _)| n.to_owned()),
                _ => None,
            })
            .collect();
        assert_eq!(order, (0..12).map(|n| n.to_string()).collect::<Vec<_>>());
    }
}

/// A peer that reads nothing fills a bounded queue, and the writer is told.
#[test]
fn a_stalled_data_channel_is_refused_more() {
    let mut link = Link::new(1, 0.0, false);
    link.connect();
    link.until(Side::Server, 5 * SECOND, |e| matches!(e, Event::ChannelOpen)).unwrap();
    link.loss = 1.0;
    let refused = (0..400).find_map(|_| link.server.send_event(link.now, "y".repeat(10_000)).err());
    assert_eq!(refused, Some(SendError::Full));
    assert!(matches!(link.server.send_event(link.now, "z".repeat(70_000)), Err(SendError::TooLong(70_000))));
}

/// A picture that cannot be decoded is asked for again.
#[test]
fn a_picture_loss_asks_for_a_keyframe() {
    let mut link = Link::new(1, 0.0, true);
    link.connect();
    talk(&mut link, SECOND);
    assert!(!link.of(Side::Server).any(|(_, e)| matches!(e, Event::KeyframeWanted)), "not asked yet");
    assert!(link.caller.request_keyframe(link.now));
    let asked = link.elapsed();
    let heard = link.until(Side::Server, SECOND, |e| matches!(e, Event::KeyframeWanted)).expect("the request arrives");
    assert!(heard - asked < Duration::from_millis(100));
}

/// A hang-up on either side is known on the other within a few round trips.
#[test]
fn a_hang_up_is_noticed_at_once() {
    for hanging_up in [Side::Server, Side::Caller] {
        let mut link = Link::new(1, 0.0, true);
        link.connect();
        talk(&mut link, SECOND);
        let at = link.elapsed();
        let other = match hanging_up {
            Side::Server => {
                link.server.close(link.now);
                Side::Caller
            }
            Side::Caller => {
                link.caller.close(link.now);
                Side::Server
            }
        };
        let heard = link.until(other, 10 * SECOND, |e| matches!(e, Event::Closed(Gone::Peer))).expect("noticed");
        assert!(heard - at < Duration::from_millis(150), "after {:?}", heard - at);
        link.until(hanging_up, SECOND, |e| matches!(e, Event::Closed(Gone::Us))).expect("over on our side too");
        assert!(!link.server.is_alive() && !link.caller.is_alive());
        assert!(
            !link.server.write_audio(link.now, MediaTime::from_ms(9000), packet(0)),
            "a call that is over takes nothing"
        );
    }
}

/// A browser that was killed says nothing: 8 s after its last datagram the call is over. Rubbish from its address does not
/// keep it alive.
#[test]
fn a_silent_peer_is_gone_within_eight_seconds() {
    let mut link = Link::new(1, 0.0, true);
    link.connect();
    talk(&mut link, SECOND);
    link.dead = Some(Side::Caller);
    let died = link.elapsed();
    link.run(6 * SECOND, |link, tick| {
        link.server.write_audio(link.now, MediaTime::from_ms(1000 + 20 * tick), packet(tick));
        link.server.handle_datagram(link.now, caller_address(), server_address(), b"\xffrubbish");
    });
    assert!(link.server.is_alive());
    assert_eq!(link.server.refused_datagrams(), 300);
    let gone = link.until(Side::Server, 10 * SECOND, |e| matches!(e, Event::Closed(Gone::Silent))).expect("gone");
    assert!(gone - died <= 8 * SECOND + Duration::from_millis(100), "after {:?}", gone - died);
}

/// A peer that asked for a call and never came costs it after 8 s as well.
#[test]
fn nobody_comes() {
    let now = Instant::now() + 1000 * SECOND;
    let (_, offer) = Endpoint::offer(&config(caller_address()), true, now).unwrap();
    let (mut server, _) = Endpoint::answer(&config(server_address()), &offer, now).unwrap();
    let mut at = now;
    let reason = loop {
        match server.poll() {
            Output::Timeout(next) => {
                at = next.max(at + Duration::from_millis(1));
                server.handle_timeout(at);
            }
            Output::Event(Event::Closed(gone)) => break gone,
            _ => {}
        }
        assert!(at < now + 20 * SECOND);
    };
    assert_eq!(reason, Gone::Silent);
}

/// A thin line: the estimate comes, and a keyframe burst makes the queue grow visibly instead of flooding the link.
#[test]
fn the_pacer_spreads_a_burst_and_says_so() {
    let mut link = Link::new(1, 0.0, true);
    link.connect();
    talk(&mut link, SECOND);
    assert!(!link.server.video_queue_is_growing(link.now));
    let base = MediaTime::from_ms(5000);
    for n in 0..8u64 {
        link.server.write_video(link.now, base + Samples(n * 1600), vp8(100 + n, true, 30_000));
    }
    link.wait(Duration::from_millis(700));
    assert!(link.server.video_queue_is_growing(link.now), "240 kB on 600 kb/s take seconds");
    link.wait(10 * SECOND);
    assert!(!link.server.video_queue_is_growing(link.now));
    assert_eq!(frames(&link).last().map(|f| f.1), Some(107));
    assert!(
        link.of(Side::Server)
            .any(|(_, e)| matches!(e, Event::Estimate { bits_per_second } if *bits_per_second > 100_000))
    );
}

/// An audio-only call has no video and loses nothing else.
#[test]
fn audio_alone_is_a_call() {
    let mut link = Link::new(1, 0.0, false);
    assert!(!link.server.has_video());
    link.connect();
    talk(&mut link, SECOND);
    link.wait(SECOND / 5);
    assert_eq!((audio_count(&link, Side::Server), audio_count(&link, Side::Caller)), (50, 50));
    assert!(frames(&link).is_empty());
    assert!(!link.server.write_video(link.now, MediaTime::from_ms(2000), vp8(0, true, 100)));
}

fn refuse(offer: &str) -> RtcError {
    match Endpoint::answer(&config(server_address()), offer, Instant::now()) {
        Ok(_) => panic!("accepted: {offer:.300}"),
        Err(error) => error,
    }
}

const CHROMIUM: &str = include_str!("fixtures/chromium-offer.sdp");

/// What browsers send: mic and face negotiated with the right directions, in one stream, with FEC and the data channel.
#[test]
fn a_browsers_offer_is_answered_as_browsers_like_it() {
    for offer in [CHROMIUM.to_owned(), CHROMIUM.replace('\n', "\r\n")] {
        let (endpoint, answer) = Endpoint::answer(&config(server_address()), &offer, Instant::now()).unwrap();
        assert!(endpoint.has_video());
        let sections: Vec<&str> = answer.split("\r\nm=").collect();
        assert_eq!(sections.len(), 4, "audio, video, application:\n{answer}");
        let has = |section: usize, line: &str| sections[section].lines().any(|l| l == line);

        assert!(has(0, "a=ice-lite") && has(0, "a=msid-semantic: WMS visavis"), "{answer}");
        assert!(sections[1].starts_with("audio") && has(1, "a=mid:0") && has(1, "a=sendrecv"), "{answer}");
        assert!(sections[1].contains("a=fmtp:111 ") && sections[1].contains("useinbandfec=1"), "{answer}");
        assert!(!sections[1].contains("PCMU") && !sections[1].contains("telephone-event"), "only Opus:\n{answer}");
        assert!(sections[2].starts_with("video") && has(2, "a=mid:1") && has(2, "a=sendonly"), "{answer}");
        assert!(sections[2].contains("VP8/90000") && sections[2].contains("a=rtpmap:97 rtx/90000"), "{answer}");
        assert!(
            !sections[2].contains("H264") && !sections[2].contains("AV1") && !sections[2].contains("VP9"),
            "{answer}"
        );
        for feedback in ["nack", "nack pli", "transport-cc"] {
            assert!(has(2, &format!("a=rtcp-fb:96 {feedback}")), "{feedback}:\n{answer}");
        }
        assert!(sections[3].starts_with("application") && sections[3].contains("a=sctp-port:5000"), "{answer}");
        assert!(answer.contains("192.0.2.1 8443 typ host"), "{answer}");
        assert!(answer.contains(&format!("a=ice-ufrag:{}", endpoint.ufrag())), "{answer}");

        let streams: Vec<&str> = answer.lines().filter_map(|l| l.strip_prefix("a=msid:")).collect();
        assert_eq!(streams, ["visavis visavis-audio", "visavis visavis-video"]);
        assert!(!answer.lines().any(|l| l.starts_with("a=ssrc:") && l.contains(" msid:")));
    }
}

/// A page that sends its camera too is answered with our face alone.
#[test]
fn a_camera_is_declined() {
    let offer = CHROMIUM.replace("a=recvonly", "a=sendrecv");
    let (_, answer) = Endpoint::answer(&config(server_address()), &offer, Instant::now()).unwrap();
    assert_eq!(answer.lines().filter(|l| *l == "a=sendrecv").count(), 1, "{answer}");
    assert_eq!(answer.lines().filter(|l| *l == "a=sendonly").count(), 1, "{answer}");
}

/// Bad offers get an error that says what is wrong, and are the caller's fault.
#[test]
fn bad_offers_get_clear_errors() {
    let without = |line: &str| {
        assert!(CHROMIUM.contains(line), "the fixture has {line:?}");
        CHROMIUM.lines().filter(|l| !l.starts_with(line)).map(|l| format!("{l}\r\n")).collect::<String>()
    };
    let no_audio: String = CHROMIUM.split("m=audio").next().unwrap().to_owned();
    let table: &[(&str, String, &str)] = &[
        ("empty", String::new(), "no audio"),
        ("prose", "hello".into(), "no audio"),
        ("json", r#"{"sdp": "v=0"}"#.into(), "no audio"),
        ("no m-lines", no_audio, "no audio"),
        ("audio rejected", CHROMIUM.replace("m=audio 9", "m=audio 0"), "no audio"),
        ("no Opus", CHROMIUM.replace("opus/48000", "speex/48000"), "Opus"),
        ("no credentials", without("a=ice-ufrag"), "ice-ufrag"),
        ("no fingerprint", without("a=fingerprint"), "fingerprint"),
        ("lite on both sides", CHROMIUM.replacen("a=extmap-allow-mixed", "a=ice-lite", 1), "Lite"),
        ("too large", CHROMIUM.repeat(20), "bytes"),
        ("too many sections", CHROMIUM.to_owned() + &"m=audio 9 UDP/TLS/RTP/SAVPF 111\r\n".repeat(6), "media sections"),
        (
            "not SDP, but a section",
            "m=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:0\r\na=rtpmap:111 opus/48000/2\r\n".into(),
            "not understood",
        ),
    ];
    for (name, offer, wanted) in table {
        let error = refuse(offer);
        assert!(error.is_callers_fault(), "{name}: {error}");
        assert!(error.to_string().contains(wanted), "{name}: {error}");
    }
}

/// The same for what a server might answer to our own caller.
#[test]
fn bad_answers_get_clear_errors() {
    let now = Instant::now();
    for answer in ["", "hello", CHROMIUM] {
        let (mut caller, _) = Endpoint::offer(&config(caller_address()), true, now).unwrap();
        assert!(caller.accept_answer(now, answer).is_err(), "{answer:.40}");
    }
}

mod fuzz {
    use proptest::prelude::*;
    use visavis::rtc::{Identity, RtcConfig};

    use super::*;

    #[derive(Clone, Debug)]
    enum Mutation {
        Drop(usize),
        Double(usize),
        Swap(usize, usize),
        Cut(usize),
        Byte(usize, u8),
        Replace(usize, String),
    }

    fn mutation() -> impl Strategy<Value = Mutation> {
        let line = 0usize..200;
        prop_oneof![
            line.clone().prop_map(Mutation::Drop),
            line.clone().prop_map(Mutation::Double),
            (line.clone(), line.clone()).prop_map(|(a, b)| Mutation::Swap(a, b)),
            (0usize..12_000).prop_map(Mutation::Cut),
            (0usize..12_000, 1u8..127).prop_map(|(at, byte)| Mutation::Byte(at, byte)),
            (line, "[a-z]{1,8}[:= ][ -~]{0,30}").prop_map(|(at, text)| Mutation::Replace(at, text)),
        ]
    }

    fn apply(sdp: &str, mutations: &[Mutation]) -> String {
        let mut sdp = sdp.to_owned();
        for mutation in mutations {
            let mut lines: Vec<String> = sdp.lines().map(str::to_owned).collect();
            let count = lines.len().max(1);
            match mutation {
                _ if lines.is_empty() => {}
                Mutation::Drop(at) => drop(lines.remove(at % count)),
                Mutation::Double(at) => lines.insert(at % count, lines[at % count].clone()),
                Mutation::Swap(a, b) => lines.swap(a % count, b % count),
                Mutation::Replace(at, text) => lines[at % count] = text.clone(),
                Mutation::Cut(at) => {
                    sdp.truncate(at % (sdp.len() + 1));
                    continue;
                }
                Mutation::Byte(at, byte) => {
                    let mut bytes = sdp.clone().into_bytes();
                    let length = bytes.len();
                    bytes[at % length] = *byte;
                    sdp = String::from_utf8(bytes).unwrap_or_default();
                    continue;
                }
            }
            sdp = lines.join("\r\n") + "\r\n";
        }
        sdp
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]
        /// However an offer is mangled: an answer or an error, and the endpoint of an answer can be driven.
        #[test]
        fn mangled_offers_are_answered_or_refused(mutations in proptest::collection::vec(mutation(), 1..6)) {
            static CONFIG: std::sync::OnceLock<RtcConfig> = std::sync::OnceLock::new();
            let config = CONFIG.get_or_init(|| RtcConfig::new(Identity::generate().unwrap(), vec![server_address()]));
            let offer = apply(CHROMIUM, &mutations);
            match Endpoint::answer(config, &offer, Instant::now()) {
                Ok((mut endpoint, answer)) => {
                    prop_assert!(answer.lines().filter(|l| l.starts_with("a=msid:")).all(|l| l.starts_with("a=msid:visavis ")));
                    while !matches!(endpoint.poll(), Output::Timeout(_)) {}
                    endpoint.close(Instant::now());
                }
                Err(error) => prop_assert!(!error.to_string().is_empty()),
            }
        }

        /// Whatever bytes arrive during a call, before and after it is up: nothing panics out, and the call goes on.
        #[test]
        fn rubbish_does_not_end_a_call(rubbish in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..80), 1..20)) {
            let mut link = Link::new(1, 0.0, false);
            for bytes in &rubbish {
                link.server.handle_datagram(link.now, caller_address(), server_address(), bytes);
            }
            link.connect();
            for bytes in &rubbish {
                link.server.handle_datagram(link.now, caller_address(), server_address(), bytes);
            }
            talk(&mut link, Duration::from_millis(200));
            prop_assert!(link.server.is_alive());
        }
    }
}
