//! core: a run as its plots look at it: the rows in order, the axis they share, the bound they must keep

use crate::load::figure::Unit;
use crate::load::report::number;
use crate::load::report::plot::{Axis, Bound};
use crate::load::report::run::{Row, Run};
use crate::load::spread::{Spread, Stat};

/// Rows from few users to many, whatever order they ran in; those of one setting together.
pub struct View<'a> {
    pub run: &'a Run,
    pub rows: Vec<&'a Row>,
}

impl<'a> View<'a> {
    pub fn of(run: &'a Run) -> Self {
        let mut rows: Vec<&Row> = run.rows.iter().collect();
        rows.sort_by_key(|row| row.tally.callers);
        if run.is_sweep() {
            // Settings stay in the order in which they were tried.
            rows.sort_by_key(|row| run.rows.iter().position(|first| first.setting == row.setting));
        }
        Self { run, rows }
    }

    /// The wait of a row.
    pub fn spread<'r>(&self, row: &'r Row) -> Option<&'r Spread> {
        row.tally.figures.get(&self.run.kind.latency())
    }

    /// What the wait is called.
    pub fn wait(&self) -> &'static str {
        self.run.kind.latency().title()
    }

    /// The bound that the target sets the wait, how high the plot must reach to show it, and a remark where it lies too high to
    /// be shown.
    pub fn bound(&self, most: f64) -> (Option<Bound>, f64, String) {
        let found = [99, 95, 90, 50].into_iter().find_map(|percent| {
            let stat = Stat::Percentile(percent);
            Some((stat, self.run.targets.bound(self.run.kind.latency(), stat)?))
        });
        let Some((stat, at)) = found else { return (None, most, String::new()) };
        let said = number::with_unit(at, Unit::Seconds);
        // A bound far above all values would press them to the ground.
        match at <= most * 2.5 {
            true => {
                let label = format!("target: {stat} ≤ {said}");
                (Some(Bound { at, label }), most.max(at * 1.08), String::new())
            }
            false => (None, most, format!(" The target, {stat} ≤ {said}, lies far above.")),
        }
    }

    /// The horizontal axis of rows: their users, or their names where they differ in more.
    pub fn across(&self) -> (Axis, Vec<f64>) {
        if !self.run.is_sweep() {
            let most = self.rows.iter().map(|row| row.tally.callers).max().unwrap_or(1);
            return (
                Axis::from_zero("users at once", most as f64, 6),
                self.rows.iter().map(|row| row.tally.callers as f64).collect(),
            );
        }
        let one_number = self.rows.iter().all(|row| row.tally.callers == self.rows[0].tally.callers);
        let key = |row: &Row| {
            row.setting.as_deref().and_then(|setting| setting.split_once('=')).map(|(key, _)| key.to_string())
        };
        let one_key = key(self.rows[0]).filter(|first| self.rows.iter().all(|row| key(row).as_ref() == Some(first)));
        let name = |row: &&Row| {
            let setting = row.setting.as_deref().unwrap_or_default();
            let value = match &one_key {
                Some(key) => setting[key.len() + 1..].to_string(),
                None => setting.to_string(),
            };
            if one_number { value } else { format!("{value} · {}", row.tally.callers) }
        };
        let names: Vec<String> = self.rows.iter().map(name).collect();
        let title =
            one_key.unwrap_or_else(|| "setting".to_string()) + if one_number { "" } else { " · users at once" };
        (Axis::of_names(&title, &names), (0..names.len()).map(|place| place as f64).collect())
    }

    /// What the rows differ in.
    pub fn grown(&self) -> &'static str {
        if self.run.is_sweep() { "by setting" } else { "by number of users" }
    }
}
