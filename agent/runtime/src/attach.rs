//! Attaching to a container whose streams are held: the other side of `floe-run`'s holder.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use agent_run::attach::{ATTACH_SOCKET, Decoder, Ending, Frame, MAX_FRAME, Wanted};
use agent_run::{FormatError, Launch};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::NodePaths;
use crate::exec::ContainerRef;

/// Bytes that wait for a slow reader in each stream; then the holder waits.
const WAITING: usize = 64 << 10;

/// Longest wait for the holder of a container that is just starting.
const PATIENCE: Duration = Duration::from_secs(5);

/// Pause between tries.
const PAUSE: Duration = Duration::from_millis(20);

/// Why nobody was attached.
#[derive(Debug, thiserror::Error)]
pub enum AttachError {
    /// The container does not run.
    #[error("container {0} is not running")]
    NotRunning(String),
    /// Its holder has enough.
    #[error("attach to container {0}: too many are attached already")]
    Full(String),
    /// Its description is damaged.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// The holder does not answer as it should.
    #[error("attach to container {container}")]
    Io {
        /// The container's name.
        container: String,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// How an attachment ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Detached {
    /// As it should: with the container, or with the client's stdin.
    Done,
    /// The holder is gone, or has cut off one who read nothing for too long.
    CutOff,
}

/// An attachment. Dropping it lets go of the container, which goes on.
#[derive(Debug)]
pub struct Attached {
    /// The container's stdin; shut it down to say that no more comes.
    pub stdin: Option<DuplexStream>,
    /// Its stdout, or its terminal's output.
    pub stdout: Option<DuplexStream>,
    /// Its stderr.
    pub stderr: Option<DuplexStream>,
    size: watch::Sender<Option<(u16, u16)>>,
    receiving: JoinSet<Detached>,
    ended: Option<Detached>,
    /// Ended with this value.
    _sending: JoinSet<()>,
}

impl Attached {
    /// Tells the container's terminal its size; nothing happens without one.
    pub fn resize(&self, columns: u16, rows: u16) {
        self.size.send_replace(Some((columns, rows)));
    }

    /// Waits for the end; cancel-safe, and answers again when asked again.
    pub async fn wait(&mut self) -> Detached {
        if let Some(ended) = self.ended {
            return ended;
        }
        let joined = self.receiving.join_next().await;
        let ended = joined.and_then(Result::ok).unwrap_or(Detached::CutOff);
        *self.ended.insert(ended)
    }
}

/// Attaches to a container; `None` where its streams are not held, but the journal's.
///
/// # Errors
///
/// Says why nobody was attached.
pub async fn attach(
    paths: &NodePaths,
    target: &ContainerRef,
    wanted: Wanted,
) -> Result<Option<Attached>, AttachError> {
    let dir = paths.container_dir(&target.uid, &target.container);
    if Launch::read(&dir)?.and_then(|launch| launch.held).is_none() {
        return Ok(None);
    }
    let failed = |source: io::Error| match source.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused | io::ErrorKind::UnexpectedEof => {
            AttachError::NotRunning(target.container.clone())
        }
        _ => AttachError::Io {
            container: target.container.clone(),
            source,
        },
    };
    let greeted = tokio::time::timeout(PATIENCE, greet(dir, wanted)).await;
    let stream = match greeted.unwrap_or_else(|late| Err(late.into())).map_err(failed)? {
        Greeted::Welcome(stream, decoder) => (stream, decoder),
        Greeted::Full => return Err(AttachError::Full(target.container.clone())),
    };
    Ok(Some(begin(stream, wanted)))
}

enum Greeted {
    Welcome(UnixStream, Decoder),
    Full,
}

async fn greet(dir: PathBuf, wanted: Wanted) -> io::Result<Greeted> {
    let mut stream = connect(dir).await?;
    stream.write_all(&Frame::Open(wanted).encode()).await?;
    let mut decoder = Decoder::default();
    match next(&mut stream, &mut decoder).await? {
        Some(Frame::Opened) => Ok(Greeted::Welcome(stream, decoder)),
        Some(Frame::Full) => Ok(Greeted::Full),
        Some(_) => Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "the holder's first words",
        )),
        None => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

