//! core: the columns of a run's two tables: what counts, and stage by stage
//! In:    a [`Run`].
//! Out:   what to say of each row, in order; a column that no row has a value for is left out.

use std::ops::Range;

use super::number;
use super::run::{Kind, Row, Run};
use super::words;
use crate::load::figure::{Figure, Unit};
use crate::load::spread::Stat;
use crate::load::work::Engine;

/// One column. Neighbours of the same group share its heading.
pub struct Column {
    pub group: String,
    pub head: String,
    /// One per row; `None` where the row has no value.
    pub cells: Vec<Option<String>>,
}

/// The columns that say something of this run.
pub fn columns(run: &Run) -> Vec<Column> {
    let mut columns = Columns { run, found: Vec::new() };
    columns.add("", "setting", |row| row.setting.clone());
    columns.add("", "users", |row| Some(row.tally.callers.to_string()));
    columns.add("ok", "%", |row| row.tally.success().map(number::success));
    columns.add("answers", "per s", |row| row.tally.requests_per_s().map(number::three));
    let latency = run.kind.latency();
    for percent in [50, 95, 99] {
        columns.add_figure(latency, Stat::Percentile(percent));
    }
    // In a call the transcript is asked for ahead: it is a stage of the wait and no wait of its own.
    let waits = [Figure::SttFinal, Figure::Ttft, Figure::Ttfb, Figure::BargeIn];
    for wait in
        waits.into_iter().filter(|wait| *wait != latency && (*wait != Figure::SttFinal || run.kind != Kind::Calls))
    {
        columns.add_figure(wait, Stat::Percentile(95));
    }
    for figure in [Figure::Rtf, Figure::Underrun, Figure::Stretch] {
        columns.add_figure(figure, Stat::Percentile(99));
    }
    for figure in [Figure::Words, Figure::Fps] {
        columns.add_figure(figure, Stat::Percentile(5));
    }
    for figure in [Figure::Gaps, Figure::Freezes] {
        columns.add_sum(figure);
    }
    const CPU: &str = "CPU ms/session-s";
    let server = |row: &Row| row.tally.server.and_then(|cost| cost.cpu_ms_per_session_s);
    columns.add(CPU, "server", |row| server(row).map(number::three));
    columns.add(CPU, "callers", |row| row.tally.own.cpu_ms_per_session_s.map(number::three));
    const MEMORY: &str = "server MB";
    columns.add(MEMORY, "most", |row| row.tally.server.map(|cost| number::three(cost.rss_mb)));
    let growth = |row: &Row| row.tally.server.and_then(|cost| cost.rss_mb_per_session);
    columns.add(MEMORY, "/session", |row| growth(row).map(number::three));
    let batching = run.kind.batching();
    let batch = |row: &Row| row.tally.work.of(batching).mean_batch;
    columns.add(&format!("{} batch", batching.name()), "mean", |row| batch(row).map(number::three));
    columns.add("target", "", |row| Some(if row.verdict.met { "met" } else { "missed" }.to_string()));
    columns.found
}

/// The columns that say where the time went and what else was measured, stage by stage: a second table. None where there is
/// nothing to say beside the users.
pub fn stages(run: &Run) -> Vec<Column> {
    let mut columns = Columns { run, found: Vec::new() };
    columns.add("", "setting", |row| row.setting.clone());
    columns.add("", "users", |row| Some(row.tally.callers.to_string()));
    let who = columns.found.len();
    let waits =
        [Figure::Turn, Figure::Decision, Figure::SttFinal, Figure::Ttft, Figure::Ttfb, Figure::Play, Figure::BargeIn];
    for wait in waits {
        for percent in [50, 90, 95, 99] {
            columns.add_neighbour(wait, Stat::Percentile(percent));
        }
    }
    let skew = |row: &Row| Some(row.tally.figures.get(&Figure::Skew)?.magnitudes().at(Stat::Percentile(95)));
    columns.add("±skew", "p95 ms", |row| skew(row).map(number::milliseconds));
    columns.add_figure(Figure::Loss, Stat::Percentile(99));
    for figure in [Figure::Jumps, Figure::Premature] {
        columns.add_sum(figure);
    }
    for engine in Engine::ALL {
        let words = |row: &Row| row.tally.work.of(engine).words_per_s;
        columns.add("server's words/s", engine.name(), |row| words(row).map(number::three));
    }
    for engine in Engine::ALL {
        let rtf = |row: &Row| row.tally.work.of(engine).rtf;
        columns.add("server's RTF", engine.name(), |row| rtf(row).map(number::three));
    }
    if columns.found.len() == who { Vec::new() } else { columns.found }
}

