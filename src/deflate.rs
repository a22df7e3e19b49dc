//! The deflate of classic zlib at level 6, bit for bit, for texts the size of a cookie.
//!
//! A cookie must come out with the very bytes that CPython's zlib would give it. zlib itself is made for streams of any
//! length: most of its time on a text of a few hundred bytes goes into clearing tables of 64 KB and filling a window. This
//! is the same algorithm for one text at a time: the same matches, the same trees, the same bits, in half the time.
//!
//! Source: RFC 1950 and RFC 1951 for the format; zlib's choices within it are those of its `deflate_slow` and `trees.c`.
//! The tests compare with zlib on thousands of texts, or as many as `DEFLATE_CASES` says.

#![expect(clippy::cast_possible_truncation, reason = "no text, symbol or length here exceeds 16 bits")]

use std::cell::RefCell;

/// Longer texts may fill more than one block of zlib's; they are left to zlib.
pub const MAX_TEXT: usize = 16_000;

/// What precedes and follows the block: two bytes of header (a window of 32 KB, level 6) and the checksum.
const HEADER: [u8; 2] = [0x78, 0x9c];
const FRAME: usize = 6;

thread_local! {
    static DEFLATER: RefCell<Deflater> = RefCell::new(Deflater::new());
}

/// Deflates a text of at most [`MAX_TEXT`] bytes, if that makes it at least two bytes shorter.
pub fn deflate_if_shorter(text: &[u8]) -> Option<Vec<u8>> {
    DEFLATER.with_borrow_mut(|deflater| deflater.deflate_if_shorter(text))
}

struct Deflater {
    matcher: Matcher,
    block: Block,
    trees: TreeBuilder,
}

impl Deflater {
    fn new() -> Self {
        Self { matcher: Matcher::new(), block: Block::new(), trees: TreeBuilder::new() }
    }

    fn deflate_if_shorter(&mut self, text: &[u8]) -> Option<Vec<u8>> {
        self.block.clear();
        self.matcher.match_text(text, &mut self.block);
        let literals = self.trees.build(&self.block.literals, &LITERAL_CODE);
        let distances = self.trees.build(&self.block.distances, &DISTANCE_CODE);
        let lengths = CodeLengths::new(&mut self.trees, &literals, &distances);
        let dynamic = (literals.bits + distances.bits + lengths.bits + 3).div_ceil(8);
        let fixed = (literals.fixed_bits + distances.fixed_bits + 3).div_ceil(8);
        if FRAME + dynamic.min(fixed) + 1 >= text.len() {
            return None;
        }
        let mut bits = BitWriter::new(FRAME + dynamic.min(fixed));
        if fixed <= dynamic {
            bits.push(0b011, 3);
            self.block.write(&mut bits, &FIXED_LITERALS, &FIXED_DISTANCES);
        } else {
            bits.push(0b101, 3);
            lengths.write(&mut bits);
            self.block.write(&mut bits, &literals.codes, &distances.codes);
        }
        Some(bits.finish(simd_adler32::adler32(&text)))
    }
}

// --- Matches: zlib's lazy search ------------------------------------------------------------------------------------

const MIN_MATCH: usize = 3;
const MAX_MATCH: usize = 258;

/// Matches of three bytes from further back than this are not worth their distance.
const TOO_FAR: usize = 4096;

// Level 6 of zlib's configuration table.
/// From this length of a match on, the search for a better one one byte later is cut to a quarter.
const GOOD_LENGTH: usize = 8;
/// From this length on, it is not made at all.
const LAZY_LENGTH: usize = 16;
/// A match of this length ends the search.
const NICE_LENGTH: usize = 128;
const MAX_CHAIN: usize = 128;

const HASHES: usize = 1 << 15;

