//! core: a run as JSON, for machines
//! In:    a [`Run`].
//! Out:   one document, described in `docs/load-report.md`. Units stand in the names: `_s` seconds, `_ms`, `_mb` 10⁶ bytes; shares
//!        are 0 to 1. What was not measured is `null`, or missing from `figures`.
//! Law:   fields are added, never changed, while `schema` stays.

use std::collections::BTreeMap;

use serde::Serialize;

use super::run::{Kind, Maximum, Row, Run};
use super::words;
use crate::load::figure::Unit;
use crate::load::spread::Spread;
use crate::load::tally::{Cost, Score};
use crate::load::target::{Line, Reached};
use crate::load::work::{Engine, Work};

/// Goes up when a reader of the former one would be wrong.
const SCHEMA: u32 = 1;

/// The run as indented JSON, its last line ended.
pub fn text(run: &Run) -> String {
    let document = Document {
        schema: SCHEMA,
        title: &run.title,
        command: &run.command,
        kind: run.kind.name(),
        scenario: run.scenario.as_deref(),
        seed: run.seed,
        machine: &run.machine,
        date: &run.date,
        targets: run.targets.to_string(),
        met: run.met(),
        cut_short: run.cut_short(),
        verdict: words::verdict(run),
        maxima: run.maxima.iter().map(Found::of).collect(),
        steps: run.rows.iter().map(|row| StepOf::of(run.kind, row)).collect(),
        notes: &run.notes,
    };
    let json =
        serde_json::to_string_pretty(&document).expect("names are strings, and a number that is none becomes null");
    json + "\n"
}

#[derive(Serialize)]
struct Document<'a> {
    schema: u32,
    title: &'a str,
    command: &'a str,
    kind: &'static str,
    scenario: Option<&'a str>,
    seed: Option<u64>,
    machine: &'a str,
    date: &'a str,
    targets: String,
    met: bool,
    cut_short: bool,
    verdict: String,
    maxima: Vec<Found<'a>>,
    steps: Vec<StepOf<'a>>,
    notes: &'a [String],
}

#[derive(Serialize)]
struct Found<'a> {
    setting: Option<&'a str>,
    callers: Option<usize>,
    at_cap: bool,
    cut_short: bool,
}

#[derive(Serialize)]
struct StepOf<'a> {
    setting: Option<&'a str>,
    callers: usize,
    came: usize,
    lasted_s: f64,
    session_s: f64,
    cut_short: bool,
    met: bool,
    targets: Vec<Judged>,
    success: Option<f64>,
    answers_per_s: Option<f64>,
    calls: Count,
    requests: Count,
    figures: BTreeMap<&'static str, Numbers>,
    stages: Vec<StageOf>,
    caller_spoke: Option<f64>,
    agent_spoke: Option<f64>,
    server: Option<Use>,
    callers_process: Use,
    mean_batch: Option<f64>,
    engines: BTreeMap<&'static str, Did>,
}

#[derive(Serialize)]
struct Did {
    mean_batch: Option<f64>,
    words_per_s: Option<f64>,
    rtf: Option<f64>,
}

#[derive(Serialize)]
struct Judged {
    target: String,
    got: Option<f64>,
    result: &'static str,
}

#[derive(Serialize)]
struct Count {
    total: usize,
    ok: usize,
    failures: BTreeMap<&'static str, usize>,
}

#[derive(Serialize)]
struct Numbers {
    unit: &'static str,
    count: usize,
    mean: f64,
    min: f64,
    p01: f64,
    p05: f64,
    p50: f64,
    p90: f64,
    p95: f64,
    p99: f64,
    max: f64,
}

#[derive(Serialize)]
struct StageOf {
    stage: &'static str,
    p50_s: f64,
    p95_s: f64,
}

#[derive(Serialize)]
struct Use {
    cpu_s: f64,
    cpu_ms_per_session_s: Option<f64>,
    rss_mb: f64,
    rss_mb_per_session: Option<f64>,
}

impl<'a> Found<'a> {
    fn of(found: &'a Maximum) -> Self {
        let Maximum { setting, callers, at_cap, cut_short } = found;
        Self { setting: setting.as_deref(), callers: *callers, at_cap: *at_cap, cut_short: *cut_short }
    }
}

