//! Which dump somebody means: a day, a moment, or a dump by its name.
//!
//! What leaves something out means the last time that it was so, today included: `0611` on
//! 1 January 2005 is 11 June 2004, and `29` in March is 29 February only in a leap year.
//! Weekdays are the last before today.

use std::fmt;

use jiff::civil::{Date, Time, Weekday};
use jiff::tz::{Offset, TimeZone};
use jiff::{Span, Timestamp, ToSpan, Zoned};

use venti_proto::roots::DumpName;

/// How far back a search begins: the newest dump that [`When::includes`] is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum When {
    /// On this day or before.
    Day(Date),
    /// Before this day.
    Before(Date),
    /// Made at this moment or before.
    Moment(Timestamp),
    /// This dump or one before.
    Dump(DumpName),
}

/// Why a text is no date.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DateError {
    /// It looks like nothing that is known.
    #[error(
        "{text:?} is not a date: try 2004/0611, 0611, 11, 20040611, 2004-06-11, a time behind it \
         (2004-06-11 18:30), yesterday, monday, or 2 weeks ago"
    )]
    Unknown {
        /// As given.
        text: String,
    },
    /// It looks like a date, but there is no such day or time.
    #[error("there is no such day or time as {text:?}")]
    NoSuchDay {
        /// As given.
        text: String,
    },
}

impl When {
    /// Reads what a person wrote. `now` says what today is, and in which time zone days are cut.
    ///
    /// # Errors
    /// [`DateError`]
    pub fn parse(text: &str, now: &Zoned) -> Result<When, DateError> {
        let lower = text.trim().to_lowercase();
        let result = parse_moment(&lower, now)
            .or_else(|| parse_ago(&lower, now))
            .or_else(|| parse_numbered(&lower))
            .or_else(|| parse_day(&lower, now.date()).map(|day| day.map(When::Day)));
        match result {
            Some(Some(when)) => Ok(when),
            Some(None) => Err(DateError::NoSuchDay { text: text.to_owned() }),
            None => Err(DateError::Unknown { text: text.to_owned() }),
        }
    }

    /// `days` before today, or earlier: `yesterday -n`.
    ///
    /// # Errors
    /// [`DateError::NoSuchDay`] before the calendar begins.
    pub fn days_ago(days: u32, now: &Zoned) -> Result<When, DateError> {
        let no_such_day = |_| DateError::NoSuchDay { text: format!("{days} days ago") };
        let span = Span::new().try_days(days).map_err(no_such_day)?;
        now.date().checked_sub(span).map(When::Day).map_err(no_such_day)
    }

    /// Whether a dump with this name, recorded at this moment, is not too late.
    #[must_use]
    pub fn includes(&self, name: DumpName, recorded: Timestamp) -> bool {
        match self {
            When::Day(day) => name.day <= *day,
            When::Before(day) => name.day < *day,
            When::Moment(moment) => recorded <= *moment,
            When::Dump(last) => name <= *last,
        }
    }
}

impl When {
    /// Whether a range that goes back from this to the other date has its ends exchanged.
    #[must_use]
    pub fn is_before(&self, other: &When, zone: &TimeZone) -> bool {
        match (self, other) {
            (When::Moment(one), When::Moment(other)) => one < other,
            (When::Dump(one), When::Dump(other)) => one < other,
            _ => self.day(zone) < other.day(zone),
        }
    }

    /// The last day that is included.
    fn day(&self, zone: &TimeZone) -> Date {
        match self {
            When::Day(day) => *day,
            When::Before(day) => day.yesterday().unwrap_or(*day),
            When::Moment(moment) => moment.to_zoned(zone.clone()).date(),
            When::Dump(dump) => dump.day,
        }
    }
}

