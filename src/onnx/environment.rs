//! io: finds the ONNX Runtime library, keeps the one environment of the process, opens models in it

use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock};

use ort::environment::Environment;
use ort::session::Session;

/// The library's file name in the models folder: as it lies in the `onnxruntime` 1.31.1 wheel (`onnxruntime/capi/`).
pub const LIBRARY: &str = "libonnxruntime.so.1.31.1";

/// The environment of ONNX Runtime. Clones share it.
#[derive(Clone, Debug)]
pub struct Onnx(Environment);

#[derive(Debug, thiserror::Error)]
pub enum OnnxError {
    #[error("no ONNX Runtime at {}: put {LIBRARY} of the onnxruntime 1.31.1 wheel there", .0.display())]
    Missing(PathBuf),
    #[error("cannot load ONNX Runtime from {}: {reason}", path.display())]
    Library { path: PathBuf, reason: String },
    #[error("cannot open the model {}: {reason}", path.display())]
    Model { path: PathBuf, reason: String },
    #[error("a model failed while running: {0}")]
    Run(String),
}

impl From<ort::Error> for OnnxError {
    fn from(error: ort::Error) -> Self {
        Self::Run(format!("{error:?}"))
    }
}

impl Onnx {
    /// Opens `library` when one is named, else [`LIBRARY`] in the folder `models`. ONNX Runtime allows one environment
    /// per process: the first call decides which library it is, later ones get the same environment.
    pub fn open(library: Option<&Path>, models: &Path) -> Result<Self, OnnxError> {
        let _opening = OPENING.lock().expect("no holder of this lock can panic");
        if let Some(environment) = ENVIRONMENT.get() {
            return Ok(Self(environment.clone()));
        }
        let path = library.map_or_else(|| models.join(LIBRARY), Path::to_owned);
        if !path.is_file() {
            return Err(OnnxError::Missing(path));
        }
        // The short form of this error leaves out what the loader said; the debug form has it.
        let environment = ort::init_from(&path)
            .map_err(|error| format!("{error:?}"))
            .and_then(|builder| {
                builder.with_name("visavis").with_telemetry(false).build().map_err(|error| format!("{error:?}"))
            })
            .map_err(|reason| OnnxError::Library { path, reason })?;
        Ok(Self(ENVIRONMENT.get_or_init(|| environment).clone()))
    }

    /// Opens a model for use on one thread, the caller's.
    ///
    /// One thread and no spinning are not a preference: with the library's defaults two threads spin between calls, and
    /// a voice detector that needs 0.1 ms every 32 ms burns a whole core.
    pub fn session(&self, model: &Path) -> Result<Session, OnnxError> {
        let failed = |reason: String| OnnxError::Model { path: model.to_owned(), reason };
        if !model.is_file() {
            return Err(failed("there is no such file".to_owned()));
        }
        let open = || -> ort::Result<Session> {
            Session::builder(&self.0)?
                .with_intra_threads(1)?
                .with_inter_threads(1)?
                .with_intra_op_spinning(false)?
                .with_inter_op_spinning(false)?
                .commit_from_file(model)
        };
        open().map_err(|error| failed(format!("{error:?}")))
    }
}

/// The one global of this house, and not by choice: the library refuses a second environment in a process, even after
/// the first has gone.
static ENVIRONMENT: OnceLock<Environment> = OnceLock::new();
static OPENING: Mutex<()> = Mutex::new(());

#[cfg(test)]
mod tests {
    use super::*;

    /// Whoever lacks a file is told which, and where it belongs.
    #[test]
    fn a_missing_model_says_its_path() {
        let onnx = Onnx::open(None, &crate::onnx::vad::tests::models()).unwrap();
        let error = onnx.session(Path::new("/nowhere/model.onnx")).unwrap_err();
        assert!(error.to_string().contains("/nowhere/model.onnx"), "{error}");
        let error = OnnxError::Missing(PathBuf::from("/models").join(LIBRARY));
        assert!(error.to_string().contains("/models/libonnxruntime.so.1.31.1"), "{error}");
    }
}