/// A container that is being started has its socket soon. The folder's path is longer than a
/// socket's may be, so it is reached by a descriptor.
async fn connect(dir: PathBuf) -> io::Result<UnixStream> {
    let begin = Instant::now();
    loop {
        let folder = File::open(&dir)?;
        let path = format!("/proc/self/fd/{}/{ATTACH_SOCKET}", folder.as_raw_fd());
        match UnixStream::connect(path).await {
            Err(error) if error.kind() == io::ErrorKind::NotFound && begin.elapsed() < PATIENCE / 2 => {
                tokio::time::sleep(PAUSE).await;
            }
            other => return other,
        }
    }
}

fn begin((stream, decoder): (UnixStream, Decoder), wanted: Wanted) -> Attached {
    let (from, to) = stream.into_split();
    let pair = |asked: bool| asked.then(|| tokio::io::duplex(WAITING)).unzip();
    let ((stdin, input), (stdout, out), (stderr, err)) =
        (pair(wanted.stdin), pair(wanted.stdout), pair(wanted.stderr));
    let (size, sizes) = watch::channel(None);
    let (mut receiving, mut sending) = (JoinSet::new(), JoinSet::new());
    receiving.spawn(receive(from, decoder, out, err));
    sending.spawn(send(to, input, sizes));
    Attached {
        stdin,
        stdout,
        stderr,
        size,
        receiving,
        ended: None,
        _sending: sending,
    }
}

/// Sorts output by stream until the last frame.
async fn receive(
    mut from: OwnedReadHalf,
    mut decoder: Decoder,
    mut out: Option<DuplexStream>,
    mut err: Option<DuplexStream>,
) -> Detached {
    while let Ok(Some(frame)) = next(&mut from, &mut decoder).await {
        let (to, bytes) = match frame {
            Frame::Stdout(bytes) => (&mut out, bytes),
            Frame::Stderr(bytes) => (&mut err, bytes),
            Frame::End(Ending::Exited | Ending::Detached) => return Detached::Done,
            _ => return Detached::CutOff,
        };
        if let Some(to) = to {
            // A stream whose reader is gone is passed over.
            drop(to.write_all(&bytes).await);
        }
    }
    Detached::CutOff
}

/// The next frame; `None` at the end.
async fn next(from: &mut (impl AsyncRead + Unpin), decoder: &mut Decoder) -> io::Result<Option<Frame>> {
    let mut buffer = vec![0; MAX_FRAME];
    loop {
        if let Some(frame) = decoder.take()? {
            return Ok(Some(frame));
        }
        match from.read(&mut buffer).await? {
            0 => return Ok(None),
            count => decoder.put(buffer.get(..count).unwrap_or_default()),
        }
    }
}

/// Sends input and sizes until the holder or the client has enough.
async fn send(
    mut to: OwnedWriteHalf,
    mut input: Option<DuplexStream>,
    mut sizes: watch::Receiver<Option<(u16, u16)>>,
) {
    let mut buffer = vec![0; MAX_FRAME];
    loop {
        let frame = tokio::select! {
            // Cancel-safe: a size counts as seen only once `changed` returns.
            changed = sizes.changed() => match (changed, *sizes.borrow_and_update()) {
                (Ok(()), Some((columns, rows))) => Frame::Resize { columns, rows },
                (Ok(()), None) => continue,
                (Err(_), _) => return,
            },
            // Cancel-safe: where the other arm wins, nothing was read.
            read = read(&mut input, &mut buffer) => match read {
                Ok(count @ 1..) => Frame::Stdin(buffer.get(..count).unwrap_or_default().to_vec()),
                Ok(0) | Err(_) => {
                    input = None;
                    Frame::StdinEnd
                }
            },
        };
        if to.write_all(&frame.encode()).await.is_err() {
            return;
        }
    }
}

/// Reads what the client sends; for ever nothing once that has ended.
async fn read(input: &mut Option<DuplexStream>, buffer: &mut [u8]) -> io::Result<usize> {
    match input {
        Some(input) => input.read(buffer).await,
        None => std::future::pending().await,
    }
}
