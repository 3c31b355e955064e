//! io: the files of a deployment, run for real: docker-compose.yml as plain processes, watched by a real Prometheus
//!
//! No Docker engine is needed. docker-compose itself reads its file; each service's command line and environment are then
//! started as they stand there, agent and engines apart, with only addresses and the models' place changed.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use visavis::load::{CallSettings, Caller, Utterance};
use visavis::rtc::Identity;

use crate::kit::compose::{Compose, Folder, Ports, Process, root};
use crate::kit::speech::clip;

/// Nothing of this takes as long, unless the machine does something else besides.
const SOON: Duration = Duration::from_secs(60);

fn text(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// docker-compose accepts the file; ours are the agent and its engines, each with a health check, each waited for; what is
/// mounted is there.
#[test]
fn docker_compose_accepts_the_file() {
    let compose = Compose::read();
    let ours: Vec<&str> = compose.ours().map(|(name, _)| name).collect();
    assert_eq!(ours, ["agent", "llm", "stt", "tts"]);
    let built: Vec<&str> = compose.ours().filter(|(_, service)| service.build.is_some()).map(|(name, _)| name).collect();
    assert_eq!(built, ["agent"], "one image for all is made once");
    for (name, service) in compose.ours() {
        assert!(service.healthcheck.is_some(), "{name} has no health check");
    }
    let agent = &compose.services["agent"];
    assert!(agent.depends_on.values().all(|on| on.condition == "service_healthy"));
    assert_eq!(agent.depends_on.keys().collect::<Vec<_>>(), ["llm", "stt", "tts"]);
    for (name, service) in &compose.services {
        for volume in &service.volumes {
            let source = volume.as_str().map(|volume| volume.split(':').next().unwrap_or_default());
            let source = source.or(volume["source"].as_str()).unwrap_or_default();
            assert!(
                compose.volumes.contains_key(source) || root().join(source).exists(),
                "{name} mounts {source}, which is not here"
            );
        }
    }
}

/// The image is made of files that are here, runs nobody as root, and does by default what the agent's service does.
#[test]
fn the_dockerfile_fits_the_checkout() {
    let dockerfile = text("Dockerfile").replace("\\\n", " ");
    let mut stages = BTreeSet::new();
    for line in dockerfile.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            ["FROM", image, "AS", stage] => {
                assert!(image.contains(':'), "{image} has a version");
                stages.insert(*stage);
            }
            ["COPY", first, ..] if first.starts_with("--from=") => assert!(stages.contains(&first[7..]), "{line}"),
            ["COPY", sources @ .., _] => {
                for source in sources {
                    assert!(root().join(source).exists(), "{line}: {source} is not here");
                }
            }
            _ => {}
        }
    }
    let after = |word: &str| dockerfile.lines().filter_map(|line| line.strip_prefix(word)).next_back().unwrap().trim();
    assert_eq!(after("USER"), "visavis");
    assert_eq!(after("ENTRYPOINT"), r#"["visavis"]"#);
    let command: Vec<String> = serde_json::from_str(after("CMD")).unwrap();
    assert_eq!(command, Compose::read().services["agent"].command);
    let wanted =
        text("Cargo.toml").lines().find_map(|line| line.strip_prefix("rust-version = ")).unwrap().replace('"', "");
    assert!(dockerfile.contains(&format!("FROM rust:{wanted}-bookworm")), "the image's Rust is the one of Cargo.toml");
}

/// A talked-over greeting and an answered question through agent and engines that are processes of their own, watched by
/// Prometheus: then every query of the dashboard returns a number.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_services_take_a_call_and_the_dashboard_shows_it() {
    let compose = Compose::read();
    let (ports, folder, http) = (Ports::free(&compose), Folder::new("deploy"), reqwest::Client::new());
    let (mut prometheus, ask) = watch(&compose, &ports, &folder);
    let _services = start(&compose, &ports, &folder, &http).await;
    prometheus.healthy(&http, &format!("{ask}/-/ready"), SOON).await;
    // Counters are counted from the first look on.
    let seen = async || number(&http, &ask, "count(up == 1)").await == Some(4.0);
    wait_until(seen, || format!("Prometheus does not see all four: {}", prometheus.said())).await;

    talk(&format!("http://127.0.0.1:{}", ports.of("agent", 8080))).await;

    let queries = queries();
    assert!(queries.len() > 20);
    let mut silent = queries.clone();
    let all_answered = async || {
        let mut left = BTreeMap::new();
        for (query, panel) in std::mem::take(&mut silent) {
            if number(&http, &ask, &query).await.is_none() {
                left.insert(query, panel);
            }
        }
        silent = left;
        silent.is_empty()
    };
    let answered = tokio::time::timeout(Duration::from_secs(20), until(all_answered)).await;
    assert!(answered.is_ok(), "no data: {silent:#?}");
}

