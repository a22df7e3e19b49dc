//! HTTP dates, as the ` d` tag spells them: `Wed, 21 Oct 2015 07:28:00 GMT` (RFC 9110 section 5.6.7).
//!
//! Source: `werkzeug.http.http_date` and `parse_date`. Only this form is read here. Other forms that `email.utils`
//! reads are left to it.

const DAYS: [&[u8; 3]; 7] = [b"Mon", b"Tue", b"Wed", b"Thu", b"Fri", b"Sat", b"Sun"];
const MONTHS: [&[u8; 3]; 12] =
    [b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec"];

/// Counted from 1 January of the year 1.
const DAYS_BEFORE_1970: i64 = 719_162;

/// The length of the fixed form, in bytes.
pub const LENGTH: usize = 29;

/// A second of the proleptic Gregorian calendar, in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DateTime {
    pub year: u16,
    pub month: u8,
    pub day: u8,
    pub hour: u8,
    pub minute: u8,
    pub second: u8,
}

impl DateTime {
    /// The date of a second since 1970; `None` outside of the years of a Python `datetime`.
    pub fn from_second(second: i64) -> Option<Self> {
        const DAY: i64 = 24 * 60 * 60;
        let days = u32::try_from(second.div_euclid(DAY).checked_add(DAYS_BEFORE_1970)?).ok()?;
        let of_day = second.rem_euclid(DAY);
        // Periods of 400, 100, 4 and 1 years. A period of 400 or of 4 years ends with a leap day, hence the two
        // `min(3)`.
        let (eras, days) = (days / 146_097, days % 146_097);
        let centuries = (days / 36_524).min(3);
        let days = days - centuries * 36_524;
        let (fours, days) = (days / 1461, days % 1461);
        let years = (days / 365).min(3);
        let mut days = days - years * 365;
        let year = u16::try_from(eras * 400 + centuries * 100 + fours * 4 + years + 1).ok()?;
        let mut month = 1;
        while days >= days_in_month(year, month).into() {
            days -= u32::from(days_in_month(year, month));
            month += 1;
        }
        let small = |number: i64| u8::try_from(number).ok();
        (year <= 9999).then_some(Self {
            year,
            month,
            day: u8::try_from(days + 1).ok()?,
            hour: small(of_day / 3600)?,
            minute: small(of_day / 60 % 60)?,
            second: small(of_day % 60)?,
        })
    }

    /// Writes the fixed form. The fields are those of a Python `datetime`, so they are in range.
    pub fn format(self) -> [u8; LENGTH] {
        let mut text = *b"Www, 00 Mmm 0000 00:00:00 GMT";
        text[..3].copy_from_slice(DAYS[self.weekday()]);
        text[8..11].copy_from_slice(MONTHS[usize::from(self.month - 1) % 12]);
        put_digits(&mut text[5..7], self.day.into());
        put_digits(&mut text[12..16], self.year);
        put_digits(&mut text[17..19], self.hour.into());
        put_digits(&mut text[20..22], self.minute.into());
        put_digits(&mut text[23..25], self.second.into());
        text
    }

    /// Reads the fixed form; `None` for any other form, for years that Python reads as abbreviations, and for a date
    /// that does not exist. The name of the day has to be valid, but need not be right: Python ignores it.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let text: &[u8; LENGTH] = text.try_into().ok()?;
        let punctuation = [(3, b','), (4, b' '), (7, b' '), (11, b' '), (16, b' '), (19, b':'), (22, b':')];
        let is_fixed_form = punctuation.iter().all(|&(at, byte)| text[at] == byte) && text.ends_with(b" GMT");
        if !is_fixed_form || !DAYS.iter().any(|&day| text.starts_with(day)) {
            return None;
        }
        let month = MONTHS.iter().position(|&month| text[8..11] == month[..])?;
        let date = Self {
            year: digits(&text[12..16])?,
            month: u8::try_from(month + 1).ok()?,
            day: u8::try_from(digits(&text[5..7])?).ok()?,
            hour: u8::try_from(digits(&text[17..19])?).ok()?,
            minute: u8::try_from(digits(&text[20..22])?).ok()?,
            second: u8::try_from(digits(&text[23..25])?).ok()?,
        };
        date.is_real().then_some(date)
    }

    fn is_real(self) -> bool {
        self.year >= 1000
            && (1..=days_in_month(self.year, self.month)).contains(&self.day)
            && self.hour < 24
            && self.minute < 60
            && self.second < 60
    }

    /// 0 for Monday, by counting days since a Monday (1 January of the year 1).
    fn weekday(self) -> usize {
        let years = usize::from(self.year) - 1;
        let months: usize = (1..self.month).map(|month| usize::from(days_in_month(self.year, month))).sum();
        (years * 365 + years / 4 - years / 100 + years / 400 + months + usize::from(self.day) - 1) % 7
    }
}

