//! How a resource stood at each instant, so that an old answer can be given.

use std::time::Duration;

use tokio::time::Instant;

/// The states of a resource, each with the instant of its beginning; never empty.
#[derive(Debug, Clone)]
pub(crate) struct History<State> {
    past: Vec<(Option<Instant>, State)>,
    current: (Option<Instant>, State),
}

impl<State: Copy> History<State> {
    /// Of something that began now.
    pub(crate) fn beginning(now: Instant, state: State) -> Self {
        Self { past: Vec::new(), current: (Some(now), state) }
    }

    /// Of something that was always there.
    pub(crate) fn without_beginning(state: State) -> Self {
        Self { past: Vec::new(), current: (None, state) }
    }

    pub(crate) fn change(&mut self, now: Instant, state: State) {
        let past = std::mem::replace(&mut self.current, (Some(now), state));
        self.past.push(past);
    }

    pub(crate) fn current(&self) -> State {
        self.current.1
    }

    /// Since when it stands as it does.
    pub(crate) fn since(&self) -> Option<Instant> {
        self.current.0
    }

    /// How it stood so long ago; nothing, if it had not begun.
    pub(crate) fn seen(&self, now: Instant, age: Duration) -> Option<State> {
        let has_begun = |at: &Option<Instant>| at.is_none_or(|at| at + age <= now);
        let changes = std::iter::once(&self.current).chain(self.past.iter().rev());
        changes.into_iter().find(|(at, _)| has_begun(at)).map(|(_, state)| *state)
    }
}
