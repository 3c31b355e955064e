//! io: one person, loaded from a `.face` file
//!
//! ```text
//! 0   8  "VVFACE\r\n"     (the line end shows a file that was mangled as text)
//! 8   4  version, u32 LE  (1)
//! 12  4  length of the header, u32 LE, a multiple of 4
//! 16  …  header, JSON: name, licence, size, cell, jaw_levels, lid_levels, inner_mouth,
//!        mouth {rect, patches}, eyes {rect, patches}, warps
//!     …  the plate, then every mouth patch, then every eye patch: I420, limited range BT.601, planes Y, U, V
//!     …  every warp field: dx, then dy, each (size / cell + 1)² f32 LE, row by row
//! ```
//!
//! A patch replaces its rectangle of the plate. A warp field says, for each node of a grid, from how many pixels away a
//! pixel is fetched per unit of its pose parameter. Rectangles are `[x, y, width, height]` in plate pixels, all even.

use std::borrow::Cow;
use std::ops::Range;

use serde::Deserialize;

/// A person's pictures and warp fields. Shared by all sessions that show the same person.
pub struct Face {
    pub(super) header: Header,
    pixels: Cow<'static, [u8]>,
    plate: Range<usize>,
    pub(super) mouth: Region,
    pub(super) eyes: Region,
    pub(super) mouth_map: MouthMap,
    pub(super) eye_map: EyeMap,
    pub(super) warps: Vec<Warp>,
}

#[derive(Debug, thiserror::Error)]
pub enum FaceError {
    #[error("not a .face file: {0}")]
    Format(String),
    #[error("a .face file of version {0}; this program reads version {VERSION}")]
    Version(u32),
    #[error("the header of the .face file is not valid: {0}")]
    Header(#[from] serde_json::Error),
    #[error("the .face file ends early: {what} needs bytes up to {needed}, there are {found}")]
    Short { what: &'static str, needed: usize, found: usize },
    #[error("the .face file lacks the {region} patch `{name}`")]
    Lacks { region: &'static str, name: String },
}

/// What the file says of itself.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Header {
    pub name: String,
    #[serde(default)]
    pub licence: String,
    pub size: usize,
    pub cell: usize,
    pub jaw_levels: [f32; JAWS],
    pub lid_levels: [f32; LIDS],
    pub inner_mouth: [usize; 4],
    mouth: RegionHeader,
    eyes: RegionHeader,
    warps: Vec<String>,
}

#[derive(Clone, Debug, Deserialize)]
struct RegionHeader {
    rect: [usize; 4],
    patches: Vec<String>,
}

/// A rectangle of the plate, in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rect {
    pub x: usize,
    pub y: usize,
    pub width: usize,
    pub height: usize,
}

/// A rectangle and the pictures that may fill it.
pub(super) struct Region {
    pub rect: Rect,
    names: Vec<String>,
    /// Where the first patch begins; the others follow without gaps.
    first: usize,
}

/// One plane of a patch or of the plate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Plane {
    Y,
    U,
    V,
}

/// The patch of every jaw opening and lip shape, and of every closure.
#[derive(Clone, Copy, Debug)]
pub(super) struct MouthMap {
    /// `[jaw][round, half round, neutral, wide]`
    pub grid: [[usize; SHAPES]; JAWS],
    pub press: usize,
    pub lip_to_teeth: usize,
    pub tongue_out: usize,
    pub tongue_up: usize,
    pub sibilant: usize,
    pub smile: usize,
}

/// The patch of every lid position and direction of gaze.
#[derive(Clone, Copy, Debug)]
pub(super) struct EyeMap {
    /// Open to closed. The first looks straight ahead.
    pub lids: [usize; LIDS],
    /// `[half or full][3 rows: up, level, down][3 columns: left, middle, right]`; the middle of both is `lids[0]`.
    pub gaze: [[[usize; 3]; 3]; 2],
}

pub(super) struct Warp {
    pub by: Parameter,
    /// Pixels per unit, one per node.
    pub dx: Vec<f32>,
    pub dy: Vec<f32>,
}

/// The parameter of a pose that a warp field belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Parameter {
    Yaw,
    Pitch,
    Roll,
    Breath,
    Lean,
    BrowInner,
    BrowLeft,
    BrowRight,
    BrowDown,
    Cheek,
}

pub(super) const JAWS: usize = 5;
pub(super) const SHAPES: usize = 4;
pub(super) const LIDS: usize = 7;

const MAGIC: &[u8; 8] = b"VVFACE\r\n";
const VERSION: u32 = 1;
/// A header is about a kilobyte.
const MAX_HEADER: usize = 64 * 1024;
/// The largest plate: four times the area of what we send.
const MAX_SIZE: usize = 1024;
/// No field moves a pixel further than this per unit (a degree of yaw moves the nose by about 2).
const MAX_SHIFT: f32 = 64.0;

