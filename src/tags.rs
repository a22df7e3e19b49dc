//! The table of tags that Flask's session JSON uses for what JSON cannot say.
//!
//! Source: `flask.json.tag.TaggedJSONSerializer.default_tags`. A tagged value is an object of one member whose name is
//! the tag.

/// What a tag stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tag {
    /// A dict of one key that would pass for a tag; the key has [`DICT_SUFFIX`] appended.
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

#[cfg(test)]
mod tests {
    use super::*;

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
