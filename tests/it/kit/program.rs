//! io: `visavis serve` as a program of its own, so that what it costs is its own alone

use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::speech;
use crate::browser::dies_with_its_parent;

/// A running server; killed on drop.
pub struct Program {
    child: Child,
    /// `http://127.0.0.1:…`
    pub address: String,
    /// From its start until it said that it is ready.
    pub ready_after: Duration,
}

/// What a process and its children have used.
#[derive(Clone, Copy, Debug, Default)]
pub struct Use {
    /// User and system time, milliseconds; the kernel counts in steps of 10.
    pub cpu_ms: f64,
    pub resident_mb: f64,
}

impl Program {
    /// `visavis serve` on loopback with `arguments`, ready. Panics with what it said when it does not come up.
    pub fn serve(arguments: &[&str]) -> Self {
        let began = Instant::now();
        let mut command = Command::new(env!("CARGO_BIN_EXE_visavis"));
        // SAFETY: one system call between fork and exec, which touches no memory.
        unsafe { command.pre_exec(dies_with_its_parent) };
        let mut child = command
            .args(["serve", "--listen", "127.0.0.1:0", "--rtc", "127.0.0.1:0"])
            .args(arguments)
            .env("VISAVIS_MODELS", speech::models())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the binary is built beside the tests");
        let mut said = String::new();
        let mut lines = BufReader::new(child.stdout.take().expect("it is piped"));
        let address = loop {
            let from = said.len();
            if lines.read_line(&mut said).expect("what it says is text") == 0 {
                panic!("it ended with {:?} and said:\n{said}", child.wait());
            }
            if let Some((_, address)) = said[from..].split_once("open http://") {
                break format!("http://{}", address.trim());
            }
        };
        // Nobody reads on: it says nothing more that a full pipe could hold up.
        Self { child, address, ready_after: began.elapsed() }
    }

    pub fn used(&self) -> Use {
        let mut sum = Use::default();
        for entry in std::fs::read_dir("/proc").expect("this is Linux").flatten() {
            let Some(id) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
            // Gone between two looks: nothing to count.
            let Ok(stat) = std::fs::read_to_string(entry.path().join("stat")) else { continue };
            let Some((_, fields)) = stat.rsplit_once(") ") else { continue };
            let fields: Vec<&str> = fields.split(' ').collect();
            // After the name: state, parent, …; utime and stime are fields 14 and 15 of proc(5), resident pages 24.
            let number = |n: usize| fields[n - 3].parse::<f64>().unwrap_or_default();
            if id == self.child.id() || number(4) == f64::from(self.child.id()) {
                sum.cpu_ms += (number(14) + number(15)) * 10.0;
                sum.resident_mb += number(24) * 4096.0 / 1e6;
            }
        }
        sum
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