impl Face {
    /// Reads a whole `.face` file. The pixels of a `&'static` one (embedded in the program) are not copied.
    pub fn parse(bytes: impl Into<Cow<'static, [u8]>>) -> Result<Self, FaceError> {
        let bytes = bytes.into();
        let (header, mut at) = read_header(&bytes)?;
        header.check()?;
        let picture = |rect: Rect| rect.width * rect.height * 3 / 2;
        let mut take = |what: &'static str, length: usize| {
            let range = at..at + length;
            at = range.end;
            if range.end <= bytes.len() {
                Ok(range)
            } else {
                Err(FaceError::Short { what, needed: range.end, found: bytes.len() })
            }
        };

        let whole = Rect { x: 0, y: 0, width: header.size, height: header.size };
        let plate = take("the plate", picture(whole))?;
        let mut region = |what, region: &RegionHeader| {
            let rect = region.rect();
            let range = take(what, picture(rect) * region.patches.len())?;
            Ok::<_, FaceError>(Region { rect, names: region.patches.clone(), first: range.start })
        };
        let mouth = region("the mouth", &header.mouth)?;
        let eyes = region("the eyes", &header.eyes)?;
        let nodes = header.nodes() * header.nodes();
        let mut warps = Vec::new();
        for name in &header.warps {
            // A parameter that this program does not know is a face from the future: skipped, like an unknown patch.
            let by = serde_json::from_value(serde_json::Value::from(name.as_str())).ok();
            let dx = field(&bytes[take("a warp field", nodes * 4)?])?;
            let dy = field(&bytes[take("a warp field", nodes * 4)?])?;
            warps.extend(by.map(|by| Warp { by, dx, dy }));
        }
        if at != bytes.len() {
            return Err(FaceError::Format(format!("{} bytes follow its end", bytes.len() - at)));
        }
        let (mouth_map, eye_map) = (MouthMap::find(&mouth)?, EyeMap::find(&eyes)?);
        Ok(Self { header, pixels: bytes, plate, mouth, eyes, mouth_map, eye_map, warps })
    }

    pub fn name(&self) -> &str {
        &self.header.name
    }

    /// The licence of the pictures, as an SPDX expression.
    pub fn licence(&self) -> &str {
        &self.header.licence
    }

    /// Width and height of every picture, in pixels.
    pub fn size(&self) -> usize {
        self.header.size
    }

    /// Where the lips part in a face at rest: what [`super::aperture`] looks at.
    pub fn inner_mouth(&self) -> Rect {
        rect(self.header.inner_mouth)
    }

    pub(super) fn plate(&self, plane: Plane) -> &[u8] {
        let size = self.header.size;
        &self.pixels[self.plate.clone()][plane.range(size * size)]
    }

    pub(super) fn patch(&self, region: &Region, index: usize, plane: Plane) -> &[u8] {
        let area = region.rect.width * region.rect.height;
        &self.pixels[region.first + index * (area * 3 / 2)..][plane.range(area)]
    }
}

impl Plane {
    /// Where the plane lies in a picture of `area` pixels.
    fn range(self, area: usize) -> Range<usize> {
        match self {
            Self::Y => 0..area,
            Self::U => area..area + area / 4,
            Self::V => area + area / 4..area + area / 2,
        }
    }
}

impl RegionHeader {
    fn rect(&self) -> Rect {
        rect(self.rect)
    }
}

fn rect([x, y, width, height]: [usize; 4]) -> Rect {
    Rect { x, y, width, height }
}

impl Header {
    /// Nodes of the warp grid along one side.
    pub fn nodes(&self) -> usize {
        self.size / self.cell + 1
    }

    /// Checks everything that later code relies on, so that no length overflows and no index leaves a plane.
    fn check(&self) -> Result<(), FaceError> {
        let wrong = |why: String| Err(FaceError::Format(why));
        if self.cell != 8 {
            return wrong(format!("its warp cells are {} pixels wide, not 8", self.cell));
        }
        if self.size < 64 || self.size > MAX_SIZE || !self.size.is_multiple_of(16) {
            return wrong(format!("its size is {} pixels, not a multiple of 16 from 64 to {MAX_SIZE}", self.size));
        }
        for (what, r) in
            [("mouth", self.mouth.rect()), ("eyes", self.eyes.rect()), ("inner mouth", rect(self.inner_mouth))]
        {
            let even = [r.x, r.y, r.width, r.height].iter().all(|n| n.is_multiple_of(2));
            let inside = |start: usize, length: usize| length > 0 && start <= self.size && length <= self.size - start;
            if !even || !inside(r.x, r.width) || !inside(r.y, r.height) {
                return wrong(format!("its {what} {r:?} is not an even rectangle inside {0}×{0}", self.size));
            }
        }
        for (what, count) in [("mouth", self.mouth.patches.len()), ("eye", self.eyes.patches.len())] {
            if count > 256 {
                return wrong(format!("it has {count} {what} patches"));
            }
        }
        if self.warps.len() > 64 {
            return wrong(format!("it has {} warp fields", self.warps.len()));
        }
        let rises = |levels: &[f32]| levels[0] == 0.0 && levels.windows(2).all(|pair| pair[0] < pair[1]);
        if !rises(&self.jaw_levels) || !rises(&self.lid_levels) {
            return wrong("its jaw or lid levels do not rise from zero".into());
        }
        Ok(())
    }
}

