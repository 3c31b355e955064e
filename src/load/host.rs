//! io: what the server and this program use: CPU time and memory by /proc, what engines did by the server's own /metrics

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::outcome::HostUse;
use super::process::{Used, listener, used};
use super::work::{Engine, Work, Works};
use crate::metrics::names;
use crate::runtime::clock;

/// A server whose use is looked at while a step runs, beside our own.
pub struct Watched {
    http: reqwest::Client,
    /// The process, where it is one of this machine.
    process: Option<u32>,
    /// Where it tells its metrics.
    metrics: Option<String>,
    token: Option<String>,
    next_look: Instant,
    before: Reading,
    peak: (f64, f64),
}

/// What had been used at a moment.
#[derive(Clone, Copy, Debug, Default)]
struct Reading {
    server: Option<Used>,
    own: Used,
    /// In the order of [`Engine::ALL`]; `None` where no page was read.
    counted: Option<[Counted; Engine::ALL.len()]>,
}

/// What an engine has counted: of each histogram how often, and the sum.
#[derive(Clone, Copy, Debug, Default)]
struct Counted {
    batch: (f64, f64),
    words_per_s: (f64, f64),
    rtf: (f64, f64),
}

impl Watched {
    /// `process`: the server's, where it is known; else the one that listens at `address`, if it is on this machine.
    /// `metrics`: the URL of its page of metrics, if it has one.
    pub fn new(
        http: reqwest::Client,
        process: Option<u32>,
        address: Option<SocketAddr>,
        metrics: Option<String>,
        token: Option<String>,
    ) -> Self {
        let process = process.or_else(|| address.and_then(listener));
        let now = clock::now();
        Self { http, process, metrics, token, next_look: now, before: Reading::default(), peak: (0.0, 0.0) }
    }

    /// Before a step's first caller.
    pub(super) async fn begin(&mut self) {
        self.before = self.read().await;
        self.peak = self.memory_before();
    }

    /// The time that was used until now does not count; the memory does.
    pub(super) async fn count(&mut self) {
        let memory = self.memory_before();
        self.before = self.read().await;
        if let Some(server) = &mut self.before.server {
            server.rss_mb = memory.0;
        }
        self.before.own.rss_mb = memory.1;
    }

    fn memory_before(&self) -> (f64, f64) {
        (self.before.server.map_or(0.0, |used| used.rss_mb), self.before.own.rss_mb)
    }

    /// Looks at the memory now and then. Cancel safe.
    pub(super) async fn look(&mut self) {
        clock::sleep_until(Some(self.next_look)).await;
        self.next_look = clock::now() + BETWEEN_LOOKS;
        let server = self.process.map_or(0.0, |process| used(process, true).map_or(0.0, |used| used.rss_mb));
        let own = used(std::process::id(), false).unwrap_or_default().rss_mb;
        self.peak = (self.peak.0.max(server), self.peak.1.max(own));
    }

    /// What the server, where it can be seen, and this process used since [`Self::begin`].
    pub(super) async fn end(&mut self) -> (Option<HostUse>, HostUse) {
        let after = self.read().await;
        let between = |before: Used, after: Used, peak: f64| HostUse {
            // A child that has ended takes its time with it: less than nothing was not used.
            cpu_s: (after.cpu_s - before.cpu_s).max(0.0),
            rss_mb: peak.max(after.rss_mb),
            rss_before_mb: before.rss_mb,
            work: Works::default(),
        };
        let own = between(self.before.own, after.own, self.peak.1);
        let server = self.before.server.zip(after.server).map(|(before, after)| between(before, after, self.peak.0));
        let work = self.before.counted.zip(after.counted).map(|(before, after)| {
            Works::each(|engine| Counted::between(before[engine as usize], after[engine as usize]))
        });
        let server = match (server, work.filter(|work| *work != Works::default())) {
            (None, None) => None,
            (server, work) => Some(HostUse { work: work.unwrap_or_default(), ..server.unwrap_or_default() }),
        };
        (server, own)
    }