/// Finds the matches in one text after another.
struct Matcher {
    /// For each hash of three bytes the last place where they stood, as `base` + place. What is not above `base` stems
    /// from an earlier text, so the table need not be cleared each time. zlib takes place 0 for none, and so do we.
    heads: Vec<u16>,
    /// For each place the one before it with the same hash.
    chain: Vec<u16>,
    base: u16,
}

#[derive(Clone, Copy)]
struct Match {
    start: usize,
    length: usize,
}

const NO_MATCH: Match = Match { start: 0, length: MIN_MATCH - 1 };

impl Matcher {
    fn new() -> Self {
        Self { heads: vec![0; HASHES], chain: Vec::new(), base: 0 }
    }

    /// Walks the text, taking a match only if the next place has no longer one.
    fn match_text(&mut self, text: &[u8], block: &mut Block) {
        self.start(text.len());
        let mut found = NO_MATCH;
        let mut literal_is_pending = false;
        let mut at = 0;
        while at < text.len() {
            let head = self.insert(text, at);
            let previous = found;
            found = NO_MATCH;
            if head > self.base && previous.length < LAZY_LENGTH {
                found = self.longest_match(text, at, head, previous.length);
                if found.length == MIN_MATCH && at - found.start > TOO_FAR {
                    found = NO_MATCH;
                }
            }
            if previous.length >= MIN_MATCH && found.length <= previous.length {
                block.push_match(at - 1 - previous.start, previous.length);
                let end = at - 1 + previous.length;
                for inside in at + 1..end {
                    self.insert(text, inside);
                }
                at = end;
                found = NO_MATCH;
                literal_is_pending = false;
            } else {
                if literal_is_pending {
                    block.push_literal(text[at - 1]);
                }
                literal_is_pending = true;
                at += 1;
            }
        }
        if literal_is_pending {
            block.push_literal(text[at - 1]);
        }
    }

    fn start(&mut self, length: usize) {
        // The next text's places lie above all of this one's.
        let used = u16::try_from(self.chain.len()).unwrap_or(u16::MAX);
        let last = usize::from(self.base) + usize::from(used) + length;
        if u16::try_from(last).is_ok() {
            self.base += used;
        } else {
            self.heads.fill(0);
            self.base = 0;
        }
        self.chain.clear();
        self.chain.resize(length, 0);
    }

    /// Notes the three bytes at a place and gives the last place of the same, with `base`; none is `base` or less.
    #[inline]
    fn insert(&mut self, text: &[u8], at: usize) -> u16 {
        let Some(&[a, b, c]) = text.get(at..at + MIN_MATCH) else {
            return 0;
        };
        let hash = (usize::from(a) << 10 ^ usize::from(b) << 5 ^ usize::from(c)) % HASHES;
        let head = self.heads[hash];
        self.chain[at] = head;
        let place = self.base + at as u16;
        self.heads[hash] = place;
        head
    }

    /// The first of the longest matches longer than `length`, going back along the chain from `head`.
    fn longest_match(&self, text: &[u8], at: usize, head: u16, length: usize) -> Match {
        let ahead = &text[at..text.len().min(at + MAX_MATCH)];
        let nice = NICE_LENGTH.min(text.len() - at);
        let mut best = Match { start: 0, length };
        let mut steps = if length >= GOOD_LENGTH { MAX_CHAIN / 4 } else { MAX_CHAIN };
        let mut place = head;
        while place > self.base && steps > 0 && best.length < ahead.len() {
            let start = usize::from(place - self.base);
            // Most candidates fail at the byte that would make them longer than the best.
            if text[start + best.length] == ahead[best.length] {
                let common = common_length(&text[start..], ahead);
                if common > best.length {
                    best = Match { start, length: common };
                    if common >= nice {
                        break;
                    }
                }
            }
            place = self.chain[start];
            steps -= 1;
        }
        Match { length: best.length.min(text.len() - at), ..best }
    }
}

fn common_length(text: &[u8], ahead: &[u8]) -> usize {
    text.iter().zip(ahead).take_while(|(a, b)| a == b).count()
}

