//! Templates, policies, state machines and code, held against each other.
#![expect(clippy::unwrap_used, reason = "test code: what cannot be read has failed")]

mod agreement;
mod alarms;
mod callers;
mod customer;
mod ec2_roles;
mod flows;
mod functions;
mod policies;
mod register;
mod statements;

use rekindle_infra_tests::Template;

fn orchestrator() -> Template {
    Template::orchestrator().unwrap()
}

fn customer() -> Template {
    Template::customer().unwrap()
}
