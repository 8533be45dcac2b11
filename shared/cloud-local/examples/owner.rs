//! A process that owns a cloud: opens it, starts two instances, prints their ids, and waits to be killed.
//!
//! `owner <state directory> <helper program> <instance program>`

use std::collections::BTreeMap;
use std::error::Error;
use std::io::{Read as _, Write as _};
use std::path::PathBuf;
use std::sync::Arc;

use rekindle_cloud::{CloudProvider as _, LaunchRequest, Purpose};
use rekindle_cloud_local::{BaseImageFile, BaseImageSpec, FileSource, LocalCloud, LocalCloudOptions};
use rekindle_domain::{MachineKey, RunId};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args_os().skip(1);
    let mut next = || arguments.next().ok_or("owner <state directory> <helper program> <instance program>");
    let (state, helper, program) = (next()?, next()?, next()?);
    let cloud = LocalCloud::open(LocalCloudOptions {
        state_directory: PathBuf::from(state),
        helper_command: vec![helper, "instance-init".into()],
        profiles: BTreeMap::new(),
        ssh_keys: BTreeMap::new(),
        console: true,
        on_launch: Arc::new(|_, listener| drop(listener)),
    })
    .await?;
    let image_id = cloud
        .build_base_image(BaseImageSpec {
            name: "owner".into(),
            files: vec![BaseImageFile {
                path: "/opt/test/instance-program".into(),
                mode: 0o755,
                source: FileSource::CopyOf(program.into()),
            }],
            init_command: vec!["/opt/test/instance-program".into(), "main".into()],
        })
        .await?;
    let run_id = RunId::mint();
    for number in 0..2 {
        let request = LaunchRequest {
            client_token: format!("token-{number}"),
            run_id: run_id.clone(),
            machine: MachineKey::parse("acme/orders/database")?,
            image_id: image_id.clone(),
            instance_type: "small".into(),
            zone: String::new(),
            purpose: Purpose::Replica,
            ssh_key_name: String::new(),
            isolated_network: number == 1,
        };
        let instance = cloud.launch(&request).await?;
        let hello = ["/bin/sh", "-c", "echo kept > /root/kept"].map(str::to_owned);
        cloud.run_inside(&instance.instance_id, &hello, b"").await?;
        writeln!(std::io::stdout(), "{}", instance.instance_id)?;
    }
    writeln!(std::io::stdout(), "ready")?;
    // Until the other side is gone, or this process is killed.
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}
