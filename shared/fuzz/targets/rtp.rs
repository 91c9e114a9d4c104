#![no_main]

libfuzzer_sys::fuzz_target!(init: schulhof_fuzz::plant("rtp"), |data: &[u8]| schulhof_media::fuzzing::rtp(data));
