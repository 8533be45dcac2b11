//! Jobs: posted by steps, pulled by agents. The stored outcome is the truth, and the first one wins.

use jiff::Timestamp;
use rekindle_domain::{InstanceId, Job, JobId, JobOutcome, JobStatus, JobWork, RunId};
use serde::{Deserialize, Serialize};

use crate::attributes::{attribute, from_item, key_of, to_item, unreadable};
use crate::error::RegisterError;
use crate::expression::Expression;
use crate::keys::{self, Key};
use crate::records::{JobRecord, NewJob, Progress};
use crate::register::Register;
use crate::table::{MOST_TRIES, pause};
use crate::token::TaskToken;

/// Which instance has a job.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct JobPointer {
    instance_id: InstanceId,
}

const UNFINISHED: &str = "#status <> :finished AND attribute_exists(#pk)";

fn unfinished(update: &str) -> Expression {
    Expression::update(update, UNFINISHED).with_text("finished", "Finished")
}

fn finished(update: &str) -> Expression {
    Expression::update(update, "#status = :finished").with_text("finished", "Finished")
}

/// A job may be posted until its run is Ended.
fn not_ended() -> Expression {
    Expression::condition("attribute_exists(#pk) AND #state <> :ended").with_text("ended", "Ended")
}

impl Register {
    /// Posts a job. Posted again while it is not finished, it keeps its place, and the new token, deadline and instance
    /// replace the old ones. A finished one stays as it is but for the token: the answer to the new one may be lost too.
    ///
    /// # Errors
    /// [`RegisterError::RunClosed`] when its run is Ended, [`RegisterError::Unknown`] when there is no such run.
    pub async fn post_job(&self, new: &NewJob) -> Result<JobRecord, RegisterError> {
        for tries in 0..MOST_TRIES {
            let posted = match self.job(&new.job.id).await? {
                None => self.post_first(new).await?,
                Some(record) if record.status == JobStatus::Finished => {
                    self.await_outcome(&record, &new.token).await?
                }
                Some(record) if record.instance_id == new.instance_id => self.post_again(new).await?,
                Some(record) => self.post_elsewhere(new, &record.instance_id).await?,
            };
            match posted {
                Some(record) => return Ok(record),
                None => pause(tries).await,
            }
        }
        Err(RegisterError::Contention { doing: "posting a job" })
    }

    async fn post_first(&self, new: &NewJob) -> Result<Option<JobRecord>, RegisterError> {
        let record = first_record(new);
        let pointer = JobPointer { instance_id: new.instance_id.clone() };
        let sent = self
            .table
            .transaction()
            .check(&keys::run(&new.job.id.run_id), not_ended())
            .put(to_item(&keys::job_pointer(&new.job.id), &pointer)?, Expression::absent())
            .put(to_item(&keys::job(&new.instance_id, &new.job.id), &record)?, Expression::absent())
            .send()
            .await?;
        match sent {
            Ok(()) => Ok(Some(record)),
            Err(unmet) if unmet.at(0) => Err(self.run_over(&new.job.id.run_id).await?),
            Err(_) => Ok(None),
        }
    }

    async fn post_again(&self, new: &NewJob) -> Result<Option<JobRecord>, RegisterError> {
        let key = keys::job(&new.instance_id, &new.job.id);
        let replace = unfinished("SET #token = :token, #job = :job")
            .with_text("token", new.token.as_str())
            .with("job", attribute(&new.job).map_err(|error| unreadable(&key, error))?);
        let sent = self
            .table
            .transaction()
            .check(&keys::run(&new.job.id.run_id), not_ended())
            .update(&key, replace)
            .send()
            .await?;
        match sent {
            Ok(()) => self.job(&new.job.id).await,
            Err(unmet) if unmet.at(0) => Err(self.run_over(&new.job.id.run_id).await?),
            Err(_) => Ok(None),
        }
    }

    async fn await_outcome(
        &self,
        record: &JobRecord,
        token: &TaskToken,
    ) -> Result<Option<JobRecord>, RegisterError> {
        let key = keys::job(&record.instance_id, &record.job.id);
        let renew = finished("SET #token = :token").with_text("token", token.as_str());
        self.table.update(&key, &renew).await?.map(|item| from_item(&key, item)).transpose()
    }

