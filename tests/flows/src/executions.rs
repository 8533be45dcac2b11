//! Every execution that there ever was, on whichever runner: what happened is told here as it happens.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use rekindle_domain::{Flow, RunId};
use rekindle_flow::{EventType, HistoryEvent, HistoryObserver};

/// Which state of which execution an event is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Happening {
    /// The state machine; inside a distributed Map, `<machine>/<state>`.
    pub state_machine: String,
    /// The execution.
    pub execution: String,
    /// The state that was entered last in it.
    pub state: String,
    /// What happened.
    pub event_type: EventType,
}

type Listener = Box<dyn Fn(&Happening) + Send>;

#[derive(Default)]
struct Told {
    runs: Vec<(Flow, RunId)>,
    entered: BTreeMap<(String, String), String>,
    listener: Option<Listener>,
}

/// Remembers which executions were started, and passes on what happens in them.
#[derive(Default)]
pub struct Executions {
    told: Mutex<Told>,
}

impl Executions {
    /// None so far.
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// The runs of all executions of the two flows that have runs, in the order of their first start.
    pub fn runs(&self) -> Vec<(Flow, RunId)> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).runs.clone()
    }

    /// Calls this for everything that happens from now on. It must return quickly and must not call the runner.
    pub fn listen(&self, listener: impl Fn(&Happening) + Send + 'static) {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).listener = Some(Box::new(listener));
    }
}

/// The flow whose executions have the names of runs.
fn flow_of(state_machine: &str) -> Option<Flow> {
    [Flow::RefreshImage, Flow::Recover].into_iter().find(|flow| flow.state_machine() == state_machine)
}

impl HistoryObserver for Executions {
    fn observe(&self, state_machine: &str, execution_name: &str, event: &HistoryEvent) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let place = (state_machine.to_owned(), execution_name.to_owned());
        if event.event_type == EventType::ExecutionStarted
            && let (Some(flow), Ok(run_id)) = (flow_of(state_machine), RunId::parse(execution_name))
            && !told.runs.iter().any(|(_, known)| *known == run_id)
        {
            told.runs.push((flow, run_id));
        }
        if let Some(state) = event.state_name() {
            told.entered.insert(place.clone(), state.to_owned());
        }
        let happening = Happening {
            state: told.entered.get(&place).cloned().unwrap_or_default(),
            state_machine: place.0,
            execution: place.1,
            event_type: event.event_type,
        };
        if let Some(listener) = &told.listener {
            listener(&happening);
        }
    }
}
