//! What an app says of itself to whoever sets it up: its `app.json` (platform reference 2.3).

use std::collections::BTreeMap;

use crate::domain::{DynoSize, ProcessType};

/// What an app asks for when it is set up, or tested.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Manifest {
    /// Its config vars by name.
    pub env: BTreeMap<String, ManifestVar>,
    /// Commands by their names, such as `postdeploy` and `test`.
    pub scripts: BTreeMap<String, String>,
    /// How many dynos of what.
    pub formation: BTreeMap<ProcessType, ManifestDynos>,
    /// Its add-ons.
    pub add_ons: Vec<ManifestAddOn>,
    /// Its buildpacks in their order.
    pub buildpacks: Vec<String>,
    /// The stack that it is to be built on.
    pub stack: Option<String>,
    /// Where somebody is led who has set it up: an address, or a path of the app.
    pub success_url: Option<String>,
}

/// A config var that an app asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManifestVar {
    /// What it is where nobody says otherwise.
    pub value: ManifestValue,
    /// Whether the app can do without it.
    pub need: VarNeed,
}

/// What a config var is where nobody says otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ManifestValue {
    /// Nothing.
    None,
    /// This.
    Text(String),
    /// A random value, made once.
    Secret,
}

/// Whether an app can do without a config var.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VarNeed {
    /// It cannot.
    Required,
    /// It can.
    Optional,
}

/// How many dynos of a process type; what is not said stays as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ManifestDynos {
    /// How many.
    pub quantity: Option<u32>,
    /// How large.
    pub size: Option<DynoSize>,
}

/// An add-on that an app asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManifestAddOn {
    /// Service and plan: `heroku-postgresql:mini`.
    pub plan: String,
    /// What its config vars begin with.
    pub attached_as: Option<String>,
}

impl Manifest {
    /// The config vars of the app: those of `given`, then those that the manifest has; `secret` makes random ones.
    ///
    /// # Errors
    /// The names of those that are required and that nobody has given.
    pub fn config(
        &self,
        given: &BTreeMap<String, String>,
        mut secret: impl FnMut() -> String,
    ) -> Result<BTreeMap<String, String>, Vec<String>> {
        let mut config = given.clone();
        let mut lacking = Vec::new();
        for (name, var) in self.env.iter().filter(|(name, _)| !given.contains_key(*name)) {
            match (&var.value, var.need) {
                (ManifestValue::Text(text), _) => {
                    config.insert(name.clone(), text.clone());
                }
                (ManifestValue::Secret, _) => {
                    config.insert(name.clone(), secret());
                }
                (ManifestValue::None, VarNeed::Required) => lacking.push(name.clone()),
                (ManifestValue::None, VarNeed::Optional) => {}
            }
        }
        if lacking.is_empty() { Ok(config) } else { Err(lacking) }
    }
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn what_is_given_goes_before_what_the_manifest_has() {
        let var = |value, need| ManifestVar { value, need };
        let text = |text: &str| ManifestValue::Text(text.to_owned());
        let env = [
            ("A", var(text("of the manifest"), VarNeed::Required)),
            ("B", var(ManifestValue::Secret, VarNeed::Required)),
            ("C", var(ManifestValue::None, VarNeed::Optional)),
            ("D", var(ManifestValue::None, VarNeed::Required)),
        ];
        let env = env.map(|(name, var)| (name.to_owned(), var)).into();
        let manifest = Manifest { env, ..Manifest::default() };
        let given = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
            pairs.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect()
        };
        let secret = || "random".to_owned();
        assert_eq!(manifest.config(&given(&[]), secret), Err(vec!["D".to_owned()]));
        let config = manifest.config(&given(&[("D", "d"), ("A", "given"), ("E", "e")]), secret).unwrap();
        assert_eq!(config, given(&[("A", "given"), ("B", "random"), ("D", "d"), ("E", "e")]));
    }
}
