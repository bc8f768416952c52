//! Waiting for journald to have written what it was given.
//!
//! journald reads its streams when it gets to it: of a container that says much and ends, most lines
//! would be missing for some hundred milliseconds after its end. `Synchronize` is answered once
//! everything given before is written (io.systemd.Journal, as `journalctl --sync` calls it).

use std::io::{self, BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

const SOCKET: &str = "/run/systemd/journal/io.systemd.journal";

/// A call of Varlink, which a zero byte ends.
const CALL: &[u8] = b"{\"method\":\"io.systemd.Journal.Synchronize\"}\0";

/// Longest answer, in bytes.
const ANSWER: u64 = 4 << 10;

/// Blocks until all lines given to journald so far can be read, but no longer than `longest`: a
/// journald that is kept busy answers late.
///
/// # Errors
///
/// Where journald does not answer in time; lines may then be missing.
pub(super) fn settle(longest: Duration) -> io::Result<()> {
    call(Path::new(SOCKET), longest)
}

fn call(socket: &Path, longest: Duration) -> io::Result<()> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(longest))?;
    stream.set_write_timeout(Some(longest))?;
    stream.write_all(CALL)?;
    let mut answer = Vec::new();
    let mut reader = BufReader::new(io::Read::take(stream, ANSWER));
    reader.read_until(0, &mut answer)?;
    // An answer that is an error names it; one that is none has parameters alone.
    let refused = answer.windows(8).any(|part| part == b"\"error\":");
    match answer.last() {
        Some(0) if !refused => Ok(()),
        _ => Err(io::Error::other("journald does not synchronize")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read as _;
    use std::os::unix::net::UnixListener;

    fn answered(answer: &'static [u8]) -> io::Result<()> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let listener = UnixListener::bind(&path).unwrap();
        let journald = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut call = vec![0; CALL.len()];
            stream.read_exact(&mut call).unwrap();
            stream.write_all(answer).unwrap();
            call
        });
        let called = call(&path, Duration::from_secs(5));
        assert_eq!(journald.join().unwrap(), CALL);
        called
    }

    #[test]
    fn only_an_answer_without_an_error_settles() {
        assert!(answered(b"{\"parameters\":{}}\0").is_ok());
        assert!(answered(b"{\"error\":\"org.varlink.service.MethodNotFound\"}\0").is_err());
        assert!(answered(b"").is_err());
    }
}
