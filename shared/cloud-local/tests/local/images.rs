//! Images: what they keep, what they cost, and what is never in them.

use std::path::Path;
use std::time::Duration;

use rekindle_cloud::{CloudErrorKind, CloudProvider as _, Purpose};
use rekindle_cloud_local::LaunchMethod;

use crate::site::{Site, base};

#[tokio::test(flavor = "multi_thread")]
async fn what_was_written_is_in_the_next_instance() {
    let site = Site::open().await;
    let id = site.launch("one").await;
    site.shell(&id, "echo restored > /var/lib/data && chmod 640 /var/lib/data && mkdir -m 750 /srv/deep")
        .await;
    site.shell(&id, "ln -s data /var/lib/link && touch -d 2001-02-03 /srv/old && chmod 0 /srv/old").await;
    let machine_id = site.shell(&id, "cat /etc/machine-id").await;
    let name = "image-name";
    let error = site.cloud.create_image(&site.image_request(&id, name)).await.unwrap_err();
    assert_eq!(error.kind, CloudErrorKind::WrongState);

    site.power_off(&id).await;
    let image = site.image_of(&id, name).await;
    assert!(image.size_bytes.unwrap().0 > 1000);
    let error = site.cloud.create_image(&site.image_request(&id, name)).await.unwrap_err();
    assert_eq!(error.kind, CloudErrorKind::NameTaken);
    let error = site.cloud.create_image(&site.image_request(&id, "another")).await.unwrap_err();
    assert_eq!(error.kind, CloudErrorKind::WrongState);
    site.cloud.terminate(&id).await.unwrap();
    assert_eq!(site.cloud.find_image(name).await.unwrap().unwrap().image_id, image.image_id);

    for purpose in [Purpose::Replica, Purpose::Builder] {
        let next = site
            .launch_as(&format!("{purpose:?}"), |request| {
                request.image_id = image.image_id.clone();
                request.purpose = purpose;
            })
            .await;
        let text = site
            .shell(&next, "cat /var/lib/link && stat -c %a /var/lib/data /srv/deep && stat -c %y /srv/old");
        assert!(text.await.starts_with("restored\n640\n750\n2001-02-03"));
        assert_ne!(site.shell(&next, "cat /etc/machine-id").await, machine_id);
    }
    site.close();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_pays_for_no_copy_and_the_one_after_it_for_one_at_most() {
    let site = Site::open().await;
    let id = site.launch("one").await;
    site.shell(&id, "head -c 20000000 /dev/urandom > /var/lib/data").await;
    site.power_off(&id).await;
    let image = site.image_of(&id, "image").await.image_id;
    let launch = async |token: &str, purpose| {
        let id = site
            .launch_as(token, |request| {
                request.image_id = image.clone();
                request.purpose = purpose;
            })
            .await;
        site.cloud.launch_cost(&id).unwrap().unwrap()
    };

    let builder = launch("builder", Purpose::Builder).await;
    let first = launch("first", Purpose::Replica).await;
    assert_eq!(first.bytes, 0);
    if site.cloud.shares_blocks() {
        assert_eq!((builder.method, first.method), (LaunchMethod::Reflink, LaunchMethod::Reflink));
    } else {
        assert_eq!((builder.method, first.method), (LaunchMethod::Copied, LaunchMethod::ReadyCopy));
        assert!(builder.bytes >= 20_000_000);
        let second = launch("second", Purpose::Replica).await;
        let one_copy = (LaunchMethod::Copied, builder.bytes);
        assert!(
            second.method == LaunchMethod::ReadyCopy || (second.method, second.bytes) == one_copy,
            "{second:?}"
        );
        wait_for_ready(&site.state().join("images").join(image.as_str())).await;
        assert_eq!(launch("third", Purpose::Replica).await.method, LaunchMethod::ReadyCopy);
    }
    site.close();
}

async fn wait_for_ready(image: &Path) {
    for _ in 0..1000 {
        if image.join("ready").exists() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("no ready copy was made");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_key_to_the_backups_is_for_builders_and_in_no_image() {
    let site = Site::open().await;
    let builder = site.launch_as("builder", |request| request.purpose = Purpose::Builder).await;
    let replica = site.launch("replica").await;
    assert_eq!(site.shell(&builder, "cat /run/rekindle/identity").await, "AGE-SECRET-KEY-FOR-TESTS");
    assert_ne!(site.run(&replica, &["cat", "/run/rekindle/identity"]).await.exit_code, 0);
    site.power_off(&builder).await;
    site.image_of(&builder, "image").await;
    assert_nowhere(&site.state(), b"AGE-SECRET-KEY");
    assert_nowhere(&site.state(), b"backed up");
    site.close();
}

fn assert_nowhere(folder: &Path, secret: &[u8]) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            assert_nowhere(&entry.path(), secret);
        } else if kind.is_file() && entry.file_name() != "instance-program" {
            let content = std::fs::read(entry.path()).unwrap();
            let found = content.windows(secret.len()).any(|window| window == secret);
            assert!(!found, "{} holds the secret", entry.path().display());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_base_image_is_made_once() {
    let site = Site::open().await;
    assert_eq!(site.cloud.build_base_image(base("main")).await.unwrap(), site.image);
    let mut other = base("main");
    other.name = "other".into();
    assert_ne!(site.cloud.build_base_image(other).await.unwrap(), site.image);
    assert_ne!(site.cloud.build_base_image(base("fail")).await.unwrap(), site.image);
    let mut outside = base("main");
    outside.files[0].path = "/opt/../../outside".into();
    assert_eq!(site.cloud.build_base_image(outside).await.unwrap_err().kind, CloudErrorKind::Refused);
    site.close();
}
