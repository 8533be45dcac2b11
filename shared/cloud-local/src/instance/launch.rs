//! From a request to a running instance.

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use rand::Rng as _;
use rekindle_cloud::{CloudError, CloudErrorKind, Instance, LaunchRequest, Purpose};
use rekindle_domain::InstanceId;

use crate::control::{Event, Helper, HelperStart};
use crate::core::Core;
use crate::error::{Explain as _, refused, sentence, uncertain, unknown, wrong_state};
use crate::image::copy::TreeCopy;
use crate::image::{ready, record as image};
use crate::init::process::{ProcessHold, ProcessName};
use crate::instance::record::{InstanceRecord, LaunchCost, LaunchMethod, Progress, RecordedRequest};
use crate::instance::running::Running;
use crate::instance::specification::{AuthorizedKey, Mount, Specification};
use crate::instance::terminate;
use crate::network::address::Segment;
use crate::records::{InstanceEntry, Records};

/// The longest token that the port allows.
const LONGEST_TOKEN: usize = 64;
/// The file name of the agent API's socket, on the host under `run` and inside under `/run/rekindle`.
const AGENT_API: &str = "agent-api.sock";

/// Starts an instance, or gives the one that the same request has started.
pub(crate) fn launch(core: &Arc<Core>, request: &LaunchRequest) -> Result<Instance, CloudError> {
    let turn = Arc::new(Mutex::new(()));
    // Taken before anybody else can know of it.
    let held = turn.lock().unwrap_or_else(PoisonError::into_inner);
    let record = match reserve(core, request, &turn)? {
        Reserved::Before(instance) => return Ok(instance),
        Reserved::Now(record) => record,
    };
    let made = make(core, &record).and_then(|(running, cost)| register(core, &record, running, cost));
    drop(held);
    made.inspect_err(|_| terminate::give_up(core, &record.instance_id))
}

enum Reserved {
    /// The same request came before.
    Before(Instance),
    /// This is a new one, and it is written down.
    Now(Box<InstanceRecord>),
}

fn reserve(core: &Core, request: &LaunchRequest, turn: &Arc<Mutex<()>>) -> Result<Reserved, CloudError> {
    let recorded = RecordedRequest::from(request);
    let mut records = core.records();
    if let Some(before) = records.by_token(&request.client_token) {
        let id = before.instance_id.clone();
        return repeated(core, &mut records, &id, &recorded).map(Reserved::Before);
    }
    refuse_impossible(core, &records, request)?;
    let segment = Segment::of(request.isolated_network);
    let address = records.free_address(segment).ok_or_else(|| {
        CloudError::new(
            CloudErrorKind::NoCapacity,
            format!("the {} network has no free address", segment.bridge()),
        )
    })?;
    let record = InstanceRecord::new(mint_id()?, recorded, address);
    let mut entry = InstanceEntry { record: record.clone(), running: None, turn: Arc::clone(turn) };
    let folder = core.state.instance(&record.instance_id);
    fs::create_dir(folder.path()).explain(|| format!("cannot make {}", folder.path().display()))?;
    entry.replace(&core.state, record.clone())?;
    records.instances.insert(record.instance_id.clone(), entry);
    Ok(Reserved::Now(Box::new(record)))
}

fn repeated(
    core: &Core,
    records: &mut Records,
    id: &InstanceId,
    request: &RecordedRequest,
) -> Result<Instance, CloudError> {
    let token = &request.client_token;
    let Some(entry) = records.instances.get_mut(id) else {
        return Err(refused(format!("the token {token} was used for {id}, which is terminated")));
    };
    entry.look(&core.state);
    if entry.record.request != *request {
        return Err(refused(format!("the token {token} was used for {id} with another request")));
    }
    if entry.record.progress == Progress::Removing {
        return Err(refused(format!("the token {token} was used for {id}, which is being removed")));
    }
    Ok(entry.record.describe())
}

fn refuse_impossible(core: &Core, records: &Records, request: &LaunchRequest) -> Result<(), CloudError> {
    if records.closed {
        return Err(refused("the cloud is being closed"));
    }
    if request.client_token.is_empty() || request.client_token.len() > LONGEST_TOKEN {
        return Err(refused("a client token has 1 to 64 characters"));
    }
    if !request.ssh_key_name.is_empty() && !core.options.ssh_keys.contains_key(&request.ssh_key_name) {
        return Err(refused(format!("there is no SSH key named {}", request.ssh_key_name)));
    }
    match records.images.get(&request.image_id).map(|entry| &entry.record.progress) {
        Some(image::Progress::Available) => Ok(()),
        Some(image::Progress::Making) => {
            Err(wrong_state(format!("image {} is still being made", request.image_id)))
        }
        Some(image::Progress::Failed(why)) => {
            Err(wrong_state(format!("image {} failed: {why}", request.image_id)))
        }
        Some(image::Progress::Removing) | None => {
            Err(unknown(format!("there is no image {}", request.image_id)))
        }
    }
}

fn mint_id() -> Result<InstanceId, CloudError> {
    let number: u128 = rand::rng().random();
    let digits = format!("{number:032x}");
    InstanceId::parse(&format!("i-{}", &digits[..17])).map_err(|error| uncertain(error.to_string()))
}

fn make(core: &Arc<Core>, record: &InstanceRecord) -> Result<(Running, LaunchCost), CloudError> {
    let cost = provide_tree(core, record)?;
    let folder = core.state.instance(&record.instance_id);
    for path in [folder.run(), folder.log()] {
        fs::create_dir(&path).explain(|| format!("cannot make {}", path.display()))?;
    }
    let listener = listen(&folder.run()).explain(|| "the agent API's socket cannot be made".into())?;
    let for_closing = OwnedFd::from(listener.try_clone().explain(|| "cannot copy a descriptor".into())?);
    (core.options.on_launch)(record.instance_id.clone(), listener);
    start(core, record, for_closing).map(|running| (running, cost))
}

