//! data: the closed sets that labels are taken from

/// A closed set of values of one label. Children of a metric are resolved once per value, so that recording is an index and
/// an atomic.
pub trait Label: Copy + 'static {
    /// The label's name.
    const KEY: &'static str;
    const ALL: &'static [Self];
    fn label(self) -> &'static str;
    /// Its place in `ALL`.
    fn index(self) -> usize;
}

macro_rules! label {
    ($(#[$doc:meta])* $name:ident as $key:literal { $($(#[$about:meta])* $value:ident = $label:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name {
            $($(#[$about])* $value,)+
        }

        impl $name {
            pub const ALL: &'static [Self] = &[$(Self::$value,)+];

            pub fn label(self) -> &'static str {
                match self {
                    $(Self::$value => $label,)+
                }
            }
        }

        impl Label for $name {
            const KEY: &'static str = $key;
            const ALL: &'static [Self] = Self::ALL;

            fn label(self) -> &'static str {
                $name::label(self)
            }

            fn index(self) -> usize {
                self as usize
            }
        }
    };
}

label! {
    /// A lane between rooms.
    LaneName as "lane" {
        Mic = "mic",
        Asks = "asks",
        Heard = "heard",
        Datagrams = "datagrams",
        Say = "say",
        Speech = "speech",
        Script = "script",
        Sound = "sound",
        Picture = "picture",
        Notices = "notices",
    }
}

label! {
    /// A stage of the pipeline that answers.
    Stage as "stage" {
        Stt = "stt",
        Llm = "llm",
        Tts = "tts",
    }
}

label! {
    /// A stage that speaks or hears: its engine answers on a WebSocket, and its work has a length in sound.
    SpeechStage as "stage" {
        Stt = "stt",
        Tts = "tts",
    }
}

label! {
    /// A stage whose model works for several calls at once.
    BatchedStage as "stage" {
        /// The voice detector.
        Vad = "vad",
        Llm = "llm",
    }
}

label! {
    /// A stage with a queue before its model.
    QueuedStage as "stage" {
        Vad = "vad",
        Stt = "stt",
        Llm = "llm",
        Tts = "tts",
    }
}

label! {
    /// What a turn waits for, one after the other.
    Segment as "segment" {
        /// The end of the user's speech → the decision that the turn is over.
        Endpoint = "endpoint",
        /// → the words are there.
        Transcript = "transcript",
        /// → the model's first token.
        Think = "think",
        /// → the first sound of the voice is at the stage.
        Speak = "speak",
        /// → that sound leaves the stage.
        Play = "play",
    }
}

label! {
    /// Why a call was refused.
    RejectReason as "reason" {
        /// All `max_sessions` permits are taken.
        Full = "full",
        /// The server is going down.
        Draining = "draining",
        /// The models are not warm yet.
        Starting = "starting",
    }
}

label! {
    /// How a call ended.
    EndReason as "reason" {
        /// The caller closed the connection.
        Caller = "caller",
        /// Somebody asked for it over HTTP, as our page does.
        Asked = "asked",
        /// We hung up: the goodbye was said, or the server went down.
        Server = "server",
        /// Nothing came from the caller for the configured time.
        Silent = "silent",
        /// ICE or DTLS never completed.
        NeverConnected = "never_connected",
        /// The protocol stack gave up.
        Broken = "broken",
        /// A room failed or panicked.
        Failed = "failed",
    }
}

label! {
    /// A class of work on the DSP pool. Sound goes before picture: a late sound is a gap, a late picture is a skipped frame.
    Class as "class" {
        Sound = "sound",
        Picture = "picture",
    }
}

label! {
    /// What happened to a reply because the user spoke.
    Interruption as "kind" {
        Paused = "paused",
        Cut = "cut",
        Resumed = "resumed",
    }
}

label! {
    /// How the text of a reply ended.
    ReplyOutcome as "outcome" {
        Completed = "completed",
        Interrupted = "interrupted",
        Cancelled = "cancelled",
        Incomplete = "incomplete",
        Failed = "failed",
    }
}

label! {
    /// Where something came in that was not what was agreed.
    Door as "door" {
        /// The body of a call's request.
        Http = "http",
        /// The offer in it.
        Sdp = "sdp",
        /// A datagram of no call, on the media port.
        Rtc = "rtc",
        /// A packet of sound that no decoder takes.
        Opus = "opus",
        /// A caller who does not read its events.
        Events = "events",
        Stt = "stt",
        Llm = "llm",
        Tts = "tts",
    }
}

label! {
    /// Work whose cost is counted against the media that it makes.
    Codec as "codec" {
        OpusEncode = "opus",
        OpusDecode = "opus_decode",
        Vp8 = "vp8",
        /// Drawing the face.
        Face = "face",
    }
}

label! {
    /// Which way, seen from the server.
    Direction as "direction" {
        In = "in",
        Out = "out",
    }
}

label! {
    /// Something of a call that must be gone when the call is.
    Object as "object" {
        /// A task of a call.
        Task = "task",
        /// A WebRTC endpoint.
        Endpoint = "endpoint",
        OpusDecoder = "opus_decoder",
        OpusEncoder = "opus_encoder",
        Vp8Encoder = "vp8_encoder",
        /// A connection to the engine that hears.
        SttStream = "stt_stream",
        /// An answer of the model being read.
        LlmStream = "llm_stream",
        /// A connection to the engine that speaks; one per turn.
        TtsStream = "tts_stream",
        /// A place at the voice detector, of a call or of an engine.
        VadSeat = "vad_seat",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A value's index is its place in the list: children are looked up by it.
    #[test]
    fn indices_are_places() {
        fn check<L: Label>() {
            for (place, value) in L::ALL.iter().enumerate() {
                assert_eq!(value.index(), place, "{}", value.label());
            }
        }
        check::<LaneName>();
        check::<Object>();
        check::<Door>();
    }
}
