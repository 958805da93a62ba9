//! The units of contrib/systemd are what systemd takes, and name programs and options that exist.

use std::fs;
use std::process::Command;

use tempfile::TempDir;

use crate::support::programs::program;
use crate::support::workspace;

#[test]
fn systemd_takes_the_units() {
    if Command::new("systemd-analyze").arg("--version").output().is_err() {
        eprintln!("skipped: needs systemd-analyze");
        return;
    }
    let directory = TempDir::new().expect("a directory");
    let programs = program("venti").parent().expect("a directory").to_owned();
    let mut units = Vec::new();
    for entry in fs::read_dir(workspace().join("contrib/systemd")).expect("units") {
        let path = entry.expect("an entry").path();
        if path.extension().is_none_or(|extension| extension != "service" && extension != "timer") {
            continue;
        }
        let text = fs::read_to_string(&path).expect("text");
        // They are not installed here.
        let text = text.replace("/usr/bin/", &format!("{}/", programs.display()));
        let unit = directory.path().join(path.file_name().expect("a name"));
        fs::write(&unit, text).expect("written");
        units.push(unit);
    }
    assert!(units.len() >= 4, "{units:?}");
    let output = Command::new("systemd-analyze").args(["verify", "--man=no"]).args(&units).output();
    let output = output.expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.is_empty(), "{said}");
}

/// The options that a unit gives are options of its program.
#[test]
fn the_commands_of_the_units_are_understood() {
    for entry in fs::read_dir(workspace().join("contrib/systemd")).expect("units") {
        let path = entry.expect("an entry").path();
        let text = fs::read_to_string(&path).expect("text");
        for line in text.lines().filter_map(|line| line.strip_prefix("ExecStart=/usr/bin/")) {
            let words: Vec<&str> = line.split(' ').collect();
            let (name, arguments) = words.split_first().expect("a command");
            let output = Command::new(program(name)).args(["--generate", "man"]).output();
            let page = String::from_utf8(output.expect("it runs").stdout).expect("text");
            let page = page.replace("\\-", "-");
            for option in arguments.iter().filter(|argument| argument.starts_with("--")) {
                assert!(page.contains(option), "{}: {name} has no {option}", path.display());
            }
        }
    }
}
