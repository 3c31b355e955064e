//! core: a run as one page that needs nothing but a browser
//! In:    a [`Run`].
//! Out:   HTML with its style and its plots inside; light or dark as the reader's system is, for screens and phones.
//! Never: loads anything, runs a script, or lets a text of the run become markup.

use super::charts::{Chart, charts};
use super::columns::{Column, cell, columns, grouped, stages};
use super::markup::{escape, table};
use super::number::{self, DASH};
use super::plot::Width;
use super::run::{Kind, Row, Run};
use super::words;
use crate::load::figure::Unit;

/// The whole page.
pub fn page(run: &Run) -> String {
    let title = escape(&run.title);
    let mut body = header(run);
    if let Some(row) = telling(run) {
        body += &tiles(run, row);
        body += &targets(run, row);
        body += &section("steps", "Step by step", &(steps(run, &columns(run), "All steps") + &remarks(run)));
    } else {
        body += &remarks(run);
    }
    let stages = stages(run);
    if !stages.is_empty() {
        body += &section("stages", "Stage by stage", &steps(run, &stages, "All stages"));
    }
    for (number, chart) in charts(run).iter().enumerate() {
        body += &figure(number, chart);
    }
    body += &all_figures(run);
    body += &about(run);
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<meta name=\"color-scheme\" content=\"light dark\">\n<title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n{body}</body>\n</html>\n"
    )
}

const STYLE: &str = include_str!("page.css");

fn header(run: &Run) -> String {
    let state = if run.rows.is_empty() {
        "none"
    } else if run.met() || run.maxima.iter().any(|maximum| maximum.callers.is_some()) {
        "met"
    } else if run.rows.iter().any(|row| row.verdict.met) {
        "some"
    } else {
        "missed"
    };
    let facts = [Some(run.kind.title()), Some(run.date.as_str()), run.cut_short().then_some("ended before its time")];
    let facts: Vec<String> = facts.into_iter().flatten().filter(|fact| !fact.is_empty()).map(escape).collect();
    format!(
        "<header>\n<p class=\"brand\">Visavis <span>load report</span></p>\n<h1>{}</h1>\n<p class=\"facts\">{}</p>\n<p class=\"verdict {state}\">{}</p>\n</header>\n<main>\n",
        escape(&run.title),
        facts.join(" · "),
        escape(&words::verdict(run)),
    )
}

/// The row whose numbers stand on top: what a search found, else the most users that met the target, else the last.
fn telling(run: &Run) -> Option<&Row> {
    let found = run.maxima.iter().filter(|maximum| maximum.callers.is_some()).max_by_key(|maximum| maximum.callers);
    let by_search = found.and_then(|found| {
        run.rows.iter().find(|row| Some(row.tally.callers) == found.callers && row.setting == found.setting)
    });
    let by_target = || run.rows.iter().filter(|row| row.verdict.met).max_by_key(|row| row.tally.callers);
    by_search.or_else(by_target).or(run.rows.last())
}

fn tiles(run: &Run, row: &Row) -> String {
    let tally = &row.tally;
    let wait = tally.figures.get(&run.kind.latency());
    let time = |percent: u8| {
        wait.map_or(DASH.to_string(), |spread| number::with_unit(spread.percentile(percent), Unit::Seconds))
    };
    let mut tiles = vec![
        ("users at once".to_string(), tally.callers.to_string(), row.setting.clone().unwrap_or_default()),
        (run.kind.latency().title().to_string(), time(50), format!("p95 {}, p99 {}", time(95), time(99))),
        (
            "went well".to_string(),
            tally.success().map_or(DASH.to_string(), |share| format!("{} %", number::success(share))),
            format!(
                "{} of {} calls, {} of {} requests",
                tally.calls.ok(),
                tally.calls.total,
                tally.requests.ok(),
                tally.requests.total
            ),
        ),
    ];
    let cpu = |cost: Option<f64>| cost.map_or(DASH.to_string(), |ms| format!("{} ms", number::three(ms)));
    if let Some(server) = tally.server {
        let own = cpu(tally.own.cpu_ms_per_session_s);
        tiles.push(("CPU per session-second".to_string(), cpu(server.cpu_ms_per_session_s), format!("callers {own}")));
        let growth = server.rss_mb_per_session.map_or(DASH.to_string(), |mb| format!("{} MB", number::three(mb)));
        tiles.push(("memory per session".to_string(), growth, format!("{} MB in all", number::three(server.rss_mb))));
    }
    if let (Some(agent), Some(caller)) = (tally.agent_spoke, tally.caller_spoke)
        && run.kind == Kind::Calls
    {
        tiles.push((
            "the agent spoke".to_string(),
            format!("{:.0} %", agent * 100.0),
            format!("a caller {:.0} %", caller * 100.0),
        ));
    }
    let tile = |(name, value, more): &(String, String, String)| {
        format!(
            "<div><dt>{}</dt><dd>{}</dd><dd class=\"more\">{}</dd></div>\n",
            escape(name),
            escape(value),
            escape(more)
        )
    };
    format!("<dl class=\"tiles\">\n{}</dl>\n", tiles.iter().map(tile).collect::<String>())
}

