//! The image register: proven images only, and never backwards.

use jiff::Timestamp;
use rekindle_domain::{Fence, Flow, Image, ImageId, MachineKey, Outcome, Run, RunId, RunState};

use super::leases::LEASE_IS_MINE;
use super::runs::run_item;
use crate::attributes::{attribute, from_item, key_of, text, to_item, unreadable};
use crate::error::RegisterError;
use crate::expression::Expression;
use crate::keys::{self, Key};
use crate::records::{NewestImage, Recorded};
use crate::register::Register;
use crate::register::pages::ImagePlace;
use crate::table::{MOST_TRIES, pause};

/// Where an image lies in the order of its machine: an item whose sort key is the order of [`Register::images`].
fn place(image: &Image) -> Key {
    let order = format!("{}#{}", sortable_order(image), keys::sortable_time(image.available_at));
    keys::image_place(&image.machine, &order, &image.image_id)
}

/// An order that a condition can compare: its alphabetical order is the order of images.
fn sortable_order(image: &Image) -> String {
    let (position, configuration) = image.order();
    format!("{:020}.{:020}.{configuration:020}", position.incarnation, position.sequence)
}

impl Register {
    /// Registers a proven image, in one transaction with all that must hold: the run is open, it holds the machine's
    /// lease with this fence, and nothing newer is registered. The same image again changes nothing.
    ///
    /// # Errors
    /// [`RegisterError::NotProven`], [`RegisterError::RunClosed`], [`RegisterError::FenceLost`],
    /// [`RegisterError::Superseded`], or [`RegisterError::Conflict`] when the id belongs to an image of another run.
    pub async fn register_image(&self, image: &Image, fence: Fence) -> Result<Recorded, RegisterError> {
        refuse_unproven(image)?;
        let machine_key = keys::machine_state(&image.machine);
        let run = Expression::condition("#state = :open AND #fence = :fence")
            .with_text("open", "Open")
            .with_number("fence", fence.0);
        let item = to_item(&keys::image(&image.machine, &image.image_id), image)?;
        let sent = self
            .table
            .transaction()
            .check(&keys::run(&image.run_id), run)
            .update(&machine_key, becoming_newest_under(image, fence)?)
            .put(item, Expression::absent())
            .put(
                to_item(&place(image), &ImagePlace { image_id: image.image_id.clone() })?,
                Expression::absent(),
            )
            .send()
            .await?;
        match sent {
            Ok(()) => Ok(Recorded::New),
            Err(_) => self.not_registered(image, fence).await,
        }
    }

    async fn not_registered(&self, image: &Image, fence: Fence) -> Result<Recorded, RegisterError> {
        if self.is_registered(image).await? {
            return Ok(Recorded::Known);
        }
        let state = self.machine_state(&image.machine).await?;
        let mine = state.lease.as_ref().is_some_and(|l| l.run_id == image.run_id && l.fence == fence);
        match state.newest {
            Some(newest) if mine && newest.order() > image.order() => Err(RegisterError::Superseded {
                machine: image.machine.clone(),
                image_id: image.image_id.clone(),
                newest: newest.image_id,
            }),
            _ => Err(self.lost(&image.run_id, &image.machine).await?),
        }
    }

    /// Whether this image is registered.
    ///
    /// # Errors
    /// [`RegisterError::Conflict`] when its id belongs to an image of another run.
    async fn is_registered(&self, image: &Image) -> Result<bool, RegisterError> {
        match self.image(&image.machine, &image.image_id).await? {
            Some(known) if known.run_id == image.run_id => Ok(true),
            Some(_) => Err(RegisterError::Conflict { what: format!("image {}", image.image_id) }),
            None => Ok(false),
        }
    }

    /// Takes a proven image back that the register has forgotten, under its run, which is recorded as ended where it is
    /// not known: as one that still owes its report, unless that was kept. No lease is needed: nothing is built while a
    /// register is rebuilt. It becomes the newest only if nothing newer is registered. The same image again changes
    /// nothing.
    ///
    /// # Errors
    /// [`RegisterError::NotProven`], or [`RegisterError::Conflict`] when the id belongs to an image of another run.
    pub async fn adopt_image(
        &self,
        image: &Image,
        started_at: Timestamp,
        reported: bool,
    ) -> Result<Recorded, RegisterError> {
        refuse_unproven(image)?;
        for tries in 0..MOST_TRIES {
            if self.is_registered(image).await? {
                return Ok(Recorded::Known);
            }
            if self.try_adoption(image, started_at, reported).await? {
                return Ok(Recorded::New);
            }
            pause(tries).await;
        }
        Err(RegisterError::Contention { doing: "adopting an image" })
    }