// --- The block: its symbols and how often each occurs -------------------------------------------------------------------

const LITERAL_SYMBOLS: usize = 286;
const DISTANCE_SYMBOLS: usize = 30;
const END_OF_BLOCK: usize = 256;

/// The literals and matches of one block.
struct Block {
    /// Distance in the upper 16 bits, length in the lower; a literal has no distance.
    symbols: Vec<u32>,
    literals: [u16; LITERAL_SYMBOLS],
    distances: [u16; DISTANCE_SYMBOLS],
}

impl Block {
    fn new() -> Self {
        Self { symbols: Vec::new(), literals: [0; LITERAL_SYMBOLS], distances: [0; DISTANCE_SYMBOLS] }
    }

    fn clear(&mut self) {
        self.symbols.clear();
        self.literals.fill(0);
        self.distances.fill(0);
        self.literals[END_OF_BLOCK] = 1;
    }

    fn push_literal(&mut self, byte: u8) {
        self.symbols.push(byte.into());
        self.literals[usize::from(byte)] += 1;
    }

    fn push_match(&mut self, distance: usize, length: usize) {
        self.symbols.push((distance as u32) << 16 | length as u32);
        self.literals[usize::from(LENGTH_CODES[length])] += 1;
        self.distances[distance_code(distance)] += 1;
    }

    fn write(&self, bits: &mut BitWriter, literals: &[Code], distances: &[Code]) {
        for &symbol in &self.symbols {
            let (distance, length) = ((symbol >> 16) as usize, (symbol & 0xffff) as usize);
            if distance == 0 {
                bits.push_code(literals[length]);
                continue;
            }
            let code = usize::from(LENGTH_CODES[length]);
            bits.push_code(literals[code]);
            let (base, extra) = LENGTHS[code - END_OF_BLOCK - 1];
            bits.push((length - usize::from(base)) as u64, extra);
            let code = distance_code(distance);
            bits.push_code(distances[code]);
            let (base, extra) = DISTANCES[code];
            bits.push((distance - usize::from(base)) as u64, extra);
        }
        bits.push_code(literals[END_OF_BLOCK]);
    }
}

// --- Prefix codes, with zlib's choice among equals ------------------------------------------------------------------

/// A prefix code of one symbol, its first bit lowest.
#[derive(Clone, Copy, Default)]
struct Code {
    bits: u16,
    length: u8,
}

/// One of the three alphabets.
struct Alphabet {
    /// For each symbol the bits that follow its code.
    extra_bits: &'static [u8],
    max_length: u8,
    /// The codes of a fixed block, if it has any.
    fixed: &'static [Code],
}

static LITERAL_CODE: Alphabet = Alphabet { extra_bits: &LITERAL_EXTRA, max_length: 15, fixed: &FIXED_LITERALS };
static DISTANCE_CODE: Alphabet = Alphabet { extra_bits: &DISTANCE_EXTRA, max_length: 15, fixed: &FIXED_DISTANCES };
static LENGTH_CODE: Alphabet = Alphabet { extra_bits: &LENGTH_CODE_EXTRA, max_length: 7, fixed: &[] };

/// The codes for one alphabet in one block.
struct Tree {
    codes: [Code; LITERAL_SYMBOLS],
    /// The number of symbols up to the last one with a code.
    symbols: usize,
    /// What the symbols of the block take with these codes, and with the fixed ones, in bits.
    bits: usize,
    fixed_bits: usize,
}

/// Leaves, then the nodes above them.
const NODES: usize = 2 * LITERAL_SYMBOLS + 1;

/// Builds Huffman codes. Which of several equally short codes comes out depends on how ties are broken, and these are broken
/// as zlib does: by a heap of (frequency, depth) in which the symbols start in order.
struct TreeBuilder {
    /// 1-based; its free upper part takes the nodes in the order in which they leave it, hence the rarest last.
    heap: [u16; NODES + 1],
    /// Frequency in the upper bits, depth in the lowest eight.
    weights: [u32; NODES],
    parents: [u16; NODES],
    lengths: [u8; NODES],
}

