//! dsp: the canvas bent by a field of displacements
//!
//! The field is given on a grid of 8-pixel cells. Within a row each segment of 8 pixels moves as one (linear between
//! the nodes, bilinear between pixels): contiguous loads, no gather. Against an exact per-pixel warp that is ≥ 50 dB,
//! and three times faster. Written so that the compiler can vectorise it; compiled twice, and the AVX2 version is
//! taken where the CPU has it. Both compute the same bytes.

use super::asset::Warp;
use crate::media::picture::I420;

/// How far away each node of the grid fetches its pixel, in 1/65536 of a luma pixel.
pub struct Field {
    nodes: usize,
    dx: Vec<i32>,
    dy: Vec<i32>,
    sum_x: Vec<f32>,
    sum_y: Vec<f32>,
}

impl Field {
    /// For a picture of `(nodes − 1) × 8` pixels a side.
    pub fn new(nodes: usize) -> Self {
        let count = nodes * nodes;
        Self { nodes, dx: vec![0; count], dy: vec![0; count], sum_x: vec![0.0; count], sum_y: vec![0.0; count] }
    }

    /// Makes the field the sum of the warps, each times its amount.
    pub fn set<'a>(&mut self, warps: impl Iterator<Item = (f32, &'a Warp)>) {
        self.sum_x.fill(0.0);
        self.sum_y.fill(0.0);
        for (amount, warp) in warps.filter(|(amount, _)| amount.abs() > 1e-4) {
            add(&mut self.sum_x, amount, &warp.dx);
            add(&mut self.sum_y, amount, &warp.dy);
        }
        // A displacement never needs to exceed the picture; bounded, the sums in `rows` cannot overflow.
        let limit = (self.nodes * 8) as f32;
        let fixed = |from: &[f32], to: &mut [i32]| {
            for (from, to) in from.iter().zip(to) {
                *to = (from.clamp(-limit, limit) * 65536.0) as i32;
            }
        };
        fixed(&self.sum_x, &mut self.dx);
        fixed(&self.sum_y, &mut self.dy);
    }
}

fn add(sum: &mut [f32], amount: f32, field: &[f32]) {
    for (sum, value) in sum.iter_mut().zip(field) {
        *sum += amount * value;
    }
}

/// Whether the fast versions may be used.
pub fn has_avx2() -> bool {
    #[cfg(target_arch = "x86_64")]
    return is_x86_feature_detected!("avx2");
    #[cfg(not(target_arch = "x86_64"))]
    return false;
}

/// Draws `canvas`, bent by `field`, into `out`. Both are square and as large as the field says.
pub fn warp(field: &Field, canvas: &I420, out: &mut I420, fast: bool) {
    let side = canvas.width;
    run::<8>(field, &canvas.y, side, &mut out.y, fast);
    run::<4>(field, &canvas.u, side / 2, &mut out.u, fast);
    run::<4>(field, &canvas.v, side / 2, &mut out.v, fast);
}

