//! The `Range` of a list: `version ]3..; order=desc,max=10` (platform reference 7.1). Which lists have one, and by what they
//! are ordered, the table of routes says; [`paged`] cuts their answers. A list that is long and costs much to show is cut by
//! its handler, before it is shown.

use axum::Json;
use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::header::{ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_RANGE, RANGE};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use serde::Serialize;
use serde::de::IgnoredAny;
use serde_json::Value;

use crate::api::error::{ApiError, refused};
use crate::wire::api_errors::Refusal;

/// The range of the rest of a list, in answers.
const NEXT_RANGE: HeaderName = HeaderName::from_static("next-range");

/// Items of a page when the client names no number.
const ITEMS_DEFAULT: usize = 200;
/// The most items of a page.
const ITEMS_MAX: usize = 1000;
/// The longest answer that is cut, bytes; the longest lists of the node stay far below.
const LIST_BYTES_MAX: usize = 64 << 20;

/// A property by which a list may be ordered, no two items of which have the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::api) struct Property {
    name: &'static str,
    /// What a client calls it that wants all there is.
    also: Option<&'static str>,
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
    /// Whether nothing but a number of items was asked for.
    is_any: bool,
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
    /// What this part is, where there is something in it.
    pub(super) content: Option<String>,
    /// The range of the part after this one.
    pub(super) next: Option<String>,
}

// === impl Property ===

impl Property {
    /// One that holds a number.
    pub(super) const fn number(name: &'static str) -> Self {
        Self { name, also: None, is_number: true }
    }

    /// One that holds text.
    pub(super) const fn text(name: &'static str) -> Self {
        Self { name, also: None, is_number: false }
    }

    /// The same, which some clients that want all there is call by another name.
    pub(super) const fn or(self, also: &'static str) -> Self {
        Self { also: Some(also), ..self }
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
            Key::Number(inside.parse().map_err(|_| Refusal::Range(self.name))?)
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
            Some(value) => Self::parse(value.to_str().unwrap_or("?"), properties),
            None => Self::parse("", properties),
        }
    }

    /// Reads a header's value. Clients separate with `;`, `,` or both; an empty value asks for nothing.
    fn parse(text: &str, properties: &[Property]) -> Result<Self, Refusal> {
        let default = *properties.first().ok_or(Refusal::Range("id"))?;
        let wrong = || Refusal::Range(default.name);
        let (property, order) = (default, Order::Ascending);
        let mut range = Self { property, order, first: None, last: None, max: ITEMS_DEFAULT, is_any: true };
        let mut parts = text.split([';', ',']).map(str::trim).filter(|part| !part.is_empty());
        let Some(head) = parts.next() else { return Ok(range) };
        let is_of_name = |c: char| c.is_ascii_alphabetic() || c == '_';
        let (name, ends) = head.split_at(head.find(|c| !is_of_name(c)).unwrap_or(head.len()));
        let named = properties.iter().find(|property| property.name == name);
        // Clients that do not care ask by identity, or what they take for it, without ends.
        let is_default = (name == "id" || default.also == Some(name)) && ends.trim() == "..";
        range.property = *named.or(is_default.then_some(&default)).ok_or_else(wrong)?;
        let (first, last) = ends.trim().split_once("..").ok_or_else(wrong)?;
        range.is_any = named.is_none_or(|named| *named == default) && ends.trim() == "..";
        range.first = range.property.bound(first)?;
        range.last = range.property.bound(last)?;
        for part in parts {
            match part.split_once('=') {
                Some(("order", word @ ("asc" | "desc"))) => {
                    range.order = if word == "asc" { Order::Ascending } else { Order::Descending };
                    range.is_any = false;
                }
                Some(("max", number)) => {
                    let max: usize = number.parse().map_err(|_| wrong())?;
                    range.max = max.clamp(1, ITEMS_MAX);
                }
                Some(_) | None => return Err(wrong()),
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
        let ends = items.first().zip(items.last());
        let content =
            ends.map(|(first, last)| format!("{} {}..{}", self.property.name, key(first), key(last)));
        Page { items, content, next }
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

impl<T> Page<T> {
    /// The same part, its items shown.
    pub(super) fn shown<S>(self, show: impl FnOnce(Vec<T>) -> Vec<S>) -> Page<S> {
        Page { items: show(self.items), content: self.content, next: self.next }
    }
}

impl<T: Serialize> Page<T> {
    /// The answer that shows the part: 206 and where the rest begins, where there is more.
    pub(super) fn answer(self) -> Response {
        let status = if self.next.is_some() { StatusCode::PARTIAL_CONTENT } else { StatusCode::OK };
        let mut response = (status, Json(self.items)).into_response();
        for (name, value) in [(NEXT_RANGE, self.next), (CONTENT_RANGE, self.content)] {
            // What a name cannot be in a header, it is not told there.
            if let Some(value) = value.and_then(|value| HeaderValue::try_from(value).ok()) {
                response.headers_mut().insert(name, value);
            }
        }
        response
    }
}

/// Tells by what a list may be ordered, and cuts what its handler answers to the `Range` that is asked for. Where nothing is
/// asked for and all fits, the list stays in its handler's order.
pub(super) async fn paged(properties: &'static [Property], request: Request, next: Next) -> Response {
    if request.method() != Method::GET {
        return next.run(request).await;
    }
    let range = match ListRange::of(request.headers(), properties) {
        Ok(range) => range,
        Err(refusal) => return refused(&refusal),
    };
    let response = next.run(request).await;
    let mut response =
        if response.status() == StatusCode::OK && !response.headers().contains_key(CONTENT_RANGE) {
            match cut(&range, response).await {
                Ok(response) => response,
                Err(error) => return error.into_response(),
            }
        } else {
            response
        };
    let names: Vec<_> = properties.iter().map(|property| property.name).collect();
    if let Ok(names) = HeaderValue::try_from(names.join(", ")) {
        response.headers_mut().insert(ACCEPT_RANGES, names);
    }
    response
}

async fn cut(range: &ListRange, response: Response) -> Result<Response, ApiError> {
    let (mut parts, body) = response.into_parts();
    let bytes = to_bytes(body, LIST_BYTES_MAX).await.map_err(ApiError::fault("make the answer"))?;
    // Most are asked for whole, and short: their items are counted, and not read.
    let counted = range.is_any.then(|| serde_json::from_slice::<Vec<IgnoredAny>>(&bytes));
    if counted.is_some_and(|items| items.is_ok_and(|items| items.len() <= range.max)) {
        return Ok(Response::from_parts(parts, Body::from(bytes)));
    }
    let Ok(items) = serde_json::from_slice::<Vec<Value>>(&bytes) else {
        return Ok(Response::from_parts(parts, Body::from(bytes)));
    };
    let cut = range.page(items, |item, by| match &item[by.name] {
        Value::Number(number) if by.is_number => Key::Number(number.as_u64().unwrap_or_default()),
        Value::String(text) => Key::Text(text.clone()),
        other @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => {
            Key::Text(other.to_string())
        }
    });
    let answer = cut.answer();
    parts.status = answer.status();
    parts.headers.remove(CONTENT_LENGTH);
    parts.headers.extend(answer.headers().clone());
    Ok(Response::from_parts(parts, answer.into_body()))
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
            assert!(matches!(ListRange::parse(bad, &VERSIONS), Err(Refusal::Range("version"))), "{bad}");
        }
    }
}
