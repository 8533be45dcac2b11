//! What is said to the person at the terminal. The one place that prints.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "to speak is what this module is for")]

use std::io::IsTerminal as _;
use std::time::Duration;

/// A line of its own, set off from the output of programs.
pub(crate) fn headline(text: &str) {
    if is_colour_wanted() {
        println!("\n\u{1b}[1m== {text}\u{1b}[0m");
    } else {
        println!("\n== {text}");
    }
}

/// A question, whose answer is typed behind it.
pub(crate) fn ask(text: &str) {
    eprint!("{text} ");
}

/// A plain sentence, or a line of data.
pub(crate) fn say(text: &str) {
    println!("{text}");
}

/// What is going on, for the person who waits; standard output stays free for data.
pub(crate) fn progress(text: &str) {
    eprintln!("{text}");
}

/// A sentence about what went wrong.
pub(crate) fn complain(text: &str) {
    eprintln!("error: {text}");
}

/// Whether `NO_COLOR` (<https://no-color.org>) asks for plain text.
pub(crate) fn is_plain_text_asked_for() -> bool {
    std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
}

fn is_colour_wanted() -> bool {
    std::io::stdout().is_terminal() && !is_plain_text_asked_for()
}

/// A duration as people say it.
pub(crate) fn duration(time: Duration) -> String {
    let seconds = time.as_secs();
    if seconds < 60 {
        return format!("{:.1} s", time.as_secs_f64());
    }
    format!("{} min {:02} s", seconds / 60, seconds % 60)
}
