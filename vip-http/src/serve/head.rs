//! Watches the bytes of a request's head for what two programs may read in two ways.

/// Longest name of a header that matters here.
const NAME_BYTES: usize = 17;

/// Says why a head is refused although it could be read in some way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ambiguity {
    /// A line that ends with a line feed alone.
    BareLineFeed,
    /// A carriage return within a line.
    BareCarriageReturn,
    /// A line that goes on with the one before.
    FoldedLine,
    /// `Content-Length` more than once.
    LengthTwice,
    /// `Transfer-Encoding` more than once.
    EncodingTwice,
    /// `Content-Length` beside `Transfer-Encoding`.
    LengthAndEncoding,
    /// A request that was sent before the one before was answered.
    Pipelined,
}

impl Ambiguity {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::BareLineFeed => "A line of the header ends with a line feed alone.",
            Self::BareCarriageReturn => "A line of the header has a carriage return in it.",
            Self::FoldedLine => "A line of the header goes on with the one before.",
            Self::LengthTwice => "`Content-Length` is there twice.",
            Self::EncodingTwice => "`Transfer-Encoding` is there twice.",
            Self::LengthAndEncoding => "`Content-Length` is there beside `Transfer-Encoding`.",
            Self::Pipelined => "The request before it was not answered yet.",
        }
    }
}

/// Reads a head as it arrives.
#[derive(Debug, Default)]
pub(super) struct Head {
    /// Begin of the present line, up to a colon.
    name: Vec<u8>,
    is_named: bool,
    lines: usize,
    line_bytes: usize,
    after_return: bool,
    lengths: usize,
    encodings: usize,
    is_over: bool,
    found: Option<Ambiguity>,
    has_bytes: bool,
    beyond: u64,
    /// The same, up to the last one that is no end of a line.
    beyond_blank: u64,
    /// Whether the last one of them is a carriage return, whose line feed is still to come.
    beyond_return: bool,
}

impl Head {
    /// Takes bytes that belong to the head, or follow it.
    pub(super) fn take(&mut self, bytes: &[u8]) {
        self.has_bytes |= !bytes.is_empty();
        for byte in bytes {
            if self.is_over {
                self.beyond += 1;
                self.beyond_return = *byte == b'\r';
                if !matches!(byte, b'\r' | b'\n') {
                    self.beyond_blank = self.beyond;
                }
            } else {
                self.byte(*byte);
            }
        }
    }

    /// Says whether any of it has arrived.
    pub(super) const fn has_bytes(&self) -> bool {
        self.has_bytes
    }

    /// Returns how many bytes followed the head: of its body, or of what is beyond that.
    pub(super) const fn beyond(&self) -> u64 {
        self.beyond
    }

    /// Returns how many bytes followed the head up to the last one that is no end of a line: whoever reads the next request skips
    /// empty lines before it.
    pub(super) const fn beyond_blank(&self) -> u64 {
        self.beyond_blank
    }

    /// Begins the next head, of which the end of an empty line may still be to come if `expected` bytes of a body follow this one.
    pub(super) fn next(&self, expected: u64) -> Self {
        Self { after_return: self.beyond > expected && self.beyond_return, ..Self::default() }
    }

    /// Says what is wrong with the head, once it is complete.
    pub(super) fn ambiguity(&self) -> Option<Ambiguity> {
        if !self.has_bytes {
            return Some(Ambiguity::Pipelined);
        }
        match (self.found, self.lengths, self.encodings) {
            (Some(found), _, _) => Some(found),
            (None, 2.., _) => Some(Ambiguity::LengthTwice),
            (None, _, 2..) => Some(Ambiguity::EncodingTwice),
            (None, 1, 1) => Some(Ambiguity::LengthAndEncoding),
            (None, _, _) => None,
        }
    }

    fn byte(&mut self, byte: u8) {
        let after_return = std::mem::replace(&mut self.after_return, byte == b'\r');
        match byte {
            b'\n' => {
                if !after_return {
                    self.found.get_or_insert(Ambiguity::BareLineFeed);
                }
                self.end_line();
            }
            b'\r' => {}
            _ => {
                if after_return {
                    self.found.get_or_insert(Ambiguity::BareCarriageReturn);
                }
                if self.line_bytes == 0 && self.lines > 0 && matches!(byte, b' ' | b'\t') {
                    self.found.get_or_insert(Ambiguity::FoldedLine);
                }
                self.line_bytes += 1;
                if byte == b':' {
                    self.is_named = true;
                } else if !self.is_named && self.name.len() <= NAME_BYTES {
                    self.name.push(byte.to_ascii_lowercase());
                }
            }
        }
    }

    fn end_line(&mut self) {
        if self.line_bytes == 0 {
            // Empty lines before the first one are skipped by whoever reads it.
            self.is_over = self.lines > 0;
            return;
        }
        self.lines += 1;
        if self.is_named {
            match self.name.as_slice() {
                b"content-length" => self.lengths += 1,
                b"transfer-encoding" => self.encodings += 1,
                _ => {}
            }
        }
        self.name.clear();
        self.is_named = false;
        self.line_bytes = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads a head in one piece, and byte by byte: both have to say the same.
    fn of(text: &str) -> Option<Ambiguity> {
        let (mut whole, mut single) = (Head::default(), Head::default());
        whole.take(text.as_bytes());
        text.as_bytes().chunks(1).for_each(|byte| single.take(byte));
        assert_eq!(whole.ambiguity(), single.ambiguity(), "{text:?}");
        whole.ambiguity()
    }

    #[test]
    fn what_two_programs_may_read_in_two_ways_is_found() {
        let cases = [
            ("GET / HTTP/1.1\nHost: a\r\n\r\n", Ambiguity::BareLineFeed),
            ("GET / HTTP/1.1\r\nHost: a\n\n", Ambiguity::BareLineFeed),
            ("GET / HTTP/1.1\r\nA: b\rContent-Length: 3\r\n\r\n", Ambiguity::BareCarriageReturn),
            ("GET / HTTP/1.1\r\nA: b\r\n c\r\n\r\n", Ambiguity::FoldedLine),
            ("GET / HTTP/1.1\r\nA: b\r\n\tc\r\n\r\n", Ambiguity::FoldedLine),
            ("POST / HTTP/1.1\r\nContent-Length: 3\r\ncontent-LENGTH: 3\r\n\r\n", Ambiguity::LengthTwice),
            ("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n", Ambiguity::EncodingTwice),
            (
                "POST / HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
                Ambiguity::LengthAndEncoding,
            ),
            (
                "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n",
                Ambiguity::LengthAndEncoding,
            ),
            ("", Ambiguity::Pipelined),
        ];
        for (text, expected) in cases {
            assert_eq!(of(text), Some(expected), "{text:?}");
        }
    }

    #[test]
    fn what_is_clear_is_let_through_and_a_body_is_not_looked_at() {
        let cases = [
            "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
            "\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
            "POST / HTTP/1.1\r\nContent-Length: 3\r\nX-Content-Length: 4\r\n\r\nContent-Length: 3\nContent-Length: 4\n",
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nA: b, content-length: 3\r\n\r\n0\n\n",
        ];
        for text in cases {
            assert_eq!(of(text), None, "{text:?}");
        }
    }
}
