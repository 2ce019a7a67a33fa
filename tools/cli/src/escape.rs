//! The escapes of TSV: `\t`, `\n`, `\r`, `\\` and `\xHH`. Knows nothing of lines and columns.

/// Appends `bytes`, escaping only what would break a line or a column. [`decode`] is its inverse.
pub(crate) fn encode(bytes: &[u8], out: &mut Vec<u8>) {
    out.reserve(bytes.len());
    for &byte in bytes {
        match byte {
            b'\t' => out.extend_from_slice(b"\\t"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\\' => out.extend_from_slice(b"\\\\"),
            _ => out.push(byte),
        }
    }
}

/// Appends what an escaped field means. The error says what is wrong with it.
pub(crate) fn decode(field: &[u8], out: &mut Vec<u8>) -> Result<(), String> {
    out.reserve(field.len());
    let mut rest = field.iter();
    while let Some(&byte) = rest.next() {
        if byte != b'\\' {
            out.push(byte);
            continue;
        }
        out.push(match rest.next() {
            Some(b't') => b'\t',
            Some(b'n') => b'\n',
            Some(b'r') => b'\r',
            Some(b'\\') => b'\\',
            Some(b'x') => {
                let digits = (rest.next().and_then(digit), rest.next().and_then(digit));
                match digits {
                    (Some(high), Some(low)) => high * 16 + low,
                    _ => return Err("\\x needs two hexadecimal digits".to_owned()),
                }
            }
            Some(&other) => {
                return Err(format!(
                    "unknown escape \\{}; a backslash itself is written \\\\",
                    other.escape_ascii()
                ));
            }
            None => return Err("a backslash at the end; write it as \\\\".to_owned()),
        });
    }
    Ok(())
}

fn digit(byte: &u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

/// Appends `bytes` so that no terminal stumbles: control characters and what is not UTF-8 become
/// `\xHH`. [`decode`] reads this too.
pub(crate) fn encode_printable(bytes: &[u8], out: &mut Vec<u8>) {
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            let mut utf8 = [0; 4];
            let utf8 = character.encode_utf8(&mut utf8).as_bytes();
            match character {
                '\t' | '\n' | '\r' | '\\' => encode(utf8, out),
                _ if character.is_control() => push_hex(utf8, out),
                _ => out.extend_from_slice(utf8),
            }
        }
        push_hex(chunk.invalid(), out);
    }
}

fn push_hex(bytes: &[u8], out: &mut Vec<u8>) {
    for byte in bytes {
        out.extend_from_slice(format!("\\x{byte:02x}").as_bytes());
    }
}

/// Bytes for a message: printable, and not too long.
pub(crate) fn shown(bytes: &[u8]) -> String {
    const SHOWN_MAX: usize = 60;
    let mut out = Vec::new();
    encode_printable(bytes.get(..SHOWN_MAX).unwrap_or(bytes), &mut out);
    let mut text = String::from_utf8_lossy(&out).into_owned();
    if bytes.len() > SHOWN_MAX {
        text.push('…');
    }
    format!("\"{text}\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pair_of_bytes_comes_back_from_both_spellings() {
        for pair in 0..=u16::MAX {
            let bytes = [u8::try_from(pair >> 8).unwrap(), u8::try_from(pair & 0xff).unwrap()];
            for spell in [encode, encode_printable] {
                let (mut text, mut back) = (Vec::new(), Vec::new());
                spell(&bytes, &mut text);
                assert!(!text.contains(&b'\t') && !text.contains(&b'\n') && !text.contains(&b'\r'));
                decode(&text, &mut back).unwrap();
                assert_eq!(back, bytes);
            }
        }
    }

    #[test]
    fn wrong_escapes_are_named() {
        for field in ["\\", "\\q", "\\x", "\\x1", "\\xg0", "a\\"] {
            assert!(decode(field.as_bytes(), &mut Vec::new()).is_err(), "{field}");
        }
    }
}