impl<'a> StepOf<'a> {
    fn of(kind: Kind, row: &'a Row) -> Self {
        let tally = &row.tally;
        let figures = tally.figures.iter();
        let stages = row.stages.iter();
        Self {
            setting: row.setting.as_deref(),
            callers: tally.callers,
            came: tally.came,
            lasted_s: tally.lasted_s,
            session_s: tally.session_s,
            cut_short: tally.cut_short,
            met: row.verdict.met,
            targets: row.verdict.lines.iter().map(Judged::of).collect(),
            success: tally.success(),
            answers_per_s: tally.requests_per_s(),
            calls: Count::of(&tally.calls),
            requests: Count::of(&tally.requests),
            figures: figures.map(|(figure, spread)| (figure.name(), Numbers::of(figure.unit(), spread))).collect(),
            stages: stages.map(|at| StageOf { stage: at.stage.name(), p50_s: at.p50_s, p95_s: at.p95_s }).collect(),
            caller_spoke: tally.caller_spoke,
            agent_spoke: tally.agent_spoke,
            server: tally.server.map(Use::of),
            callers_process: Use::of(tally.own),
            mean_batch: tally.work.of(kind.batching()).mean_batch,
            engines: Engine::ALL.into_iter().map(|engine| (engine.name(), Did::of(tally.work.of(engine)))).collect(),
        }
    }
}

impl Did {
    fn of(work: Work) -> Self {
        let Work { mean_batch, words_per_s, rtf } = work;
        Self { mean_batch, words_per_s, rtf }
    }
}

impl Judged {
    fn of(line: &Line) -> Self {
        let result = match line.result {
            Reached::Met => "met",
            Reached::Missed => "missed",
            Reached::NotMeasured => "not_measured",
        };
        Self { target: line.target.to_string(), got: line.got, result }
    }
}

impl Count {
    fn of(score: &Score) -> Self {
        let failures = score.failures.iter().map(|(cause, count)| (cause.name(), *count)).collect();
        Self { total: score.total, ok: score.ok(), failures }
    }
}

impl Numbers {
    fn of(unit: Unit, spread: &Spread) -> Self {
        let unit = match unit {
            Unit::Seconds => "s",
            Unit::Share => "share",
            Unit::Count => "count",
            Unit::PerSecond => "per_s",
            Unit::Ratio => "ratio",
        };
        let p = |percent| spread.percentile(percent);
        Self {
            unit,
            count: spread.count(),
            mean: spread.mean(),
            min: spread.min(),
            p01: p(1),
            p05: p(5),
            p50: p(50),
            p90: p(90),
            p95: p(95),
            p99: p(99),
            max: spread.max(),
        }
    }
}

impl Use {
    fn of(cost: Cost) -> Self {
        let Cost { cpu_s, cpu_ms_per_session_s, rss_mb, rss_mb_per_session } = cost;
        Self { cpu_s, cpu_ms_per_session_s, rss_mb, rss_mb_per_session }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::report::sample;
    use serde_json::Value;

    fn read(run: &Run) -> Value {
        serde_json::from_str(&text(run)).unwrap()
    }

    /// The names that readers hold on to, and a step whose numbers are those of its tally.
    #[test]
    fn a_run_is_read_back() {
        let run = sample::users();
        let json = read(&run);
        assert_eq!(
            (&json["schema"], &json["kind"], &json["seed"]),
            (&Value::from(1), &Value::from("calls"), &Value::from(7))
        );
        assert_eq!(json["targets"], Value::from(run.targets.to_string()));
        assert_eq!((json["met"].as_bool(), json["cut_short"].as_bool()), (Some(false), Some(false)));
        let steps = json["steps"].as_array().unwrap();
        assert_eq!(steps.len(), 6);
        for (row, step) in run.rows.iter().zip(steps) {
            assert_eq!(step["callers"], Value::from(row.tally.callers));
            let turn = &row.tally.figures[&crate::load::figure::Figure::Turn];
            assert_eq!(step["figures"]["turn"]["p99"].as_f64(), Some(turn.percentile(99)));
            assert_eq!(step["figures"]["turn"]["unit"], Value::from("s"));
            assert_eq!(step["targets"][0]["target"], Value::from("success:1.00"));
            assert_eq!(step["stages"].as_array().unwrap().len(), 6);
            assert_eq!(step["mean_batch"], step["engines"]["vad"]["mean_batch"]);
            assert_eq!(step["engines"]["tts"]["rtf"].as_f64(), Some(0.21));
            assert!(step["figures"].get("rtf").is_none(), "what was not measured is not there");
        }
        assert_eq!(
            steps[5]["calls"]["failures"]["busy"].as_u64(),
            run.rows[5].tally.calls.failures.values().next().map(|n| *n as u64)
        );
    }

    #[test]
    fn odd_runs_are_json_too() {
        assert_eq!(read(&sample::nothing())["steps"].as_array().unwrap().len(), 0);
        assert_eq!(read(&sample::all_failed())["steps"][0]["success"], Value::from(0.0));
        let search = sample::search();
        assert_eq!(read(&search)["maxima"][0]["callers"], Value::from(search.maxima[0].callers));
        assert_eq!(read(&sample::hostile())["title"], Value::from(sample::hostile().title));
    }
}
