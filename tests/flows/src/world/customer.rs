//! Who is protected: the customer acme, with a service on one machine and a service on two.

use minisign::{KeyPair, PublicKey};
use rekindle_domain::service::CurrentConfiguration;
use rekindle_domain::{
    ApprovalPolicy, CustomerId, ImageId, Machine, MachineId, MachineKey, Objectives, RecoveryKind, Seconds,
    Service, ServiceId, ServiceKey,
};

/// The image that every machine's first image is built from.
pub const BASE_IMAGE: &str = "ami-base";
/// How long a person has to decide about a recovery.
pub const DECISION_TIME: Seconds = Seconds(3.0 * 3600.0);

/// The only customer.
pub fn customer() -> CustomerId {
    CustomerId::parse("acme").unwrap()
}

/// The one machine of the service `orders`.
pub fn orders_database() -> MachineKey {
    MachineKey::parse("acme/orders/database").unwrap()
}

/// The two machines of the service `shop`, which needs `orders`.
pub fn shop_machines() -> [MachineKey; 2] {
    ["acme/shop/cache", "acme/shop/web"].map(|text| MachineKey::parse(text).unwrap())
}

/// All machines.
pub fn machines() -> Vec<MachineKey> {
    let [cache, web] = shop_machines();
    vec![orders_database(), cache, web]
}

/// The customer's signing keys.
pub fn signing_keys() -> KeyPair {
    KeyPair::generate_unencrypted_keypair().unwrap()
}

/// Both services.
pub fn services(public: &PublicKey, configuration: &CurrentConfiguration) -> Vec<Service> {
    let key = public.to_base64();
    vec![
        service("orders", &["database"], &[], &key, configuration),
        service("shop", &["cache", "web"], &["orders"], &key, configuration),
    ]
}

fn service(
    name: &str,
    machines: &[&str],
    depends_on: &[&str],
    signing_key: &str,
    configuration: &CurrentConfiguration,
) -> Service {
    Service {
        key: ServiceKey { customer_id: customer(), service_id: ServiceId::parse(name).unwrap() },
        display_name: name.to_owned(),
        objectives: Objectives { recovery_time: Seconds(1800.0), recovery_point: Seconds(86_400.0) },
        depends_on: depends_on.iter().map(|name| ServiceId::parse(name).unwrap()).collect(),
        machines: machines.iter().map(|name| machine(name)).collect(),
        ssh_key_name: "acme-operations".to_owned(),
        signing_keys: vec![signing_key.to_owned()],
        configuration: Some(configuration.clone()),
        approval: ApprovalPolicy {
            name: "rehearsals".to_owned(),
            approved_beforehand: vec![RecoveryKind::Rehearsal],
            deadline: DECISION_TIME,
        },
        concurrent_builders: 4,
    }
}

fn machine(name: &str) -> Machine {
    Machine {
        machine_id: MachineId::parse(name).unwrap(),
        base_image: Some(ImageId::parse(BASE_IMAGE).unwrap()),
        instance_types: ["m7i.large", "m6i.large"].map(str::to_owned).to_vec(),
        zones: ["sim-1a", "sim-1b"].map(str::to_owned).to_vec(),
    }
}
