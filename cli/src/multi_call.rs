//! One program, several names: a base image needs no second program, and nothing has to be installed beside this one.

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use crate::command_line;

/// The hidden first argument with which a local cloud starts this program again as its helper.
pub const INSTANCE_HELPER: &str = "instance-helper";
/// The name under which the program is the service of the demo.
pub const ORDERS_SERVICE: &str = "orders-service";

/// Does what the program's name and first argument say.
///
/// The helper comes first: it has to enter a user namespace, which a process with threads cannot.
pub fn run(arguments: Vec<OsString>) -> ExitCode {
    if arguments.get(1).is_some_and(|first| first == INSTANCE_HELPER) {
        return rekindle_cloud_local::run_helper(arguments.into_iter().skip(2));
    }
    match program_name(&arguments).as_deref() {
        Some(rekindle_agent::PROGRAM_NAME) => rekindle_agent::run(arguments.into_iter()),
        Some(ORDERS_SERVICE) => command_line::run_orders_service(arguments),
        _ => command_line::run(arguments),
    }
}

fn program_name(arguments: &[OsString]) -> Option<String> {
    let name = Path::new(arguments.first()?).file_name()?;
    name.to_str().map(str::to_owned)
}
