//! How instants, spans of time, results and foreign texts are written on the page.

use jiff::Timestamp;
use maud::{Escaper, Markup, Render, html};
use rekindle_domain::Seconds;
use std::fmt::Write as _;

/// How a result is to be taken. Shown by a word, by the shape of a mark, and only then by a colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tone {
    Good,
    Attention,
    Bad,
    Neutral,
}

impl Tone {
    pub(super) fn class(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Attention => "attention",
            Self::Bad => "bad",
            Self::Neutral => "neutral",
        }
    }

    fn mark(self) -> &'static str {
        match self {
            Self::Good => "M2 7.5 L5.5 11 L12 3.5",
            Self::Attention => "M7 2 V8.5 M7 11 V12.5",
            Self::Bad => "M3 3 L11 11 M11 3 L3 11",
            Self::Neutral => "M3 7 H11",
        }
    }
}

/// A mark and a word.
pub(super) fn result(tone: Tone, word: &str) -> Markup {
    html! {
        span class={ "result " (tone.class()) } {
            svg .mark width="14" height="14" viewBox="0 0 14 14" aria-hidden="true" { path d=(tone.mark()) {} }
            span { (Foreign(word)) }
        }
    }
}

/// A text that somebody else wrote. Escaped, and without the characters that turn the direction of writing or
/// steer a terminal: with them a cause could look like something that it does not say.
pub(super) struct Foreign<'a>(pub(super) &'a str);

impl Render for Foreign<'_> {
    fn render_to(&self, buffer: &mut String) {
        let mut escaper = Escaper::new(buffer);
        for character in self.0.chars().map(shown) {
            // Writing into a String cannot fail.
            let _ = escaper.write_char(character);
        }
    }
}

/// A foreign text as a sentence: causes come as parts of sentences, to be joined by programs.
pub(super) struct Sentence<'a>(pub(super) &'a str);

impl Render for Sentence<'_> {
    fn render_to(&self, buffer: &mut String) {
        let text = self.0.trim();
        let first_word = text.split_whitespace().next().unwrap_or_default();
        // The name of an image or a machine stays as it is.
        let begins_with_word = !first_word.is_empty() && first_word.chars().all(|c| c.is_ascii_lowercase());
        let (first, rest) = text.split_at(usize::from(begins_with_word));
        Foreign(&first.to_ascii_uppercase()).render_to(buffer);
        Foreign(rest).render_to(buffer);
        if text.ends_with(|c: char| c.is_alphanumeric() || c == ')') {
            buffer.push('.');
        }
    }
}

fn shown(character: char) -> char {
    match character {
        '\n' | '\r' | '\t' => ' ',
        '\u{061C}' | '\u{200E}' | '\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}' => {
            char::REPLACEMENT_CHARACTER
        }
        other if other.is_control() => char::REPLACEMENT_CHARACTER,
        other => other,
    }
}

/// Date and time of day, with the zone said.
pub(super) fn instant(at: Timestamp) -> Markup {
    html! { time datetime=(at.to_string()) { (at.strftime("%Y-%m-%d %H:%M:%S").to_string()) " UTC" } }
}

/// The time of day alone, as long as the day is the one that the reader expects.
pub(super) fn clock(at: Timestamp, expected_day: Timestamp) -> Markup {
    let same_day = at.strftime("%F").to_string() == expected_day.strftime("%F").to_string();
    let format = if same_day { "%H:%M:%S" } else { "%Y-%m-%d %H:%M:%S" };
    html! { time datetime=(at.to_string()) { (at.strftime(format).to_string()) } }
}

/// A span of time in the two largest units that matter, so that two spans which differ rarely read the same.
pub(super) fn span(seconds: Seconds) -> String {
    if !seconds.0.is_finite() {
        return "unknown".to_owned();
    }
    let total = seconds.0.max(0.0);
    if total < 1.0 {
        return format!("{:.0} ms", total * 1000.0);
    }
    if total < 60.0 {
        return trimmed(&format!("{total:.1}"), "s");
    }
    let whole = total.round();
    match whole {
        _ if whole < 3600.0 => pair(whole, 60.0, "min", 1.0, "s"),
        _ if whole < 172_800.0 => pair(whole, 3600.0, "h", 60.0, "min"),
        _ => pair(whole, 86_400.0, "d", 3600.0, "h"),
    }
}

fn trimmed(number: &str, unit: &str) -> String {
    format!("{} {unit}", number.strip_suffix(".0").unwrap_or(number))
}

fn pair(total: f64, large: f64, large_name: &str, small: f64, small_name: &str) -> String {
    let larges = (total / large).floor();
    let smalls = ((total - larges * large) / small).floor();
    if smalls < 1.0 {
        return format!("{larges:.0} {large_name}");
    }
    format!("{larges:.0} {large_name} {smalls:.0} {small_name}")
}

/// "1 check", "2 checks".
pub(super) fn count(number: usize, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

/// One row of a list of facts; nothing at all when the fact is not known.
pub(super) fn fact(name: &str, value: Option<Markup>) -> Markup {
    html! {
        @if let Some(value) = value {
            div { dt { (name) } dd { (value) } }
        }
    }
}

/// A name that a machine gave, which a person may want to copy.
pub(super) fn code(text: impl std::fmt::Display) -> Markup {
    html! { code { (Foreign(&text.to_string())) } }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_keep_what_matters_and_no_more() {
        let written = |seconds: f64| span(Seconds(seconds));
        assert_eq!(written(0.0), "0 ms");
        assert_eq!(written(0.25), "250 ms");
        assert_eq!(written(42.0), "42 s");
        assert_eq!(written(42.25), "42.2 s");
        assert_eq!(written(900.0), "15 min");
        assert_eq!(written(912.0), "15 min 12 s");
        assert_eq!(written(14_400.0), "4 h");
        assert_eq!(written(15_000.0), "4 h 10 min");
        assert_eq!(written(90_000.0), "25 h");
        assert_eq!(written(200_000.0), "2 d 7 h");
        assert_eq!(written(f64::NAN), "unknown");
    }

    #[test]
    fn parts_of_sentences_become_sentences() {
        let written = |text: &str| html! { (Sentence(text)) }.into_string();
        assert_eq!(written("all services serve"), "All services serve.");
        assert_eq!(written("a <b> (c)"), "A &lt;b&gt; (c).");
        assert_eq!(written("ami-1 is gone."), "ami-1 is gone.");
        assert_eq!(written("é"), "é.");
        assert_eq!(written(""), "");
    }

    #[test]
    fn foreign_texts_cannot_turn_the_direction_of_writing() {
        let written = html! { (Foreign("a\u{202E}b\u{1b}[2J<\n&\"")) }.into_string();
        assert_eq!(written, "a\u{FFFD}b\u{FFFD}[2J&lt; &amp;&quot;");
    }
}
