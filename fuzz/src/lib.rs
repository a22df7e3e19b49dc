//! What is fuzzed: each room that knows no Python judged by a second implementation, for any input.

pub mod base64;
pub mod cookie;
pub mod deflate;
pub mod http_date;
pub mod inflate;
pub mod json_format;
pub mod payload;
pub mod seal;
pub mod second;
#[cfg(test)]
mod seeds;
pub mod set_cookie;
pub mod sign;
pub mod tags;
pub mod token;
