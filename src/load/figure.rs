//! data: what a load run measures: every figure's name, unit, direction and meaning
//!
//! Targets, tables, JSON and the report all speak of figures by these names.

use std::fmt;

/// One measured quantity. A call or a request gives any number of values for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Figure {
    /// Dialling until media flows (calls), or until the server said that it is ready (engine doors).
    Connect,
    /// The end of the caller's speech (its last audible sample) until the first audible sample of the answer.
    Turn,
    /// 1 for an answer that began before the caller had finished, else 0. Such an answer has no [`Self::Turn`].
    Premature,
    /// The end of speech until the turn was decided to be over, by the server's trace.
    Decision,
    /// The end of speech until the final transcript; at the STT door: marker sent until its final.
    SttFinal,
    /// Decision and transcript both there until the model's first token; at the LLM door: request until first token.
    Ttft,
    /// First token until the first sound was made; at the TTS door: first text sent until first sound.
    Ttfb,
    /// First sound made until it left the server's stage.
    Play,
    /// The onset of the caller's speech over an answer until the answer has fallen silent.
    BargeIn,
    /// Share of an answer's time in which there was nothing to play: empty jitter buffer, and silence that the server says
    /// it put in.
    Underrun,
    /// How much longer an answer took to arrive than it lasts on its RTP clock, as a share.
    Stretch,
    /// Holes of more than 60 ms in an answer behind a jitter buffer of 60 ms.
    Gaps,
    /// Packets of sound that never came, share of those due.
    Loss,
    /// Steps of a call's RTP clock of sound that are not the length of the packets in between.
    Jumps,
    /// Pictures per second over a call.
    Fps,
    /// Times that a call's picture stood still for longer than a freeze (see `sight`).
    Freezes,
    /// How long a call's picture stood still in them, all together.
    Frozen,
    /// Sound minus picture on the receiver's clock; positive: the picture is late.
    Skew,
    /// Time to make a sound, less the wait for its beginning, by its length. At the engine doors.
    Rtf,
    /// Words per second: of a model's answer as it is written, of a call's answer as it is spoken, of a text as it is made
    /// into sound.
    Words,
    /// Round trip to the server, by its reports of what came when: they wait for its next packet, so that up to 20 ms of it
    /// are that wait.
    Rtt,
}

/// What the numbers count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    Seconds,
    /// 1.0 is everything.
    Share,
    Count,
    PerSecond,
    /// Elapsed by length: 1.0 is real time.
    Ratio,
}

impl Figure {
    pub const ALL: [Self; 21] = [
        Self::Connect,
        Self::Turn,
        Self::Premature,
        Self::Decision,
        Self::SttFinal,
        Self::Ttft,
        Self::Ttfb,
        Self::Play,
        Self::BargeIn,
        Self::Underrun,
        Self::Stretch,
        Self::Gaps,
        Self::Loss,
        Self::Jumps,
        Self::Fps,
        Self::Freezes,
        Self::Frozen,
        Self::Skew,
        Self::Rtf,
        Self::Words,
        Self::Rtt,
    ];

    /// As it is written in `--target`, in JSON and in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Turn => "turn",
            Self::Premature => "premature",
            Self::Decision => "decision",
            Self::SttFinal => "stt",
            Self::Ttft => "ttft",
            Self::Ttfb => "ttfb",
            Self::Play => "play",
            Self::BargeIn => "barge_in",
            Self::Underrun => "underrun",
            Self::Stretch => "stretch",
            Self::Gaps => "gaps",
            Self::Loss => "loss",
            Self::Jumps => "jumps",
            Self::Fps => "fps",
            Self::Freezes => "freezes",
            Self::Frozen => "frozen",
            Self::Skew => "skew",
            Self::Rtf => "rtf",
            Self::Words => "words",
            Self::Rtt => "rtt",
        }
    }

    /// The same in words, for tables and plots.
    pub fn title(self) -> &'static str {
        match self {
            Self::Connect => "connecting",
            Self::Turn => "end of speech → first sound",
            Self::Premature => "began before the caller had finished",
            Self::Decision => "end of speech → turn decided",
            Self::SttFinal => "final transcript",
            Self::Ttft => "LLM first token",
            Self::Ttfb => "TTS first sound",
            Self::Play => "made → left the server",
            Self::BargeIn => "barge-in → silence",
            Self::Underrun => "underrun",
            Self::Stretch => "time stretch",
            Self::Gaps => "gaps > 60 ms",
            Self::Loss => "packets lost",
            Self::Jumps => "jumps of the sound's clock",
            Self::Fps => "pictures per second",
            Self::Freezes => "freezes",
            Self::Frozen => "picture stood still",
            Self::Skew => "sound − picture",
            Self::Rtf => "real-time factor",
            Self::Words => "words per second",
            Self::Rtt => "round trip",
        }
    }

    pub fn unit(self) -> Unit {
        match self {
            Self::Connect
            | Self::Turn
            | Self::Decision
            | Self::SttFinal
            | Self::Ttft
            | Self::Ttfb
            | Self::Play
            | Self::BargeIn
            | Self::Frozen
            | Self::Skew
            | Self::Rtt => Unit::Seconds,
            Self::Underrun | Self::Stretch | Self::Loss => Unit::Share,
            Self::Premature | Self::Gaps | Self::Jumps | Self::Freezes => Unit::Count,
            Self::Fps | Self::Words => Unit::PerSecond,
            Self::Rtf => Unit::Ratio,
        }
    }

    /// Whether more of it is better. A target on such a figure is a lower bound, and its bad percentiles are the low ones.
    pub fn more_is_better(self) -> bool {
        matches!(self, Self::Fps | Self::Words)
    }

    /// Whether it is bad on both sides of zero, so that its size is what a target means.
    pub fn is_signed(self) -> bool {
        self == Self::Skew
    }

    /// The figure of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|figure| figure.name() == name)
    }
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every figure is listed, and found again by its name alone.
    #[test]
    fn names_are_unique() {
        for figure in Figure::ALL {
            assert_eq!(Figure::named(figure.name()), Some(figure));
        }
        assert_eq!(Figure::named("speed"), None);
    }
}
