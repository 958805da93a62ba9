//! What `-i` archives: standard input, or the output of a program.

use std::ffi::OsStr;
use std::io::{self, Read, Stdin};
use std::process::{Child, ChildStdout, Command, Stdio};

use vac::archiver::StreamSource;

/// Standard input.
#[derive(Debug)]
pub(crate) struct StandardInput(pub(crate) Stdin);

impl Read for StandardInput {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl StreamSource for StandardInput {
    fn finish(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A program whose output is archived, if it ends well.
#[derive(Debug)]
pub(crate) struct Program {
    child: Child,
    output: ChildStdout,
}

impl Program {
    /// Starts a command by the shell.
    pub(crate) fn start(command: &OsStr) -> io::Result<Program> {
        let mut child = Command::new("/bin/sh")
            .arg("-c")
            .arg(command)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()?;
        let output = child.stdout.take().ok_or_else(|| io::Error::other("no output"))?;
        Ok(Program { child, output })
    }
}

impl Read for Program {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.output.read(buffer)
    }
}

impl StreamSource for Program {
    fn finish(&mut self) -> io::Result<()> {
        let status = self.child.wait()?;
        if status.success() {
            Ok(())
        } else {
            Err(io::Error::other(format!("the command failed ({status}); there is no archive")))
        }
    }
}
