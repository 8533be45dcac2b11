//! Every key of the register, and the questions that it answers.
//!
//! One table with the key (`pk`, `sk`) and one sparse index, [`OPEN_ITEMS`]. Names are written as
//! `customer/service/machine`; none of them can hold a `#`.
//!
//! | item | `pk` | `sk` | read by |
//! |---|---|---|---|
//! | service | `CUSTOMER#<customer>` | `SERVICE#<service>` | key; all of a customer |
//! | what a recovery of a service took | `CUSTOMER#<customer>` | `MEASURED_START#<service>` | key |
//! | customer | `CUSTOMERS` | `CUSTOMER#<customer>` | all |
//! | machine state (lease, `wanted`, newest image) | `MACHINE#<machine>` | `STATE` | key |
//! | backup set | `MACHINE#<machine>` | `SET#<backup>` | key; all of a machine |
//! | refused description of a set | `MACHINE#<machine>` | `REFUSED#<backup>` | all of a machine |
//! | image | `MACHINE#<machine>` | `IMAGE#<image>` | key; all of a machine |
//! | place of an image in the order of its machine | `MACHINE#<machine>` | `IMAGE_ORDER#<order>#<image>` | pages of a machine, from the newest |
//! | failed attempts at one piece of work | `MACHINE#<machine>` | `ATTEMPTS#<digest>` | key |
//! | run | `RUN#<run>` | `RUN` | key; the unfinished and the finished ones through the index |
//! | refresh plan | `RUN#<run>` | `REFRESH_PLAN` | key |
//! | intent | `RUN#<run>` | `INTENT#<name>` | all of a run |
//! | where a job is | `RUN#<run>` | `JOB#<machine>#<step>` | key; all of a run |
//! | step record | `RUN#<run>` | `STEP#<time>#<name>#<machine>` | all of a run, in order of time |
//! | report | `RUN#<run>` | `REPORT` | key |
//! | instance binding | `INSTANCE#<instance>` | `BINDING` | key |
//! | what the agent said of itself | `INSTANCE#<instance>` | `HELLO` | key |
//! | job | `INSTANCE#<instance>` | `JOB#<run>#<machine>#<step>` | key; all of an instance |
//! | recovery plan | `PLAN#<digest>` | `PLAN` | key |
//! | human task | `HUMAN_TASK#<digest>` | `HUMAN_TASK` | key; the open ones through the index |
//! | client token of a request to the operator API | `CLIENT_TOKEN#<digest of caller and token>` | `CLIENT_TOKEN` | key |
//! | image that nobody vouches for | `MACHINE#<machine>` | `QUARANTINED_IMAGE#<image>` | all of a machine |
//! | which table this is, and its epoch | `REGISTER` | `EPOCH` | key |
//! | newest rebuild of the register | `REGISTER` | `REBUILD` | key |
//! | part of a long document | `DOCUMENT#<digest>` | `PART#<number>` | the item that names the digest |
//!
//! A job lies with its instance, because agents ask for their next job far more often than anybody else asks for
//! anything; the pointer that lies with the run says which instance that is.
//!
//! # Attributes
//! The fields of the domain type, under their own names; empty ones (`null`) are left out. Attributes beginning with
//! `x_` belong to the register: they hold a value in a form that a condition can compare, or a fact that only the
//! register needs. Descriptions, plans and reports are kept as text (`x_document`), and in parts where they are
//! longer than an item of DynamoDB (400 KB) can be.
//!
//! # The index
//! [`OPEN_ITEMS`] holds the items that have `x_open_kind` and `x_open_since`: runs, and human tasks that wait for a
//! person. A run that is not Ended or not reported has the kind `RUN`; the write that finishes it gives it the kind
//! `ENDED_RUN`, which is another partition of the index. So the sweep reads one empty page when nothing is due,
//! however long the history is, and people read the history from its newest run. A human task leaves the index with
//! the write that finishes it.
//!
//! The names are from before finished runs were in it: the keys of a table that exists cannot be renamed.
//!
//! DynamoDB reads an index with eventual consistency. That is fine here: whoever acts on what the index said does so
//! by a conditional write on the item itself, which refuses what has happened already, and whatever the index did
//! not show yet is seen by the next sweep. The limit on builders is read from it too, and therefore is a soft limit.
//! All runs share one partition of the index, which carries about a thousand writes a second.
//!
//! # Time to live
//! No item has one. Jobs, hellos, bindings and steps of ended runs are what a report and an audit are read from; a
//! client token that is gone would let a request that is sent again start a second run; and an intent or a lease that
//! vanished by itself would be a resource that nobody knows of. DynamoDB also keeps what has expired for days, and a
//! restored table has it again, so that every reader would have to know of it. It would save little: a refresh leaves
//! tens of kilobytes, and a gigabyte costs a quarter of a dollar a month. What is lost by mistake comes back from the
//! table's point-in-time recovery, which the template turns on.

