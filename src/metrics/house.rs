//! io: what saturates: lanes, the pool, the async runtime; and what is alive

use std::time::Duration;

use prometheus::{Histogram, IntCounter, IntGauge};

use super::buckets;
use super::labels::{Class, LaneName, Object};
use super::registry::{Guard, Metrics};
use super::shelf::{By, Shelf};

pub struct House {
    lane_depth: By<LaneName, Histogram>,
    lane_shed: By<LaneName, IntCounter>,
    pool_load: By<Class, Histogram>,
    pool_wait: By<Class, Histogram>,
    runtime_lag: Histogram,
    live: By<Object, IntGauge>,
}

impl House {
    pub fn new(shelf: &Shelf) -> Self {
        Self {
            lane_depth: shelf.histograms(
                "visavis_lane_depth",
                "Items in a lane when one was put into it or taken out of it, that one counted",
                buckets::DEPTH,
            ),
            lane_shed: shelf.counters("visavis_lane_shed_total", "Items dropped or refused because a lane was full"),
            pool_load: shelf.histograms(
                "visavis_pool_load_ratio",
                "Time a piece of DSP took / time it was allowed",
                buckets::SHARE,
            ),
            pool_wait: shelf.histograms(
                "visavis_pool_wait_seconds",
                "Time a piece of DSP waited for a thread of the pool",
                buckets::FRAME,
            ),
            runtime_lag: shelf.histogram(
                "visavis_runtime_lag_seconds",
                "How much later than asked for a sleep of 50 ms ended: the async threads were busy",
                buckets::FRAME,
            ),
            live: shelf.gauges("visavis_live", "Things of calls that are alive"),
        }
    }
}

impl Metrics {
    pub fn lane_depth(&self, lane: LaneName, depth: usize) {
        self.house().lane_depth.of(lane).observe(depth as f64);
    }

    pub fn lane_shed(&self, lane: LaneName) {
        self.house().lane_shed.of(lane).inc();
    }

    pub fn sheds(&self, lane: LaneName) -> u64 {
        self.house().lane_shed.of(lane).get()
    }

    /// `share`: time taken / time allowed.
    pub fn pool_load(&self, class: Class, share: f64) {
        self.house().pool_load.of(class).observe(share);
    }

    pub fn pool_wait(&self, class: Class, wait: Duration) {
        self.house().pool_wait.of(class).observe(wait.as_secs_f64());
    }

    pub fn runtime_lag(&self, late: Duration) {
        self.house().runtime_lag.observe(late.as_secs_f64());
    }

    /// One `object` is alive while the guard is.
    pub fn live(&self, object: Object) -> Guard {
        Guard::enter(self.house().live.of(object))
    }

    pub fn alive(&self, object: Object) -> i64 {
        self.house().live.of(object).get()
    }
}
