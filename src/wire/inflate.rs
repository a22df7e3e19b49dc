//! Inflate for texts of a few hundred bytes. The cost of setting up a block depends only on the codes that it has.
//!
//! Source: RFC 1950 and RFC 1951 for the format. Streams beyond them are refused as in zlib's `inflate.c` and
//! `inftrees.c`. The tests compare with zlib and zlib-rs on thousands of streams, whole and damaged.
//!
//! Why not a library: libraries that refuse the same streams as zlib set up tables and windows for megabytes. Measured,
//! in instructions for the stream of a session of Flask-Login, 276 bytes of JSON: 12,800 here, 21,500 by zlib, 26,000
//! by zlib-rs, 53,000 by zune-inflate and 55,200 by miniz_oxide. libdeflate takes 13,600, but it is C, and it also
//! accepts streams that zlib refuses, such as those with 32 distance codes.

#![expect(clippy::cast_possible_truncation, reason = "no symbol is longer than 9 bits can tell, no code than 15")]

use std::cell::RefCell;

use super::deflate::tables::{
    CODE_LENGTH_ORDER, CODE_LENGTH_SYMBOLS, Code, DISTANCE_BASES, DISTANCE_SYMBOLS, END_OF_BLOCK, FIXED_DISTANCES,
    FIXED_LITERALS, LENGTH_BASES, LITERAL_SYMBOLS, REPEAT, ZEROS,
};

thread_local! {
    // Clearing the tables costs more than filling the part of them that a short text needs. Measured: 20,300
    // instructions for a login with new tables for each block, 13,500 with kept ones.
    static INFLATER: RefCell<Inflater> = const { RefCell::new(Inflater::new()) };
}

/// Inflates one stream, and ignores bytes after its end. `None` if it is damaged or truncated, or if the text is longer
/// than `limit` bytes.
pub fn inflate(bytes: &[u8], limit: usize) -> Option<Vec<u8>> {
    let (header, blocks) = bytes.split_first_chunk()?;
    if !is_header(*header) {
        return None;
    }
    let (text, rest) = inflate_blocks(blocks, limit)?;
    let checksum = u32::from_be_bytes(*rest.first_chunk()?);
    (checksum == simd_adler32::adler32(&text.as_slice())).then_some(text)
}

/// Inflates the blocks between header and checksum. Returns the text and the bytes after the blocks.
pub fn inflate_blocks(bytes: &[u8], limit: usize) -> Option<(Vec<u8>, &[u8])> {
    INFLATER.with_borrow_mut(|inflater| inflater.inflate_blocks(bytes, limit))
}

/// Deflate, a window of at most 32 KB, and no dictionary.
fn is_header([method, flags]: [u8; 2]) -> bool {
    method & 0xf == 8 && method >> 4 <= 7 && flags & 0x20 == 0 && u16::from_be_bytes([method, flags]) % 31 == 0
}

/// The codes of the last dynamic block.
struct Inflater {
    lengths: Lengths,
    code_lengths: Codes<CODE_LENGTH_TABLE>,
    literals: Codes<LITERAL_TABLE>,
    distances: Codes<DISTANCE_TABLE>,
}

impl Inflater {
    const fn new() -> Self {
        Self { lengths: Lengths::new(), code_lengths: Codes::new(), literals: Codes::new(), distances: Codes::new() }
    }

