//! dsp: patches mixed by weight into the canvas
//!
//! Written so that the compiler can vectorise it; compiled twice, and the AVX2 version is taken where the CPU has it.
//! Both compute the same bytes.

use super::asset::{Face, Plane, Rect, Region};
use crate::media::picture::I420;

/// Which patches of a region show, and how much. Fixed memory.
#[derive(Clone, Copy, Debug, Default)]
pub struct Mix {
    parts: [(usize, f32); 16],
    len: usize,
}

impl Mix {
    /// Adds `weight` of the patch `index`. Beyond 16 parts (no face has so many) and for nothing: ignored.
    pub fn add(&mut self, index: usize, weight: f32) {
        if weight > 0.0 && self.len < self.parts.len() {
            self.parts[self.len] = (index, weight);
            self.len += 1;
        }
    }

    /// Everything so far counts `share` as much.
    pub fn scale(&mut self, share: f32) {
        for part in &mut self.parts[..self.len] {
            part.1 *= share;
        }
    }

    /// The heaviest [`LAYERS`] parts, in 256ths that sum to 256.
    fn layers(mut self) -> Layers {
        let parts = &mut self.parts[..self.len];
        parts.sort_unstable_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        let parts = &parts[..parts.len().min(LAYERS)];
        let total: f32 = parts.iter().map(|part| part.1).sum();
        let mut layers = Layers { of: [(0, 0); LAYERS], len: 0 };
        let mut left = 256;
        for (index, weight) in parts.iter().skip(1) {
            let weight = (weight / total * 256.0).round() as u16;
            // A 64th of a patch moves no pixel by more than its noise.
            if weight >= 4 {
                layers.of[layers.len + 1] = (*index, weight);
                layers.len += 1;
                left -= weight;
            }
        }
        // The heaviest takes the rest, so that rounding neither lightens nor darkens the skin.
        layers.of[0] = (parts.first().map_or(0, |part| part.0), left);
        layers.len += 1;
        layers
    }
}

/// More never differ visibly: a mouth lies between four grid points and one closure or two.
const LAYERS: usize = 6;

struct Layers {
    of: [(usize, u16); LAYERS],
    len: usize,
}

/// Puts the mix of the region's patches in its place on the canvas.
pub fn blend(face: &Face, region: &Region, mix: Mix, canvas: &mut I420, fast: bool) {
    let layers = mix.layers();
    let rect = region.rect;
    let half = Rect { x: rect.x / 2, y: rect.y / 2, width: rect.width / 2, height: rect.height / 2 };
    let side = canvas.width;
    for (plane, rect, side, canvas) in [
        (Plane::Y, rect, side, &mut canvas.y),
        (Plane::U, half, side / 2, &mut canvas.u),
        (Plane::V, half, side / 2, &mut canvas.v),
    ] {
        let patch = |n: usize| (face.patch(region, layers.of[n].0, plane), layers.of[n].1);
        match layers.len {
            1 => run(canvas, side, rect, [patch(0)], fast),
            2 => run(canvas, side, rect, [patch(0), patch(1)], fast),
            3 => run(canvas, side, rect, [patch(0), patch(1), patch(2)], fast),
            4 => run(canvas, side, rect, [patch(0), patch(1), patch(2), patch(3)], fast),
            5 => run(canvas, side, rect, [patch(0), patch(1), patch(2), patch(3), patch(4)], fast),
            _ => run(canvas, side, rect, [patch(0), patch(1), patch(2), patch(3), patch(4), patch(5)], fast),
        }
    }
}

fn run<const N: usize>(canvas: &mut [u8], side: usize, rect: Rect, patches: [(&[u8], u16); N], fast: bool) {
    #[cfg(target_arch = "x86_64")]
    if fast {
        // SAFETY: `fast` is set only where the CPU was found to have AVX2 (`warp::has_avx2`).
        return unsafe { rows_avx2(canvas, side, rect, patches) };
    }
    let _ = fast;
    rows(canvas, side, rect, patches);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn rows_avx2<const N: usize>(canvas: &mut [u8], side: usize, rect: Rect, patches: [(&[u8], u16); N]) {
    rows(canvas, side, rect, patches);
}

#[inline(always)]
fn rows<const N: usize>(canvas: &mut [u8], side: usize, rect: Rect, patches: [(&[u8], u16); N]) {
    let width = rect.width;
    for row in 0..rect.height {
        let to = &mut canvas[(rect.y + row) * side + rect.x..][..width];
        let from = patches.map(|(pixels, weight)| (&pixels[row * width..][..width], weight));
        if let [(only, _)] = from.as_slice() {
            to.copy_from_slice(only);
            continue;
        }
        let whole = width - width % 16;
        for at in (0..whole).step_by(16) {
            let mut sums = [128u16; 16];
            for (pixels, weight) in from {
                for (sum, pixel) in sums.iter_mut().zip(&pixels[at..at + 16]) {
                    // 256 × 255 + 128 just fits.
                    *sum += u16::from(*pixel) * weight;
                }
            }
            for (to, sum) in to[at..at + 16].iter_mut().zip(sums) {
                *to = (sum >> 8) as u8;
            }
        }
        for at in whole..width {
            let sum: u16 = from.iter().map(|(pixels, weight)| u16::from(pixels[at]) * weight).sum();
            to[at] = ((sum + 128) >> 8) as u8;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// However the weights fall, a mix of equal pictures is that picture.
    #[test]
    fn weights_always_sum_to_one() {
        let mut rng = fastrand::Rng::with_seed(5);
        for _ in 0..2000 {
            let mut mix = Mix::default();
            for index in 0..rng.usize(1..20) {
                mix.add(index, rng.f32().powi(4));
            }
            let layers = mix.layers();
            assert_eq!(layers.of[..layers.len].iter().map(|layer| u32::from(layer.1)).sum::<u32>(), 256);
        }
        assert_eq!(Mix::default().layers().of[0].1, 256);
    }
}
