//! data: load runs for the tests of the reports: made up, seeded, and shaped like real ones

use super::run::{Kind, Maximum, Row, Run};
use crate::load::figure::Figure;
use crate::load::outcome::{Cause, HostUse, Outcome, Request, Step};
use crate::load::search::Search;
use crate::load::target::OF_CALLS;
use crate::load::work::{Engine, Work, Works};

/// 1 to 24 callers for a minute each. The last step is too much: slow tails, gaps, some calls turned away.
pub fn users() -> Run {
    let numbers = [1, 2, 4, 8, 16, 24];
    run("Calls with a face, 1 to 24 at once", numbers.map(|callers| (None, step(callers, 7))).to_vec())
}

/// A search for the most callers, as it goes by itself.
pub fn search() -> Run {
    let mut search = Search::new(1, 64);
    let mut run = run("The most calls under the target", vec![]);
    while let Some(callers) = search.next() {
        run.rows.push(Row::of(Kind::Calls, None, &step(callers, 7), &run.targets));
        search.handle(callers, run.rows.last().is_some_and(|row| row.verdict.met));
    }
    run.maxima = vec![Maximum::of(None, &search)];
    run
}

/// One knob of the server, what a search found at each of its values; at the last, a server that turned everybody away.
pub fn sweep() -> Run {
    let found = [("1", Some(6)), ("2", Some(10)), ("4", Some(16)), ("8", None)];
    let setting = |value: &str| Some(format!("tts.max_batch={value}"));
    let step = |callers: Option<usize>| callers.map_or_else(|| turned_away(1), |callers| step(callers, 3));
    let rows = found.iter().map(|(value, callers)| (setting(value), step(*callers)));
    let mut run = run("How large a batch of voices", rows.collect());
    let maximum = |(value, callers): &(&str, Option<usize>)| Maximum {
        setting: setting(value),
        callers: *callers,
        at_cap: *callers == Some(16),
        cut_short: false,
    };
    run.maxima = found.iter().map(maximum).collect();
    run
}

/// A server that turned everybody away.
pub fn all_failed() -> Run {
    run("A server that is away", vec![(None, turned_away(8))])
}

fn turned_away(callers: usize) -> Step {
    let outcome = |caller| Outcome {
        connected_s: 0.0,
        failure: Some(if caller % 3 == 0 { Cause::Unreachable } else { Cause::Busy }),
        caller_spoke_s: 0.0,
        agent_spoke_s: 0.0,
        values: vec![],
        requests: vec![],
        caller,
        began_s: 0.1 * caller as f64,
    };
    Step { callers, came: callers, lasted_s: 5.0, outcomes: (0..callers).map(outcome).collect(), ..Step::default() }
}

/// Ended before its first step did.
pub fn nothing() -> Run {
    run("Ended at once", vec![])
}

/// The door of a voice, with texts that try to break out of every format.
pub fn hostile() -> Run {
    let ask = |number: usize| Request {
        at_s: number as f64,
        failure: None,
        values: vec![(Figure::Ttfb, 0.2 + 0.01 * number as f64), (Figure::Rtf, 0.3), (Figure::Words, f64::NAN)],
    };
    let requests = (0..10).map(ask).collect();
    let call = Outcome { connected_s: 10.0, requests, ..Outcome::nothing(0, 0.0) };
    let step = Step { callers: 1, came: 1, lasted_s: 10.0, outcomes: vec![call], ..Step::default() };
    let targets = "success:1,ttfb:p99@1s".parse().expect("a target as the documentation writes it");
    Run {
        title: "</title><script>alert(\"1\")</script> & | \u{7}".to_string(),
        command: "visavis load 'a|b' \"<i>\" `x`".to_string(),
        kind: Kind::Tts,
        rows: vec![Row::of(Kind::Tts, Some("a|b=<b>".to_string()), &step, &targets)],
        targets,
        ..nothing()
    }
}

fn run(title: &str, steps: Vec<(Option<String>, Step)>) -> Run {
    let targets = OF_CALLS.parse().expect("the defaults can be read");
    Run {
        title: title.to_string(),
        command: "visavis load http://127.0.0.1:8080 --users 1,2,4,8,16,24 --duration 60".to_string(),
        kind: Kind::Calls,
        scenario: Some("small-talk".to_string()),
        seed: Some(7),
        machine: "2 virtual cores of an x86-64 server CPU, 24 GB, Debian 12".to_string(),
        date: "2026-11-22 16:40 UTC".to_string(),
        rows: steps.iter().map(|(setting, step)| Row::of(Kind::Calls, setting.clone(), step, &targets)).collect(),
        targets,
        maxima: vec![],
        notes: vec!["Callers and server shared the machine.".to_string()],
    }
}

