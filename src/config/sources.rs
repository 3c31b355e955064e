//! io: gathers the layers: files, environment, flags

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::error::{ConfigError, Origin};
use super::layers::Layers;
use super::models;
use super::reader::Reader;
use super::settings::{Config, voices_file};
use super::voices::Voices;

/// The shipped defaults, comments and all.
pub(super) const DEFAULTS: &str = include_str!("../../configs/visavis.toml");
/// Read when no file is named, where there is one.
const USUAL_FILE: &str = "configs/visavis.toml";

/// What a configuration is made from. The default is the defaults alone: no file, no environment, no flag.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// A file that must be there.
    pub file: Option<PathBuf>,
    /// Read without a `file`, where it is there. Without this no file is looked for, not even the voices' usual one.
    pub usual_file: Option<PathBuf>,
    pub env: BTreeMap<String, String>,
    /// The later wins.
    pub flags: Vec<Flag>,
}

/// A flag that sets a key, such as `--listen` for `server.listen`.
#[derive(Clone, Debug)]
pub struct Flag {
    /// As the user typed it.
    pub flag: &'static str,
    /// `section.key`.
    pub key: String,
    pub value: String,
}

/// A configuration, and what to tell the user about how it came to be.
#[derive(Clone, Debug)]
pub struct Loaded {
    pub config: Config,
    /// Every key as TOML that can be read back, with a comment where it came from; without secrets.
    pub effective: String,
    /// Things that are probably not meant, such as a variable that nobody knows.
    pub warnings: Vec<String>,
}

impl Sources {
    /// This process's environment, the usual file, `file` and `flags`.
    pub fn of_process(file: Option<PathBuf>, flags: Vec<Flag>) -> Self {
        let env: BTreeMap<_, _> =
            std::env::vars_os().filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?))).collect();
        let file = file.or_else(|| env.get("VISAVIS_CONFIG").filter(|f| !f.is_empty()).map(PathBuf::from));
        Self { file, usual_file: Some(PathBuf::from(USUAL_FILE)), env, flags }
    }

    /// Reads everything; the error lists all that is wrong.
    pub fn load(&self) -> Result<Loaded, ConfigError> {
        let mut layers = Layers::new(DEFAULTS);
        let mut warnings = Vec::new();
        if let Some((path, text)) = self.text()? {
            layers.file(&path, &text);
        }
        self.environment(&mut layers, &mut warnings);
        for flag in &self.flags {
            layers.word(&flag.key, &flag.value, Origin::Flag(flag.flag.to_owned()));
        }
        self.openai_key_alone(&mut layers);

        let mut problems = layers.take_problems();
        let (path, named) = voices_file(&layers);
        let voices = match named || self.usual_file.is_some() {
            true => Voices::load(&path, named),
            false => Ok(Voices::built_in()),
        };
        let voices = voices.unwrap_or_else(|error| {
            problems.extend(error.problems);
            Voices::built_in()
        });
        let mut reader = Reader::new(&layers, problems);
        let config = Config::read(&mut reader, voices, models::usual(|name| self.env.get(name).cloned()));
        let config = reader.finish(config)?;
        Ok(Loaded { config, effective: super::effective::effective(&layers), warnings })
    }

    fn text(&self) -> Result<Option<(PathBuf, String)>, ConfigError> {
        let read = |path: &Path| {
            let at = || Origin::File { path: path.to_owned(), line: None };
            std::fs::read_to_string(path).map_err(|e| ConfigError::one(at(), format!("cannot be read: {e}")))
        };
        match (&self.file, &self.usual_file) {
            (Some(path), _) => Ok(Some((path.clone(), read(path)?))),
            (None, Some(path)) if path.exists() => Ok(Some((path.clone(), read(path)?))),
            _ => Ok(None),
        }
    }

    fn environment(&self, layers: &mut Layers, warnings: &mut Vec<String>) {
        let names: Vec<String> = layers.names().map(str::to_owned).collect();
        let long: BTreeMap<String, &str> = names
            .iter()
            .map(|name| (format!("VISAVIS_{}", name.replace('.', "_").to_uppercase()), name.as_str()))
            .collect();
        for (variable, value) in self.env.iter().filter(|(name, _)| name.starts_with("VISAVIS_")) {
            let short = SHORT.iter().find(|(short, _)| short == variable).map(|(_, name)| *name);
            match short.or_else(|| long.get(variable).copied()) {
                // An empty variable is how shells and compose files say "not set".
                Some(_) if value.is_empty() => {}
                Some(name) => layers.word(name, value, Origin::Env(variable.clone())),
                None if OTHERS.contains(&variable.as_str()) => {}
                None => warnings.push(format!("{variable} is set, but no setting has that name")),
            }
        }
    }

    /// `OPENAI_API_KEY` without a word about where the language model is means OpenAI. The key never goes anywhere else.
    fn openai_key_alone(&self, layers: &mut Layers) {
        const KEY: &str = "OPENAI_API_KEY";
        let text = |layers: &Layers, name: &str| layers.get(name).value.as_str().unwrap_or_default().to_owned();
        let scripted = text(layers, "engines.mode") == "scripted";
        let Some(key) = self.env.get(KEY).filter(|key| !key.is_empty()) else { return };
        if scripted || !text(layers, "llm.url").is_empty() {
            return;
        }
        layers.word("llm.api_key", key, Origin::Env(KEY.to_owned()));
        for (name, from) in [
            ("llm.url", "llm.openai_url"),
            ("llm.model", "llm.openai_model"),
            ("llm.reasoning_effort", "llm.openai_reasoning_effort"),
        ] {
            if text(layers, name).is_empty() {
                layers.word(name, &text(layers, from), Origin::Env(KEY.to_owned()));
            }
        }
    }
}

