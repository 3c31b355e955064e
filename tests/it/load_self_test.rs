//! data: the harness against itself, in virtual time: a server that speaks by a script, and whether what was done to the
//! calls is what was measured, to the millisecond and to the packet

use std::time::{Duration, Instant};

use serde_json::json;
use visavis::load::figure::Figure;
use visavis::load::outcome::{Cause, Request};
use visavis::load::{CallSettings, Caller, CallerError, Dial, Offering, Utterance};
use visavis::rtc::{Endpoint, Identity};
use visavis::runtime::clock;

use crate::kit::link::{config, server_address};
use crate::kit::script::{Cue, Line, Prompter};
use crate::kit::wire;

/// From one end of the link to the other.
const DELAY: Duration = Duration::from_millis(13);
const SOON: Duration = Duration::from_secs(20);

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// A caller that keeps nothing, and who tells its server what to do. Nothing of it takes time that is not virtual.
async fn call(dial: Dial, video: bool) -> (Caller, Prompter) {
    // Far ahead of the real clock, which the SCTP of the dialling side reads once.
    tokio::time::advance(Duration::from_secs(1000)).await;
    let identity = Identity::generate().unwrap();
    let settings = CallSettings { dial, video, ..CallSettings::measuring("http://nowhere", identity, clock::now()) };
    let (theirs, ours) = wire::pair(DELAY);
    let (offering, offer) = Offering::new(&settings, ours).unwrap();
    let (endpoint, answer) = Endpoint::answer(&config(server_address()), &offer, clock::now()).unwrap();
    let server = Prompter::start(endpoint, theirs);
    let mut caller = offering.accept(&reqwest::Client::new(), answer, None).unwrap();
    caller.connected(SOON).await.unwrap();
    (caller, server)
}

/// A second of tone.
fn words() -> Utterance {
    let pcm: Vec<f32> = (0..24_000).map(|n| 0.3 * (n as f32 * 0.1).sin()).collect();
    Utterance::encode(&pcm, 24_000).unwrap()
}

/// Has the server answer from `at` on for `frames` of sound, and gives the first frame's number and time. `cue` says what is
/// wrong with the nth.
async fn answer(
    server: &mut Prompter,
    at: Instant,
    frames: u64,
    tells: bool,
    cue: impl Fn(u64) -> Cue,
) -> (u64, Instant) {
    let (first, begins) = server.frame_at(at).await;
    for n in 0..frames {
        server.say(Line::Frame(first + n, Cue { loud: true, ..cue(n) })).await;
    }
    if tells {
        let tell = |kind: &str| json!({ "type": kind, "response_id": format!("r{first}") });
        server.say(Line::Tell(first, tell("output_audio_buffer.started"))).await;
        server.say(Line::Tell(first + frames, tell("output_audio_buffer.stopped"))).await;
    }
    (first, begins)
}

fn seconds(duration: Duration) -> f64 {
    duration.as_secs_f64()
}

#[track_caller]
fn is_near(request: &Request, figure: Figure, wanted: f64, tolerance: f64) {
    let found = request.value(figure).unwrap_or_else(|| panic!("no {figure} in {request:?}"));
    assert!((found - wanted).abs() <= tolerance, "{figure}: {found}, not {wanted}");
}

/// Of one millisecond, the grain of the virtual clock, at either end.
const EXACT: f64 = 0.002;