impl TreeBuilder {
    fn new() -> Self {
        Self { heap: [0; NODES + 1], weights: [0; NODES], parents: [0; NODES], lengths: [0; NODES] }
    }

    fn build(&mut self, frequencies: &[u16], alphabet: &Alphabet) -> Tree {
        let (heap_length, last_symbol) = self.collect_leaves(frequencies);
        let first_node = self.join_nodes(heap_length, frequencies.len());
        let counts = self.limit_lengths(first_node, last_symbol, alphabet.max_length);
        let mut tree =
            Tree { codes: [Code::default(); LITERAL_SYMBOLS], symbols: last_symbol + 1, bits: 0, fixed_bits: 0 };
        let mut next = first_codes(&counts);
        for (symbol, &frequency) in frequencies[..=last_symbol].iter().enumerate() {
            let length = if self.weights[symbol] == 0 { 0 } else { self.lengths[symbol] };
            if length == 0 {
                continue;
            }
            let next = &mut next[usize::from(length)];
            tree.codes[symbol] = Code { bits: next.reverse_bits() >> (16 - length), length };
            *next += 1;
            let frequency = usize::from(frequency);
            let extra = alphabet.extra_bits[symbol];
            tree.bits += frequency * usize::from(length + extra);
            tree.fixed_bits +=
                frequency * usize::from(alphabet.fixed.get(symbol).map_or(0, |code| code.length) + extra);
        }
        tree
    }

    /// Puts the symbols that occur onto the heap; at least two, since a code of one symbol has no bits.
    fn collect_leaves(&mut self, frequencies: &[u16]) -> (usize, usize) {
        let mut length = 0;
        let mut last_symbol = None;
        for (symbol, &frequency) in frequencies.iter().enumerate() {
            self.weights[symbol] = u32::from(frequency) << 8;
            if frequency > 0 {
                length += 1;
                self.heap[length] = symbol as u16;
                last_symbol = Some(symbol);
            }
        }
        while length < 2 {
            let symbol = match last_symbol {
                Some(last) if last < 2 => last + 1,
                _ => 0,
            };
            last_symbol = last_symbol.max(Some(symbol));
            self.weights[symbol] = 1 << 8;
            length += 1;
            self.heap[length] = symbol as u16;
        }
        (length, last_symbol.unwrap_or(0))
    }

    /// Joins the two rarest nodes until one is left, the root, whose place in the heap is given. Nodes are numbered from
    /// `symbols` on.
    fn join_nodes(&mut self, mut length: usize, symbols: usize) -> usize {
        for at in (1..=length / 2).rev() {
            self.sift_down(at, length);
        }
        let mut place = NODES;
        let mut node = symbols;
        loop {
            let rarest = self.heap[1];
            self.heap[1] = self.heap[length];
            length -= 1;
            self.sift_down(1, length);
            let second = self.heap[1];
            self.heap[place - 1] = rarest;
            self.heap[place - 2] = second;
            place -= 2;
            let (a, b) = (self.weights[usize::from(rarest)], self.weights[usize::from(second)]);
            let depth = (a & 0xff).max(b & 0xff) + 1;
            self.weights[node] = ((a >> 8) + (b >> 8)) << 8 | depth;
            self.parents[usize::from(rarest)] = node as u16;
            self.parents[usize::from(second)] = node as u16;
            self.heap[1] = node as u16;
            node += 1;
            self.sift_down(1, length);
            if length < 2 {
                break;
            }
        }
        self.heap[place - 1] = self.heap[1];
        place - 1
    }

