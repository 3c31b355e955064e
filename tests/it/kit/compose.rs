//! io: docker-compose.yml as this machine can run it: every service a plain process on loopback

use std::collections::BTreeMap;
use std::fs::File;
use std::net::{TcpListener, UdpSocket};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::{Value, json};

use super::speech;
use crate::browser::dies_with_its_parent;

/// The file as docker-compose understands it: variables filled in with their defaults, anchors resolved.
#[derive(Debug, Deserialize)]
pub struct Compose {
    pub services: BTreeMap<String, Service>,
    /// What outlives a container, by name.
    #[serde(default)]
    pub volumes: BTreeMap<String, Value>,
}

#[derive(Debug, Deserialize)]
pub struct Service {
    pub image: String,
    #[serde(default)]
    pub command: Vec<String>,
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
    #[serde(default)]
    pub depends_on: BTreeMap<String, Condition>,
    pub healthcheck: Option<Healthcheck>,
    #[serde(default)]
    pub volumes: Vec<Value>,
    /// Where the image is made, at one service; the others only run it.
    pub build: Option<Value>,
}

#[derive(Debug, Deserialize)]
pub struct Condition {
    pub condition: String,
}

#[derive(Debug, Deserialize)]
pub struct Healthcheck {
    pub test: Vec<String>,
}

pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

impl Compose {
    /// What `docker-compose config` prints of the committed file. Panics with what it said when it does not accept it.
    pub fn read() -> Self {
        let mut program = Command::new("docker-compose");
        let version = Command::new("docker-compose").arg("--version").output();
        if !version.is_ok_and(|output| output.status.success()) {
            program = Command::new("docker");
            program.arg("compose");
        }
        // Nobody's variables but the defaults; `.env` would be whoever runs the tests' own.
        let folder = Folder::new("compose");
        let nothing = folder.0.join("env");
        File::create(&nothing).expect("the folder is ours");
        let path = std::env::var_os("PATH").unwrap_or_default();
        let output = program
            .arg("--env-file")
            .arg(&nothing)
            .arg("config")
            .current_dir(root())
            .env_clear()
            .env("PATH", path)
            .env("HOME", std::env::temp_dir())
            .output()
            .expect("docker-compose is there: script/bootstrap --tests installs it");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "docker-compose does not accept the file:\n{said}");
        serde_saphyr::from_slice(&output.stdout).expect("what it prints is YAML of services")
    }

    /// The services that run our own program.
    pub fn ours(&self) -> impl Iterator<Item = (&str, &Service)> {
        self.services.iter().filter(|(_, service)| service.image == "visavis").map(|(name, s)| (name.as_str(), s))
    }
}

/// Where each port of each service is on this machine: free ones of loopback.
pub struct Ports(BTreeMap<(String, u16), u16>);

impl Ports {
    /// One for every `0.0.0.0:PORT` in a command of ours.
    pub fn free(compose: &Compose) -> Self {
        let mut ports = BTreeMap::new();
        // Held until all are there: else two could be the same.
        let mut held: Vec<(Option<TcpListener>, Option<UdpSocket>)> = vec![];
        for (name, service) in compose.ours() {
            for pair in service.command.windows(2) {
                let Some(port) = pair[1].strip_prefix("0.0.0.0:") else { continue };
                let (tcp, udp) = match pair[0].as_str() {
                    "--rtc" => (None, Some(UdpSocket::bind("127.0.0.1:0").expect("loopback has ports"))),
                    _ => (Some(TcpListener::bind("127.0.0.1:0").expect("loopback has ports")), None),
                };
                let at = tcp.as_ref().map(TcpListener::local_addr).or(udp.as_ref().map(UdpSocket::local_addr));
                let free = at.expect("one of them is there").expect("it is bound").port();
                ports.insert((name.to_owned(), port.parse().expect("a port")), free);
                held.push((tcp, udp));
            }
        }
        Self(ports)
    }

    /// Where `port` of `service` is.
    pub fn of(&self, service: &str, port: u16) -> u16 {
        self.0[&(service.to_owned(), port)]
    }

