//! `cargo xtask live`: asks a real account what no emulator tells, and takes away what it made for that.
//!
//! Each check is one line of the table in docs/OPERATIONS.md. Emulators are asked too where they tell the truth, so that
//! the checks themselves are tried before anybody pays for them.

mod checks;
mod traces;

use clap::Args;

use crate::aws::Aws;
use crate::confirmation;
use crate::emulators::{Emulators, Wishes};
use crate::error::TaskError;
use crate::interruption::Interruption;
use crate::remnant::{self, Remnant};
use crate::repository::Repository;
use crate::speech;
use checks::{CHECKS, Check, Verdict};
use traces::Traces;

const EXAMPLES: &str = "\
Examples:
  cargo xtask live --list                         the checks, and what each costs
  cargo xtask live --check client-token           one check, in the account of the `aws` command
  cargo xtask live --all --stack rekindle         all of them, those of a stack included
  cargo xtask live --sweep                        take away what an earlier run may have left
  cargo xtask live --all --emulators              those that emulators can answer, for nothing

Account and region are those of the `aws` command. What is made carries the tag rekindle:live, and is
taken away at the end, on failure and on Ctrl-C. After a second Ctrl-C, or when this machine goes
down, `--sweep` does it. Keys are gone after seven days.

Exit codes:
  0    everything that was asked holds, or is not answered here
  1    something does not hold, could not be asked, was not agreed to, or may be left: the error names it
  130  interrupted before anything was found that does not hold; what was made is taken away
  any other code is that of the `aws` command";

/// What is asked, and of whom.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES, arg_required_else_help = true)]
pub(crate) struct Arguments {
    /// One check; may be given more than once.
    #[arg(long = "check", value_name = "NAME", value_parser = checks::parser())]
    checks: Vec<String>,
    /// Every check.
    #[arg(long, conflicts_with = "checks")]
    all: bool,
    /// Say what the checks are, and ask nothing.
    #[arg(long, conflicts_with_all = ["checks", "all", "sweep"])]
    list: bool,
    /// Take away everything that any run has left in this account and region.
    #[arg(long, conflicts_with_all = ["checks", "all"])]
    sweep: bool,
    /// The customer's stack, for the checks of its roles.
    #[arg(long, value_name = "NAME")]
    stack: Option<String>,
    /// Ask emulators on this machine.
    #[arg(long)]
    emulators: bool,
    /// Do not ask before something is made, or taken away.
    #[arg(long)]
    yes: bool,
}

/// `cargo xtask live`.
pub(crate) fn run(repository: &Repository, arguments: &Arguments) -> Result<(), TaskError> {
    if arguments.list {
        CHECKS.iter().for_each(|check| speech::say(&line(check)));
        return Ok(());
    }
    if arguments.emulators {
        let emulators = Emulators::start(repository, Wishes::default())?;
        let aws = Aws::of_emulators(repository, &emulators);
        return dispatch(&aws, arguments);
    }
    dispatch(&Aws::of_the_caller(repository)?, arguments)
}

/// As a part of `cargo xtask e2e-aws`.
pub(crate) fn on_emulators(repository: &Repository, emulators: &Emulators) -> Result<(), TaskError> {
    let aws = Aws::of_emulators(repository, emulators);
    ask_all(&aws, &CHECKS.iter().collect::<Vec<_>>(), None)
}

fn dispatch(aws: &Aws<'_>, arguments: &Arguments) -> Result<(), TaskError> {
    let place = format!("account {}, {}", aws.account()?, aws.region()?);
    if arguments.sweep {
        return sweep(aws, &place, arguments.yes);
    }
    let chosen = chosen(arguments)?;
    refuse_without_stack(&chosen, arguments.stack.as_deref(), aws.is_emulated())?;
    speech::progress(&plan(&chosen, &place));
    confirmation::obtain("Are these to be made and asked?", arguments.yes || aws.is_emulated(), "made")?;
    ask_all(aws, &chosen, arguments.stack.as_deref())
}

