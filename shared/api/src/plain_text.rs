//! Texts of strangers, made fit for reports, terminals and pages.

/// The longest cause that is kept, in characters.
pub(crate) const LONGEST_CAUSE: usize = 1_000;
/// The longest name or address that is kept, in characters.
pub(crate) const LONGEST_NAME: usize = 255;

/// At most so many characters, none of them a control character: line breaks become spaces, the rest goes.
pub(crate) fn plain(text: &str, longest: usize) -> String {
    let spaced = text.chars().map(|c| if matches!(c, '\n' | '\r' | '\t') { ' ' } else { c });
    spaced.filter(|c| !c.is_control() && !steers_direction(*c)).take(longest).collect()
}

/// Characters that do not show, and turn round how the text after them is shown.
fn steers_direction(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_steer_a_terminal_is_gone() {
        assert_eq!(plain("\u{1b}[2Jdisk\nfull\0\u{202e}", 100), "[2Jdisk full");
        assert_eq!(plain("éééé", 3), "ééé");
    }
}
