//! core: what a step must reach, as it is written on the command line, and whether it did
//! In:    `success:1.00,turn:p99@1.5s,underrun:p99@1%,fps:p05@14`, and the tally of a step.
//! Out:   a [`Verdict`]: for each target what was wanted, what was got, and whether that will do.
//! Law:   what was not measured cannot miss (a call without a picture has no fps), but a step without one good answer
//!        meets nothing.

use std::fmt;
use std::str::FromStr;

use super::figure::{Figure, Unit};
use super::spread::Stat;
use super::tally::Tally;

/// All of what is wanted. Written and read as a list with commas.
#[derive(Clone, Debug, PartialEq)]
pub struct Targets(pub Vec<Target>);

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Target {
    /// At least this share of calls and of requests must go well (see [`Tally::success`]); 1.0 is all.
    Success(f64),
    /// A number of a figure must not pass `bound`, in the figure's own unit: an upper bound, or a lower one where more is
    /// better. Of a figure that is bad on both sides of zero (sound − picture) the size counts, not the sign.
    Of { figure: Figure, stat: Stat, bound: f64 },
}

/// What a call must be for its caller not to mind. 1.5 s until an answer begins is where people start to wonder whether
/// they were heard; 1 % of silence inside an answer is one hole of 60 ms in six seconds; sound that comes 2 % slower than it
/// should eats any jitter buffer in seconds; below 14 pictures a second a mouth no longer goes with its voice.
pub const OF_CALLS: &str = "success:1.00,turn:p99@1.5s,underrun:p99@0.01,stretch:p99@0.02,fps:p05@14";
/// A voice must begin within the second that a turn leaves for it, and never be slower than it is spoken.
pub const OF_TTS: &str = "success:1.00,ttfb:p99@1s,rtf:p99@1.00";
/// A transcript may take half of the time that a caller waits without wondering.
pub const OF_STT: &str = "success:1.00,stt:p99@750ms";
/// A first token within a second, and words faster than anybody speaks them: 4 a second, where quick talk has 3.5.
pub const OF_LLM: &str = "success:1.00,ttft:p99@1s,words:p05@4";

impl Targets {
    /// Holds the step against each target.
    pub fn judge(&self, tally: &Tally) -> Verdict {
        let lines: Vec<Line> = self.0.iter().map(|target| Line::of(*target, tally)).collect();
        let answered = tally.requests.ok() > 0;
        let complete = tally.came >= tally.callers;
        let met = answered && complete && lines.iter().all(|line| line.result != Reached::Missed);
        Verdict { met, answered, complete, lines }
    }

    /// The bound of a number of a figure, for the line in a plot.
    pub fn bound(&self, of: Figure, at: Stat) -> Option<f64> {
        self.0.iter().find_map(|target| match *target {
            Target::Of { figure, stat, bound } if figure == of && stat == at => Some(bound),
            _ => None,
        })
    }
}