/// Before anything is paid for.
fn refuse_without_stack(chosen: &[&Check], stack: Option<&str>, is_emulated: bool) -> Result<(), TaskError> {
    let is_asked = |check: &&&Check| check.needs_stack && (check.emulators_answer || !is_emulated);
    match chosen.iter().find(is_asked) {
        Some(check) if stack.is_none() => Err(TaskError::Missing(format!(
            "the check {} asks about a stack: give --stack NAME, or choose other checks with --check",
            check.name
        ))),
        _ => Ok(()),
    }
}

fn chosen(arguments: &Arguments) -> Result<Vec<&'static Check>, TaskError> {
    let is_wanted = |check: &&Check| arguments.all || arguments.checks.iter().any(|name| name == check.name);
    let chosen: Vec<&Check> = CHECKS.iter().filter(is_wanted).collect();
    if chosen.is_empty() {
        return Err(TaskError::Missing(
            "nothing was chosen: give --check NAME, --all, --list or --sweep".to_owned(),
        ));
    }
    Ok(chosen)
}

fn line(check: &Check) -> String {
    format!("{:<18} {:<66} {:.2} $", check.name, check.claim, f64::from(check.cents) / 100.0)
}

fn plan(chosen: &[&Check], place: &str) -> String {
    let cents: u32 = chosen.iter().map(|check| check.cents).sum();
    let mut lines = vec![format!("In {place}:")];
    lines.extend(chosen.iter().map(|check| format!("  {}", line(check))));
    lines.push(format!(
        "Together at most {:.2} $. What is made is taken away at the end.",
        f64::from(cents) / 100.0
    ));
    lines.join("\n")
}

fn sweep(aws: &Aws<'_>, place: &str, is_yes_given: bool) -> Result<(), TaskError> {
    let question = format!("Is everything with the tag rekindle:live in {place} to be taken away?");
    confirmation::obtain(&question, is_yes_given || aws.is_emulated(), "taken away")?;
    let left = Traces::of_every_run(aws).remove();
    remnant::told(Ok(()), &left, |()| "not everything with the tag rekindle:live went".to_owned())?;
    speech::progress("Nothing with the tag rekindle:live is left.");
    Ok(())
}

/// Asks one after the other, and takes away what was made, however that went.
fn ask_all(aws: &Aws<'_>, chosen: &[&Check], stack: Option<&str>) -> Result<(), TaskError> {
    let interruption = Interruption::watch()?;
    let traces = Traces::of_new_run(aws)?;
    let failed = ask_each(chosen, &traces, stack, &interruption);
    let left = traces.remove();
    if !left.is_empty() {
        speech::progress("`cargo xtask live --sweep` tries again to take away what is left.");
    }
    ended(&failed, &left, interruption.has_come())
}

/// The names of checks that do not hold, or could not be asked.
fn ask_each<'c>(
    chosen: &[&'c Check],
    traces: &Traces<'_>,
    stack: Option<&str>,
    interruption: &Interruption,
) -> Vec<&'c str> {
    let mut failed = Vec::new();
    for check in chosen {
        let Ok(verdict) = ask(check, traces, stack, interruption) else { break };
        speech::say(&format!("{:<18} {}", check.name, verdict.words()));
        if verdict.is_bad() {
            failed.push(check.name);
        }
    }
    failed
}

/// Whoever interrupts learns all the same what was found before, and what is left.
fn ended(failed: &[&str], left: &[Remnant], is_interrupted: bool) -> Result<(), TaskError> {
    let outcome = match (failed, is_interrupted) {
        ([], false) => Ok(()),
        ([], true) => Err(TaskError::Interrupted),
        _ => Err(TaskError::CheckFailed(format!(
            "does not hold, or could not be asked: {}",
            failed.join(", ")
        ))),
    };
    remnant::told(outcome, left, |()| "everything that was asked holds".to_owned())
}

