//! Prices in dollars: us-east-1, on demand, Linux, without free tiers, as of 2026.

/// Step Functions, standard workflows.
pub(super) const STATE_TRANSITION: f64 = 2.5e-5;
/// Lambda, one request.
pub(super) const LAMBDA_REQUEST: f64 = 2e-7;
/// Lambda on arm64.
pub(super) const LAMBDA_GB_SECOND: f64 = 1.333_34e-5;
/// A public IPv4 address, an hour.
pub(super) const IPV4_HOUR: f64 = 0.005;
/// Volumes of type gp3, a GB and month.
pub(super) const VOLUME_GB: f64 = 0.08;
/// Snapshots, a GB and month.
pub(super) const SNAPSHOT_GB: f64 = 0.05;
/// S3 Standard, a GB and month.
pub(super) const OBJECT_GB: f64 = 0.023;
/// One PUT of S3.
pub(super) const OBJECT_PUT: f64 = 5e-6;
/// One GET of S3.
pub(super) const OBJECT_GET: f64 = 4e-7;
/// DynamoDB on demand, one write; reads of runs are cheaper, and counted as writes.
pub(super) const TABLE_REQUEST: f64 = 6.25e-7;
/// DynamoDB on demand, one read.
pub(super) const TABLE_READ: f64 = 1.25e-7;
/// DynamoDB, a GB and month.
pub(super) const TABLE_GB: f64 = 0.25;
/// CloudWatch Logs, a GB taken in.
pub(super) const LOG_GB: f64 = 0.5;
/// CloudWatch Logs, a GB and month.
pub(super) const LOG_KEPT_GB: f64 = 0.03;
/// A customer-managed key of KMS.
pub(super) const KEY: f64 = 1.0;
/// A CloudWatch alarm.
pub(super) const ALARM: f64 = 0.1;
/// One invocation by EventBridge Scheduler.
pub(super) const SCHEDULE: f64 = 1e-6;

/// An hour of an instance type.
pub(super) fn instance_hour(instance_type: &str) -> Option<f64> {
    let known = [
        ("t3.small", 0.0208),
        ("t3.medium", 0.0416),
        ("t3.large", 0.0832),
        ("t3.xlarge", 0.1664),
        ("t4g.small", 0.0168),
        ("t4g.medium", 0.0336),
        ("t4g.large", 0.0672),
        ("m5.large", 0.096),
        ("m5.xlarge", 0.192),
        ("m6g.large", 0.077),
        ("m7g.large", 0.0816),
        ("c5.large", 0.085),
        ("r5.large", 0.126),
    ];
    known.into_iter().find(|(name, _)| *name == instance_type).map(|(_, price)| price)
}
