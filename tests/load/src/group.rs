//! Floe's servers: the one that this process opens, and others beside it, each a process of its own.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use controlplane_pki::CertificateAuthority;
use controlplane_raft::tls::{self, Identity, TlsListener, TlsTransport};
use controlplane_raft::{
    Change, Drive, NoNetwork, Origin, Peer, Role, Server, ServerId, Setup, Transport, Tuning,
};
use controlplane_store::{ClusterId, Loaded, Options, State};
use controlplane_store_sqlite::SqliteState;
use controlplane_wal::{RealDisk, Wal};
use jiff::Timestamp;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::net::TcpListener;
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// How long all servers may take until they have a vote.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running server, and what answers others.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) server: Server,
    cluster: ClusterId,
    answering: JoinSet<()>,
    /// Ends the answering when dropped.
    _stop: watch::Sender<bool>,
    /// The others, killed when dropped.
    others: Vec<Child>,
}

/// The address at which a server answers others, with the authority of all.
struct Network {
    listener: TcpListener,
    authority: CertificateAuthority,
}

impl Running {
    /// Opens the only server of a store in `folder`.
    ///
    /// # Errors
    ///
    /// Fails where the store cannot be opened.
    pub(crate) async fn alone(folder: &Path) -> Result<Self> {
        start(folder, 1, None, None).await
    }

    /// Opens the leader of a new store of `count` servers, each in a folder of its own in `folder`; the others are processes.
    ///
    /// # Errors
    ///
    /// Fails where a server does not start, or does not get a vote in time.
    pub(crate) async fn leading(folder: &Path, count: u64) -> Result<Self> {
        let network = Network::open(folder).await?;
        let mut running = start(&folder.join("1"), 1, Some(network), None).await?;
        for id in 2..=count {
            let address = running.begin(folder, id).await?;
            let members = running.server.members();
            let peer = Peer {
                name: format!("server-{id}"),
                address,
                api: String::new(),
            };
            members.change(Change::Add(id, peer)).await?;
        }
        running.all_vote().await?;
        Ok(running)
    }

    /// Starts the server `id` as a process and returns its address.
    async fn begin(&mut self, folder: &Path, id: ServerId) -> Result<String> {
        let mut child = Command::new(std::env::current_exe()?)
            .arg("--floe")
            .arg(folder)
            .args([
                "follow",
                "--id",
                &id.to_string(),
                "--cluster",
                self.cluster.as_str(),
            ])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let said = child.stdout.take().context("the server's output is not ours")?;
        self.others.push(child);
        let mut address = String::new();
        BufReader::new(said).read_line(&mut address).await?;
        if address.is_empty() {
            bail!("server {id} ended before it said its address");
        }
        Ok(address.trim().to_owned())
    }

    async fn all_vote(&self) -> Result<()> {
        let members = self.server.members();
        let until = tokio::time::Instant::now() + PATIENCE;
        while members.list().iter().any(|info| info.role == Role::Learner) {
            if tokio::time::Instant::now() > until {
                bail!("not all servers got a vote: {:?}", members.list());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }

    /// Ends all, this one last.
    pub(crate) async fn stop(mut self) {
        // Nobody needs to take over.
        self.others.clear();
        self.server.stop().await;
        self.answering.shutdown().await;
    }
}

impl Network {
    async fn open(folder: &Path) -> Result<Self> {
        let pki = folder.join("pki");
        std::fs::create_dir_all(&pki)?;
        Ok(Self {
            listener: TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await?,
            authority: CertificateAuthority::load_or_create(&pki, "bench", Timestamp::now())?,
        })
    }

    fn identity(&self, id: ServerId) -> Result<Identity> {
        let issued = self
            .authority
            .issue(&tls::certificate_request(id), Timestamp::now())?;
        let own = tls::Pair {
            certificate: &issued.certificate_pem,
            key: &issued.key_pem,
        };
        Ok(Identity::new(self.authority.certificate_pem(), own)?)
    }
}

/// Is the server `id` of the store in `folder`, until standard input ends.
///
/// # Errors
///
/// Fails where the server does not start.
#[expect(clippy::print_stdout, reason = "the one who started it reads the address")]
pub(crate) async fn follow(folder: &Path, id: ServerId, cluster: &str) -> Result<()> {
    let network = Network::open(folder).await?;
    let address = network.listener.local_addr()?;
    let cluster = ClusterId::from_stored(cluster.to_owned());
    let running = start(&folder.join(id.to_string()), id, Some(network), Some(cluster)).await?;
    println!("{address}");
    tokio::io::stdin().read_to_end(&mut Vec::new()).await?;
    drop(running);
    Ok(())
}

/// Starts a server; one that is told its cluster waits to be added to it.
async fn start(
    folder: &Path,
    id: ServerId,
    network: Option<Network>,
    join: Option<ClusterId>,
) -> Result<Running> {
    let (state, loaded, log) = open(folder, join.as_ref())?;
    let cluster = loaded.cluster_id.clone();
    let identity = match &network {
        Some(network) => Some(network.identity(id)?),
        None => None,
    };
    let transport: Arc<dyn Transport> = match &identity {
        Some(identity) => Arc::new(TlsTransport::new(identity.clone(), cluster.as_str())),
        None => Arc::new(NoNetwork),
    };
    let address = network
        .as_ref()
        .map(|network| network.listener.local_addr())
        .transpose()?;
    let peer = Peer {
        name: format!("server-{id}"),
        address: address.map(|address| address.to_string()).unwrap_or_default(),
        api: String::new(),
    };
    let server = Server::start(Setup {
        id,
        peer,
        log,
        state,
        loaded,
        transport,
        folder: folder.join("snapshots"),
        options: Options::default(),
        tuning: Tuning::default(),
        room: None,
        drive: Drive::Threads,
        origin: match join {
            Some(_) => Origin::Join,
            None => Origin::Found,
        },
    })
    .await?;
    let (stop, stopped) = watch::channel(false);
    let mut answering = JoinSet::new();
    if let (Some(network), Some(identity)) = (network, identity) {
        let answers = TlsListener::new(identity, cluster.as_str(), server.service().clone());
        answering.spawn(answers.serve(network.listener, stopped));
    }
    Ok(Running {
        server,
        cluster,
        answering,
        _stop: stop,
        others: Vec::new(),
    })
}

fn open(folder: &Path, join: Option<&ClusterId>) -> Result<(SqliteState, Loaded, Wal<RealDisk>)> {
    std::fs::create_dir_all(folder)?;
    let mut state = SqliteState::open(&folder.join("store.db"))?;
    if let Some(cluster) = join {
        state.adopt(cluster)?;
    }
    let loaded = state.load()?;
    let (log, _) = Wal::open(
        RealDisk::open(&folder.join("log"))?,
        controlplane_wal::Options::default(),
    )?;
    Ok((state, loaded, log))
}
