//! door: a real browser in tests: Chromium, driven over its DevTools protocol
//!
//! [`Chromium`] is the process, [`Page`] a tab of it: open an address, run script and await its promise, wait until
//! something is true, take a picture. [`microphone`] is what the tab hears: speech that a test plays when it wants to,
//! through the very `getUserMedia` that the page calls. Chromium's own fake microphone plays a file in a loop; a test
//! that uses it says so at launch.

mod call;
mod chromium;
mod devtools;
mod harness;
pub mod microphone;
mod page;
pub mod witness;

pub use chromium::{Chromium, Launch, dies_with_its_parent};
pub use page::Page;
