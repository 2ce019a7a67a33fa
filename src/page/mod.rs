//! Pages: one page of the file <-> its fields. Knows nothing of chains, files or logs.
//!
//! Every page but the meta pages and the value pages opens with the same 64 bytes:
//!
//! ```text
//! OFFSET SIZE NAME
//!      0    4 checksum       CRC-32 of the bytes from 4 to the page's end
//!      4    1 kind           2 directory, 3 bitmap, 4 bucket, 5 overflow, 6 value map
//!      5    1 cell_count     cells that follow (bucket, overflow); level in the tree (the others)
//!      6    2 record_count   live records (bucket, overflow)
//!      8    8 page_number    its own
//!     16    8 file_tag       the first 8 bytes of the file id
//!     24    8 generation     of the checkpoint that wrote it
//!     32    8 owner          bucket, run, or index of the first word that it covers
//!     40    8 bucket_count   of the layout it belongs to; 0 for a bitmap or value map page
//!     48    8 next           pointer to the next overflow page of the chain, or 0
//!     56    4 heap_start     offset of the lowest record byte; of fixed sizes: the sizes (see `shape`)
//!     60    4 live_len       bytes of live records
//! ```
//!
//! A *pointer* is a u64: page number in bits 0–29, the page's checksum in bits 30–61, zero above.

pub(crate) mod array;
pub(crate) mod bucket;
pub(crate) mod candidate;
mod cell;
pub(crate) mod edit;
mod fixed;
pub(crate) mod meta;
pub(crate) mod pointer;
mod processor;
pub(crate) mod record;
pub(crate) mod shape;
pub(crate) mod spans;
pub(crate) mod trace;
pub(crate) mod usage;
mod view;

pub(crate) use cell::{CELL_SLOTS, Cell, TagCell};
pub(crate) use processor::prefetch;
pub(crate) use view::{
    Frame, LINE_SIZE, OwnedPage, View, cell_count, heap_start, live_len, record_count,
    zeroed_marks, zeroed_words,
};

#[cfg(test)]
pub(crate) use view::tests_support;

use crate::checksum::crc32;
use crate::error::{Fault, Promise};

/// Bytes of the header of a page.
pub(crate) const HEADER_SIZE: usize = 64;
/// The smallest page and the default one.
pub(crate) const PAGE_SIZE_MIN: usize = 4096;
/// The largest page: offsets within it have 16 bits.
pub(crate) const PAGE_SIZE_MAX: usize = 65536;

/// Word indices of the header, in units of 8 bytes.
pub(crate) mod word {
    pub(crate) const FIRST: usize = 0;
    pub(crate) const PAGE_NUMBER: usize = 1;
    pub(crate) const FILE_TAG: usize = 2;
    pub(crate) const GENERATION: usize = 3;
    pub(crate) const OWNER: usize = 4;
    pub(crate) const BUCKET_COUNT: usize = 5;
    pub(crate) const NEXT: usize = 6;
    pub(crate) const HEAP: usize = 7;
}

/// What a page is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub(crate) enum Kind {
    Directory = 2,
    Bitmap = 3,
    Bucket = 4,
    Overflow = 5,
    ValueMap = 6,
}

/// What a page says of itself besides its contents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) page_number: u64,
    pub(crate) file_tag: u64,
    pub(crate) kind: Kind,
    pub(crate) owner: u64,
    pub(crate) bucket_count: u64,
}

/// The checksum of a page's bytes.
pub(crate) fn page_checksum(page: &[u8]) -> u32 {
    crc32(0, page.get(4..).unwrap_or_default())
}

/// Writes a page's number, generation and checksum into its finished bytes; gives the checksum.
pub(crate) fn seal(page: &mut [u8], page_number: u64, file_tag: u64, generation: u64) -> u32 {
    put_u64(page, 8 * word::PAGE_NUMBER, page_number);
    put_u64(page, 8 * word::FILE_TAG, file_tag);
    put_u64(page, 8 * word::GENERATION, generation);
    let checksum = page_checksum(page);
    put_u32(page, 0, checksum);
    checksum
}

/// Checks that a page is the one that a pointer with `checksum` means.
pub(crate) fn check_identity(page: &[u8], checksum: u32, is: Identity) -> Result<(), Fault> {
    let stored = get_u32(page, 0);
    Fault::expect(Promise::PageChecksum, page_checksum(page).into(), stored.into())?;
    Fault::expect(Promise::PointerChecksum, checksum.into(), stored.into())?;
    check_fields(page, is)
}

/// The part of [`check_identity`] that needs no pointer.
pub(crate) fn check_fields(page: &[u8], is: Identity) -> Result<(), Fault> {
    let field = |index: usize| get_u64(page, 8 * index);
    Fault::expect(Promise::PageKind, is.kind as u64, (field(word::FIRST) >> 32) & 0xff)?;
    Fault::expect(Promise::PageNumber, is.page_number, field(word::PAGE_NUMBER))?;
    Fault::expect(Promise::FileId, is.file_tag, field(word::FILE_TAG))?;
    Fault::expect(Promise::PageOwner, is.owner, field(word::OWNER))?;
    Fault::expect(Promise::PageOwner, is.bucket_count, field(word::BUCKET_COUNT))
}

/// Reads a field at an offset that the format fixes; beyond the bytes it reads as zero.
pub(crate) fn get_u64(bytes: &[u8], offset: usize) -> u64 {
    bytes.get(offset..).and_then(|b| b.first_chunk()).map_or(0, |b| u64::from_le_bytes(*b))
}

/// As [`get_u64`].
pub(crate) fn get_u32(bytes: &[u8], offset: usize) -> u32 {
    bytes.get(offset..).and_then(|b| b.first_chunk()).map_or(0, |b| u32::from_le_bytes(*b))
}

/// As [`get_u64`].
pub(crate) fn get_u16(bytes: &[u8], offset: usize) -> u16 {
    bytes.get(offset..).and_then(|b| b.first_chunk()).map_or(0, |b| u16::from_le_bytes(*b))
}

/// Writes a field at an offset that the format fixes.
pub(crate) fn put(bytes: &mut [u8], offset: usize, field: &[u8]) {
    bytes
        .get_mut(offset..offset + field.len())
        .expect("a field within the page")
        .copy_from_slice(field);
}

/// As [`put`].
pub(crate) fn put_u64(bytes: &mut [u8], offset: usize, value: u64) {
    put(bytes, offset, &value.to_le_bytes());
}

/// As [`put`].
pub(crate) fn put_u32(bytes: &mut [u8], offset: usize, value: u32) {
    put(bytes, offset, &value.to_le_bytes());
}
