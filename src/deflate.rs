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
    builder: TreeBuilder,
    literals: Tree,
    distances: Tree,
    header: Header,
}

impl Deflater {
    fn new() -> Self {
        Self {
            matcher: Matcher::new(),
            block: Block::new(),
            builder: TreeBuilder::new(),
            literals: Tree::new(&LITERALS),
            distances: Tree::new(&DISTANCES),
            header: Header::new(),
        }
    }

    fn deflate_if_shorter(&mut self, text: &[u8]) -> Option<Vec<u8>> {
        let Self { matcher, block, builder, literals, distances, header } = self;
        block.clear();
        matcher.match_text(text, block);
        literals.build(builder, &block.literals);
        distances.build(builder, &block.distances);
        header.build(builder, literals, distances);
        let dynamic = (3 + header.bits + literals.bits + distances.bits).div_ceil(8);
        let fixed = (3 + literals.fixed_bits + distances.fixed_bits).div_ceil(8);
        let length = FRAME + dynamic.min(fixed);
        if length + 1 >= text.len() {
            return None;
        }
        let mut bits = BitWriter::new(length);
        if fixed <= dynamic {
            bits.push(0b011, 3);
            block.write(&mut bits, &FIXED_LITERALS, &FIXED_DISTANCES);
        } else {
            bits.push(0b101, 3);
            header.write(&mut bits);
            block.write(&mut bits, &literals.codes, &distances.codes);
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
        let nice = NICE_LENGTH.min(ahead.len());
        let mut best = Match { start: 0, length: length.min(ahead.len()) };
        let mut steps = if length >= GOOD_LENGTH { MAX_CHAIN / 4 } else { MAX_CHAIN };
        let mut place = head;
        // A longer match has the best one's last byte, and one more.
        let mut wanted = pair_at(ahead, best.length - 1);
        while place > self.base && steps > 0 && wanted.is_some() {
            let start = usize::from(place - self.base);
            if pair_at(text, start + best.length - 1) == wanted {
                let common = common_length(&text[start..], ahead);
                if common > best.length {
                    best = Match { start, length: common };
                    if common >= nice {
                        break;
                    }
                    wanted = pair_at(ahead, common - 1);
                }
            }
            place = self.chain[start];
            steps -= 1;
        }
        best
    }
}

#[inline]
fn pair_at(text: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(*text.get(at..at + 2)?.first_chunk()?))
}

#[inline]
fn word_at(text: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(*text.get(at..at + 8)?.first_chunk()?))
}

/// How many bytes of `ahead` the longer `text` begins with.
fn common_length(text: &[u8], ahead: &[u8]) -> usize {
    let mut length = 0;
    while let (Some(one), Some(other)) = (word_at(text, length), word_at(ahead, length)) {
        let difference = one ^ other;
        if difference != 0 {
            return length + difference.trailing_zeros() as usize / 8;
        }
        length += 8;
    }
    length + text[length..].iter().zip(&ahead[length..]).take_while(|(a, b)| a == b).count()
}

// --- The block: its symbols and how often each occurs -------------------------------------------------------------------

const LITERAL_SYMBOLS: usize = 286;
const DISTANCE_SYMBOLS: usize = 30;
const CODE_LENGTH_SYMBOLS: usize = 19;
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
            let (base, extra) = LENGTH_BASES[code - END_OF_BLOCK - 1];
            bits.push((length - usize::from(base)) as u64, extra);
            let code = distance_code(distance);
            bits.push_code(distances[code]);
            let (base, extra) = DISTANCE_BASES[code];
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
    symbols: usize,
    /// For each symbol the number of bits that follow its code.
    extra_bits: &'static [u8],
    max_length: u8,
    /// The codes of a fixed block, if it has any.
    fixed: &'static [Code],
}

static LITERALS: Alphabet =
    Alphabet { symbols: LITERAL_SYMBOLS, extra_bits: &LITERAL_EXTRA, max_length: 15, fixed: &FIXED_LITERALS };
static DISTANCES: Alphabet =
    Alphabet { symbols: DISTANCE_SYMBOLS, extra_bits: &DISTANCE_EXTRA, max_length: 15, fixed: &FIXED_DISTANCES };
static CODE_LENGTHS: Alphabet =
    Alphabet { symbols: CODE_LENGTH_SYMBOLS, extra_bits: &CODE_LENGTH_EXTRA, max_length: 7, fixed: &[] };

/// The codes for one alphabet in one block.
struct Tree {
    alphabet: &'static Alphabet,
    codes: Vec<Code>,
    /// The number of symbols up to the last one with a code.
    used: usize,
    /// What the symbols of the block take with these codes, and with the fixed ones, in bits.
    bits: usize,
    fixed_bits: usize,
}

impl Tree {
    fn new(alphabet: &'static Alphabet) -> Self {
        Self { alphabet, codes: vec![Code::default(); alphabet.symbols], used: 0, bits: 0, fixed_bits: 0 }
    }