    async fn try_adoption(
        &self,
        image: &Image,
        started_at: Timestamp,
        reported: bool,
    ) -> Result<bool, RegisterError> {
        let (machine_key, run_key) = (keys::machine_state(&image.machine), keys::run(&image.run_id));
        let newest = self.machine_state(&image.machine).await?.newest;
        let is_newest = newest.is_none_or(|newest| newest.order() <= image.order());
        let order = sortable_order(image);
        let machine = if is_newest {
            becoming_newest(image, None)?
        } else {
            Expression::condition("#x_newest_order > :order").with("order", text(order))
        };
        let place_item = to_item(&place(image), &ImagePlace { image_id: image.image_id.clone() })?;
        let mut transaction = self
            .table
            .transaction()
            .put(to_item(&keys::image(&image.machine, &image.image_id), image)?, Expression::absent())
            .put(place_item, Expression::absent());
        transaction = match is_newest {
            true => transaction.update(&machine_key, machine),
            false => transaction.check(&machine_key, machine),
        };
        transaction = match self.run(&image.run_id).await? {
            Some(_) => transaction.check(&run_key, Expression::present()),
            None => transaction
                .put(run_item(&run_of_the_past(image, started_at, reported))?, Expression::absent()),
        };
        Ok(transaction.send().await?.is_ok())
    }

    /// All images of a machine, the newest first.
    pub async fn images(&self, machine: &MachineKey) -> Result<Vec<Image>, RegisterError> {
        let items = self.table.query(&keys::images(machine)).await?;
        let images = items.into_iter().map(|item| from_item(&key_of(&item), item));
        let mut images: Vec<Image> = images.collect::<Result<_, _>>()?;
        images.sort_by(|one, other| {
            (other.order(), other.available_at, &other.image_id).cmp(&(
                one.order(),
                one.available_at,
                &one.image_id,
            ))
        });
        Ok(images)
    }

    /// The image that a run has registered for its machine.
    ///
    /// # Errors
    /// When the register cannot be reached.
    pub async fn image_of_run(
        &self,
        machine: &MachineKey,
        run_id: &RunId,
    ) -> Result<Option<Image>, RegisterError> {
        Ok(self.images(machine).await?.into_iter().find(|image| image.run_id == *run_id))
    }

    /// One image.
    pub async fn image(&self, machine: &MachineKey, image: &ImageId) -> Result<Option<Image>, RegisterError> {
        let key = keys::image(machine, image);
        self.table.get(&key).await?.map(|item| from_item(&key, item)).transpose()
    }

    /// The newest image of a machine.
    pub async fn latest_image(&self, machine: &MachineKey) -> Result<Option<Image>, RegisterError> {
        match self.machine_state(machine).await?.newest {
            Some(newest) => self.image(machine, &newest.image_id).await,
            None => Ok(None),
        }
    }
}

fn refuse_unproven(image: &Image) -> Result<(), RegisterError> {
    if image.evidence.passed() {
        return Ok(());
    }
    let sentence = image.evidence.sentence();
    Err(RegisterError::NotProven { image_id: image.image_id.clone(), sentence })
}

/// The run that made an image and is over.
fn run_of_the_past(image: &Image, started_at: Timestamp, reported: bool) -> Run {
    let machine = Some(image.machine.clone());
    Run {
        state: RunState::Ended,
        closed_at: Some(image.available_at),
        outcome: Some(Outcome::Refreshed),
        reported,
        version: 1,
        ..Run::open(image.run_id.clone(), Flow::RefreshImage, machine, started_at, started_at)
    }
}

/// Makes an image the newest, where nothing newer is there and this condition holds too.
fn becoming_newest(image: &Image, and: Option<&str>) -> Result<Expression, RegisterError> {
    let newest = NewestImage {
        image_id: image.image_id.clone(),
        position: image.position,
        configuration_counter: image.configuration_counter,
    };
    let key = keys::machine_state(&image.machine);
    let newest = attribute(&newest).map_err(|error| unreadable(&key, error))?;
    let nothing_newer = "(attribute_not_exists(#x_newest_order) OR #x_newest_order <= :order)";
    let condition = and.map_or_else(|| nothing_newer.to_owned(), |and| format!("{and} AND {nothing_newer}"));
    let expression = Expression::update("SET #newest = :newest, #x_newest_order = :order", condition);
    Ok(expression.with("newest", newest).with("order", text(sortable_order(image))))
}

/// Makes an image the newest, where its run holds the lease with this fence and nothing newer is there.
fn becoming_newest_under(image: &Image, fence: Fence) -> Result<Expression, RegisterError> {
    let expression = becoming_newest(image, Some(LEASE_IS_MINE))?;
    Ok(expression.with_text("run", image.run_id.as_str()).with_number("fence", fence.0))
}
