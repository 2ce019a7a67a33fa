//! Tests of views at their edges: what is outside is never looked at, whatever a page says.

use super::super::Kind;
use super::super::bucket::check_structure;
use super::*;

/// A page among other bytes, all of them ones.
struct Among(OwnedPage);

const LEN: usize = 4096;

impl Among {
    fn new() -> Among {
        let mut memory = OwnedPage::new(3 * LEN);
        memory.bytes_mut().fill(0xff);
        Among(memory)
    }

    fn frame(&mut self) -> Frame<'_> {
        self.0.frame(LEN, LEN)
    }

    /// Changes the page, and checks that nothing beside it changed.
    fn change(&mut self, change: impl FnOnce(&mut Frame<'_>)) {
        change(&mut self.frame());
        let bytes = self.0.bytes();
        let beside = bytes[..LEN].iter().chain(&bytes[2 * LEN..]);
        assert!(beside.into_iter().all(|&byte| byte == 0xff), "a byte beside the page");
    }

    fn bytes(&mut self) -> &mut [u8] {
        &mut self.0.bytes_mut()[LEN..2 * LEN]
    }
}

#[test]
fn words_and_cells_end_where_the_page_does() {
    let mut page = Among::new();
    for (i, word) in page.bytes().chunks_mut(8).enumerate() {
        word.copy_from_slice(&(i as u64 + 1).to_le_bytes());
    }
    let frame = page.frame();
    let view = frame.view();
    assert_eq!((view.word(0), view.word(511), view.word(512), view.word(1 << 40)), (1, 512, 0, 0));
    for index in [0, 1, 61, 62] {
        let first = 8 + 8 * u32::try_from(index).unwrap() + 1;
        assert_eq!(view.cell(index).map(|cell| cell.header()), Some(first));
        assert_eq!(view.tag_cell(index).map(|cell| cell.header()), Some(first));
    }
    for index in [63, 64, 127, 1 << 20] {
        assert!(view.cell(index).is_none() && view.tag_cell(index).is_none(), "{index}");
    }
}

#[test]
fn a_tail_is_from_its_slot_s_offset_to_the_end() {
    let mut page = Among::new();
    page.change(|frame| frame.reset(Kind::Bucket, 5, 0, 1));
    for cell in 0..5_u16 {
        for lane in 1..16_u16 {
            let offset = 1000 + cell * 100 + lane;
            let slot = 0xabcd | u32::from(offset) << 16;
            page.change(|frame| frame.store_lane(cell.into(), lane.into(), slot));
        }
    }
    page.bytes()[LEN - 1] = 0x77;
    for (cell, lane) in (0..5).flat_map(|cell| (1..16).map(move |lane| (cell, lane))) {
        let frame = page.frame();
        let tail = frame.view().tail(cell, lane).unwrap();
        assert_eq!((tail.len(), tail.last()), (LEN - 1000 - cell * 100 - lane, Some(&0x77)));
        let slot = frame.view().cell(cell).unwrap().slots().find(|slot| slot.0 == lane);
        assert_eq!(slot.unwrap().2, LEN - tail.len());
    }
    for (offset, len) in [(0, None), (127, None), (128, Some(LEN - 128)), (4095, Some(1))] {
        page.change(|frame| frame.store_lane(2, 7, offset << 16));
        assert_eq!(page.frame().view().tail(2, 7).map(<[u8]>::len), len, "{offset}");
    }
    for offset in [4096, 4097, 5000, 65_535] {
        page.change(|frame| frame.store_lane(2, 7, offset << 16));
        assert!(page.frame().view().tail(2, 7).is_none(), "{offset}");
    }
}

#[test]
fn a_piece_is_in_the_page_and_of_a_slot_with_a_tag() {
    let mut page = Among::new();
    page.change(|frame| frame.reset(Kind::Bucket, 3, 0, 1));
    for (cell, slot) in (0..3).flat_map(|cell| (0..TAG_SLOTS).map(move |slot| (cell, slot))) {
        let place = 400..420;
        assert!(page.frame().view().piece(cell, slot, place.clone()).is_none(), "no tag yet");
        page.change(|frame| frame.store_tag(cell, slot, 9));
        assert_eq!(page.frame().view().piece(cell, slot, place).map(<[u8]>::len), Some(20));
    }
    let frame = page.frame();
    let piece = |place| frame.view().piece(1, 29, place).map(<[u8]>::len);
    assert_eq!((piece(64..65), piece(63..65), piece(0..100)), (Some(1), None, None));
    assert_eq!((piece(4000..4096), piece(4000..4097), piece(4096..4100)), (Some(96), None, None));
    assert_eq!((piece(64..4096), piece(90..90)), (Some(4032), Some(0)));
    #[expect(clippy::reversed_empty_ranges, reason = "it must be refused")]
    let reversed = piece(100..90);
    assert_eq!(reversed, None);
    // Slot 30 of a cell would be in the header of the next one.
    page.change(|frame| frame.store_lane(1, 0, 0xffff_ffff));
    let frame = page.frame();
    assert!(frame.view().piece(0, 30, 400..420).is_none());
    assert!(frame.view().piece(0, 29, 400..420).is_some());
}