fn days_in_month(year: u16, month: u8) -> u8 {
    let is_leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    match month {
        2 => 28 + u8::from(is_leap),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

fn put_digits(text: &mut [u8], mut number: u16) {
    for digit in text.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

fn digits(text: &[u8]) -> Option<u16> {
    text.iter().try_fold(0, |number, byte| byte.is_ascii_digit().then(|| number * 10 + u16::from(byte - b'0')))
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: [(&str, DateTime); 4] = [
        ("Wed, 21 Oct 2015 07:28:00 GMT", DateTime { year: 2015, month: 10, day: 21, hour: 7, minute: 28, second: 0 }),
        ("Thu, 29 Feb 2024 23:59:59 GMT", DateTime { year: 2024, month: 2, day: 29, hour: 23, minute: 59, second: 59 }),
        ("Thu, 01 Jan 1970 00:00:00 GMT", DateTime { year: 1970, month: 1, day: 1, hour: 0, minute: 0, second: 0 }),
        ("Fri, 31 Dec 9999 12:00:00 GMT", DateTime { year: 9999, month: 12, day: 31, hour: 12, minute: 0, second: 0 }),
    ];

    #[test]
    fn known_answers() {
        for (text, date) in KNOWN {
            assert_eq!(date.format(), text.as_bytes());
            assert_eq!(DateTime::parse(text.as_bytes()), Some(date));
        }
    }

    #[test]
    fn seconds_of_each_day() {
        let mut date = DateTime { year: 1, month: 1, day: 1, hour: 23, minute: 59, second: 58 };
        for day in -DAYS_BEFORE_1970.. {
            let second = day * 86_400 + 86_398;
            if date.year > 9999 {
                assert_eq!(DateTime::from_second(second), None);
                break;
            }
            assert_eq!(DateTime::from_second(second), Some(date));
            date.day += 1;
            if date.day > days_in_month(date.year, date.month) {
                (date.day, date.month) = (1, date.month + 1);
            }
            if date.month > 12 {
                (date.month, date.year) = (1, date.year + 1);
            }
        }
        assert_eq!(DateTime::from_second(0), DateTime::parse(b"Thu, 01 Jan 1970 00:00:00 GMT"));
        assert_eq!(DateTime::from_second(-DAYS_BEFORE_1970 * 86_400 - 1), None);
        assert_eq!(DateTime::from_second(i64::MAX), None);
        assert_eq!(DateTime::from_second(i64::MIN), None);
    }

    #[test]
    fn the_first_day_is_written_but_not_read() {
        let first = DateTime { year: 1, month: 1, day: 1, hour: 0, minute: 0, second: 0 };
        assert_eq!(&first.format(), b"Mon, 01 Jan 0001 00:00:00 GMT");
        // Python reads the year 0001 as 2001.
        assert_eq!(DateTime::parse(&first.format()), None);
    }

    #[test]
    fn any_name_of_a_day_will_do() {
        assert!(DateTime::parse(b"Mon, 21 Oct 2015 07:28:00 GMT").is_some());
        assert!(DateTime::parse(b"Xyz, 21 Oct 2015 07:28:00 GMT").is_none());
    }

    #[test]
    fn other_forms_are_left_to_stock() {
        for odd in [
            "",
            "Wed, 21 Oct 2015 07:28:00 UTC",
            "Wed, 21 Oct 2015 07:28:00 +0000",
            "Wed, 21 oct 2015 07:28:00 GMT",
            "Wed, 21 Oct 2015 24:00:00 GMT",
            "Wed, 21 Oct 2015 23:59:60 GMT",
            "Sat, 29 Feb 2025 00:00:00 GMT",
            "Wed, 00 Oct 2015 07:28:00 GMT",
            "Wed, +1 Oct 2015 07:28:00 GMT",
            "Wednesday, 21-Oct-15 07:28:00 GMT",
            "Wed Oct 21 07:28:00 2015",
            " Wed, 21 Oct 2015 07:28:00 GMT",
        ] {
            assert_eq!(DateTime::parse(odd.as_bytes()), None, "{odd}");
        }
    }
}
