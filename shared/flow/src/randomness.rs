//! The one source of chance of a runner, seeded, so that a run of a test can be repeated.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::lock::lock;

/// A seeded generator that clones share.
#[derive(Debug, Clone)]
pub(crate) struct Randomness(Arc<Mutex<StdRng>>);

impl Randomness {
    /// The generator of this seed.
    pub(crate) fn seeded(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(StdRng::seed_from_u64(seed))))
    }

    /// A duration between nothing and `most`, both included (full jitter).
    pub(crate) fn duration_up_to(&self, most: Duration) -> Duration {
        most.mul_f64(self.fraction().min(1.0))
    }

    /// A number from 0, included, to 1, excluded.
    pub(crate) fn fraction(&self) -> f64 {
        lock(&self.0).random()
    }

    /// A version 4 UUID in lower case.
    pub(crate) fn uuid(&self) -> String {
        let mut bytes: [u8; 16] = lock(&self.0).random();
        bytes[6] = (bytes[6] & 0x0f) | 0x40;
        bytes[8] = (bytes[8] & 0x3f) | 0x80;
        let text = hex::encode(bytes);
        [&text[..8], &text[8..12], &text[12..16], &text[16..20], &text[20..]].join("-")
    }
}