#[test]
fn a_store_changes_its_lane_or_tag_alone() {
    let mut page = Among::new();
    page.change(|frame| frame.reset(Kind::Bucket, 2, 0, 1));
    page.bytes()[HEADER_SIZE..HEADER_SIZE + 2 * LINE_SIZE].fill(0x5a);
    for (cell, lane) in (0..2).flat_map(|cell| (0..16).map(move |lane| (cell, lane))) {
        let mut expected = page.bytes().to_vec();
        let at = HEADER_SIZE + cell * LINE_SIZE + 4 * lane;
        expected[at..at + 4].copy_from_slice(&[1, 2, 3, 4]);
        page.change(|frame| frame.store_lane(cell, lane, 0x0403_0201));
        assert!(page.bytes() == expected, "cell {cell}, lane {lane}");
    }
    for (cell, slot) in (0..2).flat_map(|cell| (0..30).map(move |slot| (cell, slot))) {
        let mut expected = page.bytes().to_vec();
        let at = HEADER_SIZE + cell * LINE_SIZE + 4 + 2 * slot;
        expected[at..at + 2].copy_from_slice(&[8, 9]);
        page.change(|frame| frame.store_tag(cell, slot, 0x0908));
        assert!(page.bytes() == expected, "cell {cell}, slot {slot}");
    }
    // Slots 2 to 5 share a word.
    let mut expected = page.bytes().to_vec();
    expected[HEADER_SIZE + 8..HEADER_SIZE + 10].copy_from_slice(&[1, 0]);
    expected[HEADER_SIZE + 14..HEADER_SIZE + 16].copy_from_slice(&[2, 0]);
    page.change(|frame| frame.store_tags(0, &[(2, 1), (5, 2)]));
    assert!(page.bytes() == expected);
}

#[test]
fn a_reset_page_has_nothing_of_the_one_before() {
    for cells in [1, 3, 63] {
        let mut page = Among::new();
        page.change(|frame| frame.reset(Kind::Overflow, cells, 7, 9));
        let frame = page.frame();
        let view = frame.view();
        assert_eq!((cell_count(view), record_count(view), live_len(view)), (cells, 0, 0));
        assert_eq!((heap_start(view), view.word(word::NEXT)), (LEN, 0));
        assert_eq!((view.word(word::OWNER), view.word(word::BUCKET_COUNT)), (7, 9));
        check_structure(view).unwrap();
        let all = (0..cells).map(|index| view.cell(index).unwrap());
        assert!(all.into_iter().all(|cell| cell.header() == 0 && cell.slots().count() == 0));
        assert_eq!(page.bytes()[4], Kind::Overflow as u8);
    }
}

#[test]
fn records_are_put_down_to_the_cells_and_no_further() {
    let mut page = Among::new();
    page.change(|frame| frame.reset(Kind::Bucket, 2, 0, 1));
    let end = HEADER_SIZE + 2 * LINE_SIZE;
    page.change(|frame| {
        assert_eq!(frame.append(&[b"ab", b"", b"cde"], 0), Some(4091));
        assert_eq!((heap_start(frame.view()), live_len(frame.view())), (4091, 5));
        assert_eq!(frame.append(&[], 2), Some(4090), "each has a place of its own");
        assert_eq!((heap_start(frame.view()), live_len(frame.view())), (4090, 4));
        let rest = vec![3; 4090 - end];
        assert_eq!(frame.append(&[&rest, b"x"], 0), None);
        assert_eq!((heap_start(frame.view()), live_len(frame.view())), (4090, 4));
        assert_eq!(frame.append(&[&rest], 0), Some(u16::try_from(end).unwrap()));
        assert_eq!(frame.append(&[], 0), None, "full");
    });
    assert!(page.bytes().ends_with(b"abcde"));
    assert!(page.bytes()[end..4090].iter().all(|&byte| byte == 3));
    assert!(page.bytes()[HEADER_SIZE..end].iter().all(|&byte| byte == 0));
    // The last byte of the largest page has the greatest offset.
    let mut large = OwnedPage::new(65_536);
    let mut frame = large.frame(0, 65_536);
    frame.reset(Kind::Bucket, 1, 0, 1);
    assert_eq!(frame.append(&[b"z"], 0), Some(u16::MAX));
}

