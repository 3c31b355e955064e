//! door: the house rules as tests; the reasons stand in ARCHITECTURE.md
//!
//! They read the source as text: crude, but a rule here costs a line, and each has a test that shows that it bites.

mod source;

use std::path::Path;

use source::Source;

/// One breach, as a person wants to read it.
type Breach = String;

const KINDS: [&str; 6] = ["door", "data", "core", "dsp", "io", "task"];
const ROOMS: [&str; 6] = ["transport", "hearing", "dialogue", "voice", "avatar", "stage"];
const LONGEST_FILE_LINES: usize = 400;

/// Below each name, what it may use. Dependencies point down only; those of one line do not know each other.
const LAYERS: [(&[&str], &[&str]); 5] = [
    (&["app"], &["agent", "engine", "load", "rtc", "face", "onnx", "wire", "runtime", "config", "metrics", "media"]),
    (&["agent", "engine", "load"], &["rtc", "face", "onnx", "wire", "runtime", "config", "metrics", "media"]),
    (&["rtc", "face", "onnx", "wire"], &["runtime", "config", "metrics", "media"]),
    (&["runtime", "config"], &["metrics", "media"]),
    (&["metrics", "media"], &[]),
];

fn check(rule: impl Fn(&Source) -> Vec<Breach>) {
    let sources = Source::all(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"));
    assert!(sources.len() > 30, "the sources were not found");
    let breaches: Vec<_> = sources.iter().flat_map(rule).collect();
    assert!(breaches.is_empty(), "\n{}\n", breaches.join("\n"));
}

/// A reader knows from the first line what a file is and may do.
#[test]
fn every_file_says_its_kind_and_its_sentence() {
    check(kind_and_sentence);
}

fn kind_and_sentence(source: &Source) -> Vec<Breach> {
    let sentence = source.head.split_once(": ").map_or("", |(_, sentence)| sentence);
    let mut breaches = vec![];
    if !KINDS.contains(&source.kind()) || sentence.len() < 10 {
        breaches.push(format!("{}: begins with {:?}, not with `//! kind: a sentence`", source.path, source.head));
    }
    if source.path.ends_with("/mod.rs") && source.kind() != "door" {
        breaches.push(format!("{}: a mod.rs is a door", source.path));
    }
    breaches
}

/// A file of more than 400 lines of code holds a second idea.
#[test]
fn files_hold_one_idea_each() {
    check(one_idea);
}

fn one_idea(source: &Source) -> Vec<Breach> {
    let mut breaches = vec![];
    if source.lines() > LONGEST_FILE_LINES {
        breaches.push(format!("{}: {} lines of code", source.path, source.lines()));
    }
    for part in source.module() {
        if ["util", "utils", "helper", "helpers", "common", "misc", "manager"].contains(&part) {
            breaches.push(format!("{}: `{part}` names no idea", source.path));
        }
    }
    breaches
}

/// main → app → {agent, engine, load} → {rtc, face, onnx, wire} → {runtime, config} → {metrics, media}; any engine can be
/// replaced by any server that speaks the wire because nothing above the leaves is shared.
#[test]
fn dependencies_point_down() {
    check(points_down);
}

fn points_down(source: &Source) -> Vec<Breach> {
    let module = source.module();
    let Some(own) = module.first() else { return vec![] };
    let Some((_, below)) = LAYERS.iter().find(|(names, _)| names.contains(own)) else {
        return vec![];
    };
    let all = LAYERS.iter().flat_map(|(names, _)| names.iter());
    let strangers: Vec<_> = all.filter(|name| *name != own && !below.contains(name)).collect();
    let named = source.names().into_iter();
    named
        .filter(|(_, path)| path.first().is_some_and(|first| strangers.iter().any(|name| *name == first)))
        .map(|(line, path)| format!("{}:{line}: {own} may not know {}", source.path, path.join("::")))
        .collect()
}

/// Rooms share the vocabulary of `flow` and nothing else; the session, which lays them in a row, alone knows them all.
#[test]
fn a_room_never_imports_a_room() {
    check(rooms_apart);
}

fn rooms_apart(source: &Source) -> Vec<Breach> {
    let module = source.module();
    let ["agent", own, ..] = module[..] else { return vec![] };
    if own == "session" {
        return vec![];
    }
    let named = source.names().into_iter();
    named
        .filter(|(_, path)| {
            let other = path.get(1).map(String::as_str).unwrap_or_default();
            path[0] == "agent" && other != own && ROOMS.contains(&other)
        })
        .map(|(line, path)| format!("{}:{line}: {own} names the room {}", source.path, path.join("::")))
        .collect()
}

/// What decides holds no clock, socket, task, channel, thread, file or unseeded randomness; what computes never waits.
#[test]
fn each_kind_keeps_to_what_it_may_touch() {
    check(kept_to_its_kind);
}

fn kept_to_its_kind(source: &Source) -> Vec<Breach> {
    const OUTSIDE: [&str; 8] =
        ["axum::", "reqwest::", "std::fs", "std::env", "std::process", "async fn", ".await", "async move"];
    const SOCKETS: [&str; 5] = ["TcpStream", "TcpListener", "UdpSocket", "reqwest::", "tungstenite"];
    const TIME_AND_CHANCE: [&str; 9] = [
        "tokio::",
        "mpsc",
        "std::thread",
        "Instant::now",
        "SystemTime::now",
        ".elapsed()",
        "fastrand::u",
        "fastrand::f",
        "Rng::new()",
    ];
    let forbidden: Vec<&str> = match source.kind() {
        "core" => [&OUTSIDE[..], &SOCKETS, &TIME_AND_CHANCE].concat(),
        // A message may carry the lane of its answer: a type, which nobody waits on in a file of data.
        "dsp" | "data" => [&OUTSIDE[..], &SOCKETS].concat(),
        "task" => SOCKETS.to_vec(),
        _ => vec![],
    };
    holds(source, &forbidden, &format!("in a file of kind {}", source.kind()))
}

/// Threads, tasks, child processes and sleeping belong to `runtime`: there they have names, ends and a clock that a
/// test can stop.
#[test]
fn only_runtime_spawns_and_sleeps() {
    check(spawns_in_runtime);
}

fn spawns_in_runtime(source: &Source) -> Vec<Breach> {
    if source.path.starts_with("src/runtime/") {
        return vec![];
    }
    const RUNTIMES: [&str; 9] = [
        "tokio::spawn",
        "task::spawn",
        "spawn_blocking",
        "std::thread::spawn",
        "thread::Builder",
        "thread::sleep",
        "tokio::time::",
        "Command::new",
        "tokio::process",
    ];
    holds(source, &RUNTIMES, "outside runtime/")
}

/// Every lane has a size.
#[test]
fn no_lane_is_endless() {
    check(|source| holds(source, &["unbounded", "mpsc::channel()"], "has no bound"));
}

/// One room reads the environment, so that `visavis check` can show all there is to set.
#[test]
fn only_config_reads_the_environment() {
    check(|source| match source.path.starts_with("src/config/") {
        true => vec![],
        false => holds(source, &["env::var", "env::vars", "env::set_var", "env::home_dir"], "outside config/"),
    });
}

/// Metric names live in one place, where their help, unit and buckets are.
#[test]
fn only_metrics_names_a_metric() {
    check(metric_names);
}

fn metric_names(source: &Source) -> Vec<Breach> {
    if source.path.starts_with("src/metrics/") {
        return vec![];
    }
    let lines = source.code_and_strings.lines().enumerate();
    lines
        .filter(|(_, line)| line.contains("\"visavis_"))
        .map(|(number, line)| format!("{}:{}: names a metric: {}", source.path, number + 1, line.trim()))
        .collect()
}

/// No panic without a reason, and no state that everybody shares.
#[test]
fn expectations_give_reasons_and_nothing_is_global() {
    check(reasons_given);
}

fn reasons_given(source: &Source) -> Vec<Breach> {
    let mut breaches = holds(source, &[".unwrap()", "todo!(", "unimplemented!(", "dbg!("], "outside tests");
    // The libraries behind these are one per process by their own design.
    if !["src/onnx/environment.rs", "src/engine/llm/smollm.rs"].contains(&source.path.as_str()) {
        breaches.extend(holds(
            source,
            &["static mut", "OnceLock", "LazyLock", "thread_local!", "once_cell"],
            "is global",
        ));
    }
    breaches
}

fn holds(source: &Source, forbidden: &[&str], why: &str) -> Vec<Breach> {
    let mut breaches = vec![];
    for (number, line) in source.code.lines().enumerate() {
        for word in forbidden {
            if line.contains(word) {
                breaches.push(format!("{}:{}: `{word}` {why}", source.path, number + 1));
            }
        }
    }
    breaches
}

/// A rule that lets everything through would pass for ever: each of them bites here.
#[test]
fn the_rules_bite() {
    let bites = |rule: fn(&Source) -> Vec<Breach>, path: &str, text: &str| {
        let breaches = rule(&Source::new(path, text));
        assert_eq!(breaches.len(), 1, "{path}: {text:?}: {breaches:?}");
    };
    bites(kind_and_sentence, "src/face/lips.rs", "//! lips of a face\n");
    bites(kind_and_sentence, "src/face/mod.rs", "//! core: lips of a face\n");
    bites(one_idea, "src/face/lips.rs", &"fn f() {}\n".repeat(401));
    bites(one_idea, "src/media/utils.rs", "//! core: lips of a face\n");
    bites(points_down, "src/media/opus.rs", "use crate::{metrics::Metrics, media::Pcm};");
    bites(points_down, "src/engine/worker.rs", "fn f() { crate::agent::flow::mint() }");
    bites(points_down, "src/agent/server/desk.rs", "use crate::app::House;");
    bites(points_down, "src/load/caller.rs", "use super::super::agent::flow;");
    bites(rooms_apart, "src/agent/hearing/task.rs", "use crate::agent::{flow::Mic, stage::Playout};");
    bites(rooms_apart, "src/agent/hearing/task.rs", "use super::super::{flow, stage as other};");
    bites(rooms_apart, "src/agent/server/desk.rs", "use crate::agent::transport;");
    bites(kept_to_its_kind, "src/agent/stage/playout.rs", "//! core: when sound leaves\nlet t = Instant::now();");
    bites(kept_to_its_kind, "src/media/opus.rs", "//! dsp: a speech codec\nlet t = std::fs::read(\"a\");");
    bites(kept_to_its_kind, "src/agent/stage/task.rs", "//! task: the stage's loop\nlet t: UdpSocket;");
    bites(spawns_in_runtime, "src/engine/worker.rs", "tokio::spawn(async {});");
    bites(metric_names, "src/engine/worker.rs", "let name = \"visavis_turns_total\";");
    bites(reasons_given, "src/engine/worker.rs", "let a = b.unwrap();");
}

/// What the rules allow: the code below passes all of them.
#[test]
fn the_rules_let_good_code_pass() {
    let text = "//! core: when each 20 ms of speech leaves\n\
        use crate::{agent::flow::{Floor, self}, media::Samples};\n\
        use super::fade; // not crate::engine::worker, and never tokio::spawn\n\
        const NOTE: &str = \"crate::load and .unwrap() in a string\"; const MARK: char = '\"';\n\
        fn f<'a>(now: Instant) -> &'a str { r#\"tokio::spawn \"quoted\" \"# }\n\
        #[cfg(test)]\npub(super) mod tests {\nfn g() { a.unwrap(); tokio::spawn(b) } }\n";
    let source = Source::new("src/agent/stage/playout.rs", text);
    for rule in [
        kind_and_sentence,
        one_idea,
        points_down,
        rooms_apart,
        kept_to_its_kind,
        spawns_in_runtime,
        metric_names,
        reasons_given,
    ] {
        assert_eq!(rule(&source), Vec::<Breach>::new());
    }
    let mut names: Vec<_> = source.names().into_iter().map(|(_, path)| path.join("::")).collect();
    names.sort();
    assert_eq!(names, ["agent::flow", "agent::flow::Floor", "agent::stage::fade", "media::Samples"]);
}
