//! io: the faces in this program, each read once and shared by all who show it

use std::sync::Arc;

use super::asset::{Face, FaceError};

/// Who can be drawn.
#[derive(Clone)]
pub struct Gallery(Arc<[Arc<Face>]>);

/// The committed faces. ASSET-LICENSES.md says where they come from.
const FACES: [&[u8]; 1] = [include_bytes!("../../assets/theo.face")];

impl Gallery {
    /// The faces that the program carries. An error means that it was built from a damaged file.
    pub fn embedded() -> Result<Self, FaceError> {
        let faces = FACES.iter().map(|bytes| Ok(Arc::new(Face::parse(*bytes)?)));
        Ok(Self(faces.collect::<Result<_, FaceError>>()?))
    }

    /// The face called `name` in its file and in voices.yaml.
    pub fn get(&self, name: &str) -> Option<Arc<Face>> {
        self.0.iter().find(|face| face.name() == name).cloned()
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|face| face.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every embedded face is whole, free to use, known by one name, and has a still for the page.
    #[test]
    fn our_faces_are_whole_and_shared() {
        let gallery = Gallery::embedded().expect("the committed faces are valid");
        assert!(gallery.names().any(|name| name == "theo"));
        for name in gallery.names() {
            let face = gallery.get(name).unwrap();
            assert!(Arc::ptr_eq(&face, &gallery.get(name).unwrap()));
            assert_eq!(face.licence(), "CC0-1.0");
            let still = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("web/faces/{name}.jpg"));
            assert!(still.is_file(), "{} is missing", still.display());
        }
        assert!(gallery.get("nobody").is_none());
    }
}
