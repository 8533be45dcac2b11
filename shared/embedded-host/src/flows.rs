//! The state machine files, compiled in: the very ones that Step Functions runs.

use rekindle_flow::{LoadError, StateMachine, Substitutions};

/// File name and text of every flow.
pub const SOURCES: [(&str, &str); 3] = [
    ("refresh-image.asl.json", include_str!("../../../statemachines/refresh-image.asl.json")),
    ("recover.asl.json", include_str!("../../../statemachines/recover.asl.json")),
    ("recover-service.asl.json", include_str!("../../../statemachines/recover-service.asl.json")),
];

/// What the template replaces by ARNs on AWS, and what stands for it here.
const SUBSTITUTIONS: [(&str, &str); 15] = [
    ("ActivateFunction", "activate"),
    ("CheckReplicaFunction", "check-replica"),
    ("DestroyFunction", "destroy"),
    ("PlanRecoveryFunction", "plan-recovery"),
    ("PlanRefreshFunction", "plan-refresh"),
    ("RecoverFunction", "recover"),
    ("RegisterFunction", "register"),
    ("ReportFunction", "report"),
    ("RequestApprovalFunction", "request-approval"),
    ("SnapshotImageFunction", "snapshot-image"),
    ("StartInstanceFunction", "start-instance"),
    ("TransferAndRestoreFunction", "transfer-and-restore"),
    ("UpdateConfigurationFunction", "update-configuration"),
    ("VerifyFunction", "verify"),
    ("RecoverServiceStateMachine", "recover-service"),
];

/// Reads all flows.
///
/// # Errors
/// When a file has something that the runner does not know.
pub fn load() -> Result<Vec<StateMachine>, LoadError> {
    let substitutions = Substitutions::new(SUBSTITUTIONS);
    SOURCES.iter().map(|(file, text)| StateMachine::parse(file, text, &substitutions)).collect()
}
