//! door: the only room that spawns, sleeps, owns threads, child processes or lanes
//!
//! [`scope`] owns the tasks of a session and reports how they ended; [`lane`] joins rooms, bounded and measured;
//! [`pool`] is where DSP runs; [`clock`] is the one place that reads the time, so that tests can pause it;
//! [`lag`] measures how late the async threads are; [`child`] is a program of its own that is talked to in lines;
//! [`program`] is a server that we start ourselves; [`chance`] gives words that nobody can guess.

#![allow(clippy::disallowed_methods, reason = "this is the room that the rule sends everybody to")]

pub mod chance;
pub mod child;
pub mod clock;
pub mod lag;
pub mod lane;
pub mod pool;
pub mod program;
pub mod scope;
pub mod thread;
