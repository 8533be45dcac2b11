//! Errors of steps and agents, and their stable names.

use std::error::Error;
use std::fmt;

/// The names that state machines match and that reports show. Never renamed; new ones are added at the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorName {
    /// The same input may succeed later: throttling, a lost connection, a conflict of writes.
    Transient,
    /// Trying again does not help, and nothing was left behind.
    Permanent,
    /// Trying again does not help, and something may have been left behind.
    PermanentDirty,
    /// The input of the step could not be read.
    InputInvalid,
    /// The machine, service or customer is not in the register.
    UnknownService,
    /// The run was closed meanwhile, so this step may not go on.
    RunClosed,
    /// Another run holds the machine's lease.
    FenceLost,
    /// Something newer is registered already.
    Superseded,
    /// The provider has no capacity in any of the planned types and zones.
    NoCapacity,
    /// The provider said that the image could not be made.
    ImageFailed,
    /// The verification did not hold.
    VerificationFailed,
    /// No image of the machine is proven.
    NoProvenImage,
    /// The plan is not the one that was approved, or it is stale.
    PlanChanged,
    /// A person said no.
    Declined,
    /// Nobody decided before the deadline.
    ApprovalTimedOut,
    /// An object's bytes are not the ones that were signed.
    ObjectCorrupt,
    /// An object is shorter than it was when it was signed.
    ObjectTruncated,
    /// An object is gone.
    ObjectMissing,
    /// A signature does not fit any trusted key.
    SignatureInvalid,
    /// The agent does not have the recipe, or has another content under its name.
    RecipeUnknown,
    /// The description of a set is refused.
    SetRefused,
    /// A set is not newer than what is applied, or does not continue it.
    SetOutOfOrder,
    /// A configuration document is refused.
    ConfigurationRefused,
    /// A program of a recipe failed.
    RecipeFailed,
    /// A data object could not be decrypted or decompressed.
    DecryptionFailed,
    /// The agent's deadline passed.
    JobDeadline,
    /// The instance's disk is full.
    DiskFull,
    /// The agent met something that it has no better name for.
    AgentFailed,
    /// The agent was not heard of in time: its instance did not boot, hangs or is gone.
    AgentSilent,
    /// A replica was asked, and did not answer what was proven.
    ReplicaCheckFailed,
    /// The register was restored to an earlier time and not rebuilt since.
    RegisterRestored,
}

impl ErrorName {
    /// All names.
    pub const ALL: [Self; 31] = [
        Self::Transient,
        Self::Permanent,
        Self::PermanentDirty,
        Self::InputInvalid,
        Self::UnknownService,
        Self::RunClosed,
        Self::FenceLost,
        Self::Superseded,
        Self::NoCapacity,
        Self::ImageFailed,
        Self::VerificationFailed,
        Self::NoProvenImage,
        Self::PlanChanged,
        Self::Declined,
        Self::ApprovalTimedOut,
        Self::ObjectCorrupt,
        Self::ObjectTruncated,
        Self::ObjectMissing,
        Self::SignatureInvalid,
        Self::RecipeUnknown,
        Self::SetRefused,
        Self::SetOutOfOrder,
        Self::ConfigurationRefused,
        Self::RecipeFailed,
        Self::DecryptionFailed,
        Self::JobDeadline,
        Self::DiskFull,
        Self::AgentFailed,
        Self::AgentSilent,
        Self::ReplicaCheckFailed,
        Self::RegisterRestored,
    ];

