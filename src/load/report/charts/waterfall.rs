//! core: where the wait goes: stage after stage, the median above the 95th percentile

use super::Chart;
use super::view::View;
use crate::load::report::number;
use crate::load::report::plot::{Axis, Bar, Bars, Group, Ink, Part, Plot};
use crate::load::report::run::Row;
use crate::load::report::stages::{Stage, StageTimes};

/// The waterfall: stage after stage, median above p95.
pub fn waterfall(view: &View) -> Option<Chart> {
    let rows: Vec<&Row> = view.rows.iter().copied().filter(|row| !row.stages.is_empty()).collect();
    if rows.is_empty() {
        return None;
    }
    type Time = fn(&StageTimes) -> f64;
    let stats: [(u8, Time); 2] = [(50, |at| at.p50_s), (95, |at| at.p95_s)];
    let group = |row: &&Row| {
        let bar = |(percent, of): (u8, Time)| {
            let name = format!("p{percent}");
            let whole = view.spread(row).map(|spread| number::time(spread.percentile(percent)));
            let part = |at: &StageTimes| Part {
                ink: ink(at.stage),
                value: of(at),
                label: number::milliseconds(of(at)),
                tip: format!("{} {name}: {}", at.stage.title(), number::time(of(at))),
            };
            Bar {
                parts: row.stages.iter().map(part).collect(),
                end: whole.map_or(String::new(), |whole| format!("whole: {whole}")),
                name,
            }
        };
        Group { name: row.label(), bars: stats.map(bar).into() }
    };
    let groups: Vec<Group> = rows.iter().map(group).collect();
    let used =
        Stage::ALL.into_iter().filter(|stage| rows.iter().any(|row| row.stages.iter().any(|at| at.stage == *stage)));
    let used: Vec<Stage> = used.collect();
    let cells = rows.iter().map(|row| {
        let both = |stage: &Stage| {
            let at = row.stages.iter().find(|at| at.stage == *stage);
            at.map_or(number::DASH.to_string(), |at| {
                format!("{} / {}", number::milliseconds(at.p50_s), number::milliseconds(at.p95_s))
            })
        };
        [row.label()].into_iter().chain(used.iter().map(both)).collect()
    });
    let most = rows.iter().map(|row| row.stages.iter().map(|at| at.p95_s).sum::<f64>()).fold(0.0, f64::max);
    Some(Chart {
        title: "Where the wait goes".to_string(),
        lead: "From the end of the caller's speech to the first sound of the answer, by the server's own trace of each \
               turn; the last part is what is left until the caller hears it. Each part is the p50 or the p95 of its stage: they need not add up to the p50 or p95 of the whole."
            .to_string(),
        legend: used.iter().map(|stage| (ink(*stage), stage.title().to_string())).collect(),
        cells: cells.collect(),
        heads: ["step, p50 / p95 in ms".to_string()].into_iter().chain(used.iter().map(|stage| stage.title().to_string())).collect(),
        plot: Some(Plot::Bars(Bars { axis: Axis::of_time("since the end of the speech, ", most, 6), groups })),
    })
}

fn ink(stage: Stage) -> Ink {
    Ink::Slot(Stage::ALL.iter().position(|other| *other == stage).unwrap_or(0))
}
