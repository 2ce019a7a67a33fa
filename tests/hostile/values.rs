//! Damage to the value area: places, lengths and counts that lie, behind right checksums.

use splitpoint::Promise as P;

use crate::file::{BITMAP_ROOT, File, PAGE};
use crate::pages::sealed;
use crate::table::{Expect, Row};

pub(crate) fn rows() -> Vec<Row> {
    use Expect::{Check, Touch};
    vec![
        sealed!("large records that overlap", Check(P::ValueOverlap), |f| {
            let large = f.large();
            f.set_place(large[0], f.place(large[1]));
        }),
        sealed!("large records that overlap by a grain", Check(P::ValueOverlap), |f| {
            let large = f.large();
            // Values of 9,000 bytes have 141 grains.
            let follows =
                |&at: &usize| large.iter().any(|&other| f.place(other) + 141 == f.place(at));
            let second = *large.iter().find(|at| follows(at)).unwrap();
            f.set_place(second, f.place(second) - 1);
        }),
        sealed!("a large record in a bucket page", Check(P::LiveCount), |f| {
            let large = f.large()[0];
            f.set_place(large, f.bucket() as u64 / 64);
        }),
        sealed!("a large record's key of another length", Touch(P::Count), |f| {
            let large = f.large()[0];
            f.put32(large + 1, f.get32(large + 1) & !0xffff | 253);
        }),
        sealed!("a live count too large by one", Check(P::LiveCount), |f| {
            let page = f.place(f.large()[0]) as usize / 64;
            let at = f.count(page + 1);
            f.0[at] -= 1;
        }),
        sealed!("a live count too small by one", Check(P::LiveCount), |f| {
            let large = f.large();
            let last = large.iter().map(|&at| f.place(at)).max().unwrap() as usize / 64 + 2;
            let at = f.count(last);
            f.0[at] -= 1;
        }),
        sealed!("a live count of more grains than a page has", Expect::Open(P::LiveCount), |f| {
            let at = f.count(f.place(f.large()[0]) as usize / 64);
            f.0[at..at + 2].copy_from_slice(&65_u16.to_le_bytes());
        }),
        sealed!("a bucket page that counts as a value page", Expect::Open(P::PageUse), |f| {
            let at = f.count(f.bucket() / PAGE);
            f.0[at] = 1;
            f.put(f.meta() + 128, f.get(f.meta() + 128) + 1);
        }),
        sealed!("a meta page that counts as a value page", Expect::Open(P::PageRange), |f| {
            let at = f.count(2);
            f.0[at] = 1;
            f.put(f.meta() + 128, f.get(f.meta() + 128) + 1);
        }),
        sealed!("an overflow page that counts as a value page", Expect::Open(P::PageUse), |f| {
            let at = f.count(f.overflow() / PAGE);
            f.0[at] = 1;
            f.put(f.meta() + 128, f.get(f.meta() + 128) + 1);
        }),
        sealed!("a value page without a count", Expect::Open(P::Count), |f| {
            let at = f.count(f.place(f.large()[0]) as usize / 64);
            f.0[at..at + 2].fill(0);
        }),
        sealed!("a value page without a count, counted so", Check(P::LiveCount), |f| {
            let at = f.count(f.place(f.large()[0]) as usize / 64);
            f.0[at..at + 2].fill(0);
            f.put(f.meta() + 128, f.get(f.meta() + 128) - 1);
        }),
        sealed!("no value map", Expect::Open(P::Count), |f| {
            let meta = f.meta();
            f.put(meta + 256, 0);
        }),
        sealed!("a value map that ends too early", Expect::Open(P::PageRange), |f| {
            let meta = f.meta();
            f.put(meta + 248, f.get(meta + 248) - 1);
        }),
        sealed!("a value map of another tree", Expect::Open(P::PageUse), |f| {
            let meta = f.meta();
            f.put(meta + 256, f.get(meta + BITMAP_ROOT));
        }),
    ]
}
