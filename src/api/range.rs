//! The `Range` of a list: `version ]3..; order=desc,max=10` (platform reference 7.1).

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::header::RANGE;
use http::{HeaderMap, HeaderName, StatusCode};
use serde::Serialize;

use crate::wire::api_errors::Refusal;

/// The range of the rest of a list, in answers.
const NEXT_RANGE: HeaderName = HeaderName::from_static("next-range");

/// Items of a page when the client names no number.
const ITEMS_DEFAULT: usize = 200;
/// The most items of a page.
const ITEMS_MAX: usize = 1000;

/// A property by which a list may be ordered, no two items of which have the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Property {
    name: &'static str,
    is_number: bool,
}

/// What an item's property holds.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Key {
    Number(u64),
    Text(String),
}

/// Which part of a list is wanted, and how it is ordered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ListRange {
    property: Property,
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

/// An end of the range: the item that has it, itself in the range or not.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Bound {
    Including(Key),
    Excluding(Key),
}

/// A part of a list.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Page<T> {
    pub(super) items: Vec<T>,
    /// The range of the part after this one.
    pub(super) next: Option<String>,
}

// === impl Property ===

impl Property {
    /// One that holds a number.
    pub(super) const fn number(name: &'static str) -> Self {
        Self { name, is_number: true }
    }

    /// One that holds text.
    pub(super) const fn text(name: &'static str) -> Self {
        Self { name, is_number: false }
    }

    /// Its name.
    pub(super) fn name(self) -> &'static str {
        self.name
    }

    /// `3`, `]3` or `3[`; nothing is no bound.
    fn bound(self, text: &str) -> Result<Option<Bound>, Refusal> {
        let text = text.trim();
        if text.is_empty() {
            return Ok(None);
        }
        let outside = text.strip_prefix(']').or_else(|| text.strip_suffix('['));
        let inside = outside.unwrap_or(text);
        let key = if self.is_number {
            Key::Number(inside.parse().map_err(|_| Refusal::Range)?)
        } else {
            Key::Text(inside.to_owned())
        };
        Ok(Some(if outside.is_some() { Bound::Excluding(key) } else { Bound::Including(key) }))
    }
}

impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number}"),
            Self::Text(text) => f.write_str(text),
        }
    }
}

// === impl ListRange ===

impl ListRange {
    /// Reads the header for a list that is ordered by one of `properties`, the first unless another is named; without a
    /// header, it is the first part of the whole list.
    pub(super) fn of(headers: &HeaderMap, properties: &[Property]) -> Result<Self, Refusal> {
        match headers.get(RANGE) {
            Some(value) => Self::parse(value.to_str().map_err(|_| Refusal::Range)?, properties),
            None => Self::parse("", properties),
        }
    }

    /// Reads a header's value. Clients separate with `;`, `,` or both; an empty value asks for nothing.
    fn parse(text: &str, properties: &[Property]) -> Result<Self, Refusal> {
        let default = *properties.first().ok_or(Refusal::Range)?;
        let mut range =
            Self { property: default, order: Order::Ascending, first: None, last: None, max: ITEMS_DEFAULT };
        let mut parts = text.split([';', ',']).map(str::trim).filter(|part| !part.is_empty());
        let Some(head) = parts.next() else { return Ok(range) };
        let is_of_name = |c: char| c.is_ascii_alphabetic() || c == '_';
        let (name, ends) = head.split_at(head.find(|c| !is_of_name(c)).unwrap_or(head.len()));
        let named = properties.iter().find(|property| property.name == name);
        // Clients that do not care ask by identity, without ends.
        let is_default = name == "id" && ends.trim() == "..";
        range.property = *named.or(is_default.then_some(&default)).ok_or(Refusal::Range)?;
        let (first, last) = ends.trim().split_once("..").ok_or(Refusal::Range)?;
        range.first = range.property.bound(first)?;
        range.last = range.property.bound(last)?;
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

    /// The part of `items` in this range; `key` is what an item has of the property by which they are ordered.
    pub(super) fn page<T>(&self, mut items: Vec<T>, key: impl Fn(&T, Property) -> Key) -> Page<T> {
        let key = |item: &T| key(item, self.property);
        items.retain(|item| self.holds(&key(item)));
        match self.order {
            Order::Ascending => items.sort_by_cached_key(&key),
            Order::Descending => items.sort_by_cached_key(|item| std::cmp::Reverse(key(item))),
        }
        let has_more = items.len() > self.max;
        items.truncate(self.max);
        let next = items.last().filter(|_| has_more).map(|last| self.after(&key(last)));
        Page { items, next }
    }

    fn holds(&self, key: &Key) -> bool {
        let (low, high) = match self.order {
            Order::Ascending => (&self.first, &self.last),
            Order::Descending => (&self.last, &self.first),
        };
        let above = low.as_ref().is_none_or(|bound| match bound {
            Bound::Including(low) => key >= low,
            Bound::Excluding(low) => key > low,
        });
        let below = high.as_ref().is_none_or(|bound| match bound {
            Bound::Including(high) => key <= high,
            Bound::Excluding(high) => key < high,
        });
        above && below
    }

    fn after(&self, key: &Key) -> String {
        let order = match self.order {
            Order::Ascending => "asc",
            Order::Descending => "desc",
        };
        let last = match &self.last {
            None => String::new(),
            Some(Bound::Including(last)) => last.to_string(),
            Some(Bound::Excluding(last)) => format!("{last}["),
        };
        format!("{} ]{key}..{last}; order={order}, max={}", self.property.name, self.max)
    }
}

// === impl Page ===

impl<T: Serialize> Page<T> {
    /// The answer that shows the part: 206 and where the rest begins, where there is more.
    pub(super) fn answer(self) -> Response {
        match self.next {
            Some(next) => {
                (StatusCode::PARTIAL_CONTENT, [(NEXT_RANGE, next)], Json(self.items)).into_response()
            }
            None => Json(self.items).into_response(),
        }
    }
}

#[cfg(test)]
mod test {
    use super::*;

    const VERSIONS: [Property; 1] = [Property::number("version")];

    fn page(range: &str) -> Page<u64> {
        ListRange::parse(range, &VERSIONS).unwrap().page(vec![2, 5, 1, 4, 3], |n, _| Key::Number(*n))
    }

    #[test]
    fn texts_are_ordered_by_the_property_that_is_named() {
        let list = |range: &str| {
            let range = ListRange::parse(range, &[Property::text("name"), Property::text("id")]).unwrap();
            let items = vec![("b", "1"), ("a", "2"), ("c", "0")];
            range.page(items, |(name, id), by| {
                Key::Text((*if by.name() == "id" { id } else { name }).to_owned())
            })
        };
        let names = |range: &str| list(range).items.iter().map(|(name, _)| *name).collect::<String>();
        assert_eq!(names(""), "abc");
        assert_eq!(names("id .."), "cba", "by what is named, where the list has it");
        assert_eq!(names("name ]a..; max=5"), "bc");
        assert_eq!(list("name ..; max=2").next.unwrap(), "name ]b..; order=asc, max=2");
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
            assert!(matches!(ListRange::parse(bad, &VERSIONS), Err(Refusal::Range)), "{bad}");
        }
    }
}
