#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| targets::tags::judge(text));
