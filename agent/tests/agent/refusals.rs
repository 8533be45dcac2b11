//! Everything that a store can hold and an instance must refuse.

use rekindle_agent::jobs::Instance;
use rekindle_agent::keys::{DataIdentity, SigningKey};
use rekindle_domain::backup_set::LONGEST_DESCRIPTION_BYTES;
use rekindle_domain::{BackupId, SetObject};
use rekindle_step::ErrorName;
use rekindle_store::ObjectStore as _;
use serde_json::json;

use crate::world::{World, refused_with, restore, rows, write};

struct Scene {
    world: World,
    builder: Instance,
    full: BackupId,
}

fn scene() -> Scene {
    let world = World::sqlite();
    world.fill(15_000);
    let full = world.backup_id("full");
    let builder = world.builder("builder");
    Scene { world, builder, full }
}

impl Scene {
    async fn object(&self, nth: usize) -> SetObject {
        self.world.set(&self.full).await.data_stores[0].objects[nth].clone()
    }

    async fn bytes(&self, object: &SetObject) -> Vec<u8> {
        self.world.bucket("data").get(&object.key, 1 << 24).await.unwrap().to_vec()
    }

    async fn refused(&self, name: ErrorName) {
        refused_with(&self.builder, &[&self.full], name).await;
        assert!(!self.world.database(&self.builder.places).exists(), "refused data became the database");
    }

