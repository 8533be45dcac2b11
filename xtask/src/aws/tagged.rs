//! Things of EC2 that carry a tag: found, and taken away, whoever made them and however that ended.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::Value;

use super::Aws;
use crate::error::TaskError;
use crate::interruption;
use crate::remnant::Remnant;

/// States of an instance that still costs something.
const ALIVE: &str = "Name=instance-state-name,Values=pending,running,stopping,stopped";

/// EC2 tells of what it made a little later. Only so many looks that find nothing mean that nothing is there.
const LOOKS_UNTIL_SURE: u32 = 4;

/// Images that are pending, and snapshots that are in use, are waited for so long.
const MOST_LOOKS: u32 = 10;

const BETWEEN_LOOKS: Duration = if cfg!(test) { Duration::ZERO } else { Duration::from_secs(3) };

/// What can be taken away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Instance,
    Image,
    Snapshot,
    Volume,
}

impl Kind {
    fn word(self) -> &'static str {
        match self {
            Self::Instance => "instance",
            Self::Image => "image",
            Self::Snapshot => "snapshot",
            Self::Volume => "volume",
        }
    }

    /// The command, but for the id.
    fn removal(self) -> [&'static str; 3] {
        match self {
            Self::Instance => ["ec2", "terminate-instances", "--instance-ids"],
            Self::Image => ["ec2", "deregister-image", "--image-id"],
            Self::Snapshot => ["ec2", "delete-snapshot", "--snapshot-id"],
            Self::Volume => ["ec2", "delete-volume", "--volume-id"],
        }
    }
}

/// Takes one thing away.
pub(crate) fn take_away(aws: &Aws<'_>, kind: Kind, id: &str) -> Option<Remnant> {
    aws.take_away(&format!("the {} {id}", kind.word()), &[&kind.removal()[..], &[id]].concat())
}

/// The snapshots of an image, as far as it names them.
pub(crate) fn snapshots_of(image: &Value) -> Vec<String> {
    let disks = image["BlockDeviceMappings"].as_array().into_iter().flatten();
    disks.filter_map(|disk| disk["Ebs"]["SnapshotId"].as_str().map(str::to_owned)).collect()
}

/// What one look found, and what of it would not go.
#[derive(Debug, Default)]
pub(crate) struct Look {
    found: usize,
    left: Vec<Remnant>,
}

impl Look {
    /// Something was found. It was taken away, or is told of.
    pub(crate) fn note(&mut self, left: Option<Remnant>) {
        self.found += 1;
        self.left.extend(left);
    }

    /// What was found; where nobody could look, something may be.
    pub(crate) fn noted<T>(
        &mut self,
        what: &str,
        command: &[&str],
        found: Result<Vec<T>, TaskError>,
    ) -> Vec<T> {
        found.unwrap_or_else(|error| {
            let (what, command) = (what.to_owned(), format!("aws {}", command.join(" ")));
            self.note(Some(Remnant { what, why: error.to_string(), command }));
            Vec::new()
        })
    }
}

/// Looks until nothing is found any more, and gives what would not go. A look is told whether it is the last one.
pub(crate) fn look_again(mut look: impl FnMut(bool) -> Look) -> Vec<Remnant> {
    let mut number = 1;
    loop {
        let Look { found, left } = look(number == MOST_LOOKS);
        if is_over(number, found) {
            return left;
        }
        interruption::pause(BETWEEN_LOOKS);
        number += 1;
    }
}

fn is_over(number: u32, found: usize) -> bool {
    number >= MOST_LOOKS || (found == 0 && number >= LOOKS_UNTIL_SURE)
}

/// An image that names no snapshot yet would leave one behind that nobody knows of.
fn names_its_snapshots(image: &Value) -> bool {
    image["State"] != "pending" || !snapshots_of(image).is_empty()
}

/// Everything in this account and region that carries a tag.
pub(crate) struct Tagged<'a> {
    aws: &'a Aws<'a>,
    filter: String,
}