    fn build(&mut self, builder: &mut TreeBuilder, frequencies: &[u16]) {
        let Alphabet { extra_bits, fixed, max_length, symbols } = *self.alphabet;
        let counts = builder.build(frequencies, symbols, max_length);
        let mut next = first_codes(&counts);
        self.codes.fill(Code::default());
        (self.used, self.bits, self.fixed_bits) = (0, 0, 0);
        for &leaf in &builder.leaves {
            let symbol = usize::from(leaf);
            let length = builder.lengths[symbol];
            let next = &mut next[usize::from(length)];
            self.codes[symbol] = Code { bits: next.reverse_bits() >> (16 - length), length };
            *next += 1;
            self.used = symbol + 1;
            let frequency = usize::from(frequencies[symbol]);
            let extra = extra_bits[symbol];
            self.bits += frequency * usize::from(length + extra);
            self.fixed_bits += frequency * usize::from(fixed.get(symbol).map_or(0, |code| code.length) + extra);
        }
    }
}

/// Leaves and the nodes above them.
const NODES: usize = 2 * LITERAL_SYMBOLS;

/// Finds the lengths of Huffman codes. Which of several equally good sets comes out depends on how ties are broken, and
/// these are broken as zlib does: by a heap of frequencies and depths, into which the symbols go in order.
struct TreeBuilder {
    /// The symbols that have codes, in order.
    leaves: Vec<u16>,
    /// 1-based, the rarest at 1.
    heap: [Weighted; LITERAL_SYMBOLS + 2],
    /// The nodes from the root down, the rarest last.
    order: Vec<u16>,
    parents: [u16; NODES],
    lengths: [u8; NODES],
}

/// A node with its frequency and, where that is equal, its depth.
#[derive(Clone, Copy)]
struct Weighted(u32);

impl Weighted {
    const HEAVIEST: Self = Self(u32::MAX);

    /// No text has more symbols than 14 bits say, no tree of so few is deeper than 8 bits say, and nodes take 10.
    fn new(frequency: u32, depth: u32, node: usize) -> Self {
        Self(frequency << 18 | depth << 10 | node as u32)
    }

    fn node(self) -> u16 {
        self.0 as u16 & 0x3ff
    }

    /// A node above these two.
    fn join(self, other: Self, node: usize) -> Self {
        let depth = (self.0 >> 10 & 0xff).max(other.0 >> 10 & 0xff) + 1;
        Self::new((self.0 >> 18) + (other.0 >> 18), depth, node)
    }

    fn is_at_most(self, other: Self) -> bool {
        self.0 >> 10 <= other.0 >> 10
    }
}

impl TreeBuilder {
    fn new() -> Self {
        Self {
            leaves: Vec::with_capacity(LITERAL_SYMBOLS),
            heap: [Weighted(0); LITERAL_SYMBOLS + 2],
            order: Vec::with_capacity(NODES),
            parents: [0; NODES],
            lengths: [0; NODES],
        }
    }

    /// Fills `leaves` and their `lengths`, and returns how many codes have each length.
    fn build(&mut self, frequencies: &[u16], symbols: usize, max_length: u8) -> [u16; 16] {
        self.collect_leaves(frequencies);
        for (place, &leaf) in self.leaves.iter().enumerate() {
            let frequency = frequencies[usize::from(leaf)].max(1);
            self.heap[place + 1] = Weighted::new(frequency.into(), 0, leaf.into());
        }
        if self.leaves.len() == 2 {
            // One of them may have been added for want of another.
            self.leaves.sort_unstable();
        }
        self.join_nodes(symbols);
        self.limit_lengths(symbols, max_length)
    }

    /// At least two symbols get a code, since a code of one would have no bits.
    fn collect_leaves(&mut self, frequencies: &[u16]) {
        self.leaves.clear();
        for (symbol, &frequency) in frequencies.iter().enumerate() {
            if frequency > 0 {
                self.leaves.push(symbol as u16);
            }
        }
        while self.leaves.len() < 2 {
            self.leaves.push(match self.leaves.last() {
                Some(&last) if last < 2 => last + 1,
                _ => 0,
            });
        }
    }

    /// Joins the two rarest nodes until only the root is left. Nodes are numbered from `symbols` on.
    fn join_nodes(&mut self, symbols: usize) {
        let mut length = self.leaves.len();
        self.heap[length + 1] = Weighted::HEAVIEST;
        for place in (1..=length / 2).rev() {
            self.sift_down(place, length, self.heap[place]);
        }
        self.order.clear();
        let mut node = symbols;
        while length > 1 {
            let rarest = self.heap[1];
            let last = std::mem::replace(&mut self.heap[length], Weighted::HEAVIEST);
            length -= 1;
            self.sift_down(1, length, last);
            let second = self.heap[1];
            for child in [rarest, second] {
                self.order.push(child.node());
                self.parents[usize::from(child.node())] = node as u16;
            }
            self.sift_down(1, length, rarest.join(second, node));
            node += 1;
        }
        self.order.push(self.heap[1].node());
        self.order.reverse();
    }

