//! Cron expressions: five fields that choose minutes of a calendar, and the calendar's way into time.
//!
//! A field is `*`, a number, a range, a step of either, or a list of those; months and days of the week have names, and
//! `@daily` and its kin stand for whole expressions. Where both the day of the month and the day of the week are
//! restricted, a day that either chooses counts (crontab(5)).
//!
//! Clocks are put forward and back, which this settles so: an expression whose hours begin with `*` goes by what the
//! clock shows, so it has no run in the hour that is left out and runs through the hour that comes twice. Any other runs
//! once: in the first of two equal hours, and as much later as the clock is put forward where its time is left out.

use std::fmt;
use std::str::FromStr;

use jiff::civil::{Date, DateTime};
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{Span, Timestamp};
use thiserror::Error;

/// How far ahead a run is looked for, days: the rarest, a certain weekday on 29 February, comes within forty years.
const HORIZON_DAYS: i32 = 41 * 366;
/// The longest expression that is read, bytes.
const LENGTH_MAX: usize = 200;

/// A cron expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CronExpression {
    /// As written, but for spaces.
    text: String,
    minutes: Field,
    hours: Field,
    days: Field,
    months: Field,
    /// 0 is Sunday.
    weekdays: Field,
}

/// The chosen values of one field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Field {
    bits: u64,
    reach: Reach,
}

/// Whether a field is written as a choice from all, which begins with `*`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reach {
    Starred,
    Named,
}

/// Why a text is no cron expression.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CronError {
    /// Too few or too many fields.
    #[error("it has five fields: minute, hour, day of the month, month, day of the week")]
    Fields,
    /// A field that cannot be read.
    #[error("the {field} {text:?} is not a number from {from} to {to}, a range, a step or a list of these")]
    Field {
        /// Which one.
        field: &'static str,
        /// As written.
        text: String,
        /// The lowest value.
        from: u8,
        /// The highest value.
        to: u8,
    },
    /// A day that no month has.
    #[error("no month it names has such a day, so it would never run")]
    Never,
    /// An `@` word that means nothing.
    #[error("@hourly, @daily, @weekly, @monthly and @yearly are the words it may be")]
    Word,
    /// Longer than any sensible expression.
    #[error("it is longer than {LENGTH_MAX} bytes")]
    Long,
}

/// What a field may hold.
struct Shape {
    name: &'static str,
    from: u8,
    to: u8,
    names: &'static [&'static str],
}

const MINUTE: Shape = Shape { name: "minute", from: 0, to: 59, names: &[] };
const HOUR: Shape = Shape { name: "hour", from: 0, to: 23, names: &[] };
const DAY: Shape = Shape { name: "day of the month", from: 1, to: 31, names: &[] };
const MONTH: Shape = Shape {
    name: "month",
    from: 1,
    to: 12,
    names: &["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"],
};
const WEEKDAY: Shape = Shape {
    name: "day of the week",
    from: 0,
    to: 7,
    names: &["sun", "mon", "tue", "wed", "thu", "fri", "sat"],
};

/// The most days of each month, January first.
const DAYS_OF_MONTHS: [u8; 12] = [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];

impl Shape {
    fn refuse(&self, text: &str) -> CronError {
        CronError::Field { field: self.name, text: text.to_owned(), from: self.from, to: self.to }
    }

    fn value(&self, text: &str) -> Option<u8> {
        let lower = text.to_ascii_lowercase();
        if let Some(at) = self.names.iter().position(|name| *name == lower) {
            return u8::try_from(at).ok().map(|at| at + self.from);
        }
        let plain = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        let value = text.parse().ok().filter(|_| plain)?;
        (self.from..=self.to).contains(&value).then_some(value)
    }

    fn field(&self, text: &str) -> Result<Field, CronError> {
        let mut bits = 0;
        for part in text.split(',') {
            bits |= self.part(part).ok_or_else(|| self.refuse(text))?;
        }
        let reach = if text.starts_with('*') { Reach::Starred } else { Reach::Named };
        Ok(Field { bits, reach })
    }