    async fn forged(&self, name: ErrorName, change: impl FnOnce(&mut serde_json::Value)) {
        self.world.forge(&self.full, change).await;
        self.refused(name).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flipped_byte_in_any_object() {
    let scene = scene();
    let count = scene.world.set(&scene.full).await.data_stores[0].objects.len();
    for (nth, at) in [(0, 10), (0, 500_000), (1, 0), (count - 2, 5), (count - 1, 30)] {
        let object = scene.object(nth).await;
        let good = scene.bytes(&object).await;
        let mut bad = good.clone();
        bad[at] ^= 1;
        scene.world.put("data", &object.key, &bad).await;
        scene.refused(ErrorName::ObjectCorrupt).await;
        scene.world.put("data", &object.key, &good).await;
    }
    restore(&scene.builder, &[&scene.full], None).await.expect("the good set was refused after the bad ones");
    assert_eq!(rows(&scene.world.database(&scene.builder.places)).len(), 15_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_truncated_a_longer_and_a_missing_object() {
    let scene = scene();
    let object = scene.object(1).await;
    let good = scene.bytes(&object).await;
    scene.world.put("data", &object.key, &good[..good.len() - 1]).await;
    scene.refused(ErrorName::ObjectTruncated).await;
    scene.world.put("data", &object.key, &[&good[..], b"x"].concat()).await;
    scene.refused(ErrorName::ObjectCorrupt).await;
    scene.world.bucket("data").delete(&object.key).await.unwrap();
    scene.refused(ErrorName::ObjectMissing).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_description_that_was_changed_or_signed_by_somebody_else() {
    let scene = scene();
    let key = scene.world.machine.set_description_key(&scene.full);
    let good = scene.world.bucket("control").get(&key, 1 << 20).await.unwrap().to_vec();
    let mut bad = good.clone();
    bad[40] ^= 1;
    scene.world.put("control", &key, &bad).await;
    scene.refused(ErrorName::SignatureInvalid).await;
    scene.world.publish(&scene.full, &good, &SigningKey::generate().unwrap()).await;
    scene.refused(ErrorName::SignatureInvalid).await;
    let signature = scene.world.machine.set_signature_key(&scene.full);
    scene.world.put("control", &signature, &[0xff; 100]).await;
    scene.refused(ErrorName::SignatureInvalid).await;
    scene.world.bucket("control").delete(&signature).await.unwrap();
    scene.refused(ErrorName::ObjectMissing).await;
    scene.world.bucket("control").delete(&key).await.unwrap();
    scene.refused(ErrorName::ObjectMissing).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_oversized_description_is_not_read() {
    let scene = scene();
    let mut bytes = serde_json::to_vec(&scene.world.set(&scene.full).await).unwrap();
    bytes.resize(LONGEST_DESCRIPTION_BYTES as usize + 1, b' ');
    scene.world.publish(&scene.full, &bytes, &scene.world.signing).await;
    scene.refused(ErrorName::SetRefused).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_that_climb_or_are_absolute() {
    for key in ["../../etc/passwd", "/etc/passwd", "customers/acme/services/orders/machines/other/sets/x/y"] {
        let scene = scene();
        scene
            .forged(ErrorName::SetRefused, |set| set["data_stores"][0]["objects"][0]["key"] = json!(key))
            .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_set_of_another_machine_or_of_other_data_stores() {
    scene().forged(ErrorName::SetRefused, |set| set["machine"]["machine_id"] = json!("other")).await;
    scene().forged(ErrorName::SetRefused, |set| set["data_stores"][0]["name"] = json!("others")).await;
    scene().forged(ErrorName::SetRefused, |set| set["backup_id"] = json!(BackupId::mint())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_or_changed_recipe() {
    scene()
        .forged(ErrorName::RecipeUnknown, |set| set["data_stores"][0]["recipe"]["name"] = json!("files"))
        .await;
    scene()
        .forged(ErrorName::RecipeUnknown, |set| set["data_stores"][0]["recipe"]["version"] = json!("9"))
        .await;
    let scene = scene();
    let path = scene.builder.places.recipes().join("sqlite.toml");
    let changed = std::fs::read_to_string(&path).unwrap() + "\n# changed\n";
    write(&path, changed.as_bytes());
    scene.refused(ErrorName::SignatureInvalid).await;
    let signature = scene.world.signing.sign(changed.as_bytes(), "a recipe").unwrap();
    write(&scene.builder.places.recipes().join("sqlite.toml.minisig"), signature.as_bytes());
    scene.refused(ErrorName::RecipeUnknown).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_set_for_another_identity_or_without_one() {
    let scene = scene();
    let places = &scene.builder.places;
    std::fs::remove_file(places.identity()).unwrap();
    scene.refused(ErrorName::DecryptionFailed).await;
    DataIdentity::generate().write(&places.identity()).unwrap();
    scene.refused(ErrorName::DecryptionFailed).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sets_that_are_older_or_do_not_continue_what_is_applied() {
    let scene = scene();
    let (world, builder) = (&scene.world, &scene.builder);
    let second = world.backup_id("incremental");
    let third = world.backup_id("incremental");
    refused_with(builder, &[&second], ErrorName::SetOutOfOrder).await;
    restore(builder, &[&scene.full], None).await.unwrap();
    refused_with(builder, &[&third], ErrorName::SetOutOfOrder).await;
    refused_with(builder, &[&third, &second], ErrorName::SetOutOfOrder).await;
    restore(builder, &[&second], rekindle_agent::state::State::read(&builder.places).unwrap().position())
        .await
        .unwrap();
    refused_with(builder, &[&scene.full], ErrorName::SetOutOfOrder).await;
    let error = restore(builder, &[&third], None).await.expect_err("the plan meant another instance");
    assert_eq!(error.name, ErrorName::SetOutOfOrder);
    world.forge(&third, |set| set["data_stores"][0]["recovery_point"]["from_position"] = json!("x")).await;
    refused_with(builder, &[&third], ErrorName::SetOutOfOrder).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_in_another_order_or_with_another_result() {
    let swapped = scene();
    swapped
        .forged(ErrorName::DecryptionFailed, |set| {
            set["data_stores"][0]["objects"][0]["order"] = json!(1);
            set["data_stores"][0]["objects"][1]["order"] = json!(0);
        })
        .await;
    let scene = scene();
    scene
        .world
        .forge(&scene.full, |set| set["data_stores"][0]["recovery_point"]["position"] = json!("x"))
        .await;
    let error =
        restore(&scene.builder, &[&scene.full], None).await.expect_err("another position was accepted");
    assert_eq!(error.name, ErrorName::SetRefused, "{}", error.chain());
    assert!(!scene.world.database(&scene.builder.places).exists());
}
