#![no_main]

libfuzzer_sys::fuzz_target!(init: schulhof_fuzz::plant("conference"), |data: &[u8]| schulhof_media::fuzzing::conference(data));
