//! io: who calls, who is refused, and how calls end

use std::time::Duration;

use prometheus::{Histogram, IntCounter, IntGauge};

use super::buckets;
use super::labels::{Door, EndReason, RejectReason};
use super::registry::{Guard, Metrics};
use super::shelf::{By, Shelf};

pub struct Calls {
    active: IntGauge,
    most: IntGauge,
    total: IntCounter,
    rejected: By<RejectReason, IntCounter>,
    ended: By<EndReason, IntCounter>,
    lasted: Histogram,
    connect: Histogram,
    rtt: Histogram,
    pub(super) bad_input: By<Door, IntCounter>,
}

impl Calls {
    pub fn new(shelf: &Shelf) -> Self {
        Self {
            active: shelf.gauge("visavis_sessions_active", "Calls that are up now"),
            most: shelf.gauge("visavis_sessions_max", "Calls that may be up; one more is refused"),
            total: shelf.counter("visavis_sessions_total", "Calls admitted since the start"),
            rejected: shelf.counters("visavis_admission_rejected_total", "Calls refused at the desk"),
            ended: shelf.counters("visavis_sessions_ended_total", "Calls that ended, by how"),
            lasted: shelf.histogram("visavis_session_duration_seconds", "Length of a call", buckets::CALL),
            connect: shelf.histogram(
                "visavis_session_connect_seconds",
                "From the answer to an offer until media flows",
                buckets::CONNECT,
            ),
            rtt: shelf.histogram(
                "visavis_caller_rtt_seconds",
                "Round trip to the caller, by each of its receiver reports",
                buckets::PING,
            ),
            bad_input: shelf.counters("visavis_bad_input_total", "Input refused because it was not what was agreed"),
        }
    }
}

impl Metrics {
    /// A call is up while the guard lives.
    pub fn session(&self) -> Guard {
        self.calls().total.inc();
        Guard::enter(&self.calls().active)
    }

    pub fn sessions_active(&self) -> i64 {
        self.calls().active.get()
    }

    /// How many calls may be up.
    pub fn most_sessions(&self, most: usize) {
        self.calls().most.set(most as i64);
    }

    pub fn rejected(&self, reason: RejectReason) {
        self.calls().rejected.of(reason).inc();
    }

    pub fn ended(&self, reason: EndReason, lasted: Duration) {
        self.calls().ended.of(reason).inc();
        self.calls().lasted.observe(lasted.as_secs_f64());
    }

    pub fn connected(&self, after: Duration) {
        self.calls().connect.observe(after.as_secs_f64());
    }

    pub fn caller_rtt(&self, rtt: Duration) {
        self.calls().rtt.observe(rtt.as_secs_f64());
    }

    pub fn bad_input(&self, door: Door) {
        self.calls().bad_input.of(door).inc();
    }
}
