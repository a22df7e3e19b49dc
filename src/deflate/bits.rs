//! Bits into bytes, lowest first.

use super::HEADER;
use super::trees::Code;

/// Writes bits, lowest first.
pub struct BitWriter {
    bytes: Vec<u8>,
    pending: u64,
    count: u8,
}

impl BitWriter {
    pub fn new(capacity: usize) -> Self {
        // Whole words are written, so there may be a few bytes more for a while.
        let mut bytes = Vec::with_capacity(capacity + 8);
        bytes.extend_from_slice(&HEADER);
        Self { bytes, pending: 0, count: 0 }
    }

    /// At most 32 bits at a time.
    #[inline]
    pub fn push(&mut self, bits: u64, count: u8) {
        self.pending |= bits << self.count;
        self.count += count;
        if self.count >= 32 {
            self.bytes.extend_from_slice(&(self.pending as u32).to_le_bytes());
            self.pending >>= 32;
            self.count -= 32;
        }
    }

    #[inline]
    pub fn push_code(&mut self, code: Code) {
        self.push(code.bits.into(), code.length);
    }

    pub fn finish(mut self, checksum: u32) -> Vec<u8> {
        let whole = usize::from(self.count.div_ceil(8));
        self.bytes.extend_from_slice(&self.pending.to_le_bytes()[..whole]);
        self.bytes.extend_from_slice(&checksum.to_be_bytes());
        self.bytes
    }
}
