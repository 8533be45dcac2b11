//! The command is built without AWS. A configuration that asks for it is told so, by whatever part of the agent meets it.

use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Output};

use rekindle_agent::builtin_recipes;
use rekindle_agent::keys::{DataIdentity, SigningKey};
use rekindle_agent::places::Places;
use rekindle_end_to_end_tests::program;

const CONFIGURATION: &str = r#"
machine = "acme/orders/database"
[aws]
region = "eu-west-1"
control_bucket = "acme-control"
data_bucket = "acme-data"
[[data_stores]]
name = "orders"
recipe = "sqlite"
params = { database = "/srv/orders.db" }
probes = [{ name = "count", query = "SELECT count(*) FROM orders" }]
"#;

fn write(path: &Path, bytes: &[u8]) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, bytes).unwrap();
}

fn furnish(places: &Places, signing: &SigningKey) {
    write(&places.configuration(), CONFIGURATION.as_bytes());
    write(&places.trusted_keys().join("customer.pub"), signing.public_text().unwrap().as_bytes());
    for recipe in builtin_recipes() {
        let place = places.recipes().join(format!("{}.toml", recipe.name));
        let signature = signing.sign(recipe.text.as_bytes(), "a recipe").unwrap();
        write(&place, recipe.text.as_bytes());
        write(&place.with_extension("toml.minisig"), signature.as_bytes());
    }
}

fn agent(root: &Path) -> Command {
    let mut command = Command::new(program::built());
    command.arg0("rekindle-agent").arg("--root").arg(root);
    command
}

fn refused(output: &Output) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("this agent was built without AWS"), "{said}");
}

#[test]
fn running_backing_up_and_installing_say_so_in_one_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let host = Places::under(folder.path().join("host"));
    let signing = SigningKey::generate().unwrap();
    furnish(&host, &signing);
    let key = folder.path().join("signing.key");
    signing.write(&key).unwrap();

    refused(&agent(host.root()).arg("run").output().unwrap());
    let recipient = DataIdentity::generate().recipient().text();
    let mut backup = agent(host.root());
    refused(&backup.args(["backup", "--recipient", &recipient, "--signing-key"]).arg(&key).output().unwrap());
    let image = folder.path().join("image");
    let mut install = agent(&image);
    install.arg("install").arg("--config").arg(host.configuration());
    install.arg("--trusted-keys").arg(host.trusted_keys()).arg("--recipes").arg(host.recipes());
    refused(&install.output().unwrap());
    assert!(!image.exists());
}
