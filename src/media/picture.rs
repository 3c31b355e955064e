//! data: one picture as an encoder eats it

/// A planar 4:2:0 picture: `y` is `width × height`, `u` and `v` are a quarter of it each. Both sides are even.
#[derive(Clone, Debug, PartialEq)]
pub struct I420 {
    pub width: usize,
    pub height: usize,
    pub y: Vec<u8>,
    pub u: Vec<u8>,
    pub v: Vec<u8>,
}

impl I420 {
    /// A black picture. `width` and `height` are rounded up to even.
    pub fn black(width: usize, height: usize) -> Self {
        let (width, height) = (width.next_multiple_of(2), height.next_multiple_of(2));
        Self {
            width,
            height,
            y: vec![16; width * height],
            u: vec![128; width * height / 4],
            v: vec![128; width * height / 4],
        }
    }
}
