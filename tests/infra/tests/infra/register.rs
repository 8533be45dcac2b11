//! The table is the one that the register's code expects.

use rekindle_cmdb::table_shape;
use serde_json::{Value, json};

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

/// No item may: an intent or a lease that is gone would be a resource that nobody knows of, and a client token that is
/// gone a second run. All the reasons are in shared/cmdb/src/keys.rs, "Time to live".
#[test]
fn nothing_in_the_table_vanishes_by_itself() {
    let template = orchestrator();
    let properties = template.resource("Table").unwrap().properties().clone();
    assert!(properties.get("TimeToLiveSpecification").is_none(), "{properties}");
}

/// After a restore one parameter moves everything that names the table: what functions are told and may use.
#[test]
fn what_names_the_table_follows_the_restored_one() {
    let template = orchestrator();
    let told = &template.section("Globals")["Function"]["Environment"]["Variables"]["REKINDLE_TABLE"];
    let restored = json!({"Ref": "RestoredTableName"});
    assert_eq!(*told, json!({"Fn::If": ["UsesRestoredTable", restored, {"Ref": "Table"}]}));
    let own = json!({"Fn::Not": [{"Fn::Equals": [restored, ""]}]});
    assert_eq!(template.section("Conditions")["UsesRestoredTable"], own);
    assert_eq!(template.section("Parameters")["RestoredTableName"]["Default"], "");

    let mut named = 0;
    for role in template.of_type("AWS::IAM::Role") {
        for resource in resources_of_the_register(role.properties()) {
            let made = &resource["Fn::If"][2];
            let is_index = *made == json!({"Fn::Sub": "${Table.Arn}/index/open-items"});
            let is_table = *made == json!({"Fn::GetAtt": ["Table", "Arn"]});
            assert!(is_index || is_table, "{}: {resource} does not follow the parameter", role.id);
            let rest = if is_index { "/index/open-items" } else { "" };
            let arn =
                "arn:${AWS::Partition}:dynamodb:${AWS::Region}:${AWS::AccountId}:table/${RestoredTableName}";
            let branch = json!({"Fn::Sub": format!("{arn}{rest}")});
            assert_eq!(resource["Fn::If"][0], "UsesRestoredTable", "{}", role.id);
            assert_eq!(resource["Fn::If"][1], branch, "{}", role.id);
            named += 1;
        }
    }
    assert!(named > 30, "{named} resources were looked at");
}

/// The resources of every statement that allows an action of DynamoDB.
fn resources_of_the_register(role: &Value) -> Vec<Value> {
    let policies = role["Policies"].as_array().into_iter().flatten();
    let statements =
        policies.flat_map(|policy| policy["PolicyDocument"]["Statement"].as_array().into_iter().flatten());
    let of_dynamodb = statements.filter(|statement| statement["Action"].to_string().contains("dynamodb:"));
    of_dynamodb
        .flat_map(|statement| match &statement["Resource"] {
            Value::Array(resources) => resources.clone(),
            one => vec![one.clone()],
        })
        .collect()
}