    /// `text` with every `service:port` on loopback.
    pub fn local(&self, text: &str) -> String {
        self.0.iter().fold(text.to_owned(), |text, ((service, port), free)| {
            text.replace(&format!("{service}:{port}"), &format!("127.0.0.1:{free}"))
        })
    }

    /// A configuration of Prometheus with every target on loopback. Here nobody resolves the name of a service, so those
    /// that are found by it are listed.
    pub fn watched(&self, config: &str) -> String {
        let mut config: Value = serde_saphyr::from_str(config).expect("a configuration is YAML");
        for job in config["scrape_configs"].as_array_mut().expect("there are jobs") {
            let job = job.as_object_mut().expect("a job is a mapping");
            let Some(found) = job.remove("dns_sd_configs") else { continue };
            let mut targets = vec![];
            for by_name in found.as_array().expect("a list") {
                assert_eq!(by_name["type"], "A", "other records name ports of their own");
                for name in by_name["names"].as_array().expect("a list") {
                    targets.push(format!("{}:{}", name.as_str().expect("a name"), by_name["port"]));
                }
            }
            job.insert("static_configs".to_owned(), json!([{ "targets": targets }]));
        }
        // JSON is YAML too.
        self.local(&config.to_string())
    }

    /// `text`, said inside of `service`: its own addresses too.
    pub fn inside(&self, service: &str, text: &str) -> String {
        let own = self.0.iter().filter(|((of, _), _)| of == service);
        own.fold(self.local(text), |text, ((_, port), free)| {
            let here = format!("127.0.0.1:{free}");
            text.replace(&format!("0.0.0.0:{port}"), &here).replace(&format!("127.0.0.1:{port}"), &here)
        })
    }
}

/// A process that ends with this one, or when it is dropped.
pub struct Process {
    child: Child,
    said: PathBuf,
}

impl Process {
    /// Exactly the service's command and environment, and of this machine only where the models are.
    pub fn of_service(name: &str, service: &Service, ports: &Ports, folder: &Path) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_visavis"));
        command.args(service.command.iter().map(|word| ports.inside(name, word)));
        command.envs(service.environment.iter().map(|(key, value)| (key, ports.inside(name, value))));
        command.env("VISAVIS_MODELS", speech::models());
        Self::start(name, command, folder)
    }

    /// Runs `command` in `folder`, with an environment of what it sets and PATH.
    pub fn start(name: &str, mut command: Command, folder: &Path) -> Self {
        let said = folder.join(format!("{name}.log"));
        let log = File::create(&said).expect("the folder is ours");
        let set: Vec<_> = command.get_envs().filter_map(|(k, v)| Some((k.to_owned(), v?.to_owned()))).collect();
        command.env_clear().envs(set).env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("HOME", folder);
        // SAFETY: one system call between fork and exec, which touches no memory.
        unsafe { command.pre_exec(dies_with_its_parent) };
        let child = command
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a file can be shared"))
            .stderr(log)
            .spawn()
            .unwrap_or_else(|error| panic!("{name} cannot be started: {error}"));
        Self { child, said }
    }

    /// All that it said so far.
    pub fn said(&self) -> String {
        std::fs::read_to_string(&self.said).unwrap_or_default()
    }

    /// Waits until `url` is answered well.
    pub async fn healthy(&mut self, http: &reqwest::Client, url: &str, within: Duration) {
        let until = Instant::now() + within;
        loop {
            let answer = http.get(url).timeout(Duration::from_secs(2)).send().await;
            if answer.is_ok_and(|answer| answer.status().is_success()) {
                return;
            }
            let ended = self.child.try_wait().expect("our own child");
            let late = Instant::now() > until;
            assert!(ended.is_none() && !late, "{url} is not answered ({ended:?}); it said:\n{}", self.said());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A folder that goes when the test ends.
pub struct Folder(pub PathBuf);

impl Folder {
    pub fn new(name: &str) -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("visavis-{name}-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).expect("the system has a place for temporary files");
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
