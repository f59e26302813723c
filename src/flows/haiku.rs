//! Names for apps whose creator gave none: `adjective-noun-12345`.

use rand::Rng;
use rand::seq::IndexedRandom;

use crate::domain::AppName;

const ADJECTIVES: &[&str] = &[
    "amber", "ancient", "autumn", "brisk", "calm", "clear", "cold", "coral", "crimson", "dawn", "deep",
    "dry", "early", "evening", "fading", "frosty", "gentle", "glacial", "golden", "green", "hidden",
    "hollow", "late", "lively", "lone", "lunar", "misty", "mossy", "narrow", "nimble", "pale", "patient",
    "polar", "quiet", "rapid", "rough", "rustic", "salty", "shady", "silent", "silver", "slow", "snowy",
    "solar", "steep", "still", "stormy", "summer", "tall", "twilight", "warm", "wild", "windy", "winter",
    "young",
];

const NOUNS: &[&str] = &[
    "basin", "bay", "beach", "birch", "bridge", "brook", "canyon", "cape", "cave", "cedar", "cliff", "cloud",
    "coast", "creek", "delta", "dune", "field", "fjord", "forest", "garden", "glade", "grove", "harbor",
    "heath", "hill", "island", "lagoon", "lake", "lantern", "meadow", "mesa", "moon", "moor", "oak", "ocean",
    "orchard", "peak", "pine", "plain", "plateau", "pond", "prairie", "reef", "ridge", "river", "shore",
    "spring", "star", "stone", "stream", "thicket", "tide", "valley", "wave", "willow",
];

/// A fresh name; taken ones are not known here, five digits make them rare.
pub(super) fn name() -> AppName {
    let mut random = rand::rng();
    let adjective = ADJECTIVES.choose(&mut random).copied().unwrap_or("quiet");
    let noun = NOUNS.choose(&mut random).copied().unwrap_or("river");
    let number = random.random_range(10_000..100_000);
    // Every word of both lists makes a valid name, which a test holds.
    format!("{adjective}-{noun}-{number}")
        .parse()
        .unwrap_or_else(|_| unreachable!("the words are plain and short"))
}

/// A fresh name for an add-on of a service: `postgresql-round-12345`.
pub(super) fn add_on_name(service: &str) -> String {
    let mut random = rand::rng();
    let adjective = ADJECTIVES.choose(&mut random).copied().unwrap_or("quiet");
    format!("{service}-{adjective}-{}", random.random_range(10_000..100_000))
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn every_pair_of_words_makes_a_valid_name() {
        for adjective in ADJECTIVES {
            for noun in NOUNS {
                let text = format!("{adjective}-{noun}-12345");
                assert!(text.parse::<AppName>().is_ok(), "{text}");
            }
        }
        assert!(name().as_str().ends_with(|c: char| c.is_ascii_digit()));
    }
}
