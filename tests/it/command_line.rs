//! io: the program as it is typed: help, exit codes, what it prints, and a server from start to SIGTERM

use std::io::{BufRead, BufReader, Read, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};

use crate::kit::speech::models;

/// The program with an environment of its own and in a folder without a configuration.
fn visavis(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_visavis"));
    command.args(arguments).env_clear().current_dir(std::env::temp_dir());
    command
}

fn run(arguments: &[&str]) -> (i32, String, String) {
    let Output { status, stdout, stderr } = visavis(arguments).output().expect("the program runs");
    let text = |bytes| String::from_utf8(bytes).expect("what is printed is UTF-8");
    (status.code().expect("it was not killed"), text(stdout), text(stderr))
}

/// A file that is gone when the test is over.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str, text: &str) -> Self {
        let path = std::env::temp_dir().join(format!("visavis-{}-{name}", std::process::id()));
        std::fs::write(&path, text).unwrap();
        Self(path)
    }

    fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Help is worth reading: every command and every flag that the documents speak of, and what to try first.
#[test]
fn help_names_all_there_is() {
    let (code, help, _) = run(&["--help"]);
    assert_eq!(code, 0);
    for word in [
        "serve",
        "engine",
        "load",
        "models",
        "check",
        "VISAVIS_LLM_URL",
        "OPENAI_API_KEY",
        "http://127.0.0.1:8080",
        "64",
    ] {
        assert!(help.contains(word), "{word} is not in:\n{help}");
    }
    let (_, help, _) = run(&["serve", "--help"]);
    for word in [
        "--config",
        "--listen",
        "--rtc",
        "--public-ip",
        "--engines",
        "embedded",
        "scripted",
        "127.0.0.1:8080",
        "0.0.0.0:8443",
    ] {
        assert!(help.contains(word), "{word} is not in:\n{help}");
    }
    let (_, help, _) = run(&["engine", "--help"]);
    for word in ["stt", "tts", "llm", "--listen", "8090", "8089", "8091"] {
        assert!(help.contains(word), "{word} is not in:\n{help}");
    }
}

/// `check` prints what is in force, in a form that means the same when it is read again.
#[test]
fn check_prints_what_is_in_force() {
    let file = Scratch::new("good.toml", "[turn]\nsilence_duration_ms = 300\n[llm]\napi_key = \"sk-secret\"\n");
    let (code, first, _) = run(&["check", file.path()]);
    assert_eq!(code, 0);
    assert!(first.contains(&format!("silence_duration_ms = 300  # {}:2\n", file.path())), "{first}");
    assert!(first.contains("listen = \"127.0.0.1:8080\"\n") && !first.contains("sk-secret"), "{first}");

    let printed = Scratch::new("printed.toml", &first);
    let (code, second, _) = run(&["check", printed.path()]);
    let values =
        |text: &str| text.lines().map(|line| line.split("  # ").next().unwrap().to_owned()).collect::<Vec<_>>();
    assert_eq!((code, values(&second)), (0, values(&first)));
}

/// The effective defaults are the shipped file.
#[test]
fn the_shipped_file_changes_nothing() {
    let shipped = concat!(env!("CARGO_MANIFEST_DIR"), "/configs/visavis.toml");
    let values =
        |text: String| text.lines().map(|line| line.split("  # ").next().unwrap().to_owned()).collect::<Vec<_>>();
    assert_eq!(values(run(&["check", shipped]).1), values(run(&["check"]).1));
}

/// Whatever is wrong with how it was started or configured is exit code 64 and one line per problem.
#[test]
fn mistakes_exit_with_64() {
    let file =
        Scratch::new("bad.toml", "[server]\nlisten = \"here\"\n\n[engines]\nmode = \"magic\"\n[video]\nfsp = 3\n");
    for command in
        [&["check", file.path()][..], &["serve", "--config", file.path()], &["models", "list", "--config", file.path()]]
    {
        let (code, printed, complaint) = run(command);
        assert_eq!((code, printed.as_str()), (64, ""), "{command:?}");
        for line in [
            format!("{}:2: [server] listen = \"here\": allowed is an address and a port", file.path()),
            format!("{}:5: [engines] mode = \"magic\": allowed is \"embedded\" or \"scripted\"", file.path()),
            format!("{}:7: [video] has no key `fsp`; allowed are enabled, fps, bitrate_kbps", file.path()),
        ] {
            assert!(complaint.contains(&line), "{line} is not in:\n{complaint}");
        }
    }
    for command in
        [&[][..], &["dance"], &["serve", "--listen", "here"], &["serve", "--set", "turn"], &["check", "no/such.toml"]]
    {
        assert_eq!(run(command).0, 64, "{command:?}");
    }
    assert!(run(&["check", "--set", "turn.silence=1"]).2.contains("--set: [turn] has no key `silence`"));
}

