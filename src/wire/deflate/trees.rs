//! Prefix codes for the symbols of a block. Among equally good codes these are zlib's.

use super::tables::{
    CODE_LENGTH_EXTRA, CODE_LENGTH_SYMBOLS, Code, DISTANCE_EXTRA, DISTANCE_SYMBOLS, FIXED_DISTANCES, FIXED_LITERALS,
    LITERAL_EXTRA, LITERAL_SYMBOLS,
};

/// One of the three alphabets.
pub struct Alphabet {
    symbols: usize,
    /// For each symbol, the number of bits after its code.
    extra_bits: &'static [u8],
    max_length: u8,
    /// The codes of a fixed block, if it has any.
    fixed: &'static [Code],
}

pub static LITERALS: Alphabet =
    Alphabet { symbols: LITERAL_SYMBOLS, extra_bits: &LITERAL_EXTRA, max_length: 15, fixed: &FIXED_LITERALS };
pub static DISTANCES: Alphabet =
    Alphabet { symbols: DISTANCE_SYMBOLS, extra_bits: &DISTANCE_EXTRA, max_length: 15, fixed: &FIXED_DISTANCES };
pub static CODE_LENGTHS: Alphabet =
    Alphabet { symbols: CODE_LENGTH_SYMBOLS, extra_bits: &CODE_LENGTH_EXTRA, max_length: 7, fixed: &[] };

/// The codes for one alphabet in one block.
pub struct Tree {
    alphabet: &'static Alphabet,
    pub codes: Vec<Code>,
    /// The symbols that have codes, in order.
    pub leaves: Vec<u16>,
    /// The bits of all symbols in the block with these codes, and with the fixed ones.
    pub bits: usize,
    pub fixed_bits: usize,
}

impl Tree {
    pub fn new(alphabet: &'static Alphabet) -> Self {
        Self {
            alphabet,
            codes: vec![Code::default(); alphabet.symbols],
            leaves: Vec::with_capacity(alphabet.symbols),
            bits: 0,
            fixed_bits: 0,
        }
    }

    /// The number of symbols up to the last one with a code.
    pub fn used(&self) -> usize {
        self.leaves.last().map_or(0, |&last| usize::from(last) + 1)
    }

    pub fn build(&mut self, builder: &mut TreeBuilder, frequencies: &[u16]) {
        let Alphabet { extra_bits, fixed, max_length, symbols } = *self.alphabet;
        for &leaf in &self.leaves {
            self.codes[usize::from(leaf)] = Code::default();
        }
        collect_leaves(&mut self.leaves, frequencies);
        let counts = builder.build(&mut self.leaves, frequencies, symbols, max_length);
        let mut next = first_codes(&counts);
        let (mut bits, mut fixed_bits) = (0, 0);
        for &leaf in &self.leaves {
            let symbol = usize::from(leaf);
            let length = builder.lengths[symbol];
            let next = &mut next[usize::from(length)];
            self.codes[symbol] = Code { bits: reverse(*next) >> (16 - length), length };
            *next += 1;
            let frequency = usize::from(frequencies[symbol]);
            let extra = extra_bits[symbol];
            bits += frequency * usize::from(length + extra);
            fixed_bits += frequency * usize::from(fixed.get(symbol).map_or(0, |code| code.length) + extra);
        }
        (self.bits, self.fixed_bits) = (bits, fixed_bits);
    }
}

fn push_used(leaves: &mut Vec<u16>, frequencies: &[u16], first: usize) {
    for (symbol, &frequency) in (first..).zip(frequencies) {
        if frequency > 0 {
            leaves.push(symbol as u16);
        }
    }
}

/// At least two symbols get codes, because the code of a single symbol would have no bits.
fn collect_leaves(leaves: &mut Vec<u16>, frequencies: &[u16]) {
    leaves.clear();
    // Most bytes do not occur in a session, so most chunks are skipped. Measured: 1,600 instructions less for a login.
    let (chunks, rest) = frequencies.as_chunks::<8>();
    for (chunk, first) in chunks.iter().zip((0..).step_by(8)) {
        if *chunk != [0; 8] {
            push_used(leaves, chunk, first);
        }
    }
    push_used(leaves, rest, frequencies.len() - rest.len());
    while leaves.len() < 2 {
        leaves.push(match leaves.last() {
            Some(&last) if last < 2 => last + 1,
            _ => 0,
        });
    }
}

/// Leaves and the nodes above them.
const NODES: usize = 2 * LITERAL_SYMBOLS;

/// Finds the lengths of Huffman codes. If several sets are equally good, the result depends on how ties are broken.
/// They are broken as in zlib: by a heap of frequencies and depths, into which the symbols are put in order.
pub struct TreeBuilder {
    /// The heap begins at index 1, with the rarest node.
    heap: [Weighted; LITERAL_SYMBOLS + 2],
    /// The nodes from the root down, the rarest last.
    order: [u16; NODES],
    parents: [u16; NODES],
    lengths: [u8; NODES],
}

/// A node, ordered by its frequency, and by its depth if frequencies are equal.
#[derive(Clone, Copy)]
struct Weighted(u32);

impl Weighted {
    const HEAVIEST: Self = Self(u32::MAX);

    /// The number of symbols fits into 14 bits, the depth of their tree into 8, and the number of a node into 10.
    fn new(frequency: u32, depth: u32, node: usize) -> Self {
        Self(frequency << 18 | depth << 10 | node as u32)
    }

