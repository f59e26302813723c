//! Tables of the whole node in which every user has a part: who fills one pushes out entries of their own.

use std::collections::HashMap;
use std::time::Instant;

use crate::domain::Email;

/// The most entries of one table.
const ENTRIES_MAX: usize = 1000;

/// The most entries of one user in it.
const PER_USER_MAX: usize = 200;

/// Which of all entries, each with its user and since when it is there, goes for a further one of `user`'s: their own oldest where
/// there is no room for it; where they have none, the oldest of whoever has the most.
pub(super) fn displaced<K>(all: Vec<(K, &Email, Instant)>, user: &Email) -> Option<K> {
    let mut counts: HashMap<&Email, usize> = HashMap::new();
    for (_, user, _) in &all {
        *counts.entry(user).or_default() += 1;
    }
    let own = counts.get(user).copied().unwrap_or_default();
    if own < PER_USER_MAX && all.len() < ENTRIES_MAX {
        return None;
    }
    let from = if own > 0 { user } else { counts.into_iter().max_by_key(|(_, count)| *count)?.0 };
    let theirs = all.into_iter().filter(|(_, user, _)| *user == from);
    theirs.min_by_key(|(_, _, since)| *since).map(|(key, _, _)| key)
}

#[cfg(test)]
mod test {
    use std::time::Duration;

    use super::*;

    /// Has users add entries one after another, each a second after the one before; who is left, by number.
    fn left(adding: impl IntoIterator<Item = u8>) -> Vec<(usize, u8)> {
        let begin = Instant::now();
        let email = |user: u8| -> Email { format!("user{user}@example.com").parse().unwrap() };
        let mut all: Vec<(usize, u8, Email, Instant)> = Vec::new();
        for (number, user) in adding.into_iter().enumerate() {
            let seen = all.iter().map(|(number, _, email, since)| (*number, email, *since)).collect();
            let gone = displaced(seen, &email(user));
            all.retain(|(number, ..)| Some(*number) != gone);
            let since = begin + Duration::from_secs(number as u64);
            all.push((number, user, email(user), since));
        }
        all.into_iter().map(|(number, user, ..)| (number, user)).collect()
    }

    #[test]
    fn a_user_has_a_part_and_pushes_out_their_own() {
        let left = left([7].into_iter().chain(std::iter::repeat_n(1, 2 * ENTRIES_MAX)));
        assert_eq!(left.len(), 1 + PER_USER_MAX);
        assert_eq!(left[0], (0, 7), "a stranger's is left alone");
        assert_eq!(left[1], (2 * ENTRIES_MAX + 1 - PER_USER_MAX, 1), "their oldest have gone");
    }

    #[test]
    fn a_full_table_takes_from_whoever_has_most() {
        // Five users fill it, one of them not quite, and two more come; one of those comes again.
        let mut adding = vec![5; 2];
        adding.extend(
            (0..5).flat_map(|user| std::iter::repeat_n(user, if user == 0 { 198 } else { PER_USER_MAX })),
        );
        adding.extend([6, 7, 6]);
        let left = left(adding);
        let count = |user: u8| left.iter().filter(|(_, other)| *other == user).count();
        assert_eq!((left.len(), count(5), count(0)), (ENTRIES_MAX, 2, 198));
        assert_eq!((count(6), count(7)), (1, 1));
        assert!(left.contains(&(ENTRIES_MAX + 2, 6)), "the newer one of theirs");
    }
}
