//! dsp: one person's picture at one moment
//!
//! Mouth and eye patches are mixed into a copy of the plate (the canvas), and the canvas is bent by the pose straight
//! into the encoder's picture. No allocation after `new`. About 0.5 ms for 512×512 with AVX2.

use std::sync::Arc;

use super::asset::{Face, LIDS, Parameter, Plane};
use super::blend::{Mix, blend};
use super::expression::{Expression, Lips, Pose};
use super::warp::{Field, has_avx2, warp};
use crate::media::picture::I420;

/// Draws a face. `Send`: it travels with its job.
pub struct Portrait {
    face: Arc<Face>,
    canvas: I420,
    field: Field,
    fast: bool,
}

impl Portrait {
    pub fn new(face: Arc<Face>) -> Self {
        let mut canvas = I420::black(face.size(), face.size());
        canvas.y.copy_from_slice(face.plate(Plane::Y));
        canvas.u.copy_from_slice(face.plate(Plane::U));
        canvas.v.copy_from_slice(face.plate(Plane::V));
        let field = Field::new(face.header.nodes());
        Self { face, canvas, field, fast: has_avx2() }
    }

    pub fn face(&self) -> &Arc<Face> {
        &self.face
    }

    /// Draws into `out`, which takes the size of the face.
    pub fn draw(&mut self, expression: &Expression, out: &mut I420) {
        let size = self.face.size();
        if (out.width, out.height) != (size, size) {
            *out = I420::black(size, size);
        }
        let Expression { lips, pose } = expression;
        blend(&self.face, &self.face.mouth, mouth(&self.face, lips, pose.smile), &mut self.canvas, self.fast);
        blend(&self.face, &self.face.eyes, eyes(&self.face, pose), &mut self.canvas, self.fast);
        self.field.set(self.face.warps.iter().map(|warp| (amount(pose, warp.by), warp)));
        warp(&self.field, &self.canvas, out, self.fast);
    }
}

/// Which mouth patches show: a point in the grid of jaw and shape, under the closures.
fn mouth(face: &Face, lips: &Lips, smile: f32) -> Mix {
    let map = &face.mouth_map;
    let mut mix = Mix::default();
    let closures = [
        (map.press, lips.press),
        (map.lip_to_teeth, lips.lip_to_teeth),
        (map.tongue_out, lips.tongue_out * 0.9),
        (map.tongue_up, lips.tongue_up * 0.6),
        (map.sibilant, lips.sibilant * 0.8),
    ];
    let total: f32 = closures.iter().map(|closure| closure.1).sum();
    let open = 1.0 - total.min(1.0);
    for (index, weight) in closures {
        mix.add(index, weight / total.max(1.0));
    }
    // Full jaw is the widest that was baked.
    let levels = &face.header.jaw_levels;
    let (jaw, jaw_part) = between(levels, lips.jaw.clamp(0.0, 1.0) * levels[levels.len() - 1]);
    let (shape, shape_part) = between(&[-1.0, -0.5, 0.0, 1.0], lips.shape);
    for (jaw, by_jaw) in [(jaw, 1.0 - jaw_part), (jaw + 1, jaw_part)] {
        for (shape, by_shape) in [(shape, 1.0 - shape_part), (shape + 1, shape_part)] {
            mix.add(map.grid[jaw][shape], open * by_jaw * by_shape);
        }
    }
    // A smile shows in a mouth at rest; speech takes its place.
    let smile = smile.clamp(0.0, 0.9) * (1.0 - 3.0 * lips.jaw).max(0.0) * (1.0 - total).max(0.0);
    mix.scale(1.0 - smile);
    mix.add(map.smile, smile);
    mix
}

/// Which eye patches show: a lid position, and while the eyes are open a direction between two rings of eight.
fn eyes(face: &Face, pose: &Pose) -> Mix {
    let map = &face.eye_map;
    let mut mix = Mix::default();
    let (lid, lid_part) = between(&face.header.lid_levels, pose.lid);
    if lid > 0 {
        mix.add(map.lids[lid], 1.0 - lid_part);
        mix.add(map.lids[lid + 1], lid_part);
        return mix;
    }
    mix.add(map.lids[1], lid_part);
    let open = 1.0 - lid_part;
    let (x, y) = (pose.gaze_x.clamp(-1.0, 1.0), pose.gaze_y.clamp(-1.0, 1.0));
    let column = if x < 0.0 { 0 } else { 2 };
    let row = if y > 0.0 { 0 } else { 2 };
    // The distance chooses between straight ahead, half and full; along a ring, between the axis and the diagonal.
    let distance = x.abs().max(y.abs());
    let (ring, ring_part) = between(&[0.0, 0.5, 1.0], distance);
    let diagonal = if distance > 0.0 { x.abs().min(y.abs()) / distance } else { 0.0 };
    let axis = if x.abs() >= y.abs() { (1, column) } else { (row, 1) };
    for (ring, weight) in [(ring, open * (1.0 - ring_part)), (ring + 1, open * ring_part)] {
        match ring.checked_sub(1).and_then(|ring| map.gaze.get(ring)) {
            None => mix.add(map.lids[0], weight),
            Some(ring) => {
                mix.add(ring[axis.0][axis.1], weight * (1.0 - diagonal));
                mix.add(ring[row][column], weight * diagonal);
            }
        }
    }
    mix
}

