//! A server's life: bind, open, serve, drain, shut down.
//!
//! [`start`] does the first three and returns when requests are answered. Both ports are bound
//! before the data directory is opened: a port in use is found before recovery has done any
//! work, and clients that come back during a restart wait in the kernel's queue instead of being
//! refused. Streams asked for at start are there before the first connection is accepted.
//!
//! [`RunningServer::shut_down`] goes the other way. Readiness falls first, then long calls are
//! told to end, connections drain for a bounded time, and the engine makes durable what it has
//! taken and records clean ends, so that the next open has nothing to scan.
//!
//! What belongs to a process and not to a server (signals, log lines, limits of file
//! descriptors) is left to the binary, so that a test can run servers in its own process.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anabranch_engine::error::Error as EngineError;
use anabranch_engine::ids::StreamName;
use anabranch_engine::{Engine, EngineOptions, Environment, OpenReport, Stats};
use anabranch_proto::v1::streams_server::SERVICE_NAME;
use hyper_util::service::TowerToHyperService;
use rustix::process::{Resource, getrlimit};
use thiserror::Error;
use tokio::task::JoinHandle;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;
use tracing::{error, info, warn};

use crate::admin::{self, Status};
use crate::aws::arn::Owner;
use crate::config::{Config, ControlDelays, NewStream, TlsSource};
use crate::credentials::{Credentials, CredentialsError};
use crate::dispatch::Dispatch;
use crate::fingerprint::Fingerprint;
use crate::grpc;
use crate::kinesis;
use crate::net::{self, BindError, Clients, OpenPort, Port, Tls, TlsError};
use crate::ops::{Ops, OpsOptions};

/// Time for calls to end after a shutdown has begun. With what the engine needs to finish its
/// last commits it stays under the 5 seconds that a supervisor is promised.
const DRAIN: Duration = Duration::from_secs(4);

/// Time for a scrape that is on its way when the admin port closes.
const ADMIN_DRAIN: Duration = Duration::from_millis(100);

/// A server that could not be started.
#[derive(Debug, Error)]
pub enum StartError {
    /// An address that others can reach, without credentials to tell them apart.
    #[error(
        "refusing to listen on {address} ({flag}): whoever can reach this address would not \
         have to sign in; listen on 127.0.0.1, let clients sign in with --credentials FILE, or add \
         --insecure if you trust the network"
    )]
    NotLoopback {
        /// The address asked for.
        address: SocketAddr,
        /// The flag that sets it.
        flag: &'static str,
    },
    /// A port could not be opened.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// Nobody could sign in with that file.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    /// The certificate of the client port, or its key, is of no use.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The data directory could not be opened.
    #[error(transparent)]
    Open(EngineError),
    /// A stream asked for at start could not be made.
    #[error("cannot make the stream {name}: {source}")]
    Stream {
        /// The stream.
        name: StreamName,
        /// The reason.
        source: EngineError,
    },
}

/// A server that answers requests. Dropping it leaves its tasks to the runtime; call
/// [`RunningServer::shut_down`].
pub struct RunningServer {
    client_port: OpenPort,
    admin_port: OpenPort,
    /// What gRPC's health service says.
    health: HealthReporter,
    /// Ends with the operations' shutdown.
    scaler: JoinHandle<()>,
    tls: Option<Arc<Tls>>,
    credentials: Arc<Credentials>,
    state: Arc<State>,
}

/// Starts a server on this machine's disk and clock and returns when it answers requests.
pub async fn start(config: &Config) -> Result<RunningServer, StartError> {
    start_in(config, Environment::system(config.read_mode.into())).await
}

