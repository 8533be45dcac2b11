//! What the checks make, how it is marked, and how all of it is taken away.

use std::cell::Cell;
use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::aws::Aws;
use crate::aws::tagged::{Look, Tagged, look_again};
use crate::error::TaskError;
use crate::random;
use crate::remnant::Remnant;

const TAG: &str = "rekindle:live";

/// KMS keeps a key for so many days at least, free of charge.
const DAYS_UNTIL_A_KEY_IS_GONE: &str = "7";

const LIST_KEYS: [&str; 4] = ["kms", "list-keys", "--query", "Keys[].KeyId"];

/// Everything that one run has made, or every run.
pub(super) struct Traces<'a> {
    aws: &'a Aws<'a>,
    run: Option<String>,
    /// Looking for a key asks about each key of the account.
    may_have_keys: Cell<bool>,
}

impl<'a> Traces<'a> {
    /// A run that begins now.
    pub(super) fn of_new_run(aws: &'a Aws<'a>) -> Result<Self, TaskError> {
        Ok(Self { aws, run: Some(random::word()?), may_have_keys: Cell::new(false) })
    }

    /// Whatever runs there have been.
    pub(super) fn of_every_run(aws: &'a Aws<'a>) -> Self {
        Self { aws, run: None, may_have_keys: Cell::new(true) }
    }

    pub(super) fn aws(&self) -> &'a Aws<'a> {
        self.aws
    }

    /// The word that marks this run.
    pub(super) fn run(&self) -> &str {
        self.run.as_deref().unwrap_or_default()
    }

    /// For `--tag-specifications`.
    pub(super) fn tagging(&self, kinds: &[&str]) -> String {
        let tags = json!([{"Key": TAG, "Value": self.run()}]);
        let all: Vec<Value> = kinds.iter().map(|kind| json!({"ResourceType": kind, "Tags": tags})).collect();
        json!(all).to_string()
    }

    /// For `--tags` of a key. Whoever asks for them makes one.
    pub(super) fn tags_of_a_key(&self) -> String {
        self.may_have_keys.set(true);
        json!([{"TagKey": TAG, "TagValue": self.run()}]).to_string()
    }

    /// Takes everything away; gives what may be left.
    pub(super) fn remove(&self) -> Vec<Remnant> {
        let tagged = match &self.run {
            Some(run) => Tagged::with(self.aws, TAG, run),
            None => Tagged::with_any(self.aws, TAG),
        };
        let mut left = tagged.take_away();
        if self.may_have_keys.get() {
            let mut settled = BTreeSet::new();
            left.extend(look_again(|_| self.look_for_keys(&mut settled)));
        }
        left
    }

    /// Keys of others, and those that are going already, are asked about once.
    fn look_for_keys(&self, settled: &mut BTreeSet<String>) -> Look {
        let mut look = Look::default();
        let listed = self.aws.ask(&LIST_KEYS).map(|found| found.as_array().cloned().unwrap_or_default());
        for key in look.noted("keys, which could not be listed", &LIST_KEYS, listed) {
            let Some(key) = key.as_str().filter(|key| !settled.contains(*key)) else { continue };
            match self.is_to_go(key) {
                Ok(true) => look.note(self.remove_key(key)),
                Ok(false) => {
                    settled.insert(key.to_owned());
                }
                Err(left) => look.note(Some(left)),
            }
        }
        look
    }

    /// Whether a key is one of these, and not going already.
    fn is_to_go(&self, key: &str) -> Result<bool, Remnant> {
        let tags = ["kms", "list-resource-tags", "--key-id", key];
        if !self.answer(key, &tags)?.is_some_and(|tags| is_marked(&tags, self.run.as_deref())) {
            return Ok(false);
        }
        let described = self.answer(key, &["kms", "describe-key", "--key-id", key])?;
        Ok(described.is_some_and(|key| key["KeyMetadata"]["KeyState"] != "PendingDeletion"))
    }

