#![no_main]

libfuzzer_sys::fuzz_target!(init: schulhof_fuzz::plant("ticket"), |data: &[u8]| schulhof_fuzz::ticket::run(data));