/// Starts a server that keeps its data in, and takes its time from, `environment`: a simulated
/// disk that is full, say, or a clock that is put forward by a year.
pub async fn start_in(
    config: &Config,
    environment: Environment,
) -> Result<RunningServer, StartError> {
    check_reach(config)?;
    let credentials = Arc::new(open_credentials(config).await?);
    let mut tls = load_tls(config).await?;
    let mut client_port = Port::bind(config.listen, "--listen")?;
    let admin_port = Port::bind(config.admin_listen, "--admin-listen")?;
    let engine = open(config, environment).await?;
    if config.tls == Some(TlsSource::Auto) {
        // Only now the data directory is there, and ours.
        let made = make_tls(config).await;
        if made.is_err() {
            let engine = engine.clone();
            // The engine's own failure to stop adds nothing to the first one.
            let _ = blocking(move || engine.shut_down()).await;
        }
        tls = Some(made?);
    }
    if let Some(tls) = &tls {
        info!(fingerprint = %tls.fingerprint(), "clients may connect with TLS");
        client_port = client_port.with_tls(Arc::clone(tls), config.insecure);
    }
    let owner = Owner { account: config.account_id.clone(), region: config.region.clone() };
    let durability = config.durability.into();
    let request_bytes_max = config.request_mib as usize * (1 << 20);
    let quotas = config.quotas.into();
    let has_control_delays = config.control_delays == ControlDelays::Aws;
    let options = OpsOptions {
        owner,
        durability,
        quotas,
        has_control_delays,
        request_bytes_max,
        credentials: Arc::clone(&credentials),
    };
    let ops = Ops::new(engine.clone(), options);
    let scaler = Arc::clone(ops.scaler()).run(ops.shutdown().clone());
    let grpc = grpc::routes(Arc::clone(&ops)).await;
    let kinesis = kinesis::Door::new(Arc::clone(&ops));
    let health = grpc.health();
    let state = Arc::new(State { engine, ops, ready: AtomicBool::new(true) });
    let admin = admin::routes(Arc::clone(&state) as Arc<dyn Status>);
    Ok(RunningServer {
        client_port: client_port.open(Dispatch::new(grpc, kinesis)),
        admin_port: admin_port.open(TowerToHyperService::new(admin)),
        health,
        scaler: tokio::spawn(scaler),
        tls,
        credentials,
        state,
    })
}

impl RunningServer {
    /// Where clients connect: never port 0.
    pub fn address(&self) -> SocketAddr {
        self.client_port.address()
    }

    /// Where metrics and health are served: never port 0.
    pub fn admin_address(&self) -> SocketAddr {
        self.admin_port.address()
    }

    /// The fingerprint of the certificate that clients get; `None` without TLS.
    pub fn fingerprint(&self) -> Option<Fingerprint> {
        self.tls.as_ref().map(|tls| tls.fingerprint())
    }

    /// Reads again what may have been replaced: credentials, certificate and key. What is of no use
    /// leaves the old ones in force, and the log says so.
    pub async fn reload(&self) {
        let credentials = Arc::clone(&self.credentials);
        if credentials.exist() {
            match blocking(move || credentials.reload()).await {
                Ok(count) => info!(count, "credentials have been read again"),
                Err(error) => error!(%error, "the old credentials stay in force"),
            }
        }
        let Some(tls) = self.tls.clone() else {
            return;
        };
        match blocking(move || tls.reload()).await {
            Ok(fingerprint) => info!(%fingerprint, "certificate and key have been read again"),
            Err(error) => error!(%error, "the old certificate stays in force"),
        }
    }

    /// What was found when the data directory was opened.
    pub fn opened(&self) -> &OpenReport {
        self.state.engine.report()
    }

    /// What the engine has done, and how it stands.
    pub fn stats(&self) -> Stats {
        self.state.engine.stats()
    }

    /// Drains and stops, in less than 5 seconds.
    pub async fn shut_down(self) -> Result<(), EngineError> {
        self.state.ready.store(false, Ordering::Release);
        let not_serving = ServingStatus::NotServing;
        self.health.set_service_status(SERVICE_NAME, not_serving).await;
        self.health.set_service_status("", not_serving).await;
        self.state.ops.begin_shutdown();
        let dropped = self.client_port.close(DRAIN).await;
        if dropped > 0 {
            warn!(connections = dropped, "dropped connections that did not finish");
        }
        if let Err(error) = self.scaler.await
            && error.is_panic()
        {
            std::panic::resume_unwind(error.into_panic());
        }
        let engine = self.state.engine.clone();
        let stopped = blocking(move || engine.shut_down()).await;
        self.admin_port.close(ADMIN_DRAIN).await;
        stopped
    }
}

