//! The function `operator-api` on AWS Lambda: what people who operate Rekindle may ask, declare and decide.

use std::process::ExitCode;

use rekindle_api::{CallerPrincipal, Deployment, OperatorApi, operator_router};
use rekindle_lambda_host::{Callers, serve_http};

fn main() -> ExitCode {
    serve_http("operator-api", Callers::operators(CallerPrincipal), |host| {
        let (register, control) = (host.register()?, host.control()?);
        let (stack, region) = host.stack_and_region()?;
        let deployment = Deployment { stack, region, customer: Some(host.customer()?) };
        Ok(operator_router(OperatorApi::new(register, control, host.workflow()?, host.clock(), deployment)))
    })
}
