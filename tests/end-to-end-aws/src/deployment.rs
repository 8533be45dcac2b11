//! What was deployed.

use std::collections::BTreeMap;

/// Holds the outputs of the stack as a JSON object: what `cargo xtask deploy --json` prints.
const OUTPUTS: &str = "REKINDLE_E2E_OUTPUTS";

/// The outputs of the template.
#[derive(Debug, Clone)]
pub struct Deployment {
    outputs: BTreeMap<String, String>,
}

impl Deployment {
    /// As `cargo xtask e2e-aws` tells it.
    ///
    /// # Panics
    /// When these tests were not started by it.
    pub fn from_environment() -> Self {
        let text = std::env::var(OUTPUTS).expect("run these tests with: cargo xtask e2e-aws");
        Self { outputs: serde_json::from_str(&text).expect("the outputs of the stack are not a JSON object") }
    }

    /// One output, by its name in the template.
    ///
    /// # Panics
    /// When the template has no such output.
    pub fn output(&self, name: &str) -> &str {
        self.outputs.get(name).unwrap_or_else(|| panic!("the stack has no output {name}"))
    }
}
