//! What can be had of fuzzing in seconds, on a stable Rust: each target judges its seeds, and thousands of changed ones,
//! the same ones each time.

use crate::{base64, cookie, deflate, http_date, inflate, json_format, payload, seal, set_cookie, sign, tags, token};
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;

#[test]
fn base64() {
    judge_changes("base64", 100_000, base64::judge);
}

#[test]
fn cookie() {
    judge_changes("cookie", 100_000, of_text(cookie::judge));
}

#[test]
fn http_date() {
    judge_changes("http_date", 100_000, of_text(http_date::judge));
}

#[test]
fn deflate() {
    judge_changes("deflate", 500, deflate::judge);
}

#[test]
fn inflate() {
    judge_changes("inflate", 10_000, inflate::judge);
}

#[test]
fn payload() {
    judge_changes("payload", 2_000, payload::judge);
}

#[test]
fn set_cookie() {
    judge_changes("set_cookie", 100_000, of_text(set_cookie::judge));
}

#[test]
fn seal() {
    judge_changes("seal", 500, seal::judge);
}

#[test]
fn sign() {
    judge_changes("sign", 1_000, sign::judge);
}

#[test]
fn json_format() {
    judge_changes("json_format", 20_000, json_format::judge);
}

#[test]
fn tags() {
    judge_changes("tags", 100_000, of_text(tags::judge));
}

#[test]
fn token() {
    judge_changes("token", 100_000, token::judge);
}

fn of_text(judge: fn(&str)) -> impl Fn(&[u8]) {
    move |bytes| judge(&String::from_utf8_lossy(bytes))
}

fn judge_changes(target: &str, times: usize, judge: impl Fn(&[u8])) {
    let seeds = seeds_of(target);
    let mut random = Random(1);
    for seed in &seeds {
        judge_aloud(&judge, seed);
    }
    for _ in 0..times {
        judge_aloud(&judge, &random.changed(&seeds));
    }
}

/// What is found is told as the fuzzer would: with its input.
fn judge_aloud(judge: &impl Fn(&[u8]), input: &[u8]) {
    catch_unwind(AssertUnwindSafe(|| judge(input))).unwrap_or_else(|finding| {
        eprintln!("judged: b\"{}\"", input.escape_ascii());
        resume_unwind(finding)
    });
}

fn seeds_of(target: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    files.iter().map(|file| fs::read(file).unwrap()).collect()
}

/// Knuth's generator of the MMIX.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % limit
    }

    fn byte(&mut self) -> u8 {
        self.below(256).to_le_bytes()[0]
    }

    /// One of the seeds, changed at up to four places.
    fn changed(&mut self, seeds: &[Vec<u8>]) -> Vec<u8> {
        let mut input = seeds[self.below(seeds.len())].clone();
        for _ in 0..=self.below(4) {
            self.change(&mut input, seeds);
        }
        input
    }

    fn change(&mut self, input: &mut Vec<u8>, seeds: &[Vec<u8>]) {
        let (start, end) = self.range(input.len());
        match self.below(6) {
            0 if start < end => input[start] ^= 1 << self.below(8),
            1 if start < end => input[start] = self.byte(),
            2 => input.insert(start, self.byte()),
            3 => drop(input.drain(start..end)),
            4 => input.splice(start..start, input[start..end].to_vec()).for_each(drop),
            _ => {
                let other = &seeds[self.below(seeds.len())];
                let (from, to) = self.range(other.len());
                input.splice(start..end, other[from..to].iter().copied()).for_each(drop);
            }
        }
    }

    fn range(&mut self, length: usize) -> (usize, usize) {
        let start = self.below(length + 1);
        (start, start + self.below(length - start + 1))
    }
}
