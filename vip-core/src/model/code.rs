//! Codes of failures: short words that are stored, counted and shown.

use super::limits;

/// Makes a code out of what somebody else's program calls a failure: visible ASCII characters, as many as are kept. Every store
/// can hold it, and it stays one word in a log.
pub(crate) fn safe_code(code: impl Into<String>) -> String {
    let code: String = code.into();
    let is_safe =
        !code.is_empty() && code.len() <= limits::CODE_BYTES && code.bytes().all(|byte| byte.is_ascii_graphic());
    if is_safe {
        return code;
    }
    let safe = |letter: char| if letter.is_ascii_graphic() { letter } else { '_' };
    let code: String = code.chars().take(limits::CODE_BYTES).map(safe).collect();
    if code.is_empty() { "unknown".to_owned() } else { code }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_one_word_that_every_store_can_hold() {
        let longest = "c".repeat(limits::CODE_BYTES);
        for code in ["mail_server_down", "http_503", "E:42/x", &longest] {
            assert_eq!(safe_code(code), code);
        }
        assert_eq!(safe_code(format!("{longest}c")), longest);
        assert_eq!(safe_code("a\0b"), "a_b");
        assert_eq!(safe_code("two words\nünd"), "two_words__nd");
        assert_eq!(safe_code(""), "unknown");
    }
}