    fn inflate_blocks<'a>(&mut self, bytes: &'a [u8], limit: usize) -> Option<(Vec<u8>, &'a [u8])> {
        let mut bits = BitReader { bytes, at: 0, pending: 0, count: 0 };
        let mut text = Text { bytes: vec![0; bytes.len().saturating_mul(4).min(limit)], length: 0, limit };
        loop {
            bits.fill()?;
            let is_last = bits.take(1) == 1;
            match bits.take(2) {
                0 => bits.copy_stored(&mut text)?,
                1 => bits.decode(&mut text, &FIXED_LITERAL_CODES, &FIXED_DISTANCE_CODES)?,
                2 => {
                    self.read_codes(&mut bits)?;
                    bits.decode(&mut text, &self.literals, &self.distances)?;
                }
                _ => return None,
            }
            if is_last {
                break;
            }
        }
        text.bytes.truncate(text.length);
        Some((text.bytes, bits.rest()?))
    }

    fn read_codes(&mut self, bits: &mut BitReader) -> Option<()> {
        let Self { lengths, code_lengths, literals, distances } = self;
        let (literal_symbols, distance_symbols) = (257 + bits.take(5), 1 + bits.take(5));
        if literal_symbols > LITERAL_SYMBOLS || distance_symbols > DISTANCE_SYMBOLS {
            return None;
        }
        lengths.read_code_lengths(bits)?;
        code_lengths.assign(lengths.used(), 0, false)?;
        lengths.read(bits, code_lengths, literal_symbols + distance_symbols)?;
        let used = lengths.used();
        let (of_literals, of_distances) = used.split_at(used.partition_point(|code| code.symbol() < literal_symbols));
        of_literals.iter().rfind(|code| code.symbol() <= END_OF_BLOCK).filter(|code| code.symbol() == END_OF_BLOCK)?;
        literals.assign(of_literals, 0, true)?;
        distances.assign(of_distances, literal_symbols, true)
    }
}

/// The inflated text, followed by room for more.
struct Text {
    bytes: Vec<u8>,
    length: usize,
    limit: usize,
}

/// How many bytes are copied at once.
const CHUNK: usize = 16;

impl Text {
    /// Makes more room.
    #[cold]
    fn grow(&mut self) -> Option<()> {
        let length = self.bytes.len();
        if length == self.limit {
            return None;
        }
        self.bytes.resize((2 * length).clamp(64, self.limit.max(64)).min(self.limit), 0);
        Some(())
    }

    fn make_room(&mut self, length: usize) -> Option<()> {
        while self.bytes.len() - self.length < length {
            self.grow()?;
        }
        Some(())
    }

    fn push(&mut self, byte: u8) -> Option<()> {
        self.make_room(1)?;
        self.bytes[self.length] = byte;
        self.length += 1;
        Some(())
    }

    /// Appends `length` bytes from `distance` bytes back. They may overlap with the bytes that are appended.
    fn repeat(&mut self, distance: usize, length: usize) -> Option<()> {
        let start = self.length.checked_sub(distance)?;
        self.make_room(length)?;
        let end = self.length + length;
        if distance >= CHUNK && end + CHUNK <= self.bytes.len() {
            // The last chunk may be too long, and reach into the free room. Measured: 1,200 instructions less for a
            // session of 600 bytes than with a call of memmove for each match.
            let (mut from, mut to) = (start, self.length);
            while to < end {
                let chunk: [u8; CHUNK] = *self.bytes[from..].first_chunk()?;
                *self.bytes[to..].first_chunk_mut()? = chunk;
                from += CHUNK;
                to += CHUNK;
            }
            self.length = end;
            return Some(());
        }
        while self.length < end {
            let copied = (self.length - start).min(end - self.length);
            self.bytes.copy_within(start..start + copied, self.length);
            self.length += copied;
        }
        Some(())
    }
}

/// Reads bits, lowest first.
struct BitReader<'a> {
    bytes: &'a [u8],
    at: usize,
    /// Above the lowest `count` bits, there may be bits that will be read again.
    pending: u64,
    count: u32,
}

impl<'a> BitReader<'a> {
    /// Makes at least 56 bits available. After the end of the input they are zeros; `None` if such zeros were used.
    #[inline]
    fn fill(&mut self) -> Option<()> {
        if let Some(word) = self.bytes.get(self.at..).and_then(|rest| rest.first_chunk()) {
            self.pending |= u64::from_le_bytes(*word) << self.count;
            self.at += (63 - self.count as usize) / 8;
            // This adds eight for each of these bytes.
            self.count |= 0b11_1000;
            return Some(());
        }
        self.fill_at_end()
    }

    #[cold]
    fn fill_at_end(&mut self) -> Option<()> {
        self.next_byte()?;
        while self.count < 56 {
            self.pending |= u64::from(self.bytes.get(self.at).copied().unwrap_or(0)) << self.count;
            self.at += 1;
            self.count += 8;
        }
        Some(())
    }

