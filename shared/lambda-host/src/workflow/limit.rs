//! What Step Functions refuses, said before it is asked (AWS, "StartExecution", "SendTaskFailure" and "Quotas").

const NAME_CHARACTERS: usize = 80;
/// 256 KiB of JSON, as bytes.
const PAYLOAD_BYTES: usize = 262_144;
const CAUSE_BYTES: usize = 32_768;
const ERROR_BYTES: usize = 256;

/// An execution's name: one to eighty characters, without white space, brackets, wildcards and special characters.
pub(crate) fn name(name: &str) -> Result<(), String> {
    let is_refused =
        |it: char| it.is_whitespace() || it.is_control() || "<>{}[]?*\"#%\\^|~`$&,;:/".contains(it);
    if (1..=NAME_CHARACTERS).contains(&name.chars().count()) && !name.contains(is_refused) {
        return Ok(());
    }
    Err("the execution's name is empty, too long, or has characters that names must not have".to_owned())
}

/// An input or output.
pub(crate) fn payload(json: &str, what: &str) -> Result<(), String> {
    if json.len() <= PAYLOAD_BYTES {
        return Ok(());
    }
    Err(format!("{what} has {} bytes, and at most {PAYLOAD_BYTES} are carried", json.len()))
}

/// As much of a cause as is carried.
pub(crate) fn cause(cause: &str) -> &str {
    beginning(cause, CAUSE_BYTES)
}

/// As much of an error's name as is carried.
pub(crate) fn error_name(name: &str) -> &str {
    beginning(name, ERROR_BYTES)
}

fn beginning(text: &str, bytes: usize) -> &str {
    &text[..text.floor_char_boundary(bytes)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_payloads_are_held_to_the_limits() {
        assert_eq!(name("01JCVE2Q0R4S6T8V0W2X4Y6Z8A"), Ok(()));
        assert_eq!(name(&"n".repeat(80)), Ok(()));
        for refused in ["", "a b", "a:b", "a/b", "a\nb", "a*", &"n".repeat(81)] {
            assert!(name(refused).is_err(), "{refused:?}");
        }
        assert_eq!(payload(&"x".repeat(PAYLOAD_BYTES), "the input"), Ok(()));
        let refusal = payload(&"x".repeat(PAYLOAD_BYTES + 1), "the input");
        assert_eq!(refusal, Err("the input has 262145 bytes, and at most 262144 are carried".to_owned()));
    }

    #[test]
    fn what_is_cut_ends_between_two_characters() {
        let long = "é".repeat(CAUSE_BYTES);
        assert_eq!(cause(&long).len(), CAUSE_BYTES);
        assert_eq!(error_name(&"é".repeat(200)), "é".repeat(128));
        assert_eq!(error_name("Step.Permanent"), "Step.Permanent");
    }
}
