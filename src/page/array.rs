//! Pages of words: the nodes of the trees that keep the directories and the bitmap of free pages.
//!
//! The header of all pages, then words. On level 0 a word is one of the array (a pointer to a
//! bucket or overflow page, or 64 bits of the bitmap), above it a pointer to a page one level
//! below, zero where all words below are zero. Knows nothing of trees.

use super::{HEADER_SIZE, Kind, get_u64, put, put_u64, word};
use crate::error::{Fault, Promise};

/// Words in one page.
pub(crate) fn words_per_page(page_size: usize) -> u64 {
    ((page_size - HEADER_SIZE) / 8) as u64
}

/// Encodes a page, all but what [`super::seal`] writes. Words that are missing are zero.
pub(crate) fn encode(
    page: &mut [u8],
    kind: Kind,
    level: u8,
    owner: u64,
    bucket_count: u64,
    words: &[u64],
) {
    page.fill(0);
    put(page, 4, &[kind as u8, level]);
    put_u64(page, 8 * word::OWNER, owner);
    put_u64(page, 8 * word::BUCKET_COUNT, bucket_count);
    for (i, &value) in words.iter().enumerate() {
        put_u64(page, HEADER_SIZE + 8 * i, value);
    }
}

/// The words of a page that has been checked.
pub(crate) fn words(page: &[u8]) -> impl Iterator<Item = u64> + '_ {
    (HEADER_SIZE..page.len()).step_by(8).map(|offset| get_u64(page, offset))
}

/// Checks what stands in the header besides the identity.
pub(crate) fn check_header(page: &[u8], level: u8) -> Result<(), Fault> {
    let first = get_u64(page, 0) >> 40;
    Fault::expect(Promise::PageKind, level.into(), first)?;
    Fault::expect(Promise::Reserved, 0, get_u64(page, 8 * word::NEXT))?;
    Fault::expect(Promise::Reserved, 0, get_u64(page, 8 * word::HEAP))
}
