//! A Set-Cookie line cut at its gaps and filled, against plain replacement.

use fastsession::wire::cookie::{DATE_GAP, TOKEN_GAP, Template};

const DATE: &str = "Wed, 21 Oct 2015 07:28:00 GMT";

pub fn judge(input: &str) {
    let Some((token, line)) = input.split_once('\n') else { return };
    for has_date in [false, true] {
        let is_whole = line.matches(TOKEN_GAP).count() == 1
            && !line.contains(['\r', '\n'])
            && (!has_date || line.split_once(TOKEN_GAP).is_some_and(|(_, rest)| rest.matches(DATE_GAP).count() == 1));
        let template = Template::cut(line, has_date);
        assert_eq!(template.is_some(), is_whole);
        let Some(template) = template else { continue };
        let (before, after) = line.split_once(TOKEN_GAP).unwrap();
        let after = if has_date { after.replace(DATE_GAP, DATE) } else { after.to_owned() };
        let filled = String::from_utf8(template.fill(token.as_bytes(), DATE.as_bytes())).unwrap();
        assert_eq!(filled, format!("{before}{token}{after}"));
        assert_eq!(template.length(token.chars().count()), filled.chars().count());
        assert_eq!(template.has_date(), has_date);
    }
}
