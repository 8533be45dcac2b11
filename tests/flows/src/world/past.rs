//! Images that refreshes of the past have made, written down without carrying the refreshes out: most cases begin with
//! some, and a refresh costs a hundred calls of the register.

use rekindle_domain::{Flow, Image, ImageId, ImageVerdict, Lineage, Outcome, Run, RunId, RunState};
use rekindle_planning::deadline::run_deadline;
use rekindle_step::Clock as _;

use super::World;
use super::backups::Taken;
use super::customer::BASE_IMAGE;
use crate::agent::{Disk, verdict_of};

impl World {
    /// A proven and registered image that holds this set.
    pub async fn remember_image(&self, taken: &Taken) {
        let machine = &taken.set.machine;
        let run_id = RunId::mint();
        let image_id = ImageId::parse(&format!("ami-{}", run_id.as_str().to_lowercase())).unwrap();
        let service = self.register.service(&machine.service()).await.unwrap().unwrap().value;
        let configuration = service.configuration.unwrap();
        let disk = Disk {
            applied: Some(taken.set.position),
            backup_id: Some(taken.set.backup_id.clone()),
            revision: Some(configuration.revision.clone()),
            data: taken.data.clone(),
            sealed: true,
            serving: false,
        };
        let evidence = verdict_of(&disk, taken, Some(taken.set.recovery_point_time()), self.clock.now());
        self.cloud.add_image(image_id.clone(), &run_id, machine, disk.written());
        let image = Image {
            image_id,
            machine: machine.clone(),
            run_id: run_id.clone(),
            backup_id: taken.set.backup_id.clone(),
            group_id: taken.set.group_id.clone(),
            position: taken.set.position,
            revision: Some(configuration.revision),
            configuration_counter: configuration.counter,
            recovery_point: taken.set.recovery_point_time(),
            verdict: ImageVerdict::DataProven,
            evidence,
            lineage: Lineage {
                parent_image_id: ImageId::parse(BASE_IMAGE).unwrap(),
                from_base: true,
                applied: vec![taken.set.backup_id.clone()],
            },
            available_at: self.clock.now(),
            size_bytes: None,
        };
        self.register_as_of_the_past(&image).await;
    }

    /// Under a run that has ended and is reported.
    async fn register_as_of_the_past(&self, image: &Image) {
        let now = self.clock.now();
        let (register, run_id) = (&self.register, &image.run_id);
        let taken = register.take_lease(&run_of_the_past(image, self), None).await.unwrap();
        register.register_image(image, taken.lease.fence).await.unwrap();
        register.close_run(run_id, Some(Outcome::Refreshed), None, now).await.unwrap();
        register.release_lease(run_id, now).await.unwrap();
        register.end_run(run_id, now).await.unwrap();
        register.mark_reported(run_id).await.unwrap();
    }
}

fn run_of_the_past(image: &Image, world: &World) -> Run {
    let now = world.clock.now();
    Run {
        run_id: image.run_id.clone(),
        flow: Flow::RefreshImage,
        machine: Some(image.machine.clone()),
        fence: None,
        wanted_seen: None,
        plan_id: None,
        state: RunState::Open,
        opened_at: now,
        deadline: run_deadline(now),
        last_intent_at: None,
        closed_at: None,
        first_empty_at: None,
        outcome: None,
        cause: None,
        reported: false,
        version: 0,
    }
}