    /// One part of a list: a value, a range, and either with a step.
    fn part(&self, text: &str) -> Option<u64> {
        let (range, step) = match text.split_once('/') {
            Some((range, step)) => (range, Some(step)),
            None => (text, None),
        };
        let (from, to) = match range.split_once('-') {
            Some((from, to)) => (self.value(from)?, self.value(to)?),
            None if range == "*" => (self.from, self.to),
            // From a value with a step to the end, as most readers of such expressions take it.
            None if step.is_some() => (self.value(range)?, self.to),
            None => (self.value(range)?, self.value(range)?),
        };
        let step = match step {
            Some(step) => step.parse::<u8>().ok().filter(|step| *step > 0)?,
            None => 1,
        };
        (from <= to).then(|| (from..=to).step_by(step.into()).fold(0, |bits, value| bits | 1 << value))
    }
}

impl Field {
    fn has(self, value: i8) -> bool {
        u32::try_from(value).is_ok_and(|value| self.bits >> value & 1 == 1)
    }

    fn is_restricted(self) -> bool {
        self.reach == Reach::Named
    }
}

impl FromStr for CronExpression {
    type Err = CronError;

    fn from_str(text: &str) -> Result<Self, CronError> {
        if text.len() > LENGTH_MAX {
            return Err(CronError::Long);
        }
        let words: Vec<_> = text.split_ascii_whitespace().collect();
        let written = words.join(" ");
        let fields = match words.as_slice() {
            ["@hourly"] => ["0", "*", "*", "*", "*"],
            ["@daily" | "@midnight"] => ["0", "0", "*", "*", "*"],
            ["@weekly"] => ["0", "0", "*", "*", "0"],
            ["@monthly"] => ["0", "0", "1", "*", "*"],
            ["@yearly" | "@annually"] => ["0", "0", "1", "1", "*"],
            [word] if word.starts_with('@') => return Err(CronError::Word),
            [minute, hour, day, month, weekday] => [*minute, *hour, *day, *month, *weekday],
            _ => return Err(CronError::Fields),
        };
        let [minute, hour, day, month, weekday] = fields;
        let mut weekdays = WEEKDAY.field(weekday)?;
        // Both 0 and 7 are Sunday.
        weekdays.bits |= weekdays.bits >> 7;
        let expression = Self {
            text: written,
            minutes: MINUTE.field(minute)?,
            hours: HOUR.field(hour)?,
            days: DAY.field(day)?,
            months: MONTH.field(month)?,
            weekdays,
        };
        if expression.ever_comes() { Ok(expression) } else { Err(CronError::Never) }
    }
}

impl fmt::Display for CronExpression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl CronExpression {
    /// The first minute after `after` that it chooses, by the clocks of `zone`.
    #[must_use]
    pub fn next(&self, after: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        let mut date = zone.to_datetime(after).date();
        for _ in 0..HORIZON_DAYS {
            if self.has_date(date)
                && let Some(first) = self.instants(date, zone).filter(|instant| *instant > after).min()
            {
                return Some(first);
            }
            date = date.checked_add(Span::new().days(1)).ok()?;
        }
        None
    }

    /// Whether any month it names has a day it names.
    fn ever_comes(&self) -> bool {
        let either = self.days.is_restricted() && self.weekdays.is_restricted();
        let months = (1i8..).zip(DAYS_OF_MONTHS).filter(|(month, _)| self.months.has(*month));
        either || months.into_iter().any(|(_, days)| (1..=days).any(|day| self.days.bits >> day & 1 == 1))
    }

    fn has_date(&self, date: Date) -> bool {
        let day = self.days.has(date.day());
        let weekday = self.weekdays.has(date.weekday().to_sunday_zero_offset());
        let chosen = if self.days.is_restricted() && self.weekdays.is_restricted() {
            day || weekday
        } else {
            day && weekday
        };
        chosen && self.months.has(date.month())
    }

