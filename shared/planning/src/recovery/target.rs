//! A recovery of one certain image, which a person has named, in place of the newest one.

use rekindle_domain::{Image, ImageId, MachineKey, Service, ServiceKey, TargetImage};

use super::{RecoveryRequest, RecoverySituation};

/// Why the image that was named is not recovered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TargetImageRefusal {
    /// The image belongs to one machine of one service.
    #[error("an image is named, so exactly one service has to be named with it, and {named} are")]
    NotOneService {
        /// How many services were named.
        named: usize,
    },
    /// An image is a moment already.
    #[error("an image and an instant are named; leave out one of them")]
    AndAnInstant,
    /// No machine of the customer has such an image.
    #[error("the image {0} is not in the register")]
    NotRegistered(ImageId),
    /// It is another service's.
    #[error("the image {image_id} is not an image of {service}")]
    OfAnother {
        /// The image.
        image_id: ImageId,
        /// The service that was to be recovered.
        service: ServiceKey,
    },
    /// Nothing proves that it holds the data.
    #[error("the image {image_id} is not proven: {sentence}")]
    NotProven {
        /// The image.
        image_id: ImageId,
        /// What is missing.
        sentence: String,
    },
    /// Another machine of the service has no image of the same moment.
    #[error(
        "{machine} has no proven image of the moment of {image_id}, so the service cannot come back with it"
    )]
    NoSharedMoment {
        /// The image that was named.
        image_id: ImageId,
        /// The machine that lacks one.
        machine: MachineKey,
    },
}

/// What is known of the one service, with no other images than the one that was named and, on the service's other
/// machines, those of the same moment: nobody who named an image wants to fall back to another one. Nothing where no
/// image was named.
pub(super) fn narrowed(
    request: &RecoveryRequest,
    situations: &[RecoverySituation],
) -> Result<Option<Vec<RecoverySituation>>, TargetImageRefusal> {
    let Some(target) = &request.target else { return Ok(None) };
    let [service_id] = request.services.as_slice() else {
        return Err(TargetImageRefusal::NotOneService { named: request.services.len() });
    };
    if request.at_or_before.is_some() {
        return Err(TargetImageRefusal::AndAnInstant);
    }
    let wanted = |situation: &&RecoverySituation| situation.service.key.service_id == *service_id;
    // That the service is not known is for the caller to say: it says so for every service.
    let Some(situation) = situations.iter().find(wanted) else { return Ok(None) };
    let image = own_image(situation, situations, &target.image_id)?;
    Ok(Some(vec![only_with(situation, image, target)?]))
}

fn own_image<'a>(
    situation: &'a RecoverySituation,
    situations: &[RecoverySituation],
    wanted: &ImageId,
) -> Result<&'a Image, TargetImageRefusal> {
    let Some(image) = images_of(situation).find(|image| image.image_id == *wanted) else {
        let elsewhere = situations.iter().flat_map(images_of).any(|image| image.image_id == *wanted);
        return Err(if elsewhere {
            let service = situation.service.key.clone();
            TargetImageRefusal::OfAnother { image_id: wanted.clone(), service }
        } else {
            TargetImageRefusal::NotRegistered(wanted.clone())
        });
    };
    // Only proven images are registered; it is looked at again because people wait for this one.
    if !image.evidence.passed() {
        let sentence = image.evidence.sentence();
        return Err(TargetImageRefusal::NotProven { image_id: wanted.clone(), sentence });
    }
    Ok(image)
}

fn images_of(situation: &RecoverySituation) -> impl Iterator<Item = &Image> {
    situation.images.values().flatten()
}

fn only_with(
    situation: &RecoverySituation,
    image: &Image,
    target: &TargetImage,
) -> Result<RecoverySituation, TargetImageRefusal> {
    let mut only = situation.clone();
    only.images.clear();
    for machine in &situation.service.machines {
        let key = situation.service.key.machine(machine.machine_id.clone());
        let chosen = if key == image.machine { Some(image) } else { of_same_moment(situation, &key, image) };
        let chosen = chosen.ok_or_else(|| TargetImageRefusal::NoSharedMoment {
            image_id: image.image_id.clone(),
            machine: key.clone(),
        })?;
        only.images.insert(key, vec![chosen.clone()]);
    }
    only.service = opened_by(&situation.service, target);
    Ok(only)
}

/// The newest image of a machine that was taken in one group with the named one.
fn of_same_moment<'a>(
    situation: &'a RecoverySituation,
    machine: &MachineKey,
    image: &Image,
) -> Option<&'a Image> {
    let group = image.group_id.as_ref()?;
    situation.images.get(machine)?.iter().find(|other| other.group_id.as_ref() == Some(group))
}

