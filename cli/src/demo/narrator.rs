//! Tells what happens, on standard error: chapters, steps with their time, facts.

use std::path::Path;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use console::Style;
use indicatif::{ProgressBar, ProgressStyle};

use super::outcome::DemoOutcome;

/// Where the narration goes. A terminal gets a spinner for what is under way; a file gets finished lines only.
pub struct Narrator {
    bar: ProgressBar,
    heading: Style,
    good: Style,
    bad: Style,
    faint: Style,
    current: Mutex<Option<(String, Instant)>>,
}

impl Narrator {
    /// To standard error. Colours follow `NO_COLOR` and `CLICOLOR`, and whether it is a terminal.
    pub fn to_standard_error() -> Self {
        let bar = ProgressBar::new_spinner();
        if let Ok(style) = ProgressStyle::with_template("  {spinner} {msg}  {elapsed}") {
            bar.set_style(style);
        }
        Self {
            bar,
            heading: Style::new().for_stderr().bold(),
            good: Style::new().for_stderr().green(),
            bad: Style::new().for_stderr().red(),
            faint: Style::new().for_stderr().dim(),
            current: Mutex::new(None),
        }
    }

    fn line(&self, text: &str) {
        if self.bar.is_hidden() {
            use std::io::Write as _;
            let _ = writeln!(std::io::stderr(), "{text}");
        } else {
            self.bar.println(text);
        }
    }

    /// A new chapter.
    pub fn chapter(&self, title: &str) {
        self.line(&format!("\n{}", self.heading.apply_to(title)));
    }

    /// Something is under way.
    pub fn begin(&self, what: &str) {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        *current = Some((what.to_owned(), Instant::now()));
        self.bar.reset_elapsed();
        self.bar.set_message(what.to_owned());
        self.bar.enable_steady_tick(Duration::from_millis(100));
    }

    /// What was under way is done.
    pub fn done(&self, detail: &str) {
        let current = self.current.lock().unwrap_or_else(PoisonError::into_inner).take();
        self.bar.disable_steady_tick();
        self.bar.set_message("");
        if let Some((what, since)) = current {
            self.step(&what, since.elapsed(), detail);
        }
    }

    /// A finished step with its time.
    pub fn step(&self, what: &str, took: Duration, detail: &str) {
        let seconds = format!("{:6.2} s", took.as_secs_f64());
        let detail =
            if detail.is_empty() { String::new() } else { format!("  {}", self.faint.apply_to(detail)) };
        self.line(&format!("  {} {what:<34} {seconds}{detail}", self.good.apply_to("✓")));
    }

    /// A step that failed.
    pub fn failed(&self, what: &str, took: Duration, error: &str) {
        let seconds = format!("{:6.2} s", took.as_secs_f64());
        self.line(&format!("  {} {what:<34} {seconds}  {error}", self.bad.apply_to("✗")));
    }

    /// A fact.
    pub fn fact(&self, name: &str, value: &str) {
        self.line(&format!("    {name:<34} {value}"));
    }

    /// A sentence.
    pub fn say(&self, sentence: &str) {
        self.line(&format!("  {sentence}"));
    }

    /// A person stopped the demo.
    pub fn interrupted(&self, leftovers: &[String], stays: Option<&Path>) {
        self.bar.finish_and_clear();
        self.line("\nInterrupted: every instance was destroyed.");
        match stays {
            None => self.say("The demo's folder was removed."),
            Some(folder) => {
                self.fact("what stays (reports, or all with --keep)", &folder.display().to_string())
            }
        }
        for leftover in leftovers {
            self.line(&format!("  {} left: {leftover}", self.bad.apply_to("✗")));
        }
    }

    /// The end.
    pub fn conclude(&self, outcome: &DemoOutcome) {
        self.chapter("What is left");
        if outcome.leftovers.is_empty() {
            self.say("nothing: no process, mount, network interface or instance folder");
        }
        for problem in outcome.problems() {
            self.line(&format!("  {} {problem}", self.bad.apply_to("✗")));
        }
        self.fact("report", &outcome.report.display().to_string());
        let verdict = if outcome.held() {
            self.good.apply_to("Everything held.").to_string()
        } else {
            self.bad.apply_to("Not everything held.").to_string()
        };
        self.line(&format!("\n{verdict}"));
        self.bar.finish_and_clear();
    }
}
