use rekindle_cmdb::{Recorded, Register, RegisterError};
use rekindle_domain::service::Machine;
use rekindle_domain::{BackupId, Fence, MachineId, RefreshPlan, Seconds, Service, SetPosition};

use crate::objects::{at, image_id, machine, recovery_run, refresh_run, revision, service, service_key};

pub async fn the_first_plan_of_a_refresh_stays(register: Register) {
    let machine = machine();
    let run = refresh_run(&machine);
    let plan = RefreshPlan {
        run_id: run.run_id.clone(),
        machine,
        fence: Fence(1),
        parent_image_id: image_id("img-base"),
        from_base: true,
        sets: vec![BackupId::mint()],
        applied: None,
        target: SetPosition { incarnation: 1, sequence: 1 },
        update_configuration_to: None,
        revision: None,
        configuration_counter: 0,
        attempt_key: revision("work"),
        instance_types: vec!["m7g.large".to_owned()],
        zones: Vec::new(),
    };
    assert_eq!(register.refresh_plan(&run.run_id).await.unwrap(), None);
    assert_eq!(register.put_refresh_plan(&plan).await.unwrap(), Recorded::New);
    let other = RefreshPlan { sets: Vec::new(), ..plan.clone() };
    assert_eq!(register.put_refresh_plan(&other).await.unwrap(), Recorded::Known);
    assert_eq!(register.refresh_plan(&run.run_id).await.unwrap(), Some(plan));
}

pub async fn only_an_open_run_takes_a_plan(register: Register) {
    let run = register.open_run(&recovery_run()).await.unwrap().run_id;
    let bound = register.bind_plan(&run, &revision("one")).await.unwrap();
    assert_eq!(bound.plan_id, Some(revision("one")));
    assert_eq!(register.bind_plan(&run, &revision("two")).await.unwrap(), bound);
    let closed = register.open_run(&recovery_run()).await.unwrap().run_id;
    register.close_run(&closed, None, None, at(1)).await.unwrap();
    let error = register.bind_plan(&closed, &revision("one")).await.unwrap_err();
    assert!(matches!(error, RegisterError::WrongState { .. }), "{error:?}");
}

pub async fn the_newest_measurement_stays(register: Register) {
    let key = service_key();
    assert_eq!(register.measured_start(&key).await.unwrap(), None);
    for (measured, seconds) in [(90.0, 5), (75.5, 9), (300.0, 7), (400.0, 9)] {
        register.put_measured_start(&key, Seconds(measured), at(seconds)).await.unwrap();
    }
    assert_eq!(register.measured_start(&key).await.unwrap(), Some(Seconds(75.5)));
}

pub async fn a_customer_is_listed_once_with_all_machines(register: Register) {
    let key = service_key();
    assert_eq!(register.put_customer(&key.customer_id).await.unwrap(), Recorded::New);
    assert_eq!(register.put_customer(&key.customer_id).await.unwrap(), Recorded::Known);
    let listed = register.customers().await.unwrap();
    assert_eq!(listed.iter().filter(|customer| **customer == key.customer_id).count(), 1);
    let machine = |name: &str| Machine {
        machine_id: MachineId::parse(name).unwrap(),
        base_image: Some(image_id("img-base")),
        instance_types: Vec::new(),
        zones: Vec::new(),
    };
    let value = Service { machines: vec![machine("database"), machine("files")], ..service(key.clone()) };
    register.put_service(&value, None).await.unwrap();
    let machines = register.all_machines().await.unwrap();
    let of_service: Vec<String> = machines
        .iter()
        .filter(|machine| machine.service() == key)
        .map(|machine| machine.machine_id.to_string())
        .collect();
    assert_eq!(of_service, ["database", "files"]);
}
