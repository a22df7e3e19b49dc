//! Texts for the tests of these modules.

/// A small random number generator, so that the tests need no other crate.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % limit
    }

    pub fn byte_below(&mut self, limit: usize) -> u8 {
        u8::try_from(self.below(limit)).unwrap()
    }

    /// Text of at most `limit` bytes, with letters of a few frequencies, interrupted by repetitions from near and far.
    pub fn text(&mut self, limit: usize) -> Vec<u8> {
        let limit = [12, 60, 300, 1200, 5000, limit][self.below(6)].min(limit);
        let length = self.below(limit + 1);
        let letters = 1 + self.below(220);
        let repeats = self.below(60);
        let mut text: Vec<u8> = Vec::with_capacity(length);
        while text.len() < length {
            if !text.is_empty() && self.below(100) < repeats {
                let back = 1 + self.below(text.len());
                let many = if self.below(20) == 0 { 600 } else { 12 };
                for _ in 0..self.below(many) {
                    text.push(text[text.len() - back]);
                }
            } else {
                let narrowed = 1 + self.below(letters);
                text.push(b'"' + self.byte_below(narrowed));
            }
        }
        text.truncate(length);
        text
    }
}