fn targets(run: &Run, row: &Row) -> String {
    let line = |line| {
        let judged = words::judged(line);
        let class = judged.result.replace(' ', "-");
        format!(
            "<tr><th scope=\"row\">{}</th><td>{}</td><td>{}</td><td><span class=\"mark {class}\">{}</span></td></tr>\n",
            escape(&judged.name),
            escape(&judged.wanted),
            escape(&judged.got),
            judged.result
        )
    };
    let lines: String = row.verdict.lines.iter().map(line).collect();
    let caption = format!("Targets, and what {} got", row.label());
    let body = format!(
        "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"{0}\"><table class=\"targets\"><caption>{0}</caption>\n<thead><tr><th scope=\"col\">target</th><th scope=\"col\">wanted</th><th scope=\"col\">got</th><th scope=\"col\">result</th></tr></thead>\n<tbody>\n{lines}</tbody></table></div>\n<p class=\"note\"><code>{1}</code></p>\n",
        escape(&caption),
        escape(&run.targets.to_string())
    );
    section("targets", "Targets", &body)
}

/// A table of the terminal, with its headings in two rows.
fn steps(run: &Run, columns: &[Column], label: &str) -> String {
    let top = grouped(columns).into_iter().map(|group| {
        let title = escape(&columns[group.start].group);
        match group.len() {
            1 => format!("<td>{title}</td>"),
            wide => format!("<th scope=\"colgroup\" colspan=\"{wide}\">{title}</th>"),
        }
    });
    let top: String = top.collect();
    let heads: String =
        columns.iter().map(|column| format!("<th scope=\"col\">{}</th>", escape(&column.head))).collect();
    let row = |(number, row): (usize, &Row)| {
        let cell = |(place, column): (usize, &Column)| {
            let text = escape(column.cells[number].as_deref().unwrap_or(DASH));
            match place {
                0 => format!("<th scope=\"row\">{text}</th>"),
                _ if column.group == "target" => format!("<td><span class=\"mark {text}\">{text}</span></td>"),
                _ => format!("<td>{text}</td>"),
            }
        };
        let class = if row.verdict.met { "met" } else { "missed" };
        format!("<tr class=\"{class}\">{}</tr>\n", columns.iter().enumerate().map(cell).collect::<String>())
    };
    let rows: String = run.rows.iter().enumerate().map(row).collect();
    format!(
        "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"{label}\"><table class=\"steps\"><thead>\n<tr class=\"groups\">{top}</tr>\n<tr>{heads}</tr></thead>\n<tbody>\n{rows}</tbody></table></div>\n"
    )
}

fn remarks(run: &Run) -> String {
    let remarks = words::remarks(run);
    if remarks.is_empty() {
        return String::new();
    }
    let items: String = remarks.iter().map(|remark| format!("<li>{}</li>\n", escape(remark))).collect();
    format!("<ul class=\"remarks\">\n{items}</ul>\n")
}

fn figure(number: usize, chart: &Chart) -> String {
    let id = format!("plot-{number}");
    let legend = |(ink, name): &(super::plot::Ink, String)| {
        format!("<li><i style=\"--ink:{}\"></i>{}</li>\n", ink.css(), escape(name))
    };
    let legend: String = chart.legend.iter().map(legend).collect();
    let legend = if legend.is_empty() { legend } else { format!("<ul class=\"legend\">\n{legend}</ul>\n") };
    let draw =
        |width| chart.plot.as_ref().map_or(String::new(), |plot| plot.draw(&id, &chart.title, &chart.lead, width));
    let numbers = match chart.cells.is_empty() {
        true => String::new(),
        false => format!(
            "<details><summary>The numbers</summary>\n{}</details>\n",
            table(&chart.title, &chart.heads, &chart.cells)
        ),
    };
    let body = format!(
        "<p class=\"lead\">{}</p>\n{legend}{}{}{numbers}",
        escape(&chart.lead),
        draw(Width::Screen),
        draw(Width::Phone)
    );
    section(&id, &chart.title, &body)
}

