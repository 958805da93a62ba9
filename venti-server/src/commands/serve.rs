//! `venti serve`: the server.

use std::path::PathBuf;
use std::sync::Arc;

use arenas::StoreOptions;
use arenas::roots_log::{DayZone, RootsLog};
use venti_proto::address::Address;

use crate::commands::output;
use crate::limits::Limits;
use crate::memory::{MemoryPlan, default_memory};
use crate::outcome::{Failure, Outcome};
use crate::place::open_failure;
use crate::server::{
    HostsFile, ServeError, Server, ServerConfig, Shutdown, ShutdownHandle, StoredBlocks, TlsFiles,
    notify, shutdown,
};
use crate::size::{Size, human};

const EXAMPLES: &str = r"EXAMPLES
  Serve this machine only, and nobody else; the store is made if there is none:

    $ venti serve /srv/venti &
    ...
    $ until venti ping -h 127.0.0.1; do sleep 1; done
    ...
    127.0.0.1:17034 answers in ... microseconds
    $ kill $! && wait

  Serve a network under TLS, with status pages for this machine; clients name it tls:HOST:

    $ venti serve /srv/venti --listen '*' --tls-cert cert.pem --tls-key key.pem \
    >     --http 127.0.0.1:8017 &
    ...";

/// What days are cut in where nobody knows better.
const UTC: &str = "UTC";

/// Serve a store
///
/// Creates the store if there is none. The addresses that are listened on are printed, one a
/// line. Whoever can connect can read every block and the log of roots, and so every file of every
/// host: permissions count in a mount and over 9P, not here. SIGTERM and SIGINT finish what was
/// received, make it durable and end; a second one ends at once.
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub struct Arguments {
    /// Directory of the store
    #[arg(value_name = "STORE")]
    store: PathBuf,

    /// Where to listen: host, host:port, tcp!host!port, tls:host:port, or unix:/path; may be given
    /// repeatedly
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:17034")]
    listen: Vec<Address>,

    /// Memory to use; by default a quarter of the machine's
    #[arg(long, value_name = "SIZE")]
    memory: Option<Size>,

    /// Take no writes; another process may be writing the store
    #[arg(long)]
    read_only: bool,

    /// Status pages over HTTP: /, /metrics, /healthz, /stats.json
    #[arg(long, value_name = "ADDRESS")]
    http: Option<Address>,

    /// Cut days in this time zone from now on, such as Europe/Berlin; by default that of the
    /// store, and in a new one that of this machine
    #[arg(long, value_name = "NAME", value_parser = time_zone)]
    time_zone: Option<String>,

    /// Size at which an arena is sealed; tests of sealing want it small
    #[arg(long, value_name = "SIZE", hide = true)]
    arena_size: Option<Size>,

    /// Mode of Unix sockets, octal
    #[arg(long, value_name = "MODE", default_value = "600", value_parser = octal)]
    socket_mode: u32,

    /// Take archives of a host only from where FILE says: lines of a host and its addresses,
    /// networks, or unix
    ///
    /// A line is, for example, `www 192.0.2.17 2001:db8::/64`, or `nas unix` for whoever can open a
    /// Unix socket. FILE is read again for every archive. A client that has shown a certificate
    /// (--tls-client-ca) may record under the names of the certificate instead, whatever FILE says.
    /// With neither, whoever can connect may record under any name.
    #[arg(long, value_name = "FILE")]
    hosts: Option<PathBuf>,

    #[command(flatten)]
    tls: TlsFiles,

    #[command(flatten)]
    limits: Limits,
}