    /// The name as state machines write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Transient => "Step.Transient",
            Self::Permanent => "Step.Permanent",
            Self::PermanentDirty => "Step.PermanentDirty",
            Self::InputInvalid => "Step.InputInvalid",
            Self::UnknownService => "Register.UnknownService",
            Self::RunClosed => "Register.RunClosed",
            Self::FenceLost => "Register.FenceLost",
            Self::Superseded => "Register.Superseded",
            Self::NoCapacity => "Cloud.NoCapacity",
            Self::ImageFailed => "Cloud.ImageFailed",
            Self::VerificationFailed => "Refresh.VerificationFailed",
            Self::NoProvenImage => "Recovery.NoProvenImage",
            Self::PlanChanged => "Recovery.PlanChanged",
            Self::Declined => "Recovery.Declined",
            Self::ApprovalTimedOut => "Recovery.ApprovalTimedOut",
            Self::ObjectCorrupt => "Agent.ObjectCorrupt",
            Self::ObjectTruncated => "Agent.ObjectTruncated",
            Self::ObjectMissing => "Agent.ObjectMissing",
            Self::SignatureInvalid => "Agent.SignatureInvalid",
            Self::RecipeUnknown => "Agent.RecipeUnknown",
            Self::SetRefused => "Agent.SetRefused",
            Self::SetOutOfOrder => "Agent.SetOutOfOrder",
            Self::ConfigurationRefused => "Agent.ConfigurationRefused",
            Self::RecipeFailed => "Agent.RecipeFailed",
            Self::DecryptionFailed => "Agent.DecryptionFailed",
            Self::JobDeadline => "Agent.JobDeadline",
            Self::DiskFull => "Agent.DiskFull",
            Self::AgentFailed => "Agent.Failed",
            Self::AgentSilent => "Agent.Silent",
            Self::ReplicaCheckFailed => "Recovery.CheckFailed",
            Self::RegisterRestored => "Register.Restored",
        }
    }

    /// The name with this text.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|name| name.as_str() == text)
    }

    /// Whether the same input may succeed later.
    pub fn is_transient(self) -> bool {
        self == Self::Transient
    }
}

impl fmt::Display for ErrorName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// What a failed step may have left behind. When in doubt: `Possible`; `destroy` is safe to run for nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leftovers {
    /// Nothing was made.
    None,
    /// Something may have been made; `destroy` finds it by the run id.
    Possible,
}

/// Why a step failed. `Display` says this layer only; [`StepError::chain`] says all of them.
#[derive(Debug)]
pub struct StepError {
    /// What state machines match.
    pub name: ErrorName,
    /// What was being done, and what went wrong.
    pub what: String,
    /// What a person should do; empty where the flow takes care of it.
    pub next_step: String,
    /// What may be left behind.
    pub leftovers: Leftovers,
    /// The error underneath.
    pub source: Option<Box<dyn Error + Send + Sync>>,
}

impl StepError {
    /// An error with a name of its own that left nothing behind.
    pub fn new(name: ErrorName, what: impl Into<String>) -> Self {
        let leftovers = match name {
            ErrorName::PermanentDirty => Leftovers::Possible,
            _ => Leftovers::None,
        };
        Self { name, what: what.into(), next_step: String::new(), leftovers, source: None }
    }

    /// The same input may succeed later.
    pub fn transient(what: impl Into<String>) -> Self {
        Self::new(ErrorName::Transient, what)
    }

    /// Trying again does not help.
    pub fn permanent(what: impl Into<String>) -> Self {
        Self::new(ErrorName::Permanent, what)
    }

    /// Trying again does not help, and something may have been left behind.
    pub fn dirty(what: impl Into<String>) -> Self {
        Self::new(ErrorName::PermanentDirty, what)
    }

    /// Adds what a person should do.
    #[must_use]
    pub fn next_step(mut self, next_step: impl Into<String>) -> Self {
        self.next_step = next_step.into();
        self
    }

    /// Adds the error underneath.
    #[must_use]
    pub fn because(mut self, source: impl Error + Send + Sync + 'static) -> Self {
        self.source = Some(Box::new(source));
        self
    }

    /// This error and those underneath, joined by colons, and then the next step: the Cause that state machines and
    /// reports show.
    pub fn chain(&self) -> String {
        let mut text = self.what.clone();
        let mut source: Option<&dyn Error> = self.source.as_deref().map(|source| source as &dyn Error);
        while let Some(error) = source {
            text.push_str(": ");
            text.push_str(&error.to_string());
            source = error.source();
        }
        if !self.next_step.is_empty() {
            text.push_str(". ");
            text.push_str(&self.next_step);
        }
        text
    }
}

impl fmt::Display for StepError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.what)
    }
}

impl Error for StepError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|source| source as &(dyn Error + 'static))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_reads_back_and_none_is_used_twice() {
        for name in ErrorName::ALL {
            assert_eq!(ErrorName::parse(name.as_str()), Some(name));
        }
        assert_eq!(ErrorName::parse("States.ALL"), None);
    }

    #[test]
    fn the_chain_names_every_layer_and_the_next_step() {
        let error = StepError::permanent("registering the image was refused")
            .because(std::io::Error::other("no access to the key"))
            .next_step("Allow the role to use the key");
        assert_eq!(
            error.chain(),
            "registering the image was refused: no access to the key. Allow the role to use the key"
        );
    }
}
