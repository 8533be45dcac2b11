//! Reads the templates in `infra/`, writes their policies as JSON for reviews, and knows what no policy may allow.
//!
//! The templates are the truth. `infra/policies/` holds one file for each role, with the policy that the deployed role
//! has: shared managed policies included, conditions of the template decided. `cargo run -p rekindle-infra-tests` writes
//! them; a test fails while they differ. So a change of a permission shows twice in a review, and is written once.

pub mod documents;
pub mod intrinsic;
pub mod policy;
pub mod rules;
pub mod template;

pub use intrinsic::Deployment;
pub use policy::{Role, Statement};
pub use template::{Template, TemplateError, repository};
