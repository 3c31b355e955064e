//! dsp: how far the mouth is open in a picture, measured from its pixels
//!
//! For tests and measurements of what a viewer really gets: it looks at decoded frames, not at parameters. Inside a
//! mouth are teeth and darkness, both far less red than lips and skin; between dark and bright lies the tongue, which
//! is as red as lips and is left out. It correlates ≥ 0.9 with the commanded opening over speech with a moving head,
//! through VP8 at 300 kb/s (the test below).

use super::asset::Rect;
use crate::media::picture::I420;

/// The share of the mouth's middle columns that shows its inside: 0 closed, about 0.35 wide open. `inner_mouth` is
/// [`super::asset::Face::inner_mouth`] of the face in `picture`, in the same pixels; 0 when it does not lie in it.
pub fn aperture(picture: &I420, inner_mouth: Rect) -> f32 {
    let Rect { x, y, width, height } = inner_mouth;
    if width < 10 || height == 0 || x + width > picture.width || y + height > picture.height {
        return 0.0;
    }
    let luma = |row: usize, column: usize| picture.y[row * picture.width + column];
    let redness = |row: usize, column: usize| {
        let at = (row / 2) * (picture.width / 2) + column / 2;
        i16::from(picture.v[at]) - i16::from(picture.u[at])
    };
    // Most of the rectangle is skin: its medians say how light and how red this face is under its light.
    let everywhere = || (y..y + height).flat_map(|row| (x..x + width).map(move |column| (row, column)));
    let skin_luma = median(everywhere().map(|(row, column)| usize::from(luma(row, column)))) as f32;
    let skin_redness = median(everywhere().map(|(row, column)| (redness(row, column) + 255) as usize)) as f32 - 255.0;

    let middle = x + width * 2 / 5..x + width * 3 / 5;
    let inside = (y..y + height)
        .flat_map(|row| middle.clone().map(move |column| (row, column)))
        .filter(|(row, column)| {
            let luma = f32::from(luma(*row, *column)) / skin_luma.max(1.0);
            let pale = f32::from(redness(*row, *column)) < PALE * skin_redness;
            pale && !(DARK..BRIGHT).contains(&luma)
        })
        .count();
    inside as f32 / (height * middle.len()) as f32
}

/// Above this [`aperture`] a mouth is seen to be open. A closed one measures below a third of it.
pub const OPEN: f32 = 0.016;

/// Less red than this share of the skin: teeth and darkness.
const PALE: f32 = 0.8;
/// Shares of the skin's lightness between which a pale pixel is the shade of a chin rather than the inside of a mouth.
const DARK: f32 = 0.44;
const BRIGHT: f32 = 0.55;

/// The median of values below 512.
fn median(values: impl Iterator<Item = usize>) -> usize {
    let mut counts = [0u32; 512];
    let mut total = 0;
    for value in values {
        counts[value.min(511)] += 1;
        total += 1;
    }
    let mut left = total / 2;
    counts
        .iter()
        .position(|count| {
            let here = left < *count;
            left = left.saturating_sub(*count);
            here
        })
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::face::animator::{Animator, Mood, Voice};
    use crate::face::asset::tests::theo;
    use crate::face::portrait::Portrait;
    use crate::face::script::Script;
    use crate::media::time::Samples;
    use crate::media::vp8::{Decoder, Encoder, Vp8Settings};

    /// Two sentences and a pause, as an engine would time them.
    fn speech() -> (Script, f32) {
        let mut script = Script::new(15.0);
        let mut at = 0.1;
        let text =
            "həloʊ aɪm θiːoʊ ɪts ɡʊd tə miːt juː  pɚfɛkt ðə bɪɡ bɹaʊn fɑːks dʒʌmpt oʊvɚ faɪv vɛɹi flʌfi waɪt ʃiːp";
        for letter in text.chars() {
            let length = match letter {
                'ː' | ' ' => 0.055,
                'a' | 'ɑ' | 'o' | 'ʌ' | 'ʊ' => 0.11,
                _ => 0.07,
            };
            script.phone(letter.encode_utf8(&mut [0; 4]), at, at + length);
            at += length;
        }
        script.phone("", at, at + 2.0);
        (script, at + 2.0)
    }

    fn correlation(pairs: &[(f32, f32)]) -> f32 {
        let count = pairs.len() as f32;
        let mean = |pick: fn(&(f32, f32)) -> f32| pairs.iter().map(pick).sum::<f32>() / count;
        let (a, b) = (mean(|pair| pair.0), mean(|pair| pair.1));
        let sum = |f: &dyn Fn(&(f32, f32)) -> f32| pairs.iter().map(f).sum::<f32>();
        sum(&|p| (p.0 - a) * (p.1 - b)) / (sum(&|p| (p.0 - a).powi(2)) * sum(&|p| (p.1 - b).powi(2))).sqrt()
    }

    /// The yardstick itself: what is measured on received frames is what was commanded, and open and closed are apart.
    #[test]
    fn what_is_measured_is_what_was_commanded() {
        let (script, length) = speech();
        let mut animator = Animator::new(4);
        let mut portrait = Portrait::new(theo());
        let mut encoder = Encoder::new(Vp8Settings { width: 512, height: 512, fps: 15, bitrate_kbps: 300 }).unwrap();
        let mut decoder = Decoder::new().unwrap();
        let (mut drawn, mut seen, mut bytes) = (I420::black(2, 2), I420::black(2, 2), Vec::new());
        let mut pairs = vec![];
        for frame in 0..(length * 15.0) as u64 {
            let now = frame as f64 / 15.0;
            let voice = Some(Voice { script: &script, position: now as f32 });
            let expression = animator.express(now, Mood::Speaking, voice);
            portrait.draw(&expression, &mut drawn);
            encoder.encode(&drawn, Samples(frame * 6_000), false, &mut bytes).unwrap();
            decoder.decode(&bytes, &mut seen).unwrap();
            pairs.push((aperture(&seen, theo().inner_mouth()), expression.lips.opening()));
        }
        let correlation = correlation(&pairs);
        assert!(correlation >= 0.9, "correlation {correlation:.3} over {} frames", pairs.len());
        let closed: Vec<_> = pairs.iter().filter(|pair| pair.1 < 0.03).collect();
        let open: Vec<_> = pairs.iter().filter(|pair| pair.1 > 0.15).collect();
        assert!(closed.len() > 25 && open.len() > 60, "{} closed, {} open", closed.len(), open.len());
        assert!(closed.iter().all(|pair| pair.0 < OPEN), "{closed:?}");
        let seen_open = open.iter().filter(|pair| pair.0 > OPEN).count();
        assert!(seen_open * 100 >= open.len() * 95, "{seen_open} of {} are seen to be open", open.len());
    }

    #[test]
    fn a_rectangle_outside_measures_nothing() {
        let rect = Rect { x: 500, y: 500, width: 100, height: 40 };
        assert_eq!(aperture(&I420::black(512, 512), rect), 0.0);
    }
}
