//! io: what this process takes of the machine, under the names that every Prometheus client gives it
//!
//! Read from `/proc/self` when somebody asks. The crate's own collector would do but for one thing: it counts processor
//! time in whole seconds, and a load run of half a minute is judged by hundredths.

use std::fs;
use std::sync::Mutex;

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{Counter, Gauge, Opts};

/// Collects the seven figures of `proc(5)` that the naming rules know.
pub struct OfThisProcess {
    cpu: Counter,
    /// Held while what was used since is added: of two who ask at once only one may add it.
    adding: Mutex<()>,
    resident: Gauge,
    virtual_memory: Gauge,
    threads: Gauge,
    open_files: Gauge,
    most_files: Gauge,
    started: Gauge,
}

impl OfThisProcess {
    pub fn new() -> Self {
        let gauge = |name: &str, help: &str| Gauge::with_opts(Opts::new(name, help)).expect("the name is valid");
        let all = Self {
            cpu: Counter::with_opts(Opts::new(super::names::PROCESS_CPU, "Processor time of all threads, in seconds"))
                .expect("the name is valid"),
            adding: Mutex::new(()),
            resident: gauge(super::names::PROCESS_RESIDENT, "Memory that lies in RAM, in bytes"),
            virtual_memory: gauge("process_virtual_memory_bytes", "Address space, in bytes"),
            threads: gauge("process_threads", "Threads of the system"),
            open_files: gauge("process_open_fds", "Open file descriptors, sockets among them"),
            most_files: gauge("process_max_fds", "File descriptors that may be open"),
            started: gauge("process_start_time_seconds", "When the process started, in seconds since 1970"),
        };
        // Neither changes while the process lives.
        all.most_files.set(most_files().unwrap_or(0.0));
        if let (Some(stat), Some(boot)) = (Stat::read(), boot_time()) {
            all.started.set(boot + stat.started);
        }
        all
    }
}

impl Collector for OfThisProcess {
    fn desc(&self) -> Vec<&Desc> {
        let gauges =
            [&self.resident, &self.virtual_memory, &self.threads, &self.open_files, &self.most_files, &self.started];
        self.cpu.desc().into_iter().chain(gauges.into_iter().flat_map(|gauge| gauge.desc())).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let adding = self.adding.lock().expect("no holder of this lock can panic");
        if let Some(stat) = Stat::read() {
            // A counter takes nothing negative.
            self.cpu.inc_by((stat.cpu - self.cpu.get()).max(0.0));
            self.resident.set(stat.resident);
            self.virtual_memory.set(stat.virtual_memory);
            self.threads.set(stat.threads);
        }
        drop(adding);
        if let Ok(files) = fs::read_dir("/proc/self/fd") {
            self.open_files.set(files.count() as f64);
        }
        let gauges =
            [&self.resident, &self.virtual_memory, &self.threads, &self.open_files, &self.most_files, &self.started];
        self.cpu.collect().into_iter().chain(gauges.into_iter().flat_map(|gauge| gauge.collect())).collect()
    }
}

/// Of `/proc/self/stat`, in base units.
#[derive(Debug, PartialEq)]
struct Stat {
    cpu: f64,
    threads: f64,
    /// Since the machine's start.
    started: f64,
    virtual_memory: f64,
    resident: f64,
}

impl Stat {
    fn read() -> Option<Self> {
        Self::parse(&fs::read_to_string("/proc/self/stat").ok()?)
    }

    /// Fields are counted as `proc(5)` does, from 1; the second, the program's name, may hold spaces and brackets.
    fn parse(line: &str) -> Option<Self> {
        let fields: Vec<&str> = line.get(line.rfind(')')? + 1..)?.split_whitespace().collect();
        let field = |n: usize| fields.get(n - 3)?.parse::<f64>().ok();
        Some(Self {
            cpu: (field(14)? + field(15)?) / TICKS,
            threads: field(20)?,
            started: field(22)? / TICKS,
            virtual_memory: field(23)?,
            resident: field(24)? * PAGE,
        })
    }
}

/// When the machine started, in seconds since 1970.
fn boot_time() -> Option<f64> {
    fs::read_to_string("/proc/stat").ok()?.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()
}

fn most_files() -> Option<f64> {
    let limits = fs::read_to_string("/proc/self/limits").ok()?;
    limits.lines().find_map(|line| line.strip_prefix("Max open files"))?.split_whitespace().next()?.parse().ok()
}

/// `USER_HZ`: what the kernel shows times in, whatever it counts them in; 100 on x86-64.
const TICKS: f64 = 100.0;
/// Bytes; 4 KiB on x86-64, the only machine we run on.
const PAGE: f64 = 4096.0;

#[cfg(test)]
mod tests {
    use super::*;

    /// A line as the kernel writes it, of a program with an unkind name.
    #[test]
    fn the_kernels_line_is_read() {
        let line = "4242 (vis) a (vis) S 1 4242 4242 0 -1 4194560 2000 0 10 0 1234 766 0 0 20 0 17 0 98765 \
                    734003200 25600 18446744073709551615 1 1 0 0 0 0 0 4096 1260 0 0 0 17 1 0 0 0 0 0";
        let read =
            Stat { cpu: 20.0, threads: 17.0, started: 987.65, virtual_memory: 734_003_200.0, resident: 104_857_600.0 };
        assert_eq!(Stat::parse(line), Some(read));
        assert_eq!(Stat::parse("4242 (visavis) S 1 2"), None);
    }

    /// Work of this process shows in hundredths of a second, and its memory and threads are there.
    #[test]
    fn this_process_is_measured() {
        let collector = OfThisProcess::new();
        let value = |name: &str| {
            let family = collector.collect().into_iter().find(|family| family.name() == name).unwrap();
            let metric = &family.get_metric()[0];
            if name == "process_cpu_seconds_total" {
                metric.get_counter().get_value()
            } else {
                metric.get_gauge().get_value()
            }
        };
        let before = value("process_cpu_seconds_total");
        let mut work = 0u64;
        while value("process_cpu_seconds_total") - before < 0.015 {
            work = std::hint::black_box((0..100_000u64).fold(work, u64::wrapping_add));
        }
        let after = value("process_cpu_seconds_total");
        assert!(after - before < 0.9, "in hundredths: {before} → {after}");
        assert!(value("process_resident_memory_bytes") > 1e6);
        assert!(value("process_threads") >= 1.0 && value("process_open_fds") >= 3.0 && value("process_max_fds") >= 3.0);
        assert!(value("process_start_time_seconds") > 1.6e9);
    }
}
