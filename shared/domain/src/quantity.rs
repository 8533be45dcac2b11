//! Quantities that carry their unit in their type.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A number of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Bytes(pub u64);

impl fmt::Display for Bytes {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [&str; 4] = ["kB", "MB", "GB", "TB"];
        if self.0 < 1000 {
            return write!(formatter, "{} B", self.0);
        }
        #[expect(clippy::cast_precision_loss, reason = "shown with one decimal")]
        let mut value = self.0 as f64 / 1000.0;
        let mut unit = UNITS[0];
        for next in &UNITS[1..] {
            if value < 1000.0 {
                break;
            }
            value /= 1000.0;
            unit = next;
        }
        write!(formatter, "{value:.1} {unit}")
    }
}

/// A span of time in whole or fractional seconds, never negative.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Seconds(pub f64);

impl Seconds {
    /// From one instant to a later one; zero when the order is the other way round.
    pub fn between(from: jiff::Timestamp, to: jiff::Timestamp) -> Self {
        Self((to.duration_since(from).as_secs_f64()).max(0.0))
    }
}

impl fmt::Display for Seconds {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 < 120.0 {
            return write!(formatter, "{:.1} s", self.0);
        }
        if self.0 < 7200.0 {
            return write!(formatter, "{:.0} min", self.0 / 60.0);
        }
        write!(formatter, "{:.1} h", self.0 / 3600.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_shown_with_a_fitting_unit() {
        assert_eq!(Bytes(999).to_string(), "999 B");
        assert_eq!(Bytes(100_000_000).to_string(), "100.0 MB");
        assert_eq!(Seconds(1.25).to_string(), "1.2 s");
        assert_eq!(Seconds(3600.0).to_string(), "60 min");
        assert_eq!(Seconds(86_400.0).to_string(), "24.0 h");
    }
}
