//! Changes seeds into inputs: blind byte edits, and edits that know JSON, numbers and lengths.

use fastrand::Rng;

/// Longest input, in bytes: twice the largest user data, so that its bound can be crossed.
pub const INPUT_BYTES: usize = 64 * 1024;

/// Most edits between a seed and an input: more leave nothing of the seed.
const EDITS: usize = 8;

/// Pieces that break decoders: ends of number ranges, empty and unclosed values, text that is no text.
const PIECES: [&[u8]; 28] = [
    b"null",
    b"true",
    b"0",
    b"-1",
    b"-0",
    b"1e400",
    b"0.5",
    b"2147483648",
    b"4294967296",
    b"9007199254740992",
    b"9223372036854775808",
    b"18446744073709551616",
    b"\"\"",
    b"{}",
    b"[]",
    b"[[[[[[[[",
    b"{\"a\":",
    b"\"",
    b",",
    b"\\u0000",
    b"\\ud800",
    b"\0",
    b"\n\n",
    b"\xff",
    b"\xef\xbb\xbf",
    "\u{202e}".as_bytes(),
    "e\u{301}".as_bytes(),
    b"<html>",
];

/// Makes an input from `seeds`; the same `rng` state makes the same input. Never longer than [`INPUT_BYTES`].
pub fn input(seeds: &[Vec<u8>], rng: &mut Rng) -> Vec<u8> {
    let mut input = rng.choice(seeds).cloned().unwrap_or_default();
    for _ in 0..rng.usize(0..=EDITS) {
        edit(&mut input, seeds, rng);
        input.truncate(INPUT_BYTES);
    }
    input
}

fn edit(input: &mut Vec<u8>, seeds: &[Vec<u8>], rng: &mut Rng) {
    let at = rng.usize(0..=input.len());
    let end = at + rng.usize(0..=(input.len() - at).min(64));
    match rng.u8(0..9) {
        0 => flip(input, rng),
        1 => input.insert(at, rng.u8(..)),
        2 => drop(input.drain(at..end)),
        3 => drop(input.splice(at..end, rng.choice(PIECES).unwrap_or_default().iter().copied())),
        4 => repeat(input, at, end, rng),
        5 => input.truncate(at),
        6 => splice(input, at, seeds, rng),
        7 => replace_number(input, rng),
        _ => replace_value(input, rng),
    }
}

fn flip(input: &mut [u8], rng: &mut Rng) {
    if let Some(byte) = rng.choice(input) {
        *byte ^= 1 << rng.u8(0..8);
    }
}

/// Repeats a part: long lists, long texts, keys that stand twice.
fn repeat(input: &mut Vec<u8>, at: usize, end: usize, rng: &mut Rng) {
    let part = input[at..end].to_vec();
    let times = [1, 2, 9, 51, 400][rng.usize(0..5)];
    drop(input.splice(end..end, part.repeat(times)));
}

/// Goes on with the rest of another seed.
fn splice(input: &mut Vec<u8>, at: usize, seeds: &[Vec<u8>], rng: &mut Rng) {
    let Some(other) = rng.choice(seeds) else { return };
    input.truncate(at);
    input.extend_from_slice(&other[rng.usize(0..=other.len())..]);
}

fn replace_number(input: &mut Vec<u8>, rng: &mut Rng) {
    replace_run(input, rng, |byte| byte.is_ascii_digit());
}

/// Puts a piece where a text stood, quotes included: a number for a name, a list for an object.
fn replace_value(input: &mut Vec<u8>, rng: &mut Rng) {
    let quotes: Vec<usize> = (0..input.len()).filter(|at| input[*at] == b'"').collect();
    if quotes.len() < 2 {
        return;
    }
    let first = rng.usize(0..quotes.len() - 1);
    let piece = rng.choice(PIECES).unwrap_or_default();
    drop(input.splice(quotes[first]..=quotes[first + 1], piece.iter().copied()));
}

/// Puts a piece where one run of such bytes stood.
fn replace_run(input: &mut Vec<u8>, rng: &mut Rng, is_in: impl Fn(u8) -> bool) {
    let starts: Vec<usize> =
        (0..input.len()).filter(|at| is_in(input[*at]) && (*at == 0 || !is_in(input[at - 1]))).collect();
    let Some(start) = rng.choice(&starts).copied() else { return };
    let length = input[start..].iter().take_while(|byte| is_in(**byte)).count();
    let piece = rng.choice(PIECES).unwrap_or_default();
    drop(input.splice(start..start + length, piece.iter().copied()));
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn seeds() -> Vec<Vec<u8>> {
        vec![br#"{"id": 42, "name": "web-1"}"#.to_vec(), b"x".to_vec(), Vec::new()]
    }

    #[test]
    fn the_same_seed_makes_the_same_inputs() {
        let make = || {
            let mut rng = Rng::with_seed(7);
            (0..500).map(|_| input(&seeds(), &mut rng)).collect::<Vec<_>>()
        };
        assert_eq!(make(), make());
    }

    #[test]
    fn inputs_differ_and_stay_below_the_bound() {
        let mut rng = Rng::with_seed(7);
        let long = vec![vec![b'x'; INPUT_BYTES], vec![b'"'; INPUT_BYTES]];
        for seeds in [seeds(), long, Vec::new()] {
            let inputs: Vec<Vec<u8>> = (0..500).map(|_| input(&seeds, &mut rng)).collect();
            assert!(inputs.iter().all(|it| it.len() <= INPUT_BYTES));
            let different: HashSet<&Vec<u8>> = inputs.iter().collect();
            assert!(different.len() > 100, "{} different inputs of 500", different.len());
        }
    }

    #[test]
    fn every_piece_gets_into_an_input() {
        let mut rng = Rng::with_seed(7);
        let inputs: Vec<Vec<u8>> = (0..20_000).map(|_| input(&seeds(), &mut rng)).collect();
        for piece in PIECES {
            let is_there = inputs.iter().any(|it| it.windows(piece.len()).any(|part| part == piece));
            assert!(is_there, "{}", String::from_utf8_lossy(piece));
        }
    }
}