/// Without the models the server says which files it wants, where they come from, and how to do without; exit code 69.
#[test]
fn missing_models_are_explained() {
    let models = "engines.models=/nonexistent";
    let serve = ["serve", "--listen", "127.0.0.1:0", "--rtc", "127.0.0.1:0", "--set", models];
    for command in [&serve[..], &["models", "verify", "--set", models]] {
        let (code, printed, complaint) = run(command);
        assert_eq!(code, 69, "{complaint}");
        let said = printed + &complaint;
        for word in
            ["silero_vad_16k_op15.onnx", "sha256", "licence", "silero-vad 6.2.3", "VISAVIS_MODELS", "script/models"]
        {
            assert!(said.contains(word), "{word} is not in:\n{said}");
        }
    }
}

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// From start to ready to the end: it says which brain answers, for how many, and where to look; SIGTERM ends it in peace.
#[tokio::test]
async fn a_server_starts_says_so_and_stops() {
    let models = format!("engines.models={}", models().display());
    let arguments =
        ["serve", "--engines", "scripted", "--listen", "127.0.0.1:0", "--rtc", "127.0.0.1:0", "--set", &models];
    let mut command = visavis(&arguments);
    let mut server = Running(command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("the program runs"));
    let mut lines = BufReader::new(server.0.stdout.take().expect("it is piped"));
    let mut said = String::new();
    let page = loop {
        let mut line = String::new();
        assert!(lines.read_line(&mut line).expect("it is UTF-8") > 0, "it ended after:\n{said}");
        if let Some(page) = line.trim().strip_prefix("Ready: open ") {
            break page.to_owned();
        }
        said.push_str(&line);
    };
    assert!(said.contains("The brain: scripted") && said.contains("Room for 4 calls"), "{said}");

    let ready = reqwest::get(format!("{page}/readyz")).await.expect("it answers");
    assert_eq!(ready.status(), 200);
    let html = reqwest::get(&page).await.expect("it answers").text().await.expect("a page");
    assert!(html.contains("<title>Visavis"));

    // SAFETY: a signal to a child of ours that has not been waited for.
    assert_eq!(unsafe { libc::kill(server.0.id() as i32, libc::SIGTERM) }, 0);
    let status = tokio::task::spawn_blocking(move || server.0.wait().expect("it can be waited for")).await.unwrap();
    assert_eq!(status.code(), Some(0));
    let mut rest = String::new();
    lines.read_to_string(&mut rest).expect("it is UTF-8");
}

/// An address that is taken is told as such, not as a fault of the program.
#[test]
fn a_taken_port_is_explained() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let at = taken.local_addr().unwrap().to_string();
    let (code, _, complaint) = run(&["serve", "--engines", "scripted", "--rtc", "127.0.0.1:0", "--listen", &at]);
    assert_eq!(code, 69);
    assert!(complaint.contains(&format!("cannot listen on {at}")), "{complaint}");
}

/// A scenario of short turns, and what of `visavis load` is the same in the tests below.
fn short_load(scenario: &Scratch) -> Command {
    let mut command =
        visavis(&["load", "--scenario", scenario.path(), "--warmup", "0", "--concurrency", "2", "--json", "-"]);
    command.env("VISAVIS_MODELS", models());
    command
}

fn short_scenario(name: &str) -> Scratch {
    let text =
        "say: { from: [librivox-0880.wav] }\npause_s: 0.1\ncall: { silence_ms: 300, video: false, greeting: false }\n";
    Scratch::new(name, text)
}

/// It starts the server that it is given, calls it, ends it, and tells what came of it in a form for machines.
#[test]
fn a_load_run_starts_its_server_and_reports() {
    let scenario = short_scenario("load.yaml");
    let html = Scratch::new("load.html", "");
    let server = "visavis serve --engines scripted --listen 127.0.0.1:0 --rtc 127.0.0.1:0";
    let mut command = short_load(&scenario);
    command.args(["--duration", "15", "--target", "success:1.00", "--html", html.path(), "--command", server]);
    let Output { status, stdout, stderr } = command.output().expect("the program runs");
    let said = String::from_utf8_lossy(&stderr);
    assert_eq!(status.code(), Some(0), "{said}");
    let report: serde_json::Value = serde_json::from_slice(&stdout).expect("the standard output is JSON alone");
    let step = &report["steps"][0];
    assert_eq!((&step["callers"], &step["calls"]["ok"]), (&2.into(), &2.into()), "{report}");
    assert!(step["requests"]["ok"].as_u64().unwrap() >= 2, "{report}");
    assert!(step["figures"]["turn"]["p50"].as_f64().unwrap() > 0.2, "{report}");
    assert!(step["server"]["cpu_s"].as_f64().unwrap() > 0.0, "the server that was started is looked at: {report}");
    assert!(said.contains("2 users"), "people get a table: {said}");
    assert!(std::fs::read_to_string(html.path()).unwrap().contains("</html>"));
}

