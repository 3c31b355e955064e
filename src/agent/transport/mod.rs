//! door: datagrams and events on one side, the session's language on the other
pub mod film;
pub mod realtime;
pub mod shutter;
