//! data: the bytes of the speech-to-text protocol, written down once and for all

use visavis::wire::moshi::{SttIn, SttOut, pack, unpack};

/// Hexadecimal, spaces ignored.
fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u32> = hex.chars().filter_map(|c| c.to_digit(16)).collect();
    digits.chunks(2).map(|pair| (pair[0] << 4 | pair[1]) as u8).collect()
}

/// What a caller sends: a map, `type` first, single floats.
#[test]
fn what_a_caller_sends() {
    for (message, golden) in [
        (SttIn::Audio { pcm: vec![0.0, -0.5] }, "82 a474797065 a5417564696f a370636d 92 ca00000000 cabf000000"),
        (SttIn::Marker { id: -2 }, "82 a474797065 a64d61726b6572 a26964 fe"),
        (SttIn::Init, "81 a474797065 a4496e6974"),
    ] {
        assert_eq!(pack(&message), bytes(golden), "{message:?}");
        assert_eq!(unpack::<SttIn>(&bytes(golden)).unwrap(), message);
    }
    // Other people's writers: doubles, integers for floats, keys we do not know.
    let loose = "83 a474797065 a5417564696f a370636d 93 cb3fe0000000000000 01 ca3e800000 a56578747261 c3";
    assert_eq!(unpack::<SttIn>(&bytes(loose)).unwrap(), SttIn::Audio { pcm: vec![0.5, 1.0, 0.25] });
}

/// What an engine says, the original's messages and our opt-ins.
#[test]
fn what_an_engine_says() {
    let word = |text: &str| text.to_owned();
    for (message, golden) in [
        (SttOut::Ready, "81 a474797065 a55265616479"),
        (
            SttOut::Word { text: word("hi"), start_time: 0.5 },
            "83 a474797065 a4576f7264 a474657874 a26869 aa73746172745f74696d65 cb3fe0000000000000",
        ),
        (SttOut::EndWord { stop_time: 1.0 }, "82 a474797065 a7456e64576f7264 a973746f705f74696d65 cb3ff0000000000000"),
        (SttOut::Marker { id: 7 }, "82 a474797065 a64d61726b6572 a26964 07"),
        (
            SttOut::Error { message: word("no free channels") },
            "82 a474797065 a54572726f72 a76d657373616765 b06e6f2066726565206368616e6e656c73",
        ),
        (
            SttOut::Partial { text: word("hi"), stable: 1 },
            "83 a474797065 a75061727469616c a474657874 a26869 a6737461626c65 01",
        ),
        (
            SttOut::Final { text: word("hi"), words: vec![(word("hi"), 0.5, 1.0)] },
            "83 a474797065 a546696e616c a474657874 a26869 a5776f726473 91 93 a26869 cb3fe0000000000000 cb3ff0000000000000",
        ),
    ] {
        assert_eq!(pack(&message), bytes(golden), "{message:?}");
        assert_eq!(unpack::<SttOut>(&bytes(golden)).unwrap(), message);
    }
    // The original with pause heads, an older one without `buffered_pcm`.
    let step = "83 a474797065 a453746570 a8737465705f696478 cd0102 a3707273 92 ca3f000000 cb3fd0000000000000";
    assert_eq!(
        unpack::<SttOut>(&bytes(step)).unwrap(),
        SttOut::Step { step_idx: 258, prs: vec![0.5, 0.25], buffered_pcm: 0 }
    );
}

/// Half a message is no message, wherever it breaks off.
#[test]
fn truncated_input_is_refused() {
    let whole = pack(&SttIn::Audio { pcm: vec![0.25; 5] });
    for length in 0..whole.len() {
        assert!(unpack::<SttIn>(&whole[..length]).is_err(), "{length} bytes of {}", whole.len());
    }
}
