//! Keyset cursors: bound to one caller's tenant and one query, and of no use when anything of them is changed.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use uuid::Uuid;

use crate::limits;
use crate::problem::{Problem, ProblemCode};

/// First byte of a cursor: which form it has.
const VERSION: u8 = 1;
/// Bytes of the code at the end: 128 bits cannot be guessed.
const CODE_BYTES: usize = 16;
const KEY_BYTES: usize = 16;

/// Makes and reads cursors.
#[derive(Clone)]
pub(crate) struct Cursors {
    secret: [u8; 32],
}

impl fmt::Debug for Cursors {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Cursors")
    }
}

/// Is what a cursor is bound to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Binding<'a> {
    /// The tenant, or another name that no tenant can have.
    pub(crate) owner: &'a str,
    /// The list and its filters.
    pub(crate) query: &'a str,
}

impl Cursors {
    pub(crate) const fn new(secret: [u8; 32]) -> Self {
        Self { secret }
    }

    /// Writes a cursor for the items after `key`.
    pub(crate) fn write(&self, binding: Binding<'_>, key: Uuid) -> String {
        let mut bytes = Vec::with_capacity(1 + KEY_BYTES + CODE_BYTES);
        bytes.push(VERSION);
        bytes.extend_from_slice(key.as_bytes());
        let code = self.mac(binding, &bytes).finalize().into_bytes();
        bytes.extend(code.iter().take(CODE_BYTES));
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Reads a cursor back.
    pub(crate) fn read(&self, binding: Binding<'_>, text: &str) -> Result<Uuid, Problem> {
        self.key_of(binding, text).ok_or_else(|| Problem::new(ProblemCode::InvalidCursor))
    }

    fn key_of(&self, binding: Binding<'_>, text: &str) -> Option<Uuid> {
        let bytes = bytes_of(text)?;
        let (said, code) = bytes.split_at_checked(1 + KEY_BYTES).filter(|(_, code)| code.len() == CODE_BYTES)?;
        self.mac(binding, said).verify_truncated_left(code).ok()?;
        let (version, key) = said.split_first()?;
        (*version == VERSION).then(|| Uuid::from_slice(key).ok()).flatten()
    }

    fn mac(&self, binding: Binding<'_>, said: &[u8]) -> Hmac<Sha256> {
        // A key of any length is a key for HMAC; the constructor for arrays of the block's size cannot fail.
        let mut block = [0; 64];
        for (place, byte) in block.iter_mut().zip(self.secret) {
            *place = byte;
        }
        let mut mac = Hmac::<Sha256>::new(&block.into());
        for part in [binding.owner.as_bytes(), binding.query.as_bytes(), said] {
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part);
        }
        mac
    }
}

/// Reads the text of a cursor, unless it is longer than any.
fn bytes_of(text: &str) -> Option<Vec<u8>> {
    if text.len() > limits::CURSOR_BYTES {
        return None;
    }
    URL_SAFE_NO_PAD.decode(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const BINDING: Binding<'static> = Binding { owner: "acme", query: "servers" };

    #[test]
    fn a_cursor_is_good_for_its_tenant_and_query_alone() {
        let cursors = Cursors::new([7; 32]);
        let key = Uuid::from_u128(42);
        let text = cursors.write(BINDING, key);
        assert_eq!(cursors.read(BINDING, &text).unwrap(), key);
        let others = [
            Binding { owner: "other", query: "servers" },
            Binding { owner: "acme", query: "operations" },
            Binding { owner: "acmes", query: "ervers" },
        ];
        for other in others {
            assert!(cursors.read(other, &text).is_err(), "{other:?}");
        }
        assert!(Cursors::new([8; 32]).read(BINDING, &text).is_err());
    }

    #[test]
    fn a_cursor_with_any_character_changed_added_or_left_out_is_refused() {
        let cursors = Cursors::new([7; 32]);
        let text = cursors.write(BINDING, Uuid::from_u128(42));
        for at in 0..text.len() {
            let mut changed = text.clone().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            assert!(cursors.read(BINDING, std::str::from_utf8(&changed).unwrap()).is_err(), "character {at}");
        }
        for wrong in ["", &text[1..], &text[..text.len() - 1], &format!("{text}A"), &format!("{text}=")] {
            assert!(cursors.read(BINDING, wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_cursor_is_shorter_than_its_limit() {
        let text = Cursors::new([7; 32]).write(BINDING, Uuid::from_u128(u128::MAX));
        assert_eq!(text.len(), 44);
        assert!(text.len() <= limits::CURSOR_BYTES);
    }

    #[test]
    fn no_more_is_read_of_a_cursor_than_its_limit() {
        let read = |length: usize| bytes_of(&"A".repeat(length)).map(|bytes| bytes.len());
        assert_eq!(read(limits::CURSOR_BYTES), Some(48));
        // One more is no base64 in any case; two more would be.
        assert_eq!((read(limits::CURSOR_BYTES + 1), read(limits::CURSOR_BYTES + 2)), (None, None));
    }
}
