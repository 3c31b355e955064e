//! core: what is allocated per frame once a call is under way: nothing, wherever a frame is made or understood
//!
//! An allocator under load takes locks and time that nobody planned for, 50 times a second for every call. So whatever runs
//! per frame works in memory that it keeps; what must be handed on to another owner (a packet for the network, a job for
//! the pool) is counted here and held to what it is.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::watch;
use visavis::agent::flow::*;
use visavis::agent::stage::{Input, Output, Playout};
use visavis::agent::transport::encode;
use visavis::face::animator::{self, Animator, Voice};
use visavis::face::gallery::Gallery;
use visavis::face::portrait::Portrait;
use visavis::face::script::Script;
use visavis::media::opus::{Decoder, Encoder};
use visavis::media::picture::I420;
use visavis::media::reorder::{Reorder, Step};
use visavis::media::resample::Polyphase;
use visavis::media::sound::{FRAME, Frame, Pcm};
use visavis::media::time::{MediaTime, Samples};
use visavis::media::vp8;
use visavis::metrics::{LaneName, Metrics};
use visavis::rtc::Output as Say;
use visavis::runtime::lane;
use visavis::runtime::pool::{Class, Pool};

use crate::kit::allocations;
use crate::kit::link::{Link, caller_address, server_address};

const TICK: Duration = Duration::from_millis(20);
/// Until buffers have grown to what they need.
const WARM_UP: usize = 100;
const STEADY: usize = 500;

/// Something that the codecs find worth their while: a gliding tone with a rhythm.
fn tone(n: usize) -> Frame {
    std::array::from_fn(|i| {
        let t = (n * FRAME + i) as f32 / 24_000.0;
        0.3 * (t * 900.0 + 40.0 * (t * 3.0).sin()).sin() * (0.6 + 0.4 * (t * 25.0).sin())
    })
}

/// Allocations of each of [`STEADY`] calls of `step` after a warm-up: how many in all, and the most in one.
fn steady(mut step: impl FnMut(usize)) -> (u64, u64) {
    (0..WARM_UP).for_each(&mut step);
    let counts = (WARM_UP..WARM_UP + STEADY).map(|n| allocations::of(|| step(n)).0);
    counts.fold((0, 0), |(sum, most), count| (sum + count, most.max(count)))
}

/// The counter counts: else all that follows is true of anything.
#[test]
fn an_allocation_is_seen() {
    assert_eq!(allocations::of(|| vec![1u8; 100]).0, 1);
    assert_eq!(allocations::of(|| Box::new([0u64; 4])).0, 1);
    let mut growing = Vec::with_capacity(1);
    assert_eq!(allocations::of(|| growing.extend([1u8; 1000])).0, 1);
    assert_eq!(allocations::of(|| 7).0, 0);
}

/// Ten seconds of a turn in pieces of 80 ms, a word every 400 ms.
fn speech(turn: u64) -> Vec<Arc<Speech>> {
    const PIECE: u64 = 1_920;
    const WORD: u64 = 9_600;
    (0..125u64)
        .map(|n| {
            let at = n * PIECE;
            let word = |w: u64| WordTime {
                text: format!("word{w}"),
                start: Samples(w * WORD),
                stop: Samples(w * WORD + 8_000),
            };
            Arc::new(Speech {
                turn: TurnId(turn),
                at: Samples(at),
                pcm: Pcm(vec![0.1; PIECE as usize]),
                words: (at.div_ceil(WORD)..(at + PIECE).div_ceil(WORD)).map(word).collect(),
                phones: vec![],
                end: n == 124,
            })
        })
        .collect()
}

