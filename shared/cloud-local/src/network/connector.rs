//! From the host into the private network: one connection per request.
//!
//! A client sends `10.77.0.5:5432` and a line feed. The answer is `connected` and a line feed, and then whatever the
//! other side sends; or a sentence and a line feed, and the end.

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

/// What the connector answers when the connection stands.
pub(crate) const CONNECTED: &str = "connected";
/// The file name of its socket.
pub(crate) const SOCKET: &str = "connector.sock";

const LONGEST_LINE: usize = 200;
const PATIENCE: Duration = Duration::from_secs(10);

/// Takes one client and serves it on threads of its own.
pub(crate) fn accept(listener: &UnixListener) {
    if let Ok((client, _)) = listener.accept() {
        // A client that cannot be served sees its connection end.
        drop(thread::Builder::new().spawn(move || serve(client)));
    }
}

fn serve(mut client: UnixStream) -> io::Result<()> {
    client.set_read_timeout(Some(PATIENCE))?;
    let line = read_line(&mut client)?;
    match reach(&line) {
        Ok(server) => {
            client.set_read_timeout(None)?;
            writeln!(client, "{CONNECTED}")?;
            join(client, server)
        }
        Err(error) => writeln!(client, "cannot connect to {line}: {error}"),
    }
}

/// Reads up to the line feed and not one byte further.
pub(crate) fn read_line(stream: &mut UnixStream) -> io::Result<String> {
    let mut line = Vec::new();
    let mut byte = [0];
    loop {
        stream.read_exact(&mut byte)?;
        match byte {
            [b'\n'] => return String::from_utf8(line).map_err(io::Error::other),
            _ if line.len() == LONGEST_LINE => return Err(io::ErrorKind::InvalidData.into()),
            [other] => line.push(other),
        }
    }
}

fn reach(line: &str) -> io::Result<TcpStream> {
    let address: SocketAddr = line.trim().parse().map_err(io::Error::other)?;
    let server = TcpStream::connect_timeout(&address, PATIENCE)?;
    server.set_nodelay(true)?;
    Ok(server)
}

/// Carries bytes both ways until both sides have ended.
fn join(client: UnixStream, server: TcpStream) -> io::Result<()> {
    let client = Arc::new(client);
    let server = Arc::new(server);
    let (answers_to, answers_from) = (Arc::clone(&client), Arc::clone(&server));
    let answers = thread::Builder::new().spawn(move || {
        // An error ends this direction as the end of the stream does.
        drop(carry(&*answers_from, &*answers_to));
        drop(answers_to.shutdown(Shutdown::Write));
    })?;
    drop(carry(&*client, &*server));
    drop(server.shutdown(Shutdown::Write));
    drop(answers.join());
    Ok(())
}

fn carry(mut from: impl io::Read, mut to: impl io::Write) -> io::Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let length = from.read(&mut buffer)?;
        if length == 0 {
            return Ok(());
        }
        to.write_all(buffer.get(..length).unwrap_or_default())?;
    }
}
