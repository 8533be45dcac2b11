//! The table is the one that the register's code expects.

use rekindle_cmdb::table_shape;

use crate::orchestrator;

#[test]
fn the_table_has_the_registers_keys_and_index() {
    let template = orchestrator();
    let table = template.resource("Table").unwrap();
    let properties = table.properties();
    let shape = serde_json::to_value(table_shape()).unwrap();
    for (name, expected) in shape.as_object().unwrap() {
        assert_eq!(properties[name], *expected, "{name}");
    }
}

#[test]
fn the_table_outlives_mistakes() {
    let template = orchestrator();
    let table = template.resource("Table").unwrap();
    let properties = table.properties();
    assert_eq!(properties["PointInTimeRecoverySpecification"]["PointInTimeRecoveryEnabled"], true);
    assert_eq!(properties["DeletionProtectionEnabled"], true);
    assert_eq!(properties["SSESpecification"]["SSEEnabled"], true);
    assert_eq!(table.body["DeletionPolicy"], "Retain");
}
