#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| targets::date::judge(text));
