//! How long things take here. Not judged, only shown: `cargo test -- --ignored --nocapture measure`.
#![expect(clippy::print_stdout, reason = "measurements are shown")]

use std::time::{Duration, Instant};

use rekindle_cloud::{CloudProvider as _, Purpose};

use crate::site::Site;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement"]
async fn measure_launches_and_images() {
    let since = Instant::now();
    let site = Site::open().await;
    println!("open and base image: {:?}", since.elapsed());
    let mut launches = Vec::new();
    for number in 0..10 {
        let since = Instant::now();
        let id =
            site.launch_as(&format!("launch-{number}"), |request| request.purpose = Purpose::Builder).await;
        let started = since.elapsed();
        site.greeting(&id).await;
        launches.push((started, since.elapsed(), site.cloud.launch_cost(&id).unwrap().unwrap()));
    }
    launches.sort_by_key(|(started, ..)| *started);
    println!("launch, started and reached over TCP, median: {:?}", launches[launches.len() / 2]);
    println!("fastest {:?}, slowest {:?}", launches[0], launches[launches.len() - 1]);

    let id = site.launch("large").await;
    site.shell(
        &id,
        "mkdir /var/lib/data && head -c 100000000 /dev/urandom | split -b 1000000 - /var/lib/data/",
    )
    .await;
    let since = Instant::now();
    site.power_off(&id).await;
    println!("power-off with 100 MB written: {:?}", since.elapsed());
    let since = Instant::now();
    let image = site.cloud.create_image(&site.image_request(&id, "large")).await.unwrap().image_id;
    println!("create_image of 100 MB answered: {:?}", since.elapsed());
    site.available(&image).await;
    println!("create_image of 100 MB available: {:?}", since.elapsed());
    for (token, purpose) in [
        ("builder", Purpose::Builder),
        ("first replica", Purpose::Replica),
        ("second replica, at once", Purpose::Replica),
        ("third replica, later", Purpose::Replica),
    ] {
        if token.starts_with("third") {
            tokio::time::sleep(Duration::from_secs(3)).await;
        }
        let since = Instant::now();
        let id = site
            .launch_as(token, |request| {
                request.image_id = image.clone();
                request.purpose = purpose;
            })
            .await;
        println!("{token}: {:?}, {:?}", since.elapsed(), site.cloud.launch_cost(&id).unwrap().unwrap());
        let since = Instant::now();
        site.cloud.terminate(&id).await.unwrap();
        println!("  terminated: {:?}", since.elapsed());
    }
    site.close();
}
