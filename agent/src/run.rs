//! `rekindle-agent run`: what an instance does with its life, wherever it is.

use std::ffi::OsString;
use std::path::PathBuf;

use rekindle_step::StepError;

use crate::api_client::ApiClient;
use crate::aws::{self, AwsSettings};
use crate::configuration::AgentConfiguration;
use crate::jobs::{Instance, serve};
use crate::places::Places;

#[derive(Debug, clap::Args)]
pub(crate) struct RunArguments {
    /// The socket of the agent API, where it is not at its usual place.
    #[arg(long)]
    pub(crate) socket: Option<PathBuf>,
    /// On AWS: the program and arguments that power the machine off once it is sealed.
    #[arg(long, num_args = 1.., default_values = ["systemctl", "poweroff"], value_name = "PROGRAM")]
    pub(crate) power_off: Vec<OsString>,
    /// On AWS: the user who may log in with the key pair that the instance was launched with.
    #[arg(long, default_value = "root", value_name = "USER")]
    pub(crate) login_user: String,
}

/// Serves until the instance is sealed.
pub(crate) async fn run(places: Places, agent: PathBuf, arguments: RunArguments) -> Result<(), StepError> {
    match on_aws(&places, &arguments)? {
        Some((configuration, settings)) => {
            aws::serve(Instance::new(places, agent), &configuration, &settings, arguments).await
        }
        None => {
            let api = ApiClient::new(arguments.socket.unwrap_or_else(|| places.socket()));
            serve(&Instance::new(places, agent), &api).await
        }
    }
}

/// Whether this instance is one on AWS.
///
/// A configuration that cannot be read is not the end of an instance whose API is mounted: its jobs say so to the
/// orchestrator, which is more than a log inside of it can.
fn on_aws(
    places: &Places,
    arguments: &RunArguments,
) -> Result<Option<(AgentConfiguration, AwsSettings)>, StepError> {
    let path = places.configuration();
    let mounted = arguments.socket.is_some() || places.socket().exists();
    if !path.exists() {
        return Ok(None);
    }
    match AgentConfiguration::read(&path) {
        Ok(configuration) => {
            let settings = configuration.aws.clone();
            Ok(settings.map(|settings| (configuration, settings)))
        }
        Err(error) if mounted => {
            tracing::warn!(error = error.chain(), "going on without a configuration");
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test whose folder cannot be used has failed")]
    use super::*;

    fn arguments() -> RunArguments {
        RunArguments { socket: None, power_off: vec!["true".into()], login_user: "root".to_owned() }
    }

    #[test]
    fn a_configuration_that_cannot_be_read_ends_only_an_instance_without_a_socket() {
        let folder = tempfile::tempdir().unwrap();
        let places = Places::under(folder.path());
        assert!(on_aws(&places, &arguments()).unwrap().is_none());
        crate::files::write_atomically(&places.configuration(), b"machine = 1", 0o644).unwrap();
        assert!(on_aws(&places, &arguments()).is_err());
        crate::files::write_atomically(&places.socket(), b"", 0o644).unwrap();
        assert!(on_aws(&places, &arguments()).unwrap().is_none());
    }
}
