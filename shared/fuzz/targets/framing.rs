#![no_main]

libfuzzer_sys::fuzz_target!(init: schulhof_fuzz::plant("framing"), |data: &[u8]| schulhof_fuzz::framing::run(data));
