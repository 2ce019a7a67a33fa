//! Numbers from a fuzzer's bytes. Every byte string means something; at its end all is zero.

/// What is left of the bytes.
pub(crate) struct Bytes<'d>(pub(crate) &'d [u8]);

impl<'d> Bytes<'d> {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn u8(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    pub(crate) fn u16(&mut self) -> u16 {
        u16::from_le_bytes([self.u8(), self.u8()])
    }

    pub(crate) fn u32(&mut self) -> u32 {
        u32::from_le_bytes([self.u8(), self.u8(), self.u8(), self.u8()])
    }

    /// Below `limit`, which is at most 65,536.
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        let drawn = if limit <= 256 { self.u8().into() } else { usize::from(self.u16()) };
        drawn % limit.max(1)
    }

    /// One of these.
    pub(crate) fn of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }

    /// Up to so many bytes.
    pub(crate) fn take(&mut self, len: usize) -> &'d [u8] {
        let (head, rest) = self.0.split_at(len.min(self.0.len()));
        self.0 = rest;
        head
    }
}