/// As an answer quotes it: `on or before 2004/0611`.
impl fmt::Display for When {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |day: &Date| DumpName { day: *day, number: 0 };
        match self {
            When::Day(day) => write!(f, "on or before {}", name(day)),
            When::Before(day) => write!(f, "before {}", name(day)),
            When::Moment(moment) => write!(f, "at or before {moment}"),
            When::Dump(dump) => write!(f, "up to {}", Numbered(*dump)),
        }
    }
}

/// A dump, as [`When::parse`] takes it for that one: its name alone means the whole day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Numbered(pub DumpName);

impl fmt::Display for Numbered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.number {
            0 => write!(f, "{}.0", self.0),
            _ => self.0.fmt(f),
        }
    }
}

/// The parsers return `None` for what is not their form, and `Some(None)` for what has the form
/// and is no day.
type Parsed<T> = Option<Option<T>>;

/// A day, a space or a `t`, and a time with or without its offset: `2004-06-11 18:30`,
/// `yesterday 7:00`, `2004-06-11t18:30:15+02:00`.
fn parse_moment(text: &str, now: &Zoned) -> Parsed<When> {
    if text == "now" {
        return Some(Some(When::Moment(now.timestamp())));
    }
    let after_digit = |at: &usize| text[..*at].ends_with(|c: char| c.is_ascii_digit());
    let split = text.rfind(' ').or_else(|| text.rfind('t').filter(after_digit))?;
    let (day, time) = (text[..split].trim_end(), &text[split + 1..]);
    if !time.contains(':') {
        return None;
    }
    let day = match parse_ago(day, now) {
        Some(Some(When::Day(day))) => Some(Some(day)),
        _ => parse_day(day, now.date()),
    }?;
    let (clock, zone) = split_offset(time, now)?;
    Some((|| {
        let moment = day?.to_datetime(parse_clock(clock)?);
        // Where clocks were put forward, the moment after; where they were put back, the first.
        zone?.to_ambiguous_zoned(moment).compatible().ok().map(|z| When::Moment(z.timestamp()))
    })())
}

/// Splits `18:30+02:00` or `18:30z`: the time, and its zone or `None` if there is no such offset.
fn split_offset<'a>(time: &'a str, now: &Zoned) -> Option<(&'a str, Option<TimeZone>)> {
    if let Some(clock) = time.strip_suffix('z') {
        return Some((clock, Some(TimeZone::UTC)));
    }
    let Some(sign) = time.find(['+', '-']) else {
        return Some((time, Some(now.time_zone().clone())));
    };
    let (clock, offset) = time.split_at(sign);
    let (hours, minutes) = offset[1..].split_once(':').unwrap_or((&offset[1..], "0"));
    let seconds = number::<i32>(hours)? * 3600 + number::<i32>(minutes)? * 60;
    let seconds = if offset.starts_with('-') { -seconds } else { seconds };
    Some((clock, Offset::from_seconds(seconds).ok().map(TimeZone::fixed)))
}

/// `18:30` or `18:30:15`
fn parse_clock(text: &str) -> Option<Time> {
    let parts: Vec<i8> = text.split(':').map(number).collect::<Option<_>>()?;
    match parts.as_slice() {
        [hour, minute] => Time::new(*hour, *minute, 0, 0).ok(),
        [hour, minute, second] => Time::new(*hour, *minute, *second, 0).ok(),
        _ => None,
    }
}

/// `2 weeks ago`, `a month ago`, `last year`.
fn parse_ago(text: &str, now: &Zoned) -> Parsed<When> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let (count, unit) = match words.as_slice() {
        ["a" | "an" | "one", unit, "ago"] | ["last", unit] => (1, *unit),
        [count, unit, "ago"] => (number::<i64>(count)?, *unit),
        _ => return None,
    };
    let unit = unit.strip_suffix('s').unwrap_or(unit);
    let days = |span: Result<Span, jiff::Error>| {
        Some(span.and_then(|span| now.date().checked_sub(span)).ok().map(When::Day))
    };
    let hours = |span: Result<Span, jiff::Error>| {
        Some(span.and_then(|span| now.timestamp().checked_sub(span)).ok().map(When::Moment))
    };
    let none = Span::new();
    match unit {
        "day" => days(none.try_days(count)),
        "week" => days(none.try_weeks(count)),
        "month" => days(none.try_months(count)),
        "year" => days(none.try_years(count)),
        "hour" => hours(none.try_hours(count)),
        "minute" => hours(none.try_minutes(count)),
        _ => None,
    }
}

