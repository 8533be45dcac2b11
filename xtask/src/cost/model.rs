//! What a month costs: a pure function of what is used.

use serde::Serialize;

use super::prices;

/// AWS counts a month as 730 hours.
const HOURS: f64 = 730.0;
/// Days in a month of that length.
pub(super) const DAYS: f64 = HOURS / 24.0;

/// The system that an image carries besides the data.
const SYSTEM_GB: f64 = 8.0;
/// Backups are stored in parts of this size.
const PART_GB: f64 = 16.0 / 1024.0;
/// Invocations of functions in one run.
const INVOCATIONS: f64 = 30.0;
/// What an invocation lasts, nearly always with a cold start.
const INVOCATION_SECONDS: f64 = 0.2;
/// What a function is given.
const FUNCTION_GB: f64 = 0.25;
/// Requests to the register in one run.
const TABLE_REQUESTS: f64 = 120.0;
/// What one run writes to the logs.
const RUN_LOG_GB: f64 = 0.000_7;
/// The sweep runs every minute, unless the template is told otherwise.
const SWEEPS: f64 = HOURS * 60.0;
/// What one sweep writes to the logs.
const SWEEP_LOG_GB: f64 = 0.000_001;
/// What one sweep reads in the register: a page of each part of its index, and the customers' list.
const SWEEP_READS: f64 = 4.0;
/// Each sweep reads what the control bucket says of the register; one in ten writes it.
const SWEEP_WRITES: f64 = 0.1;
/// Alarms of infra/template.yaml.
const ALARMS: f64 = 13.0;
/// Keys of infra/template.yaml and infra/customer-account.yaml: control, data, disks.
const KEYS: f64 = 3.0;
/// Records of runs, images and plans.
const TABLE_GB: f64 = 0.05;

/// What is used in one month.
#[derive(Debug, Clone)]
pub(super) struct Use {
    /// The data of the service.
    pub(super) data_gb: f64,
    /// What a backup holds, and what a refresh rewrites in the image.
    pub(super) changed_gb: f64,
    /// Compressed size by size.
    pub(super) compressed: f64,
    /// Refreshes, one for each backup.
    pub(super) refreshes: f64,
    /// Rehearsals.
    pub(super) rehearsals: f64,
    /// Images that are kept, and as many backups.
    pub(super) images: f64,
    /// The life of an instance.
    pub(super) minutes: f64,
    /// Its price.
    pub(super) instance_hour: f64,
    /// Of one run.
    pub(super) state_transitions: f64,
}

/// One line of the bill, in dollars.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Item {
    /// What is paid for.
    pub(super) name: &'static str,
    /// In a month as described.
    pub(super) month: f64,
    /// In a month without backups and rehearsals.
    pub(super) idle_month: f64,
}

/// The bill.
pub(super) fn items(usage: &Use) -> Vec<Item> {
    [of_runs(usage), of_storage(usage), standing()].concat()
}

/// Both columns added up.
pub(super) fn totals(items: &[Item]) -> (f64, f64) {
    (items.iter().map(|item| item.month).sum(), items.iter().map(|item| item.idle_month).sum())
}

/// What a month adds to the next one, while nothing of what it makes is taken away.
pub(super) fn growth(usage: &Use) -> f64 {
    let more = Use { images: usage.images + usage.refreshes, ..usage.clone() };
    totals(&of_storage(&more)).0 - totals(&of_storage(usage)).0
}

/// What is paid only when something happens.
fn of_runs(usage: &Use) -> Vec<Item> {
    let runs = usage.refreshes + usage.rehearsals;
    let hours = runs * usage.minutes / 60.0;
    let invocation = INVOCATION_SECONDS * FUNCTION_GB * prices::LAMBDA_GB_SECOND + prices::LAMBDA_REQUEST;
    let parts = usage.changed_gb * usage.compressed / PART_GB;
    let item = |name, month| Item { name, month, idle_month: 0.0 };
    vec![
        item("instances (EC2)", hours * usage.instance_hour),
        item("public addresses", hours * prices::IPV4_HOUR),
        item("volumes of instances (EBS)", hours * (usage.data_gb + SYSTEM_GB) * prices::VOLUME_GB / HOURS),
        item("state transitions (Step Functions)", runs * usage.state_transitions * prices::STATE_TRANSITION),
        item("functions (Lambda)", runs * INVOCATIONS * invocation),
        item("requests to the register (DynamoDB)", runs * TABLE_REQUESTS * prices::TABLE_REQUEST),
        item(
            "requests to the store (S3)",
            usage.refreshes * parts * (prices::OBJECT_PUT + prices::OBJECT_GET),
        ),
        item("logs of runs (CloudWatch)", runs * RUN_LOG_GB * prices::LOG_GB),
    ]
}

/// What is paid as long as something is kept.
fn of_storage(usage: &Use) -> Vec<Item> {
    let kept_gb = usage.data_gb + (usage.images - 1.0) * usage.changed_gb;
    let item = |name, month| Item { name, month, idle_month: month };
    vec![
        item("snapshots of images (EBS)", kept_gb * prices::SNAPSHOT_GB),
        item("backups (S3)", kept_gb * usage.compressed * prices::OBJECT_GB),
    ]
}

