//! core: how the wait and the CPU grow with the users, or differ by setting

use super::Chart;
use super::view::View;
use crate::load::report::plot::{Axis, Ink, Lines, Plot, Series};
use crate::load::report::run::Row;
use crate::load::report::{number, words};
use crate::load::spread::Spread;

/// p50, p95 and p99 against the users. One step alone has nothing to be held against.
pub fn growth(view: &View) -> Option<Chart> {
    let rows: Vec<(&Row, &Spread)> = view.rows.iter().filter_map(|row| Some((*row, view.spread(row)?))).collect();
    let title = format!("The wait {}", view.grown());
    match rows.len() {
        0 => return view.rows.first().and_then(|_| unmeasured(view, &title)),
        1 => return None,
        _ => {}
    }
    let most = rows.iter().map(|(_, spread)| spread.percentile(99)).fold(0.0, f64::max);
    let (bound, most, remark) = view.bound(most);
    let (x, places) = view.across();
    let series = SHARES.into_iter().enumerate().map(|(place, percent)| {
        let at = |(row, x): (&&Row, &f64)| Some((*x, view.spread(row)?.percentile(percent), row.label()));
        let points: Vec<(f64, f64, String)> = view.rows.iter().zip(&places).filter_map(at).collect();
        Series {
            tag: format!("p{percent}"),
            ink: Ink::of_step(place, SHARES.len()),
            tips: points
                .iter()
                .map(|(_, value, label)| format!("{label}: p{percent} {}", number::time(*value)))
                .collect(),
            points: points.into_iter().map(|(x, value, _)| (x, value)).collect(),
        }
    });
    let series: Vec<Series> = series.collect();
    let cells = rows.iter().map(|(row, spread)| {
        let times = SHARES.iter().map(|percent| number::time(spread.percentile(*percent)));
        [row.label()].into_iter().chain(times).collect()
    });
    Some(Chart {
        title,
        lead: format!(
            "{}: half of all answers begin by p50, all but one in a hundred by p99.{remark}",
            words::capitalised(view.wait())
        ),
        legend: legend(&series),
        cells: cells.collect(),
        heads: ["step", "p50", "p95", "p99"].map(String::from).into(),
        plot: Some(Plot::Lines(Lines { x, y: Axis::of_time("wait, ", most, 5), series, bound })),
    })
}

/// CPU per second of session, likewise.
pub fn cpu(view: &View) -> Option<Chart> {
    let server = |row: &Row| row.tally.server.and_then(|cost| cost.cpu_ms_per_session_s);
    let own = |row: &Row| row.tally.own.cpu_ms_per_session_s;
    type Share = fn(&Row) -> Option<f64>;
    let sides: [(&str, Share); 2] = [("server", server), ("callers", own)];
    if view.rows.len() < 2 {
        return None;
    }
    let (x, places) = view.across();
    let series = sides.into_iter().enumerate().map(|(slot, (name, share))| {
        let rows = view.rows.iter().zip(&places);
        let points: Vec<(f64, f64, String)> = rows
            .filter_map(|(row, x)| Some((*x, share(row)?, row.label())))
            .filter(|(_, value, _)| value.is_finite())
            .collect();
        Series {
            tag: name.to_string(),
            ink: Ink::Slot(slot),
            tips: points
                .iter()
                .map(|(_, value, label)| format!("{label}: {name} {} ms", number::three(*value)))
                .collect(),
            points: points.into_iter().map(|(x, value, _)| (x, value)).collect(),
        }
    });
    let series: Vec<Series> = series.filter(|series| !series.points.is_empty()).collect();
    if series.is_empty() {
        return None;
    }
    let most = series.iter().flat_map(|series| &series.points).map(|(_, value)| *value).fold(0.0, f64::max);
    let cell = |value: Option<f64>| value.map_or(number::DASH.to_string(), number::three);
    let seen = view.rows.iter().any(|row| server(row).is_some());
    let unseen = if seen { "" } else { " The server's own could not be seen." };
    Some(Chart {
        title: format!("CPU {}", view.grown()),
        lead: format!(
            "Milliseconds of CPU for each second that one caller is connected: 1000 would be a core for each.{unseen}"
        ),
        legend: legend(&series),
        cells: view.rows.iter().map(|row| vec![row.label(), cell(server(row)), cell(own(row))]).collect(),
        heads: ["step", "server, ms", "callers, ms"].map(String::from).into(),
        plot: Some(Plot::Lines(Lines { x, y: Axis::from_zero("ms per session-second", most, 5), series, bound: None })),
    })
}

fn unmeasured(view: &View, title: &str) -> Option<Chart> {
    let lead = format!("Nothing to draw: {} was never measured.", view.wait());
    Some(Chart { title: title.to_string(), lead, legend: vec![], plot: None, heads: vec![], cells: vec![] })
}

fn legend(series: &[Series]) -> Vec<(Ink, String)> {
    series.iter().map(|series| (series.ink, series.tag.clone())).collect()
}

/// What a curve of the wait is made of.
const SHARES: [u8; 3] = [50, 95, 99];