    fn sift_down(&mut self, mut at: usize, length: usize) {
        let node = self.heap[at];
        let weight = self.weights[usize::from(node)];
        while 2 * at <= length {
            let mut child = 2 * at;
            if child < length && self.weight_at(child + 1) <= self.weight_at(child) {
                child += 1;
            }
            if weight <= self.weight_at(child) {
                break;
            }
            self.heap[at] = self.heap[child];
            at = child;
        }
        self.heap[at] = node;
    }

    fn weight_at(&self, place: usize) -> u32 {
        self.weights[usize::from(self.heap[place])]
    }

    /// Gives each symbol a length: its depth in the tree, or, where that is too much, a longest code at the expense of the
    /// rarest shorter ones. Returns how many codes have each length.
    fn limit_lengths(&mut self, root: usize, last_symbol: usize, max_length: u8) -> [u16; 16] {
        let mut counts = [0; 16];
        let mut overflow = 0;
        self.lengths[usize::from(self.heap[root])] = 0;
        for place in root + 1..NODES {
            let node = usize::from(self.heap[place]);
            let length = self.lengths[usize::from(self.parents[node])] + 1;
            overflow += i32::from(length > max_length);
            let length = length.min(max_length);
            self.lengths[node] = length;
            if node <= last_symbol {
                counts[usize::from(length)] += 1;
            }
        }
        if overflow > 0 {
            self.shorten(&mut counts, overflow, last_symbol, max_length);
        }
        counts
    }

    #[cold]
    fn shorten(&mut self, counts: &mut [u16; 16], mut overflow: i32, last_symbol: usize, max_length: u8) {
        let longest = usize::from(max_length);
        while overflow > 0 {
            let mut length = longest - 1;
            while counts[length] == 0 {
                length -= 1;
            }
            counts[length] -= 1;
            counts[length + 1] += 2;
            counts[longest] -= 1;
            overflow -= 2;
        }
        // The rarest leaves come last in the heap, and take the longest codes.
        let mut leaves = self.heap[..NODES].iter().rev().filter(|&&node| usize::from(node) <= last_symbol);
        for length in (1..=max_length).rev() {
            for leaf in leaves.by_ref().take(counts[usize::from(length)].into()) {
                self.lengths[usize::from(*leaf)] = length;
            }
        }
    }
}

/// The first code of each length, RFC 1951 section 3.2.2.
fn first_codes(counts: &[u16; 16]) -> [u16; 16] {
    let mut codes = [0; 16];
    for length in 1..16 {
        codes[length] = (codes[length - 1] + counts[length - 1]) << 1;
    }
    codes
}

// --- The header of a dynamic block ----------------------------------------------------------------------------------

const REPEAT: u8 = 16;
const ZEROS: u8 = 17;
const MANY_ZEROS: u8 = 18;

/// The lengths of the two trees' codes, run-length encoded and coded in their turn.
struct CodeLengths {
    symbols: Vec<(u8, u8)>,
    tree: Tree,
    counts: [usize; 3],
    bits: usize,
}

impl CodeLengths {
    fn new(trees: &mut TreeBuilder, literals: &Tree, distances: &Tree) -> Self {
        let mut symbols = Vec::with_capacity(LITERAL_SYMBOLS);
        push_runs(&mut symbols, &literals.codes[..literals.symbols]);
        push_runs(&mut symbols, &distances.codes[..distances.symbols]);
        let mut frequencies = [0; LENGTH_CODE_EXTRA.len()];
        for &(symbol, _) in &symbols {
            frequencies[usize::from(symbol)] += 1;
        }
        let tree = trees.build(&frequencies, &LENGTH_CODE);
        let last = LENGTH_CODE_ORDER.iter().rposition(|&symbol| tree.codes[symbol].length > 0).unwrap_or(0);
        let sent = (last + 1).max(4);
        let bits = 5 + 5 + 4 + 3 * sent + tree.bits;
        Self { symbols, tree, counts: [literals.symbols, distances.symbols, sent], bits }
    }

