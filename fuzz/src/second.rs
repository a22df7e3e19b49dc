//! Second implementations to compare the modules of `wire` with, where one crate would not do.

use base64ct::{Base64UrlUnpadded, Encoding};
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};
use orion::hazardous::aead::xchacha20poly1305::{self, Nonce, SecretKey};
use orion::hazardous::kdf::hkdf;

/// Text that inflates beyond this many bytes is left to stock.
const MAX_INFLATED: usize = 1 << 20;

/// A value and its signature, by base64ct and the hmac-sha crates.
pub fn sign(digest: &str, key: &[u8], value: &[u8]) -> Vec<u8> {
    let mac = match digest {
        "sha1" => hmac_sha1_compact::HMAC::mac(value, key).to_vec(),
        "sha256" => hmac_sha256::HMAC::mac(value, key).to_vec(),
        "sha384" => hmac_sha512::sha384::HMAC::mac(value, key).to_vec(),
        "sha512" => hmac_sha512::HMAC::mac(value, key).to_vec(),
        _ => unreachable!("{digest} is none of these"),
    };
    [value, b".", Base64UrlUnpadded::encode_string(&mac).as_bytes()].concat()
}

/// Opens sealed tokens, by orion and base64ct.
pub struct Opener {
    /// For each version of a token its label, and the key of each secret, the newest first.
    versions: [(Vec<u8>, Vec<SecretKey>); 2],
}

impl Opener {
    pub fn new(secrets: &[&[u8]], salt: &[u8]) -> Self {
        let versions = [1, 2].map(|version| {
            let label = part(format!("flask-fastsession encrypted token {version}").as_bytes());
            let info = [&label[..], &part(salt)].concat();
            let keys = secrets.iter().rev().map(|secret| {
                let mut key = [0; 32];
                hkdf::sha256::derive_key(&[], secret, Some(&info), &mut key).unwrap();
                SecretKey::from_slice(&key).unwrap()
            });
            (label, keys.collect())
        });
        Self { versions }
    }

    /// The version, the second and the text of a token.
    pub fn open(&self, purpose: &[u8], token: &[u8]) -> Option<(u8, u64, Vec<u8>)> {
        let bytes = decode_base64(token).filter(|bytes| bytes.len() >= 49)?;
        let (version, nonce, sealed) = (bytes[0], Nonce::from_slice(&bytes[1..25]).ok()?, &bytes[25..]);
        let (label, keys) = self.versions.get(usize::from(version.checked_sub(1)?))?;
        let associated_data = [&label[..], &part(purpose)].concat();
        let mut plaintext = vec![0; sealed.len() - 16];
        keys.iter()
            .find(|key| xchacha20poly1305::open(key, &nonce, sealed, Some(&associated_data), &mut plaintext).is_ok())?;
        let seconds = u64::from_be_bytes(plaintext[..8].try_into().unwrap());
        Some((version, seconds, plaintext[8..].to_vec()))
    }
}

/// A part of a label: its length, and it.
fn part(bytes: &[u8]) -> Vec<u8> {
    [&u32::try_from(bytes.len()).unwrap().to_be_bytes(), bytes].concat()
}

/// Canonical url-safe base64 without padding, by base64ct.
pub fn decode_base64(text: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = vec![0; text.len()];
    Base64UrlUnpadded::decode(text, &mut bytes).ok().map(<[u8]>::to_vec)
}

/// Deflates by classic zlib, as CPython calls it; `None` where two bytes are not won.
pub fn deflate_if_shorter(text: &[u8]) -> Option<Vec<u8>> {
    let mut deflated = Vec::with_capacity(text.len() + text.len() / 1000 + 64);
    let mut stream = Compress::new(Compression::default(), true);
    assert_eq!(stream.compress_vec(text, &mut deflated, FlushCompress::Finish).unwrap(), Status::StreamEnd);
    (deflated.len() + 1 < text.len()).then_some(deflated)
}

/// Inflates a stream by classic zlib.
pub fn inflate(stream: &[u8]) -> Option<Vec<u8>> {
    inflate_with(Decompress::new(true), stream).map(|(text, _)| text).filter(|text| text.len() <= MAX_INFLATED)
}

/// The text of blocks, if it is no longer than `limit`, and how many bytes they take.
pub fn inflate_blocks(blocks: &[u8], limit: usize) -> Option<(Vec<u8>, usize)> {
    inflate_with(Decompress::new(false), blocks).filter(|(text, _)| text.len() <= limit)
}

/// The same by zlib-rs.
pub fn inflate_blocks_by_zlib_rs(blocks: &[u8], limit: usize) -> Option<(Vec<u8>, usize)> {
    let mut text = vec![0; limit + 1];
    let mut stream = zlib_rs::Inflate::new(false, 15);
    let status = stream.decompress(blocks, &mut text, zlib_rs::InflateFlush::NoFlush).ok()?;
    text.truncate(usize::try_from(stream.total_out()).unwrap());
    let is_whole = status == zlib_rs::Status::StreamEnd && text.len() <= limit;
    is_whole.then(|| (text, usize::try_from(stream.total_in()).unwrap()))
}

/// The stream of these blocks, if classic zlib can inflate them.
pub fn stream_of(blocks: &[u8]) -> Option<Vec<u8>> {
    let (text, read) = inflate_with(Decompress::new(false), blocks)?;
    Some([&[0x78, 0x9c], &blocks[..read], &adler2::adler32_slice(&text).to_be_bytes()].concat())
}

/// The text, and how many bytes it took; `None` where it is damaged, truncated, or far too long.
fn inflate_with(mut stream: Decompress, bytes: &[u8]) -> Option<(Vec<u8>, usize)> {
    let mut text = Vec::with_capacity(1024);
    loop {
        let read = usize::try_from(stream.total_in()).unwrap();
        let status = stream.decompress_vec(&bytes[read..], &mut text, FlushDecompress::None).ok()?;
        if status == Status::StreamEnd {
            return Some((text, usize::try_from(stream.total_in()).unwrap()));
        }
        if text.len() < text.capacity() || text.len() > 2 * MAX_INFLATED {
            return None;
        }
        text.reserve(text.len());
    }
}

/// A float as Python's `repr` writes it: in the fewest digits that read back, the nearest of those, and an even last
/// one of two that are equally near. The rounding to a given number of places does that; std's own search for the
/// fewest digits takes the upper of two.
pub fn repr(float: f64) -> String {
    let shortest = (0..17)
        .map(|places| format!("{float:.places$e}"))
        .flat_map(|nearest| [nearest.clone(), one_up(nearest)])
        .find(|text| text.parse() == Ok(float))
        .unwrap();
    let (mantissa, exponent) = shortest.split_once('e').unwrap();
    let exponent: isize = exponent.parse().unwrap();
    if (-4..16).contains(&exponent) {
        let places = mantissa.split_once('.').map_or(0, |(_, places)| places.len());
        format!("{float:.*}", places.saturating_add_signed(-exponent).max(1))
    } else {
        format!("{mantissa}e{exponent:+03}")
    }
}

/// The next decimal number away from zero. A power of two has more room above than below, so that this may read back
/// where the nearest one does not. What would carry has been tried with fewer digits.
fn one_up(text: String) -> String {
    let last = text.find('e').unwrap() - 1;
    let mut bytes = text.into_bytes();
    bytes[last] += u8::from(bytes[last] < b'9');
    String::from_utf8(bytes).unwrap()
}
