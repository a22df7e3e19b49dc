//! The tags that Flask's session JSON uses for types that JSON does not have.
//!
//! Source: `flask.json.tag.TaggedJSONSerializer.default_tags`. A tagged value is an object of one member whose name is
//! the tag.

/// What a tag stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tag {
    /// A dict whose only key is the key of a tag. [`DICT_SUFFIX`] is appended to it.
    Dict,
    Tuple,
    /// Bytes in standard base64.
    Bytes,
    /// Markup, or anything with `__html__`, as a string.
    Markup,
    /// A UUID as 32 hex digits.
    Uuid,
    /// A datetime as an HTTP date.
    DateTime,
}

/// What [`Tag::Dict`] appends to the key it protects.
pub const DICT_SUFFIX: &str = "__";

/// Every tag with its key, in Flask's order.
pub const TABLE: [(Tag, &str); 6] = [
    (Tag::Dict, " di"),
    (Tag::Tuple, " t"),
    (Tag::Bytes, " b"),
    (Tag::Markup, " m"),
    (Tag::Uuid, " u"),
    (Tag::DateTime, " d"),
];

impl Tag {
    pub fn from_key(key: &str) -> Option<Self> {
        // Nearly every key fails at its first letter.
        if !key.starts_with(' ') {
            return None;
        }
        TABLE.iter().find(|(_, name)| *name == key).map(|(tag, _)| *tag)
    }

    pub const fn key(self) -> &'static str {
        TABLE[self as usize].1
    }
}

/// The 128 bits of a UUID in 32 hex digits; `None` for other spellings, which are left to `uuid.UUID`.
pub fn parse_uuid(text: &str) -> Option<u128> {
    let is_plain = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_plain.then(|| u128::from_str_radix(text, 16).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uuids_are_32_hex_digits() {
        assert_eq!(parse_uuid("000102030405060708090a0B0c0d0e0f"), Some(0x0001_0203_0405_0607_0809_0a0b_0c0d_0e0f));
        for odd in ["", "+00102030405060708090a0b0c0d0e0f", "00010203-0405-0607-0809-0a0b0c0d0e0f", "0", "zz"] {
            assert_eq!(parse_uuid(odd), None, "{odd}");
        }
    }

    #[test]
    fn the_table_agrees_with_itself() {
        for (tag, key) in TABLE {
            assert_eq!(tag.key(), key);
            assert_eq!(Tag::from_key(key), Some(tag));
        }
        for other in ["", " ", "t", " x", " dd", " t ", " di__"] {
            assert_eq!(Tag::from_key(other), None, "{other:?}");
        }
    }
}
