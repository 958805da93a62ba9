//! Manual pages and shell completions, from the definitions of command lines.
//!
//! What a program or command says behind its options (clap's `after_long_help`) has sections:
//! a line in capitals is a heading, lines that are indented by four or more are shown as they
//! are, all others are text. Under `EXAMPLES` what is indented is a session: `$ ` and a command,
//! as somebody types it into a shell; `> ` and more of it; what it prints, in which `...` stands
//! for anything; and `[1]` where its exit status is 1. The system tests type them.

use std::io::{self, Write};

use clap::Command;
use clap_complete::Shell;
use clap_mangen::Man;

/// What can be generated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Generated {
    /// One manual page for the program with all its commands.
    Man,
    /// Completions for bash.
    Bash,
    /// Completions for zsh.
    Zsh,
    /// Completions for fish.
    Fish,
}

/// Writes what is wanted of a program to `out`; its page is of this section of the manual.
///
/// # Errors
/// Those of `out`.
pub fn generate(
    what: Generated,
    mut command: Command,
    section: &str,
    out: &mut dyn Write,
) -> io::Result<()> {
    let shell = match what {
        Generated::Man => return page(command, section, out),
        Generated::Bash => Shell::Bash,
        Generated::Zsh => Shell::Zsh,
        Generated::Fish => Shell::Fish,
    };
    let name = command.get_name().to_owned();
    let mut completions = Vec::new();
    clap_complete::generate(shell, &mut command, name, &mut completions);
    out.write_all(&completions)
}

/// One page: the program's own sections, then a section for each command whose parts are
/// subsections.
fn page(mut command: Command, section: &str, out: &mut dyn Write) -> io::Result<()> {
    command.build();
    let behind = help_behind(&command);
    let has_version = command.get_version().or(command.get_long_version()).is_some();
    let commands: Vec<Command> =
        command.get_subcommands().filter(|c| !c.is_hide_set()).cloned().collect();
    let page = Man::new(command).section(section);
    page.render_title(out)?;
    page.render_name_section(out)?;
    page.render_synopsis_section(out)?;
    page.render_description_section(out)?;
    page.render_options_section(out)?;
    for command in commands {
        let heading = command.get_bin_name().unwrap_or(command.get_name()).to_uppercase();
        let behind = help_behind(&command);
        let part = Man::new(command);
        let mut text = Vec::new();
        part.render_synopsis_section(&mut text)?;
        part.render_description_section(&mut text)?;
        part.render_options_section(&mut text)?;
        let text = without_preambles(&text) + &sections(&behind);
        write!(out, ".SH \"{heading}\"\n{}", text.replace(".SH ", ".SS "))?;
    }
    out.write_all(sections(&behind).as_bytes())?;
    let mut text = Vec::new();
    if has_version {
        page.render_version_section(&mut text)?;
    }
    out.write_all(without_preambles(&text).as_bytes())
}

fn help_behind(command: &Command) -> String {
    command.get_after_long_help().map(ToString::to_string).unwrap_or_default()
}

/// Every part that is rendered alone defines the apostrophe again: once a page is enough.
fn without_preambles(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    let lines = text.lines().filter(|line| !line.starts_with(".ie ") && !line.starts_with(".el "));
    lines.map(|line| format!("{line}\n")).collect()
}

/// The sections of the text behind the options.
fn sections(text: &str) -> String {
    let mut page = String::new();
    let mut as_is = false;
    for line in text.lines() {
        let indented = line.strip_prefix("    ");
        if indented.is_some() != as_is && !line.is_empty() {
            as_is = indented.is_some();
            page += if as_is { ".RS 4\n.nf\n" } else { ".fi\n.RE\n" };
        }
        page += &match indented {
            Some(verbatim) => escape(verbatim),
            None if is_heading(line) => format!(".SH \"{line}\"\n"),
            None if line.is_empty() && as_is => "\n".to_owned(),
            None if line.is_empty() => ".PP\n".to_owned(),
            None => escape(line.trim_start()),
        };
    }
    if as_is {
        page += ".fi\n.RE\n";
    }
    page
}

fn is_heading(line: &str) -> bool {
    !line.is_empty() && line.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b' ')
}

/// A line that says what it says, whatever it begins with.
fn escape(line: &str) -> String {
    let line = line.replace('\\', "\\e").replace('-', "\\-").replace('\'', "\\(aq");
    let guard = if line.starts_with('.') { "\\&" } else { "" };
    format!("{guard}{line}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command() -> Command {
        Command::new("program").about("Does it").after_long_help(
            "EXAMPLES\n  A file and\n  another:\n\n    $ program -a 'it''s' \\\n    >    b\n    .x\n\n  \
             More:\n\n    $ program\n\nEXIT STATUS\n  0 complete",
        )
    }

    #[test]
    fn sessions_are_shown_as_they_are_and_text_is_filled() {
        let mut page = Vec::new();
        generate(Generated::Man, command(), "7", &mut page).unwrap();
        let page = String::from_utf8(page).unwrap();
        assert!(page.contains(".TH program 7"), "{page}");
        let expected = ".SH \"EXAMPLES\"\nA file and\nanother:\n.PP\n.RS 4\n.nf\n\
             $ program \\-a \\(aqit\\(aq\\(aqs\\(aq \\e\n>    b\n\\&.x\n\n.fi\n.RE\nMore:\n.PP\n\
             .RS 4\n.nf\n$ program\n\n.fi\n.RE\n.SH \"EXIT STATUS\"\n0 complete\n";
        assert!(page.contains(expected), "{page}");
    }

    #[test]
    fn commands_have_sections_of_their_own() {
        let parent = Command::new("parent").subcommand(command());
        let mut page = Vec::new();
        generate(Generated::Man, parent, "1", &mut page).unwrap();
        let page = String::from_utf8(page).unwrap();
        let (_, part) = page.split_once(".SH \"PARENT PROGRAM\"\n").unwrap();
        assert!(part.contains(".SS \"EXAMPLES\"\n") && !part.contains(".ie "), "{page}");
    }

    #[test]
    fn every_shell_gets_completions() {
        for what in [Generated::Bash, Generated::Zsh, Generated::Fish] {
            let mut out = Vec::new();
            generate(what, command(), "1", &mut out).unwrap();
            assert!(String::from_utf8(out).unwrap().contains("program"), "{what:?}");
        }
    }
}