    fn write(&self, bits: &mut BitWriter) {
        let [literals, distances, sent] = self.counts;
        bits.push(literals as u64 - 257, 5);
        bits.push(distances as u64 - 1, 5);
        bits.push(sent as u64 - 4, 4);
        for &symbol in &LENGTH_CODE_ORDER[..sent] {
            bits.push(self.tree.codes[symbol].length.into(), 3);
        }
        for &(symbol, repeats) in &self.symbols {
            bits.push_code(self.tree.codes[usize::from(symbol)]);
            bits.push(repeats.into(), LENGTH_CODE_EXTRA[usize::from(symbol)]);
        }
    }
}

/// Appends the lengths of these codes with runs as zlib cuts them: at most 6 repetitions of a length, the first time it
/// occurs being no repetition, and at most 138 zeros.
fn push_runs(symbols: &mut Vec<(u8, u8)>, codes: &[Code]) {
    for run in codes.chunk_by(|a, b| a.length == b.length) {
        let length = run[0].length;
        let mut left = run.len();
        if length == 0 {
            while left >= 3 {
                let taken = left.min(138);
                symbols.push(if taken > 10 { (MANY_ZEROS, taken as u8 - 11) } else { (ZEROS, taken as u8 - 3) });
                left -= taken;
            }
        } else {
            symbols.push((length, 0));
            left -= 1;
            while left >= 3 {
                let taken = left.min(6);
                symbols.push((REPEAT, taken as u8 - 3));
                left -= taken;
            }
        }
        symbols.extend(std::iter::repeat_n((length, 0), left));
    }
}

// --- The tables of RFC 1951 -----------------------------------------------------------------------------------------

const LENGTH_CODE_ORDER: [usize; 19] = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];

static LENGTH_CODE_EXTRA: [u8; 19] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 3, 7];

