//! Base64, as the `aws` command prints bytes.

const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// The bytes behind a text. What is no letter of the alphabet is passed over.
pub(crate) fn decoded(text: &str) -> Vec<u8> {
    let (mut bytes, mut bits, mut held) = (Vec::new(), 0_u32, 0_u32);
    for value in text.bytes().filter_map(|byte| LETTERS.iter().position(|letter| *letter == byte)) {
        held = (held << 6 | value as u32) & 0xfff;
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            bytes.push((held >> bits) as u8);
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_read_as_they_are_printed() {
        for (text, bytes) in [
            ("", &b""[..]),
            ("YQ==", b"a"),
            ("bm90aGluZyBzZWNyZXQ=", b"nothing secret"),
            ("/+8A", b"\xff\xef\0"),
        ] {
            assert_eq!(decoded(text), bytes, "{text}");
        }
    }
}
