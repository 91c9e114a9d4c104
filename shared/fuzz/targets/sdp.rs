#![no_main]

libfuzzer_sys::fuzz_target!(init: schulhof_fuzz::plant("sdp"), |data: &[u8]| schulhof_media::fuzzing::sdp(data));
