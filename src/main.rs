//! door: the command line: log, configuration, runtime, build, run, drain

mod cli;
mod commands;

use std::process::ExitCode;

use clap::Parser;

/// A server did not do what `visavis load --target` asked for.
const MISSED: u8 = 1;
/// Bad usage or configuration (`EX_USAGE` of sysexits.h).
const USAGE: u8 = 64;
/// Something that is needed is missing or taken (`EX_UNAVAILABLE`).
const UNAVAILABLE: u8 = 69;
/// A fault of ours (`EX_SOFTWARE`).
const SOFTWARE: u8 = 70;

fn main() -> ExitCode {
    if !cfg!(all(target_os = "linux", target_arch = "x86_64")) {
        eprintln!("visavis runs on x86-64 Linux; this is {} on {}", std::env::consts::OS, std::env::consts::ARCH);
        return ExitCode::from(UNAVAILABLE);
    }
    let cli = match cli::Cli::try_parse() {
        Ok(cli) => cli,
        Err(message) => {
            // Help and version are answers, not errors. Nothing can be done about a closed terminal.
            let _ = message.print();
            return if message.use_stderr() { ExitCode::from(USAGE) } else { ExitCode::SUCCESS };
        }
    };
    match commands::run(cli.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("visavis: {:#}", failure.error);
            ExitCode::from(failure.code)
        }
    }
}
