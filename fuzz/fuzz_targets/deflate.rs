#![no_main]

libfuzzer_sys::fuzz_target!(|program: &[u8]| targets::deflate::judge(program));
