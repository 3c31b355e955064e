//! io: processes of this machine: what one uses, and which one listens at an address

use std::collections::HashSet;
use std::net::SocketAddr;

/// Of one process, or of one and all that descend from it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Used {
    /// User and system time; the kernel counts in steps of 10 ms.
    pub cpu_s: f64,
    pub rss_mb: f64,
}

/// What a process uses, with all that descend from it if `family`; `None` when it is gone.
pub(super) fn used(process: u32, family: bool) -> Option<Used> {
    let mut sum = one(process, family)?;
    let mut open = if family { children(process) } else { vec![] };
    let mut seen = HashSet::from([process]);
    while let Some(process) = open.pop() {
        // A number may be given anew while we look.
        if !seen.insert(process) {
            continue;
        }
        // Gone between two looks: nothing to count.
        let Some(used) = one(process, true) else { continue };
        sum.cpu_s += used.cpu_s;
        sum.rss_mb += used.rss_mb;
        open.extend(children(process));
    }
    Some(sum)
}

/// One process; with the time of its children that have ended and were waited for if `ended`.
fn one(process: u32, ended: bool) -> Option<Used> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    let (_, fields) = stat.rsplit_once(") ")?;
    let fields: Vec<f64> = fields.split(' ').map(|field| field.parse().unwrap_or_default()).collect();
    // After the name: state, parent, …; utime to cstime are fields 14 to 17 of proc(5), resident pages 24. The ended
    // children are in the 16th and 17th.
    let field = |n: usize| fields.get(n - 3).copied().unwrap_or_default();
    let cpu_s = (field(14) + field(15) + if ended { field(16) + field(17) } else { 0.0 }) / TICKS_PER_SECOND;
    Some(Used { cpu_s, rss_mb: field(24) * PAGE_BYTES / 1e6 })
}

/// The processes that a process has started, each by one of its threads. A few small files: this may be read on an async
/// thread. None where the kernel does not tell (CONFIG_PROC_CHILDREN).
fn children(process: u32) -> Vec<u32> {
    let Ok(threads) = std::fs::read_dir(format!("/proc/{process}/task")) else { return vec![] };
    let lists = threads.flatten().filter_map(|thread| std::fs::read_to_string(thread.path().join("children")).ok());
    lists.flat_map(|list| list.split_whitespace().filter_map(|child| child.parse().ok()).collect::<Vec<_>>()).collect()
}

/// The process that listens at `address` on this machine, if we may see it.
pub(super) fn listener(address: SocketAddr) -> Option<u32> {
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

#[cfg(test)]
mod tests {
    use super::*;

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

    /// What a process started counts with it, and what that started.
    #[test]
    fn a_family_is_counted_together() {
        let script = "sh -c 'echo; read nothing; :' ; :";
        let mut shell = std::process::Command::new("sh");
        shell.args(["-c", script]).stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped());
        let mut shell = shell.spawn().unwrap();
        // The inner one has begun when it says something.
        let mut said = [0];
        std::io::Read::read_exact(shell.stdout.as_mut().unwrap(), &mut said).unwrap();
        let (alone, family) = (used(shell.id(), false).unwrap(), used(shell.id(), true).unwrap());
        assert!(family.rss_mb > 1.2 * alone.rss_mb, "{family:?} {alone:?}");
        drop(shell.stdin.take());
        shell.wait().unwrap();
    }
}
