//! The table as it has to be made: its key, its index, and the attributes that they are made of.
//!
//! On AWS the template makes it, and [`Register::ensure_table`](crate::Register::ensure_table) is for the embedded
//! register and for tests. Both follow this description: as JSON it has the words of the properties of CloudFormation's
//! `AWS::DynamoDB::Table`, so that a test can hold the template against it.

use serde::Serialize;

use crate::keys::{OPEN_ITEMS, OPEN_KIND, OPEN_SINCE, PARTITION, SORT};

/// The properties of the table without which the register does not work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct TableShape {
    /// How requests are paid for.
    pub billing_mode: &'static str,
    /// The attributes that keys are made of, and nothing else: DynamoDB takes no others.
    pub attribute_definitions: Vec<KeyAttribute>,
    /// The table's key.
    pub key_schema: Vec<KeyElement>,
    /// Its indexes.
    pub global_secondary_indexes: Vec<IndexShape>,
}

/// An attribute that a key is made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct KeyAttribute {
    /// Its name.
    pub attribute_name: &'static str,
    /// Its kind: `S` for text.
    pub attribute_type: &'static str,
}

/// A part of a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct KeyElement {
    /// The attribute.
    pub attribute_name: &'static str,
    /// `HASH` for the partition, `RANGE` for the place within it.
    pub key_type: &'static str,
}

/// An index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct IndexShape {
    /// Its name.
    pub index_name: &'static str,
    /// Its key.
    pub key_schema: Vec<KeyElement>,
    /// What it holds of an item.
    pub projection: ProjectionShape,
}

/// What an index holds of an item.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct ProjectionShape {
    /// `ALL`: the questions that go through the index are answered from it alone.
    pub projection_type: &'static str,
}

/// The register's table.
pub fn table_shape() -> TableShape {
    let attribute = |attribute_name| KeyAttribute { attribute_name, attribute_type: "S" };
    TableShape {
        billing_mode: "PAY_PER_REQUEST",
        attribute_definitions: [PARTITION, SORT, OPEN_KIND, OPEN_SINCE].map(attribute).to_vec(),
        key_schema: key(PARTITION, SORT),
        global_secondary_indexes: vec![IndexShape {
            index_name: OPEN_ITEMS,
            key_schema: key(OPEN_KIND, OPEN_SINCE),
            projection: ProjectionShape { projection_type: "ALL" },
        }],
    }
}

fn key(partition: &'static str, sort: &'static str) -> Vec<KeyElement> {
    vec![
        KeyElement { attribute_name: partition, key_type: "HASH" },
        KeyElement { attribute_name: sort, key_type: "RANGE" },
    ]
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test")]
    use serde_json::json;

    use super::*;

    /// A change here is a change of every table that exists: names and keys cannot be altered in place.
    #[test]
    fn the_table_is_described_in_the_words_of_cloudformation() {
        let expected = json!({
            "BillingMode": "PAY_PER_REQUEST",
            "AttributeDefinitions": [
                {"AttributeName": "pk", "AttributeType": "S"},
                {"AttributeName": "sk", "AttributeType": "S"},
                {"AttributeName": "x_open_kind", "AttributeType": "S"},
                {"AttributeName": "x_open_since", "AttributeType": "S"},
            ],
            "KeySchema": [
                {"AttributeName": "pk", "KeyType": "HASH"},
                {"AttributeName": "sk", "KeyType": "RANGE"},
            ],
            "GlobalSecondaryIndexes": [{
                "IndexName": "open-items",
                "KeySchema": [
                    {"AttributeName": "x_open_kind", "KeyType": "HASH"},
                    {"AttributeName": "x_open_since", "KeyType": "RANGE"},
                ],
                "Projection": {"ProjectionType": "ALL"},
            }],
        });
        assert_eq!(serde_json::to_value(table_shape()).unwrap(), expected);
    }
}
