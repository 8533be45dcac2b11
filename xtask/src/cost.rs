//! `cargo xtask cost`: what one service costs a month on AWS, item by item.

mod model;
mod prices;

use clap::Args;

use crate::error::TaskError;
use crate::speech;
use model::Use;

const EXAMPLES: &str = "\
Examples:
  cargo xtask cost --data-gb 50 --backups-per-day 1
  cargo xtask cost --data-gb 50 --backups-per-day 24 --images 24 --change-percent 0.5 --minutes 8
  cargo xtask cost --data-gb 500 --backups-per-day 1 --instance-type m5.large --json

Prices are those of us-east-1 on demand, without free tiers. Not in it: data transfer to other
regions, NAT gateways and interface endpoints, which none of this needs.

The month is one in which --images images and as many backups are kept. Nothing deletes images yet,
and backups are kept for ever unless the stack's DataRetentionDays says otherwise: so their number
grows with each refresh, and the month with it. By how much is printed at the end.

Exit codes:
  0    the cost is printed
  1    the price of the instance type is not known: give --instance-price";

/// What is used.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// The data of the service, in GB.
    #[arg(long, value_name = "GB", value_parser = amount)]
    data_gb: f64,
    /// Each backup wakes a refresh.
    #[arg(long, value_name = "N", value_parser = amount)]
    backups_per_day: f64,
    /// Images that are there in the month, and as many backups. Their number grows: see below.
    #[arg(long, value_name = "N", default_value_t = 7)]
    images: u32,
    /// How much of the data changes, and is rewritten, from one backup to the next.
    #[arg(long, value_name = "PERCENT", default_value_t = 5.0, value_parser = amount)]
    change_percent: f64,
    /// Recoveries that are rehearsed.
    #[arg(long, value_name = "N", default_value_t = 4.0, value_parser = amount)]
    rehearsals_per_month: f64,
    /// What builders and replicas run on.
    #[arg(long, value_name = "TYPE", default_value = "t3.medium")]
    instance_type: String,
    /// Its price an hour in dollars, when this program does not know it.
    #[arg(long, value_name = "DOLLARS", value_parser = amount)]
    instance_price: Option<f64>,
    /// How long an instance lives in one refresh or rehearsal.
    #[arg(long, value_name = "MINUTES", default_value_t = 12.0, value_parser = amount)]
    minutes: f64,
    /// State transitions in one refresh besides its polls.
    #[arg(long, value_name = "N", default_value_t = 30)]
    state_transitions: u32,
    /// How much of its size data has once it is compressed.
    #[arg(long, value_name = "PERCENT", default_value_t = 40.0, value_parser = amount)]
    compressed_percent: f64,
    /// Print the items as JSON.
    #[arg(long)]
    json: bool,
}

/// An amount is a number that can be counted with, and not below nothing.
fn amount(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(number) if number.is_finite() && number >= 0.0 => Ok(number),
        _ => Err("not an amount".to_owned()),
    }
}

/// `cargo xtask cost`.
pub(crate) fn run(arguments: &Arguments) -> Result<(), TaskError> {
    let usage = in_a_month(arguments)?;
    speech::say(&if arguments.json { json(&usage) } else { table(&usage) });
    Ok(())
}

fn in_a_month(arguments: &Arguments) -> Result<Use, TaskError> {
    let instance_hour = arguments.instance_price.or_else(|| prices::instance_hour(&arguments.instance_type));
    let instance_hour = instance_hour.ok_or_else(|| {
        TaskError::Missing(format!(
            "the price of {} is not known: give it with --instance-price",
            arguments.instance_type
        ))
    })?;
    Ok(Use {
        data_gb: arguments.data_gb,
        changed_gb: arguments.data_gb * arguments.change_percent / 100.0,
        compressed: arguments.compressed_percent / 100.0,
        refreshes: arguments.backups_per_day * model::DAYS,
        rehearsals: arguments.rehearsals_per_month,
        images: f64::from(arguments.images.max(1)),
        minutes: arguments.minutes,
        instance_hour,
        state_transitions: f64::from(arguments.state_transitions),
    })
}

fn json(usage: &Use) -> String {
    let items = model::items(usage);
    let (month, idle) = model::totals(&items);
    let growth = model::growth(usage);
    serde_json::json!({
        "currency": "USD",
        "items": items,
        "month": month,
        "idle_month": idle,
        "more_each_month": growth,
    })
    .to_string()
}

fn table(usage: &Use) -> String {
    let items = model::items(usage);
    let mut lines = vec![format!("{:<52} {:>12} {:>12}", "dollars", "month", "idle month")];
    for item in &items {
        lines.push(format!("{:<52} {:>12.4} {:>12.4}", item.name, item.month, item.idle_month));
    }
    let (month, idle) = model::totals(&items);
    lines.push(format!("{:<52} {month:>12.2} {idle:>12.2}", "together"));
    lines.push(
        "An idle month has no backup and no rehearsal; what is kept is paid for all the same.".to_owned(),
    );
    lines.push(growing(usage));
    lines.join("\n")
}

/// A month says nothing of the next one as long as nothing is taken away.
fn growing(usage: &Use) -> String {
    format!(
        "This is a month with {} images and as many backups. Nothing deletes images yet, and backups are kept for ever by\n\
         default: each month like it adds {:.0} of both, and {:.2} $ to the next one, until you deregister images and set\n\
         DataRetentionDays.",
        usage.images,
        usage.refreshes,
        model::growth(usage)
    )
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may fail loudly")]
    use super::*;
    use crate::command_line::tests::parsed;

    fn usage(words: &[&str]) -> Use {
        in_a_month(&parsed(&[&["cost", "--data-gb", "50"], words].concat()).unwrap()).unwrap()
    }

    #[test]
    fn whoever_reads_the_month_learns_that_it_grows() {
        let daily = usage(&["--backups-per-day", "1"]);
        let said = table(&daily);
        assert!(said.contains("a month with 7 images") && said.contains("adds 30 of both"), "{said}");
        assert!(said.contains(&format!("{:.2} $ to the next one", model::growth(&daily))), "{said}");
        let told: serde_json::Value = serde_json::from_str(&json(&daily)).unwrap();
        assert!(told["more_each_month"].as_f64().unwrap() > 0.0, "{told}");
        assert!(table(&usage(&["--backups-per-day", "0"])).contains("0.00 $ to the next one"));
    }
}
