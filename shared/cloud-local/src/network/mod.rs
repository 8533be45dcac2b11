//! The private network that the instances of one owner share.

pub(crate) mod address;
pub(crate) mod connector;
pub(crate) mod netlink;
pub(crate) mod process;

use std::fs::File;
use std::net::SocketAddr;
use std::os::fd::AsRawFd as _;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use rekindle_cloud::CloudError;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;

use crate::control::{Helper, HelperStart};
use crate::directories::StateDirectory;
use crate::error::{Explain as _, uncertain};

/// The owner's side of the private network.
#[derive(Debug)]
pub(crate) struct Network {
    process: u32,
    helper: Mutex<Helper>,
    directory: File,
}

impl Network {
    /// Starts the process that holds it.
    pub(crate) fn start(
        helper_command: &[std::ffi::OsString],
        state: &StateDirectory,
    ) -> Result<Self, CloudError> {
        let path = state.network();
        std::fs::create_dir_all(&path).explain(|| format!("cannot make {}", path.display()))?;
        drop(std::fs::remove_file(path.join(connector::SOCKET)));
        let start = HelperStart {
            command: helper_command,
            role: "network",
            label: "rekindle",
            state_directory: state.path(),
            directory: &path,
            complaints: &path.join("helper.log"),
        };
        let mut helper = Helper::start(&start, &())?;
        if let Err(error) = helper.wait_until_started(drop) {
            end(&mut helper);
            return Err(error);
        }
        let directory = File::open(&path).explain(|| format!("cannot open {}", path.display()))?;
        Ok(Self { process: helper.child.id(), helper: Mutex::new(helper), directory })
    }

    /// The process whose namespaces instances join. Our child: its id is not given to another while we hold it.
    pub(crate) fn process(&self) -> u32 {
        self.process
    }

    /// A connection to an address inside.
    pub(crate) async fn connect(&self, address: SocketAddr) -> Result<UnixStream, CloudError> {
        let what = || format!("cannot reach {address} through the connector of the private network");
        let mut stream = UnixStream::connect(self.socket()).await.explain(what)?;
        stream.write_all(format!("{address}\n").as_bytes()).await.explain(what)?;
        let answer = read_line(&mut stream).await.explain(what)?;
        if answer == connector::CONNECTED { Ok(stream) } else { Err(uncertain(answer)) }
    }

    /// Through the directory's descriptor: the full path may be longer than a socket's address can be.
    fn socket(&self) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}/{}", self.directory.as_raw_fd(), connector::SOCKET))
    }

    /// Ends it, and waits until it has ended.
    pub(crate) fn end(&self) {
        end(&mut self.helper.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

fn end(helper: &mut Helper) {
    // Both only fail when it has ended already.
    drop(helper.child.kill());
    drop(helper.child.wait());
}

/// One byte at a time: what follows the line belongs to the caller.
async fn read_line(stream: &mut UnixStream) -> std::io::Result<String> {
    const LONGEST: usize = 1000;
    let mut line = Vec::new();
    while line.len() < LONGEST {
        match stream.read_u8().await? {
            b'\n' => break,
            byte => line.push(byte),
        }
    }
    String::from_utf8(line).map_err(std::io::Error::other)
}
