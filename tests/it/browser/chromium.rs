//! io: a Chromium of our own: started headless in a folder of its own, killed with all its children on drop

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;

use super::Page;
use super::devtools::DevTools;

/// How a browser is started.
#[derive(Default)]
pub struct Launch<'a> {
    /// A WAV that Chromium's own fake microphone plays in a loop. Without one it beeps once a second.
    pub microphone_file: Option<&'a Path>,
    /// `getUserMedia` is refused, as if the user had said no.
    pub microphone_denied: bool,
}

pub struct Chromium {
    process: Child,
    profile: PathBuf,
    devtools: Arc<DevTools>,
}

/// A browser that has not opened its port by then never will. Long: other tests may hold both cores.
const START: Duration = Duration::from_secs(60);
/// Below the server it talks to, which has deadlines.
const NICENESS: &str = "15";

impl Chromium {
    /// Starts `$CHROME`, or Debian's Chromium. Panics, with what the browser said, when it does not start.
    pub async fn launch(launch: Launch<'_>) -> Self {
        let program = std::env::var_os("CHROME").unwrap_or_else(|| "/usr/bin/chromium".into());
        let profile = new_folder();
        let said = std::fs::File::create(profile.join("said.txt")).unwrap();
        let mut command = Command::new("nice");
        command.args(["-n", NICENESS]).arg(&program).args(FLAGS);
        command.arg(format!("--user-data-dir={}", profile.display()));
        // Its own caches and crash reports too stay in the folder that goes.
        command.env("HOME", &profile).env("XDG_CONFIG_HOME", &profile).env("XDG_CACHE_HOME", &profile);
        // Chromium does not run its sandbox as root, as tests in a container are.
        // SAFETY: reads a number of this process.
        if unsafe { libc::geteuid() } == 0 {
            command.arg("--no-sandbox");
        }
        if !launch.microphone_denied {
            command.arg("--use-fake-ui-for-media-stream");
        }
        if let Some(file) = launch.microphone_file {
            command.arg(format!("--use-file-for-fake-audio-capture={}", file.display()));
        }
        command.arg("about:blank").stdin(Stdio::null()).stdout(Stdio::null()).stderr(said).process_group(0);
        // A test that is killed cannot clean up.
        // SAFETY: one system call between fork and exec, which touches no memory.
        unsafe { command.pre_exec(dies_with_its_parent) };
        let mut process = command.spawn().unwrap_or_else(|e| panic!("cannot start {program:?} (set CHROME): {e}"));
        let address = match debugging_address(&profile, &mut process).await {
            Ok(address) => address,
            Err(why) => {
                let said = std::fs::read_to_string(profile.join("said.txt")).unwrap_or_default();
                panic!("{program:?}: {why}; it said:\n{said}");
            }
        };
        Self { devtools: DevTools::connect(&address).await, process, profile }
    }

    /// A new tab with nothing in it. What it wants to hear or be told before it loads, say before [`Page::open`].
    pub async fn page(&self) -> Page {
        let target = self.devtools.call(None, "Target.createTarget", json!({ "url": "about:blank" })).await;
        let target = target["targetId"].as_str().expect("a target has an id");
        let attached = json!({ "targetId": target, "flatten": true });
        let session = self.devtools.call(None, "Target.attachToTarget", attached).await;
        Page::attach(self.devtools.clone(), session["sessionId"].as_str().expect("a session has an id").into()).await
    }
}

impl Drop for Chromium {
    fn drop(&mut self) {
        // SAFETY: the group is our own: `process_group(0)` made it, and its leader has not been waited for yet.
        unsafe { libc::kill(-(self.process.id() as i32), libc::SIGKILL) };
        let _ = self.process.wait();
        let _ = std::fs::remove_dir_all(&self.profile);
    }
}

/// Chromium writes the port that it took, and its path, into its profile.
async fn debugging_address(profile: &Path, process: &mut Child) -> Result<String, String> {
    let deadline = Instant::now() + START;
    while Instant::now() < deadline {
        let text = std::fs::read_to_string(profile.join("DevToolsActivePort")).unwrap_or_default();
        if let Some((port, path)) = text.split_once('\n') {
            return Ok(format!("ws://127.0.0.1:{port}{}", path.trim()));
        }
        if let Ok(Some(status)) = process.try_wait() {
            return Err(format!("ended with {status}"));
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Err(format!("no debugging port after {START:?}"))
}

/// For `pre_exec`: the kernel ends a child whose parent has gone.
pub fn dies_with_its_parent() -> std::io::Result<()> {
    // SAFETY: sets a flag of the calling process.
    match unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) } {
        0 => Ok(()),
        _ => Err(std::io::Error::last_os_error()),
    }
}

fn new_folder() -> PathBuf {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let folder = std::env::temp_dir().join(format!("visavis-browser-{}-{number}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

const FLAGS: [&str; 19] = [
    "--headless",
    "--remote-debugging-port=0",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    // Nothing of it may call home: the machine may have no way out.
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-domain-reliability",
    "--disable-quic",
    "--disable-sync",
    "--no-first-run",
    "--no-default-browser-check",
    // A tab in the background draws and counts time like one in front.
    "--disable-background-timer-throttling",
    "--disable-renderer-backgrounding",
    "--disable-backgrounding-occluded-windows",
    // Sound starts without a click, and a call may stay on this machine.
    "--autoplay-policy=no-user-gesture-required",
    "--allow-loopback-in-peer-connection",
    "--use-fake-device-for-media-stream",
    "--hide-scrollbars",
    "--window-size=1280,800",
];