    /// Nothing of a key that is gone, or that others keep to themselves: whoever makes a key may see it.
    fn answer(&self, key: &str, command: &[&str]) -> Result<Option<Value>, Remnant> {
        let why = match self.aws.attempt(command) {
            Ok(Ok(answer)) => return Ok(Some(answer)),
            Ok(Err(refusal)) if refusal.says_gone() || refusal.code() == "AccessDeniedException" => {
                return Ok(None);
            }
            Ok(Err(refusal)) => refusal.0,
            Err(error) => error.to_string(),
        };
        let what = format!("the key {key}, if it has the tag {TAG}");
        Err(Remnant { what, why, command: format!("aws {}", command.join(" ")) })
    }

    fn remove_key(&self, key: &str) -> Option<Remnant> {
        let days = ["--pending-window-in-days", DAYS_UNTIL_A_KEY_IS_GONE];
        let schedule = [&["kms", "schedule-key-deletion", "--key-id", key][..], &days].concat();
        self.aws.take_away(&format!("the key {key}"), &schedule)
    }
}

/// Whether a key's tags are those of this run, or of any.
fn is_marked(tags: &Value, run: Option<&str>) -> bool {
    let is_ours = |tag: &Value| tag["TagKey"] == TAG && run.is_none_or(|run| tag["TagValue"] == run);
    tags["Tags"].as_array().into_iter().flatten().any(is_ours)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may fail loudly")]
    use super::*;
    use crate::aws::tests::Played;
    use crate::repository::Repository;

    #[test]
    fn a_key_is_one_of_a_run_by_its_tag() {
        let tags =
            json!({"Tags": [{"TagKey": "other", "TagValue": "r1"}, {"TagKey": TAG, "TagValue": "r1"}]});
        assert!(is_marked(&tags, Some("r1")) && is_marked(&tags, None));
        assert!(!is_marked(&tags, Some("r2")));
        assert!(!is_marked(&json!({"Tags": [{"TagKey": "other", "TagValue": "r1"}]}), None));
        assert!(!is_marked(&Value::Null, None));
    }

    /// As it is after a Ctrl-C during `create-key`: nobody was told the key's id.
    fn swept() -> (Vec<Remnant>, Played) {
        let ours = json!({"Tags": [{"TagKey": TAG, "TagValue": "r1"}]});
        let played = Played::answering(&format!(
            r#"*list-keys*) echo '["ours", "going", "of-others", "hidden", "held"]' ;;
            *list-resource-tags*hidden*) refuse AccessDeniedException ;;
            *list-resource-tags*of-others*) echo '{{"Tags": []}}' ;;
            *list-resource-tags*) echo '{ours}' ;;
            *describe-key*going*) echo '{{"KeyMetadata": {{"KeyState": "PendingDeletion"}}}}' ;;
            *describe-key*ours*) grep -q 'schedule.*ours' "$notes" && s=PendingDeletion || s=Enabled
                echo "{{\"KeyMetadata\": {{\"KeyState\": \"$s\"}}}}" ;;
            *describe-key*) echo '{{"KeyMetadata": {{"KeyState": "Enabled"}}}}' ;;
            *schedule-key-deletion*held*) refuse KMSInternalException ;;"#
        ));
        let repository = Repository::find().unwrap();
        let left = Traces::of_every_run(&played.aws(&repository)).remove();
        (left, played)
    }

    #[test]
    fn a_key_whose_id_nobody_learned_is_found_by_its_tag() {
        let (left, played) = swept();
        assert_eq!(played.times("kms schedule-key-deletion --key-id ours --pending-window-in-days 7"), 1);
        for other in ["going", "of-others", "hidden"] {
            assert_eq!(played.times(&format!("kms schedule-key-deletion --key-id {other}")), 0, "{other}");
        }
        assert_eq!(left.len(), 1, "{left:?}");
        assert!(
            left[0].to_string().starts_with("the key held: `aws kms schedule-key-deletion --key-id held")
        );
    }

    #[test]
    fn a_run_that_made_no_key_asks_about_none() {
        let repository = Repository::find().unwrap();
        let played = Played::answering("");
        let aws = played.aws(&repository);
        let traces = Traces::of_new_run(&aws).unwrap();
        assert_eq!(traces.remove(), []);
        assert_eq!(played.times("kms"), 0);
        assert!(traces.tags_of_a_key().contains(traces.run()));
        traces.remove();
        assert!(played.times("kms list-keys") > 0);
    }
}
