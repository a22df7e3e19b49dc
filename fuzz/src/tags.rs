//! UUIDs against the uuid crate, and names of tags against the table.

use fastsession::wire::tags::{TABLE, Tag, parse_uuid};
use uuid::Uuid;

pub fn judge(text: &str) {
    let is_simple = text.len() == uuid::fmt::Simple::LENGTH;
    let expected = Uuid::try_parse(text).ok().filter(|_| is_simple).map(|uuid| uuid.as_u128());
    assert_eq!(parse_uuid(text), expected);
    assert_eq!(Tag::from_key(text), TABLE.iter().find(|(_, key)| *key == text).map(|&(tag, _)| tag));
}
