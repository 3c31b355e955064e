//! io: the recorded speech that callers say: read once, encoded once, shared by all

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;

use super::scenario::From;
use super::utterance::Utterance;

/// A folder of recordings with its `transcripts.json`.
#[derive(Debug)]
pub struct Speech {
    folder: PathBuf,
    clips: Vec<Clip>,
    read: HashMap<String, Arc<Spoken>>,
}

/// One line of `transcripts.json`.
#[derive(Clone, Debug, Deserialize)]
struct Clip {
    file: String,
    set: String,
}

/// One recording.
#[derive(Debug)]
pub struct Spoken {
    /// As packets, for calls.
    pub utterance: Utterance,
    /// As it was recorded, full scale ±1.0, mono, for engines.
    pub pcm: Vec<f32>,
    pub hz: u32,
}

#[derive(Debug, thiserror::Error)]
pub enum SpeechError {
    #[error(
        "there is no recorded speech in {folder} ({source}): `script/models --tests` fetches it, --speech DIR names another folder"
    )]
    Missing { folder: PathBuf, source: std::io::Error },
    #[error("{path}: {what}")]
    Unusable { path: PathBuf, what: String },
    #[error("{folder} has no recordings of the set {set}")]
    EmptySet { folder: PathBuf, set: String },
}

impl Speech {
    /// Reads what there is to say in `folder`. A folder without `transcripts.json` is one of files that are named.
    pub fn open(folder: &Path) -> Result<Self, SpeechError> {
        let missing = |source| SpeechError::Missing { folder: folder.to_owned(), source };
        std::fs::read_dir(folder).map_err(missing)?;
        let path = folder.join("transcripts.json");
        let clips = match std::fs::read_to_string(&path) {
            Ok(text) => {
                serde_json::from_str(&text).map_err(|error| SpeechError::Unusable { path, what: error.to_string() })?
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => vec![],
            Err(error) => return Err(missing(error)),
        };
        Ok(Self { folder: folder.to_owned(), clips, read: HashMap::new() })
    }

    /// The recordings that a scenario names, in its order; each file is read and encoded at most once.
    pub fn take(&mut self, from: &From) -> Result<Vec<Arc<Spoken>>, SpeechError> {
        let files: Vec<String> = match from {
            From::Files(files) => files.clone(),
            From::Set(set) => self.clips.iter().filter(|clip| clip.set == *set).map(|clip| clip.file.clone()).collect(),
        };
        if let (From::Set(set), true) = (from, files.is_empty()) {
            return Err(SpeechError::EmptySet { folder: self.folder.clone(), set: set.clone() });
        }
        files.iter().map(|file| self.one(file)).collect()
    }

    fn one(&mut self, file: &str) -> Result<Arc<Spoken>, SpeechError> {
        if let Some(spoken) = self.read.get(file) {
            return Ok(spoken.clone());
        }
        let path = self.folder.join(file);
        let unusable = |what: String| SpeechError::Unusable { path: path.clone(), what };
        let (pcm, hz) = samples(&path).map_err(|error| unusable(error.to_string()))?;
        let utterance = Utterance::encode(&pcm, hz).map_err(|error| unusable(error.to_string()))?;
        if utterance.speech_length().is_zero() {
            return Err(unusable("nothing is to be heard in it".into()));
        }
        let spoken = Arc::new(Spoken { utterance, pcm, hz });
        self.read.insert(file.to_owned(), spoken.clone());
        Ok(spoken)
    }
}

/// The samples of a mono WAV of integers or floats, and its rate.
fn samples(path: &Path) -> Result<(Vec<f32>, u32), hound::Error> {
    let mut wav = hound::WavReader::open(path)?;
    let spec = wav.spec();
    if spec.channels != 1 || !(8_000..=192_000).contains(&spec.sample_rate) {
        return Err(hound::Error::FormatError("a recording is mono, of 8 to 192 kHz"));
    }
    let pcm = match spec.sample_format {
        hound::SampleFormat::Float => wav.samples::<f32>().collect::<Result<_, _>>()?,
        hound::SampleFormat::Int => {
            let full = (1u64 << (spec.bits_per_sample - 1)) as f32;
            wav.samples::<i32>().map(|sample| sample.map(|sample| sample as f32 / full)).collect::<Result<_, _>>()?
        }
    };
    Ok((pcm, spec.sample_rate))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Recordings of either kind are read; each once, and what cannot be said is named.
    #[test]
    fn recordings_are_read_once() {
        let folder = std::env::temp_dir().join(format!("visavis-speech-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let write = |name: &str, spec: hound::WavSpec, level: f32| {
            let mut wav = hound::WavWriter::create(folder.join(name), spec).unwrap();
            for n in 0..8000 {
                let sample = level * (n as f32 * 0.1).sin();
                match spec.sample_format {
                    hound::SampleFormat::Float => wav.write_sample(sample).unwrap(),
                    hound::SampleFormat::Int => wav.write_sample((sample * 32_767.0) as i16).unwrap(),
                }
            }
            wav.finalize().unwrap();
        };
        let int = hound::WavSpec {
            channels: 1,
            sample_rate: 16_000,
            bits_per_sample: 16,
            sample_format: hound::SampleFormat::Int,
        };
        let float = hound::WavSpec { bits_per_sample: 32, sample_format: hound::SampleFormat::Float, ..int };
        write("a.wav", int, 0.5);
        write("b.wav", float, 0.5);
        write("silence.wav", int, 0.0);
        write("stereo.wav", hound::WavSpec { channels: 2, ..int }, 0.5);
        let list = r#"[{"file": "b.wav", "text": "hum", "set": "phrases", "seconds": 1}]"#;
        std::fs::write(folder.join("transcripts.json"), list).unwrap();
        let mut speech = Speech::open(&folder).unwrap();
        let files = |names: &[&str]| From::Files(names.iter().map(|&name| name.to_owned()).collect());
        let [a, b, again] = &speech.take(&files(&["a.wav", "b.wav", "a.wav"])).unwrap()[..] else { panic!("three") };
        assert!(Arc::ptr_eq(a, again) && !Arc::ptr_eq(a, b));
        assert!(a.pcm.iter().zip(&b.pcm).all(|(a, b)| (a - b).abs() < 1e-3), "both kinds of samples mean the same");
        assert!(Arc::ptr_eq(&speech.take(&From::Set("phrases".into())).unwrap()[0], b));
        for (name, said) in [("silence.wav", "heard"), ("stereo.wav", "mono"), ("none.wav", "No such file")] {
            let error = speech.take(&files(&[name])).unwrap_err().to_string();
            assert!(error.contains(name) && error.contains(said), "{error}");
        }
        assert!(speech.take(&From::Set("long".into())).unwrap_err().to_string().contains("long"));
        std::fs::remove_dir_all(&folder).unwrap();
        let error = Speech::open(&folder).unwrap_err().to_string();
        assert!(error.contains("script/models --tests") && error.contains("--speech"), "{error}");
    }
}
