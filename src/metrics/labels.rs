//! data: the closed sets that labels are taken from

/// A lane between rooms (`lane` label).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LaneName {
    Mic,
    Asks,
    Heard,
    Datagrams,
    Say,
    Speech,
    Script,
    Sound,
    Picture,
    Notices,
}

impl LaneName {
    pub const ALL: [Self; 10] = [
        Self::Mic,
        Self::Asks,
        Self::Heard,
        Self::Datagrams,
        Self::Say,
        Self::Speech,
        Self::Script,
        Self::Sound,
        Self::Picture,
        Self::Notices,
    ];

    pub fn label(self) -> &'static str {
        match self {
            Self::Mic => "mic",
            Self::Asks => "asks",
            Self::Heard => "heard",
            Self::Datagrams => "datagrams",
            Self::Say => "say",
            Self::Speech => "speech",
            Self::Script => "script",
            Self::Sound => "sound",
            Self::Picture => "picture",
            Self::Notices => "notices",
        }
    }
}

/// A stage of the pipeline that answers (`stage` label).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stage {
    Stt,
    Llm,
    Tts,
}

impl Stage {
    pub fn label(self) -> &'static str {
        match self {
            Self::Stt => "stt",
            Self::Llm => "llm",
            Self::Tts => "tts",
        }
    }
}

/// Why a call was refused (`reason` label).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RejectReason {
    /// All `max_sessions` permits are taken.
    Full,
    /// The server is going down.
    Draining,
    /// The models are not warm yet.
    Starting,
}

impl RejectReason {
    pub fn label(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Draining => "draining",
            Self::Starting => "starting",
        }
    }
}

/// A class of work on the DSP pool (`class` label). Sound goes before picture: a late sound is a gap, a late picture is
/// a skipped frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    Sound,
    Picture,
}

impl Class {
    pub fn label(self) -> &'static str {
        match self {
            Self::Sound => "sound",
            Self::Picture => "picture",
        }
    }
}