    /// Puts a node in the place of another, or below it. What stands behind the last place of the heap is heavier than all,
    /// so that the choice between two children takes no branch that could be mispredicted.
    fn sift_down(&mut self, mut place: usize, length: usize, node: Weighted) {
        while 2 * place <= length {
            let (left, right) = (self.heap[2 * place], self.heap[2 * place + 1]);
            let is_right = right.is_at_most(left);
            let child = if is_right { right } else { left };
            if node.is_at_most(child) {
                break;
            }
            self.heap[place] = child;
            place = 2 * place + usize::from(is_right);
        }
        self.heap[place] = node;
    }

    /// Gives each leaf its depth as length, or, where that is too much, a longest code at the expense of the rarest shorter
    /// ones.
    fn limit_lengths(&mut self, symbols: usize, max_length: u8) -> [u16; 16] {
        let mut counts = [0; 16];
        let mut overflow = 0;
        self.lengths[usize::from(self.order[0])] = 0;
        for &node in &self.order[1..] {
            let node = usize::from(node);
            let length = self.lengths[usize::from(self.parents[node])] + 1;
            overflow += i32::from(length > max_length);
            self.lengths[node] = length.min(max_length);
            if node < symbols {
                counts[usize::from(length.min(max_length))] += 1;
            }
        }
        if overflow > 0 {
            self.shorten(&mut counts, overflow, symbols, max_length.into());
        }
        counts
    }

    #[cold]
    fn shorten(&mut self, counts: &mut [u16; 16], mut overflow: i32, symbols: usize, longest: usize) {
        while overflow > 0 {
            let length = (1..longest).rfind(|&length| counts[length] > 0).unwrap_or(1);
            counts[length] -= 1;
            counts[length + 1] += 2;
            counts[longest] -= 1;
            overflow -= 2;
        }
        let mut leaves = self.order.iter().rev().map(|&node| usize::from(node)).filter(|&node| node < symbols);
        for length in (1..=longest).rev() {
            for leaf in leaves.by_ref().take(counts[length].into()) {
                self.lengths[leaf] = length as u8;
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
struct Header {
    /// Symbols with the value of the bits that follow them.
    symbols: Vec<(u8, u8)>,
    tree: Tree,
    /// How many lengths of literals, distances and code lengths are written.
    counts: [usize; 3],
    bits: usize,
}

impl Header {
    fn new() -> Self {
        Self { symbols: Vec::new(), tree: Tree::new(&CODE_LENGTHS), counts: [0; 3], bits: 0 }
    }

    fn build(&mut self, builder: &mut TreeBuilder, literals: &Tree, distances: &Tree) {
        self.symbols.clear();
        push_runs(&mut self.symbols, &literals.codes[..literals.used]);
        push_runs(&mut self.symbols, &distances.codes[..distances.used]);
        let mut frequencies = [0; CODE_LENGTH_SYMBOLS];
        for &(symbol, _) in &self.symbols {
            frequencies[usize::from(symbol)] += 1;
        }
        self.tree.build(builder, &frequencies);
        let last = CODE_LENGTH_ORDER.iter().rposition(|&symbol| self.tree.codes[symbol].length > 0);
        let written = last.map_or(0, |last| last + 1).max(4);
        self.counts = [literals.used, distances.used, written];
        self.bits = 5 + 5 + 4 + 3 * written + self.tree.bits;
    }

    fn write(&self, bits: &mut BitWriter) {
        let [literals, distances, written] = self.counts;
        bits.push(literals as u64 - 257, 5);
        bits.push(distances as u64 - 1, 5);
        bits.push(written as u64 - 4, 4);
        for &symbol in &CODE_LENGTH_ORDER[..written] {
            bits.push(self.tree.codes[symbol].length.into(), 3);
        }
        for &(symbol, repeats) in &self.symbols {
            bits.push_code(self.tree.codes[usize::from(symbol)]);
            bits.push(repeats.into(), CODE_LENGTH_EXTRA[usize::from(symbol)]);
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

const CODE_LENGTH_ORDER: [usize; CODE_LENGTH_SYMBOLS] =
    [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];

static CODE_LENGTH_EXTRA: [u8; CODE_LENGTH_SYMBOLS] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 3, 7];

/// For each length code from 257 on its shortest length and the number of extra bits; the last stands for one length.
static LENGTH_BASES: [(u16, u8); 29] = {
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
static DISTANCE_BASES: [(u16, u8); DISTANCE_SYMBOLS] = {
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
    while code < LENGTH_BASES.len() {
        extra[END_OF_BLOCK + 1 + code] = LENGTH_BASES[code].1;
        code += 1;
    }
    extra
};

static DISTANCE_EXTRA: [u8; DISTANCE_SYMBOLS] = {
    let mut extra = [0; DISTANCE_SYMBOLS];
    let mut code = 0;
    while code < DISTANCE_SYMBOLS {
        extra[code] = DISTANCE_BASES[code].1;
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
