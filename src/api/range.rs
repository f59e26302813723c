//! The `Range` of a list: `version ]3..; order=desc,max=10` (platform reference 7.1).

use http::header::RANGE;
use http::{HeaderMap, HeaderName};

use crate::wire::api_errors::Refusal;

/// The range of the rest of a list, in answers.
pub(super) const NEXT_RANGE: HeaderName = HeaderName::from_static("next-range");

/// Items of a page when the client names no number.
const ITEMS_DEFAULT: usize = 200;
/// The most items of a page.
const ITEMS_MAX: usize = 1000;

/// Which part of a list is wanted, ordered by a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ListRange {
    order: Order,
    first: Option<Bound>,
    last: Option<Bound>,
    max: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    Ascending,
    Descending,
}

/// An end of the range: the number, itself in it or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bound {
    Including(u64),
    Excluding(u64),
}

/// A part of a list.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Page<T> {
    pub(super) items: Vec<T>,
    /// The range of the part after this one.
    pub(super) next: Option<String>,
}

impl Default for ListRange {
    fn default() -> Self {
        Self { order: Order::Ascending, first: None, last: None, max: ITEMS_DEFAULT }
    }
}

impl ListRange {
    /// The property by which lists with a range are ordered.
    const PROPERTY: &str = "version";

    /// Reads the header; without one, it is the first part of the whole list.
    pub(super) fn of(headers: &HeaderMap) -> Result<Self, Refusal> {
        match headers.get(RANGE) {
            Some(value) => Self::parse(value.to_str().map_err(|_| Refusal::Range)?),
            None => Ok(Self::default()),
        }
    }

    /// Reads a header's value. Clients separate with `;`, `,` or both; an empty value asks for nothing.
    fn parse(text: &str) -> Result<Self, Refusal> {
        let mut range = Self::default();
        let mut parts = text.split([';', ',']).map(str::trim).filter(|part| !part.is_empty());
        let Some(head) = parts.next() else { return Ok(range) };
        // Clients that do not care ask by identity, without ends.
        let is_default = head.strip_prefix("id").is_some_and(|ends| ends.trim() == "..");
        let ends = if is_default { Some("..") } else { head.strip_prefix(Self::PROPERTY) };
        let (first, last) = ends.and_then(|ends| ends.trim().split_once("..")).ok_or(Refusal::Range)?;
        range.first = bound(first)?;
        range.last = bound(last)?;
        for part in parts {
            match part.split_once('=') {
                Some(("order", "asc")) => range.order = Order::Ascending,
                Some(("order", "desc")) => range.order = Order::Descending,
                Some(("max", number)) => {
                    let max: usize = number.parse().map_err(|_| Refusal::Range)?;
                    range.max = max.clamp(1, ITEMS_MAX);
                }
                Some(_) | None => return Err(Refusal::Range),
            }
        }
        Ok(range)
    }

    /// The part of `items` in this range; `key` is the number by which they are ordered, each its own.
    pub(super) fn page<T>(self, mut items: Vec<T>, key: impl Fn(&T) -> u64) -> Page<T> {
        items.retain(|item| self.holds(key(item)));
        match self.order {
            Order::Ascending => items.sort_by_key(&key),
            Order::Descending => items.sort_by_key(|item| std::cmp::Reverse(key(item))),
        }
        let has_more = items.len() > self.max;
        items.truncate(self.max);
        let next = items.last().filter(|_| has_more).map(|last| self.after(key(last)));
        Page { items, next }
    }

    fn holds(self, number: u64) -> bool {
        let (low, high) = match self.order {
            Order::Ascending => (self.first, self.last),
            Order::Descending => (self.last, self.first),
        };
        let above = low.is_none_or(|bound| match bound {
            Bound::Including(low) => number >= low,
            Bound::Excluding(low) => number > low,
        });
        let below = high.is_none_or(|bound| match bound {
            Bound::Including(high) => number <= high,
            Bound::Excluding(high) => number < high,
        });
        above && below
    }

    fn after(self, number: u64) -> String {
        let order = match self.order {
            Order::Ascending => "asc",
            Order::Descending => "desc",
        };
        let last = match self.last {
            None => String::new(),
            Some(Bound::Including(last)) => last.to_string(),
            Some(Bound::Excluding(last)) => format!("{last}["),
        };
        format!("{} ]{number}..{last}; order={order}, max={}", Self::PROPERTY, self.max)
    }
}

/// `3`, `]3` or `3[`; nothing is no bound.
fn bound(text: &str) -> Result<Option<Bound>, Refusal> {
    let text = text.trim();
    if text.is_empty() {
        return Ok(None);
    }
    let outside = text.strip_prefix(']').or_else(|| text.strip_suffix('['));
    let number = outside.unwrap_or(text).parse().map_err(|_| Refusal::Range)?;
    Ok(Some(if outside.is_some() { Bound::Excluding(number) } else { Bound::Including(number) }))
}

#[cfg(test)]
mod test {
    use super::*;

    fn page(range: &str) -> Page<u64> {
        ListRange::parse(range).unwrap().page(vec![2, 5, 1, 4, 3], |n| *n)
    }

    #[test]
    fn ranges_choose_order_start_and_number() {
        assert_eq!(page("").items, [1, 2, 3, 4, 5]);
        assert_eq!(page("id ..").items, [1, 2, 3, 4, 5]);
        assert_eq!(page("version ..").items, [1, 2, 3, 4, 5]);
        assert_eq!(page("version ..; order=desc,max=1").items, [5]);
        assert_eq!(page("version ..; max=2, order=desc;").items, [5, 4]);
        assert_eq!(page("version ]2..4").items, [3, 4]);
        assert_eq!(page("version 4..2; order=desc").items, [4, 3, 2]);
        assert_eq!(page("version ..; order=desc,max=1000").next, None);
    }

    #[test]
    fn the_next_range_goes_on_where_a_page_ended() {
        for start in ["version ..; max=2", "version ..; order=desc,max=2", "version 1..5[; max=1"] {
            let (mut seen, mut next) = (Vec::new(), Some(start.to_owned()));
            while let Some(range) = next {
                let page = page(&range);
                seen.extend(page.items);
                next = page.next;
            }
            let expected: &[u64] = match start {
                "version ..; max=2" => &[1, 2, 3, 4, 5],
                "version 1..5[; max=1" => &[1, 2, 3, 4],
                _ => &[5, 4, 3, 2, 1],
            };
            assert_eq!(seen, expected, "{start}");
        }
    }

    #[test]
    fn what_is_no_range_is_refused() {
        for bad in [
            "name ..",
            "id ]x..",
            "3..4",
            "version",
            "version x..",
            "version ..; order=up",
            "version ..; max=x",
            "bytes=0-",
        ] {
            assert!(matches!(ListRange::parse(bad), Err(Refusal::Range)), "{bad}");
        }
    }
}