    /// The position of the first byte of which no bit has been used.
    fn next_byte(&self) -> Option<usize> {
        let at = self.at - self.count as usize / 8;
        (at <= self.bytes.len()).then_some(at)
    }

    /// The bytes of which no bit has been used.
    fn rest(&self) -> Option<&'a [u8]> {
        Some(&self.bytes[self.next_byte()?..])
    }

    /// Skips a code.
    #[inline]
    fn skip(&mut self, entry: Entry) {
        // wrapping_shr uses only the lowest 6 bits, which are the length.
        self.pending = self.pending.wrapping_shr(entry.0.into());
        self.count -= entry.length() as u32;
    }

    #[inline]
    fn take(&mut self, count: u8) -> usize {
        let bits = self.pending & ((1 << count) - 1);
        self.pending >>= count;
        self.count -= u32::from(count);
        bits as usize
    }

    fn copy_stored(&mut self, text: &mut Text) -> Option<()> {
        let rest = self.rest()?;
        let (&[a, b, c, d], rest) = rest.split_first_chunk()?;
        let length = u16::from_le_bytes([a, b]);
        if length != !u16::from_le_bytes([c, d]) {
            return None;
        }
        let stored = rest.get(..length.into())?;
        text.make_room(stored.len())?;
        text.bytes[text.length..][..stored.len()].copy_from_slice(stored);
        text.length += stored.len();
        self.at = self.bytes.len() - (rest.len() - stored.len());
        (self.pending, self.count) = (0, 0);
        Some(())
    }

    fn decode(
        &mut self,
        text: &mut Text,
        literals: &Codes<LITERAL_TABLE>,
        distances: &Codes<DISTANCE_TABLE>,
    ) -> Option<()> {
        let mut bits = BitReader { ..*self };
        loop {
            bits.fill()?;
            // Six literals with codes in the table take at most 56 bits. Measured: 300 instructions less for a login
            // than with five literals and a table of 10 bits.
            if let Some(room) = text.bytes[text.length..].first_chunk_mut::<6>() {
                let mut taken = 0;
                for place in room {
                    let entry = literals.look_up(bits.pending);
                    if !entry.is_literal() {
                        break;
                    }
                    *place = entry.symbol() as u8;
                    bits.skip(entry);
                    taken += 1;
                }
                text.length += taken;
                if taken == 6 {
                    continue;
                }
            }
            // A length is at most 15 + 5 bits, a distance 15 + 13.
            if bits.count < 48 {
                bits.fill()?;
            }
            let entry = literals.find(bits.pending)?;
            bits.skip(entry);
            if entry.is_literal() {
                text.push(entry.symbol() as u8)?;
                continue;
            }
            if entry.symbol() == END_OF_BLOCK {
                *self = bits;
                return Some(());
            }
            let (base, extra) = *LENGTH_BASES.get(entry.symbol() - END_OF_BLOCK - 1)?;
            let length = usize::from(base) + bits.take(extra);
            let entry = distances.find(bits.pending)?;
            bits.skip(entry);
            let (base, extra) = *DISTANCE_BASES.get(entry.symbol())?;
            let distance = usize::from(base) + bits.take(extra);
            text.repeat(distance, length)?;
        }
    }
}

/// A symbol, with the length of its code in the lowest 6 bits.
#[derive(Clone, Copy)]
struct Entry(u16);

impl Entry {
    /// The entry for no symbol.
    const NONE: Self = Self(u16::MAX);

    const fn new(symbol: usize, length: usize) -> Self {
        Self((symbol << 6 | length) as u16)
    }

    fn is_literal(self) -> bool {
        self.0 < (END_OF_BLOCK as u16) << 6
    }

    fn symbol(self) -> usize {
        usize::from(self.0 >> 6)
    }

    fn length(self) -> usize {
        usize::from(self.0 & 0xf)
    }
}

const LITERAL_TABLE: usize = 1 << 9;
const DISTANCE_TABLE: usize = 1 << 8;
const CODE_LENGTH_TABLE: usize = 1 << 7;

