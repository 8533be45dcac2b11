//! From the start of the process to its end.

use std::process::ExitCode;
use std::sync::Arc;

use axum::Router;
use lambda_runtime::{LambdaEvent, Runtime, service_fn};
use rekindle_step::{DynamicStep, Step, StepError, erase};
use rekindle_step_host::Recorder;
use serde_json::Value;

use crate::environment::{Environment, MEMORY, OF_LAMBDA, unreadable};
use crate::host::Host;
use crate::http::{Callers, Requests};
use crate::invocation::Invocations;
use crate::{init_error, log};

/// Runs a step for as long as Lambda wants it. `build` says what it is made of; where that is not there, the start ends
/// as `Runtime.EnvironmentInvalid`, with one sentence.
pub fn run_step<S: Step>(build: impl FnOnce(&Host) -> Result<S, StepError>) -> ExitCode {
    run(
        |host| {
            let step: Arc<dyn DynamicStep> = erase(build(host)?);
            Ok(Invocations::new(step, Recorder::new(host.register()?, host.clock())))
        },
        async |invocations| {
            let invocations = &invocations;
            Runtime::new(service_fn(|event: LambdaEvent<Value>| Box::pin(invocations.handle(event))))
                .run()
                .await
        },
    )
}

/// Serves a router to an HTTP API (payload format 2.0), as [`run_step`] runs a step. `callers` says who may call and
/// tells the router who does.
pub fn serve_http(
    function: &'static str,
    callers: Callers,
    build: impl FnOnce(&Host) -> Result<Router, StepError>,
) -> ExitCode {
    run(
        |host| Ok(Requests::new(function, callers.read(host.environment())?, build(host)?)),
        async |requests| lambda_http::run(service_fn(move |request| requests.clone().answer(request))).await,
    )
}

/// One thread: a function does one thing at a time and waits for AWS most of it. Futures are boxed on the way: the
/// clients' are so deep already that the compiler gives up on one that holds them all.
fn run<T>(
    prepare: impl FnOnce(&Host) -> Result<T, StepError>,
    serve: impl AsyncFnOnce(T) -> Result<(), lambda_runtime::Error>,
) -> ExitCode {
    let environment = Environment::of_this_process();
    let logged = log::install(&environment);
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!(%error, "the asynchronous runtime cannot be started");
            return ExitCode::FAILURE;
        }
    };
    runtime.block_on(async {
        let prepared = match logged {
            Ok(()) => prepared(&environment, prepare),
            Err(error) => Err(error),
        };
        match prepared {
            Ok(prepared) => served(Box::pin(serve(prepared)).await),
            Err(error) => {
                Box::pin(init_error::report(&environment, &error)).await;
                ExitCode::FAILURE
            }
        }
    })
}

fn prepared<T>(
    environment: &Environment,
    prepare: impl FnOnce(&Host) -> Result<T, StepError>,
) -> Result<T, StepError> {
    for name in OF_LAMBDA {
        environment
            .required(name)
            .map_err(|error| error.next_step("This program is started by AWS Lambda"))?;
    }
    if environment.required(MEMORY)?.parse::<i32>().is_err() {
        return Err(unreadable(MEMORY, "is no number"));
    }
    prepare(&Host::new(environment.clone())?)
}

fn served(ended: Result<(), lambda_runtime::Error>) -> ExitCode {
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(%error, "the Runtime API does not answer");
            ExitCode::FAILURE
        }
    }
}
