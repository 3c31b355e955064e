//! core: what a run says in sentences
//! In:    a [`Run`].
//! Out:   its verdict, what a search found, what failed and why: the same words in every report.

use super::number;
use super::run::{Maximum, Row, Run};
use crate::load::figure::Unit;
use crate::load::outcome::Cause;
use crate::load::target::{Line, Reached, Target};

/// The one sentence that a reader wants first.
pub fn verdict(run: &Run) -> String {
    if run.rows.is_empty() {
        return "Nothing was measured.".to_string();
    }
    if let [only] = &run.maxima[..] {
        return maximum(only);
    }
    if let Some(best) =
        run.maxima.iter().filter(|maximum| maximum.callers.is_some()).max_by_key(|maximum| maximum.callers)
    {
        return format!("Best: {}", maximum(best));
    }
    if !run.maxima.is_empty() {
        return "No setting met the target, not even with the fewest callers tried.".to_string();
    }
    let met: Vec<&Row> = run.rows.iter().filter(|row| row.verdict.met).collect();
    let all = run.rows.len();
    match met.len() {
        _ if run.rows.iter().all(|row| !row.verdict.answered) => "Nothing was answered.".to_string(),
        0 if all == 1 => "The target was missed.".to_string(),
        0 => "No step met the target.".to_string(),
        1 if all == 1 => "The target was met.".to_string(),
        some if some == all => format!("All {all} steps met the target."),
        some => {
            let which = match run.is_sweep() {
                true => met.iter().map(|row| row.label()).collect::<Vec<_>>().join("; "),
                false => met.iter().map(|row| row.tally.callers.to_string()).collect::<Vec<_>>().join(", ") + " users",
            };
            format!("{some} of {all} steps met the target: {which}.")
        }
    }
}

/// So many callers.
pub fn users(callers: usize) -> String {
    format!("{callers} {}", if callers == 1 { "user" } else { "users" })
}

/// What stands below the table: each search, each row that missed and why, each that had failures, and what else to know.
pub fn remarks(run: &Run) -> Vec<String> {
    let mut remarks = Vec::new();
    if run.maxima.len() > 1 {
        remarks.extend(run.maxima.iter().map(maximum));
    }
    for row in run.rows.iter().filter(|row| !row.verdict.met) {
        remarks.push(format!("{} missed: {}.", row.label(), missed(row).join("; ")));
    }
    for row in &run.rows {
        remarks.extend(failures(row).map(|failures| format!("{} failed: {failures}.", row.label())));
    }
    remarks.extend(talk(run));
    remarks.extend(run.notes.iter().cloned());
    remarks
}

/// What a search found.
pub fn maximum(maximum: &Maximum) -> String {
    let subject = maximum.setting.as_ref().map_or(String::new(), |setting| format!("{setting}: "));
    let said = match maximum.callers {
        None if maximum.cut_short => "ended before any number of users met the target.".to_string(),
        None => "not even one user meets the target.".to_string(),
        Some(callers) if maximum.cut_short => {
            format!("{} meet the target; the search ended before it knew the most.", users(callers))
        }
        Some(callers) if maximum.at_cap => {
            format!("{} meet the target, and no more were tried: the most may be higher.", users(callers))
        }
        Some(1) => "1 user is the most that meets the target.".to_string(),
        Some(callers) => format!("{} are the most that meet the target.", users(callers)),
    };
    match subject.is_empty() {
        true => capitalised(&said),
        false => subject + &said,
    }
}

/// One target of one step: what it is, what was wanted, what was got.
pub struct Judged {
    pub name: String,
    pub wanted: String,
    pub got: String,
    pub result: &'static str,
}

pub fn judged(line: &Line) -> Judged {
    let result = match line.result {
        Reached::Met => "met",
        Reached::Missed => "missed",
        Reached::NotMeasured => "not measured",
    };
    let (name, wanted, unit) = match line.target {
        Target::Success(share) => ("success".to_string(), format!("≥ {} %", number::percent(share)), None),
        Target::Of { figure, stat, bound } => {
            let side = if figure.more_is_better() { "≥" } else { "≤" };
            (
                format!("{figure} {stat}"),
                format!("{side} {}", number::with_unit(bound, figure.unit())),
                Some(figure.unit()),
            )
        }
    };
    let got = match (line.got, unit) {
        (None, _) => number::DASH.to_string(),
        (Some(share), None) => format!("{} %", number::success(share)),
        (Some(value), Some(unit)) => number::with_unit(value, unit),
    };
    Judged { name, wanted, got, result }
}

/// Why a row missed the target; empty when it did not.
pub fn missed(row: &Row) -> Vec<String> {
    if !row.verdict.answered {
        return vec!["nothing was answered".to_string()];
    }
    let lines = row.verdict.lines.iter().filter(|line| line.result == Reached::Missed).map(judged);
    let missed = lines.map(|line| format!("{} {}, wanted {}", line.name, line.got, line.wanted));
    let came = (!row.verdict.complete).then(|| format!("only {} of {} came", row.tally.came, row.tally.callers));
    came.into_iter().chain(missed).collect()
}

