//! Commands and what they print, as a page shows it and as it was.

/// A command of an example.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Step {
    /// As it is typed; may have more than one line.
    pub(super) command: String,
    /// What it prints, in which `...` stands for anything, and alone on a line for any lines.
    pub(super) expected: Vec<String>,
    /// Its exit status.
    pub(super) status: i32,
}

/// What a command printed, on both outputs, and its exit status.
pub(super) type Happened = (String, i32);

/// Says where a session did not go as it is shown.
pub(super) fn compare(steps: &[Step], happened: &[Happened]) -> Vec<String> {
    let mut wrong = Vec::new();
    for (at, step) in steps.iter().enumerate() {
        let Some((printed, status)) = happened.get(at) else {
            wrong.push(format!("$ {}\nwas never reached\n", step.command));
            break;
        };
        let lines: Vec<&str> = printed.lines().collect();
        if *status != step.status || !lines_match(&step.expected, &lines) {
            let expected = step.expected.join("\n");
            wrong.push(format!(
                "$ {}\nshould print\n{expected}\nwith status {}, and printed\n{printed}with status \
                 {status}\n",
                step.command, step.status
            ));
        }
    }
    wrong
}

fn lines_match(expected: &[String], lines: &[&str]) -> bool {
    match expected {
        [] => lines.is_empty(),
        [any, rest @ ..] if any == "..." => {
            (0..=lines.len()).any(|skipped| lines_match(rest, &lines[skipped..]))
        }
        [first, rest @ ..] => match lines {
            [line, others @ ..] => line_matches(first, line) && lines_match(rest, others),
            [] => false,
        },
    }
}

fn line_matches(expected: &str, line: &str) -> bool {
    let Some((head, rest)) = expected.split_once("...") else { return expected == line };
    let Some(line) = line.strip_prefix(head) else { return false };
    line.char_indices()
        .map(|(at, _)| at)
        .chain([line.len()])
        .any(|at| line_matches(rest, &line[at..]))
}

#[test]
fn dots_stand_for_anything() {
    let owned = |lines: &[&str]| lines.iter().map(ToString::to_string).collect::<Vec<_>>();
    let matches = |expected: &[&str], lines: &[&str]| lines_match(&owned(expected), lines);
    assert!(matches(&["a ... b", "...", "c"], &["a x b", "y", "z", "c"]));
    assert!(matches(&["...", "c..."], &["c"]));
    assert!(matches(&[], &[]));
    assert!(!matches(&[], &["more"]));
    assert!(!matches(&["a ... b"], &["a x c"]));
    assert!(!matches(&["a", "b"], &["a"]));
    assert!(!matches(&["...", "c"], &["c", "d"]));
}