/// An error only when somebody asked for the end.
fn ask(
    check: &Check,
    traces: &Traces<'_>,
    stack: Option<&str>,
    interruption: &Interruption,
) -> Result<Verdict, TaskError> {
    interruption.check()?;
    if traces.aws().is_emulated() && !check.emulators_answer {
        return Ok(Verdict::NotAnsweredHere("the emulators do not tell the truth about it"));
    }
    let setting = checks::Setting { traces, stack, interruption };
    match (check.ask)(&setting) {
        Err(TaskError::Interrupted) => Err(TaskError::Interrupted),
        Err(error) => Ok(Verdict::CouldNotBeAsked(error.to_string())),
        Ok(verdict) => Ok(verdict),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may fail loudly")]
    use super::*;
    use crate::aws::tests::Played;
    use crate::command_line;
    use serde_json::Value;

    fn parsed(words: &[&str]) -> Result<Arguments, clap::Error> {
        command_line::tests::parsed(&[&["live"], words].concat())
    }

    #[test]
    fn every_check_is_named_once_and_in_the_table_of_operations() {
        let table = Repository::find().unwrap().top().join("docs/OPERATIONS.md");
        let table = std::fs::read_to_string(table).unwrap();
        let mut names: Vec<&str> = CHECKS.iter().map(|check| check.name).collect();
        for name in &names {
            assert!(table.contains(&format!("--check {name}`")), "{name} is not in docs/OPERATIONS.md");
        }
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), CHECKS.len());
    }

    /// Whoever deploys this first has to be able to look.
    #[test]
    fn everything_that_was_not_seen_has_a_command_that_shows_it() {
        let operations = Repository::find().unwrap().top().join("docs/OPERATIONS.md");
        let operations = std::fs::read_to_string(operations).unwrap();
        let table = operations.split("## Not seen on real AWS yet").nth(1).unwrap();
        let rows: Vec<&str> = table.lines().filter(|line| line.starts_with("| ")).skip(1).collect();
        assert!(rows.len() > 30, "{} rows", rows.len());
        for row in rows {
            let last = row.trim_end_matches(" |").rsplit(" | ").next().unwrap();
            assert!(last.contains('`'), "no command shows this: {row}");
        }
    }

    #[test]
    fn what_it_costs_is_said_before_anything_is_made() {
        let said = plan(&CHECKS.iter().collect::<Vec<_>>(), "account 123456789012, eu-west-1");
        let cents: u32 = CHECKS.iter().map(|check| check.cents).sum();
        assert!(cents > 0 && said.contains(&format!("at most {:.2} $", f64::from(cents) / 100.0)), "{said}");
        assert!(said.contains("account 123456789012"), "{said}");
    }

    #[test]
    fn somebody_has_to_choose() {
        assert!(chosen(&parsed(&["--stack", "rekindle"]).unwrap()).is_err());
        assert_eq!(chosen(&parsed(&["--all"]).unwrap()).unwrap().len(), CHECKS.len());
        assert_eq!(chosen(&parsed(&["--check", "client-token"]).unwrap()).unwrap()[0].name, "client-token");
        assert!(parsed(&["--check", "nonsense"]).is_err());
        assert!(parsed(&["--sweep", "--all"]).is_err());
    }

    #[test]
    fn a_check_of_a_stack_is_refused_before_anybody_is_asked() {
        let all = chosen(&parsed(&["--all"]).unwrap()).unwrap();
        let error = refuse_without_stack(&all, None, false).unwrap_err();
        assert!(error.to_string().contains("instance-role"), "{error}");
        assert!(refuse_without_stack(&all, Some("rekindle"), false).is_ok());
        assert!(refuse_without_stack(&all, None, true).is_ok());
        let other = chosen(&parsed(&["--check", "client-token"]).unwrap()).unwrap();
        assert!(refuse_without_stack(&other, None, false).is_ok());
    }

    #[test]
    fn an_interruption_hides_neither_what_does_not_hold_nor_what_is_left() {
        let left = [Remnant {
            what: "the volume vol-1".to_owned(),
            why: "VolumeInUse".to_owned(),
            command: "aws ec2 delete-volume --volume-id vol-1".to_owned(),
        }];
        assert!(ended(&[], &[], false).is_ok());
        assert!(matches!(ended(&[], &[], true), Err(TaskError::Interrupted)));
        assert!(matches!(ended(&["power-off"], &[], true), Err(TaskError::CheckFailed(_))));
        for is_interrupted in [false, true] {
            let told = ended(&["power-off"], &left, is_interrupted).unwrap_err().to_string();
            assert!(told.contains("power-off") && told.contains("delete-volume --volume-id vol-1"), "{told}");
            assert!(matches!(ended(&[], &left, is_interrupted), Err(TaskError::Leftovers { .. })));
        }
    }

    /// Alone in its process under nextest: whoever runs beside it would be interrupted too.
    #[test]
    fn whoever_interrupts_a_check_still_has_it_taken_away() {
        let repository = Repository::find().unwrap();
        let played = Played::answering(
            r#"*describe-availability-zones*) kill -INT $PPID; echo '{"AvailabilityZones":[{"ZoneName":"a"}]}' ;;
            *describe-volumes*) echo '["vol-1"]' ;;
            *delete-volume*) refuse VolumeInUse ;;"#,
        );
        let aws = played.aws(&repository);
        let check: Vec<&Check> = CHECKS.iter().filter(|check| check.name == "delete-twice").collect();
        let error = ask_all(&aws, &check, None).unwrap_err();
        assert!(matches!(error, TaskError::Leftovers { .. }), "{error}");
        assert!(error.to_string().contains("interrupted") && error.to_string().contains("vol-1"), "{error}");
        assert_eq!(played.times("ec2 create-volume"), 0);
    }

    #[test]
    #[ignore = "needs the emulators"]
    fn what_a_killed_run_has_left_is_swept() {
        let repository = Repository::find().unwrap();
        let aws = Aws::of_the_caller(&repository).unwrap();
        let traces = Traces::of_new_run(&aws).unwrap();
        let interruption = Interruption::watch().unwrap();
        for check in CHECKS.iter().filter(|check| check.emulators_answer) {
            assert_eq!(ask(check, &traces, None, &interruption).unwrap(), Verdict::Holds, "{}", check.name);
        }
        checks::Setting { traces: &traces, stack: None, interruption: &interruption }.snapshot().unwrap();
        make_an_image(&traces);
        let own = format!("Name=tag:rekindle:live,Values={}", traces.run());
        let left = |question: &[&str]| {
            let found = aws.ask(&[&["ec2"], question, &["--filters", &own]].concat()).unwrap();
            found.as_array().unwrap().len()
        };
        let all = || {
            [
                left(&["describe-volumes", "--query", "Volumes[?State=='available'].VolumeId"]),
                left(&["describe-snapshots", "--query", "Snapshots[].SnapshotId"]),
                left(&["describe-images", "--query", "Images[].ImageId"]),
                left(&[
                    "describe-instances",
                    "--query",
                    "Reservations[].Instances[?State.Name=='running'][]",
                ]),
            ]
        };
        let has_key = || {
            let keys = aws.ask(&["kms", "list-keys", "--query", "Keys[].KeyId"]).unwrap();
            let of =
                |verb: &str, key: &Value| aws.ask(&["kms", verb, "--key-id", key.as_str().unwrap()]).unwrap();
            keys.as_array().unwrap().iter().any(|key| {
                of("list-resource-tags", key).to_string().contains(traces.run())
                    && of("describe-key", key)["KeyMetadata"]["KeyState"] == "Enabled"
            })
        };
        assert!(all().iter().all(|number| *number > 0) && has_key(), "{:?}", all());
        assert_eq!(Traces::of_every_run(&aws).remove(), []);
        assert_eq!((all(), has_key()), ([0; 4], false));
    }

    fn make_an_image(traces: &Traces<'_>) {
        let aws = traces.aws();
        let system = aws.ask(&["ec2", "describe-images", "--query", "Images[0].ImageId"]).unwrap();
        let tags = traces.tagging(&["instance"]);
        let start = ["ec2", "run-instances", "--instance-type", "t3.nano", "--tag-specifications", &tags];
        let started = aws.ask(&[&start[..], &["--image-id", system.as_str().unwrap()]].concat()).unwrap();
        let instance = started["Instances"][0]["InstanceId"].as_str().unwrap();
        let tags = traces.tagging(&["image"]);
        let create = ["ec2", "create-image", "--instance-id", instance, "--name", traces.run()];
        aws.ask(&[&create[..], &["--tag-specifications", &tags]].concat()).unwrap();
    }
}
