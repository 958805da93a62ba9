//! One recipe being run: its directories, its server, and what each step took.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use venti_benches::process::{
    Background, Cost, peak_memory_of_family, processor_seconds_of_family, run,
};
use venti_benches::remove::remove;

use crate::recipe::Recipe;

/// How long a server may take before it answers.
const SERVER_START: Duration = Duration::from_secs(30);

/// What all contenders of a run share.
#[derive(Debug)]
pub(crate) struct Ground {
    /// The current directory of every command: the tree is in it.
    pub(crate) work: PathBuf,
    /// Where trees are restored.
    pub(crate) target: PathBuf,
    /// Name of the tree in `work`.
    pub(crate) tree: &'static str,
    /// The directory of our programs.
    pub(crate) ours: PathBuf,
    /// The directory of Plan 9 from User Space, if there is one.
    pub(crate) plan9: PathBuf,
}

/// A recipe and the state of its run.
#[derive(Debug)]
pub(crate) struct Contender<'a> {
    pub(crate) recipe: Recipe,
    ground: &'a Ground,
    directory: PathBuf,
    port: u16,
    /// Of the archive made last; 0 before the first.
    number: u32,
    server: Option<Background>,
}

impl<'a> Contender<'a> {
    pub(crate) fn new(recipe: Recipe, ground: &'a Ground) -> Contender<'a> {
        let name: String =
            recipe.name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
        let directory = ground.work.join("stores").join(name);
        Contender { recipe, ground, directory, port: 0, number: 0, server: None }
    }

    /// The first of the programs it needs that is not there.
    pub(crate) fn missing(&self) -> Option<&'static str> {
        let there = |needed: &&str| {
            let path = needed
                .replace("$OURS", &self.ground.ours.to_string_lossy())
                .replace("$PLAN9", &self.ground.plan9.to_string_lossy());
            if path.contains('/') {
                return Path::new(&path).is_file();
            }
            let directories = std::env::var_os("PATH").unwrap_or_default();
            std::env::split_paths(&directories).any(|d| d.join(&path).is_file())
        };
        self.recipe.needs.iter().find(|needed| !there(needed)).copied()
    }

    /// Ends the server, if there is one, and makes the store anew, empty.
    pub(crate) fn reset(&mut self) -> Result<()> {
        self.server = None;
        self.number = 0;
        remove(&self.directory)?;
        fs::create_dir_all(self.store())?;
        fs::create_dir_all(self.scratch())?;
        self.port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        if !self.recipe.prepare.is_empty() {
            let (_, status) = run(&mut self.command(self.recipe.prepare)?)?;
            ensure!(status.success(), "{}: preparing a store: {status}", self.recipe.name);
        }
        if !self.recipe.serve.is_empty() {
            self.server = Some(Background::start(&mut self.command(self.recipe.serve)?)?);
            self.wait_for_server()?;
        }
        Ok(())
    }

    fn wait_for_server(&mut self) -> Result<()> {
        let start = Instant::now();
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            let ended = self.server.as_mut().is_some_and(Background::has_ended);
            if ended || start.elapsed() > SERVER_START {
                bail!("{}: the server does not answer: {}", self.recipe.name, self.said());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// Archives the tree; the server's processor time is part of the cost.
    pub(crate) fn archive(&mut self) -> Result<Option<Cost>> {
        self.number += 1;
        let script = if self.number == 1 { self.recipe.first } else { self.recipe.again };
        self.step(script)
    }

    /// Restores the archive made last into the target, which is emptied before.
    pub(crate) fn restore(&mut self) -> Result<Option<Cost>> {
        remove(&self.ground.target)?;
        fs::create_dir_all(&self.ground.target)?;
        self.step(self.recipe.restore)
    }

    /// Writes one file of the archive made last to standard output.
    pub(crate) fn one_file(&mut self) -> Result<Option<Cost>> {
        self.step(self.recipe.one_file)
    }

    fn step(&self, script: &str) -> Result<Option<Cost>> {
        if script.is_empty() {
            return Ok(None);
        }
        let server_time =
            || self.server.as_ref().map_or(0.0, |s| processor_seconds_of_family(s.id()));
        let before = server_time();
        let (mut cost, status) = run(&mut self.command(script)?)?;
        if !status.success() {
            bail!("{}: {script}: {status}: {}", self.recipe.name, self.said());
        }
        cost.processor_seconds += server_time() - before;
        Ok(Some(cost))
    }

    fn command(&self, script: &str) -> Result<Command> {
        let log = fs::OpenOptions::new().create(true).append(true).open(self.log())?;
        let output = fs::File::create(self.scratch().join("output"))?;
        let mut command = Command::new("sh");
        command
            .args(["-c", script])
            .current_dir(&self.ground.work)
            .env("TREE", self.ground.tree)
            .env("FILE", format!("{}/file-0001234", self.ground.tree))
            .env("STORE", self.store())
            .env("SCRATCH", self.scratch())
            .env("TARGET", &self.ground.target)
            .env("OURS", &self.ground.ours)
            .env("PLAN9", &self.ground.plan9)
            .env("PORT", self.port.to_string())
            .env("NUMBER", self.number.to_string())
            .env("PREVIOUS", self.number.saturating_sub(1).to_string())
            .env("XDG_CACHE_HOME", self.scratch())
            .env("BORG_BASE_DIR", self.scratch())
            .env("BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK", "yes")
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(log);
        Ok(command)
    }

    /// Where the restored tree is.
    pub(crate) fn restored(&self) -> PathBuf {
        self.ground.target.join(self.recipe.restored.replace("$TREE", self.ground.tree))
    }

    /// The most memory that the server had resident since its start, in bytes.
    pub(crate) fn server_memory(&self) -> Option<u64> {
        self.server.as_ref().map(|server| peak_memory_of_family(server.id()))
    }

    /// The directory whose size is the size of the store.
    pub(crate) fn store(&self) -> PathBuf {
        self.directory.join("store")
    }

    fn scratch(&self) -> PathBuf {
        self.directory.join("scratch")
    }

    fn log(&self) -> PathBuf {
        self.directory.join("errors")
    }

    /// The last lines that the program wrote to standard error.
    fn said(&self) -> String {
        let log = fs::read(self.log()).with_context(|| self.log().display().to_string());
        let text = log.map(|log| String::from_utf8_lossy(&log).into_owned()).unwrap_or_default();
        let lines: Vec<_> = text.lines().rev().take(5).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join(" / ")
    }
}
