//! Pure decisions: what to refresh, what to recover and in which order; the clock is passed in
