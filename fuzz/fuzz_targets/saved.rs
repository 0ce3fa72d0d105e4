#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    logo_ssl_fuzz::saved(data);
});
