#![no_main]

libfuzzer_sys::fuzz_target!(init: schulhof_fuzz::plant("datagrams"), |data: &[u8]| schulhof_media::fuzzing::datagrams(data));
