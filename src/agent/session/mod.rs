//! door: lays the rooms of one call in a row, and ends them
//!
//! In: an offer and a permit ([`calls`], which the front desk starts calls through). Out: an answer, and a call that runs until
//! somebody hangs up. [`line`] knows all rooms and joins them by lanes; [`ending`] says why a call ended and sees to it that
//! nothing is left. [`services`] is what all calls share.

pub mod calls;
mod ending;
pub mod line;
pub mod services;