    /// Forgets a job's token, under which nobody waits any more. A newer token that came meanwhile stays.
    pub async fn forget_token(&self, record: &JobRecord) -> Result<(), RegisterError> {
        let Some(token) = &record.token else { return Ok(()) };
        let key = keys::job(&record.instance_id, &record.job.id);
        let forget =
            Expression::update("REMOVE #token", "#token = :token").with_text("token", token.as_str());
        self.table.update(&key, &forget).await?;
        Ok(())
    }

    async fn post_elsewhere(
        &self,
        new: &NewJob,
        before: &InstanceId,
    ) -> Result<Option<JobRecord>, RegisterError> {
        let record = first_record(new);
        let pointer_key = keys::job_pointer(&new.job.id);
        let repoint = Expression::update("SET #instance_id = :now", "#instance_id = :before")
            .with_text("now", new.instance_id.as_str())
            .with_text("before", before.as_str());
        let still_open = Expression::condition(UNFINISHED).with_text("finished", "Finished");
        let sent = self
            .table
            .transaction()
            .check(&keys::run(&new.job.id.run_id), not_ended())
            .update(&pointer_key, repoint)
            .delete(&keys::job(before, &new.job.id), still_open)
            .put(to_item(&keys::job(&new.instance_id, &new.job.id), &record)?, Expression::absent())
            .send()
            .await?;
        match sent {
            Ok(()) => Ok(Some(record)),
            Err(unmet) if unmet.at(0) => Err(self.run_over(&new.job.id.run_id).await?),
            Err(_) => Ok(None),
        }
    }

    /// Why a run's condition did not hold.
    async fn run_over(&self, run_id: &RunId) -> Result<RegisterError, RegisterError> {
        Ok(match self.run(run_id).await? {
            Some(_) => RegisterError::RunClosed { run_id: run_id.clone() },
            None => RegisterError::Unknown { kind: "run", id: run_id.to_string() },
        })
    }

    /// A job.
    pub async fn job(&self, job: &JobId) -> Result<Option<JobRecord>, RegisterError> {
        let pointer_key = keys::job_pointer(job);
        let Some(pointer) = self.table.get(&pointer_key).await? else {
            return Ok(None);
        };
        let pointer: JobPointer = from_item(&pointer_key, pointer)?;
        let key = keys::job(&pointer.instance_id, job);
        self.table.get(&key).await?.map(|item| from_item(&key, item)).transpose()
    }

    /// All jobs of a run, the oldest first.
    pub async fn jobs_of_run(&self, run_id: &RunId) -> Result<Vec<JobRecord>, RegisterError> {
        let mut instances: Vec<InstanceId> = Vec::new();
        for item in self.table.query(&keys::job_pointers(run_id)).await? {
            let pointer: JobPointer = from_item(&key_of(&item), item)?;
            if !instances.contains(&pointer.instance_id) {
                instances.push(pointer.instance_id);
            }
        }
        let mut jobs = Vec::new();
        for instance in &instances {
            let of_instance = self.jobs_of_instance(instance).await?;
            jobs.extend(of_instance.into_iter().filter(|record| record.job.id.run_id == *run_id));
        }
        jobs.sort_by_key(|record| record.posted_at);
        Ok(jobs)
    }

    /// All jobs of an instance, the oldest first.
    pub async fn jobs_of_instance(&self, instance: &InstanceId) -> Result<Vec<JobRecord>, RegisterError> {
        let items = self.table.query(&keys::jobs(instance)).await?;
        let jobs = items.into_iter().map(|item| from_item(&key_of(&item), item));
        let mut jobs: Vec<JobRecord> = jobs.collect::<Result<_, _>>()?;
        jobs.sort_by_key(|record| record.posted_at);
        Ok(jobs)
    }

    /// The job of an instance that a step's name stands for: the oldest unfinished one, or else the one that finished
    /// last.
    pub async fn job_of_instance(
        &self,
        instance: &InstanceId,
        step: &str,
    ) -> Result<Option<JobRecord>, RegisterError> {
        let mut jobs = self.jobs_of_instance(instance).await?;
        jobs.retain(|record| record.job.id.step == step);
        let unfinished = jobs.iter().position(|record| record.status != JobStatus::Finished);
        match unfinished {
            Some(place) => Ok(Some(jobs.swap_remove(place))),
            None => Ok(jobs.into_iter().max_by_key(|record| record.finished_at)),
        }
    }