#[test]
fn a_piece_is_written_to_its_place() {
    let mut page = Among::new();
    page.change(|frame| frame.reset(Kind::Bucket, 2, 0, 1));
    let end = HEADER_SIZE + 2 * LINE_SIZE;
    page.change(|frame| frame.write_piece((1, 4), end..end + 5, (b"key", b"vv")));
    page.change(|frame| frame.write_piece((1, 5), LEN - 5..LEN, (b"", b"value")));
    assert!(page.bytes()[end..].starts_with(b"keyvv\xff"));
    assert!(page.bytes().ends_with(b"\xffvalue"));
}

/// Whether a change of a page with two cells is refused by an assertion.
fn is_refused(change: impl FnOnce(&mut Frame<'_>)) -> bool {
    let mut page = Among::new();
    page.change(|frame| frame.reset(Kind::Bucket, 2, 0, 1));
    let mut frame = page.frame();
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| change(&mut frame))).is_err()
}

#[test]
fn stores_outside_of_their_places_are_refused() {
    let end = HEADER_SIZE + 2 * LINE_SIZE;
    let words = end / 8;
    assert!(!is_refused(|frame| frame.store_word(words - 1, 1)));
    assert!(is_refused(|frame| frame.store_word(words, 1)));
    assert!(is_refused(|frame| frame.store_word(512, 1)));
    assert!(is_refused(|frame| frame.store_lane(2, 0, 1)));
    assert!(is_refused(|frame| frame.store_tag(1, 30, 1)));
    assert!(!is_refused(|frame| frame.store_tags(0, &[(2, 5), (5, 6)])));
    assert!(is_refused(|frame| frame.store_tags(0, &[(2, 5), (6, 6)])), "of two words");
    assert!(!is_refused(|frame| frame.reset(Kind::Bucket, 63, 0, 1)));
    assert!(is_refused(|frame| frame.reset(Kind::Bucket, 64, 0, 1)), "beyond the page");
    let write = |frame: &mut Frame<'_>, slot, start, key: &[u8]| {
        frame.write_piece((0, slot), start..start + 4, (key, b"v"));
    };
    assert!(!is_refused(|frame| write(frame, 3, end, b"key")));
    assert!(!is_refused(|frame| write(frame, 3, LEN - 4, b"key")));
    assert!(is_refused(|frame| write(frame, 3, end - 1, b"key")), "in the cells");
    assert!(is_refused(|frame| write(frame, 3, LEN - 3, b"key")), "beyond the page");
    assert!(is_refused(|frame| write(frame, 3, end, b"ke")), "shorter");
    assert!(is_refused(|frame| write(frame, 30, end, b"key")), "no slot");
    let tagged = |frame: &mut Frame<'_>| {
        frame.store_tag(0, 3, 5);
        write(frame, 3, end, b"key");
    };
    assert!(is_refused(tagged), "a reader may be looking there");
    let above = |frame: &mut Frame<'_>| {
        let mut start = LEN - 10;
        frame.append(&[b"a record of some bytes"], 0).unwrap();
        frame.append_below(&mut start, &[b"another"]);
    };
    assert!(is_refused(above), "over a record");
    // A page cannot have more cells than its header's byte says.
    let mut large = OwnedPage::new(65_536);
    let mut frame = large.frame(0, 65_536);
    frame.reset(Kind::Bucket, 255, 0, 1);
    assert_eq!(cell_count(frame.view()), 255);
    let reset = std::panic::AssertUnwindSafe(|| frame.reset(Kind::Bucket, 256, 0, 1));
    assert!(std::panic::catch_unwind(reset).is_err());
}

#[test]
fn memory_of_one_s_own_is_given_out_in_aligned_pages() {
    let mut memory = OwnedPage::new(2 * LEN);
    assert_eq!((memory.len(), memory.bytes().len(), memory.view().len()), (8192, 8192, 8192));
    assert_eq!(memory.frame(LEN, LEN).view().len(), LEN);
    assert_eq!(memory.frame(8, 64).view().len(), 64);
    for (offset, len) in [(1, 64), (4, 64), (LEN, LEN + 1), (2 * LEN, 8), (8, usize::MAX)] {
        let frame = std::panic::AssertUnwindSafe(|| memory.frame(offset, len).view().len());
        assert!(std::panic::catch_unwind(frame).is_err(), "{len} bytes at {offset}");
    }
    assert_eq!((zeroed_words(5).len(), zeroed_marks(7).len()), (5, 7));
}

#[test]
fn pages_are_copied_as_a_whole() {
    let mut page = Among::new();
    page.bytes().iter_mut().enumerate().for_each(|(i, byte)| *byte = (i % 251) as u8);
    let mut other = Among::new();
    other.change(|frame| frame.copy_bytes_from(page.frame().view(), LEN));
    assert!(other.bytes() == page.bytes());
    let mut copy = vec![0; LEN];
    Frame::copy_frozen(other.frame().view(), &mut copy);
    assert!(page.bytes() == copy);
}
