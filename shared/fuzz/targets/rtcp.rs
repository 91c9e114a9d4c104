#![no_main]

libfuzzer_sys::fuzz_target!(init: schulhof_fuzz::plant("rtcp"), |data: &[u8]| schulhof_media::fuzzing::rtcp(data));
