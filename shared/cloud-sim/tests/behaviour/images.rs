use rekindle_cloud::{CloudErrorKind, CloudProvider as _, ImageState};
use rekindle_domain::{ImageId, RunId};
use serde_json::json;

use crate::{
    image_request, kind_of, minutes, obliging_cloud, request, seconds, stopped_instance, unknown_instance,
};

#[tokio::test(start_paused = true)]
async fn an_image_takes_its_time_and_carries_the_disk_of_its_instance() {
    let cloud = obliging_cloud();
    let run_id = RunId::mint();
    let builder = cloud.launch(&request(&run_id, "builder")).await.unwrap();
    minutes(1).await;
    let inside = cloud.simulated_instance(&builder.instance_id).unwrap();
    inside.update_disk(|disk| disk["rows"] = json!([1, 2, 3]));
    inside.power_off();
    inside.stopped().await;
    let image = cloud.create_image(&image_request(&builder, &run_id, "image")).await.unwrap();
    assert_eq!(image.state, ImageState::Pending);
    cloud.terminate(&builder.instance_id).await.unwrap();
    seconds(59).await;
    assert_eq!(cloud.describe_image(&image.image_id).await.unwrap().state, ImageState::Pending);
    seconds(1).await;
    assert_eq!(cloud.describe_image(&image.image_id).await.unwrap().state, ImageState::Available);
    assert_eq!(cloud.truth_image(&image.image_id).unwrap().1, json!({ "rows": [1, 2, 3] }));
    let mut replica = request(&run_id, "replica");
    replica.image_id = image.image_id;
    let replica = cloud.launch(&replica).await.unwrap();
    let inside = cloud.simulated_instance(&replica.instance_id).unwrap();
    assert_eq!(inside.disk(), json!({ "rows": [1, 2, 3] }));
    let base = ImageId::parse("ami-base").unwrap();
    assert_eq!(cloud.truth_image(&base).unwrap().1, json!({ "rows": [1, 2] }));
}

#[tokio::test(start_paused = true)]
async fn only_a_stopped_instance_can_be_saved() {
    let cloud = obliging_cloud();
    let run_id = RunId::mint();
    let mut instance = cloud.launch(&request(&run_id, "builder")).await.unwrap();
    let image = image_request(&instance, &run_id, "image");
    assert_eq!(kind_of(cloud.create_image(&image).await), CloudErrorKind::WrongState);
    minutes(1).await;
    assert_eq!(kind_of(cloud.create_image(&image).await), CloudErrorKind::WrongState);
    cloud.simulated_instance(&instance.instance_id).unwrap().power_off();
    assert_eq!(kind_of(cloud.create_image(&image).await), CloudErrorKind::WrongState);
    seconds(10).await;
    cloud.create_image(&image).await.unwrap();
    instance.instance_id = unknown_instance();
    let image = image_request(&instance, &run_id, "another");
    assert_eq!(kind_of(cloud.create_image(&image).await), CloudErrorKind::NotFound);
}

#[tokio::test(start_paused = true)]
async fn a_name_is_taken_until_its_image_is_deleted() {
    let cloud = obliging_cloud();
    let run_id = RunId::mint();
    let instance = stopped_instance(&cloud, &run_id, "builder").await;
    let request = image_request(&instance, &run_id, "image");
    let image = cloud.create_image(&request).await.unwrap();
    assert_eq!(kind_of(cloud.create_image(&request).await), CloudErrorKind::NameTaken);
    assert_eq!(cloud.find_image("image").await.unwrap().unwrap().image_id, image.image_id);
    assert_eq!(cloud.find_image("another").await.unwrap(), None);
    cloud.delete_image(&image.image_id).await.unwrap();
    assert_eq!(cloud.find_image("image").await.unwrap(), None);
    cloud.create_image(&request).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_image_can_fail_and_keeps_its_name() {
    let cloud = obliging_cloud();
    let run_id = RunId::mint();
    let instance = stopped_instance(&cloud, &run_id, "builder").await;
    let request = image_request(&instance, &run_id, "image");
    cloud.fail_next_images(1);
    let image = cloud.create_image(&request).await.unwrap();
    minutes(1).await;
    assert_eq!(cloud.describe_image(&image.image_id).await.unwrap().state, ImageState::Failed);
    assert_eq!(kind_of(cloud.create_image(&request).await), CloudErrorKind::NameTaken);
    cloud.delete_image(&image.image_id).await.unwrap();
    let image = cloud.create_image(&request).await.unwrap();
    minutes(1).await;
    assert_eq!(cloud.describe_image(&image.image_id).await.unwrap().state, ImageState::Available);
}

#[tokio::test(start_paused = true)]
async fn an_image_takes_its_snapshot_with_it_unless_that_is_left_behind() {
    let cloud = obliging_cloud();
    let run_id = RunId::mint();
    let instance = stopped_instance(&cloud, &run_id, "builder").await;
    let kept = cloud.create_image(&image_request(&instance, &run_id, "kept")).await.unwrap();
    let gone = cloud.create_image(&image_request(&instance, &run_id, "gone")).await.unwrap();
    cloud.terminate(&instance.instance_id).await.unwrap();
    minutes(1).await;
    assert_eq!(cloud.truth_resources(&run_id).len(), 2);
    for _ in 0..2 {
        cloud.delete_image(&gone.image_id).await.unwrap();
        assert_eq!(cloud.truth_resources(&run_id).len(), 1);
    }
    cloud.leave_behind_next("snapshot", 1);
    assert!(cloud.find_by_run(&run_id).await.unwrap().iter().all(|resource| resource.kind() == "image"));
    let snapshot = &cloud.truth_parts(&run_id)[0];
    assert_eq!(kind_of(cloud.delete_other("snapshot", snapshot.id()).await), CloudErrorKind::WrongState);
    cloud.delete_image(&kept.image_id).await.unwrap();
    assert_eq!(kind_of(cloud.describe_image(&kept.image_id).await), CloudErrorKind::NotFound);
    assert_eq!(cloud.all_truth(), std::slice::from_ref(snapshot));
    cloud.delete_other("snapshot", snapshot.id()).await.unwrap();
    assert_eq!(cloud.all_truth(), []);
}

#[tokio::test(start_paused = true)]
async fn a_base_image_belongs_to_somebody_else() {
    let cloud = obliging_cloud();
    let base = ImageId::parse("ami-base").unwrap();
    assert_eq!(cloud.describe_image(&base).await.unwrap().state, ImageState::Available);
    assert_eq!(kind_of(cloud.delete_image(&base).await), CloudErrorKind::Refused);
    assert_eq!(cloud.all_truth(), []);
}