/// Whatever was measured, step by step, folded away.
fn all_figures(run: &Run) -> String {
    let heads = ["figure", "count", "mean", "min", "p05", "p50", "p90", "p95", "p99", "max"].map(String::from);
    let of = |row: &Row| {
        let line = |(figure, spread): (&crate::load::figure::Figure, &crate::load::spread::Spread)| {
            let unit = words::unit(figure.unit());
            let name = if unit.is_empty() { figure.title().to_string() } else { format!("{}, {unit}", figure.title()) };
            let p = |percent| spread.percentile(percent);
            let values = [spread.mean(), spread.min(), p(5), p(50), p(90), p(95), p(99), spread.max()];
            let cells = values.into_iter().map(|value| cell(value, figure.unit()));
            [name, spread.count().to_string()].into_iter().chain(cells).collect()
        };
        let rows: Vec<Vec<String>> = row.tally.figures.iter().map(line).collect();
        let label = row.label();
        format!("<details><summary>{}</summary>\n{}</details>\n", escape(&label), table(&label, &heads, &rows))
    };
    let steps: String = run.rows.iter().filter(|row| !row.tally.figures.is_empty()).map(of).collect();
    if steps.is_empty() {
        return steps;
    }
    section("figures", "All that was measured", &steps)
}

fn about(run: &Run) -> String {
    let facts = [
        ("command", Some(run.command.clone())),
        ("scenario", run.scenario.clone()),
        ("seed", run.seed.map(|seed| seed.to_string())),
        ("machine", Some(run.machine.clone())),
        ("date", Some(run.date.clone())),
    ];
    let fact = |(name, value): (&str, Option<String>)| {
        let value = value.filter(|value| !value.is_empty())?;
        let value = if name == "command" { format!("<code>{}</code>", escape(&value)) } else { escape(&value) };
        Some(format!("<dt>{name}</dt><dd>{value}</dd>\n"))
    };
    let facts: String = facts.into_iter().filter_map(fact).collect();
    let how = "Percentiles are by nearest rank: each is a value that was really measured, and of fewer than a hundred the p99 is the \
               largest. A session-second is a second for which one caller was connected. Memory per session is what the \
               server grew by in a step, for each caller.";
    section(
        "about",
        "How it was measured",
        &format!("<dl class=\"about\">\n{facts}</dl>\n<p class=\"note\">{how}</p>\n"),
    ) + "</main>\n"
}

fn section(id: &str, title: &str, body: &str) -> String {
    format!("<section aria-labelledby=\"{id}-h\">\n<h2 id=\"{id}-h\">{}</h2>\n{body}</section>\n", escape(title))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::report::markup::assert_well_formed;
    use crate::load::report::sample;

    fn samples() -> Vec<(&'static str, Run)> {
        let mut one = sample::users();
        one.rows.drain(..3);
        one.rows.truncate(1);
        vec![
            ("users", sample::users()),
            ("search", sample::search()),
            ("sweep", sample::sweep()),
            ("one", one),
            ("all-failed", sample::all_failed()),
            ("nothing", sample::nothing()),
            ("hostile", sample::hostile()),
        ]
    }

    /// Whatever the run: tags close, no number is none, nothing is loaded from anywhere, and ids are unique.
    #[test]
    fn every_run_is_a_sound_page() {
        for (name, run) in samples() {
            let page = page(&run);
            assert_well_formed(&page);
            for never in ["NaN", ">inf", "\"inf", "http-equiv", "src=", "href=", "@import", "url(", "<script"] {
                assert!(!page.contains(never), "{name}: {never}");
            }
            let mut ids: Vec<&str> = page.split(" id=\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
            let count = ids.len();
            ids.sort_unstable();
            ids.dedup();
            assert_eq!(ids.len(), count, "{name}: an id twice");
            for label in page.split("aria-labelledby=\"").skip(1).filter_map(|rest| rest.split('"').next()) {
                assert!(label.split(' ').all(|id| ids.binary_search(&id).is_ok()), "{name}: {label} names nothing");
            }
        }
    }

    #[test]
    fn every_step_and_the_verdict_are_on_the_page() {
        for (name, run) in samples() {
            let page = page(&run);
            assert!(page.contains(&escape(&words::verdict(&run))), "{name}");
            for row in &run.rows {
                assert!(page.contains(&escape(&row.label())), "{name}: {}", row.label());
            }
        }
    }

    /// On top stands what the search found, not what ran last.
    #[test]
    fn the_top_tells_of_the_maximum() {
        let search = sample::search();
        let told = telling(&search).expect("it has rows");
        assert_eq!(Some(told.tally.callers), search.maxima[0].callers);
        assert_eq!(telling(&sample::users()).map(|row| row.tally.callers), Some(16));
        assert_eq!(telling(&sample::all_failed()).map(|row| row.tally.callers), Some(8));
        assert_eq!(telling(&sample::nothing()), None);
    }

    #[test]
    fn each_plot_is_drawn_for_screens_and_for_phones() {
        let page = page(&sample::users());
        assert_eq!(page.matches("class=\"plot screen\"").count(), 6);
        assert_eq!(page.matches("class=\"plot phone\"").count(), 6);
        assert!(page.len() < 300_000, "{} bytes", page.len());
    }
}
