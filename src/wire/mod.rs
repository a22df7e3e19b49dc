//! The format of cookies, byte by byte. These modules do not use Python.

pub mod base64;
pub mod cookie;
pub mod deflate;
pub mod http_date;
pub mod inflate;
pub mod json_format;
pub mod payload;
pub mod seal;
pub mod sign;
pub mod tags;
#[cfg(test)]
mod testing;
pub mod token;
pub mod zlib;

/// Computes what all threads share. A process that is forked while a thread computes it would wait for that thread, which
/// it does not have, forever; so this is called once, at import.
pub fn prepare() {
    payload::prepare();
    zlib::prepare();
}
