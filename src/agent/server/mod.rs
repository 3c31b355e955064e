//! door: the front desk: admits calls, answers HTTP, owns the media port

pub mod addresses;
pub mod port;
