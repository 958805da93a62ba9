//! The examples of a manual page, in the form that the crate `manual` gives them.

use super::session::Step;

/// The examples, with the heading of the command that they are of; of the program itself, with
/// none.
pub(super) fn examples(page: &str) -> Vec<(String, Vec<Step>)> {
    let mut sections: Vec<(String, Vec<Step>)> = Vec::new();
    let (mut command, mut in_examples, mut as_is) = (String::new(), false, false);
    for line in page.lines() {
        let heading = line.strip_prefix(".SH ").or_else(|| line.strip_prefix(".SS "));
        if let Some(heading) = heading.map(|heading| heading.trim_matches('"')) {
            in_examples = heading == "EXAMPLES";
            let is_part = line.starts_with(".SS ");
            if in_examples {
                let of = if is_part { command.clone() } else { String::new() };
                sections.push((of, Vec::new()));
            } else if !is_part {
                heading.clone_into(&mut command);
            }
            continue;
        }
        match line {
            ".nf" => as_is = true,
            ".fi" => as_is = false,
            line => {
                if let (true, true, Some((_, steps))) = (in_examples, as_is, sections.last_mut()) {
                    add(steps, &unescape(line));
                }
            }
        }
    }
    sections.retain(|(_, steps)| !steps.is_empty());
    sections
}

fn add(steps: &mut Vec<Step>, line: &str) {
    if let Some(command) = line.strip_prefix("$ ") {
        let (command, expected) = (command.to_owned(), Vec::new());
        steps.push(Step { command, expected, status: 0 });
        return;
    }
    let step = steps.last_mut().expect("a session begins with a command");
    let status = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')?.parse().ok());
    if let Some(more) = line.strip_prefix("> ") {
        step.command += "\n";
        step.command += more;
    } else if let Some(status) = status {
        step.status = status;
    } else if !line.is_empty() {
        step.expected.push(line.to_owned());
    }
}

fn unescape(line: &str) -> String {
    line.replace("\\&", "").replace("\\(aq", "'").replace("\\-", "-").replace("\\e", "\\")
}

#[test]
fn a_page_is_taken_apart() {
    let page = ".SH \"A PROGRAM\"\n.SS SYNOPSIS\n.SS \"EXAMPLES\"\nText:\n.PP\n.RS 4\n.nf\n$ one \\e\n\
        >  \\-two\n\\&...\n[3]\n\n$ three\n.fi\n.RE\n.SH \"EXIT STATUS\"\n.nf\n$ no\n.fi\n";
    let found = examples(page);
    let step = |command: &str, expected: &[&str], status| Step {
        command: command.to_owned(),
        expected: expected.iter().map(ToString::to_string).collect(),
        status,
    };
    let steps = vec![step("one \\\n -two", &["..."], 3), step("three", &[], 0)];
    assert_eq!(found, [("A PROGRAM".to_owned(), steps)]);
}
