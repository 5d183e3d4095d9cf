//! An answer of a provider as a text that a person can write: `CALL STATUS`, headers, an empty line, the body.

/// One answer to one kind of call.
#[derive(Debug, PartialEq, Eq)]
pub struct Answer<'a> {
    /// Which call it answers: `create`, `find`, `get`, `delete`, `actions`, `inventory`, `catalog`.
    pub call: &'a str,
    /// The HTTP status.
    pub status: u16,
    /// Header names and values; a value need not be text.
    pub headers: Vec<(&'a str, &'a [u8])>,
    /// The body, whatever it is.
    pub body: &'a [u8],
}

impl<'a> Answer<'a> {
    /// Reads an answer; `None` if the first line is none. Lines that are no header are left out.
    #[must_use]
    pub fn parse(data: &'a [u8]) -> Option<Self> {
        let (first, mut rest) = cut_line(data);
        let (call, status) = std::str::from_utf8(first).ok()?.split_once(' ')?;
        let status = status.parse().ok().filter(|status| (100..=999).contains(status))?;
        let mut headers = Vec::new();
        loop {
            let (line, after) = cut_line(rest);
            rest = after;
            if line.is_empty() {
                break;
            }
            let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
            if let Ok(name) = std::str::from_utf8(&line[..colon]) {
                headers.push((name, line[colon + 1..].trim_ascii()));
            }
        }
        Some(Self { call, status, headers, body: rest })
    }
}

fn cut_line(data: &[u8]) -> (&[u8], &[u8]) {
    match data.iter().position(|byte| *byte == b'\n') {
        Some(end) => (&data[..end], &data[end + 1..]),
        None => (data, &[]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_has_a_call_a_status_headers_and_a_body() {
        let answer = Answer::parse(b"get 200\nratelimit-remaining: 9\nno header\nx:\xff\n\n{}\n\nrest").unwrap();
        assert_eq!((answer.call, answer.status), ("get", 200));
        assert_eq!(answer.headers, [("ratelimit-remaining", b"9".as_slice()), ("x", b"\xff".as_slice())]);
        assert_eq!(answer.body, b"{}\n\nrest");
    }

    #[test]
    fn an_answer_without_a_body_is_one() {
        assert_eq!(Answer::parse(b"get 204"), Some(Answer { call: "get", status: 204, headers: vec![], body: b"" }));
    }

    #[test]
    fn what_has_no_first_line_is_no_answer() {
        for text in ["", "\n", "get", "get x\n", "get 99", "get 1000", "get 65536"] {
            assert_eq!(Answer::parse(text.as_bytes()), None, "{text}");
        }
    }
}
