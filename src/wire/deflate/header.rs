//! The header of a dynamic block: the lengths of its codes, RFC 1951 section 3.2.7.

use super::bits::BitWriter;
use super::tables::{CODE_LENGTH_EXTRA, CODE_LENGTH_ORDER, CODE_LENGTH_SYMBOLS, MANY_ZEROS, REPEAT, ZEROS};
use super::trees::{CODE_LENGTHS, Tree, TreeBuilder};

/// The lengths of the codes of both trees, run-length encoded, and then Huffman-coded.
pub struct Header {
    /// Symbols with the value of the bits that follow them.
    symbols: Vec<(u8, u8)>,
    tree: Tree,
    /// How many lengths of literals, distances and code lengths are written.
    counts: [usize; 3],
    pub bits: usize,
}

impl Header {
    pub fn new() -> Self {
        Self { symbols: Vec::new(), tree: Tree::new(&CODE_LENGTHS), counts: [0; 3], bits: 0 }
    }

    pub fn build(&mut self, builder: &mut TreeBuilder, literals: &Tree, distances: &Tree) {
        self.symbols.clear();
        push_runs(&mut self.symbols, literals);
        push_runs(&mut self.symbols, distances);
        let mut frequencies = [0; CODE_LENGTH_SYMBOLS];
        for &(symbol, _) in &self.symbols {
            frequencies[usize::from(symbol)] += 1;
        }
        self.tree.build(builder, &frequencies);
        let last = CODE_LENGTH_ORDER.iter().rposition(|&symbol| self.tree.codes[symbol].length > 0);
        let written = last.map_or(0, |last| last + 1).max(4);
        self.counts = [literals.used(), distances.used(), written];
        self.bits = 5 + 5 + 4 + 3 * written + self.tree.bits;
    }

    pub fn write(&self, bits: &mut BitWriter) {
        let [literals, distances, written] = self.counts;
        bits.push(literals as u64 - 257, 5);
        bits.push(distances as u64 - 1, 5);
        bits.push(written as u64 - 4, 4);
        for &symbol in &CODE_LENGTH_ORDER[..written] {
            bits.push(self.tree.codes[symbol].length.into(), 3);
        }
        let BitWriter { bytes, tail: end } = bits;
        let mut tail = *end;
        for &(symbol, repeats) in &self.symbols {
            tail.push_code(bytes, self.tree.codes[usize::from(symbol)]);
            tail.push(bytes, repeats.into(), CODE_LENGTH_EXTRA[usize::from(symbol)]);
        }
        *end = tail;
    }
}

/// Appends the lengths of these codes, with runs as in zlib: a length, then at most 6 repetitions of it, or at most 138
/// zeros. Only symbols that have codes are visited. Measured: 2,300 instructions less for a login than with all
/// symbols.
fn push_runs(symbols: &mut Vec<(u8, u8)>, tree: &Tree) {
    let mut leaves = tree.leaves.iter().map(|&leaf| usize::from(leaf)).peekable();
    let mut end = 0;
    while let Some(first) = leaves.next() {
        push_zeros(symbols, first - end);
        let length = tree.codes[first].length;
        end = first + 1;
        while leaves.next_if(|&next| next == end && tree.codes[next].length == length).is_some() {
            end += 1;
        }
        push_lengths(symbols, length, end - first);
    }
}

fn push_zeros(symbols: &mut Vec<(u8, u8)>, mut left: usize) {
    while left >= 3 {
        let taken = left.min(138);
        symbols.push(if taken > 10 { (MANY_ZEROS, taken as u8 - 11) } else { (ZEROS, taken as u8 - 3) });
        left -= taken;
    }
    for _ in 0..left {
        symbols.push((0, 0));
    }
}

fn push_lengths(symbols: &mut Vec<(u8, u8)>, length: u8, mut left: usize) {
    symbols.push((length, 0));
    left -= 1;
    while left >= 3 {
        let taken = left.min(6);
        symbols.push((REPEAT, taken as u8 - 3));
        left -= taken;
    }
    for _ in 0..left {
        symbols.push((length, 0));
    }
}
