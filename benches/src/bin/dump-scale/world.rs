//! A server on a store, the programs that ask it, and its dump mounted: real programs all.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use venti_benches::process::{Background, Cost, peak_memory_of_family, run};
use venti_benches::remove::remove;
use venti_proto::Score;
use venti_proto::client::Client;
use venti_proto::roots::{RootLog, RootQuery};

/// How long anything may take to start, to end or to be noticed.
const PATIENCE: Duration = Duration::from_secs(60);

/// Where programs and files are.
#[derive(Clone, Debug)]
pub(crate) struct Ground {
    /// The directory of our programs.
    pub(crate) ours: PathBuf,
    /// Stores, mount points, caches and copies.
    pub(crate) work: PathBuf,
}

/// A server that runs.
pub(crate) struct Server<'a> {
    pub(crate) ground: &'a Ground,
    store: PathBuf,
    pub(crate) port: u16,
    status_port: u16,
    process: Option<Background>,
}

/// What a program said, and what it took.
pub(crate) struct Ran {
    pub(crate) cost: Cost,
    pub(crate) out: String,
}

impl Ground {
    pub(crate) fn ours(&self, program: &str) -> Command {
        Command::new(self.ours.join(program))
    }

    /// A directory that is empty.
    pub(crate) fn fresh(&self, name: &str) -> Result<PathBuf> {
        let path = self.work.join(name);
        remove(&path)?;
        fs::create_dir_all(&path)?;
        Ok(path)
    }
}

impl<'a> Server<'a> {
    pub(crate) fn start(ground: &'a Ground, store: &Path) -> Result<Server<'a>> {
        let (port, status_port) = (free_port()?, free_port()?);
        let store = store.to_owned();
        let mut server = Server { ground, store, port, status_port, process: None };
        server.start_again()?;
        Ok(server)
    }

    /// Starts it where it was before.
    pub(crate) fn start_again(&mut self) -> Result<()> {
        let mut command = self.ground.ours("venti");
        command.arg("serve").arg(&self.store).args(["--time-zone", "UTC"]);
        command.args(["--listen", &format!("127.0.0.1:{}", self.port)]);
        command.args(["--http", &format!("127.0.0.1:{}", self.status_port)]);
        command.stdout(Stdio::null()).stderr(File::create(self.ground.work.join("server.log"))?);
        let process = self.process.insert(Background::start(&mut command)?);
        wait_until("the server answers", || {
            ensure!(!process.has_ended(), "the server has ended");
            Ok(TcpStream::connect(("127.0.0.1", self.status_port)).is_ok())
        })
    }

    /// Sends it a signal, by its name.
    pub(crate) fn signal(&self, name: &str) -> Result<()> {
        let id = self.process.as_ref().context("no server runs")?.id();
        let status = Command::new("kill").args(["-s", name, &id.to_string()]).status()?;
        ensure!(status.success(), "kill -s {name}: {status}");
        Ok(())
    }

    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Blocks that were read from it since it started.
    pub(crate) fn blocks_read(&self) -> Result<u64> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.status_port))?;
        stream.write_all(b"GET /stats.json HTTP/1.0\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        let stats: serde_json::Value = serde_json::from_str(body)?;
        stats["server"]["reads"].as_u64().context("no count of reads in the server's statistics")
    }

    /// The score of the newest archive of a host.
    pub(crate) fn newest(&self, host: &str) -> Result<Score> {
        let client = Client::connect(&self.address().parse()?)?;
        let query = RootQuery { host: Some(host.parse()?), limit: 1, ..RootQuery::default() };
        let page = client.list(&query)?;
        Ok(page.records.first().with_context(|| format!("no dump of {host}"))?.root.score)
    }

    /// Mounts the dump, as this server or another way to it shows it.
    pub(crate) fn mount(&self, address: &str) -> Result<Mounted> {
        let at = self.ground.work.join("dump");
        fs::create_dir_all(&at)?;
        let mut command = self.ground.ours("fossil-lite");
        command.args(["mount", "--foreground", "--store", address]).arg(&at);
        command.stdout(Stdio::null()).stderr(File::create(self.ground.work.join("mount.log"))?);
        let mut process = Background::start(&mut command)?;
        wait_until("the dump is mounted", || {
            ensure!(!process.has_ended(), "fossil-lite mount has ended");
            Ok(is_mount_point(&at))
        })?;
        Ok(Mounted { at, process })
    }

    /// Runs a shell script: `$DUMP` is where the dump is mounted or may be, `$WORK` where
    /// everything is, and our programs come first in the path.
    pub(crate) fn shell(&self, script: &str) -> Result<Ran> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let paths = std::iter::once(self.ground.ours.clone()).chain(std::env::split_paths(&path));
        let mut command = Command::new("sh");
        command.args(["-c", script]).env("PATH", std::env::join_paths(paths)?);
        command.env("venti", self.address()).env("WORK", &self.ground.work);
        command.env("DUMP", self.ground.work.join("dump"));
        command.env("XDG_CACHE_HOME", self.ground.work.join("cache"));
        let output = self.ground.work.join("output");
        command.stdin(Stdio::null()).stdout(File::create(&output)?);
        let (cost, status) = run(&mut command)?;
        ensure!(status.success(), "{script}: {status}");
        Ok(Ran { cost, out: fs::read_to_string(output)? })
    }
}

/// A dump that is mounted, until this is dropped.
pub(crate) struct Mounted {
    pub(crate) at: PathBuf,
    process: Background,
}

impl Mounted {
    /// The most memory that it ever had resident, in bytes.
    pub(crate) fn peak_memory(&self) -> u64 {
        peak_memory_of_family(self.process.id())
    }
}

/// Whether something is mounted there.
pub(crate) fn is_mount_point(path: &Path) -> bool {
    let device = |path: &Path| fs::metadata(path).map(|metadata| metadata.dev()).ok();
    device(path) != device(&path.join(".."))
}

/// Waits until something is so.
pub(crate) fn wait_until(what: &str, mut is_so: impl FnMut() -> Result<bool>) -> Result<()> {
    let start = Instant::now();
    while !is_so()? {
        if start.elapsed() > PATIENCE {
            bail!("waited {} s for this in vain: {what}", PATIENCE.as_secs());
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    Ok(())
}

fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}