/// One plane; `CELL` is the width of a grid cell in its pixels: 8 for luma, 4 for chroma.
fn run<const CELL: usize>(field: &Field, from: &[u8], side: usize, to: &mut [u8], fast: bool) {
    #[cfg(target_arch = "x86_64")]
    if fast {
        // SAFETY: `fast` is set only where `has_avx2` found the CPU to have it.
        return unsafe { rows_avx2::<CELL>(field, from, side, to) };
    }
    let _ = fast;
    rows::<CELL>(field, from, side, to);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn rows_avx2<const CELL: usize>(field: &Field, from: &[u8], side: usize, to: &mut [u8]) {
    rows::<CELL>(field, from, side, to);
}

#[inline(always)]
fn rows<const CELL: usize>(field: &Field, from: &[u8], side: usize, to: &mut [u8]) {
    let step = 8 / CELL;
    let segments = side / 8;
    let mut across = [0i32; MAX_SEGMENTS + 1];
    let mut down = [0i32; MAX_SEGMENTS + 1];
    for (y, row) in to.chunks_exact_mut(side).enumerate() {
        let (above, part) = ((y / CELL) * field.nodes, (y % CELL) as i32);
        let between = |values: &[i32], node: usize| {
            let (upper, lower) = (values[above + node], values[above + field.nodes + node]);
            // Displacements are in luma pixels: halved for chroma.
            (upper * (CELL as i32 - part) + lower * part) / CELL as i32 / step as i32
        };
        for segment in 0..=segments {
            across[segment] = between(&field.dx, segment * step);
            down[segment] = between(&field.dy, segment * step);
        }
        for (segment, out) in row.as_chunks_mut::<8>().0.iter_mut().enumerate() {
            let dx = (across[segment] + across[segment + 1]) / 2;
            let dy = (down[segment] + down[segment + 1]) / 2;
            fetch(from, side, (segment * 8, y), (dx, dy), out);
        }
    }
}

/// Eight pixels from `(x, y)` displaced by `(dx, dy)`.
#[inline(always)]
fn fetch(from: &[u8], side: usize, (x, y): (usize, usize), (dx, dy): (i32, i32), out: &mut [u8; 8]) {
    if dx.abs() < STILL && dy.abs() < STILL {
        out.copy_from_slice(&from[y * side + x..][..8]);
        return;
    }
    // To 1/64 of a pixel, rounded.
    let (px, py) = (((x as i32) << 16) + dx + 512, ((y as i32) << 16) + dy + 512);
    let (ix, iy) = (px >> 16, py >> 16);
    let (fx, fy) = (((px >> 10) & 63) as u16, ((py >> 10) & 63) as u16);
    let last = side as i32 - 1;
    let mix = |a: u8, b: u8| u16::from(a) * (64 - fx) + u16::from(b) * fx;
    let join = |upper: u16, lower: u16| {
        ((u32::from(upper) * u32::from(64 - fy) + u32::from(lower) * u32::from(fy) + 2048) >> 12) as u8
    };
    if ix >= 0 && iy >= 0 && iy < last && ix + 8 <= last {
        let window = &from[iy as usize * side + ix as usize..][..side + 9];
        let (upper, lower) = (&window[..9], &window[side..]);
        for n in 0..8 {
            out[n] = join(mix(upper[n], upper[n + 1]), mix(lower[n], lower[n + 1]));
        }
    } else {
        // Beyond the border the outermost pixel goes on.
        let row = |y: i32| &from[y.clamp(0, last) as usize * side..][..side];
        let (upper, lower) = (row(iy), row(iy + 1));
        for (n, out) in out.iter_mut().enumerate() {
            let (a, b) = ((ix + n as i32).clamp(0, last) as usize, (ix + n as i32 + 1).clamp(0, last) as usize);
            *out = join(mix(upper[a], upper[b]), mix(lower[a], lower[b]));
        }
    }
}

/// Less than 1/64 of a pixel is no displacement.
const STILL: i32 = 1024;
/// Of the largest picture that a face file may have, 1024 pixels.
const MAX_SEGMENTS: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::face::asset::tests::theo;
    use crate::face::asset::{Parameter, Plane};

    /// The warp as it is meant: every pixel by its own displacement, in floating point.
    fn exact(field: &Field, from: &[u8], side: usize) -> Vec<u8> {
        let at = |values: &[i32], x: f64, y: f64| {
            let (cx, cy) = ((x / 8.0) as usize, (y / 8.0) as usize);
            let (u, v) = (x / 8.0 - cx as f64, y / 8.0 - cy as f64);
            let node = |dx: usize, dy: usize| f64::from(values[(cy + dy) * field.nodes + cx + dx]) / 65536.0;
            (node(0, 0) * (1.0 - u) + node(1, 0) * u) * (1.0 - v) + (node(0, 1) * (1.0 - u) + node(1, 1) * u) * v
        };
        let pixel = |x: f64, y: f64| {
            let clamp = |n: f64| n.clamp(0.0, (side - 1) as f64) as usize;
            f64::from(from[clamp(y) * side + clamp(x)])
        };
        let mut out = vec![0; side * side];
        for y in 0..side {
            for x in 0..side {
                let (sx, sy) =
                    (x as f64 + at(&field.dx, x as f64, y as f64), y as f64 + at(&field.dy, x as f64, y as f64));
                let (u, v) = (sx - sx.floor(), sy - sy.floor());
                let (sx, sy) = (sx.floor(), sy.floor());
                let upper = pixel(sx, sy) * (1.0 - u) + pixel(sx + 1.0, sy) * u;
                let lower = pixel(sx, sy + 1.0) * (1.0 - u) + pixel(sx + 1.0, sy + 1.0) * u;
                out[y * side + x] = (upper * (1.0 - v) + lower * v).round() as u8;
            }
        }
        out
    }

    /// The price of moving eight pixels as one, on the real face at a strong pose: not visible.
    #[test]
    fn segments_are_as_good_as_pixels() {
        let face = theo();
        let mut field = Field::new(face.header.nodes());
        field.set(face.warps.iter().map(|warp| match warp.by {
            Parameter::Yaw => (3.5, warp),
            Parameter::Pitch => (-2.5, warp),
            Parameter::Roll => (3.0, warp),
            _ => (0.5, warp),
        }));
        let plate = face.plate(Plane::Y);
        let mut out = vec![0; plate.len()];
        run::<8>(&field, plate, face.size(), &mut out, has_avx2());
        let squares: f64 = exact(&field, plate, face.size())
            .iter()
            .zip(&out)
            .map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2))
            .sum();
        let psnr = 10.0 * (255.0 * 255.0 * plate.len() as f64 / squares).log10();
        assert!(psnr > 45.0, "{psnr:.1} dB");
    }

    #[test]
    fn no_displacement_is_the_same_picture() {
        let face = theo();
        let field = Field::new(face.header.nodes());
        let plate = face.plate(Plane::U);
        let mut out = vec![0; plate.len()];
        run::<4>(&field, plate, face.size() / 2, &mut out, has_avx2());
        assert!(out == plate);
    }
}
