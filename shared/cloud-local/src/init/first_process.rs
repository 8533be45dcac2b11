//! The first process of an instance: builds it, starts its program, reaps, and watches the lifeline.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::time::{Duration, Instant};

use rekindle_cloud::CloudError;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{
    DumpableBehavior, Pid, Signal, WaitOptions, WaitStatus, kill_process, set_dumpable_behavior,
    set_parent_process_death_signal, wait,
};
use rustix::thread::UnshareFlags;

use crate::control::{Control, Event};
use crate::durable::sync_file_system;
use crate::error::{Explain as _, sentence};
use crate::init::console::{Console, exit_code};
use crate::init::log::Log;
use crate::init::program::{LONG_ENOUGH, POWER_OFF, Program, TRIES, back_off};
use crate::init::supervisor::INTERFACE;
use crate::init::{identity, root};
use crate::instance::specification::Specification;
use crate::kernel::{exit_at_once, receive_signals, signal_everyone};
use crate::namespaces::SingleIdentity;
use crate::network::address::PREFIX_LENGTH;
use crate::network::netlink::{Netlink, Request};
use crate::network::process::LOOPBACK;

/// How an instance ended, as the exit code of its first process.
pub(crate) const POWERED_OFF: i32 = 0;
/// The program failed too often, or the instance could not be built.
pub(crate) const FAILED: i32 = 1;
/// The owner went away.
const ABANDONED: i32 = 2;

/// What programs have to end by themselves when the instance powers off.
const GRACE: Duration = Duration::from_secs(10);
/// What the main program has to end by itself when it is told to stop.
const STOP_GRACE: Duration = Duration::from_secs(60);

/// What the first process takes along from the host.
pub(crate) struct Belongings {
    /// Where the owner's commands arrive.
    pub(crate) console: Option<UnixListener>,
    /// The folder of logs.
    pub(crate) log: File,
}

/// Runs until the instance has powered off; gives the exit code.
pub(crate) fn run(
    specification: &Specification,
    control: &Control,
    belongings: Belongings,
    supervisor: UnixStream,
) -> i32 {
    let built = build(specification, supervisor).and_then(|()| FirstProcess::begin(control, belongings));
    match built {
        Ok(process) => process.attend(),
        Err(error) => {
            control.tell(&Event::Failed(sentence(&error)));
            FAILED
        }
    }
}

fn build(specification: &Specification, mut supervisor: UnixStream) -> Result<(), CloudError> {
    end_with_supervisor()?;
    rustix::process::umask(rustix::fs::Mode::from_bits_truncate(0o022));
    root::enter(&specification.mounts)?;
    // From here on the mounts are locked, and network, host name and the rest are the instance's own.
    let own = UnshareFlags::NEWNS | UnshareFlags::NEWNET | UnshareFlags::NEWUTS | UnshareFlags::NEWIPC;
    SingleIdentity::root().enter(own).explain(|| "the instance cannot have namespaces of its own".into())?;
    end_with_supervisor()?;
    exchange(&mut supervisor).explain(|| "the supervisor is gone".into())?;
    join_network(specification).explain(|| "the instance's network cannot be set up".into())?;
    hide_from_instance()?;
    identity::write(specification).explain(|| "the instance cannot be given its identity".into())
}

/// Sound here, and not between owner and supervisor: the supervisor has one thread, and the signal is sent when the
/// *thread* that forked has ended. Entering a user namespace may clear it, so it is set twice.
fn end_with_supervisor() -> Result<(), CloudError> {
    set_parent_process_death_signal(Some(Signal::KILL)).explain(|| "cannot be tied to the supervisor".into())
}

/// This process holds descriptors of the host, a folder among them: root inside must not get at them through
/// `/proc/1/fd`, nor by tracing this process. The kernel then asks for a right outside of the instance, since this
/// process's memory was made there. Programs that it starts are not hidden.
fn hide_from_instance() -> Result<(), CloudError> {
    set_dumpable_behavior(DumpableBehavior::NotDumpable)
        .explain(|| "the first process cannot be hidden from the instance".into())
}

