//! data: what the articulators do for each sound of speech
//!
//! IPA as espeak-ng writes it (and with it Piper and Kokoro). The numbers were tuned by eye and against the measured
//! inner-lip gap of our own baked head; their order follows the phonetics: open vowels drop the jaw, rounded ones
//! bring the lips forward, labials close them.

/// A target of the articulators, and how strongly it pulls against its neighbours.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Target {
    /// 0 closed … 1 wide open.
    pub jaw: f32,
    pub jaw_pull: f32,
    /// −1 round … +1 spread.
    pub shape: f32,
    /// Near 0 for the consonants made behind the lips: the vowels around them show through.
    pub shape_pull: f32,
    pub closure: Option<(Closure, f32)>,
    pub vowel: bool,
}

/// A place where the mouth must be seen to touch, whatever the neighbours want; with it, how firmly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closure {
    /// p, b, m
    Press,
    /// f, v
    LipToTeeth,
    /// th
    TongueOut,
    /// t, d, n, l
    TongueUp,
    /// s, z
    Sibilant,
}

/// Nothing is said: the lips rest on each other.
pub const REST: Target = Target { jaw: 0.0, jaw_pull: 0.9, shape: 0.0, shape_pull: 0.5, closure: None, vowel: false };

/// The target of one IPA letter; `None` for marks, spaces and letters that we do not know.
pub fn target(letter: char) -> Option<Target> {
    use Closure::*;
    Some(match letter {
        'a' | 'ɑ' | 'ɐ' => vowel(0.80, 1.0, 0.10, 0.6),
        'æ' => vowel(0.75, 1.0, 0.50, 0.8),
        'ʌ' => vowel(0.55, 1.0, 0.0, 0.6),
        'ə' => vowel(0.32, 0.8, 0.0, 0.4),
        'ɚ' | 'ɜ' | 'ɝ' | 'ø' | 'œ' => vowel(0.32, 0.9, -0.40, 0.8),
        'ɛ' | 'e' => vowel(0.48, 1.0, 0.45, 0.8),
        'ɪ' | 'ᵻ' | 'ɨ' => vowel(0.27, 0.9, 0.45, 0.7),
        'i' => vowel(0.18, 1.0, 0.85, 1.0),
        'y' => vowel(0.20, 1.0, -0.80, 1.0),
        'ɔ' | 'ɒ' => vowel(0.62, 1.0, -0.60, 1.0),
        'o' => vowel(0.48, 1.0, -0.85, 1.0),
        'u' => vowel(0.22, 1.0, -1.0, 1.1),
        'ʊ' => vowel(0.27, 0.9, -0.70, 0.9),

        'p' | 'b' | 'm' => closing(Press, 1.0, 0.05, 0.7, 0.0, 0.02),
        'f' | 'v' => closing(LipToTeeth, 1.0, 0.10, 0.7, 0.0, 0.10),
        'θ' | 'ð' => closing(TongueOut, 0.85, 0.18, 0.7, 0.1, 0.15),
        't' | 'd' | 'n' | 'ɾ' => closing(TongueUp, 0.35, 0.12, 0.5, 0.15, 0.08),
        'l' | 'ɫ' => closing(TongueUp, 0.75, 0.25, 0.4, 0.1, 0.08),
        's' | 'z' => closing(Sibilant, 0.80, 0.03, 0.9, 0.35, 0.35),

        'ʃ' | 'ʒ' | 'ɕ' | 'ʑ' => consonant(0.08, 0.9, -0.75, 0.9),
        'k' | 'ɡ' | 'g' | 'ŋ' | 'x' | 'ɣ' | 'q' | 'c' | 'ɲ' => consonant(0.22, 0.3, 0.0, 0.03),
        'h' | 'ɦ' | 'ʔ' => consonant(0.30, 0.05, 0.0, 0.02),
        'ɹ' | 'r' | 'ɻ' | 'ʁ' | 'ʀ' => consonant(0.14, 0.5, -0.50, 0.6),
        'w' | 'ʍ' | 'ɥ' => consonant(0.12, 0.7, -1.0, 1.1),
        'j' => consonant(0.15, 0.5, 0.5, 0.5),
        _ => return None,
    })
}

const fn vowel(jaw: f32, jaw_pull: f32, shape: f32, shape_pull: f32) -> Target {
    Target { jaw, jaw_pull, shape, shape_pull, closure: None, vowel: true }
}

const fn consonant(jaw: f32, jaw_pull: f32, shape: f32, shape_pull: f32) -> Target {
    Target { jaw, jaw_pull, shape, shape_pull, closure: None, vowel: false }
}

const fn closing(closure: Closure, firmness: f32, jaw: f32, jaw_pull: f32, shape: f32, shape_pull: f32) -> Target {
    Target { jaw, jaw_pull, shape, shape_pull, closure: Some((closure, firmness)), vowel: false }
}
