//! io: what the server and this program use: CPU time and memory by /proc, batches by the server's own /metrics

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::outcome::HostUse;
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
    batches: Option<Batches>,
}

/// Of one process, or of one and its children.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Used {
    /// User and system time; the kernel counts in steps of 10 ms.
    pub cpu_s: f64,
    pub rss_mb: f64,
}

/// Batches that an engine has computed, and what lay in them.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Batches {
    count: f64,
    sum: f64,
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

    /// The process that is looked at.
    pub fn process(&self) -> Option<u32> {
        self.process
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
            mean_batch: None,
        };
        let own = between(self.before.own, after.own, self.peak.1);
        let server = self.before.server.zip(after.server).map(|(before, after)| between(before, after, self.peak.0));
        let mean_batch = self.before.batches.zip(after.batches).and_then(|(before, after)| {
            let count = after.count - before.count;
            (count > 0.0).then(|| (after.sum - before.sum) / count)
        });
        let server = match (server, mean_batch) {
            (None, None) => None,
            (server, mean_batch) => Some(HostUse { mean_batch, ..server.unwrap_or_default() }),
        };
        (server, own)
    }

    async fn read(&self) -> Reading {
        let page = self.page().await;
        let told = page.as_deref().and_then(|page| {
            let cpu_s = sum(page, names::PROCESS_CPU)?;
            Some(Used { cpu_s, rss_mb: sum(page, names::PROCESS_RESIDENT)? / 1e6 })
        });
        // /proc sees children, too (the phonemiser is one); what the server tells is the word of one on another machine.
        let server = self.process.and_then(|process| used(process, true)).or(told);
        let batches = page.as_deref().and_then(|page| {
            let count = sum(page, &format!("{}_count", names::BATCH_SIZE))?;
            Some(Batches { count, sum: sum(page, &format!("{}_sum", names::BATCH_SIZE))? })
        });
        Reading { server, own: used(std::process::id(), false).unwrap_or_default(), batches }
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

/// The sum of all series called `name` on a page in Prometheus's text format; `None` where there is none.
fn sum(page: &str, name: &str) -> Option<f64> {
    let series = page.lines().filter_map(|line| {
        let rest = line.strip_prefix(name)?;
        if !rest.starts_with([' ', '{']) {
            return None;
        }
        rest.rsplit_once(['}', ' ']).and_then(|(_, value)| value.trim().parse::<f64>().ok())
    });
    series.fold(None, |sum: Option<f64>, value| Some(sum.unwrap_or_default() + value))
}

/// What a process uses, with all that descend from it if `family`; `None` when it is gone.
pub fn used(process: u32, family: bool) -> Option<Used> {
    let mut all = HashMap::new();
    let numbers = if family { processes() } else { vec![process] };
    for number in numbers {
        // Gone between two looks: nothing to count.
        let Ok(stat) = std::fs::read_to_string(format!("/proc/{number}/stat")) else { continue };
        let Some((_, fields)) = stat.rsplit_once(") ") else { continue };
        let fields: Vec<f64> = fields.split(' ').map(|field| field.parse().unwrap_or_default()).collect();
        // After the name: state, parent, …; utime to cstime are fields 14 to 17 of proc(5), resident pages 24. Children
        // that have ended and were waited for are in the 16th and 17th.
        let field = |n: usize| fields.get(n - 3).copied().unwrap_or_default();
        let cpu_s = (field(14) + field(15) + if family { field(16) + field(17) } else { 0.0 }) / TICKS_PER_SECOND;
        let rss_mb = field(24) * PAGE_BYTES / 1e6;
        all.insert(number, (field(4) as u32, Used { cpu_s, rss_mb }));
    }
    all.get(&process)?;
    let mut members = HashSet::from([process]);
    while let Some(child) =
        all.iter().find(|(number, (parent, _))| members.contains(parent) && !members.contains(number))
    {
        members.insert(*child.0);
    }
    let mut sum = Used::default();
    for (_, used) in members.iter().filter_map(|number| all.get(number)) {
        sum.cpu_s += used.cpu_s;
        sum.rss_mb += used.rss_mb;
    }
    Some(sum)
}

/// The process that listens at `address` on this machine, if we may see it.
pub fn listener(address: SocketAddr) -> Option<u32> {
    let inodes: HashSet<String> = ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .filter_map(|table| std::fs::read_to_string(table).ok())
        .flat_map(|table| table.lines().filter_map(|line| listening_inode(line, address.port())).collect::<Vec<_>>())
        .map(|inode| format!("socket:[{inode}]"))
        .collect();
    let local = address.ip().is_loopback() || address.ip().is_unspecified() || is_ours(address);
    if inodes.is_empty() || !local {
        return None;
    }
    processes().into_iter().find(|process| {
        let Ok(descriptors) = std::fs::read_dir(format!("/proc/{process}/fd")) else { return false };
        descriptors.flatten().any(|descriptor| {
            std::fs::read_link(descriptor.path()).is_ok_and(|to| inodes.contains(&*to.to_string_lossy()))
        })
    })
}

/// `  0: 0100007F:1F90 00000000:0000 0A …`: local address, remote address, state (0A listens), …, inode in the tenth place.
fn listening_inode(line: &str, port: u16) -> Option<String> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let (_, at) = fields.get(1)?.rsplit_once(':')?;
    let listens = u16::from_str_radix(at, 16).ok()? == port && *fields.get(3)? == "0A";
    listens.then(|| fields.get(9).map(|inode| (*inode).to_owned()))?
}

/// Whether an address is one of this machine: only such can be bound.
fn is_ours(address: SocketAddr) -> bool {
    std::net::UdpSocket::bind((address.ip(), 0)).is_ok()
}

fn processes() -> Vec<u32> {
    let Ok(entries) = std::fs::read_dir("/proc") else { return vec![] };
    entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

/// Processor, cores and memory of this machine, in a few words.
pub fn machine() -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let (cpu, memory) = (read("/proc/cpuinfo"), read("/proc/meminfo"));
    let field = |text: &str, name: &str| {
        let line = text.lines().find(|line| line.starts_with(name))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    };
    let model = field(&cpu, "model name").unwrap_or_else(|| "a processor without a name".into());
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let kb =
        field(&memory, "MemTotal").and_then(|kb| kb.trim_end_matches(" kB").parse::<f64>().ok()).unwrap_or_default();
    format!("{model}, {cores} {}, {:.0} GB", if cores == 1 { "core" } else { "cores" }, kb / 1e6)
}

/// USER_HZ: 100 on every x86-64 Linux.
const TICKS_PER_SECOND: f64 = 100.0;
const PAGE_BYTES: f64 = 4096.0;

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
        assert_eq!(sum(page, "a_count"), Some(7.5));
        assert_eq!(sum(page, "b"), Some(1000.0));
        assert_eq!(sum(page, "c"), None);
    }

    /// This very process can be looked at, and is found by a port that it listens on.
    #[test]
    fn processes_are_found_and_measured() {
        let listening = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        assert_eq!(listener(listening.local_addr().unwrap()), Some(std::process::id()));
        let before = used(std::process::id(), true).unwrap();
        assert!(before.rss_mb > 1.0);
        let mut x = 1u64;
        while used(std::process::id(), false).unwrap().cpu_s <= before.cpu_s {
            x = std::hint::black_box(x.wrapping_mul(3));
        }
        assert_eq!(used(u32::MAX, true), None);
    }
}
