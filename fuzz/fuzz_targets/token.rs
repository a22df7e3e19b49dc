#![no_main]

libfuzzer_sys::fuzz_target!(|token: &[u8]| targets::token::judge(token));