/// Tells the supervisor that the network namespace is there, and waits until it has an interface. A supervisor that
/// ended before this process was tied to it is found out here.
fn exchange(supervisor: &mut UnixStream) -> std::io::Result<()> {
    let mut word = [1];
    supervisor.write_all(&word)?;
    supervisor.read_exact(&mut word)
}

fn join_network(specification: &Specification) -> std::io::Result<()> {
    let netlink = Netlink::open()?;
    netlink.ask(&Request::set_up(LOOPBACK))?;
    let index = netlink.index_of(INTERFACE)?;
    netlink.ask(&Request::add_address(index, specification.address, PREFIX_LENGTH))?;
    netlink.ask(&Request::set_up(index))
}

/// What the first process is waiting for.
#[derive(Debug, Clone, Copy)]
enum Phase {
    /// The program runs.
    Running { program: Pid, since: Instant },
    /// The program has failed and is tried again then.
    Resting { until: Instant },
    /// The program was told to stop, and is killed then.
    Stopping { program: Pid, until: Instant },
    /// Everything was told to stop, and is killed then.
    Ending { until: Instant, code: i32 },
}

struct FirstProcess<'a> {
    control: &'a Control,
    signals: std::os::fd::OwnedFd,
    console: Option<Console>,
    log: Log,
    program: Program,
    phase: Phase,
    failures: u32,
}

impl<'a> FirstProcess<'a> {
    fn begin(control: &'a Control, belongings: Belongings) -> Result<Self, CloudError> {
        let signals = receive_signals(&[Signal::CHILD]).explain(|| "signals cannot be received".into())?;
        let mut log = Log::open(belongings.log).explain(|| "the log cannot be opened".into())?;
        let program = Program::read()?;
        let first = program.start(&log).explain(|| format!("{:?} cannot be started", program.command))?;
        log.note(&format!("started {:?}", program.command));
        control.tell(&Event::Started);
        let phase = Phase::Running { program: first, since: Instant::now() };
        let console = belongings.console.map(Console::new);
        Ok(Self { control, signals, console, log, program, phase, failures: 0 })
    }

    /// Waits and acts until nothing is left.
    fn attend(mut self) -> i32 {
        loop {
            let Ok(happened) = self.wait_for_something() else { return FAILED };
            self.act_on(&happened);
            if let Phase::Ending { code, .. } = self.phase
                && self.reap() == Children::None
            {
                return self.finish(code);
            }
        }
    }

