//! HTTP dates against httpdate, which knows the years from 1970 on.

use fastsession::wire::http_date::DateTime;

pub fn judge(text: &str) {
    if let Some(date) = DateTime::parse(text.as_bytes()) {
        let written = date.format();
        // The name of the day is not read.
        assert_eq!(written[3..], text.as_bytes()[3..]);
        // The calendar repeats itself every 400 years, days of the week included.
        let known = DateTime { year: 2000 + date.year % 400, ..date }.format();
        assert_eq!(by_httpdate(&known).as_deref(), Some(&known[..]));
        for year in [date.year % 400, 400 + date.year % 400] {
            if year > 0 {
                assert_eq!(DateTime { year, ..date }.format()[..12], known[..12]);
            }
        }
        assert_eq!(written[..12], known[..12]);
    } else {
        assert_ne!(by_httpdate(text.as_bytes()).as_deref(), Some(text.as_bytes()), "declined without need");
    }
}

/// Reads a date of any form, and writes it in the fixed one.
fn by_httpdate(text: &[u8]) -> Option<Vec<u8>> {
    let time = httpdate::parse_http_date(std::str::from_utf8(text).ok()?).ok()?;
    Some(httpdate::fmt_http_date(time).into_bytes())
}