use jiff::Timestamp;
use rekindle_domain::human_task::HumanTaskId;
use rekindle_domain::job::JobId;
use rekindle_domain::{
    BackupId, CustomerId, Digest, ImageId, InstanceId, MachineKey, PlanId, RunId, ServiceKey,
};

/// Name of the partition key.
pub const PARTITION: &str = "pk";
/// Name of the sort key.
pub const SORT: &str = "sk";
/// Name of the sparse index over runs and open human tasks.
pub const OPEN_ITEMS: &str = "open-items";
/// Partition key of the index.
pub const OPEN_KIND: &str = "x_open_kind";
/// Sort key of the index: when it was opened.
pub const OPEN_SINCE: &str = "x_open_since";
/// Attributes with this beginning belong to the register and not to the domain type.
pub const INTERNAL: &str = "x_";

/// Where an item lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// The partition.
    pub partition: String,
    /// The place within the partition.
    pub sort: String,
}

impl std::fmt::Display for Key {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{} {}", self.partition, self.sort)
    }
}

/// Several items of one partition: those whose sort key has a common beginning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Range {
    /// The partition.
    pub partition: String,
    /// What the sort keys begin with.
    pub beginning: String,
}

/// Kinds of items in [`OPEN_ITEMS`], each a list of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IndexKind {
    /// A run that is not Ended, or not reported.
    UnfinishedRun,
    /// A run that is Ended and reported.
    EndedRun,
    /// A human task that waits.
    HumanTask,
}

impl IndexKind {
    /// The value of [`OPEN_KIND`].
    pub fn as_str(self) -> &'static str {
        match self {
            Self::UnfinishedRun => "RUN",
            Self::EndedRun => "ENDED_RUN",
            Self::HumanTask => "HUMAN_TASK",
        }
    }

    /// The sort key of its items, and what their partition begins with.
    pub fn item(self) -> &'static str {
        match self {
            Self::UnfinishedRun | Self::EndedRun => "RUN",
            Self::HumanTask => "HUMAN_TASK",
        }
    }
}

/// An instant as text whose alphabetical order is the order of time: always nine decimals.
pub fn sortable_time(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%S%.9fZ").to_string()
}

fn key(partition: String, sort: impl Into<String>) -> Key {
    Key { partition, sort: sort.into() }
}

fn range(partition: String, beginning: &str) -> Range {
    Range { partition, beginning: beginning.to_owned() }
}

fn customer_partition(customer: &CustomerId) -> String {
    format!("CUSTOMER#{customer}")
}

fn machine_partition(machine: &MachineKey) -> String {
    format!("MACHINE#{machine}")
}

fn run_partition(run: &RunId) -> String {
    format!("RUN#{run}")
}

fn instance_partition(instance: &InstanceId) -> String {
    format!("INSTANCE#{instance}")
}

/// The service.
pub fn service(service: &ServiceKey) -> Key {
    key(customer_partition(&service.customer_id), format!("SERVICE#{}", service.service_id))
}

/// All services of a customer.
pub fn services(customer: &CustomerId) -> Range {
    range(customer_partition(customer), "SERVICE#")
}

/// The machine's lease, counter of wake-ups and newest image.
pub fn machine_state(machine: &MachineKey) -> Key {
    key(machine_partition(machine), "STATE")
}

/// A backup set.
pub fn backup_set(machine: &MachineKey, backup: &BackupId) -> Key {
    key(machine_partition(machine), format!("SET#{backup}"))
}

/// All backup sets of a machine.
pub fn backup_sets(machine: &MachineKey) -> Range {
    range(machine_partition(machine), "SET#")
}

/// A description that was refused before it could be read.
pub fn refused_description(machine: &MachineKey, backup: &BackupId) -> Key {
    key(machine_partition(machine), format!("REFUSED#{backup}"))
}

/// All refused descriptions of a machine.
pub fn refused_descriptions(machine: &MachineKey) -> Range {
    range(machine_partition(machine), "REFUSED#")
}

/// An image.
pub fn image(machine: &MachineKey, image: &ImageId) -> Key {
    key(machine_partition(machine), format!("IMAGE#{image}"))
}

/// All images of a machine.
pub fn images(machine: &MachineKey) -> Range {
    range(machine_partition(machine), "IMAGE#")
}