    /// What an instance's agent is to do next: the oldest unfinished job. One that it took already is handed out again,
    /// since an agent that asks has lost it. Boot is never handed out.
    pub async fn next_job(
        &self,
        instance: &InstanceId,
        now: Timestamp,
    ) -> Result<Option<Job>, RegisterError> {
        for record in self.jobs_of_instance(instance).await? {
            if record.status == JobStatus::Finished || record.job.work == JobWork::Boot {
                continue;
            }
            let key = keys::job(instance, &record.job.id);
            let take = unfinished("SET #status = :taken, #taken_at = if_not_exists(#taken_at, :now)")
                .with_text("taken", "Taken")
                .with("now", attribute(&now).map_err(|error| unreadable(&key, error))?);
            if let Some(item) = self.table.update(&key, &take).await? {
                return Ok(Some(from_item::<JobRecord>(&key, item)?.job));
            }
            // It was finished or moved to another instance meanwhile: the next one, if there is one.
        }
        Ok(None)
    }

    /// Records that an agent goes on with a job.
    ///
    /// # Errors
    /// [`RegisterError::JobGone`] when the instance has no unfinished job of that step.
    pub async fn heartbeat_job(
        &self,
        instance: &InstanceId,
        step: &str,
        progress: Option<Progress>,
        now: Timestamp,
    ) -> Result<JobRecord, RegisterError> {
        let gone = || RegisterError::JobGone { instance_id: instance.clone(), step: step.to_owned() };
        let record = self.job_of_instance(instance, step).await?.ok_or_else(gone)?;
        let key = keys::job(instance, &record.job.id);
        let beat = heartbeat(&key, progress.as_ref(), now)?;
        match self.table.update(&key, &beat).await? {
            Some(item) => from_item(&key, item),
            None => Err(gone()),
        }
    }

    /// Stores how a job ended. The first outcome wins, and is what every later call is answered with.
    ///
    /// # Errors
    /// [`RegisterError::UnknownJob`] when it was never posted.
    pub async fn finish_job(
        &self,
        job: &JobId,
        outcome: &JobOutcome,
        now: Timestamp,
    ) -> Result<JobRecord, RegisterError> {
        for tries in 0..MOST_TRIES {
            let record = self.job(job).await?.ok_or_else(|| RegisterError::UnknownJob(job.clone()))?;
            if record.status == JobStatus::Finished {
                return Ok(record);
            }
            let key = keys::job(&record.instance_id, job);
            let value = |error| unreadable(&key, error);
            let finish = unfinished("SET #status = :finished, #outcome = :outcome, #finished_at = :now")
                .with("outcome", attribute(outcome).map_err(value)?)
                .with("now", attribute(&now).map_err(value)?);
            if let Some(item) = self.table.update(&key, &finish).await? {
                return from_item(&key, item);
            }
            pause(tries).await;
        }
        Err(RegisterError::Contention { doing: "storing the outcome of a job" })
    }
}

fn first_record(new: &NewJob) -> JobRecord {
    JobRecord {
        job: new.job.clone(),
        instance_id: new.instance_id.clone(),
        token: Some(new.token.clone()),
        status: JobStatus::Posted,
        posted_at: new.now,
        taken_at: None,
        last_heartbeat_at: None,
        progress: None,
        finished_at: None,
        outcome: None,
    }
}

fn heartbeat(key: &Key, progress: Option<&Progress>, now: Timestamp) -> Result<Expression, RegisterError> {
    let mut update =
        "SET #status = :taken, #taken_at = if_not_exists(#taken_at, :now), #last_heartbeat_at = :now"
            .to_owned();
    if progress.is_some() {
        update.push_str(", #progress = :progress");
    }
    let mut beat = unfinished(&update)
        .with_text("taken", "Taken")
        .with("now", attribute(&now).map_err(|error| unreadable(key, error))?);
    if let Some(progress) = progress {
        beat = beat.with("progress", attribute(progress).map_err(|error| unreadable(key, error))?);
    }
    Ok(beat)
}