    /// The instants of its minutes on `date`.
    fn instants(&self, date: Date, zone: &TimeZone) -> impl Iterator<Item = Timestamp> {
        let hours = (0..24i8).filter(|hour| self.hours.has(*hour));
        let minutes = move |hour: i8| {
            (0..60i8)
                .filter(|minute| self.minutes.has(*minute))
                .map(move |minute| date.at(hour, minute, 0, 0))
        };
        hours.flat_map(minutes).flat_map(|shown| self.instants_of(shown, zone)).flatten()
    }

    /// When the clock shows `shown`: once, twice, or not at all.
    fn instants_of(&self, shown: DateTime, zone: &TimeZone) -> [Option<Timestamp>; 2] {
        let ambiguous = zone.to_ambiguous_timestamp(shown);
        let goes_by_the_clock = !self.hours.is_restricted();
        match ambiguous.offset() {
            AmbiguousOffset::Unambiguous { offset } => [offset.to_timestamp(shown).ok(), None],
            AmbiguousOffset::Gap { .. } if goes_by_the_clock => [None, None],
            AmbiguousOffset::Gap { before, .. } => [before.to_timestamp(shown).ok(), None],
            AmbiguousOffset::Fold { before, after } if goes_by_the_clock => {
                [before.to_timestamp(shown).ok(), after.to_timestamp(shown).ok()]
            }
            AmbiguousOffset::Fold { before, .. } => [before.to_timestamp(shown).ok(), None],
        }
    }
}

#[cfg(test)]
mod test {
    use proptest::prelude::*;

    use super::*;

    fn cron(text: &str) -> CronExpression {
        text.parse().unwrap()
    }

    fn next(text: &str, after: &str, zone: &TimeZone) -> String {
        let next = cron(text).next(after.parse().unwrap(), zone).unwrap();
        next.to_string()
    }

    /// Central European time, by its rule: no data of the machine is needed.
    fn berlin() -> TimeZone {
        TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap()
    }

    #[test]
    fn minutes_are_found_as_crontab_says() {
        let at = |text: &str| next(text, "2026-11-26T10:07:30Z", &TimeZone::UTC);
        for (text, expected) in [
            ("*/10 * * * *", "2026-11-26T10:10:00Z"),
            ("30 * * * *", "2026-11-26T10:30:00Z"),
            ("0 8 * * *", "2026-11-27T08:00:00Z"),
            ("@hourly", "2026-11-26T11:00:00Z"),
            ("@weekly", "2026-11-29T00:00:00Z"),
            ("0 9 * * mon-fri", "2026-11-27T09:00:00Z"),
            ("0 9 * * 7", "2026-11-29T09:00:00Z"),
            ("5/20 10 * * *", "2026-11-26T10:25:00Z"),
            ("0 0 1,15 * *", "2026-12-01T00:00:00Z"),
            ("0 0 29 Feb *", "2028-02-29T00:00:00Z"),
            ("0 0 13 * fri", "2026-11-27T00:00:00Z"),
            ("0 0 */2 * fri", "2026-11-27T00:00:00Z"),
            ("0 0 */2 * thu", "2026-12-03T00:00:00Z"),
        ] {
            assert_eq!(at(text), expected, "{text}");
        }
        assert_eq!(cron("  0   9 * *  1 ").to_string(), "0 9 * * 1");
        let leap = next("0 0 29 2 *", "2096-03-01T00:00:00Z", &TimeZone::UTC);
        assert_eq!(leap, "2104-02-29T00:00:00Z", "1900 and 2100 are no leap years");
    }

    #[test]
    fn what_is_no_expression_says_why() {
        for (text, told) in [
            ("", "five fields"),
            ("* * * *", "five fields"),
            ("* * * * * *", "five fields"),
            ("60 * * * *", "the minute \"60\" is not a number from 0 to 59"),
            ("5-1 * * * *", "the minute"),
            ("*/0 * * * *", "the minute"),
            ("1,,2 * * * *", "the minute"),
            ("+1 * * * *", "the minute"),
            ("* 24 * * *", "the hour"),
            ("* * 0 * *", "the day of the month"),
            ("* * * foo *", "the month"),
            ("* * * * 8", "the day of the week"),
            ("0 0 30 2 *", "would never run"),
            ("0 0 31 4,6 *", "would never run"),
            ("@sometimes", "@daily"),
        ] {
            let error = text.parse::<CronExpression>().unwrap_err().to_string();
            assert!(error.contains(told), "{text}: {error}");
        }
        assert_eq!("0 ".repeat(200).parse::<CronExpression>(), Err(CronError::Long));
        assert!("0 0 31 2 mon".parse::<CronExpression>().is_ok(), "the Mondays count");
    }