/// While speech flows through the stage, frames and cues cost no allocation, and taking in a piece of sound costs none. A
/// word does, when it comes and when it falls due: it is told to the client, and the progress to the dialogue, and both keep
/// what they get, so the words so far of this turn and of the one or two before are copied. That is two or three times a
/// second, and never in a frame without a word or the edge of a turn.
#[test]
fn playout_allocates_only_for_words() {
    let start = Instant::now();
    let mut playout = Playout::new(start, 15);
    let (mut frames, mut cues, mut quiet, mut said, mut costliest) = (0u32, 0, 0, 0, 0);
    for turn in 1..=3u64 {
        let mut pieces = speech(turn).into_iter();
        let floor = Floor { now: Some(TurnId(turn)), next: None, level: Level::Full, mood: Mood::Speaking };
        playout.handle(start + TICK * frames, Input::Floor { floor, unsent: vec![] });
        // One frame more than it lasts: the turn ends.
        for _ in 0..=500 {
            let now = start + TICK * frames;
            frames += 1;
            let (mut words_came, mut told) = (false, false);
            let (allocated, ()) = allocations::of(|| {
                while playout.wants(TurnId(turn))
                    && let Some(piece) = pieces.next()
                {
                    words_came |= !piece.words.is_empty();
                    playout.handle(now, Input::Speech(piece));
                }
                while let Some(output) = playout.poll(now) {
                    match output {
                        Output::Notice(notice) => {
                            said += usize::from(matches!(notice.fact, Fact::Captions { .. }));
                            told = true;
                        }
                        Output::Progress(_) => told = true,
                        Output::Cue(_) => cues += 1,
                        Output::Sound(_) => {}
                        odd => panic!("{odd:?} in a turn that goes well"),
                    }
                }
            });
            if words_came || told {
                costliest = costliest.max(allocated);
            } else {
                quiet += 1;
                assert_eq!(allocated, 0, "frame {frames}, turn {turn}: no word came and none fell due");
            }
        }
    }
    println!("{quiet} of {frames} frames are about no word: none allocates; the costliest of the others: {costliest}");
    assert_eq!((cues, said), (frames * 3 / 10 + 1, 3 * 25), "15 pictures a second, every word once");
    assert!(quiet > 1_300, "{quiet}");
    // The end of a turn after another: its 25 words for the stage's own memory, and both turns' for the progress.
    assert!(costliest <= 3 * 25 + 25, "{costliest}");
}

/// Encoding, decoding, recovering what was lost, putting in order and resampling work in memory that is there.
#[test]
fn the_codec_of_the_sound_allocates_nothing() {
    let mut encoder = Encoder::new();
    encoder.set_expected_loss(0.1);
    let frames: Vec<Frame> = (0..50).map(tone).collect();
    let encode = steady(|n| {
        encoder.encode(&frames[n % 50]).unwrap();
    });
    assert_eq!(encode, (0, 0), "encoding");

    let packets: Vec<Bytes> =
        frames.iter().map(|frame| Bytes::copy_from_slice(encoder.encode(frame).unwrap())).collect();
    let (mut decoder, mut reorder, mut sound) = (Decoder::<16_000>::new(), Reorder::new(2), Vec::new());
    let decode = steady(|n| {
        sound.clear();
        // Every ninth is lost: seen two packets later, recovered from the one behind it.
        if n % 9 != 5 {
            reorder.push(n as u64, packets[n % 50].clone());
        }
        while let Some(step) = reorder.pop() {
            match step {
                Step::Packet(packet) => decoder.decode(&packet, &mut sound).unwrap(),
                Step::Lost => decoder.recover(reorder.following().unwrap(), 320, &mut sound).unwrap(),
                Step::Jumped { .. } => panic!("a single packet is missing"),
            };
        }
    });
    assert_eq!(decode, (0, 0), "decoding");

    let mut decoder = Decoder::<24_000>::new();
    let decode = steady(|n| {
        sound.clear();
        match n % 9 {
            5 => decoder.conceal(FRAME, &mut sound).unwrap(),
            _ => decoder.decode(&packets[n % 50], &mut sound).unwrap(),
        };
    });
    assert_eq!(decode, (0, 0), "decoding to 24 kHz, with concealment");

    let mut resampler = Polyphase::new(22_050, 24_000);
    let resample = steady(|n| {
        sound.clear();
        resampler.process(&frames[n % 50][..441], &mut sound);
    });
    assert_eq!(resample, (0, 0), "resampling");
}

