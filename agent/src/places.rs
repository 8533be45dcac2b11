//! Where everything lies inside an instance.

use std::path::{Path, PathBuf};

/// The contract of the instance's file system. All of it hangs under one root, which is `/` except in tests.
#[derive(Debug, Clone)]
pub struct Places {
    root: PathBuf,
}

impl Default for Places {
    fn default() -> Self {
        Self::under("/")
    }
}

impl Places {
    /// The same places under another root.
    pub fn under(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    fn at(&self, relative: &str) -> PathBuf {
        self.root.join(relative)
    }

    /// An absolute path of the instance, under the root.
    pub fn inside(&self, absolute: &str) -> PathBuf {
        self.root.join(absolute.trim_start_matches('/'))
    }

    /// The socket of the agent API.
    pub fn socket(&self) -> PathBuf {
        self.at("run/rekindle/agent-api.sock")
    }

    /// Where the two buckets lie as folders.
    pub fn bucket(&self, name: &str) -> PathBuf {
        self.at("run/rekindle/store").join(name)
    }

    /// The identity that decrypts backups, in memory only.
    pub fn identity(&self) -> PathBuf {
        self.at("run/rekindle/identity")
    }

    /// What a verification needs of the last transferred set, in memory only.
    pub fn expectations(&self) -> PathBuf {
        self.at("run/rekindle/expectations.json")
    }

    /// Says that this instance was sealed and takes no job any more; in memory only, so that an image of it boots.
    pub fn sealed(&self) -> PathBuf {
        self.at("run/rekindle/sealed")
    }

    /// Asks the instance to power off.
    pub fn power_off(&self) -> PathBuf {
        self.at("run/rekindle/power-off")
    }

    /// The agent's configuration.
    pub fn configuration(&self) -> PathBuf {
        self.at("etc/rekindle/agent.toml")
    }

    /// The public keys whose signatures are obeyed.
    pub fn trusted_keys(&self) -> PathBuf {
        self.at("etc/rekindle/trusted-keys")
    }

    /// The installed recipes and their signatures.
    pub fn recipes(&self) -> PathBuf {
        self.at("etc/rekindle/recipes")
    }

    /// What is applied.
    pub fn state(&self) -> PathBuf {
        self.at("var/lib/rekindle/state.json")
    }

    /// The programs of the applied configuration.
    pub fn programs(&self) -> PathBuf {
        self.at("var/lib/rekindle/programs.json")
    }

    /// Digests of the values that the last passed verification found.
    pub fn verified(&self) -> PathBuf {
        self.at("var/lib/rekindle/verified.json")
    }

    /// Where the state of the backups of this host lies.
    pub fn backup_state(&self) -> PathBuf {
        self.at("var/lib/rekindle/backup")
    }

    /// Where a data store is staged until all of its objects are verified.
    pub fn staging(&self) -> PathBuf {
        self.at("var/lib/rekindle/staging")
    }

    /// Where programs write what they say.
    pub fn logs(&self) -> PathBuf {
        self.at("var/log/rekindle")
    }

    /// Keys of people who may log in.
    pub fn authorized_keys(&self) -> PathBuf {
        self.at("root/.ssh/authorized_keys")
    }

    /// The root itself.
    pub fn root(&self) -> &Path {
        &self.root
    }
}
