//! `yyyy/mmdd[.n]`: the name of a dump, as the original's `vac -a` and fossil number them.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

/// The day of a dump and its number in that day. Ordered as the dumps were made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DumpName {
    /// In the server's time zone.
    pub day: Date,
    /// 0 for the first of the day, whose name has no number.
    pub number: u32,
}

impl DumpName {
    /// The name of the dump that was recorded at `time` (nanoseconds since 1970, UTC), where
    /// `before` is the last one of the same host before it.
    #[must_use]
    pub fn after(before: Option<DumpName>, time: i64, zone: &TimeZone) -> DumpName {
        let time = Timestamp::from_nanosecond(time.into()).unwrap_or(Timestamp::UNIX_EPOCH);
        let day = time.to_zoned(zone.clone()).date();
        match before {
            // The log's times never go back, but the zone's clocks may.
            Some(before) if before.day >= day => {
                DumpName { day: before.day, number: before.number + 1 }
            }
            _ => DumpName { day, number: 0 },
        }
    }

    /// The directory of the year: `2004`.
    #[must_use]
    pub fn year(&self) -> String {
        format!("{:04}", self.day.year())
    }

    /// The directory in that of the year: `0611` or `0611.1`.
    #[must_use]
    pub fn month_and_day(&self) -> String {
        let day = format!("{:02}{:02}", self.day.month(), self.day.day());
        if self.number == 0 { day } else { format!("{day}.{}", self.number) }
    }
}

/// `2004/0611` or `2004/0611.1`
impl fmt::Display for DumpName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.year(), self.month_and_day())
    }
}

/// The text is not `yyyy/mmdd[.n]`, or there is no such day.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{found:?} is not the name of a dump, as 2004/0611 or 2004/0611.1")]
pub struct ParseDumpNameError {
    /// As given.
    pub found: String,
}

/// Reads exactly what [`Display`](fmt::Display) prints: `0611.0` and `0611.01` are no names.
impl FromStr for DumpName {
    type Err = ParseDumpNameError;

    fn from_str(text: &str) -> Result<DumpName, ParseDumpNameError> {
        parse(text)
            .filter(|name| name.to_string() == text)
            .ok_or_else(|| ParseDumpNameError { found: text.to_owned() })
    }
}

fn parse(text: &str) -> Option<DumpName> {
    let (year, rest) = text.split_once('/')?;
    let (month_and_day, number) = rest.split_once('.').unwrap_or((rest, "0"));
    if !month_and_day.is_ascii() || month_and_day.len() != 4 {
        return None;
    }
    let (month, day) = month_and_day.split_at(2);
    let day = Date::new(year.parse().ok()?, month.parse().ok()?, day.parse().ok()?).ok()?;
    Some(DumpName { day, number: number.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::date;

    #[test]
    fn names_go_there_and_back() {
        let mut day = date(2003, 12, 1);
        while day < date(2005, 2, 1) {
            for number in [0, 1, 10] {
                let name = DumpName { day, number };
                assert_eq!(name.to_string().parse(), Ok(name));
            }
            day = day.tomorrow().unwrap();
        }
        assert_eq!(DumpName { day: date(2004, 6, 11), number: 0 }.to_string(), "2004/0611");
        assert_eq!(DumpName { day: date(2004, 6, 11), number: 2 }.to_string(), "2004/0611.2");
    }

    #[test]
    fn other_spellings_are_no_names() {
        let wrong = [
            "",
            "2004",
            "2004/",
            "2004/611",
            "2004/0611.",
            "2004/0611.0",
            "2004/0611.01",
            "2004/0230",
            "2004/0611/",
            "/0611",
            "04/0611",
            "2004/06é",
            "2004/+611",
            "2004/0611.-1",
            "20040611",
        ];
        for text in wrong {
            let error = text.parse::<DumpName>().unwrap_err();
            assert_eq!(
                error.to_string(),
                format!("{text:?} is not the name of a dump, as 2004/0611 or 2004/0611.1")
            );
        }
    }

    #[test]
    fn days_are_cut_in_the_zone_and_clocks_that_go_back_end_none() {
        let named = |zone: &str, times: &[&str]| {
            let zone = TimeZone::get(zone).unwrap();
            let mut last = None;
            let mut name = |time: &&str| {
                let time: Timestamp = time.parse().unwrap();
                let nanosecond = i64::try_from(time.as_nanosecond()).unwrap();
                last.insert(DumpName::after(last, nanosecond, &zone)).to_string()
            };
            times.iter().map(&mut name).collect::<Vec<_>>()
        };
        let times = ["2004-06-11T03:00:00Z", "2004-06-11T21:59:59Z", "2004-06-11T22:00:00Z"];
        assert_eq!(named("Europe/Berlin", &times), ["2004/0611", "2004/0611.1", "2004/0612"]);
        assert_eq!(named("UTC", &times), ["2004/0611", "2004/0611.1", "2004/0611.2"]);
        // One minute past midnight they went back to 23:01 of the day before.
        let times = ["2006-10-29T02:30:30Z", "2006-10-29T02:31:30Z", "2006-10-29T03:31:00Z"];
        assert_eq!(named("America/St_Johns", &times), ["2006/1029", "2006/1029.1", "2006/1029.2"]);
    }

    #[test]
    fn names_are_ordered_as_the_dumps_were_made() {
        let names = ["2003/1231", "2004/0101", "2004/0101.1", "2004/0101.2", "2004/0101.10"];
        let names = names.map(|name| name.parse::<DumpName>().unwrap());
        assert!(names.is_sorted());
    }
}
