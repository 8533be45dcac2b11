//! From "a set description has appeared" to a refresh: what EventBridge does on AWS.

use rekindle_domain::{MachineKey, ObjectKey};
use tokio::sync::mpsc;

use crate::EmbeddedHost;

/// Starts a refresh for every set description that is announced, until the announcements end. The description itself
/// is not looked at: it only wakes, and the flow finds out what is due.
pub async fn wake_on_arrivals(host: EmbeddedHost, mut arrivals: mpsc::Receiver<ObjectKey>) {
    while let Some(key) = arrivals.recv().await {
        let Some((machine, backup_id)) = MachineKey::of_set_description(&key) else {
            tracing::debug!(%key, "not a set description");
            continue;
        };
        if let Err(error) = host.start_refresh(&machine).await {
            // The sweep finds the set: it lies in the store and is not in the register.
            tracing::warn!(%machine, %backup_id, error = error.chain(), "a refresh was not started");
        }
    }
}
