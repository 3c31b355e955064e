//! io: what each hot function costs, as a share of real time: the table of `script/bench`
//!
//!     hot [NAME…]      only the functions whose name contains one of these
//!
//! Each file beside this one holds the functions of one trade; `inputs` is what they work on: recorded speech where the
//! models folder has it, and the committed face.

mod call;
mod hearing;
mod inputs;
mod meter;
mod picture;
mod sound;
mod words;

// The tests' own link: two endpoints back to back in virtual time.
#[allow(dead_code)]
#[path = "../../tests/it/kit/link.rs"]
mod link;

use std::time::Duration;

use inputs::Inputs;
use meter::{Call, Clock, Cost, measure};

/// One line of the table.
pub struct Function {
    pub name: &'static str,
    /// How much of a conversation one call serves.
    pub covers: Duration,
    /// How often it comes in a conversation; the same, unless one call serves several conversations.
    pub period: Duration,
    pub clock: Clock,
    /// Sets the function up; the error says what is missing.
    pub begin: Begin,
}

pub type Begin = fn(&Inputs) -> Result<Call, String>;

impl Function {
    /// A function that does its work on the thread that calls it.
    pub fn new(name: &'static str, covers: Duration, begin: Begin) -> Self {
        Self { name, covers, period: covers, clock: Clock::Thread, begin }
    }

    /// A function whose work is done on other threads.
    pub fn elsewhere(self) -> Self {
        Self { clock: Clock::Process, ..self }
    }
}

fn main() {
    // Cargo says --bench to whatever it runs as one.
    let names: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    let wanted =
        |function: &Function| names.is_empty() || names.iter().any(|name| function.name.contains(name.as_str()));
    let functions =
        [sound::functions(), hearing::functions(), picture::functions(), call::functions(), words::functions()];
    let functions: Vec<Function> = functions.into_iter().flatten().filter(wanted).collect();
    if functions.is_empty() {
        eprintln!("no function is called {}", names.join(" or "));
        std::process::exit(64);
    }
    let inputs = Inputs::load();
    println!("speech: {}\n", inputs.speech_is);
    println!(
        "| function | CPU µs per call | … back to back | covers | share of real time | a core carries |\n\
         |---|--:|--:|--:|--:|--:|"
    );
    for function in functions {
        match (function.begin)(&inputs) {
            Ok(mut call) => println!("{}", row(&function, measure(function.clock, function.period, &mut call))),
            Err(missing) => println!("| {} | skipped: {missing} | | {} | | |", function.name, length(function.covers)),
        }
    }
}

/// `a core carries`: so many streams that do nothing else, at the price of a conversation's pace.
fn row(function: &Function, cost: Cost) -> String {
    let share = cost.paced.as_secs_f64() / function.covers.as_secs_f64();
    let carries = if share > 0.0 { format!("{:.0}", 1.0 / share) } else { "–".to_owned() };
    let micros = |cost: Duration| {
        let micros = cost.as_secs_f64() * 1e6;
        format!("{micros:.*}", if micros < 10.0 { 1 } else { 0 })
    };
    format!(
        "| {} | {} | {} | {} | {} | {carries} |",
        function.name,
        micros(cost.paced),
        micros(cost.back_to_back),
        length(function.covers),
        percent(share)
    )
}

fn percent(share: f64) -> String {
    if share < 1e-4 { "< 0.01 %".to_owned() } else { format!("{:.2} %", share * 100.0) }
}

fn length(covers: Duration) -> String {
    let ms = covers.as_secs_f64() * 1e3;
    if ms < 1_000.0 { format!("{ms:.0} ms") } else { format!("{:.1} s", ms / 1e3) }
}
