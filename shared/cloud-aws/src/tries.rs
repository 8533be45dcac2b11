//! In which zones and with which client tokens an instance is asked for. Pure, and the same for the same request.
//!
//! A client token holds for one zone and for one set of parameters. So every way of asking has a token of its own,
//! made from the caller's: with the same token, another zone would give a second instance, and other parameters a
//! refusal.
//!
//! <https://docs.aws.amazon.com/ec2/latest/devguide/ec2-api-idempotency.html>

use rekindle_cloud::{CloudError, CloudErrorKind, LaunchRequest};
use rekindle_domain::Digest;

use crate::settings::Network;

/// EC2 takes no longer token.
const LONGEST_TOKEN: usize = 64;

/// One way of asking for the instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Try {
    pub(crate) zone: String,
    pub(crate) subnet: String,
    pub(crate) token: String,
    /// Whether its volumes are filled at a rate that is bought.
    pub(crate) is_hurried: bool,
}

/// The ways to ask, in order: the zones as they are sorted, in each the hurried way first.
pub(crate) fn tries(
    request: &LaunchRequest,
    network: &Network,
    hurried: bool,
) -> Result<Vec<Try>, CloudError> {
    if request.client_token.is_empty() || request.client_token.len() > LONGEST_TOKEN {
        let what = format!("a client token has 1 to {LONGEST_TOKEN} characters");
        return Err(CloudError::new(CloudErrorKind::Refused, what));
    }
    let ways: &[bool] = if hurried { &[true, false] } else { &[false] };
    let zones = network.subnets.iter().filter(|(zone, _)| request.zone.is_empty() || request.zone == **zone);
    let tries: Vec<Try> = zones
        .flat_map(|(zone, subnet)| {
            ways.iter().map(|is_hurried| Try {
                zone: zone.clone(),
                subnet: subnet.clone(),
                token: token(request, zone, hurried && !is_hurried),
                is_hurried: *is_hurried,
            })
        })
        .collect();
    if tries.is_empty() {
        return Err(no_subnet(request));
    }
    Ok(tries)
}

/// The caller's own token, where the request leaves nothing open.
fn token(request: &LaunchRequest, zone: &str, falls_back: bool) -> String {
    let way = if falls_back { " at the default rate" } else { "" };
    if request.zone.is_empty() {
        Digest::of(format!("{} in {zone}{way}", request.client_token).as_bytes()).to_string()
    } else if falls_back {
        Digest::of(format!("{}{way}", request.client_token).as_bytes()).to_string()
    } else {
        request.client_token.clone()
    }
}

/// The next zone may have one.
fn no_subnet(request: &LaunchRequest) -> CloudError {
    let network = if request.isolated_network { "isolated" } else { "production" };
    let what = format!(
        "no instance of {} was started in {}: the {network} network has no subnet there",
        request.machine, request.zone
    );
    CloudError::new(CloudErrorKind::NoCapacity, what)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test")]
    use std::collections::{BTreeMap, BTreeSet};

    use rekindle_cloud::Purpose;
    use rekindle_domain::{ImageId, MachineKey, RunId};

    use super::*;

    fn request(zone: &str) -> LaunchRequest {
        LaunchRequest {
            client_token: "t".repeat(64),
            run_id: RunId::mint(),
            machine: MachineKey::parse("acme/orders/database").unwrap(),
            image_id: ImageId::parse("ami-0123456789abcdef0").unwrap(),
            instance_type: "t3.medium".into(),
            zone: zone.into(),
            purpose: Purpose::Replica,
            ssh_key_name: String::new(),
            isolated_network: true,
        }
    }

    fn network() -> Network {
        let subnets = [("eu-west-1b", "subnet-b"), ("eu-west-1a", "subnet-a")];
        let subnets: BTreeMap<_, _> = subnets.map(|(zone, id)| (zone.to_owned(), id.to_owned())).into();
        Network { security_group: "sg-1".into(), subnets }
    }

    #[test]
    fn a_given_zone_is_asked_with_the_given_token() {
        let tries = tries(&request("eu-west-1b"), &network(), false).unwrap();
        let asked: Vec<(&str, &str)> =
            tries.iter().map(|way| (way.subnet.as_str(), way.token.as_str())).collect();
        assert_eq!(asked, [("subnet-b", "t".repeat(64).as_str())]);
    }

    #[test]
    fn every_way_of_asking_has_a_token_of_its_own_that_is_always_the_same() {
        let ways = tries(&request(""), &network(), true).unwrap();
        let shown: Vec<(&str, bool)> = ways.iter().map(|way| (way.subnet.as_str(), way.is_hurried)).collect();
        assert_eq!(shown, [("subnet-a", true), ("subnet-a", false), ("subnet-b", true), ("subnet-b", false)]);
        let tokens: BTreeSet<&str> = ways.iter().map(|way| way.token.as_str()).collect();
        assert_eq!(tokens.len(), 4);
        assert!(tokens.iter().all(|token| token.len() == 64));
        assert_eq!(tries(&request(""), &network(), true).unwrap(), ways);
    }

    #[test]
    fn a_zone_without_a_subnet_has_no_capacity() {
        let error = tries(&request("eu-west-1c"), &network(), false).unwrap_err();
        assert_eq!(error.kind, CloudErrorKind::NoCapacity);
        assert_eq!(
            error.what,
            "no instance of acme/orders/database was started in eu-west-1c: the isolated network has no subnet there"
        );
    }

    #[test]
    fn a_token_that_ec2_would_not_take_is_refused() {
        for token in [String::new(), "t".repeat(65)] {
            let request = LaunchRequest { client_token: token, ..request("eu-west-1a") };
            assert_eq!(tries(&request, &network(), false).unwrap_err().kind, CloudErrorKind::Refused);
        }
    }
}
