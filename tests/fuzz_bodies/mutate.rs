//! Damage to a data file and its log that means something: pages swapped, pointers bent, lengths
//! at their edges, an older log. Three times in four the checksums are made right again.

use splitpoint::simulation::Rng;

use super::pack::Files;
use super::seal::{PAGE, ROOTS, get, meta, page_of, put, seal};

/// Changes some bytes of a slice as the fuzzer likes.
pub(crate) type Inner<'i> = dyn FnMut(&mut [u8]) + 'i;

/// Damages an input; the result is shorter than `max_len`, or the input itself.
pub(crate) fn mutate(packed: &[u8], max_len: usize, seed: u64, inner: &mut Inner<'_>) -> Vec<u8> {
    let mut rng = Rng::new(seed);
    let mut files = Files::unpack(packed);
    if files.data.is_empty() {
        let seeds = super::image::seeds();
        files = seeds[rng.below(seeds.len())].clone();
    }
    for _ in 0..=rng.below(4) {
        match rng.below(10) {
            0..6 => damage_data(&mut files.data, &mut rng, inner),
            6 | 7 if !files.log.is_empty() => damage_log(&mut files, &mut rng, inner),
            _ => damage_ops(&mut files.ops, &mut rng, inner),
        }
    }
    if rng.below(4) > 0 {
        seal(&mut files, rng.below(2) == 0);
    }
    let out = files.pack();
    if out.len() <= max_len { out } else { packed.to_vec() }
}

/// A page that is not all zeros.
fn page(data: &[u8], rng: &mut Rng) -> usize {
    let is_used = |at: &usize| data[*at..(*at + PAGE).min(data.len())].iter().any(|b| *b != 0);
    let used: Vec<usize> = (0..data.len()).step_by(PAGE).filter(is_used).collect();
    if used.is_empty() { 0 } else { used[rng.below(used.len())] }
}

fn damage_data(data: &mut Vec<u8>, rng: &mut Rng, inner: &mut Inner<'_>) {
    if data.len() < 5 * PAGE {
        data.resize(5 * PAGE, 0);
    }
    let at = page(data, rng);
    let count = data.len() / PAGE;
    let word = at + 8 * [rng.below(8), rng.below(30), rng.below(PAGE / 8)][rng.below(3)];
    let old = get(data, word);
    match rng.below(13) {
        0 => {
            let other = page(data, rng);
            if other + PAGE <= data.len() && at + PAGE <= data.len() {
                data.copy_within(other..other + PAGE, at);
            }
        }
        1 => {
            let other = page(data, rng);
            for i in 0..PAGE {
                if at.max(other) + i < data.len() {
                    data.swap(at + i, other + i);
                }
            }
        }
        // A link: to the page itself, the one before, none, the last, beyond the end.
        2 | 3 => {
            let to = [at / PAGE, (at / PAGE).saturating_sub(1), 0, count - 1, count, (1 << 30) - 1];
            let word = [at + 48, word][rng.below(2)];
            put(data, word, &(to[rng.below(to.len())] as u64).to_le_bytes());
        }
        4 => {
            let values =
                [0, 1, old.wrapping_sub(1), old.wrapping_add(1), u64::MAX, 1 << 62, 1 << 63];
            put(data, word, &values[rng.below(values.len())].to_le_bytes());
        }
        // A length, or a byte of one.
        5 | 6 => {
            let values: [&[u8]; 6] = [&[0], &[1], &[255], &[254], &[255, 255], &[255; 4]];
            put(data, word + rng.below(8), values[rng.below(values.len())]);
        }
        7 => put(data, word + 2 * rng.below(4), &(rng.below(4200) as u16).to_le_bytes()),
        8 => bend_bitmap(data, rng),
        9 => bend_meta(data, rng, count),
        10 => data.truncate(data.len() - [PAGE, 1, 512][rng.below(3)]),
        11 => data.resize(data.len() + PAGE, 0),
        _ => window(data, word, inner),
    }
}

fn window(bytes: &mut [u8], at: usize, inner: &mut Inner<'_>) {
    let at = at.min(bytes.len().saturating_sub(1));
    let end = (at + 64).min(bytes.len());
    if at < end {
        inner(&mut bytes[at..end]);
    }
}

/// Says that a used page is free or the reverse, with the count that goes with it.
fn bend_bitmap(data: &mut [u8], rng: &mut Rng) {
    let at = meta(data);
    let leaf = page_of(get(data, at + 192)) * PAGE;
    let bit = rng.below(data.len() / PAGE + 2);
    let Some(byte) = data.get_mut(leaf + 64 + bit / 8) else { return };
    *byte ^= 1 << (bit % 8);
    let change = if *byte >> (bit % 8) & 1 == 0 { 1 } else { u64::MAX };
    let free = get(data, at + 96).wrapping_add(change);
    put(data, at + 96, &free.to_le_bytes());
}

/// A field of the newest meta page at an edge, or the root of another tree.
fn bend_meta(data: &mut [u8], rng: &mut Rng, count: usize) {
    let at = meta(data);
    let field = at + 40 + 8 * rng.below(25);
    let old = get(data, field);
    let other = get(data, at + ROOTS[rng.below(ROOTS.len())]);
    let values =
        [0, 1, 2, count as u64, u64::MAX, old.wrapping_add(1), old.wrapping_sub(1), old / 2, other];
    put(data, field, &values[rng.below(values.len())].to_le_bytes());
}

fn damage_log(files: &mut Files, rng: &mut Rng, inner: &mut Inner<'_>) {
    let chosen = rng.below(files.log.len());
    let (number, segment) = &mut files.log[chosen];
    let used = segment.iter().rposition(|byte| *byte != 0).unwrap_or(0) + 1;
    let record = PAGE + 8 * rng.below((used.saturating_sub(PAGE) / 8).max(1));
    match rng.below(10) {
        0 => segment.truncate(rng.below(used + 1)),
        1 => segment.resize(segment.len() + PAGE, 0),
        2 => *number = number.wrapping_add([1, u64::MAX, 2][rng.below(3)]),
        3 => drop(files.log.remove(chosen)),
        4 => {
            let copy = (*number + 1, segment.clone());
            files.log.push(copy);
        }
        // An older or another log: epoch, file, segment, first commit.
        5 => {
            let field = [16, 32, 40, 48, 56, 64, 72][rng.below(7)];
            let old = get(segment, field);
            let values = [old.wrapping_sub(1), old.wrapping_add(1), 0, u64::MAX];
            put(segment, field, &values[rng.below(4)].to_le_bytes());
        }
        6 => put(segment, record, &[0, 1, 255][rng.below(3)..][..1]),
        // A record's kind, a record's length.
        7 => put(segment, record + 7, &[0, 1, 2, 3][rng.below(4)..][..1]),
        8 => put(segment, record + 8, &(rng.below(9000) as u32).to_le_bytes()),
        _ => window(segment, record, inner),
    }
}

fn damage_ops(ops: &mut Vec<u8>, rng: &mut Rng, inner: &mut Inner<'_>) {
    match rng.below(3) {
        0 => ops.push(rng.below(256) as u8),
        1 => ops.truncate(ops.len() / 2 + 1),
        _ => window(ops, 0, inner),
    }
    ops.truncate(200);
}