/// The face is animated, drawn and encoded in memory that is there.
#[test]
fn a_picture_allocates_nothing() {
    let face = Gallery::embedded().unwrap().get("theo").unwrap();
    let (mut animator, mut portrait) = (Animator::new(1), Portrait::new(face));
    let mut script = Script::new(15.0);
    let mut picture = I420::black(512, 512);
    let settings = vp8::Vp8Settings { width: 512, height: 512, fps: 15, bitrate_kbps: 300 };
    let mut encoder = vp8::Encoder::new(settings).unwrap();
    let mut bytes = Vec::with_capacity(32 * 1024);
    let picture = steady(|n| {
        let at = n as f32 / 15.0;
        for (part, ipa) in ["m", "ˈɑː"].into_iter().enumerate() {
            let start = at + part as f32 / 30.0;
            script.phone(ipa, start, start + 1.0 / 30.0);
        }
        script.sound(at, &[0.1; 1_600]);
        script.forget_before(at);
        let voice = Voice { script: &script, position: at };
        let expression = animator.express(f64::from(at), animator::Mood::Speaking, Some(voice));
        portrait.draw(&expression, &mut picture);
        encoder.encode(&picture, Samples(n as u64 * 6_000), n % 150 == 0, &mut bytes).unwrap();
    });
    assert_eq!(picture, (0, 0));
}

/// From the stage to the transport a frame changes hands: a job for the pool with its answer, the codec's packet that the
/// network keeps until it has been sent. These few, whatever the call does.
#[tokio::test]
async fn a_frame_changes_hands_for_a_few_allocations() {
    let metrics = Metrics::new();
    let pool = Pool::new(1, metrics.clone());
    let (stage, sound) = lane::shedding(LaneName::Sound, 8, &metrics);
    let (packets_in, mut packets) = lane::waiting(8);
    let (_loss, loss) = watch::channel(0.0);
    let room = tokio::spawn(encode::run(sound, packets_in, loss, 5, pool.clone(), metrics));
    let on_the_pool = async || pool.run(Class::Sound, TICK, allocations::so_far).await.unwrap();
    let (mut here, mut there) = (0, 0);
    for n in 0..WARM_UP + STEADY {
        if n == WARM_UP {
            there = on_the_pool().await;
            here = allocations::so_far();
        }
        let media_time = MediaTime::from_ms(20 * n as u64);
        stage.send(Sound::Frame { turn: None, media_time, pcm: tone(n % 50) });
        packets.recv().await.unwrap();
    }
    let here = (allocations::so_far() - here) as f64 / STEADY as f64;
    let there = (on_the_pool().await - there) as f64 / STEADY as f64;
    println!("per frame: {here:.2} by the tasks, {there:.2} by the pool");
    assert!(here <= HANDED_TO_THE_POOL && there <= PACKET_FOR_THE_NETWORK, "{here:.2}, {there:.2}");
    drop(stage);
    room.await.unwrap().unwrap();
}

/// The job, boxed, and the channel of its answer; now and then a block of the lane.
const HANDED_TO_THE_POOL: f64 = 2.1;
/// The packet.
const PACKET_FOR_THE_NETWORK: f64 = 1.1;

/// The protocol stack owns what it protects and sends: a few allocations per packet, out and in.
#[test]
fn a_packet_costs_webrtc_a_few_allocations() {
    let mut link = Link::new(1, 0.0, false);
    link.connect();
    let opus: Arc<[u8]> = vec![0x78; 80].into();
    let mut datagrams = Vec::with_capacity(16);
    let (mut out, mut into) = (0, 0);
    for n in 0..WARM_UP + STEADY {
        let (now, at) = (link.now, MediaTime::from_ms(20 * n as u64));
        let (sent, ()) = allocations::of(|| {
            link.server.write_audio(now, at, opus.clone());
            while matches!(link.server.poll(), Say::Transmit { .. } | Say::Event(_)) {}
        });
        link.caller.write_audio(now, at, opus.clone());
        datagrams.clear();
        while let said @ (Say::Transmit { .. } | Say::Event(_)) = link.caller.poll() {
            if let Say::Transmit { bytes, .. } = said {
                datagrams.push(bytes);
            }
        }
        let (taken, ()) = allocations::of(|| {
            for datagram in &datagrams {
                link.server.handle_datagram(now, caller_address(), server_address(), datagram);
                while matches!(link.server.poll(), Say::Transmit { .. } | Say::Event(_)) {}
            }
        });
        if n >= WARM_UP {
            (out, into) = (out + sent, into + taken);
        }
        link.wait(TICK);
    }
    let per_packet = |count: u64| count as f64 / STEADY as f64;
    println!("per packet: {:.2} out, {:.2} in", per_packet(out), per_packet(into));
    assert!(per_packet(out) <= 12.0 && per_packet(into) <= 12.0);
}
