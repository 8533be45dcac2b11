//! Watches executions: tells their steps, and says which refreshes began.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use rekindle_flow::{EventType, HistoryEvent, HistoryObserver};
use tokio::sync::mpsc;

/// Something that is worth telling.
#[derive(Debug)]
pub enum Told {
    /// An execution began.
    Began {
        /// The state machine.
        flow: String,
        /// The execution: the run's id.
        execution: String,
    },
    /// A state was entered.
    Entered {
        /// The state.
        state: String,
    },
    /// A state was left.
    Left {
        /// The state.
        state: String,
        /// What it took.
        took: std::time::Duration,
    },
    /// A task failed.
    Failed {
        /// The error's name.
        error: String,
        /// Why.
        cause: String,
    },
}

/// Passes events on without ever waiting: it is called from within the execution.
pub struct Watch {
    told: mpsc::UnboundedSender<Told>,
    entered: Mutex<BTreeMap<(String, String), Instant>>,
}

impl Watch {
    /// A watch, and where it tells.
    pub fn new() -> (Arc<Self>, mpsc::UnboundedReceiver<Told>) {
        let (told, heard) = mpsc::unbounded_channel();
        (Arc::new(Self { told, entered: Mutex::default() }), heard)
    }

    fn tell(&self, told: Told) {
        let _ = self.told.send(told); // Nobody listens any more: the demo is over.
    }
}

impl HistoryObserver for Watch {
    fn observe(&self, state_machine: &str, execution_name: &str, event: &HistoryEvent) {
        match event.event_type {
            EventType::ExecutionStarted => self
                .tell(Told::Began { flow: state_machine.to_owned(), execution: execution_name.to_owned() }),
            EventType::TaskStateEntered => {
                let Some(state) = event.state_name() else { return };
                let key = (execution_name.to_owned(), state.to_owned());
                self.entered.lock().unwrap_or_else(PoisonError::into_inner).insert(key, Instant::now());
                self.tell(Told::Entered { state: state.to_owned() });
            }
            EventType::TaskStateExited => {
                let Some(state) = event.state_name() else { return };
                let key = (execution_name.to_owned(), state.to_owned());
                let since = self.entered.lock().unwrap_or_else(PoisonError::into_inner).remove(&key);
                if let Some(since) = since {
                    self.tell(Told::Left { state: state.to_owned(), took: since.elapsed() });
                }
            }
            EventType::TaskFailed | EventType::TaskTimedOut => {
                let cause =
                    event.details.get("cause").and_then(serde_json::Value::as_str).unwrap_or_default();
                self.tell(Told::Failed {
                    error: event.error().unwrap_or_default().to_owned(),
                    cause: cause.to_owned(),
                });
            }
            _ => {}
        }
    }
}
