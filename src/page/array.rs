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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_of_words_has_them_in_order_and_nothing_else() {
        let given: Vec<u64> = (1..=500).map(|i| i << 40 | i).collect();
        let mut page = vec![0xee; 4096];
        encode(&mut page, Kind::Bitmap, 2, 77, 9, &given);
        let found: Vec<u64> = words(&page).collect();
        assert_eq!((found.len() as u64, words_per_page(4096)), (504, 504));
        assert_eq!((&found[..500], &found[500..]), (&given[..], [0; 4].as_slice()));
        let field = |index: usize| get_u64(&page, 8 * index);
        assert_eq!((field(word::OWNER), field(word::BUCKET_COUNT)), (77, 9));
        assert_eq!((page[4], page[5]), (Kind::Bitmap as u8, 2));
        assert_eq!(check_header(&page, 2), Ok(()));
        for (at, promise) in [
            (5, Promise::PageKind),
            (6, Promise::PageKind),
            (7, Promise::PageKind),
            (48, Promise::Reserved),
            (63, Promise::Reserved),
        ] {
            page[at] ^= 1;
            assert_eq!(check_header(&page, 2).map_err(|fault| fault.promise), Err(promise));
            page[at] ^= 1;
        }
        assert!(check_header(&page, 1).is_err() && check_header(&page, 3).is_err());
    }
}