/// The step `n` of rising `levels` in which `value` lies, and how far (0–1) it is on the way from level `n` to `n + 1`.
fn between(levels: &[f32], value: f32) -> (usize, f32) {
    let n = levels[1..levels.len() - 1].iter().take_while(|level| value >= **level).count();
    (n, ((value - levels[n]) / (levels[n + 1] - levels[n])).clamp(0.0, 1.0))
}

fn amount(pose: &Pose, by: Parameter) -> f32 {
    match by {
        Parameter::Yaw => pose.yaw,
        Parameter::Pitch => pose.pitch,
        Parameter::Roll => pose.roll,
        Parameter::Breath => pose.breath,
        Parameter::Lean => pose.lean,
        Parameter::BrowInner => pose.brow_inner,
        Parameter::BrowLeft => pose.brow_left,
        Parameter::BrowRight => pose.brow_right,
        Parameter::BrowDown => pose.brow_down,
        Parameter::Cheek => pose.cheek,
    }
}

// A blink passes through all of them; `eyes` counts on there being more than two.
const _: () = assert!(LIDS > 2);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::face::asset::tests::theo;

    fn expressions() -> Vec<Expression> {
        let mut rng = fastrand::Rng::with_seed(11);
        let mut all = vec![Expression::default()];
        for _ in 0..40 {
            let mut signed = |limit: f32| (rng.f32() * 2.0 - 1.0) * limit;
            let lips = Lips {
                jaw: signed(1.0).abs(),
                shape: signed(1.0),
                press: signed(1.5).max(0.0).min(1.0),
                sibilant: signed(1.5).max(0.0).min(1.0),
                ..Lips::REST
            };
            let pose = Pose {
                yaw: signed(4.0),
                pitch: signed(4.0),
                roll: signed(6.0),
                breath: signed(1.0),
                lean: signed(1.0).abs(),
                lid: signed(1.0).max(0.0),
                gaze_x: signed(1.0),
                gaze_y: signed(1.0),
                smile: signed(1.0).abs(),
                ..Pose::default()
            };
            all.push(Expression { lips, pose });
        }
        all
    }

    /// Both code paths draw the same picture (required: ≥ 50 dB; they are the same source, so: exactly).
    #[test]
    fn simd_and_scalar_agree() {
        let (mut fast, mut slow) = (Portrait::new(theo()), Portrait::new(theo()));
        slow.fast = false;
        let (mut a, mut b) = (I420::black(2, 2), I420::black(2, 2));
        for expression in expressions() {
            fast.draw(&expression, &mut a);
            slow.draw(&expression, &mut b);
            assert!(a == b, "{expression:?}");
        }
    }

    /// A picture depends on its expression alone, not on those drawn before it.
    #[test]
    fn pictures_do_not_depend_on_history() {
        let mut worn = Portrait::new(theo());
        let (mut a, mut b) = (I420::black(2, 2), I420::black(2, 2));
        for expression in expressions() {
            worn.draw(&expression, &mut a);
        }
        for expression in expressions().into_iter().take(5) {
            worn.draw(&expression, &mut a);
            Portrait::new(theo()).draw(&expression, &mut b);
            assert!(a == b);
        }
    }

    /// Between any two neighbouring expressions the picture changes a little, never a lot: no patch pops in.
    #[test]
    fn transitions_are_smooth() {
        let mut portrait = Portrait::new(theo());
        let (mut a, mut b) = (I420::black(512, 512), I420::black(512, 512));
        let at = |n: i32| {
            let x = n as f32 / 200.0;
            let lips = Lips { jaw: x, shape: 1.0 - 2.0 * x, ..Lips::REST };
            let pose = Pose { lid: x, gaze_x: 1.0 - 2.0 * x, gaze_y: x * x, smile: 1.0 - x, ..Pose::default() };
            Expression { lips, pose }
        };
        portrait.draw(&at(0), &mut a);
        for n in 1..=200 {
            portrait.draw(&at(n), &mut b);
            let worst = a.y.iter().zip(&b.y).map(|(a, b)| a.abs_diff(*b)).max().unwrap();
            assert!(worst < 40, "a pixel jumped by {worst} at step {n}");
            std::mem::swap(&mut a, &mut b);
        }
    }

    #[test]
    fn between_finds_its_place() {
        let levels = [0.0, 0.1, 0.3, 1.0];
        assert_eq!(between(&levels, -5.0), (0, 0.0));
        assert_eq!(between(&levels, 0.05), (0, 0.5));
        assert_eq!(between(&levels, 0.1), (1, 0.0));
        assert_eq!(between(&levels, 0.65).0, 2);
        assert_eq!(between(&levels, 9.0), (2, 1.0));
    }
}
