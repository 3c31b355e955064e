//! core: what failed, by cause

use super::Chart;
use super::view::View;
use crate::load::outcome::Cause;
use crate::load::report::plot::{Axis, Bar, Bars, Group, Ink, Part, Plot};
use crate::load::report::run::Row;
use crate::load::report::words;
use crate::load::tally::Score;

/// What failed, by cause.
pub fn failures(view: &View) -> Option<Chart> {
    let total = |row: &Row, cause: Cause| {
        let of = |score: &Score| score.failures.get(&cause).copied().unwrap_or(0);
        of(&row.tally.calls) + of(&row.tally.requests)
    };
    let failed = |row: &Row| Cause::ALL.into_iter().map(|cause| total(row, cause)).sum::<usize>();
    let all = |row: &Row| row.tally.calls.total + row.tally.requests.total;
    let title = "What failed".to_string();
    let most = view.rows.iter().map(|row| failed(row)).max()?;
    if most == 0 {
        let asked: usize = view.rows.iter().map(|row| row.tally.requests.total).sum();
        let calls: usize = view.rows.iter().map(|row| row.tally.calls.total).sum();
        let lead = format!("Nothing: {calls} calls and {asked} requests went as they should.");
        return Some(Chart { title, lead, legend: vec![], plot: None, heads: vec![], cells: vec![] });
    }
    let used: Vec<Cause> =
        Cause::ALL.into_iter().filter(|cause| view.rows.iter().any(|row| total(row, *cause) > 0)).collect();
    let ink = |cause: Cause| Ink::Slot(Cause::ALL.iter().position(|other| *other == cause).unwrap_or(0));
    let group = |row: &&Row| {
        let parts = used.iter().filter(|cause| total(row, **cause) > 0).map(|cause| Part {
            ink: ink(*cause),
            value: total(row, *cause) as f64,
            label: total(row, *cause).to_string(),
            tip: format!("{cause}: {}", total(row, *cause)),
        });
        let bar = Bar { name: String::new(), parts: parts.collect(), end: format!("{} of {}", failed(row), all(row)) };
        Group { name: row.label(), bars: vec![bar] }
    };
    let rows: Vec<&Row> = view.rows.iter().copied().filter(|row| failed(row) > 0).collect();
    let others = match view.rows.len() - rows.len() {
        0 => String::new(),
        1 => " In the other step nothing failed.".to_string(),
        others => format!(" In the other {others} steps nothing failed."),
    };
    let cells = used.iter().map(|cause| {
        let counts = view.rows.iter().map(|row| total(row, *cause).to_string());
        [format!("{cause}: {}", words::meaning(*cause))].into_iter().chain(counts).collect()
    });
    Some(Chart {
        title,
        lead: format!(
            "Calls and requests that did not go as they should, by cause; behind each bar, of how many.{others}"
        ),
        legend: used.iter().map(|cause| (ink(*cause), format!("{cause}: {}", words::meaning(*cause)))).collect(),
        cells: cells.collect(),
        heads: ["cause".to_string()].into_iter().chain(view.rows.iter().map(|row| row.label())).collect(),
        plot: Some(Plot::Bars(Bars {
            axis: Axis::from_zero("calls and requests", most as f64, most.min(6)),
            groups: rows.iter().map(group).collect(),
        })),
    })
}