/// A call in which everything goes wrong that can: each turn has its own fault, and only that.
#[tokio::test(start_paused = true)]
async fn what_was_done_to_a_call_is_what_was_measured() {
    let (mut caller, mut server) = call(Dial::Realtime, true).await;
    let began = clock::now();

    // Asked without a word: 300 ms until the first sound leaves.
    caller.send(&json!({ "type": "response.create" })).await.unwrap();
    let asked = clock::now();
    let (_, begins) = answer(&mut server, asked + ms(300), 50, true, |_| Cue::default()).await;
    let heard = caller.hears_answer(SOON).await.unwrap();
    assert!((seconds(heard - begins) - seconds(DELAY)).abs() < EXACT);
    let greeting = caller.answered(SOON).await.unwrap();
    is_near(&greeting, Figure::Turn, seconds(begins + DELAY - asked), EXACT);
    is_near(&greeting, Figure::Gaps, 0.0, 0.0);
    is_near(&greeting, Figure::Underrun, 0.0, 0.0);
    is_near(&greeting, Figure::Stretch, 0.0, 1e-3);

    // 200 ms of silence where frame 50 should leave, made up for in a burst; two packets lost. The buffer hides 60 ms of the
    // hole, and 20 ms are missing for each packet.
    let zero = caller.say(&words()).await.unwrap().speech_ended().await.unwrap();
    let (first, begins) = answer(&mut server, zero + ms(640), 150, true, |n| Cue {
        late: if (50..60).contains(&n) { ms(20 * (60 - n)) } else { ms(0) },
        lost: n == 100 || n == 120,
        ..Cue::default()
    })
    .await;
    let id = format!("r{first}");
    let segments = json!({ "decided_ms": 310, "transcribed_ms": 350, "first_token_ms": 400, "first_sound_ready_ms": 600,
        "first_sound_ms": 640 });
    server.say(Line::Tell(first, json!({ "type": "visavis.trace", "response_id": id, "segments": segments }))).await;
    let playout = json!({ "type": "visavis.playout", "response_id": id, "played_ms": 3000, "underrun_ms": 90 });
    server.say(Line::Tell(first + 150, playout)).await;
    let holed = caller.answered(SOON).await.unwrap();
    is_near(&holed, Figure::Turn, seconds(begins + DELAY - zero), EXACT);
    is_near(&holed, Figure::Gaps, 1.0, 0.0);
    // The codec is 6.5 ms late: the answer's last sound is in a packet of its own.
    let lasts = 0.02 * 151.0 + 0.140;
    is_near(&holed, Figure::Underrun, (0.140 + 0.040 + 0.090) / lasts, 1e-3);
    is_near(&holed, Figure::Stretch, 0.0, 1e-3);
    for (figure, wanted) in [
        (Figure::Decision, 0.310),
        (Figure::SttFinal, 0.350),
        (Figure::Ttft, 0.050),
        (Figure::Ttfb, 0.200),
        (Figure::Play, 0.040),
    ] {
        is_near(&holed, figure, wanted, 1e-9);
    }

    // Two percent slow: the answer comes in step, and takes longer than it lasts. The buffer hides 60 ms of the 80.
    let zero = caller.say(&words()).await.unwrap().speech_ended().await.unwrap();
    let slow = |n: u64| Cue { late: Duration::from_micros(400 * n), ..Cue::default() };
    answer(&mut server, zero + ms(500), 200, true, slow).await;
    let stretched = caller.answered(SOON).await.unwrap();
    is_near(&stretched, Figure::Stretch, 0.02, 1e-3);
    is_near(&stretched, Figure::Gaps, 0.0, 0.0);

    // Talked over: the server falls silent 260 ms after the caller's first word.
    let zero = caller.say(&words()).await.unwrap().speech_ended().await.unwrap();
    let (first, begins) = answer(&mut server, zero + ms(500), 150, false, |_| Cue::default()).await;
    let tell = |kind: &str| json!({ "type": kind, "response_id": "cut" });
    server.say(Line::Tell(first, tell("output_audio_buffer.started"))).await;
    assert_eq!(caller.hears_answer(SOON).await.unwrap().duration_since(begins).as_millis(), DELAY.as_millis());
    clock::sleep(ms(1_000)).await;
    let mut saying = caller.say(&words()).await.unwrap();
    let onset = saying.began().await.unwrap();
    let (stop, _) = server.frame_at(onset + ms(260)).await;
    for n in stop..first + 150 {
        server.say(Line::Frame(n, Cue::default())).await;
    }
    server.say(Line::Tell(stop, tell("output_audio_buffer.cleared"))).await;
    let zero = saying.speech_ended().await.unwrap();
    answer(&mut server, zero + ms(700), 100, true, |_| Cue::default()).await;
    let after = caller.answered(SOON).await.unwrap();
    is_near(&after, Figure::Turn, 0.713, 0.021);

    // The film stands still twice: for ten pictures, and for three, which is no freeze.
    let (frame, _) = server.frame_at(clock::now() + ms(500)).await;
    server.say(Line::Picture(frame / 2, ms(400))).await;
    server.say(Line::Picture(frame / 2 + 50, ms(110))).await;
    clock::sleep(ms(5_000)).await;

    let lasted = clock::now() - began;
    let visit = caller.leave().await;
    assert_eq!(visit.requests.iter().filter(|request| request.failure.is_some()).count(), 0);
    assert_eq!(visit.requests.len(), 5);
    // The last frame before the silence, and the codec's tail.
    let (_, silent) = server.frame_at(onset + ms(260)).await;
    is_near(&visit.requests[3], Figure::BargeIn, seconds(silent + DELAY - onset), EXACT);
    assert_eq!((visit.sound.lost, visit.sound.duplicates, visit.sound.jumps), (2, 0, 0));
    // Media flows before the events can: three round trips, for the data channel.
    let since_media = visit.connected_s - seconds(lasted);
    assert!((since_media - 6.0 * seconds(DELAY)).abs() < 0.01, "{since_media}");
    assert!((visit.caller_spoke_s - 4.0 * 0.98).abs() < 0.05, "{}", visit.caller_spoke_s);
    assert_eq!(visit.seen.freezes, 1, "{:?}", visit.seen);
    assert!((seconds(visit.seen.frozen) - 0.44).abs() < 0.02, "{:?}", visit.seen);
    assert!((visit.seen.fps - 25.0).abs() < 0.2, "{:?}", visit.seen);
    assert!(visit.seen.skew_s.iter().all(|skew| skew.abs() < 0.02), "{:?}", visit.seen);
    let value = |figure| visit.values.iter().find(|(of, _)| *of == figure).map(|(_, value)| *value);
    assert_eq!((value(Figure::Jumps), value(Figure::Frozen)), (Some(0.0), Some(seconds(visit.seen.frozen))));
    // Reports wait for the next packet.
    assert!((0.026..0.048).contains(&value(Figure::Rtt).unwrap()), "{:?}", value(Figure::Rtt));
    assert!(value(Figure::Connect).unwrap() > 0.05);
}

