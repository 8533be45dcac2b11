//! What a measured function is told: the variables of docs/design/0016-on-aws.md, with dummies, and Lambda's own.

/// Nobody listens there, and nothing may leave this machine. With TLS, since that is part of a real start.
const NOWHERE: &str = "https://127.0.0.1:9";

const LAUNCH: &str = r#"{
  "builder_launch_template": {"id": "lt-0123456789abcdef0", "version": "1"},
  "replica_launch_template": {"id": "lt-0123456789abcdef1", "version": "1"},
  "isolated": {"security_group": "sg-0123456789abcdef0", "subnets": {"eu-west-1a": "subnet-0123456789abcdef0"}},
  "production": {"security_group": "sg-0123456789abcdef1", "subnets": {"eu-west-1a": "subnet-0123456789abcdef1"}},
  "volume_initialization_mebibytes_per_second": 300
}"#;

/// The whole environment of the function.
pub(super) fn variables(runtime_api_port: u16) -> Vec<(&'static str, String)> {
    let pairs = [
        ("AWS_LAMBDA_FUNCTION_NAME", "measured"),
        ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256"),
        ("AWS_LAMBDA_FUNCTION_VERSION", "1"),
        ("AWS_LAMBDA_LOG_GROUP_NAME", "/aws/lambda/measured"),
        ("AWS_LAMBDA_LOG_STREAM_NAME", "measured"),
        ("AWS_REGION", "eu-west-1"),
        ("AWS_DEFAULT_REGION", "eu-west-1"),
        ("AWS_ACCESS_KEY_ID", "test"),
        ("AWS_SECRET_ACCESS_KEY", "test"),
        ("AWS_SESSION_TOKEN", "test"),
        ("AWS_ENDPOINT_URL", NOWHERE),
        ("AWS_EC2_METADATA_DISABLED", "true"),
        ("AWS_MAX_ATTEMPTS", "1"),
        ("PATH", "/usr/local/bin:/usr/bin:/bin"),
        ("REKINDLE_TABLE", "rekindle"),
        ("REKINDLE_CONTROL_BUCKET", "rekindle-control-123456789012-eu-west-1"),
        ("REKINDLE_CUSTOMER_ID", "acme"),
        ("REKINDLE_STATE_MACHINES", "arn:aws:states:eu-west-1:123456789012:stateMachine:rekindle-"),
        ("REKINDLE_LAUNCH", LAUNCH),
        ("REKINDLE_INSTANCE_ROLE", "123456789012/rekindle-instance"),
        ("REKINDLE_LOG", "info"),
    ];
    let mut variables: Vec<_> = pairs.map(|(name, value)| (name, value.to_owned())).into();
    variables.push(("AWS_LAMBDA_RUNTIME_API", format!("127.0.0.1:{runtime_api_port}")));
    variables
}
