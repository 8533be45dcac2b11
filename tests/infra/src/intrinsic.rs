//! CloudFormation's functions, as far as policies and names use them.
//!
//! What only the deployment knows stays a placeholder: `{"Ref": "Table"}` becomes `${Table}`, so that a policy can be
//! read as JSON.

use serde_json::{Map, Value};

/// Which of the two kinds of deployment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deployment {
    /// Orchestrator and customer share an account.
    OneAccount,
    /// The customer has an account of its own.
    SeparateAccounts,
}

impl Deployment {
    /// Both.
    pub const ALL: [Self; 2] = [Self::OneAccount, Self::SeparateAccounts];

    /// Whether a condition of the templates holds. All others are options, which are taken as chosen: a policy has its
    /// widest form then. A register that was restored is none of them: it takes the place of the one that was made.
    fn holds(self, condition: &str) -> bool {
        match condition {
            "OneAccount" => self == Self::OneAccount,
            "SeparateAccounts" | "CallsThroughRole" => self == Self::SeparateAccounts,
            "UsesRestoredTable" => false,
            _ => true,
        }
    }

    /// Whether a resource is made.
    pub fn makes(self, resource: &Value) -> bool {
        resource["Condition"].as_str().is_none_or(|condition| self.holds(condition))
    }

    /// The value with its functions decided; nothing for what is left out.
    pub fn resolve(self, value: &Value) -> Option<Value> {
        match value {
            Value::Array(items) => {
                Some(Value::Array(items.iter().filter_map(|item| self.resolve(item)).collect()))
            }
            Value::Object(fields) => self.resolve_object(fields),
            other => Some(other.clone()),
        }
    }

    /// The value as text, as far as it is one.
    pub fn text(self, value: &Value) -> Option<String> {
        self.resolve(value)?.as_str().map(str::to_owned)
    }

    fn resolve_object(self, fields: &Map<String, Value>) -> Option<Value> {
        let mut pairs = fields.iter();
        let (Some((name, argument)), None) = (pairs.next(), pairs.next()) else {
            return Some(self.resolve_fields(fields));
        };
        match name.as_str() {
            "Ref" if argument == "AWS::NoValue" => None,
            "Ref" => Some(Value::String(format!("${{{}}}", argument.as_str()?))),
            "Fn::GetAtt" => {
                Some(Value::String(format!("${{{}.{}}}", argument[0].as_str()?, argument[1].as_str()?)))
            }
            "Fn::If" => {
                let branch = if self.holds(argument[0].as_str()?) { 1 } else { 2 };
                self.resolve(&argument[branch])
            }
            "Fn::Sub" => self.substitute(argument).map(Value::String),
            _ => Some(self.resolve_fields(fields)),
        }
    }

    fn resolve_fields(self, fields: &Map<String, Value>) -> Value {
        let resolved = fields.iter().filter_map(|(name, value)| Some((name.clone(), self.resolve(value)?)));
        Value::Object(resolved.collect())
    }

    fn substitute(self, argument: &Value) -> Option<String> {
        let Some(own) = argument.get(1).and_then(Value::as_object) else {
            return argument.as_str().map(str::to_owned);
        };
        let mut text = argument[0].as_str()?.to_owned();
        for (name, value) in own {
            text = text.replace(&format!("${{{name}}}"), &self.text(value).unwrap_or_default());
        }
        Some(text)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn branches_are_taken_and_left_out_values_go() {
        let value =
            json!([{"Fn::If": ["OneAccount", "one", {"Ref": "AWS::NoValue"}]}, {"Fn::GetAtt": ["A", "Arn"]}]);
        assert_eq!(Deployment::OneAccount.resolve(&value), Some(json!(["one", "${A.Arn}"])));
        assert_eq!(Deployment::SeparateAccounts.resolve(&value), Some(json!(["${A.Arn}"])));
    }

    #[test]
    fn own_names_of_a_substitution_are_replaced() {
        let value = json!({"Fn::Sub": ["a:${B}:${AWS::Region}", {"B": {"Fn::If": ["OneAccount", {"Ref": "X"}, "y"]}}]});
        assert_eq!(Deployment::OneAccount.text(&value).as_deref(), Some("a:${X}:${AWS::Region}"));
        assert_eq!(Deployment::SeparateAccounts.text(&value).as_deref(), Some("a:y:${AWS::Region}"));
    }
}
