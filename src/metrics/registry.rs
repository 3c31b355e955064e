//! io: the registry of one process, and the handle on it

use std::sync::Arc;

use prometheus::{Encoder, IntGauge, Registry, TextEncoder};

use super::calls::Calls;
use super::engines::Engines;
use super::house::House;
use super::media::Media;
use super::process::OfThisProcess;
use super::shelf::Shelf;
use super::turns::Turns;

/// A handle on one registry of metrics. Clones share it.
#[derive(Clone)]
pub struct Metrics(Arc<All>);

struct All {
    registry: Registry,
    calls: Calls,
    turns: Turns,
    engines: Engines,
    media: Media,
    house: House,
}

/// Counts one living thing; goes down when dropped.
pub struct Guard(IntGauge);

impl Guard {
    pub(super) fn enter(gauge: &IntGauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl Metrics {
    pub fn new() -> Self {
        let registry = Registry::new();
        registry.register(Box::new(OfThisProcess::new())).expect("it is the first");
        let shelf = Shelf(&registry);
        let (calls, turns, engines) = (Calls::new(&shelf), Turns::new(&shelf), Engines::new(&shelf));
        let (media, house) = (Media::new(&shelf), House::new(&shelf));
        Self(Arc::new(All { registry, calls, turns, engines, media, house }))
    }

    /// The registry as Prometheus text exposition, version 0.0.4.
    pub fn render(&self) -> String {
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.0.registry.gather(), &mut text).expect("gathered metrics always encode");
        String::from_utf8(text).expect("the text encoder writes UTF-8")
    }

    pub(super) fn calls(&self) -> &Calls {
        &self.0.calls
    }

    pub(super) fn turns(&self) -> &Turns {
        &self.0.turns
    }

    pub(super) fn engines(&self) -> &Engines {
        &self.0.engines
    }

    pub(super) fn media(&self) -> &Media {
        &self.0.media
    }

    pub(super) fn house(&self) -> &House {
        &self.0.house
    }
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Metrics(…)")
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}
