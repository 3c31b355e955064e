//! data: what a face does at one moment: the articulators of the mouth, and the pose of everything else

/// The mouth, as articulators rather than visemes: they mix. All 0–1 but `shape`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Lips {
    /// How far the jaw is open; 0.8 is an open "ah".
    pub jaw: f32,
    /// −1 rounded ("oo") … 0 … +1 spread ("ee").
    pub shape: f32,
    /// Lips pressed together (p, b, m).
    pub press: f32,
    /// Lower lip at the upper teeth (f, v).
    pub lip_to_teeth: f32,
    /// Tongue between the teeth (th).
    pub tongue_out: f32,
    /// Tongue behind the upper teeth (l, t, d, n).
    pub tongue_up: f32,
    /// Teeth together, lips apart (s, z).
    pub sibilant: f32,
}

impl Lips {
    /// At rest, closed.
    pub const REST: Self =
        Self { jaw: 0.0, shape: 0.0, press: 0.0, lip_to_teeth: 0.0, tongue_out: 0.0, tongue_up: 0.0, sibilant: 0.0 };

    /// Everything `share` of the way from rest (0) to these lips (1).
    pub fn faded(self, share: f32) -> Self {
        Self {
            jaw: self.jaw * share,
            shape: self.shape * share,
            press: self.press * share,
            lip_to_teeth: self.lip_to_teeth * share,
            tongue_out: self.tongue_out * share,
            tongue_up: self.tongue_up * share,
            sibilant: self.sibilant * share,
        }
    }

    /// How far the lips are apart, 0–1, as these articulators command it: what a measured opening must correlate with.
    pub fn opening(&self) -> f32 {
        // The gap that each closure leaves, as a share of that of an open jaw (from the baked pictures).
        let closures = [
            (self.press, 0.0),
            (self.lip_to_teeth, 0.17),
            (self.tongue_out * 0.9, 0.30),
            (self.tongue_up * 0.6, 0.45),
            (self.sibilant * 0.8, 0.20),
        ];
        let total: f32 = closures.iter().map(|closure| closure.0).sum();
        let left: f32 = closures.iter().map(|(amount, gap)| amount * gap / total.max(1.0)).sum();
        left + (1.0 - total).max(0.0) * self.jaw.clamp(0.0, 1.0)
    }
}

/// Head, eyes and brows. Angles in degrees; the rest 0–1 (or −1–1 where it says so).
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Pose {
    /// Turned to the side, ±4 at most: beyond, the outline of the jaw tears.
    pub yaw: f32,
    /// Chin down is positive, ±4.
    pub pitch: f32,
    /// Tilted to a shoulder, ±6.
    pub roll: f32,
    /// −1 breathed out … +1 breathed in.
    pub breath: f32,
    /// Leaned towards the viewer.
    pub lean: f32,
    /// 0 open … 1 closed.
    pub lid: f32,
    /// −1 left … +1 right, as the viewer sees it.
    pub gaze_x: f32,
    /// −1 down … +1 up.
    pub gaze_y: f32,
    pub brow_inner: f32,
    pub brow_left: f32,
    pub brow_right: f32,
    pub brow_down: f32,
    pub cheek: f32,
    pub smile: f32,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Expression {
    pub lips: Lips,
    pub pose: Pose,
}

/// 0 below 0, 1 above 1, and between them without a corner.
pub(super) fn smoothstep(x: f32) -> f32 {
    let x = x.clamp(0.0, 1.0);
    x * x * (3.0 - 2.0 * x)
}