/// The codes of one alphabet.
struct Codes<const TABLE: usize> {
    /// For the next bits, the code that they begin with; none if the code is longer.
    table: [Entry; TABLE],
    /// How many codes have each length.
    counts: [u16; 16],
    /// All codes, shorter ones first.
    sorted: [Entry; LITERAL_SYMBOLS],
}

static FIXED_LITERAL_CODES: Codes<LITERAL_TABLE> = Codes::fixed(&FIXED_LITERALS);
static FIXED_DISTANCE_CODES: Codes<DISTANCE_TABLE> = Codes::fixed(&FIXED_DISTANCES);

impl<const TABLE: usize> Codes<TABLE> {
    const ROOT: usize = TABLE.ilog2() as usize;

    const fn new() -> Self {
        Self { table: [Entry::NONE; TABLE], counts: [0; 16], sorted: [Entry::NONE; LITERAL_SYMBOLS] }
    }

    /// All these codes fit into the table, except for those of symbols that do not exist.
    const fn fixed(codes: &[Code]) -> Self {
        let mut all = Self::new();
        let mut symbol = 0;
        while symbol < codes.len() {
            let Code { bits, length } = codes[symbol];
            let mut at = bits as usize;
            while at < TABLE {
                all.table[at] = Entry::new(symbol, length as usize);
                at += 1 << length;
            }
            symbol += 1;
        }
        all
    }

    /// Takes the used symbols in order. `None` if there are too many codes for their lengths, or too few. With
    /// `may_be_incomplete`, a single code of one bit, or no code at all, is allowed.
    fn assign(&mut self, used: &[Entry], first: usize, may_be_incomplete: bool) -> Option<()> {
        self.counts = [0; 16];
        for code in used {
            self.counts[code.length()] += 1;
        }
        let mut places = [0; 16];
        let (mut place, mut left) = (0, 1);
        for (first, &count) in places.iter_mut().zip(&self.counts).skip(1) {
            *first = place;
            place += count;
            // A value below zero remains below zero.
            left = 2 * left - i32::from(count);
        }
        if left < 0 {
            return None;
        }
        if left > 0 && !(may_be_incomplete && used.len() == usize::from(self.counts[1])) {
            return None;
        }
        for code in used {
            let place = &mut places[code.length()];
            self.sorted[usize::from(*place)] = Entry(code.0 - Entry::new(first, 0).0);
            *place += 1;
        }
        self.fill_table();
        Some(())
    }

    fn fill_table(&mut self) {
        let mut sorted = self.sorted.iter();
        // The next code, with its first bit lowest.
        let mut next = 0;
        self.table[0] = Entry::NONE;
        for length in 1..=Self::ROOT {
            let size = 1 << length;
            self.table.copy_within(..size / 2, size / 2);
            for &code in sorted.by_ref().take(self.counts[length].into()) {
                self.table[next] = code;
                next = after(next, size);
            }
        }
    }

    /// The symbol whose code these bits begin with, if that is in the table.
    #[inline]
    fn look_up(&self, bits: u64) -> Entry {
        self.table[bits as usize % TABLE]
    }

    /// The symbol whose code these bits begin with.
    #[inline]
    fn find(&self, bits: u64) -> Option<Entry> {
        let entry = self.look_up(bits);
        if entry.0 == Entry::NONE.0 { self.find_long(bits) } else { Some(entry) }
    }

    /// Searches bit by bit. Codes of this length are rare.
    #[cold]
    fn find_long(&self, mut bits: u64) -> Option<Entry> {
        let (mut code, mut first, mut before) = (0, 0, 0);
        for &count in &self.counts[1..] {
            let count = usize::from(count);
            code |= bits as usize & 1;
            bits >>= 1;
            if code < first + count {
                return Some(self.sorted[before + code - first]);
            }
            before += count;
            first = 2 * (first + count);
            code *= 2;
        }
        None
    }
}

/// The next code among `size` codes, with its first bit lowest. The result after the last code has no meaning.
#[inline]
fn after(code: usize, size: usize) -> usize {
    let zeros = !code & (size - 1);
    let highest = 1 << (zeros | 1).ilog2();
    code & (highest - 1) | highest
}

