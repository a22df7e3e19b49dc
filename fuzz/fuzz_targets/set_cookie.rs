#![no_main]

libfuzzer_sys::fuzz_target!(|input: &str| targets::set_cookie::judge(input));
