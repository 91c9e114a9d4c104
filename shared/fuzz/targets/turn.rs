#![no_main]

libfuzzer_sys::fuzz_target!(init: schulhof_fuzz::plant("turn"), |data: &[u8]| schulhof_media::fuzzing::turn(data));
