//! The matches of a text: zlib's lazy search, with its limits.

use super::block::Block;
use super::tables::{MAX_MATCH, MIN_MATCH};

/// Matches of three bytes from further back than this take more bits than literals.
const TOO_FAR: usize = 4096;

// Level 6 of zlib's configuration table.
/// From this length of a match on, the search for a better match at the next byte is cut to a quarter.
const GOOD_LENGTH: usize = 8;
/// From this length on, there is no such search.
const LAZY_LENGTH: usize = 16;
/// A match of this length ends the search.
const NICE_LENGTH: usize = 128;
const MAX_CHAIN: usize = 128;

const HASHES: usize = 1 << 15;

/// zlib sees the text through a window of twice this size, and moves the window by this size.
const WINDOW: usize = 1 << 15;
/// zlib moves the window when it sees fewer bytes ahead than this.
const MIN_LOOKAHEAD: usize = MAX_MATCH + MIN_MATCH + 1;
/// So no match is further away than this.
const MAX_DISTANCE: usize = WINDOW - MIN_LOOKAHEAD;

/// Finds the matches in one text after another.
pub struct Matcher {
    /// For each hash of three bytes the last place where they occurred, as `base` + place. Values up to `base` are from
    /// earlier texts, so the table need not be cleared for each text. Place 0 means none, as in zlib.
    heads: Box<[u16; HASHES]>,
    /// For each place the previous one with the same hash, also as `base` + place.
    chain: Box<[u16; WINDOW]>,
    base: u16,
    /// The length of the last text.
    used: usize,
}

#[derive(Clone, Copy)]
struct Match {
    start: usize,
    length: usize,
}

/// How far a text has been walked, and the match at the last place, which is not decided yet.
struct Walk {
    at: usize,
    found: Match,
    literal_is_pending: bool,
}

const NO_MATCH: Match = Match { start: 0, length: MIN_MATCH - 1 };

impl Matcher {
    pub fn new() -> Self {
        Self { heads: zeros(), chain: zeros(), base: 0, used: 0 }
    }

    /// Fills blocks with the literals and matches of a text. `flush` empties a full block, and gets the end of the
    /// block in the text. The last block is not flushed.
    pub fn match_text(&mut self, text: &[u8], block: &mut Block, flush: &mut dyn FnMut(&mut Block, usize)) {
        self.start(text.len());
        let mut walk = Walk { at: 0, found: NO_MATCH, literal_is_pending: false };
        let mut moved = 0;
        loop {
            // Places count from the beginning of the window.
            let ahead = &text[moved..];
            self.match_window(ahead, end_of_view(ahead.len()), &mut walk, block, &mut |block, end| {
                flush(block, moved + end);
            });
            if walk.at >= ahead.len() {
                break;
            }
            self.move_window();
            moved += WINDOW;
            walk.at -= WINDOW;
            walk.found.start = walk.found.start.saturating_sub(WINDOW);
        }
        if walk.literal_is_pending {
            block.push_literal(text[text.len() - 1]);
        }
    }

