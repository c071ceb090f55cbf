//! Dates, as people write them. Days are counted as in Howard Hinnant's public "chrono-compatible low-level date
//! algorithms": a year that starts in March, so that the leap day is its last.

/// Milliseconds since the Unix epoch of `2026-01-31`, `2026-01-31T12:00:00`, `2026-01-31T12:00:00.250+01:00` or of a plain
/// number of milliseconds. Without an offset the time is UTC.
pub(crate) fn parse(text: &str) -> Result<i64, String> {
    if let Ok(milliseconds) = text.parse::<i64>() {
        return Ok(milliseconds);
    }
    parse_date_time(text).ok_or_else(|| {
        format!("{text:?} is not a time: write 2026-01-31T12:00:00Z, or milliseconds since 1970")
    })
}

/// A time as RFC 3339, in UTC.
pub(crate) fn format(milliseconds: i64) -> String {
    let days = milliseconds.div_euclid(86_400_000);
    let within = milliseconds.rem_euclid(86_400_000);
    let (year, month, day) = civil(days);
    let (hour, minute) = (within / 3_600_000, within / 60_000 % 60);
    let (second, milli) = (within / 1000 % 60, within % 1000);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milli:03}Z")
}

fn parse_date_time(text: &str) -> Option<i64> {
    let (date, rest) = match text.find(['T', 't', ' ']) {
        Some(at) => (&text[..at], &text[at + 1..]),
        None => (text, ""),
    };
    let mut parts = date.splitn(3, '-');
    let mut next = |length: usize| parts.next().filter(|part| part.len() == length)?.parse::<i64>().ok();
    let (year, month, day) = (next(4)?, next(2)?, next(2)?);
    let is_legal = (1..=12).contains(&month) && (1..=31).contains(&day);
    let (clock, offset) = split_offset(rest)?;
    let within = if clock.is_empty() { 0 } else { parse_clock(clock)? };
    let days = days_from_civil(year, month, day);
    (is_legal && civil(days) == (year, month, day)).then_some(days * 86_400_000 + within - offset)
}

/// The clock and the offset from UTC in milliseconds.
fn split_offset(text: &str) -> Option<(&str, i64)> {
    if let Some(clock) = text.strip_suffix(['Z', 'z']) {
        return Some((clock, 0));
    }
    let Some(at) = text.rfind(['+', '-']) else { return Some((text, 0)) };
    let sign = if text[at..].starts_with('-') { -1 } else { 1 };
    let (hours, minutes) = text[at + 1..].split_once(':').unwrap_or((&text[at + 1..], "0"));
    let minutes = hours.parse::<i64>().ok()? * 60 + minutes.parse::<i64>().ok()?;
    Some((&text[..at], sign * minutes * 60_000))
}

fn parse_clock(text: &str) -> Option<i64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let mut parts = whole.split(':').map(str::parse::<i64>);
    let (hour, minute) = (parts.next()?.ok()?, parts.next()?.ok()?);
    let second = parts.next().unwrap_or(Ok(0)).ok()?;
    let fraction: i64 = format!("{fraction:0<3}").get(..3)?.parse().ok()?;
    let is_legal = (0..24).contains(&hour) && (0..60).contains(&minute) && (0..60).contains(&second);
    (is_legal && parts.next().is_none()).then_some(((hour * 60 + minute) * 60 + second) * 1000 + fraction)
}

fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::{format, parse};

    #[test]
    fn dates_are_read_as_people_write_them() {
        assert_eq!(parse("1970-01-01"), Ok(0));
        assert_eq!(parse("2001-09-09T01:46:40Z"), Ok(1_000_000_000_000));
        assert_eq!(parse("2001-09-09T03:46:40.250+02:00"), Ok(1_000_000_000_250));
        assert_eq!(parse("2024-02-29 00:00"), Ok(1_709_164_800_000));
        assert_eq!(parse("1000000000000"), Ok(1_000_000_000_000));
        for wrong in ["yesterday", "2023-02-29", "2026-13-01", "2026-01-01T25:00", "2026-01-01T10"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn times_are_written_as_rfc_3339() {
        assert_eq!(format(1_000_000_000_250), "2001-09-09T01:46:40.250Z");
        assert_eq!(format(-1), "1969-12-31T23:59:59.999Z");
    }
}
