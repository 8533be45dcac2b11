//! One attempt of one Map.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use futures::FutureExt;
use futures::future::BoxFuture;
use futures::stream::{FuturesUnordered, StreamExt};
use serde_json::{Value, json};

use super::execution::{Failure, Record, Trail};
use super::task::Child;
use super::walk::{Ended, Extra, MapItem, Visit, Walker, fitting};
use crate::definition::{MapMode, MapState, Quantity};
use crate::history::EventType;
use crate::limit;
use crate::lock::lock;
use crate::retry::EXCEED_TOLERATED_FAILURE_THRESHOLD;

/// What one iteration or child came to.
struct Finished {
    index: usize,
    /// `None`: a child that failed within the tolerance.
    output: Option<Value>,
    trail: Trail,
}

/// How many children may fail.
#[derive(Debug, Clone, Copy)]
struct Tolerance {
    count: Option<u64>,
    percentage: Option<u64>,
}

impl Tolerance {
    /// Either limit, once passed, fails the Map; without any, the first failure does.
    fn is_exceeded(self, failed: u64, total: u64) -> bool {
        match (self.count, self.percentage) {
            (None, None) => failed > 0,
            (count, percentage) => {
                count.is_some_and(|most| failed > most)
                    || percentage.is_some_and(|most| failed * 100 > most * total)
            }
        }
    }
}

impl Walker {
    /// Runs the processor for every item and gives the outputs in the order of the items.
    pub(super) async fn attempt_map(
        &self,
        visit: &Visit<'_>,
        map: &MapState,
        retry_count: u32,
        trail: &mut Trail,
    ) -> Result<Value, Failure> {
        let extra = Extra { retry_count: Some(retry_count), ..Extra::default() };
        let items = self.items(visit, map, &extra, trail)?;
        let concurrency = self.concurrency(visit, map, &extra, trail)?;
        let started = json!({ "length": items.len() });
        self.record.event(trail, EventType::MapStateStarted, started);
        let result = match &map.mode {
            MapMode::Inline => self.run_inline(visit, map, items, concurrency, trail).await,
            MapMode::Distributed { tolerated_count, tolerated_percentage } => {
                let tolerance = Tolerance {
                    count: self.most(visit, tolerated_count, "ToleratedFailureCount", &extra, trail)?,
                    percentage: self.most(
                        visit,
                        tolerated_percentage,
                        "ToleratedFailurePercentage",
                        &extra,
                        trail,
                    )?,
                };
                self.run_distributed(visit, map, items, concurrency, tolerance, trail).await
            }
        };
        let result = result.and_then(|result| fitting(&result, "the result of the Map").map(|()| result));
        let event_type = match &result {
            Ok(_) => EventType::MapStateSucceeded,
            Err(_) => EventType::MapStateFailed,
        };
        self.record.event(trail, event_type, json!({}));
        result
    }

    fn items(
        &self,
        visit: &Visit<'_>,
        map: &MapState,
        extra: &Extra<'_>,
        trail: &mut Trail,
    ) -> Result<Vec<Value>, Failure> {
        match self.evaluate(visit, &map.items, "Items", extra, trail)? {
            Value::Array(items) => Ok(items),
            _ => {
                // JSONata unwraps an array of one item: `[expression]` keeps it an array.
                let cause =
                    "Items gave no array; [ ] around the expression keeps a single item in one".to_owned();
                Err(self.query_failure(visit, "Items", cause, trail))
            }
        }
    }

    fn concurrency(
        &self,
        visit: &Visit<'_>,
        map: &MapState,
        extra: &Extra<'_>,
        trail: &mut Trail,
    ) -> Result<usize, Failure> {
        let most = match map.mode {
            MapMode::Inline => limit::INLINE_CONCURRENCY,
            MapMode::Distributed { .. } => limit::DISTRIBUTED_CONCURRENCY,
        };
        let wanted = self.most(visit, &map.max_concurrency, "MaxConcurrency", extra, trail)?;
        let wanted = wanted.and_then(|wanted| usize::try_from(wanted).ok()).unwrap_or(0);
        // 0 is no limit of its own.
        Ok(if wanted == 0 { most } else { wanted.min(most) })
    }

