//! EC2's token buckets, per account and Region (Amazon EC2 Developer Guide, "Request throttling for the Amazon EC2
//! API").

use tokio::time::Instant;

use crate::call::Operation;

/// A bucket that is full at first and refilled at a steady rate.
#[derive(Debug, Clone)]
struct TokenBucket {
    capacity: f64,
    refill_per_second: f64,
    tokens: f64,
    filled_at: Instant,
}

impl TokenBucket {
    fn full(capacity: u32, refill_per_second: u32, now: Instant) -> Self {
        let capacity = f64::from(capacity);
        Self { capacity, refill_per_second: f64::from(refill_per_second), tokens: capacity, filled_at: now }
    }

    fn fill(&mut self, now: Instant) {
        let elapsed = now.saturating_duration_since(self.filled_at).as_secs_f64();
        self.tokens = (self.tokens + elapsed * self.refill_per_second).min(self.capacity);
        self.filled_at = now;
    }

    fn has_one(&self) -> bool {
        // A whole token that was filled in small parts may lack a rounding error.
        self.tokens > 1.0 - 1e-9
    }

    fn take_one(&mut self) {
        self.tokens = (self.tokens - 1.0).max(0.0);
    }
}

/// The buckets of the actions that the operations use.
#[derive(Debug)]
pub(crate) struct Throttle {
    run_instances: TokenBucket,
    run_instances_resources: TokenBucket,
    terminate_instances: TokenBucket,
    terminate_instances_resources: TokenBucket,
    create_image: TokenBucket,
    deregister_image: TokenBucket,
    delete_snapshot: TokenBucket,
    delete_volume: TokenBucket,
    describe_instances: TokenBucket,
    describe_images: TokenBucket,
    describe_volumes: TokenBucket,
    describe_snapshots: TokenBucket,
}

impl Throttle {
    pub(crate) fn full(now: Instant) -> Self {
        let bucket = |capacity, refill_per_second| TokenBucket::full(capacity, refill_per_second, now);
        Self {
            run_instances: bucket(5, 2),
            run_instances_resources: bucket(1000, 2),
            terminate_instances: bucket(100, 5),
            terminate_instances_resources: bucket(1000, 20),
            create_image: bucket(50, 5),
            deregister_image: bucket(100, 5),
            delete_snapshot: bucket(100, 5),
            delete_volume: bucket(100, 5),
            // Described with a filter or by id; without either EC2 allows half of this.
            describe_instances: bucket(100, 20),
            describe_images: bucket(100, 20),
            describe_volumes: bucket(100, 20),
            describe_snapshots: bucket(100, 20),
        }
    }

    /// Whether the call is let through. One that is not takes nothing.
    pub(crate) fn admit(&mut self, operation: Operation, kind: Option<&str>, now: Instant) -> bool {
        let mut buckets = self.buckets_of(operation, kind);
        buckets.iter_mut().for_each(|bucket| bucket.fill(now));
        let admitted = buckets.iter().all(|bucket| bucket.has_one());
        if admitted {
            buckets.iter_mut().for_each(|bucket| bucket.take_one());
        }
        admitted
    }

    fn buckets_of(&mut self, operation: Operation, kind: Option<&str>) -> Vec<&mut TokenBucket> {
        match operation {
            Operation::Launch => vec![&mut self.run_instances, &mut self.run_instances_resources],
            Operation::Terminate => {
                vec![&mut self.terminate_instances, &mut self.terminate_instances_resources]
            }
            Operation::CreateImage => vec![&mut self.create_image],
            Operation::DeleteImage => vec![&mut self.deregister_image, &mut self.delete_snapshot],
            Operation::DeleteOther if kind == Some(crate::SNAPSHOT) => vec![&mut self.delete_snapshot],
            Operation::DeleteOther => vec![&mut self.delete_volume],
            Operation::DescribeInstance => vec![&mut self.describe_instances],
            Operation::DescribeImage | Operation::FindImage => vec![&mut self.describe_images],
            Operation::FindByMachine => vec![&mut self.describe_instances, &mut self.describe_images],
            Operation::FindByRun => vec![
                &mut self.describe_instances,
                &mut self.describe_images,
                &mut self.describe_volumes,
                &mut self.describe_snapshots,
            ],
        }
    }
}