/// `2004/0611.1`, as the dump is named, and `2004/0611.0` for the first of a day, whose name is that
/// of the day.
fn parse_numbered(text: &str) -> Parsed<When> {
    if !text.contains('.') {
        return None;
    }
    let dump: Option<DumpName> = match text.strip_suffix(".0") {
        Some(day) => day.parse().ok().filter(|first: &DumpName| first.number == 0),
        None => text.parse().ok(),
    };
    Some(dump.map(When::Dump))
}

fn parse_day(text: &str, today: Date) -> Parsed<Date> {
    if let Some(day) = parse_word(text, today) {
        return Some(day);
    }
    let parts: Vec<&str> = text.split(['/', '-']).collect();
    if !parts.iter().all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit())) {
        return None;
    }
    match parts.as_slice() {
        [digits] => parse_digits(digits, today),
        [year, rest] if year.len() == 4 && rest.len() == 4 => {
            Some(day(year, &rest[..2], &rest[2..]))
        }
        [year, month, dom] if year.len() == 4 && month.len() <= 2 && dom.len() <= 2 => {
            Some(day(year, month, dom))
        }
        _ => None,
    }
}

fn parse_word(text: &str, today: Date) -> Parsed<Date> {
    let weekday = match text.strip_prefix("last ").unwrap_or(text) {
        "today" => return Some(Some(today)),
        "yesterday" => return Some(today.yesterday().ok()),
        "monday" | "mon" => Weekday::Monday,
        "tuesday" | "tue" => Weekday::Tuesday,
        "wednesday" | "wed" => Weekday::Wednesday,
        "thursday" | "thu" => Weekday::Thursday,
        "friday" | "fri" => Weekday::Friday,
        "saturday" | "sat" => Weekday::Saturday,
        "sunday" | "sun" => Weekday::Sunday,
        _ => return None,
    };
    Some(today.nth_weekday(-1, weekday).ok())
}

/// `d`, `dd`, `mmdd`, `yymmdd`, `yyyymmdd`, as yesterday(1) has them.
fn parse_digits(text: &str, today: Date) -> Parsed<Date> {
    match text.len() {
        1 | 2 => Some(last_where(today, 1.month(), |d| day_of(d.year(), d.month(), text))),
        4 => {
            Some(last_where(today, 1.year(), |d| day_of(d.year(), number(&text[..2])?, &text[2..])))
        }
        6 => Some(last_where(today, 100.years(), |d| {
            let year = d.year() - d.year().rem_euclid(100) + number::<i16>(&text[..2])?;
            day_of(year, number(&text[2..4])?, &text[4..])
        })),
        8 => Some(day(&text[..4], &text[4..6], &text[6..])),
        _ => None,
    }
}

/// The last day up to today that `candidate` makes of today, or of a `step` or more before it.
/// A day of February comes at least every eight years: that many steps are enough.
fn last_where(today: Date, step: Span, candidate: impl Fn(Date) -> Option<Date>) -> Option<Date> {
    // From the first of the month, so that a step back never lands in a shorter month's end.
    let mut from = today.first_of_month();
    for _ in 0..=8 {
        if let Some(day) = candidate(from).filter(|day| *day <= today) {
            return Some(day);
        }
        from = from.checked_sub(step).ok()?;
    }
    None
}

fn day(year: &str, month: &str, day: &str) -> Option<Date> {
    day_of(number(year)?, number(month)?, day)
}

fn day_of(year: i16, month: i8, day: &str) -> Option<Date> {
    Date::new(year, month, number(day)?).ok()
}

