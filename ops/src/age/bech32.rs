//! Bech32 (BIP 173) without its limit of 90 characters, as age uses it.

const DIGITS: &[u8; 32] = b"qpzry9x8gf2tvdw0s3jn54khce6mua7l";
const CHECKSUM_LEN: usize = 6;

fn polymod(values: impl Iterator<Item = u8>) -> u32 {
    const GENERATOR: [u32; 5] = [0x3b6a_57b2, 0x2650_8e6d, 0x1ea1_19fa, 0x3d42_33dd, 0x2a14_62b3];
    values.fold(1, |sum, value| {
        let top = sum >> 25;
        let sum = (sum & 0x01ff_ffff) << 5 ^ u32::from(value);
        (0..5).filter(|bit| top >> bit & 1 == 1).fold(sum, |sum, bit| sum ^ GENERATOR[bit])
    })
}

/// The readable part as it goes into the checksum.
fn expand(prefix: &str) -> impl Iterator<Item = u8> {
    prefix.bytes().map(|byte| byte >> 5).chain([0]).chain(prefix.bytes().map(|byte| byte & 31))
}

/// Groups of `from` bits as groups of `to` bits. `None`: what is left over at the end is not padding.
fn regroup(values: impl IntoIterator<Item = u8>, from: u32, to: u32, pad: bool) -> Option<Vec<u8>> {
    let (mut kept, mut bits, mut out) = (0u32, 0, Vec::new());
    for value in values {
        kept = kept << from | u32::from(value);
        bits += from;
        while bits >= to {
            bits -= to;
            out.push((kept >> bits & ((1 << to) - 1)) as u8);
        }
        kept &= (1 << bits) - 1;
    }
    if pad {
        if bits > 0 {
            out.push((kept << (to - bits)) as u8);
        }
    } else if bits >= from || kept != 0 {
        return None;
    }
    Some(out)
}

/// In lower case; `prefix` must be, too.
pub fn encode(prefix: &str, bytes: &[u8]) -> String {
    let mut values = regroup(bytes.iter().copied(), 8, 5, true).expect("padding always fits");
    let sum = polymod(expand(prefix).chain(values.iter().copied()).chain([0; CHECKSUM_LEN])) ^ 1;
    values.extend((0..CHECKSUM_LEN).map(|n| (sum >> (5 * (CHECKSUM_LEN - 1 - n)) & 31) as u8));
    let digits = values.iter().map(|value| char::from(DIGITS[usize::from(*value)]));
    format!("{prefix}1{}", digits.collect::<String>())
}

/// Readable part, in lower case, and bytes. `None`: mistyped, or something else.
pub fn decode(text: &str) -> Option<(String, Vec<u8>)> {
    let lower = text.to_ascii_lowercase();
    if !text.is_ascii() || (text != lower && text != text.to_ascii_uppercase()) {
        return None;
    }
    let (prefix, digits) = lower.rsplit_once('1')?;
    let digit = |byte: u8| DIGITS.iter().position(|known| *known == byte).map(|value| value as u8);
    let values: Vec<u8> = digits.bytes().map(digit).collect::<Option<_>>()?;
    let data = values.len().checked_sub(CHECKSUM_LEN)?;
    if prefix.is_empty() || polymod(expand(prefix).chain(values.iter().copied())) != 1 {
        return None;
    }
    Some((prefix.to_owned(), regroup(values[..data].iter().copied(), 5, 8, false)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_of_bip_173_are_valid_and_the_counterexamples_are_not() {
        for valid in ["A12UEL5L", "a12uel5l", "abcdef1qpzry9x8gf2tvdw0s3jn54khce6mua7lmqqqxw", "?1ezyfcl"] {
            let (prefix, bytes) = decode(valid).unwrap();
            assert_eq!(encode(&prefix, &bytes), valid.to_ascii_lowercase());
        }
        for invalid in
            ["pzry9x0s0muk", "1pzry9x0s0muk", "x1b4n0q5v", "li1dgmt3", "A1G7SGD8", "10a06t8", "1qzzfhee", "a12UEL5L"]
        {
            assert_eq!(decode(invalid), None, "{invalid}");
        }
    }

    #[test]
    fn a_mistyped_digit_is_found() {
        let text = encode("age", &[0x5a; 32]);
        for at in 4..text.len() {
            let mut mistyped = text.clone().into_bytes();
            mistyped[at] = if mistyped[at] == b'q' { b'p' } else { b'q' };
            assert_eq!(decode(std::str::from_utf8(&mistyped).unwrap()), None, "{at}");
        }
    }
}
