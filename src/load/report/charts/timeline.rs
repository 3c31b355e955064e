//! core: every request in its time, in the order in which the steps ran

use super::Chart;
use super::view::View;
use crate::load::report::number;
use crate::load::report::plot::{Axis, Band, Dots, Ink, Plot};
use crate::load::report::run::Row;

/// Every request, in the order in which the steps ran.
pub fn timeline(view: &View) -> Option<Chart> {
    let rows = &view.run.rows;
    let answered = |row: &Row| -> Vec<(f64, f64)> {
        row.asked
            .iter()
            .filter(|asked| asked.failure.is_none())
            .filter_map(|asked| Some((asked.at_s, asked.latency_s?)))
            .collect()
    };
    let failed = |row: &Row| -> Vec<f64> {
        row.asked.iter().filter(|asked| asked.failure.is_some()).map(|asked| asked.at_s).collect()
    };
    let longest = |row: &Row| row.asked.iter().map(|asked| asked.at_s).fold(row.tally.lasted_s.max(0.001), f64::max);
    if rows.iter().all(|row| row.asked.is_empty()) {
        return None;
    }
    let most = rows.iter().flat_map(answered).map(|(_, latency)| latency).fold(0.0, f64::max);
    let (bound, most, remark) = view.bound(most);
    let mut bands = Vec::new();
    let mut from = 0.0;
    for row in rows {
        let to = from + longest(row);
        let place = view.rows.iter().position(|other| std::ptr::eq(*other, row)).unwrap_or(0);
        bands.push(Band {
            name: row.label(),
            ink: Ink::of_step(place, rows.len()),
            from,
            to,
            answered: answered(row).into_iter().map(|(x, y)| (from + x, y)).collect(),
            failed: failed(row).into_iter().map(|x| from + x).collect(),
        });
        from = to;
    }
    if rows.len() > 4 && !view.run.is_sweep() {
        bands.iter_mut().zip(rows).for_each(|(band, row)| band.name = row.tally.callers.to_string());
    }
    let failures = if rows.iter().any(|row| !failed(row).is_empty()) {
        " A cross at the top is a request that failed."
    } else {
        ""
    };
    let cells = rows.iter().map(|row| {
        let slowest = answered(row).into_iter().max_by(|one, other| one.1.total_cmp(&other.1));
        let slowest =
            slowest.map_or(number::DASH.to_string(), |(at, latency)| format!("{} at {at:.0} s", number::time(latency)));
        vec![row.label(), answered(row).len().to_string(), failed(row).len().to_string(), slowest]
    });
    Some(Chart {
        title: "Every request in its time".to_string(),
        lead: format!(
            "A dot for each answer: when it was asked for and how long it took to begin. Steps stand side by side in the order in which they ran, named by their users.{failures}{remark}"
        ),
        legend: vec![],
        cells: cells.collect(),
        heads: ["step", "answered", "failed", "slowest"].map(String::from).into(),
        plot: Some(Plot::Dots(Dots {
            x: Axis::of_time("time in the run, ", from, 8).ending_at(from),
            y: Axis::of_time("wait, ", most, 5),
            bands,
            bound,
        })),
    })
}
