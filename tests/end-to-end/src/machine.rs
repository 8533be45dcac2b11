//! What is to be seen on this machine of somebody's instances. It looks at the kernel's own lists and uses nothing of
//! the product.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::patience;

/// The machine before a test.
pub struct Machine {
    interfaces: BTreeSet<String>,
}

impl Machine {
    /// Remembers how it is now.
    pub fn as_it_is() -> Self {
        Self { interfaces: interfaces() }
    }

    /// Every process, mount and network interface that came since and has to do with this folder, a line each. The
    /// last part of its path has to be a name that is used nowhere else.
    pub fn traces(&self, folder: &Path) -> Vec<String> {
        let name = folder.file_name().unwrap().to_str().unwrap();
        let mut traces: Vec<String> = processes().iter().flat_map(|process| process.traces(name)).collect();
        let new = interfaces();
        traces.extend(new.difference(&self.interfaces).map(|name| format!("network interface {name}")));
        traces
    }

    /// The same, once the kernel had time to end everything.
    pub fn lasting_traces(&self, folder: &Path) -> Vec<String> {
        patience::until(|| self.traces(folder).is_empty());
        self.traces(folder)
    }
}

struct Process(PathBuf);

impl Process {
    fn traces(&self, name: &str) -> Vec<String> {
        let mut traces = Vec::new();
        for list in ["cmdline", "environ", "mountinfo"] {
            traces.extend(
                self.lines(list).filter(|line| line.contains(name)).map(|line| self.trace(list, &line)),
            );
        }
        for link in self.links() {
            let target = fs::read_link(&link).unwrap_or_default();
            if target.to_string_lossy().contains(name) {
                traces.push(
                    self.trace(&link.file_name().unwrap().to_string_lossy(), &target.to_string_lossy()),
                );
            }
        }
        traces
    }

    /// A process that is gone meanwhile has none.
    fn lines(&self, list: &str) -> std::vec::IntoIter<String> {
        let bytes = fs::read(self.0.join(list)).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes).replace('\0', "\n");
        text.lines().map(str::to_owned).collect::<Vec<_>>().into_iter()
    }

    /// Where it is, what it runs, and what it has open.
    fn links(&self) -> Vec<PathBuf> {
        let open = fs::read_dir(self.0.join("fd")).into_iter().flatten().flatten().map(|entry| entry.path());
        ["cwd", "root", "exe"].iter().map(|link| self.0.join(link)).chain(open).collect()
    }

    fn trace(&self, what: &str, text: &str) -> String {
        format!("{} {what}: {text}", self.0.display())
    }
}

/// All but this one, which holds the folder's name itself.
fn processes() -> Vec<Process> {
    let own = std::process::id().to_string();
    let is_other = |name: &str| name.bytes().all(|byte| byte.is_ascii_digit()) && name != own;
    let entries = fs::read_dir("/proc").unwrap().flatten();
    entries
        .filter(|entry| is_other(&entry.file_name().to_string_lossy()))
        .map(|entry| Process(entry.path()))
        .collect()
}

fn interfaces() -> BTreeSet<String> {
    let entries = fs::read_dir("/sys/class/net").unwrap().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}
