#![no_main]

libfuzzer_sys::fuzz_target!(init: schulhof_fuzz::plant("stun"), |data: &[u8]| schulhof_media::fuzzing::stun(data));
