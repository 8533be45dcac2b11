//! The Runtime API of Lambda, as far as one function needs it that is measured.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::error::TaskError;

/// A function that takes longer has hung.
const PATIENCE: Duration = Duration::from_secs(20);

/// What every function is given. None understands it, not even the sweep, which takes an empty object; each says so at
/// once, and nothing else is called.
const EVENT: &str = r#"{"understood_by":"nobody"}"#;

/// What the function did.
enum Seen {
    AskedForAnEvent(Instant),
    Answered { at: Instant, is_refusal: bool },
    CouldNotStart(String),
}

/// How a function answered.
pub(super) struct Answer {
    /// From the event to the answer.
    pub(super) took: Duration,
    /// Whether it said that it could do nothing with the event.
    pub(super) is_refusal: bool,
}

/// Serves one function.
pub(super) struct RuntimeApi {
    port: u16,
    seen: Receiver<Seen>,
    permits: Sender<()>,
}

/// What each connection has.
#[derive(Clone)]
struct Shared {
    seen: Sender<Seen>,
    permits: Arc<Mutex<Receiver<()>>>,
}

impl RuntimeApi {
    /// Listens on a free port of loopback.
    pub(super) fn listen() -> Result<Self, TaskError> {
        let failed = |cause| TaskError::File { path: "the Runtime API on loopback".to_owned(), cause };
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(failed)?;
        let port = listener.local_addr().map_err(failed)?.port();
        let (seen_sender, seen) = channel();
        let (permits, permits_receiver) = channel();
        let shared = Shared { seen: seen_sender, permits: Arc::new(Mutex::new(permits_receiver)) };
        // Left behind when the function is gone: the thread costs a few kilobytes until this program ends.
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = shared.clone();
                std::thread::spawn(move || shared.serve(stream));
            }
        });
        Ok(Self { port, seen, permits })
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// When the function asked for its first event.
    pub(super) fn first_request(&self) -> Result<Instant, String> {
        match self.next_seen()? {
            Seen::AskedForAnEvent(time) => Ok(time),
            Seen::CouldNotStart(why) => Err(format!("it could not start: {why}")),
            Seen::Answered { .. } => Err("it answered before it was asked".to_owned()),
        }
    }

    /// Gives it an event, and tells how it answered; it has asked again by then.
    pub(super) fn invoke(&self) -> Result<Answer, String> {
        let asked = Instant::now();
        self.permits.send(()).map_err(|_| "it has gone".to_owned())?;
        let Seen::Answered { at, is_refusal } = self.next_seen()? else {
            return Err("it asked again without an answer".to_owned());
        };
        self.first_request()?;
        Ok(Answer { took: at.duration_since(asked), is_refusal })
    }

    fn next_seen(&self) -> Result<Seen, String> {
        self.seen
            .recv_timeout(PATIENCE)
            .map_err(|_| format!("nothing is heard of it for {} s", PATIENCE.as_secs()))
    }
}

impl Shared {
    /// One connection, which the function keeps open.
    fn serve(&self, stream: TcpStream) {
        let _ = stream.set_nodelay(true);
        let Ok(mut writer) = stream.try_clone() else {
            return;
        };
        let mut reader = BufReader::new(stream);
        while let Some(request) = Request::read(&mut reader) {
            if self.answer(&request, &mut writer).is_none() {
                return;
            }
        }
    }

    fn answer(&self, request: &Request, writer: &mut TcpStream) -> Option<()> {
        let now = Instant::now();
        if request.path.ends_with("/invocation/next") {
            self.seen.send(Seen::AskedForAnEvent(now)).ok()?;
            self.permits.lock().unwrap_or_else(PoisonError::into_inner).recv().ok()?;
            return writer.write_all(event().as_bytes()).ok();
        }
        let seen = if request.path.ends_with("/init/error") {
            Seen::CouldNotStart(request.body.clone())
        } else {
            Seen::Answered { at: now, is_refusal: request.path.ends_with("/error") }
        };
        self.seen.send(seen).ok()?;
        let accepted =
            "HTTP/1.1 202 Accepted\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}";
        writer.write_all(accepted.as_bytes()).ok()
    }
}