/// Ctrl-C ends the step, and what was measured until then is told.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ctrl_c_prints_what_was_measured() {
    let server = crate::kit::house::Running::scripted(|_| {}).await;
    let scenario = short_scenario("ctrl-c.yaml");
    let mut command = short_load(&scenario);
    command.args(["--duration", "600", "--server", &server.url]).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut load = Running(command.spawn().expect("the program runs"));
    // Whoever is still dialling when it ends has not called: both are talking when two turns are over.
    let turns = || {
        let page = server.metrics.render();
        let count = page.lines().find_map(|line| line.strip_prefix("visavis_endpoint_delay_seconds_count "));
        count.map_or(0.0, |count| count.trim().parse::<f64>().unwrap())
    };
    while turns() < 2.0 {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    let id = i32::try_from(load.0.id()).unwrap();
    // SAFETY: kill takes two integers; the process is ours and has not been waited for.
    unsafe { libc::kill(id, libc::SIGINT) };
    let mut printed = String::new();
    let mut stdout = load.0.stdout.take().unwrap();
    let (status, printed) = tokio::task::spawn_blocking(move || {
        stdout.read_to_string(&mut printed).unwrap();
        (load.0.wait().unwrap(), printed)
    })
    .await
    .unwrap();
    let report: serde_json::Value = serde_json::from_str(&printed).expect("the report is whole");
    assert_eq!(status.code(), Some(0), "{report}");
    assert_eq!((&report["cut_short"], &report["steps"][0]["calls"]["total"]), (&true.into(), &2.into()), "{report}");
}

/// A search under a target that nobody can meet misses it; and what it tells holds no secret.
#[test]
fn a_search_that_finds_nothing_misses_its_target() {
    let server = "visavis engine llm --engines scripted --listen 127.0.0.1:0";
    let options = "--target ttft:p99@0.000001s --warmup 0 --duration 2 --token s3cret --json -";
    let arguments: Vec<&str> = ["load", "llm", "--command", server].into_iter().chain(options.split(' ')).collect();
    let (code, printed, said) = run(&arguments);
    assert_eq!(code, 1, "{said}");
    let report: serde_json::Value = serde_json::from_str(&printed).expect("the standard output is JSON alone");
    let step = &report["steps"][0];
    assert!(step["requests"]["ok"].as_u64().unwrap() > 0 && report["maxima"][0]["callers"].is_null(), "{report}");
    assert!(!printed.contains("s3cret") && !said.contains("s3cret"), "{printed}\n{said}");
}

/// What cannot be run is told before anybody is called: usage as 64, what is missing as 69.
#[test]
fn load_says_what_it_lacks() {
    let wrong = Scratch::new("wrong.yaml", "say: { from: phrases }\nthink_s: 3\n");
    let somebody = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let there = format!("http://{}", somebody.local_addr().unwrap());
    std::thread::spawn(move || {
        for mut socket in somebody.incoming().flatten() {
            // Who asks reads this, or has left.
            let _ = socket.read(&mut [0; 1000]);
            let _ = socket.write_all(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n");
        }
    });
    for (arguments, code, said) in [
        (&["load", "--target", "speed:p99@1s"][..], 64, "--target"),
        (&["load", "--scenario", wrong.path()], 64, "wrong.yaml:2: "),
        (&["load", "--sweep", "a.b=1"], 64, "--command"),
        (&["load", "--speech", "/nonexistent"], 69, "script/models --tests"),
        (&["load", "tts", "--server", "http://127.0.0.1:1"], 69, "nobody answers at http://127.0.0.1:1"),
        (&["load", "tts", "--command", "visavis serve --listen here"], 69, "invalid socket address"),
        (&["load", "llm", "--server", &there, "--command", "visavis engine llm"], 69, "a server answers there already"),
    ] {
        let (got, printed, complaint) = run(arguments);
        assert_eq!((got, printed.as_str()), (code, ""), "{arguments:?}: {complaint}");
        assert!(complaint.contains(said), "{said} is not in:\n{complaint}");
    }
}
