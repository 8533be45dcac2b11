//! The few system calls that have no safe wrapper. All `unsafe` of this crate is here.

use std::convert::Infallible;
use std::ffi::CStr;
use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use rustix::process::{Pid, Signal};
use rustix::thread::UnshareFlags;

/// Which of the two processes that come out of a fork this one is.
#[derive(Debug)]
pub(crate) enum Forked {
    /// The one that called.
    Parent {
        /// The new one.
        child: Pid,
    },
    /// The new one.
    Child,
}

/// Splits this process in two.
///
/// The helpers that call this have one thread, so that the child may do anything. The probe may be called in a
/// process with many: its child only makes system calls, takes no lock and allocates nothing.
pub(crate) fn fork() -> io::Result<Forked> {
    // SAFETY: `fork` has no preconditions; what the child may do is documented above, and every caller keeps to it.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => Ok(Forked::Child),
        child => Pid::from_raw(child)
            .map(|child| Forked::Parent { child })
            .ok_or_else(|| io::Error::other("fork returned an impossible process id")),
    }
}

/// Ends this process without running destructors: for the child of a fork.
pub(crate) fn exit_at_once(code: i32) -> ! {
    // SAFETY: `_exit` never returns and touches no memory of ours.
    unsafe { libc::_exit(code) }
}

/// Moves this process into new namespaces.
pub(crate) fn unshare(namespaces: UnshareFlags) -> io::Result<()> {
    // Sharing of descriptors between threads is the one thing that makes the call unsafe.
    let namespaces = namespaces - UnshareFlags::FILES;
    // SAFETY: CLONE_FILES was removed from the flags, so that no thread loses sight of a descriptor.
    unsafe { rustix::thread::unshare_unsafe(namespaces) }.map_err(io::Error::from)
}

/// Makes a detached mount, with all mounts below it, read-only. Flags that are locked stay as they are.
pub(crate) fn make_read_only(mount: BorrowedFd<'_>) -> io::Result<()> {
    // The kernel's `struct mount_attr`.
    #[repr(C)]
    struct Attributes {
        set: u64,
        clear: u64,
        propagation: u64,
        user_namespace: u64,
    }
    const READ_ONLY: u64 = 1;
    let attributes = Attributes { set: READ_ONLY, clear: 0, propagation: 0, user_namespace: 0 };
    let here: &CStr = c"";
    let flags = libc::AT_EMPTY_PATH | libc::AT_RECURSIVE;
    // SAFETY: the path is a terminated string, the structure has the layout and the size that the kernel expects,
    // both live until the call returns, and the kernel only reads them.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            here.as_ptr(),
            flags,
            &raw const attributes,
            size_of::<Attributes>(),
        )
    };
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Closes every descriptor above standard error: what a helper inherited by mistake must not keep anything alive.
///
/// For the first moment of a helper only, before anything of its own is open.
pub(crate) fn close_inherited_descriptors() {
    // SAFETY: nothing in this process owns a descriptor above 2 yet: it is called before any is opened.
    unsafe { libc::close_range(3, libc::c_uint::MAX, 0) };
}

/// Blocks these signals in this thread, and gives a descriptor that is readable when one has arrived.
pub(crate) fn receive_signals(signals: &[Signal]) -> io::Result<OwnedFd> {
    let mut set = empty_signal_set();
    for signal in signals {
        // SAFETY: the set was initialised, and the number is a signal's.
        unsafe { libc::sigaddset(&raw mut set, signal.as_raw()) };
    }
    // SAFETY: both pointers are to initialised sets or null.
    if unsafe { libc::sigprocmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut()) } == -1 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the set is initialised; -1 asks for a new descriptor.
    let descriptor = unsafe { libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) };
    if descriptor == -1 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just made this descriptor for us, and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

fn empty_signal_set() -> libc::sigset_t {
    let mut set = std::mem::MaybeUninit::uninit();
    // SAFETY: `sigemptyset` initialises the whole set.
    unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        set.assume_init()
    }
}

/// Lets the command start in a session of its own, with no signal blocked.
pub(crate) fn start_afresh(command: &mut Command) {
    let nothing = empty_signal_set();
    let prepare = move || {
        rustix::process::setsid().map(drop).or_else(already_a_leader)?;
        // SAFETY: the set is initialised, and `sigprocmask` may be called between fork and exec.
        unsafe { libc::sigprocmask(libc::SIG_SETMASK, &raw const nothing, std::ptr::null_mut()) };
        Ok(())
    };
    // SAFETY: the closure makes two system calls, allocates nothing and takes no lock.
    unsafe { command.pre_exec(prepare) };
}

fn already_a_leader(error: rustix::io::Errno) -> io::Result<()> {
    if error == rustix::io::Errno::PERM { Ok(()) } else { Err(error.into()) }
}

/// Sends a signal to every process of this PID namespace except the caller. For PID 1.
pub(crate) fn signal_everyone(signal: Signal) {
    // SAFETY: `kill` touches no memory. That nobody is left is not an error here.
    unsafe { libc::kill(-1, signal.as_raw()) };
}

/// Becomes another program; returns only when that failed.
pub(crate) fn become_program(mut command: Command) -> Result<Infallible, io::Error> {
    Err(command.exec())
}