    /// In the order: lifeline, signals, log, console.
    fn wait_for_something(&self) -> rustix::io::Result<Vec<PollFlags>> {
        let mut watched = vec![
            PollFd::new(&self.control.socket, PollFlags::IN),
            PollFd::new(&self.signals, PollFlags::IN),
            PollFd::new(self.log.reader(), PollFlags::IN),
        ];
        watched.extend(self.console.iter().flat_map(Console::watched));
        let timeout = self.patience().map(|left| Timespec {
            tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(left.subsec_nanos()),
        });
        match poll(&mut watched, timeout.as_ref()) {
            Ok(_) => Ok(watched.iter().map(PollFd::revents).collect()),
            Err(rustix::io::Errno::INTR) => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    fn patience(&self) -> Option<Duration> {
        match self.phase {
            Phase::Running { .. } => None,
            Phase::Resting { until } | Phase::Stopping { until, .. } | Phase::Ending { until, .. } => {
                Some(until.saturating_duration_since(Instant::now()))
            }
        }
    }

    fn act_on(&mut self, happened: &[PollFlags]) {
        let has = |position: usize| happened.get(position).is_some_and(|flags| !flags.is_empty());
        if has(0) {
            self.hear_owner();
        }
        if has(2) {
            self.log.take_over();
        }
        if let Some(console) = &mut self.console {
            console.attend(happened.get(3..).unwrap_or_default());
        }
        if has(1) {
            self.clear_signals();
            self.reap();
        }
        self.watch_time();
    }

    /// A word, or the end of the lifeline.
    fn hear_owner(&mut self) {
        let mut word = [0; 64];
        match (&self.control.socket).read(&mut word) {
            Ok(1..) => self.stop(),
            // With the first process everything in its PID namespace ends, at once.
            _ => exit_at_once(ABANDONED),
        }
    }

    fn stop(&mut self) {
        match self.phase {
            Phase::Running { program, .. } => {
                self.log.note("told to stop");
                let _ = kill_process(program, Signal::TERM);
                self.phase = Phase::Stopping { program, until: Instant::now() + STOP_GRACE };
            }
            Phase::Resting { .. } => self.power_off(POWERED_OFF),
            Phase::Stopping { .. } | Phase::Ending { .. } => {}
        }
    }

    fn clear_signals(&self) {
        let mut buffer = [0_u8; 1024];
        while matches!(rustix::io::read(&self.signals, &mut buffer), Ok(1..)) {}
    }

    fn reap(&mut self) -> Children {
        loop {
            match wait(WaitOptions::NOHANG) {
                Ok(Some((process, status))) => self.ended(process, status),
                Ok(None) => return Children::Some,
                Err(_) => return Children::None,
            }
        }
    }

    fn ended(&mut self, process: Pid, status: WaitStatus) {
        match self.phase {
            Phase::Running { program, since } if program == process => self.program_ended(status, since),
            Phase::Stopping { program, .. } if program == process => self.power_off(POWERED_OFF),
            _ => {
                if let Some(console) = &mut self.console {
                    console.ended(process, status);
                }
            }
        }
    }

    fn program_ended(&mut self, status: WaitStatus, since: Instant) {
        self.log.take_over();
        self.log.note(&format!("the program ended with code {}", exit_code(status)));
        if status.exit_status() == Some(0) && Path::new(POWER_OFF).exists() {
            return self.power_off(POWERED_OFF);
        }
        self.failures = if since.elapsed() > LONG_ENOUGH { 1 } else { self.failures + 1 };
        if self.failures < TRIES {
            self.phase = Phase::Resting { until: Instant::now() + back_off(self.failures) };
        } else {
            self.log.note("it has ended too often");
            self.power_off(FAILED);
        }
    }

    fn power_off(&mut self, code: i32) {
        self.log.note("powering off");
        self.phase = Phase::Ending { until: Instant::now() + GRACE, code };
        signal_everyone(Signal::TERM);
    }

    fn watch_time(&mut self) {
        if self.patience().is_none_or(|left| !left.is_zero()) {
            return;
        }
        match self.phase {
            Phase::Running { .. } => {}
            Phase::Resting { .. } => self.try_again(),
            Phase::Stopping { program, .. } => {
                let _ = kill_process(program, Signal::KILL);
                self.phase = Phase::Stopping { program, until: Instant::now() + STOP_GRACE };
            }
            Phase::Ending { code, .. } => {
                signal_everyone(Signal::KILL);
                self.phase = Phase::Ending { until: Instant::now() + GRACE, code };
            }
        }
    }

    fn try_again(&mut self) {
        match self.program.start(&self.log) {
            Ok(program) => self.phase = Phase::Running { program, since: Instant::now() },
            Err(error) => {
                self.log.note(&format!("the program cannot be started: {error}"));
                self.power_off(FAILED);
            }
        }
    }

    /// Nothing runs any more: what was written is made durable, so that the disk is complete.
    fn finish(mut self, code: i32) -> i32 {
        self.log.take_over();
        let durable = sync_file_system(Path::new("/"));
        self.log.note(if durable.is_ok() {
            "powered off"
        } else {
            "powered off; the disk may be incomplete"
        });
        if durable.is_ok() { code } else { FAILED }
    }
}

/// Whether there are processes left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Children {
    None,
    Some,
}