    #[test]
    fn a_fixed_time_that_is_left_out_runs_as_much_later() {
        // On 29 March 2026 the clock goes from 2:00 to 3:00, which is 1:00 UTC.
        let at = |text: &str, after: &str| next(text, after, &berlin());
        assert_eq!(at("30 2 * * *", "2026-03-28T12:00:00Z"), "2026-03-29T01:30:00Z");
        assert_eq!(at("30 2 * * *", "2026-03-29T01:30:00Z"), "2026-03-30T00:30:00Z");
        assert_eq!(at("30 * * * *", "2026-03-29T00:30:00Z"), "2026-03-29T01:30:00Z");
        assert_eq!(at("*/30 * * * *", "2026-03-29T00:30:00Z"), "2026-03-29T01:00:00Z");
    }

    #[test]
    fn a_fixed_time_that_comes_twice_runs_once() {
        // On 25 October 2026 the clock goes from 3:00 back to 2:00, which is 1:00 UTC.
        let at = |text: &str, after: &str| next(text, after, &berlin());
        assert_eq!(at("30 2 * * *", "2026-10-24T12:00:00Z"), "2026-10-25T00:30:00Z");
        assert_eq!(at("30 2 * * *", "2026-10-25T00:30:00Z"), "2026-10-26T01:30:00Z");
        assert_eq!(at("30 * * * *", "2026-10-25T00:30:00Z"), "2026-10-25T01:30:00Z");
        assert_eq!(at("*/30 * * * *", "2026-10-25T00:30:00Z"), "2026-10-25T01:00:00Z");
    }

    proptest! {
        #[test]
        fn a_run_lies_ahead_on_a_whole_minute_and_none_is_passed_over(
            minute in 0u8..60, step in 1u8..30, start in 1_700_000_000i64..1_900_000_000
        ) {
            let after = Timestamp::from_second(start).unwrap();
            for text in [format!("{minute} * * * *"), format!("*/{step} * * * *")] {
                let next = cron(&text).next(after, &TimeZone::UTC).unwrap();
                prop_assert!(next > after && next.as_second() % 60 == 0);
                prop_assert!(next.as_second() - after.as_second() <= 3600, "{text}");
                let shown = TimeZone::UTC.to_datetime(next);
                prop_assert!(cron(&text).minutes.has(shown.minute()));
                // Every minute between the two is none of its own.
                let mut between = start - start.rem_euclid(60) + 60;
                while between < next.as_second() {
                    let shown = TimeZone::UTC.to_datetime(Timestamp::from_second(between).unwrap());
                    prop_assert!(!cron(&text).minutes.has(shown.minute()));
                    between += 60;
                }
            }
        }

        #[test]
        fn a_daily_run_comes_once_a_day_all_year_whatever_clocks_do(
            hour in 0u8..24, minute in 0u8..60
        ) {
            let zone = berlin();
            let daily = cron(&format!("{minute} {hour} * * *"));
            let mut at: Timestamp = "2025-12-31T23:00:00Z".parse().unwrap();
            at = at.checked_sub(Span::new().seconds(1)).unwrap();
            let end: Timestamp = "2026-12-31T22:59:59Z".parse().unwrap();
            let mut runs = 0;
            while let Some(next) = daily.next(at, &zone).filter(|next| *next <= end) {
                (at, runs) = (next, runs + 1);
            }
            prop_assert_eq!(runs, 365);
        }

        #[test]
        fn reading_never_panics(text in "[ -~]{0,40}") {
            let _ = text.parse::<CronExpression>();
        }
    }
}