pub(super) fn run(arguments: Arguments) -> Result<Outcome, Failure> {
    let total = arguments.memory.unwrap_or_else(default_memory);
    let memory = MemoryPlan::divide(total).map_err(|detail| Failure::Usage { detail })?;
    let tls = arguments.tls.load().map_err(ServeError::from)?;
    let wants_tls = |address: &&Address| matches!(address, Address::Tls { .. });
    if let (None, Some(address)) = (&tls, arguments.listen.iter().find(wants_tls)) {
        let detail = format!("{address}: TLS wants --tls-cert and --tls-key");
        return Err(Failure::Usage { detail });
    }
    let hosts = arguments.hosts.as_deref().map(HostsFile::new).transpose();
    let hosts = hosts.map_err(ServeError::from)?;
    let defaults = StoreOptions::default();
    let options = StoreOptions {
        create: !arguments.read_only,
        read_only: arguments.read_only,
        memory: memory.store,
        arena_size: arguments.arena_size.map_or(defaults.arena_size, |size| size.0),
        ..defaults
    };
    let local = local_time_zone();
    let time_zone = match (&arguments.time_zone, &local) {
        (Some(zone), _) => DayZone::Change(zone.clone()),
        (None, Some(zone)) => DayZone::Keep(zone.clone()),
        (None, None) => DayZone::Keep(UTC.to_owned()),
    };
    let stored = StoredBlocks::open(&arguments.store, options, time_zone);
    let stored = Arc::new(stored.map_err(|source| open_failure(&arguments.store, source))?);
    check_time_zone(stored.root_log(), arguments.time_zone.is_none() && local.is_none())?;
    tracing::info!(store = %arguments.store.display(), memory = %human(total.0), "store opened");
    let config = ServerConfig {
        listen: arguments.listen,
        socket_mode: arguments.socket_mode,
        http: arguments.http,
        tls,
        hosts,
        limits: arguments.limits,
        memory,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|source| ServeError::System { action: "starting threads", source })?;
    let (handle, shutdown) = shutdown();
    let served = runtime.block_on(serve(Arc::clone(&stored), config, &handle, shutdown));
    runtime.shutdown_background();
    let closed = stored.store().close();
    served?;
    closed?;
    notify("STATUS=stopped");
    Ok(Outcome::Complete)
}

async fn serve(
    engine: Arc<StoredBlocks>,
    config: ServerConfig,
    handle: &ShutdownHandle,
    shutdown: Shutdown,
) -> Result<(), Failure> {
    handle
        .on_signals()
        .map_err(|source| ServeError::System { action: "taking signals", source })?;
    let server = Server::bind(engine, config, shutdown).await?;
    for address in server.addresses()? {
        say(&format!("listening on {address}\n"));
        tracing::info!(address, "listening");
    }
    if let Some(address) = server.http_address()? {
        say(&format!("status on http://{address}/\n"));
    }
    for address in server.exposed() {
        tracing::warn!(
            address,
            "other machines can reach this address, and everything is sent in the clear: \
             see --tls-cert"
        );
    }
    notify("READY=1");
    let served = server.run().await?;
    notify("STOPPING=1");
    tracing::info!(
        connections = served.connections,
        written = %human(served.written_bytes),
        read = %human(served.read_bytes),
        "served"
    );
    Ok(())
}

/// Says something to whoever started the server. Nobody need listen, or listen for long.
fn say(line: &str) {
    if let Err(failure) = output(line.as_bytes()) {
        tracing::debug!(%failure, line, "not said");
    }
}

fn octal(text: &str) -> Result<u32, String> {
    match u32::from_str_radix(text, 8) {
        Ok(mode) if mode <= 0o777 => Ok(mode),
        _ => Err("a mode is octal, from 0 to 777".to_owned()),
    }
}

/// Reads the name of a time zone that is known here.
fn time_zone(text: &str) -> Result<String, String> {
    jiff::tz::TimeZone::get(text).map(|_| text.to_owned()).map_err(|error| error.to_string())
}

/// That of this machine, if it says which it is.
fn local_time_zone() -> Option<String> {
    let zone = jiff::tz::TimeZone::system();
    zone.iana_name().filter(|_| !zone.is_unknown()).map(str::to_owned)
}

/// Says what is odd about the zone that days are cut in. `guessed` says that nobody named one.
fn check_time_zone(log: &RootsLog, guessed: bool) -> Result<(), Failure> {
    let zone = log.time_zone();
    if let Err(error) = jiff::tz::TimeZone::get(zone) {
        let detail = format!("days of this store are cut in {zone:?}: {error}; see --time-zone");
        return Err(Failure::Usage { detail });
    }
    match log.time_zone_before() {
        Some(before) if before != zone => tracing::warn!(
            before,
            zone,
            "days are cut in another time zone from now on, and dumps of old days have other names"
        ),
        None if guessed => {
            tracing::warn!("this machine names no time zone, so days are cut in {UTC}");
        }
        _ => {}
    }
    Ok(())
}
