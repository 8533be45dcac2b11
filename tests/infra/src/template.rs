//! A CloudFormation template as JSON, its short tags written out: `!Ref X` as `{"Ref": "X"}`.

use std::path::{Path, PathBuf};

use saphyr::{LoadableYamlNode as _, Scalar, Yaml};
use serde_json::{Map, Value, json};

/// Why a template could not be read.
#[derive(Debug, thiserror::Error)]
pub enum TemplateError {
    /// The file cannot be read.
    #[error("{path} cannot be read: {source}")]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file cannot be written.
    #[error("{path} cannot be written: {source}")]
    Unwritable {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is not what it should be.
    #[error("{path} is not a template: {what}")]
    Malformed {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
}

/// The root of the repository.
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// A template.
#[derive(Debug, Clone)]
pub struct Template {
    body: Value,
}

/// One resource of a template.
#[derive(Debug, Clone, Copy)]
pub struct Resource<'a> {
    /// Its logical id.
    pub id: &'a str,
    /// Its type.
    pub kind: &'a str,
    /// All of it.
    pub body: &'a Value,
}

impl<'a> Resource<'a> {
    /// Its properties.
    pub fn properties(&self) -> &'a Value {
        &self.body["Properties"]
    }
}

impl Template {
    /// The orchestrator's.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn orchestrator() -> Result<Self, TemplateError> {
        Self::read(&repository().join("infra/template.yaml"))
    }

    /// The customer's.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn customer() -> Result<Self, TemplateError> {
        Self::read(&repository().join("infra/customer-account.yaml"))
    }

    fn read(path: &Path) -> Result<Self, TemplateError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| TemplateError::Unreadable { path: path.to_owned(), source })?;
        Self::parse(&text).map_err(|what| TemplateError::Malformed { path: path.to_owned(), what })
    }

    /// From YAML.
    ///
    /// # Errors
    /// A sentence, when it is no YAML, or has a tag that CloudFormation does not know.
    pub fn parse(text: &str) -> Result<Self, String> {
        let documents = Yaml::load_from_str(text).map_err(|error| error.to_string())?;
        match documents.as_slice() {
            [document] => Ok(Self { body: to_json(document)? }),
            _ => Err("it holds not exactly one document".to_owned()),
        }
    }

    /// A part of it: `Parameters`, `Outputs`, …
    pub fn section(&self, name: &str) -> &Value {
        &self.body[name]
    }

    /// All resources.
    pub fn resources(&self) -> impl Iterator<Item = Resource<'_>> {
        let resources = self.body["Resources"].as_object().into_iter().flatten();
        resources.map(|(id, body)| Resource { id, kind: body["Type"].as_str().unwrap_or_default(), body })
    }

    /// All resources of a type.
    pub fn of_type<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = Resource<'a>> {
        self.resources().filter(move |resource| resource.kind == kind)
    }

    /// A resource by its logical id.
    pub fn resource(&self, id: &str) -> Option<Resource<'_>> {
        self.resources().find(|resource| resource.id == id)
    }
}

fn to_json(node: &Yaml<'_>) -> Result<Value, String> {
    match node {
        Yaml::Value(scalar) => Ok(of_scalar(scalar)),
        Yaml::Sequence(items) => items.iter().map(to_json).collect::<Result<_, _>>().map(Value::Array),
        Yaml::Mapping(fields) => {
            let mut object = Map::new();
            for (key, value) in fields {
                let Value::String(key) = to_json(key)? else {
                    return Err("a key is not a text".to_owned());
                };
                object.insert(key, to_json(value)?);
            }
            Ok(Value::Object(object))
        }
        Yaml::Tagged(tag, inner) => of_tag(&tag.suffix, to_json(inner)?),
        Yaml::Alias(_) => Err("it has an alias, which CloudFormation does not take".to_owned()),
        Yaml::Representation(..) | Yaml::BadValue => Err("it has a value that is none".to_owned()),
    }
}

fn of_scalar(scalar: &Scalar<'_>) -> Value {
    match scalar {
        Scalar::Null => Value::Null,
        Scalar::Boolean(value) => json!(value),
        Scalar::Integer(value) => json!(value),
        Scalar::FloatingPoint(value) => json!(value.into_inner()),
        Scalar::String(value) => json!(value),
    }
}

fn of_tag(tag: &str, inner: Value) -> Result<Value, String> {
    match (tag, inner) {
        ("Ref" | "Condition", inner) => Ok(json!({ tag: inner })),
        ("GetAtt", Value::String(path)) => {
            let (resource, attribute) = path.split_once('.').ok_or("a !GetAtt names no attribute")?;
            Ok(json!({"Fn::GetAtt": [resource, attribute]}))
        }
        (
            "Sub" | "If" | "Equals" | "Not" | "And" | "Or" | "Select" | "Split" | "Join" | "FindInMap",
            inner,
        ) => Ok(json!({ format!("Fn::{tag}"): inner })),
        (other, _) => Err(format!("it has the tag !{other}, which nothing here reads")),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "test code")]
    use super::*;

    #[test]
    fn short_tags_are_written_out() {
        let template = Template::parse(
            "Resources: {A: {Type: T, Properties: {X: !GetAtt B.C.D, Y: !If [Q, !Ref Z, '']}}}",
        );
        let template = template.unwrap();
        let properties = template.resource("A").unwrap().properties().clone();
        assert_eq!(properties["X"], json!({"Fn::GetAtt": ["B", "C.D"]}));
        assert_eq!(properties["Y"], json!({"Fn::If": ["Q", {"Ref": "Z"}, ""]}));
    }

    #[test]
    fn what_cloudformation_does_not_take_is_refused() {
        assert!(Template::parse("a: !Nonsense b").unwrap_err().contains("!Nonsense"));
    }
}