/// How a step did.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    pub met: bool,
    /// Whether anything was answered as it should be. Without that nothing is met.
    pub answered: bool,
    /// Whether all callers came: what fewer got says nothing about as many as there were to be.
    pub complete: bool,
    /// One for each target, in their order.
    pub lines: Vec<Line>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Line {
    pub target: Target,
    /// In the unit of the target; `None` when it was not measured.
    pub got: Option<f64>,
    pub result: Reached,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reached {
    Met,
    Missed,
    NotMeasured,
}

impl Line {
    fn of(target: Target, tally: &Tally) -> Self {
        let (got, is_met) = match target {
            // No question asked is no success: this one cannot be left out.
            Target::Success(share) => (tally.success(), tally.success().is_some_and(|got| got >= share)),
            Target::Of { figure, stat, bound } => {
                let got = tally.figures.get(&figure).map(|spread| match figure.is_signed() {
                    true => spread.magnitudes().at(stat),
                    false => spread.at(stat),
                });
                let Some(value) = got else { return Self { target, got, result: Reached::NotMeasured } };
                (got, if figure.more_is_better() { value >= bound } else { value <= bound })
            }
        };
        Self { target, got, result: if is_met { Reached::Met } else { Reached::Missed } }
    }
}

/// What is wrong with a list of targets: the part, and what may stand there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    #[error("no target: say for instance `{OF_CALLS}`")]
    Empty,
    #[error("target `{0}`: say `success:SHARE` or `FIGURE:STAT@BOUND`, for instance `turn:p99@1.5s`")]
    Shape(String),
    #[error("target `{part}`: there is no figure `{figure}`; there are success, {}", names())]
    Figure { part: String, figure: String },
    #[error("target `{part}`: `{stat}` is no statistic; say p01 to p99, mean, min or max")]
    Stat { part: String, stat: String },
    #[error("target `{part}`: `{bound}` is no bound; say {allowed}")]
    Bound { part: String, bound: String, allowed: &'static str },
}

fn names() -> String {
    Figure::ALL.map(Figure::name).join(", ")
}

impl FromStr for Targets {
    type Err = TargetError;

    fn from_str(text: &str) -> Result<Self, TargetError> {
        if text.trim().is_empty() {
            return Err(TargetError::Empty);
        }
        text.split(',').map(|part| part.trim().parse()).collect::<Result<_, _>>().map(Self)
    }
}

impl FromStr for Target {
    type Err = TargetError;

    fn from_str(part: &str) -> Result<Self, TargetError> {
        let shape = || TargetError::Shape(part.to_string());
        let (name, rest) = part.split_once(':').ok_or_else(shape)?;
        let (name, rest) = (name.trim(), rest.trim());
        let bound = |text: &str, unit| {
            bound(text.trim(), unit).ok_or_else(|| TargetError::Bound {
                part: part.to_string(),
                bound: text.trim().to_string(),
                allowed: allowed(unit),
            })
        };
        if name == "success" {
            return bound(rest, Unit::Share).map(Self::Success);
        }
        let unknown = || TargetError::Figure { part: part.to_string(), figure: name.to_string() };
        let figure = Figure::named(name).ok_or_else(unknown)?;
        let (stat, limit) = rest.split_once('@').ok_or_else(shape)?;
        let wrong = |()| TargetError::Stat { part: part.to_string(), stat: stat.trim().to_string() };
        Ok(Self::Of { figure, stat: stat.trim().parse().map_err(wrong)?, bound: bound(limit, figure.unit())? })
    }
}

/// The number of a bound in its figure's unit. Bounds are finite and not negative; a share is at most 1.
fn bound(text: &str, unit: Unit) -> Option<f64> {
    let (digits, scale) = match unit {
        Unit::Seconds => match text.strip_suffix("ms") {
            Some(digits) => (digits, 1e-3),
            None => (text.strip_suffix('s').unwrap_or(text), 1.0),
        },
        Unit::Share => text.strip_suffix('%').map_or((text, 1.0), |digits| (digits, 1e-2)),
        Unit::Count | Unit::PerSecond | Unit::Ratio => (text, 1.0),
    };
    let value = digits.trim_end().parse::<f64>().ok()? * scale;
    let most = if unit == Unit::Share { 1.0 } else { f64::MAX };
    (0.0..=most).contains(&value).then_some(value)
}

fn allowed(unit: Unit) -> &'static str {
    match unit {
        Unit::Seconds => "a time: `1.5s`, `250ms`, or seconds without a unit",
        Unit::Share => "a share: `0.01` or `1%`, at most 1",
        Unit::Count => "a number",
        Unit::PerSecond => "a number per second",
        Unit::Ratio => "a ratio: 1.00 is real time",
    }
}

