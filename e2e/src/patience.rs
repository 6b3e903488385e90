//! How long things may take: the one place that knows that this machine may be slow.
//!
//! A time-out here says when something hangs, never how fast something is. On an emulated processor everything takes
//! longer by about the same factor; whoever starts it says so in `WEFT_TIME_SCALE`.
//!
//! Must not: be used for a time that the product promises.

use std::{sync::LazyLock, time::Duration};

/// A time on a machine of its own, as long as it is on this one.
#[must_use]
pub fn scaled(time: Duration) -> Duration {
    time.saturating_mul(*SCALE)
}

fn scale_of(text: Option<&str>) -> u32 {
    let scale = text.map_or(Ok(1), str::parse);
    scale
        .ok()
        .filter(|scale| *scale > 0)
        .unwrap_or_else(|| panic!("WEFT_TIME_SCALE is {text:?}: it takes a whole number from 1"))
}

static SCALE: LazyLock<u32> =
    LazyLock::new(|| scale_of(std::env::var("WEFT_TIME_SCALE").ok().as_deref()));

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scale_is_one_unless_somebody_says_otherwise() {
        assert_eq!(scale_of(None), 1);
        assert_eq!(scale_of(Some("6")), 6);
        for wrong in ["", "0", "-1", "fast"] {
            assert!(
                std::panic::catch_unwind(|| scale_of(Some(wrong))).is_err(),
                "{wrong:?}"
            );
        }
    }
}
