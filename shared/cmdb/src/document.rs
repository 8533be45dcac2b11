//! Long documents: descriptions of sets, plans and reports can be longer than an item of DynamoDB (400 KB).
//!
//! A short one is an attribute of its item. A long one is written first, in parts whose key is the digest of the whole,
//! so that writing it twice writes the same; the item then names the digest.

use aws_sdk_dynamodb::types::AttributeValue;
use rekindle_domain::Digest;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::attributes::{Item, key_attributes, key_of, number, text, text_of, unreadable};
use crate::error::RegisterError;
use crate::expression::Expression;
use crate::keys::{self, Key};
use crate::table::Table;

/// The document itself, where it is short.
const INLINE: &str = "x_document";
/// The digest of the document, where it is long.
const DIGEST: &str = "x_document_digest";
/// How many parts it has.
const PARTS: &str = "x_document_parts";
/// Below DynamoDB's 400 KB, with room for the other attributes.
const LONGEST_PART_BYTES: usize = 256 * 1024;

/// Adds a document to an item that is about to be written; its parts are written now.
pub(crate) async fn store<T: Serialize>(
    table: &Table,
    item: &mut Item,
    value: &T,
) -> Result<(), RegisterError> {
    let content = serde_json::to_string(value).map_err(|error| unreadable(&key_of(item), error))?;
    if content.len() <= LONGEST_PART_BYTES {
        item.insert(INLINE.to_owned(), text(content));
        return Ok(());
    }
    let digest = Digest::of(content.as_bytes());
    let parts = split(&content);
    for (place, part) in parts.iter().enumerate() {
        let mut part_item = key_attributes(&keys::document_part(&digest, place));
        part_item.insert(INLINE.to_owned(), text(*part));
        // Refused means that it is there already: the same digest is the same content.
        table.put(part_item, Expression::absent()).send().await?;
    }
    item.insert(DIGEST.to_owned(), text(digest.as_str()));
    item.insert(PARTS.to_owned(), number(parts.len() as u64));
    Ok(())
}

/// The document of an item.
pub(crate) async fn load<T: DeserializeOwned>(table: &Table, item: &Item) -> Result<T, RegisterError> {
    let key = key_of(item);
    let content = match text_of(item, INLINE) {
        Some(content) => content.to_owned(),
        None => load_parts(table, &key, item).await?,
    };
    serde_json::from_str(&content).map_err(|error| unreadable(&key, error))
}

async fn load_parts(table: &Table, key: &Key, item: &Item) -> Result<String, RegisterError> {
    let digest = text_of(item, DIGEST).and_then(|digest| Digest::parse(digest).ok());
    let digest = digest.ok_or_else(|| broken(key, "it names no document"))?;
    let parts: usize = match item.get(PARTS) {
        Some(AttributeValue::N(parts)) => parts.parse().unwrap_or(0),
        _ => 0,
    };
    let mut content = String::new();
    for place in 0..parts {
        let part = table.get(&keys::document_part(&digest, place)).await?;
        let part = part.as_ref().and_then(|part| text_of(part, INLINE));
        content.push_str(part.ok_or_else(|| broken(key, "a part of its document is missing"))?);
    }
    if Digest::of(content.as_bytes()) != digest {
        return Err(broken(key, "its document is not the one that was stored"));
    }
    Ok(content)
}

fn broken(key: &Key, reason: &'static str) -> RegisterError {
    RegisterError::Unreadable { key: key.to_string(), source: reason.into() }
}

fn split(content: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut rest = content;
    while !rest.is_empty() {
        let (part, after) = rest.split_at(rest.floor_char_boundary(LONGEST_PART_BYTES));
        parts.push(part);
        rest = after;
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_join_to_the_whole_and_never_cut_a_character() {
        let content = "é".repeat(LONGEST_PART_BYTES);
        let parts = split(&content);
        assert!(parts.iter().all(|part| part.len() <= LONGEST_PART_BYTES));
        assert_eq!(parts.concat(), content);
    }
}