/// Gives the instance its file system, in the cheapest way there is.
fn provide_tree(core: &Arc<Core>, record: &InstanceRecord) -> Result<LaunchCost, CloudError> {
    let image_id = &record.request.image_id;
    let (in_use, abandoned) = core
        .records()
        .images
        .get(image_id)
        .map(|entry| (Arc::clone(&entry.in_use), Arc::clone(&entry.abandoned)))
        .ok_or_else(|| unknown(format!("there is no image {image_id}")))?;
    let reading = in_use.read().unwrap_or_else(PoisonError::into_inner);
    let since = Instant::now();
    let (image, tree) = (core.state.image(image_id), core.state.instance(&record.instance_id).tree());
    let (method, bytes) =
        if record.request.purpose == Purpose::Replica && fs::rename(image.ready(), &tree).is_ok() {
            ready::replenish(core, image_id);
            (LaunchMethod::ReadyCopy, 0)
        } else {
            let copied = TreeCopy::new(core.share_blocks, &abandoned)
                .run(&image.tree(), &tree)
                .explain(|| format!("image {image_id} cannot be copied"))?;
            let shared = core.share_blocks && copied.bytes == 0;
            (if shared { LaunchMethod::Reflink } else { LaunchMethod::Copied }, copied.bytes)
        };
    drop(reading);
    let milliseconds = u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX);
    Ok(LaunchCost { method, bytes, milliseconds })
}

/// Through the directory's descriptor: the full path may be longer than a socket's address can be.
fn listen(folder: &Path) -> io::Result<UnixListener> {
    let directory = File::open(folder)?;
    UnixListener::bind(format!("/proc/self/fd/{}/{AGENT_API}", directory.as_raw_fd()))
}

fn start(core: &Core, record: &InstanceRecord, agent_api: OwnedFd) -> Result<Running, CloudError> {
    let folder = core.state.instance(&record.instance_id);
    let start = HelperStart {
        command: &core.options.helper_command,
        role: "instance",
        label: record.instance_id.as_str(),
        state_directory: core.state.path(),
        directory: folder.path(),
        complaints: &folder.log().join("helper.log"),
    };
    let mut helper = Helper::start(&start, &specify(core, record))?;
    let mut first = None;
    let started = helper.wait_until_started(|event| first = hold(&event));
    let mut running = Running::new(helper, first, agent_api);
    match started {
        Ok(()) => Ok(running),
        Err(error) => {
            running.end();
            Err(CloudError::new(
                error.kind.clone(),
                format!("the instance cannot start: {}", sentence(&error)),
            ))
        }
    }
}

/// Our child's child: as long as our child is there, the id is not given to another process.
fn hold(event: &Event) -> Option<ProcessHold> {
    let Event::Forked(id) = event else { return None };
    ProcessName::of(rustix::process::Pid::from_raw(*id)?).ok()?.hold()
}

fn specify(core: &Core, record: &InstanceRecord) -> Specification {
    let request = &record.request;
    let key = core.options.ssh_keys.get_key_value(&request.ssh_key_name);
    let machine_id: u128 = rand::rng().random();
    Specification {
        instance_id: record.instance_id.clone(),
        network_process: core.network.process(),
        bridge: Segment::of(request.isolated_network).bridge().to_owned(),
        address: record.address,
        hostname: record.hostname(),
        machine_id: format!("{machine_id:032x}"),
        mounts: mounts(core, record),
        authorized_key: key.map(|(name, line)| AuthorizedKey { name: name.clone(), line: line.clone() }),
        console: core.options.console,
    }
}

/// All of them under the instance's `/run`, which is in memory: so none can ever be in an image.
fn mounts(core: &Core, record: &InstanceRecord) -> Vec<Mount> {
    let inside = |name: &str| Path::new("/run/rekindle").join(name);
    let shown = |source: &PathBuf, name: &str, writable| Mount {
        source: source.clone(),
        target: inside(name),
        writable,
    };
    let socket = core.state.instance(&record.instance_id).run().join(AGENT_API);
    let mut mounts = vec![shown(&socket, AGENT_API, true)];
    if let Some(profile) = core.options.profiles.get(&record.request.machine.customer_id) {
        mounts.push(shown(&profile.control_directory, "store/control", profile.writable));
        mounts.push(shown(&profile.data_directory, "store/data", profile.writable));
        let may_read_backups = record.request.purpose == Purpose::Builder || profile.writable;
        let identity = profile.identity_file.iter().filter(|_| may_read_backups);
        mounts.extend(identity.map(|file| shown(file, "identity", false)));
    }
    mounts
}

fn register(
    core: &Core,
    record: &InstanceRecord,
    mut running: Running,
    cost: LaunchCost,
) -> Result<Instance, CloudError> {
    let mut records = core.records();
    let closed = records.closed || core.closing.load(Ordering::Relaxed);
    let entry = records.instances.get_mut(&record.instance_id).filter(|_| !closed);
    let Some(entry) = entry else {
        running.end();
        return Err(refused("the cloud was closed before the instance had started"));
    };
    let changed_at = jiff::Timestamp::now();
    let launched =
        InstanceRecord { progress: Progress::Running, launch_cost: Some(cost), changed_at, ..record.clone() };
    if let Err(error) = entry.replace(&core.state, launched) {
        running.end();
        return Err(error);
    }
    entry.running = Some(running);
    Ok(entry.record.describe())
}