impl fmt::Display for Targets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, target) in self.0.iter().enumerate() {
            write!(f, "{}{target}", if place == 0 { "" } else { "," })?;
        }
        Ok(())
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Success(share) => write!(f, "success:{share:.2}", share = Exact(*share)),
            Self::Of { figure, stat, bound } => {
                let unit = if figure.unit() == Unit::Seconds { "s" } else { "" };
                write!(f, "{figure}:{stat}@{bound}{unit}")
            }
        }
    }
}

/// A number with at least the decimals asked for, and with all that it needs to be read back as itself.
struct Exact(f64);

impl fmt::Display for Exact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rounded = format!("{:.*}", f.precision().unwrap_or(0), self.0);
        match rounded.parse() == Ok(self.0) {
            true => f.write_str(&rounded),
            false => write!(f, "{}", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::outcome::{Cause, Outcome, Request, Step};
    use proptest::prelude::*;

    fn of(figure: Figure, percent: u8, bound: f64) -> Target {
        Target::Of { figure, stat: Stat::Percentile(percent), bound }
    }

    #[test]
    fn a_list_is_read_with_its_units() {
        let text =
            "success:1.00,turn:p99@1.5s, ttfb:p99@250ms,rtf:mean@1.00,underrun:p99@1%,stretch:p99@0.02,fps:p5@14";
        let targets: Targets = text.parse().unwrap();
        let wanted = [
            Target::Success(1.0),
            of(Figure::Turn, 99, 1.5),
            of(Figure::Ttfb, 99, 0.25),
            Target::Of { figure: Figure::Rtf, stat: Stat::Mean, bound: 1.0 },
            of(Figure::Underrun, 99, 0.01),
            of(Figure::Stretch, 99, 0.02),
            of(Figure::Fps, 5, 14.0),
        ];
        assert_eq!(targets.0, wanted);
        let canonical =
            "success:1.00,turn:p99@1.5s,ttfb:p99@0.25s,rtf:mean@1,underrun:p99@0.01,stretch:p99@0.02,fps:p05@14";
        assert_eq!(targets.to_string(), canonical);
        assert_eq!(targets.bound(Figure::Turn, Stat::Percentile(99)), Some(1.5));
        assert_eq!(targets.bound(Figure::Turn, Stat::Percentile(50)), None);
    }

    #[test]
    fn what_is_wrong_is_named_with_what_is_allowed() {
        let error = |text: &str| text.parse::<Targets>().unwrap_err().to_string();
        for (text, named) in [
            ("", ["no target", "success:1.00"]),
            ("turn", ["`turn`", "FIGURE:STAT@BOUND"]),
            ("success:1,turn:1.5s", ["`turn:1.5s`", "FIGURE:STAT@BOUND"]),
            ("success:1,,fps:p05@14", ["``", "FIGURE:STAT@BOUND"]),
            ("speed:p99@1", ["`speed`", "barge_in"]),
            ("turn:p100@1s", ["`p100`", "p01 to p99"]),
            ("turn:p99@fast", ["`fast`", "`1.5s`"]),
            ("turn:p99@1%", ["`1%`", "`250ms`"]),
            ("fps:p05@14s", ["`14s`", "per second"]),
            ("underrun:p99@1.5", ["`1.5`", "at most 1"]),
            ("success:p99@1", ["`p99@1`", "a share"]),
            ("turn:p99@-1s", ["`-1s`", "`250ms`"]),
            ("turn:p99@NaN", ["`NaN`", "`250ms`"]),
            ("turn:p99@infs", ["`infs`", "`250ms`"]),
        ] {
            let message = error(text);
            assert!(named.iter().all(|part| message.contains(part)), "{text}: {message}");
        }
    }

    #[test]
    fn the_defaults_can_be_read() {
        for text in [OF_CALLS, OF_TTS, OF_STT, OF_LLM] {
            assert!(matches!(text.parse::<Targets>().unwrap().0[0], Target::Success(1.0)));
        }
    }

    /// One call that answers each of `values` to a request of its own.
    fn tally(figure: Figure, values: &[f64], failure: Option<Cause>) -> Tally {
        let answered = |value: &f64| Request { values: vec![(figure, *value)], ..Request::default() };
        let mut requests: Vec<_> = values.iter().map(answered).collect();
        requests.extend(failure.map(|cause| Request { failure: Some(cause), ..Request::default() }));
        let call = Outcome { connected_s: 10.0, requests, ..Outcome::nothing(0, 0.0) };
        Tally::of(&Step { callers: 1, came: 1, lasted_s: 10.0, outcomes: vec![call], ..Step::default() })
    }

    fn judged(targets: &str, tally: &Tally) -> (bool, Vec<Reached>) {
        let verdict = targets.parse::<Targets>().unwrap().judge(tally);
        (verdict.met, verdict.lines.iter().map(|line| line.result).collect())
    }

    #[test]
    fn bounds_bind_on_the_bad_side() {
        use Reached::{Met, Missed};
        let turns = tally(Figure::Turn, &[0.5, 1.0, 1.5], None);
        assert_eq!(judged("turn:p99@1.5s", &turns), (true, vec![Met]), "the bound itself will do");
        assert_eq!(judged("turn:p99@1.4s,turn:p50@1s", &turns), (false, vec![Missed, Met]));
        let pictures = tally(Figure::Fps, &[13.0, 15.0, 15.0], None);
        assert_eq!(judged("fps:p05@14", &pictures), (false, vec![Missed]));
        assert_eq!(judged("fps:p50@14", &pictures), (true, vec![Met]));
        let early = tally(Figure::Skew, &[-0.2, 0.01], None);
        assert_eq!(judged("skew:p99@100ms", &early), (false, vec![Missed]), "early is as bad as late");
    }

    /// A run without faces is not failed for its pictures; one in which nothing was answered is, whatever was wanted.
    #[test]
    fn what_was_not_measured_cannot_miss() {
        use Reached::{Met, Missed, NotMeasured};
        let turns = tally(Figure::Turn, &[0.5], None);
        assert_eq!(judged("success:1,turn:p99@1s,fps:p05@14", &turns), (true, vec![Met, Met, NotMeasured]));
        let failed = tally(Figure::Turn, &[0.5], Some(Cause::NoAnswer));
        assert_eq!(judged("success:0.5,turn:p99@1s", &failed), (true, vec![Met, Met]));
        assert_eq!(judged("success:1,turn:p99@1s", &failed), (false, vec![Missed, Met]));
        let silent = tally(Figure::Turn, &[], Some(Cause::NoAnswer));
        assert_eq!(judged("turn:p99@1s", &silent), (false, vec![NotMeasured]));
        assert_eq!(judged("success:0", &silent), (false, vec![Met]));
        assert_eq!(judged("success:0", &Tally::default()), (false, vec![Missed]), "nothing was asked");
    }

    /// Two of the three callers were served well, and the third never dialled.
    #[test]
    fn who_never_came_is_missed() {
        let targets: Targets = "turn:p99@1s".parse().unwrap();
        let mut tally = tally(Figure::Turn, &[0.5], None);
        assert!(targets.judge(&tally).met);
        tally.callers = 3;
        let verdict = targets.judge(&tally);
        assert!(verdict.answered && !verdict.complete && !verdict.met);
    }

    proptest! {
        /// What is written is what is read, to the last bit.
        #[test]
        fn targets_survive_being_written(which in 0..Figure::ALL.len(), percent in 1u8..100, bound in 0.0f64..1.0, share in 0.0f64..=1.0) {
            let targets = Targets(vec![Target::Success(share), of(Figure::ALL[which], percent, bound)]);
            prop_assert_eq!(targets.to_string().parse::<Targets>(), Ok(targets));
        }

        /// Nothing that is typed makes it panic.
        #[test]
        fn odd_text_is_an_error_at_most(text in "[a-z:@,.0-9%é ]{0,40}") {
            let _ = text.parse::<Targets>();
        }
    }
}
