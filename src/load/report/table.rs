//! core: a run as a table: for the terminal, and in Markdown for a note
//! In:    a [`Run`].
//! Out:   text with its last line ended. Numbers stand right, under headings of two lines.
//! Never: draws colours: what is piped into a file stays readable.

use super::columns::{Column, columns};
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
    lines.push(String::new());
    lines.push(words::verdict(run));
    lines.push(format!("  target: {}", run.targets));
    lines.extend(remarks(run).into_iter().map(|remark| format!("  {remark}")));
    lines.join("\n") + "\n"
}

/// In Markdown.
pub fn markdown(run: &Run) -> String {
    let cell = |text: &str| plain(text).replace('\\', "\\\\").replace('|', "\\|");
    let mut lines = vec![format!("**{}** {}", cell(&run.title), words::verdict(run)), String::new()];
    let columns = columns(run);
    if !columns.is_empty() {
        let row = |cells: Vec<String>| format!("| {} |", cells.join(" | "));
        let head = |column: &Column| cell(format!("{} {}", column.group, column.head).trim());
        lines.push(row(columns.iter().map(head).collect()));
        lines.push(row(columns
            .iter()
            .map(|column| if column.head == "setting" { "---" } else { "--:" }.to_string())
            .collect()));
        for number in 0..run.rows.len() {
            lines.push(row(columns.iter().map(|column| cell(value(column, number))).collect()));
        }
        lines.push(String::new());
    }
    lines.push(format!("Target: `{}`.", run.targets));
    lines.extend(remarks(run).iter().map(|remark| format!("- {}", cell(remark))));
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

/// What stands below the table: each search, each row that missed and why, each that had failures, and what else to know.
fn remarks(run: &Run) -> Vec<String> {
    let mut remarks = Vec::new();
    if run.maxima.len() > 1 {
        remarks.extend(run.maxima.iter().map(words::maximum));
    }
    for row in run.rows.iter().filter(|row| !row.verdict.met) {
        remarks.push(format!("{} missed: {}", row.label(), words::missed(row).join("; ")));
    }
    for row in &run.rows {
        remarks.extend(words::failures(row).map(|failures| format!("{} failed: {failures}", row.label())));
    }
    remarks.extend(words::talk(run));
    remarks.extend(run.notes.iter().cloned());
    remarks.iter().map(|remark| plain(remark)).collect()
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
    let groups: Vec<(usize, usize)> = grouped(columns);
    for (start, end) in &groups {
        // A heading that is wider than all that it heads makes the last of them wider.
        let room: usize = widths[*start..*end].iter().sum::<usize>() + GAP.len() * (end - start - 1);
        widths[end - 1] += width(&columns[*start].group).saturating_sub(room);
    }
    let right = |text: &str, wide: usize| format!("{}{text}", " ".repeat(wide.saturating_sub(width(text))));
    let top = groups.iter().map(|(start, end)| {
        let room: usize = widths[*start..*end].iter().sum::<usize>() + GAP.len() * (end - start - 1);
        let title = &columns[*start].group;
        match end - start {
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

/// Runs of neighbours with the same heading, as ranges.
fn grouped(columns: &[Column]) -> Vec<(usize, usize)> {
    let mut groups: Vec<(usize, usize)> = Vec::new();
    for (place, column) in columns.iter().enumerate() {
        match groups.last_mut() {
            Some((start, end)) if columns[*start].group == column.group && !column.group.is_empty() => *end = place + 1,
            _ => groups.push((place, place + 1)),
        }
    }
    groups
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
            assert_eq!(rows.len(), 2 + run.rows.len());
            assert!(rows.iter().all(|row| bars(row) == bars(rows[0])), "{markdown}");
        }
        assert!(!text(&sample::hostile()).contains('\u{7}'));
    }
}