/// Runs of neighbours under the same heading, as ranges.
pub fn grouped(columns: &[Column]) -> Vec<Range<usize>> {
    let mut groups: Vec<Range<usize>> = Vec::new();
    for (place, column) in columns.iter().enumerate() {
        match groups.last_mut() {
            Some(group) if columns[group.start].group == column.group && !column.group.is_empty() => {
                group.end = place + 1;
            }
            _ => groups.push(place..place + 1),
        }
    }
    groups
}

struct Columns<'a> {
    run: &'a Run,
    found: Vec<Column>,
}

impl Columns<'_> {
    fn add(&mut self, group: &str, head: &str, cell: impl Fn(&Row) -> Option<String>) {
        let cells: Vec<_> = self.run.rows.iter().map(cell).collect();
        if cells.iter().any(Option::is_some) {
            self.found.push(Column { group: group.to_string(), head: head.to_string(), cells });
        }
    }

    fn add_figure(&mut self, figure: Figure, stat: Stat) {
        if figure == self.run.kind.latency() {
            return self.add_neighbour(figure, stat);
        }
        let head = format!("{stat} {}", words::unit(figure.unit()));
        self.add(heading(figure), head.trim_end(), value(figure, stat));
    }

    /// How many there were in all of the step.
    fn add_sum(&mut self, figure: Figure) {
        let sum = |row: &Row| row.tally.figures.get(&figure).map(|spread| spread.values().iter().sum::<f64>());
        self.add(heading(figure), "all", |row| sum(row).map(|count| format!("{count:.0}")));
    }

    /// Neighbours share a heading with the unit in it; one alone has room for its unit below.
    fn add_neighbour(&mut self, figure: Figure, stat: Stat) {
        let group = format!("{} {}", heading(figure), words::unit(figure.unit()));
        self.add(&group, &stat.to_string(), value(figure, stat));
    }
}

fn value(figure: Figure, stat: Stat) -> impl Fn(&Row) -> Option<String> {
    move |row| row.tally.get(figure, stat).map(|value| cell(value, figure.unit()))
}

/// A figure's value in the unit that heads its column.
pub fn cell(value: f64, unit: Unit) -> String {
    match unit {
        Unit::Seconds => number::milliseconds(value),
        Unit::Share => number::percent(value),
        Unit::Count | Unit::PerSecond | Unit::Ratio => number::three(value),
    }
}

/// A figure's name where space is dear.
fn heading(figure: Figure) -> &'static str {
    match figure {
        Figure::SttFinal => "transcript",
        Figure::BargeIn => "barge-in",
        Figure::Rtf => "RTF",
        Figure::Words => "words/s",
        other => other.name(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::report::sample;

    fn heads(run: &Run) -> Vec<String> {
        columns(run).iter().map(|column| format!("{} {}", column.group, column.head).trim().to_string()).collect()
    }

    #[test]
    fn a_call_has_its_columns_and_no_empty_one() {
        let heads = heads(&sample::users());
        for wanted in
            ["users", "ok %", "turn ms p99", "barge-in p95 ms", "fps p05", "CPU ms/session-s server", "target"]
        {
            assert!(heads.iter().any(|head| head == wanted), "{wanted}: {heads:?}");
        }
        assert!(!heads.iter().any(|head| head.contains("RTF") || head.contains("setting")), "{heads:?}");
        assert!(columns(&sample::users()).iter().all(|column| column.cells.len() == 6));
    }

    #[test]
    fn a_door_is_told_by_its_own_wait() {
        let heads = heads(&sample::hostile());
        assert!(heads.contains(&"ttfb ms p50".to_string()) && heads.contains(&"RTF p99".to_string()), "{heads:?}");
        assert!(!heads.iter().any(|head| head.contains("turn") || head.contains("words")), "{heads:?}");
    }

    /// Every stage with four percentiles, and what the server's engines did; where there is nothing, no table.
    #[test]
    fn stages_have_a_table_of_their_own() {
        let found = stages(&sample::users());
        let heads: Vec<String> = found.iter().map(|column| format!("{} {}", column.group, column.head)).collect();
        for wanted in
            ["decision ms p90", "transcript ms p50", "play ms p99", "±skew p95 ms", "loss p99 %", "server's RTF tts"]
        {
            assert!(heads.iter().any(|head| head == wanted), "{wanted}: {heads:?}");
        }
        let at = |head: &str| found[heads.iter().position(|at| at == head).unwrap()].cells[0].clone();
        assert_eq!(at("server's words/s llm").as_deref(), Some("38.0"));
        assert!(stages(&sample::all_failed()).is_empty() && stages(&sample::nothing()).is_empty());
    }

    #[test]
    fn failure_leaves_few_columns() {
        assert_eq!(heads(&sample::all_failed()), ["users", "ok %", "answers per s", "target"]);
        assert!(heads(&sample::nothing()).is_empty());
    }
}
