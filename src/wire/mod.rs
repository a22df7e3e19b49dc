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
