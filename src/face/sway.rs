//! core: slow irregular motion: what keeps a head that does nothing from looking frozen

/// A smooth wandering value in about −1…1, a pure function of time and seed.
pub fn sway(t: f64, per_second: f64, seed: u64) -> f32 {
    let x = t * per_second;
    let knot = x.floor();
    let at = |offset: i64| random(seed, knot as i64 + offset);
    let (before, from, to, after) = (at(-1), at(0), at(1), at(2));
    // Catmull–Rom: it passes the knots without stopping at them, as a head does.
    let u = (x - knot) as f32;
    from + 0.5
        * u
        * (to - before + u * (2.0 * before - 5.0 * from + 4.0 * to - after + u * (3.0 * (from - to) + after - before)))
}

/// −1…1, always the same for the same seed and place (SplitMix64's finaliser).
fn random(seed: u64, place: i64) -> f32 {
    let mut x = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ (place as u64).wrapping_mul(0xd1b5_4a32_d192_ed03);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^= x >> 31;
    (x >> 40) as f32 / (1 << 23) as f32 - 1.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_wanders_without_jumps_and_uses_its_range() {
        let values: Vec<f32> = (0..60_000).map(|n| sway(n as f64 / 100.0, 0.5, 7)).collect();
        let step = values.windows(2).map(|pair| (pair[0] - pair[1]).abs()).fold(0.0, f32::max);
        let (low, high) = values.iter().fold((0f32, 0f32), |(low, high), v| (low.min(*v), high.max(*v)));
        assert!(step < 0.03, "a jump of {step} in 10 ms");
        assert!(low < -0.7 && high > 0.7 && low > -1.6 && high < 1.6, "{low}…{high}");
    }
}
