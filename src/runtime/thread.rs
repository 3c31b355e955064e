//! io: named threads of our own, with a niceness

use std::thread::JoinHandle;
use std::time::Duration;

/// Niceness of threads that own a model: whatever must be on time (sound, picture, the runtime) runs before them.
pub const MODEL_NICENESS: i32 = 10;

/// Starts a thread called `name` (15 bytes show in `top`) at `niceness` (0 = as the process). Without the right to
/// change it the thread runs at the process's own.
pub fn spawn<T: Send + 'static>(name: &str, niceness: i32, body: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(move || {
            if niceness != 0 {
                set_niceness(niceness);
            }
            body()
        })
        .expect("the system lets a process of ours have a few dozen threads")
}

/// Has the calling thread sleep. Only for threads of our own: an async worker never rests.
pub fn rest(duration: Duration) {
    if !duration.is_zero() {
        std::thread::sleep(duration);
    }
}

/// On Linux the niceness of "process" 0 is that of the calling thread alone.
fn set_niceness(niceness: i32) {
    // SAFETY: setpriority reads its three integers and touches no memory of ours.
    let result = unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, niceness) };
    if result != 0 {
        tracing::debug!(niceness, "the system refused to change a thread's niceness");
    }
}