/// Where nobody has to sign in only this machine may connect, unless the operator takes the risk.
/// That is so at the admin port, whatever the other one asks for.
fn check_reach(config: &Config) -> Result<(), StartError> {
    let has_credentials = config.credentials.is_some();
    let ports = [
        (config.listen, "--listen", has_credentials),
        (config.admin_listen, "--admin-listen", false),
    ];
    let is_exposed = |(address, _, is_guarded): &(SocketAddr, _, bool)| {
        !address.ip().is_loopback() && !is_guarded && !config.insecure
    };
    match ports.into_iter().find(is_exposed) {
        Some((address, flag, _)) => Err(StartError::NotLoopback { address, flag }),
        None => Ok(()),
    }
}

/// Reads who may sign in: before anything else has been done.
async fn open_credentials(config: &Config) -> Result<Credentials, CredentialsError> {
    match config.credentials.clone() {
        Some(path) => blocking(move || Credentials::open(&path)).await,
        None => Ok(Credentials::none()),
    }
}

/// Reads certificate and key, if they are in files: before anything else has been done.
async fn load_tls(config: &Config) -> Result<Option<Arc<Tls>>, TlsError> {
    let Some(TlsSource::Files { certificate, key }) = config.tls.clone() else {
        return Ok(None);
    };
    let clients = clients(config);
    blocking(move || Tls::load(certificate, key, clients)).await.map(|tls| Some(Arc::new(tls)))
}

/// Takes the certificate of the data directory, or makes one.
async fn make_tls(config: &Config) -> Result<Arc<Tls>, TlsError> {
    let (data, listen, clients) = (config.data.clone(), config.listen.ip(), clients(config));
    blocking(move || net::self_signed(&data, listen, clients)).await.map(Arc::new)
}

/// Certificates are asked for where somebody can be known by one.
fn clients(config: &Config) -> Clients {
    match config.credentials {
        Some(_) => Clients::MayShowCertificate,
        None => Clients::Anonymous,
    }
}

/// Opens the data directory, which recovers it, and makes the streams asked for.
async fn open(config: &Config, environment: Environment) -> Result<Engine, StartError> {
    let files_max = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let mut options = EngineOptions::new(config.data.clone()).with_files_max(files_max);
    options.durability = config.durability.into();
    let streams = config.streams.clone();
    blocking(move || {
        let engine = Engine::open(options, environment).map_err(StartError::Open)?;
        report(engine.report());
        engine.start();
        for stream in &streams {
            if let Err(source) = ensure(&engine, stream) {
                // The engine's own failure to stop adds nothing to the first one.
                let _ = engine.shut_down();
                let name = stream.name.clone();
                return Err(StartError::Stream { name, source });
            }
        }
        Ok(engine)
    })
    .await
}

/// Makes a stream unless there is one of that name, which is left as it is: it may have been split
/// or changed since.
fn ensure(engine: &Engine, wanted: &NewStream) -> Result<(), EngineError> {
    match engine.stream(&wanted.name) {
        Ok(stream) => {
            let shards = stream.shards().open().count();
            info!(
                stream = %wanted.name,
                shards,
                wanted = wanted.shards,
                "the stream is there already and is left as it is"
            );
            Ok(())
        }
        Err(EngineError::StreamNotFound { .. }) => {
            // All at once: after a crash it is there as it was asked for, or made at the next start.
            engine.create_stream_with_retention(
                &wanted.name,
                wanted.shards,
                wanted.retention_hours,
                wanted.settings(),
            )?;
            info!(stream = %wanted.name, shards = wanted.shards, "the stream has been made");
            Ok(())
        }
        Err(error) => Err(error),
    }
}

/// Writes what opening found to the log, where somebody will look for it in a year.
fn report(opened: &OpenReport) {
    for damage in &opened.damage {
        error!(%damage, "damage found; the rest of the shard is served");
    }
    for path in &opened.lost_and_found {
        warn!(path = %path.display(), "records without a stream were moved to lost+found");
    }
    info!(
        clean = opened.clean,
        streams = opened.streams,
        shards = opened.shards,
        scanned_bytes = opened.scanned_bytes,
        truncated_bytes = opened.truncated_bytes,
        damage = opened.damage.len(),
        took_ms = opened.took.as_millis() as u64,
        "opened the data directory"
    );
}