/// The lengths of the codes of a dynamic block, RFC 1951 section 3.2.7.
struct Lengths {
    /// The symbols that have codes. The numbers of distances follow those of literals.
    symbols: [Entry; LITERAL_SYMBOLS + DISTANCE_SYMBOLS + 1],
    used: usize,
}

impl Lengths {
    const fn new() -> Self {
        Self { symbols: [Entry::NONE; LITERAL_SYMBOLS + DISTANCE_SYMBOLS + 1], used: 0 }
    }

    fn used(&self) -> &[Entry] {
        &self.symbols[..self.used]
    }

    #[inline]
    fn push(&mut self, symbol: usize, length: usize) {
        // An entry with length 0 is overwritten by the next one.
        self.symbols[self.used] = Entry::new(symbol, length);
        self.used += usize::from(length > 0);
    }

    fn read_code_lengths(&mut self, bits: &mut BitReader) -> Option<()> {
        let written = 4 + bits.take(4);
        let mut lengths = [0; CODE_LENGTH_SYMBOLS];
        for &symbol in &CODE_LENGTH_ORDER[..written] {
            if bits.count < 3 {
                bits.fill()?;
            }
            lengths[symbol] = bits.take(3);
        }
        self.used = 0;
        for (symbol, &length) in lengths.iter().enumerate() {
            self.push(symbol, length);
        }
        Some(())
    }