    fn most(
        &self,
        visit: &Visit<'_>,
        quantity: &Option<Quantity>,
        location: &str,
        extra: &Extra<'_>,
        trail: &mut Trail,
    ) -> Result<Option<u64>, Failure> {
        let most = quantity
            .as_ref()
            .map(|quantity| self.quantity(visit, quantity, location, (0, limit::SECONDS), extra, trail));
        most.transpose()
    }

    async fn run_inline(
        &self,
        visit: &Visit<'_>,
        map: &MapState,
        items: Vec<Value>,
        concurrency: usize,
        trail: &mut Trail,
    ) -> Result<Value, Failure> {
        let mut outputs = vec![Value::Null; items.len()];
        let unfinished = Mutex::new(BTreeSet::new());
        let begin = *trail;
        let iterations = items.into_iter().enumerate().map(|(index, value)| {
            self.iterate(visit, map, MapItem { index, value }, begin, &unfinished).boxed()
        });
        let mut crowd = Crowd::new(iterations, concurrency);
        while let Some(finished) = crowd.next().await {
            match finished {
                Ok(Finished { index, output, trail: end }) => {
                    outputs[index] = output.unwrap_or_default();
                    *trail = end;
                }
                Err((failure, end)) => {
                    *trail = end;
                    drop(crowd);
                    self.abort_iterations(visit, &unfinished, *trail);
                    return Err(failure);
                }
            }
        }
        Ok(Value::Array(outputs))
    }

    async fn iterate(
        &self,
        visit: &Visit<'_>,
        map: &MapState,
        item: MapItem,
        begin: Trail,
        unfinished: &Mutex<BTreeSet<usize>>,
    ) -> Result<Finished, (Failure, Trail)> {
        let mut trail = begin;
        let index = item.index;
        let details = json!({ "name": visit.state.name, "index": index });
        let input = self.selected(visit, map, &item, &mut trail).map_err(|failure| (failure, trail))?;
        self.record.event(&mut trail, EventType::MapIterationStarted, details.clone());
        lock(unfinished).insert(index);
        let variables = visit.variables.clone();
        let output = self.walk(&map.processor, input, variables, Some(&item), &mut trail).await;
        lock(unfinished).remove(&index);
        let event_type = match &output {
            Ok(_) => EventType::MapIterationSucceeded,
            Err(_) => EventType::MapIterationFailed,
        };
        self.record.event(&mut trail, event_type, details);
        match output {
            Ok(output) => Ok(Finished { index, output: Some(output), trail }),
            Err(failure) => Err((failure, trail)),
        }
    }

    /// The input of an iteration: what ItemSelector makes of the item, or the item.
    fn selected(
        &self,
        visit: &Visit<'_>,
        map: &MapState,
        item: &MapItem,
        trail: &mut Trail,
    ) -> Result<Value, Failure> {
        let Some(selector) = &map.selector else {
            return Ok(item.value.clone());
        };
        let extra = Extra { item: Some(item), ..Extra::default() };
        let input = self.evaluate(visit, selector, "ItemSelector", &extra, trail)?;
        fitting(&input, "what ItemSelector gives")?;
        Ok(input)
    }

    fn abort_iterations(&self, visit: &Visit<'_>, unfinished: &Mutex<BTreeSet<usize>>, trail: Trail) {
        for index in lock(unfinished).iter() {
            let details = json!({ "name": visit.state.name, "index": index });
            self.record.event(&mut trail.clone(), EventType::MapIterationAborted, details);
        }
    }

    async fn run_distributed(
        &self,
        visit: &Visit<'_>,
        map: &MapState,
        items: Vec<Value>,
        concurrency: usize,
        tolerance: Tolerance,
        trail: &mut Trail,
    ) -> Result<Value, Failure> {
        let map_run = self.shared.randomness.uuid();
        let arn = format!(
            "arn:aws:states:local:000000000000:mapRun:{}/{}:{map_run}",
            self.machine.name(),
            visit.state.name
        );
        self.record.event(trail, EventType::MapRunStarted, json!({ "mapRunArn": arn }));
        let result = self.run_children(visit, map, items, concurrency, tolerance, trail).await;
        match &result {
            Ok(_) => self.record.event(trail, EventType::MapRunSucceeded, json!({})),
            Err(failure) => self.record.event(trail, EventType::MapRunFailed, failure.details()),
        }
        result
    }

