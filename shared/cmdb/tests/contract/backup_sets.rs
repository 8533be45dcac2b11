use rekindle_cmdb::{Recorded, RefusedDescription, Register, SetRecord, SetStatus};
use rekindle_domain::BackupId;

use crate::objects::{accepted, at, backup_set, machine};

pub async fn a_set_is_recorded_once_and_its_first_status_stays(register: Register) {
    let machine = machine();
    let record = accepted(backup_set(&machine, 1, 1));
    let id = record.set.backup_id.clone();
    assert_eq!(register.record_set(&record).await.unwrap(), Recorded::New);
    assert_eq!(register.record_set(&record).await.unwrap(), Recorded::Known);
    let other = SetRecord { status: SetStatus::Refused { cause: "late".to_owned() }, ..record.clone() };
    assert_eq!(register.record_set(&other).await.unwrap(), Recorded::Known);
    assert_eq!(register.set(&machine, &id).await.unwrap(), Some(record));
    assert_eq!(register.set(&machine, &BackupId::mint()).await.unwrap(), None);
}

pub async fn sets_come_in_the_order_of_history(register: Register) {
    let machine = machine();
    for (incarnation, sequence) in [(2, 1), (1, 10), (1, 9)] {
        let record = accepted(backup_set(&machine, incarnation, sequence));
        register.record_set(&record).await.unwrap();
    }
    let sets = register.sets(&machine).await.unwrap();
    let positions: Vec<String> = sets.iter().map(|record| record.set.position.to_string()).collect();
    assert_eq!(positions, ["1.9", "1.10", "2.1"]);
}

pub async fn a_description_longer_than_an_item_is_kept(register: Register) {
    let machine = machine();
    let mut record = accepted(backup_set(&machine, 1, 1));
    let object = record.set.data_stores[0].objects[0].clone();
    record.set.data_stores[0].objects =
        (0..5000).map(|order| rekindle_domain::SetObject { order, ..object.clone() }).collect();
    assert!(serde_json::to_vec(&record.set).unwrap().len() > 1024 * 1024);
    assert_eq!(register.record_set(&record).await.unwrap(), Recorded::New);
    assert_eq!(register.record_set(&record).await.unwrap(), Recorded::Known);
    assert_eq!(register.sets(&machine).await.unwrap(), vec![record]);
}

pub async fn a_refused_description_is_recorded_once(register: Register) {
    let machine = machine();
    let refused = RefusedDescription {
        machine: machine.clone(),
        backup_id: BackupId::mint(),
        error: "Agent.SetRefused".to_owned(),
        cause: "it is not JSON".to_owned(),
        at: at(1),
    };
    assert_eq!(register.record_refused_description(&refused).await.unwrap(), Recorded::New);
    assert_eq!(register.record_refused_description(&refused).await.unwrap(), Recorded::Known);
    assert_eq!(register.refused_descriptions(&machine).await.unwrap(), vec![refused]);
    assert!(register.sets(&machine).await.unwrap().is_empty());
}
