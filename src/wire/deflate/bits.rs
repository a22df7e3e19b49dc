//! Bits into bytes, lowest first.

use super::HEADER;
use super::tables::Code;

/// Writes bits, lowest first.
pub struct BitWriter {
    bytes: Vec<u8>,
    pending: u64,
    count: u8,
}

impl BitWriter {
    /// Starts with two bytes of header.
    pub fn new() -> Self {
        Self { bytes: Vec::new(), pending: u16::from_le_bytes(HEADER).into(), count: 16 }
    }

    /// How many bits there are.
    pub fn length(&self) -> usize {
        self.bytes.len() * 8 + usize::from(self.count)
    }

    /// Makes room for so many bytes more.
    pub fn reserve(&mut self, bytes: usize) {
        // Whole words are written, so there may be a few bytes more for a while.
        self.bytes.reserve(bytes + 8);
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

    /// Appends whole bytes, after as many zeros as it takes to the next one.
    pub fn push_bytes(&mut self, bytes: &[u8]) {
        let whole = usize::from(self.count.div_ceil(8));
        self.bytes.extend_from_slice(&self.pending.to_le_bytes()[..whole]);
        (self.pending, self.count) = (0, 0);
        self.bytes.extend_from_slice(bytes);
    }

    pub fn finish(mut self, checksum: u32) -> Vec<u8> {
        self.push_bytes(&checksum.to_be_bytes());
        self.bytes
    }
}
