//! `exec --cgroup`: where in a container's groups a process is to be, as `runc` takes it.

use crate::oci::error::OciError;
use crate::runtime::bundle::Place;

/// One path for every hierarchy, or `controller[,controller]...:path` for some of version 1, which may be given several times.
pub(super) fn places(given: &[String]) -> Result<Vec<Place>, OciError> {
    let refused =
        |text: &str, why: &str| Err(OciError::Usage(format!("the value {text:?} of --cgroup {why}")));
    let mut places: Vec<Place> = Vec::new();
    for text in given {
        let Some((controllers, path)) = text.split_once(':') else {
            if given.len() > 1 {
                return refused(
                    text,
                    "names no controller: beside another each needs one, as in memory:below",
                );
            }
            return Ok(vec![Place { controller: None, path: text.into() }]);
        };
        for controller in controllers.split(',') {
            if controller.is_empty() {
                return refused(text, "has an empty name of a controller: name one, or leave the colon out");
            }
            if places.iter().any(|place| place.controller.as_deref() == Some(controller)) {
                return refused(
                    text,
                    &format!("names the controller {controller} again: give one path for it"),
                );
            }
            places.push(Place { controller: Some(controller.to_owned()), path: path.into() });
        }
    }
    Ok(places)
}

#[cfg(test)]
mod test {
    use super::*;

    fn parsed(words: &[&str]) -> Result<Vec<(String, String)>, String> {
        let words: Vec<_> = words.iter().map(ToString::to_string).collect();
        let text = |place: Place| {
            (place.controller.unwrap_or_else(|| "*".to_owned()), place.path.display().to_string())
        };
        let places = places(&words).map_err(|error| error.to_string())?;
        Ok(places.into_iter().map(text).collect())
    }

    #[test]
    fn a_path_is_for_all_or_for_the_controllers_before_it() {
        let pairs = |list: &[(&str, &str)]| {
            Ok(list.iter().map(|(name, path)| ((*name).to_owned(), (*path).to_owned())).collect())
        };
        assert_eq!(parsed(&[]), pairs(&[]));
        assert_eq!(parsed(&["/"]), pairs(&[("*", "/")]));
        assert_eq!(
            parsed(&["memory:m", "cpu,cpuacct:/c:d"]),
            pairs(&[("memory", "m"), ("cpu", "/c:d"), ("cpuacct", "/c:d")])
        );
    }

    #[test]
    fn what_is_said_twice_or_by_halves_is_refused() {
        for (words, expected) in [
            (&["cpu:a", "b"][..], "names no controller"),
            (&["a", "b"], "names no controller"),
            (&[":a"], "empty name"),
            (&["cpu,:a"], "empty name"),
            (&["cpu:a", "memory,cpu:a"], "cpu again"),
        ] {
            let said = parsed(words).unwrap_err();
            assert!(said.contains(expected), "{words:?}: {said}");
        }
    }
}
