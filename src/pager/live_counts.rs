//! A count for each page, in chunks: stretches without a count take no memory. Knows nothing of
//! what is counted.

/// Pages of a chunk.
const CHUNK_PAGES: usize = 1024;

/// Counts by page number; zero where none was set.
#[derive(Debug, Clone, Default)]
pub(crate) struct LiveCounts {
    chunks: Vec<Option<Box<[u16; CHUNK_PAGES]>>>,
    /// One more than the last page whose count is not zero.
    end: u64,
}

impl LiveCounts {
    /// One more than the last page with a count.
    pub(crate) fn end(&self) -> u64 {
        self.end
    }

    pub(crate) fn get(&self, page: u64) -> u16 {
        let (chunk, at) = place(page);
        let chunk = self.chunks.get(chunk).and_then(Option::as_ref);
        chunk.and_then(|counts| counts.get(at)).copied().unwrap_or_default()
    }

    pub(crate) fn set(&mut self, page: u64, count: u16) {
        let (chunk, at) = place(page);
        if count == 0 && self.get(page) == 0 {
            return;
        }
        if chunk >= self.chunks.len() {
            self.chunks.resize(chunk + 1, None);
        }
        let Some(slot) = self.chunks.get_mut(chunk) else { return };
        let counts = slot.get_or_insert_with(|| Box::new([0; CHUNK_PAGES]));
        if let Some(slot) = counts.get_mut(at) {
            *slot = count;
        }
        if count > 0 {
            self.end = self.end.max(page + 1);
        } else if page + 1 == self.end {
            self.trim();
        }
    }

    fn trim(&mut self) {
        while let Some(last) = self.chunks.last() {
            let used = last.as_ref().and_then(|counts| counts.iter().rposition(|&c| c > 0));
            if let Some(used) = used {
                self.end = ((self.chunks.len() - 1) * CHUNK_PAGES + used + 1) as u64;
                return;
            }
            self.chunks.pop();
        }
        self.end = 0;
    }

    /// Every stretch of `width` pages with a count, by its number; `width` divides 1024.
    pub(crate) fn stretches(&self, width: usize) -> impl Iterator<Item = (u64, &[u16])> {
        let chunks = self.chunks.iter().enumerate();
        chunks.filter_map(|(i, chunk)| Some((i, chunk.as_ref()?))).flat_map(move |(i, chunk)| {
            let first = (i * (CHUNK_PAGES / width)) as u64;
            let all = (first..).zip(chunk.chunks(width));
            all.filter(|(_, counts)| counts.iter().any(|&count| count > 0))
        })
    }
}

fn place(page: u64) -> (usize, usize) {
    let page = usize::try_from(page).unwrap_or(usize::MAX);
    (page / CHUNK_PAGES, page % CHUNK_PAGES)
}

#[cfg(test)]
mod tests {
    use super::LiveCounts;
    use std::collections::BTreeMap;

    #[test]
    fn is_a_map_from_pages_to_counts() {
        let mut counts = LiveCounts::default();
        let mut model: BTreeMap<u64, u16> = BTreeMap::new();
        let mut state = 5_u64;
        for _ in 0..5_000 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let page = (state >> 33) % [10, 2_000, 9_000][(state >> 20) as usize % 3];
            let count = if state >> 63 == 0 { 0 } else { (state >> 50) as u16 };
            counts.set(page, count);
            model.insert(page, count);
            model.retain(|_, count| *count > 0);
            assert_eq!(counts.end(), model.last_key_value().map_or(0, |(page, _)| page + 1));
            assert_eq!(counts.get(page), count);
        }
        let found: BTreeMap<u64, u16> = counts
            .stretches(64)
            .flat_map(|(stretch, counts)| (stretch * 64..).zip(counts.iter().copied()))
            .filter(|(_, count)| *count > 0)
            .collect();
        assert_eq!(found, model);
        assert_eq!(counts.get(1 << 40), 0);
    }
}