impl<'a> Tagged<'a> {
    /// With this value.
    pub(crate) fn with(aws: &'a Aws<'a>, key: &str, value: &str) -> Self {
        Self { aws, filter: format!("Name=tag:{key},Values={value}") }
    }

    /// Whatever its value is.
    pub(crate) fn with_any(aws: &'a Aws<'a>, key: &str) -> Self {
        Self { aws, filter: format!("Name=tag-key,Values={key}") }
    }

    fn list(&self, kind: Kind) -> Vec<&str> {
        let filter = self.filter.as_str();
        match kind {
            Kind::Instance => vec!["ec2", "describe-instances", "--filters", filter, ALIVE],
            Kind::Image => vec!["ec2", "describe-images", "--owners", "self", "--filters", filter],
            Kind::Snapshot => vec!["ec2", "describe-snapshots", "--owner-ids", "self", "--filters", filter],
            // Volumes of instances go with them.
            Kind::Volume => {
                vec!["ec2", "describe-volumes", "--filters", filter, "Name=status,Values=available"]
            }
        }
    }

    fn ids(&self, kind: Kind, query: &str) -> Result<Vec<String>, TaskError> {
        let found = self.aws.ask(&[&self.list(kind)[..], &["--query", query]].concat())?;
        Ok(found.as_array().into_iter().flatten().filter_map(|id| id.as_str().map(str::to_owned)).collect())
    }

    /// The ids of instances that are not gone.
    pub(crate) fn instances(&self) -> Result<Vec<String>, TaskError> {
        self.ids(Kind::Instance, "Reservations[].Instances[].InstanceId")
    }

    /// Images of this account, as EC2 describes them.
    pub(crate) fn images(&self) -> Result<Vec<Value>, TaskError> {
        let answer = self.aws.ask(&self.list(Kind::Image))?;
        Ok(answer["Images"].as_array().cloned().unwrap_or_default())
    }

    /// Takes all of it away, and what comes up meanwhile; gives what may be left.
    pub(crate) fn take_away(&self) -> Vec<Remnant> {
        let mut snapshots = BTreeSet::new();
        look_again(|is_last| self.look(&mut snapshots, is_last))
    }

    /// Instances first, since they hold volumes; images before their snapshots. Those may carry no tag, and are kept in
    /// mind from look to look.
    fn look(&self, snapshots: &mut BTreeSet<String>, is_last: bool) -> Look {
        let mut look = Look::default();
        for id in self.noted(&mut look, Kind::Instance, self.instances()) {
            look.note(take_away(self.aws, Kind::Instance, &id));
        }
        for image in self.noted(&mut look, Kind::Image, self.images()) {
            snapshots.extend(snapshots_of(&image));
            self.take_image(&mut look, &image, is_last);
        }
        snapshots.extend(self.noted(
            &mut look,
            Kind::Snapshot,
            self.ids(Kind::Snapshot, "Snapshots[].SnapshotId"),
        ));
        snapshots.retain(|id| {
            let left = take_away(self.aws, Kind::Snapshot, id);
            let is_left = left.is_some();
            look.note(left);
            is_left
        });
        for id in self.noted(&mut look, Kind::Volume, self.ids(Kind::Volume, "Volumes[].VolumeId")) {
            look.note(take_away(self.aws, Kind::Volume, &id));
        }
        look
    }

    fn noted<T>(&self, look: &mut Look, kind: Kind, found: Result<Vec<T>, TaskError>) -> Vec<T> {
        look.noted(&format!("{}s, which could not be listed", kind.word()), &self.list(kind), found)
    }

