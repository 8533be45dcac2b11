//! As much of JSON Schema as the document uses. What it does not know it refuses, so that the document holds no word
//! that nobody checks.

use serde_json::Value;

/// Words that say something to people, or that a type of Rust has checked already.
const NOT_CHECKED: [&str; 12] = [
    "description",
    "format",
    "pattern",
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
    "example",
    "examples",
];

/// What is wrong with a value, with the place where it is.
pub fn faults(document: &Value, schema: &Value, value: &Value, place: &str) -> Vec<String> {
    if let Some(reference) = schema["$ref"].as_str() {
        let target = document.pointer(reference.strip_prefix('#').unwrap());
        return match target {
            Some(target) => faults(document, target, value, place),
            None => vec![format!("{place}: there is no {reference}")],
        };
    }
    let mut found = Vec::new();
    for (word, rule) in schema.as_object().unwrap() {
        match word.as_str() {
            "type" if !is_of_type(rule, value) => found.push(format!("{place}: {value} is not {rule}")),
            "enum" if !rule.as_array().unwrap().contains(value) => {
                found.push(format!("{place}: {value} is not one of {rule}"));
            }
            "anyOf" => {
                let choices = rule.as_array().unwrap();
                if !choices.iter().any(|choice| faults(document, choice, value, place).is_empty()) {
                    found.push(format!("{place}: {value} fits none of {rule}"));
                }
            }
            "items" => {
                for (index, item) in value.as_array().into_iter().flatten().enumerate() {
                    found.extend(faults(document, rule, item, &format!("{place}/{index}")));
                }
            }
            "required" => {
                for name in rule.as_array().unwrap() {
                    if value.is_object() && value.get(name.as_str().unwrap()).is_none() {
                        found.push(format!("{place}: {name} is missing"));
                    }
                }
            }
            "properties" => found.extend(faults_of_fields(document, schema, value, place)),
            "type" | "enum" | "additionalProperties" => {}
            word if NOT_CHECKED.contains(&word) => {}
            word => found.push(format!("{place}: the test does not know the word {word}")),
        }
    }
    found
}

fn faults_of_fields(document: &Value, schema: &Value, value: &Value, place: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (name, field) in value.as_object().into_iter().flatten() {
        match schema["properties"].get(name) {
            Some(schema) => found.extend(faults(document, schema, field, &format!("{place}/{name}"))),
            None => found.push(format!("{place}: {name} is not in the document")),
        }
    }
    found
}

fn is_of_type(rule: &Value, value: &Value) -> bool {
    let is = |name: &str| match name {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "integer" => value.is_u64() || value.is_i64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        _ => false,
    };
    match rule {
        Value::Array(names) => names.iter().any(|name| is(name.as_str().unwrap())),
        name => is(name.as_str().unwrap()),
    }
}