/// Far in the future is the year 2100.
fn event() -> String {
    let length = EVENT.len();
    format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\
         Lambda-Runtime-Aws-Request-Id: 8476a536-e9f4-11e8-9739-2dfe598c3fcd\r\n\
         Lambda-Runtime-Deadline-Ms: 4102444800000\r\n\
         Lambda-Runtime-Invoked-Function-Arn: arn:aws:lambda:eu-west-1:123456789012:function:measured\r\n\
         Lambda-Runtime-Trace-Id: Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700;Parent=9a9197af755a6419;Sampled=0\r\n\
         \r\n{EVENT}"
    )
}

struct Request {
    path: String,
    body: String,
}

impl Request {
    /// None when the function has closed the connection, or does not speak HTTP.
    fn read(reader: &mut BufReader<TcpStream>) -> Option<Self> {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|&read| read > 0)?;
        let path = line.split(' ').nth(1)?.to_owned();
        let body = match Self::length(reader)? {
            Length::Known(length) => read_exactly(reader, length)?,
            Length::InChunks => read_chunks(reader)?,
        };
        Some(Self { path, body: String::from_utf8_lossy(&body).into_owned() })
    }

    fn length(reader: &mut BufReader<TcpStream>) -> Option<Length> {
        let mut length = Length::Known(0);
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).ok()?;
            let line = line.trim().to_ascii_lowercase();
            if line.is_empty() {
                return Some(length);
            }
            if let Some(value) = line.strip_prefix("content-length:") {
                length = Length::Known(value.trim().parse().ok()?);
            } else if line.starts_with("transfer-encoding:") {
                length = Length::InChunks;
            }
        }
    }
}

enum Length {
    Known(usize),
    InChunks,
}

fn read_exactly(reader: &mut BufReader<TcpStream>, length: usize) -> Option<Vec<u8>> {
    let mut bytes = vec![0; length];
    reader.read_exact(&mut bytes).ok()?;
    Some(bytes)
}

fn read_chunks(reader: &mut BufReader<TcpStream>) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let length = usize::from_str_radix(line.trim(), 16).ok()?;
        body.extend(read_exactly(reader, length)?);
        reader.read_line(&mut line).ok()?;
        if length == 0 {
            return Some(body);
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

    use super::*;

    /// A function that asks once, and answers this way and in chunks.
    fn function(port: u16, way: &str) {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
        let ask = "GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\nHost: x\r\n\r\n";
        stream.write_all(ask.as_bytes()).unwrap();
        let mut buffer = [0; 4096];
        let read = stream.read(&mut buffer).unwrap();
        assert!(buffer[..read].ends_with(EVENT.as_bytes()));
        let answer = format!(
            "POST /2018-06-01/runtime/invocation/1/{way} HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n\
             2\r\n{{}}\r\n0\r\n\r\n"
        );
        stream.write_all(answer.as_bytes()).unwrap();
        let read = stream.read(&mut buffer).unwrap();
        assert!(buffer[..read].starts_with(b"HTTP/1.1 202"));
        stream.write_all(ask.as_bytes()).unwrap();
        let _ = stream.read(&mut buffer);
    }

    #[test]
    fn a_function_is_asked_and_answers() {
        for (way, is_refusal) in [("response", false), ("error", true)] {
            let api = RuntimeApi::listen().unwrap();
            let port = api.port();
            let thread = std::thread::spawn(move || function(port, way));
            api.first_request().unwrap();
            let answer = api.invoke().unwrap();
            assert!(answer.took < PATIENCE);
            assert_eq!(answer.is_refusal, is_refusal, "{way}");
            drop(api);
            thread.join().unwrap();
        }
    }
}
