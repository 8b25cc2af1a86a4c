#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    teleclaude_fuzz::ls_remote(bytes);
});