    /// Runs the children. Those that failed within the tolerance have no output in the result.
    async fn run_children(
        &self,
        visit: &Visit<'_>,
        map: &MapState,
        items: Vec<Value>,
        concurrency: usize,
        tolerance: Tolerance,
        trail: &mut Trail,
    ) -> Result<Value, Failure> {
        let total = items.len() as u64;
        let mut outputs = vec![None; items.len()];
        let mut failed = 0;
        let begin = *trail;
        let children = items
            .into_iter()
            .enumerate()
            .map(|(index, value)| self.run_child(visit, map, MapItem { index, value }, begin).boxed());
        let mut crowd = Crowd::new(children, concurrency);
        while let Some(finished) = crowd.next().await {
            let Finished { index, output, .. } = finished.map_err(|(failure, _)| failure)?;
            failed += u64::from(output.is_none());
            outputs[index] = output;
            if tolerance.is_exceeded(failed, total) {
                let cause =
                    format!("{failed} of {total} children failed, which is more than the Map tolerates");
                return Err(Failure::new(EXCEED_TOLERATED_FAILURE_THRESHOLD, cause));
            }
        }
        Ok(outputs.into_iter().flatten().collect())
    }

    /// Runs one child: an execution of its own, with a history of its own.
    async fn run_child(
        &self,
        visit: &Visit<'_>,
        map: &MapState,
        item: MapItem,
        begin: Trail,
    ) -> Result<Finished, (Failure, Trail)> {
        let mut trail = begin;
        let input = self.selected(visit, map, &item, &mut trail).map_err(|failure| (failure, trail))?;
        let machine = self.machine.of_children(&visit.state.name, &map.processor);
        let record = self.shared.enter_child(&machine, input);
        let child = Child::of(&self.shared, Arc::clone(&record));
        let walker = Walker::new(Arc::clone(&self.shared), machine, record);
        Ok(Finished { index: item.index, output: run_or_stopped(&walker, &child.record).await, trail })
    }
}

/// The output of a child; nothing when it failed, or when somebody stopped it.
async fn run_or_stopped(walker: &Walker, record: &Record) -> Option<Value> {
    let ended = tokio::select! {
        biased;
        ended = walker.run_to_end() => ended,
        () = record.closed() => Ended::Badly,
    };
    match ended {
        Ended::Well(output) => Some(output),
        Ended::Badly => None,
    }
}

type Iteration<'a> = BoxFuture<'a, Result<Finished, (Failure, Trail)>>;

/// Iterations of which only so many run at once.
struct Crowd<'a, Waiting> {
    waiting: Waiting,
    running: FuturesUnordered<Iteration<'a>>,
    most: usize,
}

impl<'a, Waiting: Iterator<Item = Iteration<'a>>> Crowd<'a, Waiting> {
    fn new(waiting: Waiting, most: usize) -> Self {
        Self { waiting, running: FuturesUnordered::new(), most }
    }

    async fn next(&mut self) -> Option<Result<Finished, (Failure, Trail)>> {
        while self.running.len() < self.most {
            match self.waiting.next() {
                Some(iteration) => self.running.push(iteration),
                None => break,
            }
        }
        self.running.next().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // AWS, "Setting failure thresholds for Distributed Map states": without a threshold one failure is too many; with
    // both, the one that is passed first counts; reaching a threshold is not passing it.
    #[test]
    fn a_tolerance_is_passed_not_reached() {
        let cases = [
            (None, None, 0, 4, false),
            (None, None, 1, 4, true),
            (Some(1), None, 1, 4, false),
            (Some(1), None, 2, 4, true),
            (None, Some(50), 2, 4, false),
            (None, Some(50), 3, 4, true),
            (Some(9), Some(25), 2, 4, true),
            (Some(0), Some(100), 1, 4, true),
            (None, Some(100), 4, 4, false),
        ];
        for (count, percentage, failed, total, expected) in cases {
            let tolerance = Tolerance { count, percentage };
            assert_eq!(tolerance.is_exceeded(failed, total), expected, "{tolerance:?} {failed} of {total}");
        }
    }
}