fn number<T: std::str::FromStr>(text: &str) -> Option<T> {
    text.parse().ok().filter(|_| text.bytes().all(|b| b.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::date;

    fn at_noon(day: Date) -> Zoned {
        day.at(12, 0, 0, 0).in_tz("Europe/Berlin").unwrap()
    }

    /// Friday, 11 February 2005.
    fn now() -> Zoned {
        at_noon(date(2005, 2, 11))
    }

    fn parse(text: &str) -> When {
        When::parse(text, &now()).unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn every_form_of_the_manual() {
        for text in
            ["2004/0611", "0611", "20040611", "040611", "2004-06-11", "2004/06/11", " 0611 "]
        {
            assert_eq!(parse(text), When::Day(date(2004, 6, 11)), "{text}");
        }
        assert_eq!(parse("11"), When::Day(date(2005, 2, 11)));
        assert_eq!(parse("12"), When::Day(date(2005, 1, 12)));
        assert_eq!(parse("3"), When::Day(date(2005, 2, 3)));
        assert_eq!(parse("31"), When::Day(date(2005, 1, 31)));
        assert_eq!(parse("0229"), When::Day(date(2004, 2, 29)));
        assert_eq!(parse("991231"), When::Day(date(1999, 12, 31)));
        for text in ["2004/0611.0", "2004/0611.2", "2004/0611.10"] {
            let When::Dump(dump) = parse(text) else { panic!("{text}") };
            assert_eq!((dump.day, Numbered(dump).to_string().as_str()), (date(2004, 6, 11), text));
        }
    }

    #[test]
    fn words() {
        assert_eq!(parse("today"), When::Day(date(2005, 2, 11)));
        assert_eq!(parse("Yesterday"), When::Day(date(2005, 2, 10)));
        assert_eq!(parse("monday"), When::Day(date(2005, 2, 7)));
        // A weekday is never today.
        assert_eq!(parse("friday"), When::Day(date(2005, 2, 4)));
        assert_eq!(parse("last fri"), When::Day(date(2005, 2, 4)));
        assert_eq!(parse("2 weeks ago"), When::Day(date(2005, 1, 28)));
        assert_eq!(parse("1 day ago"), When::Day(date(2005, 2, 10)));
        assert_eq!(parse("a month ago"), When::Day(date(2005, 1, 11)));
        assert_eq!(parse("last year"), When::Day(date(2004, 2, 11)));
        assert_eq!(parse("3 hours ago"), When::Moment("2005-02-11T08:00:00Z".parse().unwrap()));
        assert_eq!(parse("now"), When::Moment("2005-02-11T11:00:00Z".parse().unwrap()));
    }

    #[test]
    fn times_are_in_the_zone_of_the_server_unless_they_say_otherwise() {
        let cases = [
            ("2004-06-11 18:30", "2004-06-11T16:30:00Z"),
            ("2004-06-11T18:30:15", "2004-06-11T16:30:15Z"),
            ("2004/0611 18:30", "2004-06-11T16:30:00Z"),
            ("2004-06-11T18:30Z", "2004-06-11T18:30:00Z"),
            ("2004-06-11 18:30-05:00", "2004-06-11T23:30:00Z"),
            ("yesterday 7:05", "2005-02-10T06:05:00Z"),
            ("saturday 7:05", "2005-02-05T06:05:00Z"),
            ("2 weeks ago 00:00", "2005-01-27T23:00:00Z"),
            ("0611 18:30", "2004-06-11T16:30:00Z"),
            // Clocks went forward at 2:00 and back at 3:00.
            ("2004-03-28 02:30", "2004-03-28T01:30:00Z"),
            ("2004-10-31 02:30", "2004-10-31T00:30:00Z"),
        ];
        for (text, expected) in cases {
            assert_eq!(parse(text), When::Moment(expected.parse().unwrap()), "{text}");
        }
    }

    #[test]
    fn what_is_no_date() {
        for text in [
            "",
            "x",
            "123",
            "12345",
            "2004",
            "noday",
            "2004/611",
            "04-06-11",
            "2 moons ago",
            "ago",
            "-1",
            "2004//0611",
            "1²",
        ] {
            let error = When::parse(text, &now());
            let expected = if text == "2004" {
                DateError::NoSuchDay { text: text.to_owned() }
            } else {
                DateError::Unknown { text: text.to_owned() }
            };
            assert_eq!(error, Err(expected), "{text}");
        }
        for text in [
            "0",
            "32",
            "1301",
            "0230",
            "20040230",
            "2004-02-30",
            "2005/0229",
            "2004/0611.x",
            "2004/0611.01",
            "2004/0611.1.0",
            "2004/0230.0",
            "2004-06-11 24:30",
            "2004-06-11 18:61",
            "9999999 years ago",
            "2004-06-11 18:30+99:00",
        ] {
            let expected = DateError::NoSuchDay { text: text.to_owned() };
            assert_eq!(When::parse(text, &now()), Err(expected), "{text}");
        }
        let error = When::parse("soon", &now()).unwrap_err().to_string();
        assert!(error.starts_with("\"soon\" is not a date: try 2004/0611"), "{error}");
    }

    /// Every day of two years as today, and every shortened form of every day of the year before:
    /// the answer is the last day up to today that is spelled so.
    #[test]
    fn shortened_dates_mean_the_last_such_day_across_months_and_years() {
        let mut today = date(2003, 12, 25);
        while today < date(2005, 3, 5) {
            let now = at_noon(today);
            let mut seen = std::collections::HashSet::new();
            let mut day = today;
            while day > today.checked_sub(366.days()).unwrap() {
                let spelled = [
                    day.strftime("%-d").to_string(),
                    day.strftime("%d").to_string(),
                    day.strftime("%m%d").to_string(),
                    day.strftime("%y%m%d").to_string(),
                    day.strftime("%A").to_string(),
                ];
                for text in spelled {
                    let weekday = text.ends_with("day");
                    if weekday && day == today || !seen.insert(text.clone()) {
                        continue;
                    }
                    assert_eq!(When::parse(&text, &now), Ok(When::Day(day)), "{text} on {today}");
                }
                for text in [day.strftime("%Y/%m%d"), day.strftime("%Y%m%d"), day.strftime("%F")] {
                    let text = text.to_string();
                    assert_eq!(When::parse(&text, &now), Ok(When::Day(day)), "{text} on {today}");
                }
                day = day.yesterday().unwrap();
            }
            today = today.tomorrow().unwrap();
        }
    }

    #[test]
    fn days_ago_count_from_today() {
        let first = at_noon(date(2005, 1, 1));
        assert_eq!(When::days_ago(0, &first), Ok(When::Day(date(2005, 1, 1))));
        assert_eq!(When::days_ago(1, &first), Ok(When::Day(date(2004, 12, 31))));
        assert!(When::days_ago(u32::MAX, &first).is_err());
    }

    #[test]
    fn what_is_included() {
        let name = |text: &str| text.parse::<DumpName>().unwrap();
        let moment: Timestamp = "2004-06-11T03:00:00Z".parse().unwrap();
        let (day, dump) = (date(2004, 6, 11), name("2004/0611.1"));
        let cases = [
            (When::Day(day), "2004/0611.9", true),
            (When::Day(day), "2004/0612", false),
            (When::Before(day), "2004/0611", false),
            (When::Before(day), "2003/1231", true),
            (When::Dump(dump), "2004/0611.1", true),
            (When::Dump(dump), "2004/0611.2", false),
            (When::Moment(moment), "2004/0611", true),
            (When::Moment(moment - 1.second()), "2004/0611", false),
        ];
        for (when, text, expected) in cases {
            assert_eq!(when.includes(name(text), moment), expected, "{when} {text}");
        }
    }
}
