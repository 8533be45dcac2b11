//! A terminal, to be spoken to.

use std::fs::File;
use std::io::Read as _;
use std::os::fd::OwnedFd;
use std::process::Stdio;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

/// Longest that is waited for a sentence.
const PATIENCE: Duration = Duration::from_secs(60);

/// A terminal on which somebody reads along.
pub struct Terminal {
    spoken: Receiver<String>,
    /// What was read so far.
    pub text: String,
}

impl Terminal {
    /// A terminal, and the end that a program writes to.
    pub fn open() -> (Self, Stdio) {
        let near = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&near).unwrap();
        unlockpt(&near).unwrap();
        let name = ptsname(&near, Vec::new()).unwrap();
        let far =
            rustix::fs::open(name, OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty()).unwrap();
        let (sender, spoken) = channel();
        std::thread::spawn(move || read_along(near, &sender));
        (Self { spoken, text: String::new() }, Stdio::from(far))
    }

    /// Reads until this text was written.
    ///
    /// # Panics
    /// When it is not.
    pub fn read_until(&mut self, text: &str) {
        let until = Instant::now() + PATIENCE;
        while !self.text.contains(text) {
            let left = until.saturating_duration_since(Instant::now());
            let spoken = self.spoken.recv_timeout(left);
            self.text.push_str(&spoken.unwrap_or_else(|_| panic!("there is no {text:?} in {:?}", self.text)));
        }
    }

    /// Reads the rest.
    pub fn read_to_end(&mut self) {
        while let Ok(spoken) = self.spoken.recv_timeout(PATIENCE) {
            self.text.push_str(&spoken);
        }
    }
}

/// Until nobody has the other end any more.
fn read_along(near: OwnedFd, sender: &Sender<String>) {
    let mut near = File::from(near);
    let mut buffer = [0_u8; 4096];
    while let Ok(count) = near.read(&mut buffer) {
        if count == 0 || sender.send(String::from_utf8_lossy(&buffer[..count]).into_owned()).is_err() {
            return;
        }
    }
}