fn read_header(bytes: &[u8]) -> Result<(Header, usize), FaceError> {
    let short = |what, needed| FaceError::Short { what, needed, found: bytes.len() };
    let (magic, rest) = bytes.split_first_chunk::<8>().ok_or(short("its magic", 8))?;
    if magic != MAGIC {
        return Err(FaceError::Format("it does not begin with VVFACE".into()));
    }
    let (version, rest) = rest.split_first_chunk::<4>().ok_or(short("its version", 12))?;
    let version = u32::from_le_bytes(*version);
    if version != VERSION {
        return Err(FaceError::Version(version));
    }
    let (length, rest) = rest.split_first_chunk::<4>().ok_or(short("its header", 16))?;
    let length = u32::from_le_bytes(*length) as usize;
    if length > MAX_HEADER {
        return Err(FaceError::Format(format!("its header claims {length} bytes")));
    }
    let header = rest.get(..length).ok_or(short("its header", 16 + length))?;
    Ok((serde_json::from_slice(header)?, 16 + length))
}

fn field(bytes: &[u8]) -> Result<Vec<f32>, FaceError> {
    let values: Vec<f32> = bytes.as_chunks::<4>().0.iter().map(|raw| f32::from_le_bytes(*raw)).collect();
    // Written so that NaN fails too.
    if values.iter().all(|value| value.abs() <= MAX_SHIFT) {
        Ok(values)
    } else {
        Err(FaceError::Format(format!("a warp field moves pixels by more than {MAX_SHIFT}")))
    }
}

impl MouthMap {
    fn find(region: &Region) -> Result<Self, FaceError> {
        let find = |name: &str| region.find("mouth", name);
        let mut grid = [[0; SHAPES]; JAWS];
        for (jaw, row) in grid.iter_mut().enumerate() {
            for (index, shape) in row.iter_mut().zip(["round", "half_round", "neutral", "wide"]) {
                *index = find(&format!("jaw{jaw}_{shape}"))?;
            }
        }
        Ok(Self {
            grid,
            press: find("press")?,
            lip_to_teeth: find("lip_to_teeth")?,
            tongue_out: find("tongue_out")?,
            tongue_up: find("tongue_up")?,
            sibilant: find("sibilant")?,
            smile: find("smile")?,
        })
    }
}

impl EyeMap {
    fn find(region: &Region) -> Result<Self, FaceError> {
        let find = |name: &str| region.find("eye", name);
        let mut lids = [0; LIDS];
        for (lid, index) in lids.iter_mut().enumerate() {
            *index = find(&format!("lid{lid}"))?;
        }
        let mut gaze = [[[lids[0]; 3]; 3]; 2];
        let ways = [["up_left", "up", "up_right"], ["left", "", "right"], ["down_left", "down", "down_right"]];
        for (ring, distance) in gaze.iter_mut().zip(["glance", "look"]) {
            for (index, way) in ring.iter_mut().flatten().zip(ways.iter().flatten()) {
                if !way.is_empty() {
                    *index = find(&format!("{distance}_{way}"))?;
                }
            }
        }
        Ok(Self { lids, gaze })
    }
}

