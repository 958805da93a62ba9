//! The examples of every manual page, typed into a shell of a machine that has what they name.
//!
//! A page is what the program makes of itself (`--generate man`); its examples are sessions, as
//! the crate `manual` has them. Each section of a page gets a machine of its own.

mod page;
mod past;
mod sandbox;
mod session;

use std::process::Command;

use past::Past;
use sandbox::Sandbox;

use crate::support::programs::program;

/// Every program, and its commands.
const PROGRAMS: [(&str, &[&str]); 7] = [
    (
        "venti",
        &[
            "serve",
            "read",
            "write",
            "copy",
            "ping",
            "sync",
            "stats",
            "check",
            "find-roots",
            "print",
            "roots",
            "rebuild-index",
        ],
    ),
    ("vac", &["selftest"]),
    ("unvac", &[]),
    ("fossil-lite", &["mount", "serve", "status", "find", "bisect"]),
    ("vacfs", &[]),
    ("yesterday", &[]),
    ("hist", &[]),
];

/// Types all examples of a page, each section on a machine of its own, and says what is not as
/// the page shows it.
fn run(name: &str) {
    let (_, commands) = PROGRAMS.iter().find(|(program, _)| *program == name).expect("known");
    let output = Command::new(program(name)).args(["--generate", "man"]).output().expect("runs");
    let sections = page::examples(&String::from_utf8(output.stdout).expect("a page is text"));
    for command in *commands {
        let heading = format!("{name} {command}").to_uppercase();
        assert!(sections.iter().any(|(of, _)| *of == heading), "{heading} has no examples");
    }
    if !commands.contains(&"serve") {
        assert!(sections.iter().any(|(of, _)| of.is_empty()), "{name} has no examples");
    }
    if !Sandbox::is_possible() {
        return;
    }
    let past = Past::new();
    let wrong: Vec<String> = sections
        .iter()
        .flat_map(|(heading, steps)| {
            let found = Sandbox::new().type_in(&past, steps);
            session::compare(steps, &found).into_iter().map(move |text| format!("{heading} {text}"))
        })
        .collect();
    assert!(wrong.is_empty(), "{name}(1) is wrong:\n\n{}", wrong.join("\n"));
}

#[test]
fn venti() {
    run("venti");
}

#[test]
fn vac() {
    run("vac");
}

#[test]
fn unvac() {
    run("unvac");
}

#[test]
fn fossil_lite() {
    run("fossil-lite");
}

#[test]
fn vacfs() {
    run("vacfs");
}

#[test]
fn yesterday() {
    run("yesterday");
}

#[test]
fn hist() {
    run("hist");
}
