//! What the builder is told to do.

use crate::error::TaskError;

/// The steps; they stand in a file of their own, so that a person can read and run them.
pub(super) const STEPS: &str = include_str!("../../../infra/base-image/build.sh");

/// EC2 takes no more, before it is encoded.
/// <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instancedata-add-user-data.html>
const LONGEST_BYTES: usize = 16 * 1024;

/// Where the bundle lies, and what it has to be. Nothing of it is secret: user data can be read by whoever may describe
/// the instance, and by every program in it.
#[derive(Debug, Clone)]
pub(super) struct Order {
    pub(super) region: String,
    pub(super) bucket: String,
    pub(super) folder: String,
    pub(super) sha256: String,
}

/// The script, with its order before its steps.
pub(super) fn script(order: &Order) -> Result<String, TaskError> {
    let mut script = "#!/bin/sh\n".to_owned();
    for (name, value) in [
        ("REGION", &order.region),
        ("BUCKET", &order.bucket),
        ("FOLDER", &order.folder),
        ("SHA256", &order.sha256),
    ] {
        if !is_plain(value) {
            return Err(TaskError::CheckFailed(format!("{value:?} cannot stand in a script")));
        }
        script.push_str(&format!("REKINDLE_{name}={value}\n"));
    }
    script.push_str(STEPS);
    if script.len() > LONGEST_BYTES {
        let length = script.len();
        return Err(TaskError::CheckFailed(format!("user data of {length} bytes are too long for EC2")));
    }
    Ok(script)
}

/// No shell reads anything else into it than what stands there.
fn is_plain(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./".contains(&byte);
    !text.is_empty() && text.bytes().all(plain)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may fail loudly")]
    use super::*;

    fn order() -> Order {
        Order {
            region: "eu-west-1".to_owned(),
            bucket: "rekindle-packages-123456789012-eu-west-1".to_owned(),
            folder: format!("base-images/{}/{}/{}", "p".repeat(64), "n".repeat(128), "r".repeat(32)),
            sha256: "0".repeat(64),
        }
    }

    #[test]
    fn the_longest_order_fits_into_user_data() {
        let script = script(&order()).unwrap();
        assert!(script.starts_with("#!/bin/sh\nREKINDLE_REGION=eu-west-1\n"));
        assert!(script.len() < LONGEST_BYTES / 2, "{}", script.len());
    }

    #[test]
    fn nothing_that_a_shell_would_run_gets_into_the_script() {
        for bad in ["", "a b", "$(reboot)", "a;b", "a\nb", "'a'"] {
            assert!(script(&Order { bucket: bad.to_owned(), ..order() }).is_err(), "{bad:?}");
        }
    }
}
