//! core: everything that is measured of one call
//! In:    what the phone sends and what comes to it, each with its time.
//! Out:   the turns while they happen, a [`Visit`] at the end.

use std::time::{Duration, Instant};

use crate::rtc::{Gone, SenderReport};

use super::figure::Figure;
use super::medians::Medians;
use super::outcome::{Cause, Outcome, Request};
use super::sight::{Seen, Sight};
use super::stream::{Counts, Stream};
use super::turns::{TurnSettings, Turns};

/// What came of one call.
#[derive(Clone, Debug)]
pub struct Visit {
    /// When it was dialled, since the run began.
    pub began_s: f64,
    pub connected_s: f64,
    pub caller_spoke_s: f64,
    pub agent_spoke_s: f64,
    pub values: Vec<(Figure, f64)>,
    /// One per question whose answer began or was given up, in order.
    pub requests: Vec<Request>,
    /// The packets of sound.
    pub sound: Counts,
    pub seen: Seen,
    /// Why the call was over before it was left.
    pub gone: Option<Gone>,
}

impl Visit {
    /// As the tally wants it. `failure` is why its script was not done.
    pub fn outcome(self, caller: usize, failure: Option<Cause>) -> Outcome {
        let Self { began_s, connected_s, caller_spoke_s, agent_spoke_s, values, requests, .. } = self;
        Outcome { caller, began_s, connected_s, caller_spoke_s, agent_spoke_s, failure, values, requests }
    }
}

/// See the file's head.
pub(super) struct Meter {
    pub(super) turns: Turns,
    pub(super) sight: Sight,
    pub(super) stream: Stream,
    /// What the server said of the first event that it did not take.
    pub(super) refused: Option<String>,
    since: Instant,
    dialled: Instant,
    connected: Option<Instant>,
    ended: Option<Instant>,
    video: bool,
    rtt: Medians,
}

impl Meter {
    /// `video`: pictures were asked for. Without them their absence is none.
    pub(super) fn new(settings: TurnSettings, dialled: Instant, video: bool) -> Self {
        Self {
            turns: Turns::new(settings),
            sight: Sight::default(),
            stream: Stream::default(),
            refused: None,
            since: settings.since,
            dialled,
            connected: None,
            ended: None,
            video,
            rtt: Medians::default(),
        }
    }

    pub(super) fn connected(&mut self, now: Instant) {
        self.connected.get_or_insert(now);
    }

    pub(super) fn report(&mut self, report: SenderReport) {
        if self.video {
            self.sight.report(report);
        }
    }

    pub(super) fn round_trip(&mut self, now: Instant, rtt: Duration) {
        self.rtt.note(now, rtt.as_secs_f64());
    }

    pub(super) fn ended(&mut self, now: Instant) {
        self.ended.get_or_insert(now);
    }

    /// What the server tells from here on is about the end of the call.
    pub(super) fn is_over(&self) -> bool {
        self.ended.is_some()
    }

    /// What came of the call, which ends now if it has not ended before; `gone`: it did.
    pub(super) fn visit(mut self, now: Instant, gone: Option<Gone>) -> Visit {
        let end = self.ended.map_or(now, |ended| ended.min(now));
        self.turns.end(end, gone.as_ref().map(|_| Cause::Dropped));
        let (requests, caller_spoke, agent_spoke) = self.turns.into_parts();
        let (sound, seen) = (self.stream.counts(), self.sight.seen(end));
        let mut values = vec![];
        if let Some(connected) = self.connected {
            values.push((Figure::Connect, (connected - self.dialled).as_secs_f64()));
            values.extend([(Figure::Loss, sound.loss()), (Figure::Jumps, sound.jumps as f64)]);
        }
        if self.connected.is_some() && self.video {
            values.push((Figure::Fps, seen.fps));
            values.extend([(Figure::Freezes, seen.freezes as f64), (Figure::Frozen, seen.frozen.as_secs_f64())]);
            values.extend(seen.skew_s.iter().map(|&skew| (Figure::Skew, skew)));
        }
        values.extend(self.rtt.values().into_iter().map(|rtt| (Figure::Rtt, rtt)));
        let seconds =
            |from: Option<Instant>| from.map_or(0.0, |from| end.saturating_duration_since(from).as_secs_f64());
        Visit {
            began_s: self.dialled.saturating_duration_since(self.since).as_secs_f64(),
            connected_s: seconds(self.connected),
            caller_spoke_s: caller_spoke.as_secs_f64(),
            agent_spoke_s: agent_spoke.as_secs_f64(),
            values,
            requests,
            sound,
            seen,
            gone,
        }
    }
}
