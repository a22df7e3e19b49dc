//! The matches of a text: zlib's lazy search, with its limits.

use super::block::Block;

pub const MIN_MATCH: usize = 3;
pub const MAX_MATCH: usize = 258;

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
pub struct Matcher {
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
    pub fn new() -> Self {
        Self { heads: vec![0; HASHES], chain: Vec::new(), base: 0 }
    }

    /// Walks the text, taking a match only if the next place has no longer one.
    pub fn match_text(&mut self, text: &[u8], block: &mut Block) {
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
