//! What an instance is, and what it is not.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use rekindle_cloud::{
    CloudErrorKind, CloudProvider as _, InstanceState, MACHINE_TAG, Purpose, RUN_TAG, Resource,
};
use rekindle_domain::InstanceId;

use crate::site::{PROGRAM, Site, base};

#[tokio::test(flavor = "multi_thread")]
async fn instances_differ_in_name_machine_id_and_address() {
    let site = Site::open().await;
    let (one, other) = (site.launch("one").await, site.launch("other").await);
    for line in ["hostname", "cat /etc/hostname", "cat /etc/machine-id", "cat /run/rekindle/instance-id"] {
        let (first, second) = (site.shell(&one, line).await, site.shell(&other, line).await);
        assert!(!first.is_empty() && first != second, "{line}: {first} and {second}");
    }
    assert_ne!(site.cloud.address(&one).unwrap(), site.cloud.address(&other).unwrap());
    assert_eq!(site.shell(&one, "hostname").await, site.shell(&one, "cat /etc/hostname").await);
    assert!(site.shell(&one, "cat /proc/1/status").await.contains("Pid:\t1\n"));
    let processes: usize = site.shell(&one, "ls -d /proc/[0-9]* | wc -l").await.parse().unwrap();
    assert!(processes < 6, "the host's processes are visible: {processes}");
    site.close();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_hosts_programs_can_be_used_and_not_changed() {
    let site = Site::open().await;
    let id = site.launch("one").await;
    for line in [
        "touch /usr/here",
        "mount -o remount,rw /usr",
        "mount -o remount,bind,rw /usr",
        "umount /usr",
        "umount -l /usr",
        "umount /proc/sys",
        "echo 1 > /proc/sys/vm/drop_caches",
        "echo x > /proc/sys/kernel/core_pattern",
        "echo h > /proc/sysrq-trigger",
        "mknod /root/disk b 254 0 && cat /root/disk",
        "ls /sys/class",
        "for fd in /proc/1/fd/*; do if readlink $fd || ls -d $fd/..; then exit 0; fi; done; exit 1",
        "ls /proc/1/cwd/",
        "cat /proc/1/environ",
        "cat /proc/1/exe",
    ] {
        let output = site.run(&id, &["/bin/sh", "-c", line]).await;
        assert_ne!(output.exit_code, 0, "{line} was allowed");
    }
    for line in [
        "echo text > /dev/null",
        "head -c 8 /dev/urandom | wc -c",
        "touch /root/a /etc/b /var/c /home/d /srv/e /opt/f /tmp/g /run/h /dev/shm/i",
        "test -c /dev/tty && test -L /dev/fd && test -e /dev/ptmx && test -w /dev/full",
        "mkdir /mnt/own && mount -t tmpfs none /mnt/own",
        "grep -q postgres:x:999 /etc/passwd && grep -q nobody /etc/passwd",
        "/bin/ls / > /dev/null && ls /usr/bin > /dev/null",
    ] {
        site.shell(&id, line).await;
    }
    site.close();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_sees_its_agent_api_and_its_store() {
    let site = Site::open().await;
    let id = site.launch("one").await;
    assert_eq!(site.shell(&id, &format!("{PROGRAM} agent-api")).await, format!("you are {id}"));
    assert_eq!(site.shell(&id, "cat /run/rekindle/store/data/backup").await, "backed up");
    assert_ne!(site.run(&id, &["touch", "/run/rekindle/store/data/new"]).await.exit_code, 0);
    assert_ne!(
        site.run(&id, &["mount", "-o", "remount,bind,rw", "/run/rekindle/store/data"]).await.exit_code,
        0
    );
    site.close();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_of_a_writable_profile_can_take_backups() {
    let site = Site::with(|options| {
        options.profiles.values_mut().for_each(|profile| profile.writable = true);
    })
    .await;
    let id = site.launch("one").await;
    site.shell(&id, "echo new > /run/rekindle/store/data/new && cat /run/rekindle/identity").await;
    assert!(site.folder.path().join("data/new").exists());
    site.close();
}

#[tokio::test(flavor = "multi_thread")]
async fn instances_reach_each_other_and_the_host_reaches_them() {
    let site = Site::open().await;
    let (one, other) = (site.launch("one").await, site.launch("other").await);
    let apart = site.launch_as("apart", |request| request.isolated_network = true).await;
    assert_eq!(site.greeting(&one).await, site.shell(&one, "hostname").await);
    assert_eq!(site.greeting(&apart).await, site.shell(&apart, "hostname").await);

    let fetch = |address: SocketAddr| format!("{PROGRAM} fetch {address}");
    let answer = site.shell(&one, &fetch(site.address(&other))).await;
    assert_eq!(answer, site.shell(&other, "hostname").await);
    for (from, to) in [(&one, &apart), (&apart, &one)] {
        let output = site.run(from, &["/bin/sh", "-c", &fetch(site.address(to))]).await;
        assert_ne!(output.exit_code, 0, "the isolated network is not isolated");
    }

    let nobody: SocketAddr = SocketAddr::new(site.cloud.address(&one).unwrap(), 9);
    let error = site.cloud.connect(nobody).await.unwrap_err();
    assert!(error.to_string().contains("refused"), "{error}");
    site.close();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_gives_one_instance() {
    let site = Site::open().await;
    let id = site.launch("token").await;
    assert_eq!(site.launch("token").await, id);

    let mut other = site.request("token");
    other.purpose = Purpose::Builder;
    assert_eq!(site.cloud.launch(&other).await.unwrap_err().kind, CloudErrorKind::Refused);

    site.cloud.terminate(&id).await.unwrap();
    site.cloud.terminate(&id).await.unwrap();
    assert_eq!(site.cloud.describe_instance(&id).await.unwrap().state, InstanceState::Terminated);
    let error = site.cloud.launch(&site.request("token")).await.unwrap_err();
    assert_eq!(error.kind, CloudErrorKind::Refused);
    assert!(error.to_string().contains("terminated"), "{error}");
    assert!(!site.state().join("instances").join(id.as_str()).exists());

    let together = futures_of(&site, 4).await;
    assert!(together.iter().all(|id| *id == together[0]), "{together:?}");
    site.close();
}

/// The same request, several times at once.
async fn futures_of(site: &Site, count: usize) -> Vec<InstanceId> {
    let (a, b, c, d) =
        (site.request("same"), site.request("same"), site.request("same"), site.request("same"));
    let (a, b, c, d) = tokio::join!(
        site.cloud.launch(&a),
        site.cloud.launch(&b),
        site.cloud.launch(&c),
        site.cloud.launch(&d)
    );
    let all = [a, b, c, d].into_iter().take(count);
    all.map(|instance| instance.unwrap().instance_id).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_launched_leaves_nothing() {
    let site = Site::open().await;
    let mut request = site.request("no-key");
    request.ssh_key_name = "unknown".into();
    assert_eq!(site.cloud.launch(&request).await.unwrap_err().kind, CloudErrorKind::Refused);
    let mut request = site.request("no-image");
    request.image_id = "img-unknown".parse().unwrap();
    assert_eq!(site.cloud.launch(&request).await.unwrap_err().kind, CloudErrorKind::NotFound);

    let mut nowhere = base("main");
    nowhere.name = "nowhere".into();
    nowhere.init_command = vec!["/opt/test/nothing".into()];
    let mut request = site.request("no-program");
    request.image_id = site.cloud.build_base_image(nowhere).await.unwrap();
    let error = site.cloud.launch(&request).await.unwrap_err();
    assert!(error.to_string().contains("/opt/test/nothing"), "{error}");
    assert!(site.cloud.find_by_run(&site.run_id).await.unwrap().is_empty());
    assert_eq!(std::fs::read_dir(site.state().join("instances")).unwrap().count(), 0);

    // The token of a launch that has failed can be used again.
    request.image_id = site.image.clone();
    site.cloud.launch(&request).await.unwrap();
    site.close();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_keeps_failing_powers_the_instance_off() {
    let site = Site::open().await;
    let failing = site.cloud.build_base_image(base("fail")).await.unwrap();
    let id = site.launch_as("failing", |request| request.image_id = failing).await;
    site.wait_for(&id, InstanceState::Stopped).await;
    let log = std::fs::read_to_string(site.cloud.log_directory(&id).join("program.log")).unwrap();
    assert_eq!(log.matches("ended with code 3").count(), 3, "{log}");
    site.close();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_is_stopped_by_its_program_or_by_its_owner() {
    let site = Site::open().await;
    let (one, other) = (site.launch("one").await, site.launch("other").await);
    site.power_off(&one).await;
    site.cloud.stop(&other).await.unwrap();
    assert_eq!(site.wait_for(&other, InstanceState::Stopped).await.state, InstanceState::Stopped);
    assert!(site.state().join("instances").join(one.as_str()).join("tree/etc/hostname").exists());
    site.close();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_ends_with_its_supervisor() {
    let site = Site::open().await;
    let id = site.launch("one").await;
    let processes =
        std::fs::read_to_string(site.state().join("instances").join(id.as_str()).join("processes"));
    let supervisor: i32 = processes.unwrap().split(' ').next().unwrap().parse().unwrap();
    let supervisor = rustix::process::Pid::from_raw(supervisor).unwrap();
    rustix::process::kill_process(supervisor, rustix::process::Signal::KILL).unwrap();
    site.wait_for(&id, InstanceState::Stopped).await;
    site.close();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_console_runs_commands_with_input_and_bounds() {
    let site = Site::open().await;
    let id = site.launch("one").await;
    let command = ["/bin/sh", "-c", "cat; echo complaint >&2; exit 7"].map(str::to_owned);
    let output = site.cloud.run_inside(&id, &command, b"input").await.unwrap();
    assert_eq!((output.exit_code, output.stdout, output.truncated), (7, b"input".to_vec(), false));
    assert_eq!(output.stderr, b"complaint\n");

    let output = site.run(&id, &["head", "-c", "9000000", "/dev/zero"]).await;
    assert_eq!((output.exit_code, output.stdout.len(), output.truncated), (0, 4 << 20, true));
    let output = site.run(&id, &["/bin/sh", "-c", "sleep 100 & echo started"]).await;
    assert_eq!(output.stdout, b"started\n");
    assert_eq!(site.run(&id, &["/bin/sh", "-c", "kill -9 $$"]).await.exit_code, 137);
    let nothing = site.cloud.run_inside(&id, &["/no/such".to_owned()], b"").await.unwrap_err();
    assert_eq!(nothing.kind, CloudErrorKind::Refused);
    site.close();
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_console_nobody_gets_in() {
    let site = Site::with(|options| options.console = false).await;
    let id = site.launch("one").await;
    let error = site.cloud.run_inside(&id, &["true".to_owned()], b"").await.unwrap_err();
    assert_eq!(error.kind, CloudErrorKind::Refused);
    let sockets = std::fs::read_dir(site.state().join("instances").join(id.as_str()).join("run")).unwrap();
    let names: Vec<_> = sockets.map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["agent-api.sock"]);
    assert_eq!(site.greeting(&id).await.split('-').next(), Some("database"));
    site.close();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_customers_key_is_installed_once() {
    let site = Site::open().await;
    let id = site.launch_as("one", |request| request.ssh_key_name = "acme-key".into()).await;
    let keys = "stat -c %a /root/.ssh /root/.ssh/authorized_keys; cat /root/.ssh/authorized_keys";
    let text = site.shell(&id, keys).await;
    assert!(text.starts_with("700\n600\nssh-ed25519 ") && text.ends_with(" acme-key"), "{text}");
    site.power_off(&id).await;
    let image = site.image_of(&id, "with-key").await;
    let again = site
        .launch_as("two", |request| {
            request.ssh_key_name = "acme-key".into();
            request.image_id = image.image_id.clone();
        })
        .await;
    assert_eq!(site.shell(&again, keys).await, text);
    site.close();
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_of_a_run_is_found() {
    let site = Site::open().await;
    let (one, other) = (site.launch("one").await, site.launch("other").await);
    site.power_off(&one).await;
    let image = site.image_of(&one, "found").await;
    let tags = BTreeMap::from([
        (RUN_TAG.to_owned(), site.run_id.to_string()),
        (MACHINE_TAG.to_owned(), "acme/orders/database".to_owned()),
    ]);
    assert_eq!(image.tags, tags);
    let found = site.cloud.find_by_run(&site.run_id).await.unwrap();
    let mut kinds: Vec<_> = found.iter().map(Resource::kind).collect();
    kinds.sort_unstable();
    assert_eq!(kinds, ["image", "instance", "instance"]);

    for id in [&one, &other] {
        site.cloud.terminate(id).await.unwrap();
    }
    site.cloud.delete_image(&image.image_id).await.unwrap();
    site.cloud.delete_image(&image.image_id).await.unwrap();
    assert!(site.cloud.find_by_run(&site.run_id).await.unwrap().is_empty());
    site.cloud.delete_other("folder", "instances/i-unknown").await.unwrap();
    site.cloud.delete_other("volume", "vol-1").await.unwrap();
    site.close();
}