    /// Walks up to `stop`. Takes a match only if there is no longer one at the next place.
    fn match_window(
        &mut self,
        text: &[u8],
        stop: usize,
        walk: &mut Walk,
        block: &mut Block,
        flush: &mut dyn FnMut(&mut Block, usize),
    ) {
        let Walk { mut at, mut found, mut literal_is_pending } = *walk;
        while at < stop {
            let head;
            if found.length < MIN_MATCH {
                let (start, pending) = (at, usize::from(literal_is_pending));
                (at, head) = self.insert_until_known(text, start, stop.min(start + block.room() + 1 - pending));
                if at > start {
                    block.push_literals(&text[start - pending..at - 1]);
                    literal_is_pending = true;
                    if block.is_full() {
                        flush(block, at - 1);
                    }
                }
                if head <= self.base {
                    continue;
                }
            } else {
                head = self.insert(text, at);
            }
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
                if block.is_full() {
                    flush(block, at);
                }
            } else {
                if literal_is_pending {
                    block.push_literal(text[at - 1]);
                    if block.is_full() {
                        flush(block, at);
                    }
                }
                literal_is_pending = true;
                at += 1;
            }
        }
        *walk = Walk { at, found, literal_is_pending };
    }

    fn start(&mut self, length: usize) {
        // The places of this text are greater than all places of the last one.
        let start = usize::from(self.base) + self.used;
        self.used = length;
        if start + length <= u16::MAX.into() {
            self.base = start as u16;
        } else {
            self.heads.fill(0);
            self.base = 0;
        }
    }

    /// Counts places from the beginning of the next window. Places before it become none.
    fn move_window(&mut self) {
        for place in self.heads.iter_mut().chain(self.chain.iter_mut()) {
            *place = place.saturating_sub(WINDOW as u16);
        }
    }

    /// Records the three bytes at a place, and returns the last place of the same bytes with `base` added, or at most
    /// `base` for none.
    #[inline]
    fn insert(&mut self, text: &[u8], at: usize) -> u16 {
        let Some(&[a, b, c]) = text.get(at..at + MIN_MATCH) else {
            return 0;
        };
        let hash = (usize::from(a) << 10 ^ usize::from(b) << 5 ^ usize::from(c)) % HASHES;
        let head = self.heads[hash];
        self.chain[at % WINDOW] = head;
        self.heads[hash] = self.base + at as u16;
        head
    }

    /// Records places until the bytes of one have occurred before, or up to `end`. Returns that place and its head.
    /// Most bytes of a session have not occurred before, as ids and tokens are random. Measured: 10,000 instructions
    /// less for a login than with one place at a time.
    fn insert_until_known(&mut self, text: &[u8], at: usize, end: usize) -> (usize, u16) {
        let Some(&[a, b, ..]) = text[at..].first_chunk::<2>() else {
            return (end, 0);
        };
        let mut hash = usize::from(a) << 5 ^ usize::from(b);
        let thirds = &text[at + 2..text.len().min(end + 2)];
        for (at, &c) in (at..).zip(thirds) {
            hash = (hash << 5 ^ usize::from(c)) % HASHES;
            let head = std::mem::replace(&mut self.heads[hash], self.base + at as u16);
            self.chain[at % WINDOW] = head;
            if head > self.base {
                return (at, head);
            }
        }
        (end, 0)
    }

    /// The first of the longest matches longer than `length`, going back along the chain from `head`.
    #[inline(never)]
    fn longest_match(&self, text: &[u8], at: usize, head: u16, length: usize) -> Match {
        let mut start = usize::from(head - self.base);
        if at - start > MAX_DISTANCE {
            return NO_MATCH;
        }
        let ahead = &text[at..text.len().min(at + MAX_MATCH)];
        let nice = NICE_LENGTH.min(ahead.len());
        let mut best = Match { start: 0, length: length.min(ahead.len()) };
        let mut steps = if length >= GOOD_LENGTH { MAX_CHAIN / 4 } else { MAX_CHAIN };
        let out_of_reach = self.base + at.saturating_sub(MAX_DISTANCE) as u16;
        // A longer match also has the last byte of the best match, and one more.
        let mut wanted = pair_at(ahead, best.length - 1);
        while wanted.is_some() {
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
            let place = self.chain[start % WINDOW];
            steps -= 1;
            if place <= out_of_reach || steps == 0 {
                break;
            }
            start = usize::from(place - self.base);
        }
        best
    }
}

#[expect(clippy::unnecessary_box_returns, reason = "too large for the stack of a thread")]
fn zeros<const LENGTH: usize>() -> Box<[u16; LENGTH]> {
    vec![0; LENGTH].try_into().expect("a vector of this very length")
}

/// Up to which place a text is walked before the window moves.
fn end_of_view(length: usize) -> usize {
    let moves_at = WINDOW + MAX_DISTANCE + usize::from(length >= 2 * WINDOW);
    length.min(moves_at)
}

#[inline]
fn pair_at(text: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(*text.get(at..at + 2)?.first_chunk()?))
}

#[inline]
fn word_at(text: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(*text.get(at..at + 8)?.first_chunk()?))
}

/// How many bytes at the beginning of `ahead` and of the longer `text` are equal.
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