/// For each length code from 257 on its shortest length and the number of extra bits; the last stands for one length.
static LENGTHS: [(u16, u8); 29] = {
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

/// For each distance code its shortest distance and the number of extra bits.
static DISTANCES: [(u16, u8); DISTANCE_SYMBOLS] = {
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
static LENGTH_CODES: [u16; MAX_MATCH + 1] = {
    let mut codes = [0; MAX_MATCH + 1];
    let mut code = 0;
    while code < LENGTHS.len() {
        let mut length = LENGTHS[code].0 as usize;
        while length <= MAX_MATCH {
            codes[length] = (END_OF_BLOCK + 1 + code) as u16;
            length += 1;
        }
        code += 1;
    }
    codes
};

fn distance_code(distance: usize) -> usize {
    let before = distance - 1;
    if before < 4 {
        return before;
    }
    let bits = before.ilog2() as usize;
    2 * bits + (before >> (bits - 1) & 1)
}

static LITERAL_EXTRA: [u8; LITERAL_SYMBOLS] = {
    let mut extra = [0; LITERAL_SYMBOLS];
    let mut code = 0;
    while code < LENGTHS.len() {
        extra[END_OF_BLOCK + 1 + code] = LENGTHS[code].1;
        code += 1;
    }
    extra
};

static DISTANCE_EXTRA: [u8; DISTANCE_SYMBOLS] = {
    let mut extra = [0; DISTANCE_SYMBOLS];
    let mut code = 0;
    while code < DISTANCE_SYMBOLS {
        extra[code] = DISTANCES[code].1;
        code += 1;
    }
    extra
};

/// RFC 1951 section 3.2.6.
static FIXED_LITERALS: [Code; LITERAL_SYMBOLS] = {
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

static FIXED_DISTANCES: [Code; DISTANCE_SYMBOLS] = {
    let mut codes = [Code { bits: 0, length: 0 }; DISTANCE_SYMBOLS];
    let mut symbol = 0;
    while symbol < DISTANCE_SYMBOLS {
        codes[symbol] = Code { bits: (symbol as u16).reverse_bits() >> 11, length: 5 };
        symbol += 1;
    }
    codes
};

// --- Bits -----------------------------------------------------------------------------------------------------------

/// Writes bits, lowest first.
struct BitWriter {
    bytes: Vec<u8>,
    pending: u64,
    count: u8,
}

impl BitWriter {
    fn new(capacity: usize) -> Self {
        // Whole words are written, so there may be a few bytes more for a while.
        let mut bytes = Vec::with_capacity(capacity + 8);
        bytes.extend_from_slice(&HEADER);
        Self { bytes, pending: 0, count: 0 }
    }

    /// At most 32 bits at a time.
    #[inline]
    fn push(&mut self, bits: u64, count: u8) {
        self.pending |= bits << self.count;
        self.count += count;
        if self.count >= 32 {
            self.bytes.extend_from_slice(&(self.pending as u32).to_le_bytes());
            self.pending >>= 32;
            self.count -= 32;
        }
    }

    #[inline]
    fn push_code(&mut self, code: Code) {
        self.push(code.bits.into(), code.length);
    }

    fn finish(mut self, checksum: u32) -> Vec<u8> {
        let whole = usize::from(self.count.div_ceil(8));
        self.bytes.extend_from_slice(&self.pending.to_le_bytes()[..whole]);
        self.bytes.extend_from_slice(&checksum.to_be_bytes());
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use flate2::{Compress, Compression, FlushCompress, Status};

    use super::*;
    use crate::testing::Random;

    fn by_zlib(text: &[u8]) -> Option<Vec<u8>> {
        let mut deflated = Vec::with_capacity(text.len() + 64);
        let mut stream = Compress::new(Compression::default(), true);
        assert_eq!(stream.compress_vec(text, &mut deflated, FlushCompress::Finish).unwrap(), Status::StreamEnd);
        (deflated.len() + 1 < text.len()).then_some(deflated)
    }

    #[test]
    fn the_bits_are_those_of_zlib() {
        let cases = std::env::var("DEFLATE_CASES").map_or(3000, |cases| cases.parse().unwrap());
        let mut random = Random::new(std::env::var("DEFLATE_SEED").map_or(1, |seed| seed.parse().unwrap()));
        let mut won = 0;
        for case in 0..cases {
            let text = random.text(MAX_TEXT);
            let expected = by_zlib(&text);
            won += u32::from(expected.is_some());
            assert!(deflate_if_shorter(&text) == expected, "case {case}: {text:?}");
        }
        assert!(won > cases / 3);
    }

    #[test]
    fn extreme_texts_too() {
        // Fibonacci frequencies make the deepest trees, and lengths that have to be cut.
        let mut fibonacci = Vec::new();
        let (mut a, mut b) = (1, 1);
        for letter in 0..18 {
            fibonacci.extend(std::iter::repeat_n(b'A' + letter, a));
            (a, b) = (b, a + b);
        }
        let mut shuffled = fibonacci.clone();
        let mut random = Random::new(5);
        for at in (1..shuffled.len()).rev() {
            shuffled.swap(at, random.below(at + 1));
        }
        let all_bytes: Vec<u8> = (0..=255).cycle().take(3000).collect();
        for text in [fibonacci, shuffled, all_bytes, vec![0; MAX_TEXT], vec![b'a'; 259], vec![b'a'; 7], Vec::new()] {
            let text = &text[..text.len().min(MAX_TEXT)];
            assert!(deflate_if_shorter(text) == by_zlib(text), "{text:?}");
        }
    }

    #[test]
    fn no_text_leaves_a_trace_in_the_next() {
        let mut random = Random::new(9);
        let texts: Vec<_> = (0..200).map(|_| random.text(MAX_TEXT)).collect();
        for text in &texts {
            let fresh = Deflater::new().deflate_if_shorter(text);
            assert!(deflate_if_shorter(text) == fresh);
        }
    }
}
