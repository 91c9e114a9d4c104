#![no_main]

libfuzzer_sys::fuzz_target!(init: schulhof_fuzz::plant("control"), |data: &[u8]| schulhof_fuzz::control::run(data));
