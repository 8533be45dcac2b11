//! What the cloud is like.

use std::time::Duration;

/// What the cloud is like. The defaults are EC2's, measured or documented, in round numbers.
#[derive(Debug, Clone, PartialEq)]
pub struct Behaviour {
    /// Where everything random comes from: the same seed and the same calls give the same answers. Default 0.
    pub seed: u64,
    /// How long a call takes; its effect is half-way. A caller who stops waiting after that has lost the answer, not
    /// the effect. Default 200 ms.
    pub call_time: Duration,
    /// From pending to running. Default 20 s.
    pub boot_time: Duration,
    /// From stopping to stopped. Default 10 s.
    pub stop_time: Duration,
    /// From shutting down to terminated. Default 30 s.
    pub termination_time: Duration,
    /// From pending to available, or to failed. Default 60 s.
    pub image_time: Duration,
    /// How old an answer may be. Each look at each resource draws its own age, up to this: what was seen once may be
    /// unknown to the next look. Default 5 s.
    pub lag: Duration,
    /// Whether terminate and the deletes lag too: what is too young to be seen is unknown to them, and an unknown id
    /// is success without any effect. Default yes.
    pub deletes_lag: bool,
    /// How long a terminated instance can be described before its id is unknown. Default 1 h.
    pub terminated_shown_for: Duration,
    /// What the provider says of itself. Default 10 min.
    pub settling_time: Duration,
    /// What the provider says of itself. Default 15 s.
    pub poll_interval: Duration,
    /// Whether calls draw from EC2's token buckets. Default yes.
    pub throttling: bool,
    /// Where a launch that names no zone may go, in this order. A launch may name other zones too. Default three.
    pub zones: Vec<String>,
    /// How likely a call that changes something answers Uncertain without a fault having been injected; its effect has
    /// then come, never comes, or comes late, a third each. Default 0.
    pub uncertainty: f64,
    /// How late the effect of such a call comes at most. Default 30 s.
    pub late_effect_within: Duration,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self {
            seed: 0,
            call_time: Duration::from_millis(200),
            boot_time: Duration::from_secs(20),
            stop_time: Duration::from_secs(10),
            termination_time: Duration::from_secs(30),
            image_time: Duration::from_secs(60),
            lag: Duration::from_secs(5),
            deletes_lag: true,
            terminated_shown_for: Duration::from_hours(1),
            settling_time: Duration::from_mins(10),
            poll_interval: Duration::from_secs(15),
            throttling: true,
            zones: ["sim-1a", "sim-1b", "sim-1c"].map(str::to_owned).to_vec(),
            uncertainty: 0.0,
            late_effect_within: Duration::from_secs(30),
        }
    }
}

impl Behaviour {
    /// A cloud whose answers are always current and that never throttles, for tests of other things.
    pub fn obliging() -> Self {
        Self { lag: Duration::ZERO, throttling: false, ..Self::default() }
    }
}
