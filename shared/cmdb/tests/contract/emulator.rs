//! The register on an emulator of DynamoDB, through the client that a function on AWS has. `cargo xtask e2e-aws` starts
//! one and sets the environment.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use aws_config::BehaviorVersion;
use rekindle_cmdb::Register;

use crate::suite;

/// A register in a table of its own.
pub async fn register() -> Register {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    let config = aws_config::load_defaults(BehaviorVersion::latest()).await;
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let table = format!("register-{}-{}-{count}", since_epoch.as_nanos(), std::process::id());
    let register = Register::new(aws_sdk_dynamodb::Client::new(&config), table);
    register.ensure_table().await.unwrap();
    register
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs the emulators"]
async fn all_cases_share_one_table() {
    suite(register().await).await;
}
