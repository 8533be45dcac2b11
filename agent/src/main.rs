//! The agent's program.

fn main() -> std::process::ExitCode {
    rekindle_agent::run(std::env::args_os())
}