/// Starts the services of ours, each as soon as those that it depends on are healthy.
async fn start(compose: &Compose, ports: &Ports, folder: &Folder, http: &reqwest::Client) -> Vec<Process> {
    let (mut running, mut healthy, began) = (vec![], BTreeSet::new(), Instant::now());
    while healthy.len() < compose.ours().count() {
        let next = compose.ours().filter(|(name, service)| {
            !healthy.contains(*name) && service.depends_on.keys().all(|on| healthy.contains(on.as_str()))
        });
        let mut started: Vec<_> =
            next.map(|(name, service)| (name, service, Process::of_service(name, service, ports, &folder.0))).collect();
        assert!(!started.is_empty(), "the services wait for each other");
        for (name, service, process) in &mut started {
            let check = service.healthcheck.as_ref().expect("each has one").test.last().expect("it ends in a URL");
            process.healthy(http, &ports.inside(name, check), SOON).await;
            healthy.insert(*name);
        }
        running.extend(started.into_iter().map(|(.., process)| process));
    }
    println!("all services are healthy after {:.1} s", began.elapsed().as_secs_f64());
    running
}

/// Prometheus as its service starts it, with the committed configuration, whose targets are on loopback here. Gives the
/// address of its API.
fn watch(compose: &Compose, ports: &Ports, folder: &Folder) -> (Process, String) {
    let config = folder.0.join("prometheus.yml");
    let committed = root().join("deploy/prometheus.yml");
    let check = Command::new("promtool").args(["check", "config"]).arg(committed).output();
    let check = check.expect("it comes with Prometheus");
    assert!(check.status.success(), "{}", String::from_utf8_lossy(&check.stderr));
    std::fs::write(&config, ports.watched(&text("deploy/prometheus.yml"))).unwrap();
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut command = Command::new("prometheus");
    command.arg(format!("--web.listen-address={free}"));
    command.args(compose.services["prometheus"].command.iter().map(|word| match word.split_once('=') {
        Some(("--config.file", _)) => format!("--config.file={}", config.display()),
        Some(("--storage.tsdb.path", _)) => format!("--storage.tsdb.path={}", folder.0.join("data").display()),
        _ => word.clone(),
    }));
    (Process::start("prometheus", command, &folder.0), format!("http://{free}"))
}

/// One call: greeted, talks over the greeting, and hears the answer to its end.
async fn talk(server: &str) {
    let settings = CallSettings::new(server, Identity::generate().unwrap());
    let mut caller = Caller::join(&reqwest::Client::new(), &settings).await.unwrap();
    caller.connected(SOON).await.unwrap();
    caller.event("session.created", SOON).await.unwrap();
    caller.send(&json!({ "type": "response.create" })).await.unwrap();
    caller.event("output_audio_buffer.started", SOON).await.unwrap();
    let question = Utterance::encode(&clip("librivox-0880.wav").samples(), 16_000).unwrap();
    caller.say(&question).await.unwrap();
    caller.event("output_audio_buffer.cleared", SOON).await.unwrap();
    caller.event("output_audio_buffer.started", SOON).await.unwrap();
    caller.event("output_audio_buffer.stopped", SOON).await.unwrap();
    caller.hang_up().await.unwrap();
}

/// Every query of the dashboard and the panel it is in. Its panels ask the data source that is provisioned.
fn queries() -> BTreeMap<String, String> {
    let dashboard: Value = serde_json::from_str(&text("deploy/grafana/dashboards/visavis.json")).unwrap();
    let source: Value =
        serde_saphyr::from_str(&text("deploy/grafana/provisioning/datasources/prometheus.yml")).unwrap();
    let uid = &source["datasources"][0]["uid"];
    let panels = dashboard["panels"].as_array().unwrap().iter();
    let rows: Vec<_> = panels.clone().filter(|panel| panel["type"] == "row").map(|row| &row["title"]).collect();
    assert_eq!(rows, ["Is anyone waiting?", "Where does the time go?", "Who is refused?", "What saturates?"]);
    let mut queries = BTreeMap::new();
    for panel in panels.filter(|panel| panel["type"] != "row") {
        assert_eq!(&panel["datasource"]["uid"], uid, "{}", panel["title"]);
        for target in panel["targets"].as_array().unwrap() {
            queries.insert(target["expr"].as_str().unwrap().to_owned(), panel["title"].to_string());
        }
    }
    queries
}

/// The first number that Prometheus answers with; `None` when it has none.
async fn number(http: &reqwest::Client, ask: &str, query: &str) -> Option<f64> {
    let url = reqwest::Url::parse_with_params(&format!("{ask}/api/v1/query"), [("query", query)]).unwrap();
    let request = http.get(url).timeout(Duration::from_secs(5));
    let answer: Value = serde_json::from_str(&request.send().await.ok()?.text().await.ok()?).ok()?;
    assert_eq!(answer["status"], "success", "{query}: {answer}");
    let series = answer["data"]["result"].as_array()?.iter();
    let mut numbers = series.filter_map(|series| series["value"][1].as_str()?.parse::<f64>().ok());
    numbers.find(|number| number.is_finite())
}

async fn until(mut done: impl AsyncFnMut() -> bool) {
    while !done().await {
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
}

async fn wait_until(done: impl AsyncFnMut() -> bool, why: impl FnOnce() -> String) {
    if tokio::time::timeout(SOON, until(done)).await.is_err() {
        panic!("{}", why());
    }
}