    async fn read(&self) -> Reading {
        let page = self.page().await;
        let told = page.as_deref().and_then(|page| {
            let cpu_s = sum(page, names::PROCESS_CPU, None)?;
            Some(Used { cpu_s, rss_mb: sum(page, names::PROCESS_RESIDENT, None)? / 1e6 })
        });
        // /proc sees children, too (the phonemiser is one); what the server tells is the word of one on another machine.
        let server = self.process.and_then(|process| used(process, true)).or(told);
        let counted = page.as_deref().map(|page| Engine::ALL.map(|engine| Counted::on(page, engine)));
        Reading { server, own: used(std::process::id(), false).unwrap_or_default(), counted }
    }

    /// The server's page of metrics; `None` where there is none, or it is too slow to be waited for.
    async fn page(&self) -> Option<String> {
        let mut request = self.http.get(self.metrics.as_ref()?).timeout(PAGE_LIMIT);
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        let response = request.send().await.ok()?.error_for_status().ok()?;
        response.text().await.ok()
    }
}

impl Counted {
    fn on(page: &str, engine: Engine) -> Self {
        let stage = format!("stage=\"{}\"", engine.name());
        let of = |name: &str, part: &str| sum(page, &format!("{name}_{part}"), Some(&stage)).unwrap_or_default();
        let histogram = |name: &str| (of(name, "count"), of(name, "sum"));
        Self {
            batch: histogram(names::BATCH_SIZE),
            words_per_s: histogram(names::WORDS_PER_SECOND),
            rtf: histogram(names::REAL_TIME_FACTOR),
        }
    }

    /// The means of what came between two looks.
    fn between(before: Self, after: Self) -> Work {
        let mean = |of: fn(&Self) -> (f64, f64)| {
            let count = of(&after).0 - of(&before).0;
            (count > 0.0).then(|| (of(&after).1 - of(&before).1) / count)
        };
        Work {
            mean_batch: mean(|counted| counted.batch),
            words_per_s: mean(|counted| counted.words_per_s),
            rtf: mean(|counted| counted.rtf),
        }
    }
}

/// The sum of all series called `name`, of those with this label if one is given, on a page in Prometheus's text format;
/// `None` where there is none.
fn sum(page: &str, name: &str, label: Option<&str>) -> Option<f64> {
    let series = page.lines().filter_map(|line| {
        let rest = line.strip_prefix(name)?;
        if !rest.starts_with([' ', '{']) || label.is_some_and(|label| !rest.contains(label)) {
            return None;
        }
        rest.rsplit_once(['}', ' ']).and_then(|(_, value)| value.trim().parse::<f64>().ok())
    });
    series.fold(None, |sum: Option<f64>, value| Some(sum.unwrap_or_default() + value))
}

/// Often enough to see a peak of memory, seldom enough to cost nothing.
const BETWEEN_LOOKS: Duration = Duration::from_millis(1000);

/// A page of metrics is made in a millisecond; a server that is too busy for it has other news than this.
const PAGE_LIMIT: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;

    /// Sums over labels, takes no name for another that begins like it, and misses nothing silently.
    #[test]
    fn pages_are_summed() {
        let page = "# HELP a_count x\n# TYPE a_count counter\na_count{engine=\"tts\",x=\"} \"} 3\na_count{engine=\"stt\"} 4.5\n\
                    a_count_more 100\nb 1e3\n";
        assert_eq!(sum(page, "a_count", None), Some(7.5));
        assert_eq!(sum(page, "b", None), Some(1000.0));
        assert_eq!(sum(page, "c", None), None);
        assert_eq!(sum(page, "a_count", Some("engine=\"stt\"")), Some(4.5));
    }

    /// Means are those of the step alone, of each engine for itself.
    #[test]
    fn engines_are_told_apart() {
        let page = |vad: (u32, u32), llm: (u32, u32)| {
            let name = names::BATCH_SIZE;
            format!(
                "{name}_count{{stage=\"vad\"}} {}\n{name}_sum{{stage=\"vad\"}} {}\n{name}_count{{stage=\"llm\"}} {}\n\
                 {name}_sum{{stage=\"llm\"}} {}\n",
                vad.0, vad.1, llm.0, llm.1
            )
        };
        let (before, after) = (page((10, 10), (5, 50)), page((14, 18), (5, 50)));
        let work = |engine| Counted::between(Counted::on(&before, engine), Counted::on(&after, engine));
        assert_eq!(work(Engine::Vad), Work { mean_batch: Some(2.0), ..Work::default() });
        assert_eq!(work(Engine::Llm), Work::default());
    }
}
