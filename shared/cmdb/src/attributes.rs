//! Values as attributes of DynamoDB: every field of a type becomes an attribute of the same name, so that conditions
//! can name it and a person can read the table.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Number, Value};

use crate::error::RegisterError;
use crate::keys::{INTERNAL, Key, PARTITION, SORT};

/// An item as the client has it.
pub(crate) type Item = HashMap<String, AttributeValue>;

/// A text attribute.
pub(crate) fn text(value: impl Into<String>) -> AttributeValue {
    AttributeValue::S(value.into())
}

/// A number attribute.
pub(crate) fn number(value: u64) -> AttributeValue {
    AttributeValue::N(value.to_string())
}

/// A value that is written into an item, or compared with.
pub(crate) fn attribute<T: Serialize>(value: &T) -> Result<AttributeValue, serde_json::Error> {
    serde_json::to_value(value).map(from_json)
}

/// The attributes that address an item.
pub(crate) fn key_attributes(key: &Key) -> Item {
    HashMap::from([(PARTITION.to_owned(), text(&key.partition)), (SORT.to_owned(), text(&key.sort))])
}

/// A value as an item under the given key. Empty fields are left out, so that a condition can ask for them.
pub(crate) fn to_item<T: Serialize>(key: &Key, value: &T) -> Result<Item, RegisterError> {
    let Value::Object(fields) = serde_json::to_value(value).map_err(|error| unreadable(key, error))? else {
        return Err(unreadable(key, <serde_json::Error as serde::ser::Error>::custom("not an object")));
    };
    let mut item = key_attributes(key);
    let present = fields.into_iter().filter(|(_, value)| !value.is_null());
    item.extend(present.map(|(name, value)| (name, from_json(value))));
    Ok(item)
}

/// The value that an item holds, without what belongs to the register.
pub(crate) fn from_item<T: DeserializeOwned>(key: &Key, item: Item) -> Result<T, RegisterError> {
    let fields: Map<String, Value> = item
        .into_iter()
        .filter(|(name, _)| name != PARTITION && name != SORT && !name.starts_with(INTERNAL))
        .map(|(name, value)| (name, to_json(value)))
        .collect();
    serde_json::from_value(Value::Object(fields)).map_err(|error| unreadable(key, error))
}

/// The text of an attribute that belongs to the register.
pub(crate) fn text_of<'a>(item: &'a Item, name: &str) -> Option<&'a str> {
    item.get(name).and_then(|value| value.as_s().ok()).map(String::as_str)
}

/// The key that an item was read under, for error messages.
pub(crate) fn key_of(item: &Item) -> Key {
    let part = |name| text_of(item, name).unwrap_or_default().to_owned();
    Key { partition: part(PARTITION), sort: part(SORT) }
}

pub(crate) fn unreadable(key: &Key, error: serde_json::Error) -> RegisterError {
    RegisterError::Unreadable { key: key.to_string(), source: Box::new(error) }
}

fn from_json(value: Value) -> AttributeValue {
    match value {
        Value::Null => AttributeValue::Null(true),
        Value::Bool(value) => AttributeValue::Bool(value),
        Value::Number(value) => AttributeValue::N(value.to_string()),
        Value::String(value) => AttributeValue::S(value),
        Value::Array(values) => AttributeValue::L(values.into_iter().map(from_json).collect()),
        Value::Object(fields) => {
            AttributeValue::M(fields.into_iter().map(|(name, value)| (name, from_json(value))).collect())
        }
    }
}

fn to_json(value: AttributeValue) -> Value {
    match value {
        AttributeValue::Bool(value) => Value::Bool(value),
        AttributeValue::N(value) => number_to_json(&value),
        AttributeValue::S(value) => Value::String(value),
        AttributeValue::L(values) => Value::Array(values.into_iter().map(to_json).collect()),
        AttributeValue::M(fields) => {
            Value::Object(fields.into_iter().map(|(name, value)| (name, to_json(value))).collect())
        }
        // Null, and kinds that this register never writes.
        _ => Value::Null,
    }
}

fn number_to_json(text: &str) -> Value {
    let whole = text.parse::<u64>().map(Number::from).or_else(|_| text.parse::<i64>().map(Number::from));
    match whole {
        Ok(number) => Value::Number(number),
        Err(_) => text.parse::<f64>().ok().and_then(Number::from_f64).map_or(Value::Null, Value::Number),
    }
}
