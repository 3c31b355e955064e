//! core: a run as a table: for the terminal, and in Markdown for a note
//! In:    a [`Run`].
//! Out:   text with its last line ended. Numbers stand right, under headings of two lines.
//! Never: draws colours: what is piped into a file stays readable.

use std::ops::Range;

use super::columns::{Column, columns, grouped, stages};
use super::number::DASH;
use super::run::Run;
use super::words;

/// For the terminal.
pub fn text(run: &Run) -> String {
    let mut lines = vec![plain(&run.title), format!("  {}", plain(&run.command)), format!("  {}", facts(run))];
    if !run.rows.is_empty() {
        lines.push(String::new());
        lines.extend(aligned(&columns(run), run.rows.len()));
    }
    let stages = stages(run);
    if !stages.is_empty() {
        lines.push(String::new());
        lines.push("Stage by stage:".to_string());
        lines.extend(aligned(&stages, run.rows.len()));
    }
    lines.push(String::new());
    lines.push(words::verdict(run));
    lines.push(format!("  target: {}", run.targets));
    lines.extend(words::remarks(run).iter().map(|remark| format!("  {}", plain(remark))));
    lines.join("\n") + "\n"
}

/// In Markdown.
pub fn markdown(run: &Run) -> String {
    let cell = |text: &str| plain(text).replace('\\', "\\\\").replace('|', "\\|");
    let mut lines = vec![format!("**{}** {}", cell(&run.title), words::verdict(run)), String::new()];
    for columns in [columns(run), stages(run)].iter().filter(|columns| !columns.is_empty()) {
        let row = |cells: Vec<String>| format!("| {} |", cells.join(" | "));
        let head = |column: &Column| cell(format!("{} {}", column.group, column.head).trim());
        let rule = |column: &Column| if column.head == "setting" { "---" } else { "--:" }.to_string();
        lines.push(row(columns.iter().map(head).collect()));
        lines.push(row(columns.iter().map(rule).collect()));
        lines.extend((0..run.rows.len()).map(|at| row(columns.iter().map(|column| cell(value(column, at))).collect())));
        lines.push(String::new());
    }
    lines.push(format!("Target: `{}`.", run.targets));
    lines.extend(words::remarks(run).iter().map(|remark| format!("- {}", cell(remark))));
    lines.push(format!("\n`{}`, {}.", plain(&run.command).replace('`', "'"), cell(&facts(run))));
    lines.join("\n") + "\n"
}

fn facts(run: &Run) -> String {
    let scenario = run.scenario.as_ref().map(|name| format!("scenario {name}"));
    let seed = run.seed.map(|seed| format!("seed {seed}"));
    let facts = [Some(run.kind.title().to_string()), scenario, seed, Some(run.machine.clone()), Some(run.date.clone())];
    let facts: Vec<String> =
        facts.into_iter().flatten().filter(|fact| !fact.is_empty()).map(|fact| plain(&fact)).collect();
    facts.join(" · ")
}

/// Two lines of headings, then the rows, each column as wide as its widest.
fn aligned(columns: &[Column], rows: usize) -> Vec<String> {
    let mut widths: Vec<usize> = columns
        .iter()
        .map(|column| {
            column.cells.iter().map(|cell| width(cell.as_deref().unwrap_or(DASH))).chain([width(&column.head)]).max()
        })
        .map(|widest| widest.unwrap_or(0))
        .collect();
    let groups = grouped(columns);
    let room = |widths: &[usize], group: &Range<usize>| {
        widths[group.clone()].iter().sum::<usize>() + GAP.len() * (group.len() - 1)
    };
    for group in &groups {
        // A heading that is wider than all that it heads makes the last of them wider.
        let missing = width(&columns[group.start].group).saturating_sub(room(&widths, group));
        widths[group.end - 1] += missing;
    }
    let right = |text: &str, wide: usize| format!("{}{text}", " ".repeat(wide.saturating_sub(width(text))));
    let top = groups.iter().map(|group| {
        let (room, title) = (room(&widths, group), &columns[group.start].group);
        match group.len() {
            1 => right(title, room),
            _ => {
                let dashes = room.saturating_sub(width(title) + 1);
                format!("{title} {}", "-".repeat(dashes))
            }
        }
    });
    let mut lines = vec![top.collect::<Vec<_>>().join(GAP)];
    let line = |cell: &dyn Fn(&Column) -> String| {
        let cells = columns.iter().zip(&widths).map(|(column, wide)| right(&plain(&cell(column)), *wide));
        cells.collect::<Vec<_>>().join(GAP).trim_end().to_string()
    };
    lines.push(line(&|column| column.head.clone()));
    lines.extend((0..rows).map(|row| line(&|column| value(column, row).to_string())));
    lines
}

fn value(column: &Column, row: usize) -> &str {
    column.cells[row].as_deref().unwrap_or(DASH)
}

/// Columns of a terminal that a text takes. Everything written here is one wide per character.
fn width(text: &str) -> usize {
    text.chars().count()
}

/// Without what would move the cursor or begin a new row.
fn plain(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect()
}

const GAP: &str = "  ";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::report::sample;

    /// Every number stands under the end of its heading: all lines of the table are equally long.
    #[test]
    fn columns_stand_under_each_other() {
        let run = sample::users();
        let lines = aligned(&columns(&run), run.rows.len());
        assert_eq!(lines.len(), 2 + 6);
        let last = |line: &String| line.chars().count();
        assert!(lines[2..].iter().all(|line| last(line) == last(&lines[2])), "{}", lines.join("\n"));
        for (row, line) in run.rows.iter().zip(&lines[2..]) {
            assert_eq!(line.split_whitespace().next(), Some(row.tally.callers.to_string().as_str()));
        }
        assert!(lines[0].contains("turn ms ---"), "{}", lines[0]);
    }

    #[test]
    fn what_missed_and_what_failed_stands_below() {
        let text = text(&sample::users());
        println!("{text}");
        assert!(text.contains("24 users missed: "), "{text}");
        assert!(text.contains("24 users failed: calls") && text.contains("busy"), "{text}");
        assert!(text.contains("the agent spoke 5") && text.contains("seed 7"), "{text}");
        assert!(text.contains("target: success:1.00,turn:p99@1.5s"), "{text}");
    }

    #[test]
    fn odd_runs_say_what_they_are() {
        for (run, said) in [
            (sample::nothing(), "Nothing was measured."),
            (sample::all_failed(), "Nothing was answered."),
            (sample::search(), "users are the most that meet the target."),
            (sample::sweep(), "tts.max_batch=8: not even one user meets the target."),
        ] {
            for text in [text(&run), markdown(&run)] {
                assert!(text.contains(said), "{text}");
                assert!(!text.contains("NaN") && !text.contains("inf"), "{text}");
            }
        }
    }

    /// A row of Markdown has as many cells as its heading, whatever the texts hold.
    #[test]
    fn markdown_keeps_its_cells_apart() {
        for run in [sample::users(), sample::hostile(), sample::sweep()] {
            let markdown = markdown(&run);
            let bars = |line: &str| line.replace("\\|", "").matches('|').count();
            let rows: Vec<&str> = markdown.lines().filter(|line| line.starts_with('|')).collect();
            assert_eq!(rows.len(), 2 * (2 + run.rows.len()));
            let (first, second) = rows.split_at(2 + run.rows.len());
            for rows in [first, second] {
                assert!(rows.iter().all(|row| bars(row) == bars(rows[0])), "{markdown}");
            }
        }
        assert!(!text(&sample::hostile()).contains('\u{7}'));
    }
}