/// The place of an image in the order of its machine's images; `order` is text that sorts as images do.
pub fn image_place(machine: &MachineKey, order: &str, image: &ImageId) -> Key {
    key(machine_partition(machine), format!("IMAGE_ORDER#{order}#{image}"))
}

/// The places of all images of a machine, the oldest first.
pub fn image_places(machine: &MachineKey) -> Range {
    range(machine_partition(machine), "IMAGE_ORDER#")
}

/// An image that nobody vouches for.
pub fn quarantined_image(machine: &MachineKey, image: &ImageId) -> Key {
    key(machine_partition(machine), format!("QUARANTINED_IMAGE#{image}"))
}

/// All images of a machine that nobody vouches for.
pub fn quarantined_images(machine: &MachineKey) -> Range {
    range(machine_partition(machine), "QUARANTINED_IMAGE#")
}

/// Which table this is, and its epoch.
pub fn register_epoch() -> Key {
    key("REGISTER".to_owned(), "EPOCH")
}

/// The newest rebuild of the register.
pub fn rebuild() -> Key {
    key("REGISTER".to_owned(), "REBUILD")
}

/// The failed attempts at one piece of work.
pub fn attempts(machine: &MachineKey, work: &Digest) -> Key {
    key(machine_partition(machine), format!("ATTEMPTS#{work}"))
}

/// A run.
pub fn run(run: &RunId) -> Key {
    key(run_partition(run), "RUN")
}

/// An intent of a run.
pub fn intent(run: &RunId, name: &str) -> Key {
    key(run_partition(run), format!("INTENT#{name}"))
}

/// All intents of a run.
pub fn intents(run: &RunId) -> Range {
    range(run_partition(run), "INTENT#")
}

/// Which instance has a job.
pub fn job_pointer(job: &JobId) -> Key {
    key(run_partition(&job.run_id), format!("JOB#{}#{}", job.machine, job.step))
}

/// The pointers to all jobs of a run.
pub fn job_pointers(run: &RunId) -> Range {
    range(run_partition(run), "JOB#")
}

/// A step record of a run.
pub fn step(run: &RunId, started_at: Timestamp, name: &str, machine: Option<&MachineKey>) -> Key {
    let machine = machine.map(ToString::to_string).unwrap_or_default();
    key(run_partition(run), format!("STEP#{}#{name}#{machine}", sortable_time(started_at)))
}

/// All step records of a run, in order of time.
pub fn steps(run: &RunId) -> Range {
    range(run_partition(run), "STEP#")
}

/// The report of a run.
pub fn report(run: &RunId) -> Key {
    key(run_partition(run), "REPORT")
}

/// What an instance is for.
pub fn instance(instance: &InstanceId) -> Key {
    key(instance_partition(instance), "BINDING")
}

/// What an instance's agent said of itself.
pub fn hello(instance: &InstanceId) -> Key {
    key(instance_partition(instance), "HELLO")
}

/// A job, with the instance that does it.
pub fn job(instance: &InstanceId, job: &JobId) -> Key {
    key(instance_partition(instance), format!("JOB#{}#{}#{}", job.run_id, job.machine, job.step))
}

/// All jobs of an instance.
pub fn jobs(instance: &InstanceId) -> Range {
    range(instance_partition(instance), "JOB#")
}

/// A recovery plan.
pub fn plan(plan: &PlanId) -> Key {
    key(format!("PLAN#{plan}"), "PLAN")
}

/// A human task.
pub fn human_task(task: &HumanTaskId) -> Key {
    key(format!("HUMAN_TASK#{task}"), "HUMAN_TASK")
}

/// One part of a document that is too long for one item.
pub fn document_part(document: &Digest, number: usize) -> Key {
    key(format!("DOCUMENT#{document}"), format!("PART#{number:05}"))
}

/// What a refresh has to do.
pub fn refresh_plan(run: &RunId) -> Key {
    key(run_partition(run), "REFRESH_PLAN")
}

/// What the last measured recovery of a service took.
pub fn measured_start(service: &ServiceKey) -> Key {
    key(customer_partition(&service.customer_id), format!("MEASURED_START#{}", service.service_id))
}

/// A customer, in the one list of all customers.
pub fn customer(customer: &CustomerId) -> Key {
    key("CUSTOMERS".to_owned(), format!("CUSTOMER#{customer}"))
}

/// All customers.
pub fn customers() -> Range {
    range("CUSTOMERS".to_owned(), "CUSTOMER#")
}

/// What a caller's client token was used for.
pub fn client_token(caller_and_token: &Digest) -> Key {
    key(format!("CLIENT_TOKEN#{caller_and_token}"), "CLIENT_TOKEN")
}
