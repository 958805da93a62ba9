//! Man page and shell completions, from the definitions of the command line.

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

/// Writes what is wanted to `out`.
///
/// # Errors
/// Those of `out`.
pub fn generate(what: Generated, mut command: Command, out: &mut dyn Write) -> io::Result<()> {
    let shell = match what {
        Generated::Man => return manual(command, out),
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
fn manual(mut command: Command, out: &mut dyn Write) -> io::Result<()> {
    command.build();
    let commands: Vec<Command> =
        command.get_subcommands().filter(|c| !c.is_hide_set()).cloned().collect();
    let page = Man::new(command).section("8");
    page.render_title(out)?;
    page.render_name_section(out)?;
    page.render_synopsis_section(out)?;
    page.render_description_section(out)?;
    page.render_options_section(out)?;
    page.render_subcommands_section(out)?;
    for command in commands {
        let heading = command.get_bin_name().unwrap_or(command.get_name()).to_uppercase();
        let extra = command.get_after_long_help().is_some();
        let part = Man::new(command);
        let mut text = Vec::new();
        part.render_synopsis_section(&mut text)?;
        part.render_description_section(&mut text)?;
        part.render_options_section(&mut text)?;
        if extra {
            part.render_extra_section(&mut text)?;
        }
        let text = without_preambles(&text).replace(".SH EXTRA\n", ".SH EXAMPLES\n");
        write!(out, ".SH \"{heading}\"\n{}", text.replace(".SH ", ".SS "))?;
    }
    let mut text = Vec::new();
    page.render_extra_section(&mut text)?;
    page.render_version_section(&mut text)?;
    let text = without_preambles(&text);
    out.write_all(text.replace(".SH EXTRA\n", ".SH \"EXIT STATUS\"\n").as_bytes())
}

/// Every part that is rendered alone defines the apostrophe again: once a page is enough.
fn without_preambles(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    let lines = text.lines().filter(|line| !line.starts_with(".ie ") && !line.starts_with(".el "));
    lines.map(|line| format!("{line}\n")).collect()
}