/// What a deployment costs that does nothing.
fn standing() -> Vec<Item> {
    let invocation = INVOCATION_SECONDS * FUNCTION_GB * prices::LAMBDA_GB_SECOND + prices::LAMBDA_REQUEST;
    let item = |name, month| Item { name, month, idle_month: month };
    vec![
        item("keys (KMS)", KEYS * prices::KEY),
        item("the sweep (Lambda, Scheduler)", SWEEPS * (invocation + prices::SCHEDULE)),
        item(
            "logs of the sweep (CloudWatch)",
            SWEEPS * SWEEP_LOG_GB * (prices::LOG_GB + prices::LOG_KEPT_GB),
        ),
        item(
            "requests by the sweep (DynamoDB, S3)",
            SWEEPS
                * (SWEEP_READS * prices::TABLE_READ + prices::OBJECT_GET + SWEEP_WRITES * prices::OBJECT_PUT),
        ),
        item("listings by the sweep (S3), with one machine", SWEEPS * prices::OBJECT_PUT),
        item("alarms (CloudWatch)", ALARMS * prices::ALARM),
        item("the register's storage (DynamoDB)", TABLE_GB * prices::TABLE_GB),
    ]
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may fail loudly")]
    use super::*;

    const T3_MEDIUM: f64 = 0.0416;
    const M5_LARGE: f64 = 0.096;

    fn daily() -> Use {
        Use {
            data_gb: 50.0,
            changed_gb: 2.5,
            compressed: 0.4,
            refreshes: DAYS,
            rehearsals: 1.0,
            images: 7.0,
            minutes: 12.0,
            instance_hour: T3_MEDIUM,
            state_transitions: 30.0,
        }
    }

    fn hourly() -> Use {
        Use { changed_gb: 0.25, refreshes: HOURS, images: 24.0, minutes: 8.0, ..daily() }
    }

    fn rewritten(usage: Use, images: f64) -> Use {
        Use { changed_gb: 50.0, images, minutes: 25.0, instance_hour: M5_LARGE, ..usage }
    }

    /// Without what a deployment costs that does nothing, as the study counts.
    fn cost(usage: &Use) -> f64 {
        totals(&[of_runs(usage), of_storage(usage)].concat()).0
    }

    #[test]
    fn the_model_tells_what_the_study_found() {
        let rows = [
            (4.23, daily()),
            (4.56, Use { instance_hour: M5_LARGE, ..daily() }),
            (22.36, rewritten(daily(), 7.0)),
            (7.56, rewritten(daily(), 2.0)),
            (9.35, hourly()),
            (14.66, Use { instance_hour: M5_LARGE, ..hourly() }),
            (47.63, rewritten(hourly(), 3.0)),
        ];
        for (found, usage) in rows {
            let told = cost(&usage);
            assert!((told - found).abs() < 0.006 * found, "{told:.3} instead of {found}: {usage:?}");
        }
    }

    /// Whoever reads the page decides by its figures.
    #[test]
    fn the_page_tells_what_the_model_tells() {
        let page = crate::repository::Repository::find().unwrap().top().join("README.md");
        let page = std::fs::read_to_string(page).unwrap();
        let rows = [(daily(), hourly()), (rewritten(daily(), 7.0), rewritten(hourly(), 3.0))];
        for (daily, hourly) in rows {
            let row = format!("| {:.2} | {:.2} |", cost(&daily), cost(&hourly));
            assert!(page.contains(&row), "README.md has no {row}");
        }
        let standing = standing();
        let cents = |name: &str| {
            let named: Vec<&Item> = standing.iter().filter(|item| item.name.contains(name)).collect();
            named.iter().map(|item| item.month).sum::<f64>()
        };
        for (name, words) in
            [("keys", "three KMS keys"), ("alarms", "thirteen alarms"), ("the sweep", "the sweep")]
        {
            let row = page.lines().find(|line| line.starts_with(&format!("| {words}"))).unwrap_or_default();
            assert!(row.ends_with(&format!("| {:.2} |", cents(name))), "{name}: {:.2}: {row}", cents(name));
        }
        let together = format!("| **together** | **{:.2}** |", totals(&standing).0);
        assert!(page.contains(&together), "README.md has no {together}");
    }

    #[test]
    fn a_month_adds_what_its_refreshes_make() {
        let each = 2.5 * (prices::SNAPSHOT_GB + 0.4 * prices::OBJECT_GB);
        assert!((growth(&daily()) - DAYS * each).abs() < 1e-9);
    }

    #[test]
    fn an_idle_month_pays_for_what_is_kept_and_for_nothing_else() {
        let (month, idle) = totals(&items(&daily()));
        let nothing_happens = Use { refreshes: 0.0, rehearsals: 0.0, ..daily() };
        let (quiet, quiet_idle) = totals(&items(&nothing_happens));
        assert!(idle < month && (quiet - idle).abs() < 1e-9 && (quiet_idle - idle).abs() < 1e-9);
    }

    #[test]
    fn state_transitions_are_paid_by_the_piece() {
        let more = Use { state_transitions: 60.0, ..daily() };
        let each = (DAYS + 1.0) * 30.0 * prices::STATE_TRANSITION;
        assert!((cost(&more) - cost(&daily()) - each).abs() < 1e-9);
    }
}
