//! The house rules that a program can check: sizes, leftovers, and documents that still exist.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::workspace;

/// Lines a source file may have at the most.
const FILE_LINES: usize = 600;
/// Lines a function may have at the most: a screen.
const FUNCTION_LINES: usize = 70;

/// Every file that git tracks, or would: relative to the workspace.
fn files(extensions: &[&str]) -> Vec<PathBuf> {
    let output = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard"])
        .current_dir(workspace())
        .output()
        .expect("git runs");
    assert!(output.status.success(), "git lists the files of the workspace");
    let list = String::from_utf8(output.stdout).expect("names in UTF-8");
    let wanted = |path: &PathBuf| {
        let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default();
        extensions.contains(&extension) && workspace().join(path).exists()
    };
    list.lines().map(PathBuf::from).filter(wanted).collect()
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(workspace().join(path)).expect("a text file")
}

/// Asserts that nothing was found, and lists what was.
fn assert_none(rule: &str, found: &[String]) {
    assert!(found.is_empty(), "{rule}:\n{}", found.join("\n"));
}

#[test]
fn files_are_short() {
    let long: Vec<_> = files(&["rs"])
        .iter()
        .map(|path| (path, read(path).lines().count()))
        .filter(|(_, lines)| *lines > FILE_LINES)
        .map(|(path, lines)| format!("{}: {lines} lines", path.display()))
        .collect();
    assert_none("files past 600 lines", &long);
}

#[test]
fn functions_fit_a_screen() {
    let long: Vec<_> =
        files(&["rs"]).iter().flat_map(|path| long_functions(path, &read(path))).collect();
    assert_none("functions past 70 lines", &long);
}

/// Finds functions by their indentation, which rustfmt guarantees.
fn long_functions(path: &Path, source: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut open: Vec<(usize, usize, &str)> = Vec::new();
    for (number, line) in source.lines().enumerate() {
        let indent = line.len() - line.trim_start().len();
        if is_function(line.trim_start()) && !line.trim_end().ends_with(';') {
            open.push((indent, number, line.trim()));
        } else if line.trim_end() == format!("{:indent$}}}", "")
            && open.last().is_some_and(|(start, ..)| *start == indent)
            && let Some((_, start, name)) = open.pop()
            && number - start + 1 > FUNCTION_LINES
        {
            let lines = number - start + 1;
            found.push(format!("{}:{}: {lines} lines: {name}", path.display(), start + 1));
        } else if line.trim_end().ends_with('}')
            && open.last().is_some_and(|(start, at, _)| *start == indent && *at + 1 >= number)
        {
            open.pop();
        }
    }
    found
}

fn is_function(line: &str) -> bool {
    let after_qualifiers = line
        .trim_start_matches("pub(crate) ")
        .trim_start_matches("pub(super) ")
        .trim_start_matches("pub ")
        .trim_start_matches("const ")
        .trim_start_matches("async ")
        .trim_start_matches("unsafe ");
    after_qualifiers.starts_with("fn ")
}

#[test]
fn nothing_is_left_unfinished() {
    // Built from parts, so that this file does not find itself.
    let marks = ["FIX", "TO", "XX", "HA"].map(|half| match half {
        "FIX" => "FIXME".to_owned(),
        "TO" => ["TO", "DO"].concat(),
        "XX" => ["XX", "X"].concat(),
        _ => ["HA", "CK"].concat(),
    });
    let ignored = ["#[", "ignore"].concat();
    let found: Vec<_> = files(&["rs", "toml", "sh"])
        .iter()
        .filter(|path| !path.ends_with("tidy.rs"))
        .flat_map(|path| {
            let source = read(path);
            let bad = |line: &str| {
                line.contains(&ignored)
                    || line
                        .split(|c: char| !c.is_ascii_alphanumeric())
                        .any(|word| marks.iter().any(|mark| mark == word))
            };
            let lines: Vec<_> = source.lines().enumerate().filter(|(_, line)| bad(line)).collect();
            lines
                .iter()
                .map(|(n, line)| format!("{}:{}: {line}", path.display(), n + 1))
                .collect::<Vec<_>>()
        })
        .collect();
    assert_none("marks of unfinished work", &found);
}

#[test]
fn every_document_that_is_named_exists() {
    let mut missing = Vec::new();
    for path in files(&["rs", "md"]) {
        for word in read(&path).split(|c: char| !(c.is_ascii_alphanumeric() || "./-_".contains(c)))
        {
            let word = word.trim_end_matches('.');
            let cited = word.starts_with("docs/") && word.ends_with(".md");
            if cited && !workspace().join(word).exists() {
                missing.push(format!("{}: {word}", path.display()));
            }
        }
    }
    assert_none("documents that are named and not there", &missing);
}

#[test]
fn every_source_file_says_what_it_is() {
    let silent: Vec<_> = files(&["rs"])
        .iter()
        .filter(|path| !read(path).trim_start_matches("#!").contains("//! "))
        .map(|path| path.display().to_string())
        .collect();
    assert_none("source files without a comment at their head", &silent);
}

/// Of each package of the list: its name, and the names of what it depends on.
fn locked(list: &str) -> BTreeMap<String, BTreeSet<String>> {
    let package = |text: &str| {
        let (_, name) = text.split_once("name = \"")?;
        let (_, names) = text.split_once("dependencies = [\n").unwrap_or_default();
        // "NAME", or "NAME VERSION" where there are several.
        let named =
            names.lines().filter_map(|line| line.strip_prefix(" \"")?.split(['"', ' ']).next());
        Some((name.split_once('"')?.0.to_owned(), named.map(str::to_owned).collect()))
    };
    list.split("[[package]]").filter_map(package).collect()
}

/// The names in the section `[dependencies]`.
fn wanted(manifest: &str) -> BTreeSet<String> {
    let (_, section) = manifest.split_once("\n[dependencies]\n").unwrap_or_default();
    let lines = section.lines().take_while(|line| !line.starts_with('['));
    let lines = lines.filter(|line| !line.starts_with('#'));
    let names = lines.filter_map(|line| line.split([' ', '.', '=']).next());
    names.filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

/// The fuzz targets are no part of the workspace: nothing else notices that they are left behind.
#[test]
fn the_fuzz_targets_have_the_dependencies_that_their_crates_have() {
    let locked = locked(&read(Path::new("fuzz/Cargo.lock")));
    let mut wrong = Vec::new();
    for path in files(&["toml"]).iter().filter(|path| path.ends_with("Cargo.toml")) {
        let Some(name) = path.parent().and_then(Path::file_name).and_then(|name| name.to_str())
        else {
            continue;
        };
        let wanted = wanted(&read(path));
        match locked.get(name) {
            Some(locked) if *locked != wanted => {
                let differ: Vec<_> = locked.symmetric_difference(&wanted).collect();
                wrong.push(format!("{name}: {differ:?}"));
            }
            _ => {}
        }
    }
    assert!(locked.contains_key("fuzz"), "the list has the targets themselves");
    assert_none("fuzz/Cargo.lock is not up to date (cargo metadata in fuzz/ mends it)", &wrong);
}

#[test]
fn the_rule_for_functions_finds_a_long_one() {
    let body = "    step();\n".repeat(FUNCTION_LINES);
    let source = format!("fn short() {{\n}}\npub fn long() {{\n{body}}}\n");
    let found = long_functions(Path::new("x.rs"), &source);
    assert_eq!(found, ["x.rs:3: 72 lines: pub fn long() {"]);
}
