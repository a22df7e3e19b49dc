//! The symbols of a block, how often each occurs, and how they are written.

use super::bits::BitWriter;
use super::tables::{
    Code, DISTANCE_BASES, DISTANCE_SYMBOLS, END_OF_BLOCK, LENGTH_BASES, LENGTH_CODES, LITERAL_SYMBOLS, distance_code,
};

/// The most literals and matches in a block.
const MAX_SYMBOLS: usize = (1 << 14) - 1;

/// The literals and matches of one block.
pub struct Block {
    /// Distance in the upper 16 bits, length in the lower; a literal has no distance.
    symbols: Vec<u32>,
    pub literals: [u16; LITERAL_SYMBOLS],
    pub distances: [u16; DISTANCE_SYMBOLS],
}

impl Block {
    pub fn new() -> Self {
        Self { symbols: Vec::new(), literals: [0; LITERAL_SYMBOLS], distances: [0; DISTANCE_SYMBOLS] }
    }

    pub fn clear(&mut self) {
        self.symbols.clear();
        self.literals.fill(0);
        self.distances.fill(0);
        self.literals[END_OF_BLOCK] = 1;
    }

    pub fn is_full(&self) -> bool {
        self.symbols.len() == MAX_SYMBOLS
    }

    /// How many more symbols fit in.
    pub fn room(&self) -> usize {
        MAX_SYMBOLS - self.symbols.len()
    }

    pub fn push_literals(&mut self, bytes: &[u8]) {
        self.symbols.extend(bytes.iter().map(|&byte| u32::from(byte)));
        for &byte in bytes {
            self.literals[usize::from(byte)] += 1;
        }
    }

    pub fn push_literal(&mut self, byte: u8) {
        self.symbols.push(byte.into());
        self.literals[usize::from(byte)] += 1;
    }

    pub fn push_match(&mut self, distance: usize, length: usize) {
        self.symbols.push((distance as u32) << 16 | length as u32);
        self.literals[usize::from(LENGTH_CODES[length])] += 1;
        self.distances[distance_code(distance)] += 1;
    }

    pub fn write(&self, bits: &mut BitWriter, literals: &[Code], distances: &[Code]) {
        let BitWriter { bytes, tail: end } = bits;
        let mut tail = *end;
        for &symbol in &self.symbols {
            let (distance, length) = ((symbol >> 16) as usize, (symbol & 0xffff) as usize);
            if distance == 0 {
                tail.push_code(bytes, literals[length]);
                continue;
            }
            let code = usize::from(LENGTH_CODES[length]);
            tail.push_code(bytes, literals[code]);
            let (base, extra) = LENGTH_BASES[code - END_OF_BLOCK - 1];
            tail.push(bytes, (length - usize::from(base)) as u64, extra);
            let code = distance_code(distance);
            tail.push_code(bytes, distances[code]);
            let (base, extra) = DISTANCE_BASES[code];
            tail.push(bytes, (distance - usize::from(base)) as u64, extra);
        }
        tail.push_code(bytes, literals[END_OF_BLOCK]);
        *end = tail;
    }
}
