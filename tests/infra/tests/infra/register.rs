//! The table is the one that the register's code expects.

use rekindle_cmdb::keys::{OPEN_ITEMS, OPEN_KIND, OPEN_SINCE, PARTITION, SORT};
use serde_json::json;

use crate::orchestrator;

#[test]
fn the_table_has_the_registers_keys_and_index() {
    let template = orchestrator();
    let table = template.resource("Table").unwrap();
    let properties = table.properties();
    let text = |name: &str| json!({"AttributeName": name, "AttributeType": "S"});
    let attributes = json!([text(PARTITION), text(SORT), text(OPEN_KIND), text(OPEN_SINCE)]);
    assert_eq!(properties["AttributeDefinitions"], attributes);
    assert_eq!(properties["KeySchema"], schema(PARTITION, SORT));
    let index = json!([{
        "IndexName": OPEN_ITEMS,
        "KeySchema": schema(OPEN_KIND, OPEN_SINCE),
        "Projection": {"ProjectionType": "ALL"},
    }]);
    assert_eq!(properties["GlobalSecondaryIndexes"], index);
}

#[test]
fn the_table_outlives_mistakes() {
    let template = orchestrator();
    let table = template.resource("Table").unwrap();
    let properties = table.properties();
    assert_eq!(properties["PointInTimeRecoverySpecification"]["PointInTimeRecoveryEnabled"], true);
    assert_eq!(properties["DeletionProtectionEnabled"], true);
    assert_eq!(properties["SSESpecification"]["SSEEnabled"], true);
    assert_eq!(properties["BillingMode"], "PAY_PER_REQUEST");
    assert_eq!(table.body["DeletionPolicy"], "Retain");
}

fn schema(hash: &str, range: &str) -> serde_json::Value {
    json!([{"AttributeName": hash, "KeyType": "HASH"}, {"AttributeName": range, "KeyType": "RANGE"}])
}