/// What the admin port tells.
struct State {
    engine: Engine,
    ops: Arc<Ops>,
    ready: AtomicBool,
}

impl Status for State {
    fn metrics(&self) -> String {
        self.ops.metrics().encode()
    }

    fn halted_logs(&self) -> u64 {
        self.engine.stats().halted_logs
    }

    fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Acquire)
    }
}

/// Runs what may wait for the disk off the async threads. A panic there is a panic here.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

#[cfg(test)]
mod tests {
    use anabranch_engine::reshard;

    use super::*;
    use crate::config::Quotas;

    fn config(directory: &tempfile::TempDir) -> Config {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        Config { listen: any, admin_listen: any, ..Config::new(directory.path().join("data")) }
    }

    #[tokio::test]
    async fn listening_beyond_loopback_needs_insecure() {
        let directory = tempfile::tempdir().unwrap();
        for flag in ["--listen", "--admin-listen"] {
            let mut config = config(&directory);
            let address = match flag {
                "--listen" => &mut config.listen,
                _ => &mut config.admin_listen,
            };
            *address = SocketAddr::from(([0, 0, 0, 0], 0));
            let text = start(&config).await.err().unwrap().to_string();
            assert!(text.contains(flag) && text.contains("--insecure"), "{text}");
            assert!(!config.data.exists(), "nothing is touched before the refusal");
        }
        let insecure = Config {
            listen: SocketAddr::from(([0, 0, 0, 0], 0)),
            insecure: true,
            ..config(&directory)
        };
        start(&insecure).await.unwrap().shut_down().await.unwrap();
    }

    #[tokio::test]
    async fn streams_asked_for_at_start_are_made_once() {
        let directory = tempfile::tempdir().unwrap();
        let config = Config {
            streams: vec!["orders:4".parse().unwrap(), "clicks:2".parse().unwrap()],
            ..config(&directory)
        };
        for _ in 0..2 {
            let server = start(&config).await.unwrap();
            let orders = server.state.engine.stream(&"orders".parse().unwrap()).unwrap();
            assert_eq!(orders.shards().len(), 4);
            server.shut_down().await.unwrap();
        }
    }

    #[tokio::test]
    async fn a_stream_made_at_start_has_its_settings_and_keeps_what_was_changed_since() {
        let directory = tempfile::tempdir().unwrap();
        let orders = NewStream {
            retention_hours: 48,
            quotas: Some(Quotas::Aws),
            tags: [("team".to_owned(), "web".to_owned())].into(),
            ..("orders:2".parse().unwrap())
        };
        let config = Config { streams: vec![orders], ..config(&directory) };
        let server = start(&config).await.unwrap();
        let engine = &server.state.engine;
        let stream = engine.stream(&"orders".parse().unwrap()).unwrap();
        assert_eq!((stream.retention_hours(), stream.shards().len()), (48, 2));
        assert_eq!(stream.settings().tags["team"], "web");
        assert_eq!(stream.settings().quotas, Some(Quotas::Aws.into()));
        let steps = reshard::uniform(&stream.shards(), 3).unwrap();
        engine.reshard(&stream, &steps).unwrap();
        engine.set_retention_hours(&stream, 72).unwrap();
        server.shut_down().await.unwrap();
        let server = start(&config).await.unwrap();
        let stream = server.state.engine.stream(&"orders".parse().unwrap()).unwrap();
        assert_eq!((stream.retention_hours(), stream.shards().open().count()), (72, 3));
        server.shut_down().await.unwrap();
    }

    #[tokio::test]
    async fn a_second_server_on_one_directory_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let first = start(&config(&directory)).await.unwrap();
        let refused = start(&config(&directory)).await.err().unwrap();
        assert!(matches!(refused, StartError::Open(EngineError::Locked { .. })), "{refused}");
        first.shut_down().await.unwrap();
    }

    #[tokio::test]
    async fn both_ports_tell_their_real_addresses() {
        let directory = tempfile::tempdir().unwrap();
        let server = start(&config(&directory)).await.unwrap();
        assert_ne!(server.address().port(), 0);
        assert_ne!(server.admin_address().port(), 0);
        assert_ne!(server.address(), server.admin_address());
        server.shut_down().await.unwrap();
    }
}