/// A minute of `callers` calls on a machine that is full at about 18 of them.
fn step(callers: usize, seed: u64) -> Step {
    let mut chance = fastrand::Rng::with_seed(seed ^ callers as u64);
    let load = callers as f64 / 18.0;
    let lasted_s = 60.0;
    let mut outcomes = Vec::new();
    for caller in 0..callers {
        let began_s = 0.3 * caller as f64;
        let refused = load > 1.2 && chance.f64() < 0.12;
        let mut requests = Vec::new();
        let mut at_s = began_s + 2.0 + chance.f64();
        while !refused && at_s < lasted_s - 3.0 {
            let failure = (load > 1.2 && chance.f64() < 0.05).then_some(match chance.bool() {
                true => Cause::NoAnswer,
                false => Cause::Endless,
            });
            requests.push(Request { at_s, failure, values: answer(load, failure.is_some(), &mut chance) });
            at_s += 6.0 + 4.0 * chance.f64();
        }
        let connected_s = if refused { 0.0 } else { lasted_s - began_s };
        outcomes.push(Outcome {
            caller,
            began_s,
            connected_s,
            caller_spoke_s: connected_s * (0.2 + 0.04 * chance.f64()),
            agent_spoke_s: connected_s * (0.5 + 0.06 * chance.f64()),
            failure: refused.then_some(Cause::Busy),
            values: match refused {
                true => vec![],
                false => vec![
                    (Figure::Connect, 0.08 + 0.1 * load * chance.f64()),
                    (Figure::Fps, 15.0 - (load - 0.9).max(0.0) * 6.0 * chance.f64()),
                    (Figure::Freezes, if load > 1.1 { chance.u8(0..3) } else { 0 }.into()),
                    (Figure::Skew, 0.02 * (chance.f64() - 0.4)),
                    (Figure::Rtt, 0.001 + 0.002 * chance.f64()),
                ],
            },
            requests,
        });
    }
    let session_s: f64 = outcomes.iter().map(|call| call.connected_s).sum();
    let server_cpu_s = session_s * (0.042 + 0.012 / callers as f64);
    Step {
        callers,
        came: callers,
        lasted_s,
        outcomes,
        server: Some(HostUse {
            cpu_s: server_cpu_s,
            rss_mb: 310.0 + 4.2 * callers as f64,
            rss_before_mb: 310.0,
            work: Works::each(|engine| work(engine, callers)),
        }),
        own: HostUse { cpu_s: session_s * 0.0086, rss_mb: 44.0, rss_before_mb: 31.0, ..HostUse::default() },
        cut_short: false,
    }
}

fn work(engine: Engine, callers: usize) -> Work {
    match engine {
        Engine::Vad => Work { mean_batch: Some(1.0 + 0.12 * callers as f64), ..Work::default() },
        Engine::Stt => Work { words_per_s: Some(2.6), rtf: Some(0.02), ..Work::default() },
        Engine::Llm => Work { words_per_s: Some(38.0), ..Work::default() },
        Engine::Tts => Work { words_per_s: Some(9.0), rtf: Some(0.21), ..Work::default() },
    }
}

fn answer(load: f64, failed: bool, chance: &mut fastrand::Rng) -> Vec<(Figure, f64)> {
    if failed {
        return vec![];
    }
    // Waiting grows as the machine fills, and its tail grows faster.
    let wait = |base: f64, chance: &mut fastrand::Rng| {
        base * (1.0 + 0.5 * load.powi(3) * -(1.0 - chance.f64()).ln() + 0.15 * chance.f64())
    };
    let decision = wait(0.33, chance);
    let transcript = decision + 0.08 * (chance.f64() - 0.7);
    let (ttft, ttfb, play) = (wait(0.12, chance), wait(0.1, chance), wait(0.01, chance));
    let turn = decision.max(transcript) + ttft + ttfb + play + 0.05 + 0.02 * chance.f64();
    let hole = (load > 1.0) && chance.f64() < 0.1 * load;
    let mut values = vec![
        (Figure::Decision, decision),
        (Figure::SttFinal, transcript),
        (Figure::Ttft, ttft),
        (Figure::Ttfb, ttfb),
        (Figure::Play, play),
        (Figure::Turn, turn),
        (Figure::Underrun, if hole { 0.03 * chance.f64() } else { 0.0 }),
        (Figure::Stretch, 0.004 * chance.f64() * load),
        (Figure::Gaps, f64::from(u8::from(hole))),
        (Figure::Loss, 0.0),
    ];
    if chance.f64() < 0.2 {
        values.push((Figure::BargeIn, wait(0.22, chance)));
    }
    values
}
