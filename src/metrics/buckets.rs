//! data: the bounds of the histograms, close together around the deadline that each judges

/// What a caller waits for: half a second feels alive, one second feels slow; the targets lie at 1 and 1.5 s.
pub const ANSWER: &[f64] =
    &[0.02, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.75, 0.9, 1.0, 1.25, 1.5, 2.0, 3.0, 5.0];
/// Time taken / time allowed, and computing / sound made: above 1 it is too late.
pub const SHARE: &[f64] = &[0.01, 0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 0.75, 0.9, 1.0, 1.5, 3.0];
/// From the first sound of an interruption to silence: a fifth of a second goes unnoticed, half a second is talking over.
pub const SILENCE: &[f64] = &[0.02, 0.05, 0.1, 0.12, 0.14, 0.16, 0.18, 0.2, 0.25, 0.3, 0.5, 1.0];
/// Frames after the floor turned away: two are promised.
pub const FRAMES: &[f64] = &[0.0, 1.0, 2.0, 3.0, 5.0, 10.0];
/// Work that has to be done within a 20 ms frame.
pub const FRAME: &[f64] = &[0.0001, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.015, 0.02, 0.04, 0.1, 0.5];
/// Work before a model: a chunk of the detector is 32 ms, a glance of the recognizer comes every 400 ms.
pub const QUEUE: &[f64] = &[0.001, 0.002, 0.005, 0.01, 0.02, 0.032, 0.05, 0.1, 0.2, 0.4, 1.0, 2.0];
/// Round trips: to an engine beside us, in the same rack, in another town.
pub const PING: &[f64] = &[0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0];
/// Setting up: ICE and DTLS take four round trips.
pub const CONNECT: &[f64] = &[0.005, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0];
/// The length of a call.
pub const CALL: &[f64] = &[1.0, 5.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0];
/// Words a second: people speak two and a half to three, so an engine that gives fewer falls behind.
pub const WORDS: &[f64] = &[1.0, 2.0, 2.5, 3.0, 4.0, 6.0, 10.0, 20.0, 40.0, 80.0];
/// Pieces of work that a model runs at once.
pub const BATCH: &[f64] = &[1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 16.0, 24.0, 32.0, 64.0];
/// Items in a lane; the deepest holds 256.
pub const DEPTH: &[f64] = &[1.0, 2.0, 3.0, 4.0, 8.0, 16.0, 32.0, 50.0, 64.0, 125.0, 200.0, 256.0];
/// How late the picture is against its sound: noticed beyond +45 and −125 ms, unacceptable beyond +90 and −185 ms
/// (ITU-R BT.1359-1).
pub const SKEW: &[f64] = &[-0.185, -0.125, -0.06, -0.02, 0.0, 0.02, 0.045, 0.06, 0.09, 0.2, 0.5];
