//! core: how long the wait is for each share of the answers

use super::Chart;
use super::view::View;
use crate::load::report::number;
use crate::load::report::plot::{Axis, Ink, Lines, Plot, Series, nines};
use crate::load::report::run::Row;
use crate::load::spread::Spread;

/// How long the wait is for each share of the answers.
pub fn tail(view: &View) -> Option<Chart> {
    let rows: Vec<(&Row, &Spread)> = view.rows.iter().filter_map(|row| Some((*row, view.spread(row)?))).collect();
    let most = rows.iter().map(|(_, spread)| spread.max()).fold(0.0, f64::max);
    let count = rows.iter().map(|(_, spread)| spread.count()).max()?;
    let (bound, most, remark) = view.bound(most);
    let series = rows.iter().enumerate().map(|(place, (row, spread))| Series {
        tag: match &row.setting {
            Some(setting) => setting.rsplit('=').next().unwrap_or_default().to_string(),
            None => row.tally.callers.to_string(),
        },
        ink: Ink::of_step(place, rows.len()),
        points: curve(spread),
        tips: vec![],
    });
    let series: Vec<Series> = series.collect();
    const TOLD: [u8; 5] = [50, 75, 90, 95, 99];
    let cells = rows.iter().map(|(row, spread)| {
        let times = TOLD.iter().map(|percent| number::time(spread.percentile(*percent)));
        [row.label()].into_iter().chain(times).chain([number::time(spread.max()), spread.count().to_string()]).collect()
    });
    Some(Chart {
        title: "The wait of all answers".to_string(),
        lead: format!(
            "How long at most so many percent of the answers took to begin. The last 10 % have as much room as the 90 % before them, and so on: a tail that turns up is what callers remember.{remark}"
        ),
        legend: rows.iter().zip(&series).map(|((row, _), series)| (series.ink, row.label())).collect(),
        cells: cells.collect(),
        heads: ["step", "p50", "p75", "p90", "p95", "p99", "max", "answers"].map(String::from).into(),
        plot: Some(Plot::Lines(Lines {
            x: Axis::of_tail("% of the answers", count),
            y: Axis::of_time("wait, ", most, 5),
            series,
            bound,
        })),
    })
}

/// Of so many values as a plot can show, the wait at each share.
fn curve(spread: &Spread) -> Vec<(f64, f64)> {
    let count = spread.count();
    let share = |rank: usize| (rank as f64 + 0.5) / count as f64;
    let mut points: Vec<(f64, f64)> = Vec::new();
    for (rank, value) in spread.values().iter().enumerate() {
        let x = nines(share(rank));
        let is_new = points.last().is_none_or(|(last, _)| x - last > 0.01);
        if is_new || rank + 1 == count {
            points.push((x, *value));
        }
    }
    points
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A long run is thinned out where its points would lie on each other, and keeps its worst.
    #[test]
    fn a_curve_keeps_its_ends() {
        let spread = Spread::of((0..20_000).map(f64::from)).unwrap();
        let curve = curve(&spread);
        assert!(curve.len() < 500, "{}", curve.len());
        assert_eq!(curve.last().map(|(_, value)| *value), Some(19_999.0));
        assert!(curve.windows(2).all(|pair| pair[0].0 < pair[1].0 && pair[0].1 < pair[1].1));
    }
}
