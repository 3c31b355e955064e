//! data: time counted in samples of a rate that the type names

use std::fmt;
use std::ops::{Add, AddAssign, Sub};
use std::time::Duration;

/// A length or a position, counted in samples at `HZ` per second. Subtraction saturates at zero: a position never
/// lies before the start of its stream.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Samples<const HZ: u32>(pub u64);

/// The media clock of a session and of all speech: 24 kHz samples.
pub type MediaTime = Samples<24_000>;

impl<const HZ: u32> Samples<HZ> {
    pub const ZERO: Self = Self(0);

    /// The number of samples in `ms` milliseconds, rounded down.
    pub const fn from_ms(ms: u64) -> Self {
        Self(ms * HZ as u64 / 1000)
    }

    /// The number of samples in `duration`, rounded to the nearest.
    pub fn from_duration(duration: Duration) -> Self {
        Self((duration.as_nanos() * u128::from(HZ)).div_ceil(1_000_000_000) as u64)
    }

    /// The number of samples in `seconds`, rounded to the nearest; negative and non-finite seconds are zero.
    pub fn from_secs_f64(seconds: f64) -> Self {
        if seconds.is_finite() && seconds > 0.0 { Self((seconds * f64::from(HZ)).round() as u64) } else { Self(0) }
    }

    pub fn as_secs_f64(self) -> f64 {
        self.0 as f64 / f64::from(HZ)
    }

    /// Whole milliseconds, rounded down.
    pub const fn as_ms(self) -> u64 {
        (self.0 as u128 * 1000 / HZ as u128) as u64
    }

    pub fn as_duration(self) -> Duration {
        Duration::from_nanos((u128::from(self.0) * 1_000_000_000 / u128::from(HZ)) as u64)
    }

    /// The same moment counted at another rate, rounded down.
    pub const fn at_rate<const TO: u32>(self) -> Samples<TO> {
        Samples((self.0 as u128 * TO as u128 / HZ as u128) as u64)
    }
}

impl<const HZ: u32> Add for Samples<HZ> {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl<const HZ: u32> AddAssign for Samples<HZ> {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl<const HZ: u32> Sub for Samples<HZ> {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl<const HZ: u32> fmt::Debug for Samples<HZ> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3}s@{HZ}", self.as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The three clocks of a call agree at every video frame: 24 kHz media, 48 kHz audio RTP, 90 kHz video RTP.
    #[test]
    fn rates_agree_on_the_video_grid() {
        for frame in 0..10_000u64 {
            let at = Samples::<24_000>(frame * 1_600);
            assert_eq!(at.at_rate::<48_000>().0, frame * 3_200);
            assert_eq!(at.at_rate::<90_000>().0, frame * 6_000);
        }
    }

    #[test]
    fn durations_round_trip() {
        for ms in [0, 1, 20, 33, 1_000, 86_400_000] {
            let samples = Samples::<24_000>::from_ms(ms);
            assert_eq!(samples.as_ms(), ms);
            assert_eq!(Samples::<24_000>::from_duration(samples.as_duration()), samples);
        }
    }
}