impl Config {
    /// The defaults: no file, no environment, no flag.
    pub fn defaults() -> Self {
        Sources::default().load().expect("the shipped defaults are allowed: a test loads them").config
    }
}

/// Variables that people type, and the keys they set.
const SHORT: [(&str, &str); 7] = [
    ("VISAVIS_LISTEN", "server.listen"),
    ("VISAVIS_MAX_SESSIONS", "server.max_sessions"),
    ("VISAVIS_RTC", "rtc.listen"),
    ("VISAVIS_PUBLIC_IP", "rtc.public_ip"),
    ("VISAVIS_ENGINES", "engines.mode"),
    ("VISAVIS_MODELS", "engines.models"),
    ("VISAVIS_LOG", "log.filter"),
];

/// Variables of ours that are no settings: the config file itself, and what the scripts understand.
const OTHERS: [&str; 2] = ["VISAVIS_CONFIG", "VISAVIS_CACHE"];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::settings::{Chat, Dialect, Place};

    fn env(pairs: &[(&str, &str)]) -> Sources {
        let env = pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        Sources { env, ..Sources::default() }
    }

    fn with_file(text: &str) -> Layers {
        let mut layers = Layers::new(DEFAULTS);
        layers.file(Path::new("my.toml"), text);
        layers
    }

    /// All that is wrong with a file, as the user sees it.
    fn problems(text: &str) -> String {
        let mut layers = with_file(text);
        let problems = layers.take_problems();
        let mut reader = Reader::new(&layers, problems);
        let config = Config::read(&mut reader, Voices::built_in(), PathBuf::new());
        reader.finish(config).expect_err("this file is wrong").to_string()
    }

    /// The shipped file is the defaults: every key of it is read by the program and no other, and each is explained.
    #[test]
    fn the_shipped_file_and_the_program_agree() {
        let layers = Layers::new(DEFAULTS);
        let mut reader = Reader::new(&layers, Vec::new());
        let config = Config::read(&mut reader, Voices::built_in(), PathBuf::from("visavis/models"));
        assert_eq!(reader.unread(), ["voices.file"], "voices.file alone is read elsewhere");
        assert_eq!(reader.finish(config).expect("defaults are allowed"), Config::defaults());

        let mut explained = false;
        for (n, line) in DEFAULTS.lines().enumerate() {
            match line.chars().next() {
                Some('#') => explained = true,
                Some('[') => {}
                // A key may share the comment of the key above it: they are explained together.
                Some(_) => assert!(explained && line.contains(" = "), "line {}: {line} is not explained", n + 1),
                None => explained = false,
            }
        }
    }

    /// The numbers that other documents and other programs rely on.
    #[test]
    fn settled_defaults() {
        let config = Config::defaults();
        assert_eq!(config.server.listen.to_string(), "127.0.0.1:8080");
        assert_eq!(config.server.max_sessions, 4);
        assert_eq!(config.rtc.listen.to_string(), "0.0.0.0:8443");
        assert_eq!((config.rtc.public_ip, config.rtc.idle_timeout.as_secs()), (None, 8));
        assert_eq!(
            (&config.stt.place, &config.tts.place, &config.llm.place),
            (&Place::Embedded, &Place::Embedded, &Place::Embedded)
        );
        assert_eq!(config.stt.dialect, Dialect::Visavis);
        assert_eq!(
            (config.turn.threshold, config.turn.prefix_padding.as_millis(), config.turn.silence_duration.as_millis()),
            (0.5, 300, 500)
        );
        assert_eq!((config.video.fps, config.audio.complexity), (15, 9));
    }

    /// A mistake is told with file, line, key and what is allowed; all mistakes at once.
    #[test]
    fn mistakes_name_file_line_key_and_what_is_allowed() {
        let said = problems(
            "[turn]\nsilence_duration_ms = 50\nsilence = 3\n\n[video]\nfps = 25.5\n[engines]\nmode = \"magic\"\n\
             [serve]\nlisten = \"x\"\n[server]\nlisten = \"8080\"\nallow_origins = [1]\n[stt]\nurl = \"gpu:8090\"\ntoken = 7\n",
        );
        let mut lines: Vec<_> = said.lines().collect();
        lines.sort_unstable();
        let expected = [
            "my.toml:10: there is no section [serve]; allowed are server, rtc, engines, stt, tts, llm, turn, video, audio, voices, scripted, log",
            "my.toml:12: [server] listen = \"8080\": allowed is an address and a port, such as \"127.0.0.1:8080\" or \"[::1]:8080\"",
            "my.toml:13: [server] allow_origins = [1]: allowed is a list of texts",
            "my.toml:15: [stt] url = \"gpu:8090\": allowed is a URL that begins with ws:// or wss:// or http:// or https://",
            "my.toml:16: [stt] token = (not shown): allowed is a text in quotes",
            "my.toml:2: [turn] silence_duration_ms = 50: allowed is 100 to 10000",
            "my.toml:3: [turn] has no key `silence`; allowed are threshold, prefix_padding_ms, silence_duration_ms",
            "my.toml:6: [video] fps = 25.5: allowed is a whole number",
            "my.toml:8: [engines] mode = \"magic\": allowed is \"embedded\" or \"scripted\"",
        ];
        assert_eq!(lines, expected);
    }

    /// Text that is no TOML is told by line too, and so is a key outside every section.
    #[test]
    fn broken_toml_is_told_by_line() {
        assert!(problems("[turn]\nthreshold =\n").starts_with("my.toml:2: "));
        assert_eq!(
            problems("\nlisten = \"a\"\n"),
            "my.toml:2: `listen` stands outside a section; write [section] above it"
        );
        assert!(
            problems("[video]\nfps = 7\n")
                .contains("my.toml:2: [video] fps = 7: allowed is one of 5, 6, 8, 10, 12, 15, 16, 20, 24, 25, 30")
        );
    }

    /// Flags win over the environment, the environment over the file, the file over the defaults.
    #[test]
    fn the_stronger_layer_wins() {
        let folder = std::env::temp_dir().join(format!("visavis-config-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let file = folder.join("my.toml");
        std::fs::write(&file, "[server]\nmax_sessions = 7\n[video]\nfps = 10\n[scripted]\nheard = [\"yes\", \"no\"]\n")
            .unwrap();
        let mut sources = env(&[
            ("VISAVIS_MAX_SESSIONS", "8"),
            ("VISAVIS_RTC_LISTEN", "127.0.0.1:9"),
            ("VISAVIS_VIDEO_BITRATE_KBPS", ""),
        ]);
        sources.file = Some(file.clone());
        sources.flags = vec![Flag { flag: "--rtc", key: "rtc.listen".into(), value: "127.0.0.1:10".into() }];
        let loaded = sources.load().unwrap();
        let config = &loaded.config;
        assert_eq!((config.server.max_sessions, config.video.fps, config.rtc.listen.port()), (8, 10, 10));
        assert_eq!(config.scripted.heard, ["yes", "no"]);
        assert!(loaded.effective.contains(&format!("fps = 10  # {}:4\n", file.display())));
        assert!(loaded.effective.contains("max_sessions = 8  # VISAVIS_MAX_SESSIONS\n"));
        assert!(loaded.effective.contains("listen = \"127.0.0.1:10\"  # --rtc\n"));

        // What is printed as in force means the same when it is read.
        std::fs::write(&file, &loaded.effective).unwrap();
        let again = Sources { file: Some(file), ..Sources::default() }.load().unwrap();
        assert_eq!(again.config, loaded.config);
        std::fs::remove_dir_all(&folder).unwrap();
    }

    /// Words from variables are read as their key's kind; what does not fit is told with the variable's name.
    #[test]
    fn variables_are_checked_like_the_file() {
        let loaded = env(&[
            ("VISAVIS_VIDEO_ENABLED", "0"),
            ("VISAVIS_TURN_THRESHOLD", "1e-1"),
            ("VISAVIS_SCRIPTED_REPLIES", "yes, no,"),
            ("VISAVIS_MODELS", "/m"),
            ("VISAVIS_TYPO", "1"),
            ("VISAVIS_STT_URL", "https://gpu:8090/"),
        ])
        .load()
        .unwrap();
        assert!(!loaded.config.video.enabled);
        assert_eq!((loaded.config.turn.threshold, loaded.config.scripted.replies.len()), (0.1, 2));
        assert_eq!(loaded.config.engines.models, PathBuf::from("/m"));
        assert_eq!(loaded.warnings, ["VISAVIS_TYPO is set, but no setting has that name"]);
        assert!(matches!(&loaded.config.stt.place, Place::Remote(speech) if speech.url == "wss://gpu:8090"));

        let wrong =
            env(&[("VISAVIS_VIDEO_FPS", "many"), ("VISAVIS_PUBLIC_IP", "home")]).load().unwrap_err().to_string();
        assert!(wrong.contains("VISAVIS_VIDEO_FPS: [video] fps = \"many\": allowed is a whole number"), "{wrong}");
        assert!(wrong.contains("VISAVIS_PUBLIC_IP: [rtc] public_ip = \"home\": allowed is an IP address"), "{wrong}");
    }

    /// The key alone means OpenAI; with a word about where the model is, or scripted engines, it goes nowhere.
    #[test]
    fn an_openai_key_alone_means_openai() {
        let key = ("OPENAI_API_KEY", "sk-secret");
        let loaded = env(&[key]).load().unwrap();
        let Place::Remote(chat) = &loaded.config.llm.place else { panic!("the key was not used") };
        assert_eq!((chat.url.as_str(), chat.model.as_deref()), ("https://api.openai.com/v1", Some("gpt-6-luna")));
        assert_eq!(chat.api_key.as_ref().map(|k| k.expose()), Some("sk-secret"));
        assert_eq!(loaded.config.llm.brain().label, "gpt-6-luna at api.openai.com");
        assert!(!format!("{:?}{}", loaded.config, loaded.effective).contains("sk-secret"));

        let elsewhere = env(&[key, ("VISAVIS_LLM_URL", "http://me:pw@host:1/v1")]).load().unwrap().config;
        let expected =
            Chat { url: "http://me:pw@host:1/v1".into(), api_key: None, model: None, reasoning_effort: None };
        assert_eq!(elsewhere.llm.place, Place::Remote(expected));
        assert_eq!(elsewhere.llm.brain().label, "its first model at host:1");
        assert_eq!(env(&[key, ("VISAVIS_ENGINES", "scripted")]).load().unwrap().config.llm.place, Place::Scripted);
        assert!(Config::defaults().llm.brain().demo);
    }

    /// A file that the user named must be there.
    #[test]
    fn a_named_file_must_be_there() {
        let missing = Sources { file: Some("no/such.toml".into()), ..Sources::default() };
        assert!(missing.load().unwrap_err().to_string().starts_with("no/such.toml: cannot be read: "));
        let voices = env(&[("VISAVIS_VOICES_FILE", "no/such.yaml")]);
        assert!(voices.load().unwrap_err().to_string().starts_with("no/such.yaml: voices cannot be read: "));
    }
}
