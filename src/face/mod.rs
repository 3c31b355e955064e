//! door: a talking head drawn from one file: lips, animator, portrait
//!
//! In: the phones of a turn ([`script::Script`]) and, for each picture, the moment to show ([`animator::Animator`]).
//! Out: an [`expression::Expression`], which [`portrait::Portrait`] draws as I420. Times are seconds, angles degrees.
//! Never: reads a clock, waits, or knows what a call is. Start with `lips.rs`, then `animator.rs`, then `portrait.rs`.
//!
//! ```text
//! phones, sound ─► Script ─lips at t─┐
//! mood, position, level ─────────► Animator ─Expression─► Portrait (blend patches, warp) ─► I420
//! ```

pub mod animator;
pub mod aperture;
pub mod asset;
mod blend;
pub mod expression;
mod eyes;
pub mod gallery;
pub mod ipa;
pub mod lips;
pub mod portrait;
pub mod script;
mod sway;
mod warp;