/// A peer that tells nothing: the same figures by sound alone, and its answers end by their silence.
#[tokio::test(start_paused = true)]
async fn sound_alone_is_enough() {
    let (mut caller, mut server) = call(Dial::Offer, false).await;
    for turn in 1..=3u64 {
        let zero = caller.say(&words()).await.unwrap().speech_ended().await.unwrap();
        let (_, begins) = answer(&mut server, zero + ms(200 * turn), 100, false, |n| Cue {
            late: if n == 50 { ms(150) } else { ms(0) },
            ..Cue::default()
        })
        .await;
        let request = caller.answered(SOON).await.unwrap();
        is_near(&request, Figure::Turn, seconds(begins + DELAY - zero), EXACT);
        is_near(&request, Figure::Gaps, 1.0, 0.0);
        assert_eq!(request.value(Figure::Decision), None);
    }
    let visit = caller.leave().await;
    assert_eq!(visit.requests.len(), 3);
    assert!((visit.agent_spoke_s - 3.0 * 2.02).abs() < 0.05, "{}", visit.agent_spoke_s);
    assert!(visit.values.iter().all(|(figure, _)| *figure != Figure::Fps), "nobody asked for pictures");
}

/// Who hangs, and who never stops: each is counted for what it is, after the time allowed, and the call goes on.
#[tokio::test(start_paused = true)]
async fn a_server_that_does_not_answer_is_not_waited_for() {
    let (mut caller, mut server) = call(Dial::Realtime, false).await;
    caller.say(&words()).await.unwrap();
    let before = clock::now();
    let given_up = caller.hears_answer(ms(4_000)).await;
    assert!(matches!(given_up, Err(CallerError::Unanswered(Cause::NoAnswer))), "{given_up:?}");
    assert_eq!((clock::now() - before).as_millis(), 4_000);

    let zero = caller.say(&words()).await.unwrap().speech_ended().await.unwrap();
    answer(&mut server, zero + ms(300), 1_000, false, |_| Cue::default()).await;
    let given_up = caller.answered(ms(6_000)).await;
    assert!(matches!(given_up, Err(CallerError::Unanswered(Cause::Endless))), "{given_up:?}");

    // The server goes without a word while an answer is waited for.
    clock::sleep(ms(20_000)).await;
    caller.say(&words()).await.unwrap().speech_ended().await.unwrap();
    drop(server);
    let over = caller.answered(Duration::from_secs(60)).await.unwrap_err();
    assert_eq!(Cause::from(&over), Cause::Dropped, "{over}");
    let visit = caller.leave().await;
    let failures: Vec<_> = visit.requests.iter().map(|request| request.failure).collect();
    assert_eq!(failures, [Some(Cause::NoAnswer), Some(Cause::Endless), Some(Cause::Dropped)]);
}
