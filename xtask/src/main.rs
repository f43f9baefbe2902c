//! The project's own tools, one module a lane: `cargo xtask tidy|fixtures|test|bench|demo|vm|fuzz|man|peers`. Each lane installs by itself
//! what it needs. The Makefile calls them; nothing in the product does.

// These are programs for a terminal: they print, and the lint that keeps libraries silent is not for them.
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod build;
mod command;
mod debian;
mod demo;
mod fixtures;
mod fuzz;
mod man;
mod measure;
mod peers;
mod test;
mod tidy;
mod vm;

use std::process::ExitCode;

use stdx::{Error, Result};

const USAGE: &str = "usage: cargo xtask tidy | fixtures | test [FILTER…] | bench [many|pull|runtime|build] [--check] | demo | vm [plain|systemd] [FILTER…] | fuzz [TARGET] [--seconds=N] | man | peers [PART…] [--only=TEXT] [--columns=tare,runc,nothing]";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match lane(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error}");
            ExitCode::FAILURE
        }
    }
}

fn lane(arguments: &[String]) -> Result<()> {
    let (name, rest) = arguments.split_first().ok_or_else(|| Error::invalid(USAGE))?;
    match name.as_str() {
        "tidy" => tidy::run(),
        "fixtures" => fixtures::print(),
        "test" => test::run(rest),
        "bench" => measure::run(rest),
        "demo" => demo::run(),
        "vm" => vm::run(rest),
        "fuzz" => fuzz::run(rest),
        "man" => man::run(),
        "peers" => peers::run(rest),
        _ => Err(Error::invalid(USAGE)),
    }
}
