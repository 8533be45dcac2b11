//! A program for instances in the tests of this package: `main` is the program that an instance exists for, the other
//! words are for the console.

#![expect(clippy::disallowed_methods, reason = "no runtime here, and nobody waits for its threads")]

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

/// The port on which the program says its host name.
const PORT: u16 = 7000;

fn main() -> std::io::Result<ExitCode> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["main"] => be_the_program(),
        ["fail"] => Ok(ExitCode::from(3)),
        ["fetch", address] => fetch(address),
        ["agent-api"] => ask_agent_api(),
        _ => Ok(ExitCode::from(2)),
    }
}

/// Serves until it is asked to power off.
fn be_the_program() -> std::io::Result<ExitCode> {
    let listener = TcpListener::bind(("0.0.0.0", PORT))?;
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            drop(greet(client));
        }
    });
    while !Path::new("/run/please-power-off").exists() {
        thread::sleep(Duration::from_millis(5));
    }
    std::fs::write("/run/rekindle/power-off", "")?;
    Ok(ExitCode::SUCCESS)
}

fn greet(mut client: TcpStream) -> std::io::Result<()> {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname")?;
    client.write_all(name.trim().as_bytes())
}

fn fetch(address: &str) -> std::io::Result<ExitCode> {
    let address: SocketAddr = address.parse().map_err(std::io::Error::other)?;
    let mut server = TcpStream::connect_timeout(&address, Duration::from_secs(2))?;
    std::io::copy(&mut server, &mut std::io::stdout())?;
    Ok(ExitCode::SUCCESS)
}

fn ask_agent_api() -> std::io::Result<ExitCode> {
    let mut server = UnixStream::connect("/run/rekindle/agent-api.sock")?;
    let mut answer = String::new();
    server.read_to_string(&mut answer)?;
    std::io::stdout().write_all(answer.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}
