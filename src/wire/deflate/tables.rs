//! The numbers and tables of RFC 1951, sections 3.2.5 and 3.2.6.

pub const LITERAL_SYMBOLS: usize = 286;
pub const DISTANCE_SYMBOLS: usize = 30;
pub const CODE_LENGTH_SYMBOLS: usize = 19;
pub const END_OF_BLOCK: usize = 256;

pub const MIN_MATCH: usize = 3;
pub const MAX_MATCH: usize = 258;

/// The symbols for runs of lengths: the previous length 3 to 6 times, 3 to 10 zeros, 11 to 138 zeros.
pub const REPEAT: u8 = 16;
pub const ZEROS: u8 = 17;
pub const MANY_ZEROS: u8 = 18;

/// The prefix code of one symbol, with its first bit lowest.
#[derive(Clone, Copy, Default)]
pub struct Code {
    pub bits: u16,
    pub length: u8,
}

pub const CODE_LENGTH_ORDER: [usize; CODE_LENGTH_SYMBOLS] =
    [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];

pub static CODE_LENGTH_EXTRA: [u8; CODE_LENGTH_SYMBOLS] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 3, 7];

/// For each length code from 257 on, its shortest length and the number of extra bits. The last code has only one
/// length.
pub static LENGTH_BASES: [(u16, u8); 29] = {
    let mut lengths = [(0, 0); 29];
    let mut length = MIN_MATCH as u16;
    let mut code = 0;
    while code < 28 {
        let extra = if code < 8 { 0 } else { code as u8 / 4 - 1 };
        lengths[code] = (length, extra);
        length += 1 << extra;
        code += 1;
    }
    lengths[28] = (MAX_MATCH as u16, 0);
    lengths
};

/// For each distance code, its shortest distance and the number of extra bits.
pub static DISTANCE_BASES: [(u16, u8); DISTANCE_SYMBOLS] = {
    let mut distances = [(0, 0); DISTANCE_SYMBOLS];
    let mut distance = 1;
    let mut code = 0;
    while code < DISTANCE_SYMBOLS {
        let extra = if code < 4 { 0 } else { code as u8 / 2 - 1 };
        distances[code] = (distance, extra);
        distance += 1 << extra;
        code += 1;
    }
    distances
};

/// The length code of each length.
pub static LENGTH_CODES: [u16; MAX_MATCH + 1] = {
    let mut codes = [0; MAX_MATCH + 1];
    let mut code = 0;
    while code < LENGTH_BASES.len() {
        let mut length = LENGTH_BASES[code].0 as usize;
        while length <= MAX_MATCH {
            codes[length] = (END_OF_BLOCK + 1 + code) as u16;
            length += 1;
        }
        code += 1;
    }
    codes
};

pub fn distance_code(distance: usize) -> usize {
    let before = distance - 1;
    if before < 4 {
        return before;
    }
    let bits = before.ilog2() as usize;
    2 * bits + (before >> (bits - 1) & 1)
}

pub static LITERAL_EXTRA: [u8; LITERAL_SYMBOLS] = {
    let mut extra = [0; LITERAL_SYMBOLS];
    let mut code = 0;
    while code < LENGTH_BASES.len() {
        extra[END_OF_BLOCK + 1 + code] = LENGTH_BASES[code].1;
        code += 1;
    }
    extra
};

pub static DISTANCE_EXTRA: [u8; DISTANCE_SYMBOLS] = {
    let mut extra = [0; DISTANCE_SYMBOLS];
    let mut code = 0;
    while code < DISTANCE_SYMBOLS {
        extra[code] = DISTANCE_BASES[code].1;
        code += 1;
    }
    extra
};

/// RFC 1951 section 3.2.6.
pub static FIXED_LITERALS: [Code; LITERAL_SYMBOLS] = {
    let mut codes = [Code { bits: 0, length: 0 }; LITERAL_SYMBOLS];
    let mut symbol = 0;
    while symbol < LITERAL_SYMBOLS {
        let (first, start, length) = match symbol {
            0..144 => (0, 0x30, 8),
            144..256 => (144, 0x190, 9),
            256..280 => (256, 0, 7),
            _ => (280, 0xc0, 8),
        };
        let bits = start + (symbol - first) as u16;
        codes[symbol] = Code { bits: bits.reverse_bits() >> (16 - length), length };
        symbol += 1;
    }
    codes
};

pub static FIXED_DISTANCES: [Code; DISTANCE_SYMBOLS] = {
    let mut codes = [Code { bits: 0, length: 0 }; DISTANCE_SYMBOLS];
    let mut symbol = 0;
    while symbol < DISTANCE_SYMBOLS {
        codes[symbol] = Code { bits: (symbol as u16).reverse_bits() >> 11, length: 5 };
        symbol += 1;
    }
    codes
};
