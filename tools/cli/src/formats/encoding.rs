//! Bytes as text, for the formats that are text: UTF-8, hexadecimal or base64. Knows nothing of
//! columns.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use clap::ValueEnum;

/// How keys and values are written in CSV and JSON lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Encoding {
    /// As they are; they must be UTF-8.
    Utf8,
    /// Two hexadecimal digits a byte.
    Hex,
    /// Base64 with padding (RFC 4648, the standard alphabet).
    Base64,
}

impl Encoding {
    /// Writes bytes as text.
    pub(crate) fn encode(self, bytes: &[u8]) -> Result<Cow<'_, str>, String> {
        Ok(match self {
            Encoding::Utf8 => Cow::Borrowed(std::str::from_utf8(bytes).map_err(|error| {
                format!(
                    "not UTF-8 at byte {} of {}; use --encoding hex or --encoding base64",
                    error.valid_up_to(),
                    bytes.len()
                )
            })?),
            Encoding::Hex => Cow::Owned(hex::encode(bytes)),
            Encoding::Base64 => Cow::Owned(STANDARD.encode(bytes)),
        })
    }

    /// Reads text back into bytes.
    pub(crate) fn decode(self, text: &[u8]) -> Result<Cow<'_, [u8]>, String> {
        Ok(match self {
            Encoding::Utf8 => {
                if let Err(error) = std::str::from_utf8(text) {
                    return Err(format!(
                        "not UTF-8 at byte {} of {}; such data are given with --encoding hex or \
                         --encoding base64",
                        error.valid_up_to(),
                        text.len()
                    ));
                }
                Cow::Borrowed(text)
            }
            Encoding::Hex => {
                Cow::Owned(hex::decode(text).map_err(|error| format!("not hexadecimal: {error}"))?)
            }
            Encoding::Base64 => {
                Cow::Owned(STANDARD.decode(text).map_err(|error| format!("not base64: {error}"))?)
            }
        })
    }
}
