//! door: what the plots of a run show
//!
//! A [`Chart`] each for the wait and the CPU as the users grow, the stages of the wait, its tail, the failures, and every
//! request in its time; each with its numbers as a table. A chart without data is a sentence.

mod failures;
mod growth;
mod tail;
mod timeline;
mod view;
mod waterfall;

use super::plot::{Ink, Plot};
use super::run::Run;
use view::View;

/// One figure of the report.
pub struct Chart {
    pub title: String,
    /// How to read it.
    pub lead: String,
    pub legend: Vec<(Ink, String)>,
    /// `None`: there was nothing to draw, and the lead says why.
    pub plot: Option<Plot>,
    pub heads: Vec<String>,
    pub cells: Vec<Vec<String>>,
}

/// All charts of a run, most telling first.
pub fn charts(run: &Run) -> Vec<Chart> {
    let view = View::of(run);
    let charts = [
        growth::growth(&view),
        growth::cpu(&view),
        waterfall::waterfall(&view),
        tail::tail(&view),
        failures::failures(&view),
        timeline::timeline(&view),
    ];
    charts.into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::report::sample;

    fn titles(run: &Run) -> Vec<String> {
        charts(run).into_iter().map(|chart| chart.title).collect()
    }

    #[test]
    fn every_step_is_in_every_chart() {
        let run = sample::search();
        let charts = charts(&run);
        assert_eq!(charts.len(), 6);
        for chart in &charts {
            let told = format!("{:?} {:?}", chart.heads, chart.cells);
            for row in &run.rows {
                assert!(told.contains(&format!("{:?}", row.label())), "{}: {}", chart.title, row.label());
            }
        }
        let Some(Plot::Lines(growth)) = &charts[0].plot else { panic!("no lines") };
        for series in &growth.series {
            assert!(series.points.windows(2).all(|pair| pair[0].0 < pair[1].0), "from few users to many");
        }
    }

    /// One step alone is not held against others, and no step at all is not drawn.
    #[test]
    fn one_step_has_no_curve() {
        let mut one = sample::users();
        one.rows.truncate(1);
        let wanted = ["Where the wait goes", "The wait of all answers", "What failed", "Every request in its time"];
        assert_eq!(titles(&one), wanted);
        assert!(titles(&sample::nothing()).is_empty());
    }

    #[test]
    fn without_data_there_is_a_sentence() {
        assert_eq!(titles(&sample::all_failed()), ["The wait by number of users", "What failed"]);
        assert!(charts(&sample::all_failed())[0].plot.is_none());
        let mut well = sample::users();
        well.rows.truncate(2);
        let failures = charts(&well).into_iter().find(|chart| chart.title == "What failed").unwrap();
        assert!(failures.plot.is_none() && failures.lead.starts_with("Nothing: 3 calls and"), "{}", failures.lead);
    }
}
