//! Times as the service writes them: in words in error texts, and in short in signatures.

/// Days of the week, as the first day of 1970 has them.
const WEEKDAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// A time in milliseconds since 1970 as `Thu Jan 22 01:22:02 UTC 2015`.
pub fn in_words(time_ms: u64) -> String {
    let seconds = time_ms / 1000;
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    let weekday = WEEKDAYS[(days % 7) as usize];
    let (year, month, day) = civil(days);
    let month = MONTHS[month as usize - 1];
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{weekday} {month} {day:02} {hour:02}:{minute:02}:{second:02} UTC {year}")
}

/// A time in milliseconds since 1970 as `20150122T012202Z`: ISO 8601 in its basic format.
pub fn basic(time_ms: u64) -> String {
    let seconds = time_ms / 1000;
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = civil(days);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}{month:02}{day:02}T{hour:02}{minute:02}{second:02}Z")
}

/// Reads what [`basic`] writes, of the years 1970 to 9999.
pub fn parse_basic(text: &str) -> Option<u64> {
    let bytes: &[u8; 16] = text.as_bytes().try_into().ok()?;
    let number = |at: usize, len: usize| {
        let digits = &bytes[at..at + len];
        let is_number = digits.iter().all(u8::is_ascii_digit);
        is_number.then(|| digits.iter().fold(0, |n, digit| n * 10 + u64::from(digit - b'0')))
    };
    if bytes[8] != b'T' || bytes[15] != b'Z' {
        return None;
    }
    milliseconds(
        [number(0, 4)?, number(4, 2)?, number(6, 2)?],
        [number(9, 2)?, number(11, 2)?, number(13, 2)?],
    )
}

/// Reads a time as HTTP's `Date` header has it: `Thu, 22 Jan 2015 01:22:02 GMT`.
pub fn parse_http(text: &str) -> Option<u64> {
    let (weekday, rest) = text.split_once(", ")?;
    let mut words = rest.split(' ');
    let number = |digits: &str, len: usize| {
        let is_number = digits.len() == len && digits.bytes().all(|byte| byte.is_ascii_digit());
        is_number.then(|| digits.parse().ok()).flatten()
    };
    let day = number(words.next()?, 2)?;
    let name = words.next()?;
    let month = MONTHS.iter().position(|month| *month == name)? as u64 + 1;
    let year = number(words.next()?, 4)?;
    let mut clock = words.next()?.split(':');
    let mut part = || clock.next().and_then(|digits| number(digits, 2));
    let of_day = [part()?, part()?, part()?];
    let is_over = clock.next().is_none() && words.next() == Some("GMT") && words.next().is_none();
    let time_ms = milliseconds([year, month, day], of_day).filter(|_| is_over)?;
    (WEEKDAYS[(time_ms / 86_400_000 % 7) as usize] == weekday).then_some(time_ms)
}

/// The time of a date and a time of day, if there is such a day.
fn milliseconds([year, month, day]: [u64; 3], [hour, minute, second]: [u64; 3]) -> Option<u64> {
    if year < 1970 || !(1..=12).contains(&month) || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    // The inverse of `civil`: years that begin with March.
    let shifted = if month > 2 { month - 3 } else { month + 9 };
    let years = year - u64::from(month <= 2);
    let days = 365 * years + years / 4 - years / 100 + years / 400;
    let days = days + (153 * shifted + 2) / 5 + day.checked_sub(1)?;
    let days = days.checked_sub(DAYS_TO_1970)?;
    (civil(days) == (year, month, day))
        .then_some((days * 86_400 + hour * 3600 + minute * 60 + second) * 1000)
}

/// From the first of March of the year 0 to the first of January of 1970.
const DAYS_TO_1970: u64 = 719_468;

/// Year, month and day of the day that lies so many days behind the first of 1970. Years are
/// counted from March here, so that the day that some have more is the last of the year.
fn civil(days: u64) -> (u64, u64, u64) {
    const DAYS_OF_400_YEARS: u64 = 146_097;
    let days = days + DAYS_TO_1970;
    let (cycle, day) = (days / DAYS_OF_400_YEARS, days % DAYS_OF_400_YEARS);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    // From March on months have 153 days in five of them.
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (400 * cycle + year + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_the_service_does() {
        for (seconds, words) in [
            (0, "Thu Jan 01 00:00:00 UTC 1970"),
            (951_782_400, "Tue Feb 29 00:00:00 UTC 2000"),
            (1_421_889_722, "Thu Jan 22 01:22:02 UTC 2015"),
            (1_709_251_199, "Thu Feb 29 23:59:59 UTC 2024"),
            (1_709_251_200, "Fri Mar 01 00:00:00 UTC 2024"),
            (4_102_444_799, "Thu Dec 31 23:59:59 UTC 2099"),
        ] {
            assert_eq!(in_words(seconds * 1000 + 999), words);
        }
    }

    #[test]
    fn what_is_written_in_short_is_read_back() {
        for (seconds, short) in [
            (0, "19700101T000000Z"),
            (951_782_400, "20000229T000000Z"),
            (1_440_938_160, "20150830T123600Z"),
            (1_709_251_199, "20240229T235959Z"),
            (1_709_251_200, "20240301T000000Z"),
            (253_402_300_799, "99991231T235959Z"),
        ] {
            assert_eq!(basic(seconds * 1000 + 999), short);
            assert_eq!(parse_basic(short), Some(seconds * 1000));
        }
        for day in 0..100_000 {
            let time_ms = day * 86_400_000;
            assert_eq!(parse_basic(&basic(time_ms)), Some(time_ms));
        }
    }

    #[test]
    fn times_that_are_not_are_refused() {
        for text in [
            "",
            "2015",
            "20150830T123600",
            "20150830T123600z",
            "20150830 123600Z",
            "20150230T000000Z",
            "20151330T000000Z",
            "20150800T000000Z",
            "20150830T240000Z",
            "20150830T006000Z",
            "20150830T000060Z",
            "19691231T235959Z",
            "2015083+T123600Z",
            "2015-8-0T123600Z",
        ] {
            assert_eq!(parse_basic(text), None, "{text}");
        }
    }

    #[test]
    fn the_date_header_is_read() {
        assert_eq!(parse_http("Thu, 22 Jan 2015 01:22:02 GMT"), Some(1_421_889_722_000));
        for text in [
            "Fri, 22 Jan 2015 01:22:02 GMT",
            "Thu, 22 Jan 2015 01:22:02 UTC",
            "Thu, 22 Jan 2015 01:22 GMT",
            "Thu, 22 Jan 2015 01:22:02:03 GMT",
            "Thu, 2 Jan 2015 01:22:02 GMT",
            "20150122T012202Z",
        ] {
            assert_eq!(parse_http(text), None, "{text}");
        }
    }
}
