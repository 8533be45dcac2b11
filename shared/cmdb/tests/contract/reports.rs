use rekindle_cmdb::{Recorded, Register};
use rekindle_domain::RunId;
use rekindle_domain::report::StepRecord;

use crate::objects::{at, machine, recovery_plan, report, step};

pub async fn the_first_report_wins(register: Register) {
    let run = RunId::mint();
    assert_eq!(register.report(&run).await.unwrap(), None);
    let first = report(&run, "refreshed");
    assert_eq!(register.put_report(&first).await.unwrap(), Recorded::New);
    assert_eq!(register.put_report(&report(&run, "failed")).await.unwrap(), Recorded::Known);
    assert_eq!(register.report(&run).await.unwrap(), Some(first));
}

pub async fn a_report_longer_than_an_item_is_kept(register: Register) {
    let mut value = report(&RunId::mint(), "refreshed");
    value.steps = (0..5000).map(|number| step(&format!("étape-{number}"), number)).collect();
    assert!(serde_json::to_vec(&value).unwrap().len() > 600 * 1024);
    assert_eq!(register.put_report(&value).await.unwrap(), Recorded::New);
    assert_eq!(register.report(&value.run_id).await.unwrap(), Some(value));
}

pub async fn steps_are_kept_in_order_and_once(register: Register) {
    let run = RunId::mint();
    let mut on_machine = step("verify", 3);
    on_machine.machine = Some(machine());
    let begun = StepRecord { finished_at: None, ..step("destroy", 9) };
    for value in [step("verify", 3), on_machine, step("start", 1), begun.clone(), step("restore", 2)] {
        assert_eq!(register.record_step(&run, &value).await.unwrap(), Recorded::New);
        assert_eq!(register.record_step(&run, &value).await.unwrap(), Recorded::Known);
    }
    assert_eq!(register.record_step(&run, &step("destroy", 9)).await.unwrap(), Recorded::New);
    assert_eq!(register.record_step(&run, &begun).await.unwrap(), Recorded::Known);
    let steps = register.steps(&run).await.unwrap();
    let names: Vec<&str> = steps.iter().map(|step| step.name.as_str()).collect();
    assert_eq!(names, ["start", "restore", "verify", "verify", "destroy"]);
    assert_eq!(steps[4].finished_at, Some(at(10)));
}

pub async fn a_plan_reads_back_under_its_digest(register: Register) {
    for size in [1, 3000] {
        let value = recovery_plan(&RunId::mint(), size);
        let id = register.put_plan(&value).await.unwrap();
        assert_eq!(id, value.plan_id().unwrap());
        assert_eq!(register.put_plan(&value).await.unwrap(), id);
        assert_eq!(register.plan(&id).await.unwrap(), Some(value));
    }
    assert_eq!(register.plan(&crate::objects::revision("none")).await.unwrap(), None);
}