    fn node(self) -> u16 {
        self.0 as u16 & 0x3ff
    }

    /// The parent of two nodes.
    fn join(self, other: Self, node: usize) -> Self {
        let depth = (self.0 >> 10 & 0xff).max(other.0 >> 10 & 0xff) + 1;
        Self::new((self.0 >> 18) + (other.0 >> 18), depth, node)
    }

    /// Frequency and depth. If this is at most the whole value of another node, it is at most its weight.
    fn weight(self) -> u32 {
        self.0 & !0x3ff
    }
}

impl TreeBuilder {
    pub fn new() -> Self {
        Self { heap: [Weighted(0); LITERAL_SYMBOLS + 2], order: [0; NODES], parents: [0; NODES], lengths: [0; NODES] }
    }

    /// Fills the `lengths` of leaves, and returns how many codes have each length.
    fn build(&mut self, leaves: &mut [u16], frequencies: &[u16], symbols: usize, max_length: u8) -> [u16; 16] {
        for (place, &leaf) in self.heap[1..].iter_mut().zip(&*leaves) {
            *place = Weighted::new(frequencies[usize::from(leaf)].max(1).into(), 0, leaf.into());
        }
        if leaves.len() == 2 {
            // One of them may have been added so that there are two.
            leaves.sort_unstable();
        }
        self.join_nodes(leaves.len(), symbols);
        self.limit_lengths(2 * leaves.len() - 1, symbols, max_length)
    }

    /// Joins the two rarest nodes until only the root is left. Nodes are numbered from `symbols` on.
    fn join_nodes(&mut self, mut length: usize, symbols: usize) {
        self.heap[length + 1] = Weighted::HEAVIEST;
        for place in (1..=length / 2).rev() {
            self.sift_down(place, length, self.heap[place]);
        }
        // Joined nodes are stored from the back to the front.
        let mut front = 2 * length - 1;
        let mut node = symbols;
        while length > 1 {
            let rarest = self.heap[1];
            let last = std::mem::replace(&mut self.heap[length], Weighted::HEAVIEST);
            length -= 1;
            self.sift_down(1, length, last);
            let second = self.heap[1];
            for child in [rarest, second] {
                front -= 1;
                self.order[front] = child.node();
                self.parents[usize::from(child.node())] = node as u16;
            }
            self.sift_down(1, length, rarest.join(second, node));
            node += 1;
        }
        self.order[0] = self.heap[1].node();
    }

    /// Puts a node at a place of the heap, or below it. The entry after the last place is heavier than all others, so
    /// that the choice between two children needs no branch that could be mispredicted.
    fn sift_down(&mut self, mut place: usize, length: usize, node: Weighted) {
        let weight = node.weight();
        while 2 * place <= length {
            let (left, right) = (self.heap[2 * place], self.heap[2 * place + 1]);
            let is_right = right.weight() <= left.0;
            let child = if is_right { right } else { left };
            if weight <= child.0 {
                break;
            }
            self.heap[place] = child;
            place = 2 * place + usize::from(is_right);
        }
        self.heap[place] = node;
    }

    /// Makes the depth of each leaf the length of its code. If that is too long, the code gets the greatest length, and
    /// the rarest shorter codes become longer.
    fn limit_lengths(&mut self, nodes: usize, symbols: usize, max_length: u8) -> [u16; 16] {
        let mut counts = [0; 16];
        let mut overflow = 0;
        self.lengths[usize::from(self.order[0])] = 0;
        for &node in &self.order[1..nodes] {
            let node = usize::from(node);
            let length = self.lengths[usize::from(self.parents[node])] + 1;
            overflow += i32::from(length > max_length);
            self.lengths[node] = length.min(max_length);
            if node < symbols {
                counts[usize::from(length.min(max_length))] += 1;
            }
        }
        if overflow > 0 {
            self.shorten(nodes, &mut counts, overflow, symbols, max_length.into());
        }
        counts
    }

    #[cold]
    fn shorten(&mut self, nodes: usize, counts: &mut [u16; 16], mut overflow: i32, symbols: usize, longest: usize) {
        while overflow > 0 {
            let length = (1..longest).rfind(|&length| counts[length] > 0).unwrap_or(1);
            counts[length] -= 1;
            counts[length + 1] += 2;
            counts[longest] -= 1;
            overflow -= 2;
        }
        let mut leaves = self.order[..nodes].iter().rev().map(|&node| usize::from(node)).filter(|&node| node < symbols);
        for length in (1..=longest).rev() {
            for leaf in leaves.by_ref().take(counts[length].into()) {
                self.lengths[leaf] = length as u8;
            }
        }
    }
}

/// The bits in reverse order. Two look-ups are faster than a dozen instructions.
fn reverse(bits: u16) -> u16 {
    static REVERSED: [u8; 256] = {
        let mut reversed = [0; 256];
        let mut byte = 0;
        while byte < 256 {
            reversed[byte] = (byte as u8).reverse_bits();
            byte += 1;
        }
        reversed
    };
    u16::from_be_bytes(bits.to_le_bytes().map(|byte| REVERSED[usize::from(byte)]))
}

/// The first code of each length, RFC 1951 section 3.2.2.
fn first_codes(counts: &[u16; 16]) -> [u16; 16] {
    let mut codes = [0; 16];
    for length in 1..16 {
        codes[length] = (codes[length - 1] + counts[length - 1]) << 1;
    }
    codes
}