    fn read(&mut self, bits: &mut BitReader, codes: &Codes<CODE_LENGTH_TABLE>, symbols: usize) -> Option<()> {
        self.used = 0;
        let (mut symbol, mut previous) = (0, None);
        while symbol < symbols {
            if bits.count < 14 {
                bits.fill()?;
            }
            let entry = codes.find(bits.pending)?;
            bits.skip(entry);
            let length = entry.symbol();
            if length < REPEAT.into() {
                self.push(symbol, length);
                symbol += 1;
                previous = Some(length);
                continue;
            }
            let (length, times) = match length as u8 {
                REPEAT => (previous?, 3 + bits.take(2)),
                ZEROS => (0, 3 + bits.take(3)),
                _ => (0, 11 + bits.take(7)),
            };
            previous = Some(length);
            let end = symbol + times;
            if end > symbols {
                return None;
            }
            if length > 0 {
                for symbol in symbol..end {
                    self.push(symbol, length);
                }
            }
            symbol = end;
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};
    use zlib_rs::{Deflate, DeflateConfig, DeflateFlush, InflateFlush, Method, Strategy};

    use super::*;
    use crate::wire::testing::Random;

    const LIMIT: usize = 100_000;

    /// The text of blocks, and how many bytes the blocks take, by classic zlib and by zlib-rs.
    fn by_others(blocks: &[u8]) -> Option<(Vec<u8>, usize)> {
        let mut text = vec![0; LIMIT + 1];
        let mut stream = Decompress::new(false);
        let is_whole = stream.decompress(blocks, &mut text, FlushDecompress::None).ok() == Some(Status::StreamEnd);
        let ends = (is_whole && stream.total_out() <= LIMIT as u64).then(|| (stream.total_out(), stream.total_in()));
        let mut other = vec![0; LIMIT + 1];
        let mut stream = zlib_rs::Inflate::new(false, 15);
        let is_whole = stream.decompress(blocks, &mut other, InflateFlush::NoFlush) == Ok(zlib_rs::Status::StreamEnd);
        let other_ends =
            (is_whole && stream.total_out() <= LIMIT as u64).then(|| (stream.total_out(), stream.total_in()));
        assert_eq!(ends, other_ends);
        let (length, read) = ends?;
        text.truncate(usize::try_from(length).unwrap());
        assert!(text == other[..text.len()]);
        Some((text, usize::try_from(read).unwrap()))
    }

    /// Compares, and returns whether the blocks are whole.
    fn compare(blocks: &[u8]) -> bool {
        let expected = by_others(blocks);
        let found = inflate_blocks(blocks, LIMIT).map(|(text, rest)| (text, blocks.len() - rest.len()));
        assert!(found == expected, "{blocks:?}");
        expected.is_some()
    }

    /// Compares the stream, and its blocks without header and checksum.
    fn compare_stream(stream: &[u8]) -> bool {
        let mut text = vec![0; LIMIT + 1];
        let mut zlib = Decompress::new(true);
        let is_whole = zlib.decompress(stream, &mut text, FlushDecompress::None).ok() == Some(Status::StreamEnd);
        text.truncate(usize::try_from(zlib.total_out()).unwrap());
        let expected = (is_whole && text.len() <= LIMIT).then_some(text);
        assert!(inflate(stream, LIMIT) == expected, "{stream:?}");
        compare(stream.get(2..).unwrap_or_default());
        expected.is_some()
    }

    fn by_zlib(text: &[u8], level: u32) -> Vec<u8> {
        let mut stream = Compress::new(Compression::new(level), true);
        let mut deflated = Vec::with_capacity(2 * text.len() + 64);
        assert_eq!(stream.compress_vec(text, &mut deflated, FlushCompress::Finish).unwrap(), Status::StreamEnd);
        deflated
    }

    fn by_strategy(text: &[u8], level: i32, strategy: Strategy, window_bits: i32) -> Vec<u8> {
        let config = DeflateConfig { level, method: Method::Deflated, window_bits, mem_level: 8, strategy };
        let mut stream = Deflate::new_with_config(config);
        let mut deflated = vec![0; 2 * text.len() + 64];
        assert_eq!(stream.compress(text, &mut deflated, DeflateFlush::Finish), Ok(zlib_rs::Status::StreamEnd));
        deflated.truncate(usize::try_from(stream.total_out()).unwrap());
        deflated
    }

    fn streams(text: &[u8]) -> impl Iterator<Item = Vec<u8>> {
        let strategies = [Strategy::Default, Strategy::Filtered, Strategy::HuffmanOnly, Strategy::Rle, Strategy::Fixed];
        let by_zlib = (0..=9).map(|level| by_zlib(text, level));
        by_zlib.chain(
            strategies.into_iter().flat_map(|strategy| [9, 15].map(|window| by_strategy(text, 6, strategy, window))),
        )
    }

    #[test]
    fn streams_of_all_levels_and_strategies() {
        let mut random = Random::new(1);
        for case in 0..100 {
            let text = random.text(if case % 50 == 0 { LIMIT } else { 3000 });
            for stream in streams(&text) {
                assert!(inflate(&stream, LIMIT).as_ref() == Some(&text));
                assert!(compare_stream(&stream));
            }
        }
    }

    #[test]
    fn streams_with_any_bit_flipped() {
        let mut random = Random::new(2);
        let login =
            br#"{"_fresh":true,"_id":"72f842d2ff42a7f34ec03e0bbc8cc02c48376cd1","_permanent":true,"_user_id":"17"}"#;
        for text in [login.to_vec(), b"some text that is some text".repeat(9), random.text(60)] {
            for mut stream in streams(&text) {
                for bit in 0..8 * stream.len() {
                    stream[bit / 8] ^= 1 << (bit % 8);
                    compare_stream(&stream);
                    stream[bit / 8] ^= 1 << (bit % 8);
                }
                for end in 0..stream.len() {
                    assert!(!compare_stream(&stream[..end]));
                }
            }
        }
    }

    #[test]
    fn all_headers() {
        let stream = by_zlib(b"text", 6);
        for method in 0..=255 {
            for flags in 0..=255 {
                compare_header(&[&[method, flags], &stream[2..]].concat());
            }
        }
    }

    fn compare_header(stream: &[u8]) {
        let zlib = Decompress::new(true).decompress(stream, &mut [0; 10], FlushDecompress::None);
        assert_eq!(inflate(stream, LIMIT).is_some(), zlib.ok() == Some(Status::StreamEnd), "{stream:?}");
    }

    /// All kinds of headers of dynamic blocks: codes that are complete, or nearly so, in any lengths.
    #[test]
    fn dynamic_blocks_of_any_codes() {
        let cases = std::env::var("INFLATE_CASES").map_or(4000, |cases| cases.parse().unwrap());
        let mut random = Random::new(std::env::var("INFLATE_SEED").map_or(3, |seed| seed.parse().unwrap()));
        let mut whole = 0;
        for case in 0..cases {
            let mut bits = Bits::default();
            // Text that matches can refer to.
            bits.push_stored(&random.text(if case % 100 == 0 { 40_000 } else { 600 }));
            for is_last in [false, true] {
                bits.push(usize::from(is_last), 1);
                bits.push(2, 2);
                let (literals, distances) = bits.push_codes(&mut random);
                for _ in 0..random.below(100) {
                    bits.push_symbol(&literals, &distances, &mut random);
                }
                if random.below(10) == 0 {
                    bits.push(random.below(256), 8);
                }
                bits.push(literals[END_OF_BLOCK].0, literals[END_OF_BLOCK].1);
            }
            for _ in 0..8 {
                bits.push(random.below(256), 8);
            }
            whole += u32::from(compare(&bits.bytes));
        }
        assert!(whole > cases / 20, "{whole}");
    }

    #[test]
    fn blocks_of_noise() {
        let mut random = Random::new(4);
        let mut whole = 0;
        for _ in 0..5000 {
            let mut blocks: Vec<u8> = (0..random.below(100)).map(|_| random.byte_below(256)).collect();
            if let Some(first) = blocks.first_mut() {
                // A fixed block.
                *first = *first & 0xf8 | 3;
            }
            whole += u32::from(compare(&blocks));
        }
        assert!(whole > 30, "{whole}");
    }

    #[test]
    fn the_limit_is_the_last_length_that_is_given() {
        for text in [&[b'a'; 1000][..], &Random::new(5).text(2000), b"", b"a"] {
            for stream in streams(text) {
                assert!(inflate(&stream, text.len()).as_deref() == Some(text));
                assert!(text.is_empty() || inflate(&stream, text.len() - 1).is_none());
            }
        }
    }

    #[test]
    fn no_stream_leaves_a_trace_in_the_next() {
        let mut random = Random::new(6);
        for _ in 0..30 {
            for stream in streams(&random.text(2000)) {
                let fresh = Inflater::new().inflate_blocks(&stream[2..], LIMIT).map(|(text, _)| text);
                assert!(inflate(&stream, LIMIT) == fresh);
            }
        }
    }

    #[derive(Default)]
    struct Bits {
        bytes: Vec<u8>,
        free: u32,
    }

    impl Bits {
        fn push(&mut self, bits: usize, count: u32) {
            for at in 0..count {
                if self.free == 0 {
                    self.bytes.push(0);
                    self.free = 8;
                }
                *self.bytes.last_mut().unwrap() |= ((bits >> at & 1) << (8 - self.free)) as u8;
                self.free -= 1;
            }
        }

        fn push_stored(&mut self, text: &[u8]) {
            self.push(0, 3);
            self.free = 0;
            let length = u16::try_from(text.len()).unwrap();
            self.bytes.extend([length.to_le_bytes(), (!length).to_le_bytes()].concat());
            self.bytes.extend(text);
        }

        /// Writes a literal or a match, with any of the codes.
        fn push_symbol(&mut self, literals: &[(usize, u32)], distances: &[(usize, u32)], random: &mut Random) {
            let symbol = random.below(literals.len());
            if symbol == END_OF_BLOCK || literals[symbol].1 == 0 {
                return;
            }
            self.push(literals[symbol].0, literals[symbol].1);
            if symbol > END_OF_BLOCK {
                let extra = |bases: &[(u16, u8)], symbol: usize| bases.get(symbol).map_or(0, |base| base.1.into());
                self.push(random.below(32), extra(&LENGTH_BASES, symbol - END_OF_BLOCK - 1));
                let used: Vec<_> = (0..distances.len()).filter(|&symbol| distances[symbol].1 > 0).collect();
                // Short distances, because most long ones would reach too far back.
                let nearest = 1 + random.below(DISTANCE_SYMBOLS);
                let distance = if used.is_empty() { 0 } else { used[random.below(used.len().min(nearest))] };
                self.push(distances[distance].0, distances[distance].1);
                self.push(random.below(8192), extra(&DISTANCE_BASES, distance));
            }
        }

        /// Writes the header of a dynamic block, and returns the codes of its literals and distances.
        #[expect(clippy::type_complexity, reason = "two lists of codes, with their lengths")]
        fn push_codes(&mut self, random: &mut Random) -> (Vec<(usize, u32)>, Vec<(usize, u32)>) {
            let most = if random.below(20) == 0 { (288, 32) } else { (286, 30) };
            let (literals, distances) = (257 + random.below(most.0 - 256), 1 + random.below(most.1));
            self.push(literals - 257, 5);
            self.push(distances - 1, 5);
            let mut lengths = random_lengths(random, literals, 15);
            if lengths[END_OF_BLOCK] == 0 && random.below(20) > 0 {
                let other = lengths.iter().position(|&length| length > 0).unwrap_or(0);
                lengths.swap(other, END_OF_BLOCK);
            }
            lengths.extend(random_lengths(random, distances, 15));

            let code_lengths: Vec<usize> = if random.below(10) == 0 {
                random_lengths(random, 19, 7)
            } else {
                (0..19).map(|symbol| if symbol < 13 { 4 } else { 5 }).collect()
            };
            self.push(19 - 4, 4);
            for symbol in CODE_LENGTH_ORDER {
                self.push(code_lengths[symbol], 3);
            }
            let codes = codes_of(&code_lengths);
            let mut at = 0;
            while at < lengths.len() {
                let length = lengths[at];
                let run = lengths[at..].iter().take_while(|&&other| other == length).count();
                let follows_its_like = at > 0 && lengths[at - 1] == length;
                // Sometimes a run is too long, or repeats a length that does not exist.
                let run = run + usize::from(random.below(2000) == 0);
                let (symbol, extra, count, taken) = if length == 0 && run >= 11 {
                    (18, run.min(138) - 11, 7, run.min(138))
                } else if length == 0 && run >= 3 {
                    (17, run.min(10) - 3, 3, run.min(10))
                } else if run >= 3 && follows_its_like || random.below(5000) == 0 {
                    (16, run.clamp(3, 6) - 3, 2, run.clamp(3, 6))
                } else {
                    (length, 0, 0, 1)
                };
                let (code, code_length) = codes[symbol];
                self.push(code, code_length);
                self.push(extra, count);
                at += taken;
            }
            (codes_of(&lengths[..literals]), codes_of(&lengths[literals..]))
        }
    }

    /// Lengths of codes that are usually complete.
    fn random_lengths(random: &mut Random, symbols: usize, max: usize) -> Vec<usize> {
        let mut leaves = vec![0];
        let count = [0, 1, 2, 3, 10, 100, symbols][random.below(7)].min(symbols);
        while leaves.len() < count {
            // Sometimes the deepest leaf, for long codes.
            let at = if random.below(4) == 0 { leaves.len() - 1 } else { random.below(leaves.len()) };
            if leaves[at] < max {
                leaves[at] += 1;
                leaves.push(leaves[at]);
            } else if leaves.iter().all(|&length| length == max) {
                break;
            }
        }
        if count == 1 {
            leaves[0] = 1 + random.below(16) / 15;
        }
        if random.below(20) == 0 {
            let at = random.below(leaves.len());
            leaves[at] = random.below(max + 1);
        }
        let mut lengths = vec![0; symbols];
        for (at, length) in leaves.into_iter().enumerate() {
            lengths[at] = length;
        }
        for at in (1..symbols).rev() {
            lengths.swap(at, random.below(at + 1));
        }
        lengths
    }

    /// The codes of these lengths, with their first bits lowest.
    fn codes_of(lengths: &[usize]) -> Vec<(usize, u32)> {
        let mut next = 0_usize;
        let mut codes = vec![(0, 0); lengths.len()];
        for length in 1..=15 {
            next <<= 1;
            for (symbol, _) in lengths.iter().enumerate().filter(|&(_, &other)| other == length) {
                codes[symbol] = ((next as u16).reverse_bits() as usize >> (16 - length), length as u32);
                next += 1;
            }
        }
        codes
    }
}
