//! io: puts metrics on the registry; one call per metric says its name, its help, and its buckets
//!
//! Every child of a closed set of labels is made at once: an absent series and a zero are different answers.

use std::marker::PhantomData;

use prometheus::core::Collector;
use prometheus::{
    Counter, CounterVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec,
    Opts, Registry,
};

use super::labels::Label;

/// One child of a metric per value of the label `L`.
pub struct By<L, M> {
    children: Box<[M]>,
    of: PhantomData<fn(L)>,
}

impl<L: Label, M> By<L, M> {
    fn each(child: impl Fn(&str) -> M) -> Self {
        Self { children: L::ALL.iter().map(|value| child(value.label())).collect(), of: PhantomData }
    }

    /// The child of `value`.
    pub fn of(&self, value: L) -> &M {
        &self.children[value.index()]
    }
}

/// Registers what it makes.
pub struct Shelf<'a>(pub &'a Registry);

impl Shelf<'_> {
    fn put<M: Collector + Clone + 'static>(&self, made: prometheus::Result<M>) -> M {
        let metric = made.expect("names and labels are literals, and a test makes them all");
        self.0.register(Box::new(metric.clone())).expect("no name is used twice: a test makes them all");
        metric
    }

    pub fn counter(&self, name: &str, help: &str) -> IntCounter {
        self.put(IntCounter::new(name, help))
    }

    pub fn counters<L: Label>(&self, name: &str, help: &str) -> By<L, IntCounter> {
        let all = self.put(IntCounterVec::new(Opts::new(name, help), &[L::KEY]));
        By::each(|label| all.with_label_values(&[label]))
    }

    /// A counter of seconds.
    pub fn seconds(&self, name: &str, help: &str) -> Counter {
        self.put(Counter::new(name, help))
    }

    pub fn seconds_by<L: Label>(&self, name: &str, help: &str) -> By<L, Counter> {
        let all = self.put(CounterVec::new(Opts::new(name, help), &[L::KEY]));
        By::each(|label| all.with_label_values(&[label]))
    }

    pub fn gauge(&self, name: &str, help: &str) -> IntGauge {
        self.put(IntGauge::new(name, help))
    }

    pub fn gauges<L: Label>(&self, name: &str, help: &str) -> By<L, IntGauge> {
        let all = self.put(IntGaugeVec::new(Opts::new(name, help), &[L::KEY]));
        By::each(|label| all.with_label_values(&[label]))
    }

    pub fn histogram(&self, name: &str, help: &str, buckets: &[f64]) -> Histogram {
        self.put(Histogram::with_opts(HistogramOpts::new(name, help).buckets(buckets.to_vec())))
    }

    pub fn histograms<L: Label>(&self, name: &str, help: &str, buckets: &[f64]) -> By<L, Histogram> {
        let all = self.put(HistogramVec::new(HistogramOpts::new(name, help).buckets(buckets.to_vec()), &[L::KEY]));
        By::each(|label| all.with_label_values(&[label]))
    }
}