fn opened_by(service: &Service, target: &TargetImage) -> Service {
    let own = &service.ssh_key_name;
    let ssh_key_name = target.ssh_key_name.as_ref().unwrap_or(own).clone();
    Service { ssh_key_name, ..service.clone() }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test whose fixtures do not parse has failed")]
    use rekindle_domain::verdict::MINIMUM_PROOF;
    use rekindle_domain::{Check, RecoveryPlan, ServiceId};

    use super::super::tests::{at, request, situation, with_image};
    use super::super::{RecoveryUnplannable, plan_recovery};
    use super::*;

    fn proven(mut situation: RecoverySituation) -> RecoverySituation {
        for image in situation.images.values_mut().flatten() {
            let check = |kind| Check {
                kind,
                name: "check".to_owned(),
                data_store: None,
                passed: true,
                explanation: "as expected".to_owned(),
            };
            image.evidence.checks = MINIMUM_PROOF.into_iter().map(check).collect();
            image.evidence.recovery_point = Some(image.recovery_point);
        }
        situation
    }

    fn shop() -> RecoverySituation {
        let service = situation("shop", &["a"], &[]);
        let service = with_image(service, "a", "newest", 30, "X");
        let service = with_image(service, "a", "wanted", 20, "W");
        proven(with_image(service, "a", "oldest", 10, "V"))
    }

    fn wanting(image: &str, services: &[&str]) -> RecoveryRequest {
        let target = TargetImage {
            image_id: ImageId::parse(image).unwrap(),
            ssh_key_name: Some("key-of-the-day".to_owned()),
        };
        let services = services.iter().map(|id| ServiceId::parse(id).unwrap()).collect();
        RecoveryRequest { services, target: Some(target), ..request() }
    }

    fn refused(request: &RecoveryRequest, situations: &[RecoverySituation]) -> TargetImageRefusal {
        match plan_recovery(request, situations, at(0)).unwrap_err() {
            RecoveryUnplannable::TargetImage(refusal) => refusal,
            other => unreachable!("{other}"),
        }
    }

    fn images(plan: &RecoveryPlan) -> Vec<&str> {
        plan.machines().map(|machine| machine.image_id.as_str()).collect()
    }

    #[test]
    fn the_named_image_is_recovered_with_the_named_key_and_falls_back_to_no_other() {
        let plan = plan_recovery(&wanting("wanted", &["shop"]), &[shop()], at(0)).unwrap();
        let machine = plan.machines().next().unwrap();
        assert_eq!(machine.image_id.as_str(), "wanted");
        assert_eq!(machine.recovery_point, at(20));
        assert_eq!(machine.ssh_key_name, "key-of-the-day");
        assert!(machine.fallbacks.is_empty());
    }

    #[test]
    fn without_a_named_key_the_services_own_one_opens_the_replica() {
        let mut request = wanting("wanted", &["shop"]);
        request.target.as_mut().unwrap().ssh_key_name = None;
        let plan = plan_recovery(&request, &[shop()], at(0)).unwrap();
        assert_eq!(plan.machines().next().unwrap().ssh_key_name, "key");
    }

    #[test]
    fn other_machines_of_the_service_come_back_at_the_same_moment() {
        let service = situation("pair", &["a", "b"], &[]);
        let service = with_image(with_image(service, "a", "a2", 20, "W"), "a", "a1", 10, "V");
        let service = proven(with_image(with_image(service, "b", "b2", 20, "W"), "b", "b1", 10, "V"));
        let plan = plan_recovery(&wanting("a1", &["pair"]), std::slice::from_ref(&service), at(0)).unwrap();
        assert_eq!(images(&plan), ["a1", "b1"]);

        let lonely = proven(with_image(service, "a", "a3", 30, "X"));
        let refusal = refused(&wanting("a3", &["pair"]), &[lonely]);
        assert!(matches!(refusal, TargetImageRefusal::NoSharedMoment { .. }), "{refusal}");
    }

    #[test]
    fn an_image_that_is_not_registered_or_not_this_services_is_refused() {
        let other = proven(with_image(situation("other", &["a"], &[]), "a", "foreign", 20, "W"));
        let situations = [shop(), other];
        let refusal = refused(&wanting("unheard-of", &["shop"]), &situations);
        assert!(matches!(refusal, TargetImageRefusal::NotRegistered(_)), "{refusal}");
        let refusal = refused(&wanting("foreign", &["shop"]), &situations);
        assert!(matches!(refusal, TargetImageRefusal::OfAnother { .. }), "{refusal}");
    }

    #[test]
    fn an_image_that_is_not_proven_is_refused() {
        let bare = with_image(situation("shop", &["a"], &[]), "a", "wanted", 20, "W");
        let refusal = refused(&wanting("wanted", &["shop"]), &[bare]);
        assert!(matches!(refusal, TargetImageRefusal::NotProven { .. }), "{refusal}");
    }

    #[test]
    fn an_image_goes_with_one_service_and_without_an_instant() {
        for services in [&[][..], &["shop", "web"]] {
            let refusal = refused(&wanting("wanted", services), &[shop()]);
            assert!(matches!(refusal, TargetImageRefusal::NotOneService { .. }), "{refusal}");
        }
        let both = RecoveryRequest { at_or_before: Some(at(25)), ..wanting("wanted", &["shop"]) };
        assert_eq!(refused(&both, &[shop()]), TargetImageRefusal::AndAnInstant);
    }

    #[test]
    fn a_service_that_is_not_known_is_called_unknown() {
        let error = plan_recovery(&wanting("wanted", &["nobody"]), &[shop()], at(0)).unwrap_err();
        assert!(matches!(error, RecoveryUnplannable::UnknownService(_)), "{error}");
    }
}
