//! Packs bits into bytes, lowest first.

use super::HEADER;
use super::tables::Code;

/// Writes bits, lowest first.
pub struct BitWriter {
    pub bytes: Vec<u8>,
    pub tail: Tail,
}

/// The last bits, which do not fill a word yet. They are a struct of their own, so that loops keep them in registers.
#[derive(Clone, Copy)]
pub struct Tail {
    pending: u64,
    count: u8,
}

impl Tail {
    /// Appends at most 32 bits.
    #[inline]
    pub fn push(&mut self, bytes: &mut Vec<u8>, bits: u64, count: u8) {
        self.pending |= bits << self.count;
        self.count += count;
        if self.count >= 32 {
            bytes.extend_from_slice(&(self.pending as u32).to_le_bytes());
            self.pending >>= 32;
            self.count -= 32;
        }
    }

    #[inline]
    pub fn push_code(&mut self, bytes: &mut Vec<u8>, code: Code) {
        self.push(bytes, code.bits.into(), code.length);
    }
}

impl BitWriter {
    /// Starts with the two bytes of the header.
    pub fn new() -> Self {
        Self { bytes: Vec::new(), tail: Tail { pending: u16::from_le_bytes(HEADER).into(), count: 16 } }
    }

    /// The number of bits written.
    pub fn length(&self) -> usize {
        self.bytes.len() * 8 + usize::from(self.tail.count)
    }

    /// Makes room for this many more bytes.
    pub fn reserve(&mut self, bytes: usize) {
        // Whole words are written, so the buffer may have a few bytes more for a while.
        self.bytes.reserve(bytes + 8);
    }

    /// Appends at most 32 bits.
    pub fn push(&mut self, bits: u64, count: u8) {
        self.tail.push(&mut self.bytes, bits, count);
    }

    /// Appends whole bytes, after zeros up to the next byte boundary.
    pub fn push_bytes(&mut self, bytes: &[u8]) {
        let Tail { pending, count } = self.tail;
        let whole = usize::from(count.div_ceil(8));
        self.bytes.extend_from_slice(&pending.to_le_bytes()[..whole]);
        self.tail = Tail { pending: 0, count: 0 };
        self.bytes.extend_from_slice(bytes);
    }

    pub fn finish(mut self, checksum: u32) -> Vec<u8> {
        self.push_bytes(&checksum.to_be_bytes());
        self.bytes
    }
}