    fn take_image(&self, look: &mut Look, image: &Value, is_last: bool) {
        let id = image["ImageId"].as_str().unwrap_or_default();
        if names_its_snapshots(image) {
            return look.note(take_away(self.aws, Kind::Image, id));
        }
        if is_last {
            look.note(take_away(self.aws, Kind::Image, id));
        }
        look.note(Some(Remnant {
            what: format!("snapshots of the image {id}"),
            why: "it was pending, and named none".to_owned(),
            command: format!(
                "aws ec2 describe-snapshots --owner-ids self --filters 'Name=description,Values=*{id}*'"
            ),
        }));
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may fail loudly")]
    use super::*;
    use crate::aws::tests::Played;
    use crate::repository::Repository;
    use serde_json::json;

    fn taken_away(played: &Played) -> Vec<Remnant> {
        let repository = Repository::find().unwrap();
        Tagged::with(&played.aws(&repository), "rekindle:run", "r1").take_away()
    }

    #[test]
    fn nothing_is_there_when_it_was_looked_for_several_times() {
        assert!(!is_over(1, 0) && !is_over(LOOKS_UNTIL_SURE - 1, 0) && is_over(LOOKS_UNTIL_SURE, 0));
        assert!(!is_over(LOOKS_UNTIL_SURE, 1) && is_over(MOST_LOOKS, 1));
        let played = Played::answering("");
        assert_eq!(taken_away(&played), []);
        assert_eq!(played.times("ec2 describe-instances"), LOOKS_UNTIL_SURE as usize);
    }

    #[test]
    fn an_instance_that_is_listed_late_is_terminated_too() {
        let played = Played::answering(
            r#"*describe-instances*) [ "$(grep -c describe-instances "$notes")" != 3 ] || echo '["i-late"]' ;;"#,
        );
        assert_eq!(taken_away(&played), []);
        assert_eq!(played.times("ec2 terminate-instances --instance-ids i-late"), 1);
    }

    #[test]
    fn an_image_is_deregistered_when_it_names_its_snapshots_and_they_go_with_it() {
        let pending = json!({"Images": [{"ImageId": "ami-1", "State": "pending"}]});
        let named = json!({"Images": [{
            "ImageId": "ami-1", "State": "pending", "BlockDeviceMappings": [{"Ebs": {"SnapshotId": "snap-1"}}]
        }]});
        let played = Played::answering(&format!(
            r#"*describe-images*) case $(grep -c describe-images "$notes") in 1) echo '{pending}';; 2) echo '{named}';; esac ;;
            *delete-snapshot*) [ "$(grep -c delete-snapshot "$notes")" != 1 ] || refuse InvalidSnapshot.InUse ;;"#
        ));
        assert_eq!(taken_away(&played), []);
        let done: Vec<String> =
            played.asked().into_iter().filter(|line| !line.contains("describe")).collect();
        assert_eq!(
            done,
            [
                "ec2 deregister-image --image-id ami-1 --output json",
                "ec2 delete-snapshot --snapshot-id snap-1 --output json",
                "ec2 delete-snapshot --snapshot-id snap-1 --output json",
            ]
        );
    }

    #[test]
    fn an_image_that_stays_pending_goes_in_the_end_and_its_snapshots_are_told_of() {
        let played = Played::answering(
            r#"*describe-images*) echo '{"Images": [{"ImageId": "ami-1", "State": "pending"}]}' ;;"#,
        );
        let left = taken_away(&played);
        assert_eq!(played.times("ec2 deregister-image"), 1);
        assert!(
            left.iter().any(|left| left.to_string().contains("snapshots of the image ami-1")),
            "{left:?}"
        );
    }

    #[test]
    fn what_cannot_be_listed_or_taken_away_is_told_of_and_the_rest_goes() {
        let played = Played::answering(
            r#"*describe-instances*) refuse UnauthorizedOperation ;;
            *describe-snapshots*) echo '["snap-1", "snap-2"]' ;;
            *snap-2*) refuse UnauthorizedOperation ;;"#,
        );
        let left: Vec<String> = taken_away(&played).iter().map(Remnant::to_string).collect();
        assert_eq!(left.len(), 2, "{left:?}");
        assert!(left[0].starts_with("instances, which could not be listed: `aws ec2 describe-instances"));
        assert!(left[1].starts_with("the snapshot snap-2: `aws ec2 delete-snapshot --snapshot-id snap-2`"));
        assert!(played.times("ec2 delete-snapshot --snapshot-id snap-1") > 0);
    }
}
