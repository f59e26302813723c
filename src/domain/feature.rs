//! Features that an app may switch on and off: one row each.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// One row of the table.
#[derive(Clone, Copy, Debug)]
pub struct FeatureRow {
    /// Which.
    pub feature: Feature,
    /// Its name, kept for good: the store and clients go by it.
    pub name: &'static str,
    /// Whether an app has it that has not chosen.
    pub default: bool,
    /// What it does and when a change takes effect, in one sentence.
    pub description: &'static str,
}

macro_rules! features {
    ($($feature:ident $name:literal $default:literal, $description:literal;)*) => {
        /// A feature of an app.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Feature {
            $(#[doc = $description] $feature,)*
        }

        impl Feature {
            /// The table, one row a feature.
            pub const TABLE: &[FeatureRow] = &[$(FeatureRow {
                feature: Self::$feature,
                name: $name,
                default: $default,
                description: $description,
            },)*];
        }
    };
}

features! {
    Preboot "preboot" true, "New web dynos boot while the old ones serve, and take over once all of them are up.";
    RuntimeDynoMetadata "runtime-dyno-metadata" false, "Dynos are told of their app and release in HEROKU_ variables, from their next start on.";
    HttpSessionAffinity "http-session-affinity" false, "Clients come back to the web dyno that answered them before, led by a cookie, from the next request on.";
    LogRuntimeMetrics "log-runtime-metrics" false, "Load and memory of dynos go to the app's log every 20 seconds, from their next start on.";
    RuntimeHerokuExec "runtime-heroku-exec" true, "Commands may be run in dynos that run, as ps:exec does, from the next one on.";
}

/// No such feature.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("no such feature: {0}")]
pub struct UnknownFeature(pub String);

impl Feature {
    /// Its row.
    #[must_use]
    pub fn row(self) -> &'static FeatureRow {
        // The enum and the table come from one macro, in one order: the discriminant is the index.
        &Self::TABLE[self as usize]
    }

    /// Its name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.row().name
    }
}

impl fmt::Display for Feature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Feature {
    type Err = UnknownFeature;

    fn from_str(text: &str) -> Result<Self, UnknownFeature> {
        let found = Self::TABLE.iter().find(|row| row.name == text);
        found.map(|row| row.feature).ok_or_else(|| UnknownFeature(text.to_owned()))
    }
}

/// Whether a feature is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Switch {
    /// It is.
    On,
    /// It is not.
    Off,
}

impl From<bool> for Switch {
    fn from(enabled: bool) -> Self {
        if enabled { Self::On } else { Self::Off }
    }
}

/// What an app has chosen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Features(BTreeMap<Feature, Switch>);

impl Features {
    /// Whether the app has the feature.
    #[must_use]
    pub fn has(&self, feature: Feature) -> bool {
        self.0.get(&feature).map_or(feature.row().default, |switch| *switch == Switch::On)
    }
}

impl FromIterator<(Feature, Switch)> for Features {
    fn from_iter<T: IntoIterator<Item = (Feature, Switch)>>(chosen: T) -> Self {
        Self(chosen.into_iter().collect())
    }
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn every_feature_reads_back_from_its_name() {
        for row in Feature::TABLE {
            assert_eq!(row.name.parse(), Ok(row.feature));
            assert_eq!(row.feature.row().name, row.name);
        }
        assert!("prebot".parse::<Feature>().is_err());
    }

    #[test]
    fn what_was_not_chosen_is_as_the_table_has_it() {
        let features = Features::from_iter([(Feature::Preboot, Switch::Off)]);
        assert!(!features.has(Feature::Preboot));
        assert!(Features::default().has(Feature::Preboot));
        assert!(!features.has(Feature::LogRuntimeMetrics));
    }
}
