//! The cookie in its two headers: found in a plain `Cookie`, and written as a `Set-Cookie`.
//!
//! Source: `werkzeug.http.parse_cookie` and `dump_cookie` (RFC 6265 sections 4.2.1 and 4.1.1). All but the plainest
//! headers are left to `parse_cookie`, and `dump_cookie` renders every template.

/// The value of the first cookie of that name, if any; `Err` if the header is not plain.
pub fn find<'h>(header: &'h str, name: &str) -> Result<Option<&'h str>, NotPlain> {
    let mut first = None;
    for_each(header, name, |value| {
        first.get_or_insert(value);
    })?;
    Ok(first)
}

/// The values of all cookies of that name, in their order.
pub fn find_all<'h>(header: &'h str, name: &str) -> Result<Vec<&'h str>, NotPlain> {
    let mut all = Vec::new();
    for_each(header, name, |value| all.push(value))?;
    Ok(all)
}

/// Reads a header to its end, because any part of it may have to be left to Werkzeug.
#[inline]
fn for_each<'h>(header: &'h str, name: &str, mut found: impl FnMut(&'h str)) -> Result<(), NotPlain> {
    let mut rest = header;
    while !rest.is_empty() {
        let (pair, following) = split_once(rest, b';').map_or((rest, None), |(pair, rest)| (pair, Some(rest)));
        let (key, value) = split_once(pair, b'=').ok_or(NotPlain)?;
        if key.is_empty() || !is_plain(key) || !is_plain(value) {
            return Err(NotPlain);
        }
        if key == name {
            found(value);
        }
        rest = match following {
            None => "",
            // Browsers put one space between two cookies.
            Some(following) => following.strip_prefix(' ').filter(|rest| !rest.is_empty()).ok_or(NotPlain)?,
        };
    }
    Ok(())
}

fn split_once(text: &str, ascii: u8) -> Option<(&str, &str)> {
    let at = memchr::memchr(ascii, text.as_bytes())?;
    Some((&text[..at], &text[at + 1..]))
}

/// A header that only Werkzeug can read.
#[derive(Debug, PartialEq, Eq)]
pub struct NotPlain;

/// Visible ASCII without the characters that have a meaning to any parser of cookies.
#[expect(clippy::needless_bitwise_bool, reason = "looked at to the end, many bytes are looked at in one step")]
fn is_plain(text: &str) -> bool {
    text.bytes().fold(true, |is_plain, byte| {
        is_plain & (byte > b' ') & (byte < 0x7f) & (byte != b'"') & (byte != b',') & (byte != b'\\')
    })
}

/// A `Set-Cookie` value as Werkzeug renders it, with gaps for the token and the date of expiry.
#[derive(Debug, PartialEq, Eq)]
pub struct Template {
    before_token: String,
    after_token: String,
    /// The text after the date, if the cookie has one.
    after_date: Option<String>,
    /// The length without the token, in characters.
    length: usize,
}

/// The placeholders in a line that becomes a template.
pub const TOKEN_GAP: &str = "flask-fastsession-token";
pub const DATE_GAP: &str = "flask-fastsession-date";

impl Template {
    /// Cuts a rendered line at its placeholders, each of which has to occur once.
    pub fn cut(line: &str, has_date: bool) -> Option<Self> {
        let (before_token, rest) = split_at_only(line, TOKEN_GAP)?;
        let (after_token, after_date) = if has_date {
            let (after_token, after_date) = split_at_only(rest, DATE_GAP)?;
            (after_token, Some(after_date.to_owned()))
        } else {
            (rest, None)
        };
        let date =
            after_date.as_ref().map_or(0, |after: &String| crate::wire::http_date::LENGTH + after.chars().count());
        let is_one_line = !line.contains(['\r', '\n']);
        is_one_line.then(|| Self {
            before_token: before_token.to_owned(),
            after_token: after_token.to_owned(),
            length: before_token.chars().count() + after_token.chars().count() + date,
            after_date,
        })
    }

    pub fn has_date(&self) -> bool {
        self.after_date.is_some()
    }

    /// The length of a line for a token of this length, both in characters.
    pub fn length(&self, token: usize) -> usize {
        self.length + token
    }

    /// The line for a token and, if the cookie has one, a date.
    pub fn fill(&self, token: &[u8], date: &[u8]) -> Vec<u8> {
        let mut line = Vec::with_capacity(self.before_token.len() + token.len() + self.after_token.len() + 128);
        line.extend_from_slice(self.before_token.as_bytes());
        line.extend_from_slice(token);
        line.extend_from_slice(self.after_token.as_bytes());
        if let Some(after_date) = &self.after_date {
            line.extend_from_slice(date);
            line.extend_from_slice(after_date.as_bytes());
        }
        line
    }
}

fn split_at_only<'t>(text: &'t str, gap: &str) -> Option<(&'t str, &'t str)> {
    text.split_once(gap).filter(|(_, rest)| !rest.contains(gap))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_first_of_that_name() {
        for (header, value) in [
            ("", None),
            ("session=a", Some("a")),
            ("session=", Some("")),
            ("a=b; session=c; d=e", Some("c")),
            ("session=a; session=b", Some("a")),
            ("xsession=a; sessions=b; Session=c", None),
            ("session=a=b==", Some("a=b==")),
        ] {
            assert_eq!(find(header, "session"), Ok(value), "{header}");
        }
    }

    #[test]
    fn finds_all_of_that_name() {
        assert_eq!(find_all("session=a; x=y; session=; session=b", "session"), Ok(vec!["a", "", "b"]));
        assert_eq!(find_all("xsession=a", "session"), Ok(vec![]));
        assert_eq!(find_all("session=a; session=\"b\"", "session"), Err(NotPlain));
    }

    #[test]
    fn odd_headers_are_left_to_werkzeug() {
        for header in [
            " ",
            ";",
            "session",
            "session=a;",
            "session=a; ",
            "session=a;b=c",
            "session=a;  b=c",
            "session =a",
            "session= a",
            "session=a ",
            "=a; session=b",
            "session=\"a\"",
            "session=a,b",
            "session=a\\b",
            "session=a\tb",
            "session=é",
            "session=a\u{7f}",
            "a; session=b",
            "session=a; b",
        ] {
            assert_eq!(find(header, "session"), Err(NotPlain), "{header:?}");
        }
    }

    #[test]
    fn templates_are_filled() {
        let line = format!("session={TOKEN_GAP}; Expires={DATE_GAP}; HttpOnly; Path=/");
        let template = Template::cut(&line, true).unwrap();
        let date = "Wed, 21 Oct 2015 07:28:00 GMT";
        let filled = template.fill(b"abc", date.as_bytes());
        assert_eq!(filled, b"session=abc; Expires=Wed, 21 Oct 2015 07:28:00 GMT; HttpOnly; Path=/");
        assert_eq!(template.length(3), filled.len());
        let line = format!("session={TOKEN_GAP}; Path=/");
        let template = Template::cut(&line, false).unwrap();
        assert_eq!(template.fill(b"abc", b""), b"session=abc; Path=/");
        assert_eq!(template.length(3), "session=abc; Path=/".len());
    }

    #[test]
    fn odd_lines_make_no_template() {
        assert_eq!(Template::cut("session=a; Path=/", false), None);
        assert_eq!(Template::cut(&format!("{TOKEN_GAP}={TOKEN_GAP}"), false), None);
        assert_eq!(Template::cut(&format!("session={TOKEN_GAP}"), true), None);
        assert_eq!(Template::cut(&format!("a\nb={TOKEN_GAP}"), false), None);
    }
}
