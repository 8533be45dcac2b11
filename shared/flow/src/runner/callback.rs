//! Task tokens: given out when a task begins to wait, and dead as soon as it no longer does.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex};

use serde_json::Value;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::TaskError;
use crate::history::{TOKEN_CHARACTERS, TOKEN_PREFIX};
use crate::limit;
use crate::lock::lock;

/// How many dead tokens are remembered, so that a late answer is told from a wrong one.
const REMEMBERED: usize = 10_000;

/// Why a callback was not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CallbackError {
    /// No task ever had this token, or it was long ago.
    #[error("no task has this token")]
    TaskDoesNotExist,
    /// The task that had this token is over: answered, timed out, retried under another token, or stopped.
    #[error("the task of this token no longer waits")]
    TaskTimedOut,
    /// The output is larger than Step Functions carries.
    #[error("the output is larger than 256 KiB")]
    InvalidOutput,
}

/// What comes to a waiting task.
#[derive(Debug)]
pub(crate) enum Message {
    Success(Value),
    Failure(TaskError),
    Heartbeat(Instant),
}

/// The tokens of a runner.
#[derive(Debug, Default, Clone)]
pub(crate) struct Callbacks(Arc<Mutex<Tokens>>);

#[derive(Debug, Default)]
struct Tokens {
    waiting: HashMap<String, mpsc::UnboundedSender<Message>>,
    dead: HashSet<String>,
    dead_in_order: VecDeque<String>,
}

impl Tokens {
    fn bury(&mut self, token: &str) {
        if self.waiting.remove(token).is_none() {
            return;
        }
        self.dead.insert(token.to_owned());
        self.dead_in_order.push_back(token.to_owned());
        if self.dead_in_order.len() > REMEMBERED
            && let Some(oldest) = self.dead_in_order.pop_front()
        {
            self.dead.remove(&oldest);
        }
    }
}

/// A task that waits under its token. Dropping it kills the token.
#[derive(Debug)]
pub(crate) struct Waiting {
    token: String,
    messages: mpsc::UnboundedReceiver<Message>,
    callbacks: Callbacks,
}

impl Waiting {
    pub(crate) fn token(&self) -> &str {
        &self.token
    }

    /// The next message. The registry keeps the sender as long as this waits, so there is always one to come.
    pub(crate) async fn message(&mut self) -> Message {
        match self.messages.recv().await {
            Some(message) => message,
            None => std::future::pending().await,
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        lock(&self.callbacks.0).bury(&self.token);
    }
}

impl Callbacks {
    /// Gives out a new token. It comes from the machine's own generator, never from a seed: who can guess a token
    /// can complete a task.
    pub(crate) fn wait(&self) -> Waiting {
        let token = format!("{TOKEN_PREFIX}{}", hex::encode(rand::random::<[u8; TOKEN_CHARACTERS / 2]>()));
        let (sender, messages) = mpsc::unbounded_channel();
        lock(&self.0).waiting.insert(token.clone(), sender);
        Waiting { token, messages, callbacks: self.clone() }
    }

    pub(crate) fn succeed(&self, token: &str, output: Value) -> Result<(), CallbackError> {
        if !limit::fits(&output) {
            return Err(CallbackError::InvalidOutput);
        }
        self.send(token, Message::Success(output))
    }

    pub(crate) fn fail(&self, token: &str, error: TaskError) -> Result<(), CallbackError> {
        self.send(token, Message::Failure(error))
    }

    pub(crate) fn beat(&self, token: &str) -> Result<(), CallbackError> {
        self.send(token, Message::Heartbeat(Instant::now()))
    }

    /// Hands a message to the task. An answer, unlike a heartbeat, is the last one.
    fn send(&self, token: &str, message: Message) -> Result<(), CallbackError> {
        let mut tokens = lock(&self.0);
        let Some(sender) = tokens.waiting.get(token).cloned() else {
            return Err(match tokens.dead.contains(token) {
                true => CallbackError::TaskTimedOut,
                false => CallbackError::TaskDoesNotExist,
            });
        };
        let is_answer = !matches!(message, Message::Heartbeat(_));
        let delivered = sender.send(message).map_err(|_| CallbackError::TaskTimedOut);
        if is_answer {
            tokens.bury(token);
        }
        delivered
    }
}