/// What failed in a row: `calls 3 of 8 (busy 2, dropped 1); requests 1 of 40 (no_answer 1)`. `None` when nothing did.
pub fn failures(row: &Row) -> Option<String> {
    let scores = [("calls", &row.tally.calls), ("requests", &row.tally.requests)];
    let parts: Vec<String> = scores
        .into_iter()
        .filter(|(_, score)| !score.failures.is_empty())
        .map(|(what, score)| {
            let causes: Vec<String> = score.failures.iter().map(|(cause, count)| format!("{cause} {count}")).collect();
            format!("{what} {} of {} ({})", score.total - score.ok(), score.total, causes.join(", "))
        })
        .collect();
    (!parts.is_empty()).then(|| parts.join("; "))
}

/// What a cause means.
pub fn meaning(cause: Cause) -> &'static str {
    match cause {
        Cause::Unreachable => "nobody listened, or the connection broke before there was a call",
        Cause::Busy => "the server said that it is full",
        Cause::Refused => "the server said no for another reason",
        Cause::Garbage => "what the server said could not be understood",
        Cause::NotConnected => "the server answered, but media never flowed",
        Cause::NoAnswer => "a question was not answered in time",
        Cause::Endless => "an answer began and did not end in time",
        Cause::Dropped => "the connection ended before the caller wanted it to",
        Cause::Failed => "the server reported an error",
        Cause::Ours => "the callers' own side had no socket, no time, or broke: it says nothing about the server",
    }
}

/// How much of the time was talked, over all steps; `None` where nobody was connected, or at an engine's door.
pub fn talk(run: &Run) -> Option<String> {
    let range = |share: fn(&Row) -> Option<f64>| {
        let shares = || run.rows.iter().filter_map(share).filter(|share| *share > 0.0);
        let least = shares().fold(f64::INFINITY, f64::min);
        let most = shares().fold(0.0, f64::max);
        let whole = |share: f64| format!("{:.0}", share * 100.0);
        least.is_finite().then(|| match whole(least) == whole(most) {
            true => format!("{} %", whole(most)),
            false => format!("{} to {} %", whole(least), whole(most)),
        })
    };
    let agent = range(|row| row.tally.agent_spoke)?;
    let caller = range(|row| row.tally.caller_spoke)?;
    Some(format!("Of the time connected the agent spoke {agent}, a caller {caller}."))
}

/// The unit of a figure as it heads a column; none where the figure's name says it.
pub fn unit(unit: Unit) -> &'static str {
    match unit {
        Unit::Seconds => "ms",
        Unit::Share => "%",
        Unit::Count | Unit::Ratio | Unit::PerSecond => "",
    }
}

/// As a sentence begins.
pub fn capitalised(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or(String::new(), |first| first.to_uppercase().chain(letters).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::report::sample;

    fn found(callers: Option<usize>, at_cap: bool, cut_short: bool) -> String {
        maximum(&Maximum { setting: None, callers, at_cap, cut_short })
    }

    #[test]
    fn a_search_ends_in_one_sentence() {
        assert_eq!(found(Some(24), false, false), "24 users are the most that meet the target.");
        assert_eq!(found(Some(1), false, false), "1 user is the most that meets the target.");
        assert!(found(Some(64), true, false).contains("may be higher"));
        assert!(found(Some(8), false, true).contains("before it knew"));
        assert_eq!(found(None, false, false), "Not even one user meets the target.");
    }

    #[test]
    fn the_verdict_names_the_steps_that_will_do() {
        let mut run = sample::users();
        let said = verdict(&run);
        assert!(said.contains("steps met the target") && said.contains(": 1, 2, 4, 8, 16 users."), "{said}");
        run.rows.truncate(1);
        assert_eq!(verdict(&run), "The target was met.");
        assert_eq!(verdict(&sample::nothing()), "Nothing was measured.");
        assert_eq!(verdict(&sample::all_failed()), "Nothing was answered.");
        assert!(verdict(&sample::sweep()).contains("tts.max_batch="));
    }

    #[test]
    fn what_missed_says_what_was_wanted() {
        let run = sample::users();
        let last = run.rows.last().unwrap();
        let missed = missed(last).join("; ");
        assert!(missed.contains("turn p99") && missed.contains("wanted ≤ 1.50 s"), "{missed}");
        let failures = failures(last).unwrap();
        assert!(failures.contains("requests") && failures.contains("no_answer"), "{failures}");
        assert_eq!(super::failures(&run.rows[0]), None);
        let mut first = run.rows[1].clone();
        first.tally.came = 1;
        first.verdict = run.targets.judge(&first.tally);
        assert_eq!(super::missed(&first), ["only 1 of 2 came"]);
    }
}
