//! As much of HTTP as it takes to ask a server on this machine whether it is there.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use crate::error::TaskError;

/// A server on this machine answers at once, or is not ready.
const PATIENCE: Duration = Duration::from_secs(2);

/// The status of a GET, as the first line of the answer tells it.
pub(crate) fn status(port: u16, path: &str) -> std::io::Result<u16> {
    let mut stream = TcpStream::connect_timeout(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)), PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    // Some servers close the connection roughly; the first line has come by then.
    let _ = stream.read_to_end(&mut answer);
    let first_line = answer.split(|&byte| byte == b'\r').next().unwrap_or_default();
    let words = String::from_utf8_lossy(first_line);
    let status = words.split(' ').nth(1).and_then(|word| word.parse().ok());
    status.ok_or_else(|| std::io::Error::other("the answer is not HTTP"))
}

/// A port on loopback that nobody listens on.
pub(crate) fn free_port() -> Result<u16, TaskError> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .and_then(|listener| listener.local_addr())
        .map(|address| address.port())
        .map_err(|cause| TaskError::Missing(format!("no port is free on loopback: {cause}")))
}
