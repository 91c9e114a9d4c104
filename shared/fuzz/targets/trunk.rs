#![no_main]

libfuzzer_sys::fuzz_target!(init: schulhof_fuzz::plant("trunk"), |data: &[u8]| schulhof_media::fuzzing::trunk(data));