impl Region {
    fn find(&self, region: &'static str, name: &str) -> Result<usize, FaceError> {
        self.names
            .iter()
            .position(|known| known == name)
            .ok_or_else(|| FaceError::Lacks { region, name: name.to_owned() })
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::sync::{Arc, OnceLock};

    pub const THEO: &[u8] = include_bytes!("../../assets/theo.face");

    /// The project's own face, parsed once for all tests.
    pub fn theo() -> Arc<Face> {
        static FACE: OnceLock<Arc<Face>> = OnceLock::new();
        FACE.get_or_init(|| Arc::new(Face::parse(THEO).expect("the embedded face is valid"))).clone()
    }

    #[test]
    fn our_face_is_whole() {
        let face = theo();
        assert_eq!((face.name(), face.licence(), face.size()), ("theo", "CC0-1.0", 512));
        assert_eq!(face.warps.len(), 10);
        assert_eq!(face.plate(Plane::Y).len(), 512 * 512);
        assert_eq!(face.patch(&face.mouth, face.mouth_map.press, Plane::V).len(), 104 * 70);
        // Outside of what an expression moves, a patch is the plate.
        let corner = face.patch(&face.eyes, face.eye_map.lids[6], Plane::Y)[0];
        assert_eq!(corner, face.plate(Plane::Y)[face.eyes.rect.y * 512 + face.eyes.rect.x]);
    }

    /// A small valid file, so that damage can be tried often.
    fn small() -> Vec<u8> {
        let name = |f: fn(usize) -> String, count: usize| (0..count).map(f).collect::<Vec<_>>();
        let mut mouth = name(|n| format!("jaw{}_{}", n / 4, ["round", "half_round", "neutral", "wide"][n % 4]), 20);
        mouth.extend(["press", "lip_to_teeth", "tongue_out", "tongue_up", "sibilant", "smile"].map(String::from));
        let mut eyes = name(|n| format!("lid{n}"), 7);
        for way in ["up", "down", "left", "right", "up_left", "up_right", "down_left", "down_right"] {
            eyes.extend([format!("look_{way}"), format!("glance_{way}")]);
        }
        let header = serde_json::json!({
            "name": "small", "size": 64, "cell": 8, "jaw_levels": [0.0, 0.1, 0.2, 0.4, 0.6],
            "lid_levels": [0.0, 0.2, 0.3, 0.5, 0.7, 0.8, 1.0], "inner_mouth": [20, 40, 8, 4],
            "mouth": {"rect": [16, 32, 16, 16], "patches": mouth}, "eyes": {"rect": [16, 16, 16, 8], "patches": eyes},
            "warps": ["yaw", "tail_wag"],
        });
        let text = header.to_string();
        let mut file =
            [&MAGIC[..], &VERSION.to_le_bytes(), &(text.len() as u32).to_le_bytes(), text.as_bytes()].concat();
        let pictures = 64 * 64 * 3 / 2 + 26 * (16 * 16 * 3 / 2) + 23 * (16 * 8 * 3 / 2);
        file.resize(file.len() + pictures + 2 * 2 * 81 * 4, 0);
        file
    }

    /// Unknown warps are a newer face, not a broken one; but each promise that drawing relies on is checked.
    #[test]
    fn a_wrong_file_says_what_is_wrong() {
        assert_eq!(Face::parse(small()).map(|face| face.warps.len()).unwrap(), 1);
        let edited = |from: &str, to: &str| {
            assert_eq!(from.len(), to.len(), "the header keeps its length");
            let file = small();
            let at = file.windows(from.len()).position(|window| window == from.as_bytes()).unwrap();
            let file = [&file[..at], to.as_bytes(), &file[at + from.len()..]].concat();
            Face::parse(file).map(|_| ()).unwrap_err().to_string()
        };
        assert!(edited("VVFACE", "PKFACE").contains("VVFACE"));
        assert!(edited("\"press\"", "\"prass\"").contains("lacks the mouth patch `press`"));
        assert!(edited("\"look_up\"", "\"look_uq\"").contains("lacks the eye patch `look_up`"));
        assert!(edited("[16,32,16,16]", "[16,52,16,16]").contains("even rectangle"));
        assert!(edited("[16,32,16,16]", "[17,32,16,16]").contains("even rectangle"));
        assert!(edited("\"size\":64", "\"size\":96").contains("ends early"));
        assert!(edited("\"cell\":8", "\"cell\":0").contains("cells"));
        assert!(edited("[0.0,0.1,0.2,0.4,0.6]", "[0.0,0.3,0.2,0.4,0.6]").contains("rise"));
        let longer = [small(), vec![0]].concat();
        assert!(Face::parse(longer).map(|_| ()).unwrap_err().to_string().contains("1 bytes follow"));
        let mut poisoned = small();
        let end = poisoned.len();
        poisoned[end - 4..].copy_from_slice(&f32::NAN.to_le_bytes());
        assert!(Face::parse(poisoned).map(|_| ()).unwrap_err().to_string().contains("warp field"));
    }

    proptest! {
        /// A download that broke off is refused, wherever it broke.
        #[test]
        fn a_truncated_file_is_refused(share in 0.0..1.0f64) {
            let mut file = small();
            file.truncate((file.len() as f64 * share) as usize);
            prop_assert!(Face::parse(file).is_err());
        }

        /// Flipped bytes give a face that can be drawn, or an error; never a panic.
        #[test]
        fn damage_never_panics(at in 0usize..2048, flip in 1u8..) {
            let mut file = small();
            file[at] ^= flip;
            if let Ok(face) = Face::parse(file) {
                let face = Arc::new(face);
                let mut out = crate::media::picture::I420::black(face.size(), face.size());
                crate::face::portrait::Portrait::new(face).draw(&Default::default(), &mut out);
            }
        }
    }
}
