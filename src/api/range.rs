//! The `Range` header of lists (platform reference 7.1), as far as a list on one node needs it: order and length.

use http::HeaderMap;
use http::header::RANGE;

/// The most items of one answer.
const ITEMS_MAX: usize = 1000;

/// Which part of a list, and in which order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ListRange {
    order: Order,
    items: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    Ascending,
    Descending,
}

impl ListRange {
    /// Reads `Range: version ..; max=15, order=desc`, leniently: separators are `;` and `,`, unknown words are skipped.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let text = headers.get(RANGE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let mut range = Self { order: Order::Ascending, items: ITEMS_MAX };
        for word in text.split([';', ',']).map(str::trim) {
            match word.split_once('=') {
                Some(("order", "desc")) => range.order = Order::Descending,
                Some(("max", number)) => {
                    range.items = number.parse().unwrap_or(ITEMS_MAX).clamp(1, ITEMS_MAX)
                }
                Some(_) | None => {}
            }
        }
        range
    }

    /// The part of `newest_first`.
    pub(super) fn select<T>(self, mut newest_first: Vec<T>) -> Vec<T> {
        if self.order == Order::Ascending {
            newest_first.reverse();
        }
        newest_first.truncate(self.items);
        newest_first
    }
}

#[cfg(test)]
mod test {
    use super::*;

    fn select(range: &'static str) -> Vec<u32> {
        let headers = HeaderMap::from_iter([(RANGE, http::HeaderValue::from_static(range))]);
        ListRange::of(&headers).select(vec![3, 2, 1])
    }

    #[test]
    fn order_and_length_are_read_from_every_spelling() {
        assert_eq!(select("version ..; max=2, order=desc"), [3, 2]);
        assert_eq!(select("version ..; order=desc,max=1;"), [3]);
        assert_eq!(select("id .."), [1, 2, 3]);
        assert_eq!(select("version ..; max=x"), [1, 2, 3]);
        assert_eq!(ListRange::of(&HeaderMap::new()).select(vec![2, 1]), [1, 2]);
    }
}
