//! `app.json`: what an app says of itself to whoever sets it up or tests it (platform reference 2.3). A plain push takes no
//! notice of it.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::domain::{
    Manifest, ManifestAddOn, ManifestDynos, ManifestValue, ManifestVar, ProcessType, VarNeed,
};

/// The file's name, in the root of the source.
pub const APP_JSON_NAME: &str = "app.json";
/// The most bytes of one.
pub const APP_JSON_BYTES_MAX: usize = 256 * 1024;
/// The environment that tests are run in.
pub const TEST_ENVIRONMENT: &str = "test";
/// The command that runs once after the first deploy.
pub const POSTDEPLOY: &str = "postdeploy";
/// The command that runs tests.
pub const TEST: &str = "test";
/// The command that runs before tests.
pub const TEST_SETUP: &str = "test-setup";

/// What is asked for beside the file: a config var that somebody has to give.
#[must_use]
pub fn var_required(name: &str) -> String {
    format!("config var {name} is required")
}

/// Reads an `app.json`, with what it says of `environment` laid over the rest.
///
/// # Errors
/// What is wrong with it, one sentence each.
pub fn parse(bytes: &[u8], environment: Option<&str>) -> Result<Manifest, Vec<String>> {
    if bytes.len() > APP_JSON_BYTES_MAX {
        return Err(vec![format!("app.json has more than {APP_JSON_BYTES_MAX} bytes")]);
    }
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let value: Value =
        serde_json::from_slice(bytes).map_err(|error| vec![format!("app.json is no JSON: {error}")])?;
    let Value::Object(root) = value else { return Err(vec!["app.json is no JSON object".to_owned()]) };
    let mut reader = Reader { manifest: Manifest::default(), wrong: Vec::new() };
    reader.read(&root, "");
    if let Some(environment) = environment {
        match root.get("environments").and_then(|all| all.get(environment)) {
            None => {}
            Some(Value::Object(own)) => reader.read(own, &format!("environments.{environment}.")),
            Some(_) => reader.wrong.push(format!("environments.{environment} is no object")),
        }
    }
    if reader.wrong.is_empty() { Ok(reader.manifest) } else { Err(reader.wrong) }
}

struct Reader {
    manifest: Manifest,
    wrong: Vec<String>,
}

impl Reader {
    /// Lays what an object says over what was read before; `within` is where it is in the file.
    fn read(&mut self, from: &Map<String, Value>, within: &str) {
        for (key, value) in from {
            let place = format!("{within}{key}");
            match (key.as_str(), value) {
                (_, Value::Null) => {}
                ("env", Value::Object(vars)) => self.env(vars, &place),
                ("scripts", Value::Object(scripts)) => self.scripts(scripts, &place),
                ("formation", Value::Object(types)) => self.formation(types, &place),
                ("addons", Value::Array(list)) => self.add_ons(list, &place),
                ("buildpacks", Value::Array(list)) => self.buildpacks(list, &place),
                ("stack", Value::String(name)) => self.manifest.stack = Some(name.clone()),
                ("success_url", Value::String(url)) => self.manifest.success_url = Some(url.clone()),
                ("image", _) => {
                    self.wrong.push(format!("{place} names an image, which nothing here is built from"))
                }
                ("env" | "scripts" | "formation", _) => self.wrong.push(format!("{place} is no object")),
                ("addons" | "buildpacks", _) => self.wrong.push(format!("{place} is no list")),
                ("stack" | "success_url", _) => self.wrong.push(format!("{place} is no text")),
                // What it is called and how it looks.
                _ => {}
            }
        }
    }

    fn env(&mut self, vars: &Map<String, Value>, place: &str) {
        for (name, value) in vars {
            let text = |value: &Value| match value {
                Value::String(text) => Some(text.clone()),
                Value::Bool(_) | Value::Number(_) => Some(value.to_string()),
                Value::Null | Value::Array(_) | Value::Object(_) => None,
            };
            let var = match value {
                Value::Object(about) => {
                    let given = about.get("value").and_then(text);
                    let value = match (given, about.get("generator").and_then(Value::as_str)) {
                        (Some(text), _) => ManifestValue::Text(text),
                        (None, Some("secret")) => ManifestValue::Secret,
                        (None, None) => ManifestValue::None,
                        (None, Some(other)) => {
                            self.wrong.push(format!(
                                "{place}.{name} asks for the generator {other}: there is `secret`"
                            ));
                            continue;
                        }
                    };
                    let is_optional = about.get("required").and_then(Value::as_bool) == Some(false);
                    let need = if is_optional { VarNeed::Optional } else { VarNeed::Required };
                    ManifestVar { value, need }
                }
                Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
                    match text(value) {
                        Some(text) => {
                            ManifestVar { value: ManifestValue::Text(text), need: VarNeed::Required }
                        }
                        None => {
                            self.wrong.push(format!("{place}.{name} is neither a text nor an object"));
                            continue;
                        }
                    }
                }
            };
            self.manifest.env.insert(name.clone(), var);
        }
    }

    fn scripts(&mut self, scripts: &Map<String, Value>, place: &str) {
        for (name, value) in scripts {
            match value.as_str().or_else(|| value.get("command").and_then(Value::as_str)) {
                Some(command) => {
                    self.manifest.scripts.insert(name.clone(), command.to_owned());
                }
                None => self.wrong.push(format!("{place}.{name} has no command")),
            }
        }
    }

    fn formation(&mut self, types: &Map<String, Value>, place: &str) {
        for (name, value) in types {
            let Ok(process_type) = name.parse::<ProcessType>() else {
                self.wrong.push(format!("{place}.{name} is no name of a process type"));
                continue;
            };
            let mut dynos = ManifestDynos::default();
            if let Some(quantity) = value.get("quantity") {
                match quantity.as_u64().and_then(|number| u32::try_from(number).ok()) {
                    Some(number) => dynos.quantity = Some(number),
                    None => self.wrong.push(format!("{place}.{name}.quantity is no number of dynos")),
                }
            }
            if let Some(size) = value.get("size") {
                match size.as_str().and_then(|size| size.parse().ok()) {
                    Some(size) => dynos.size = Some(size),
                    None => self.wrong.push(format!("{place}.{name}.size is no size of a dyno")),
                }
            }
            self.manifest.formation.insert(process_type, dynos);
        }
    }

    fn add_ons(&mut self, list: &[Value], place: &str) {
        self.manifest.add_ons.clear();
        for (at, value) in list.iter().enumerate() {
            let text = |key: &str| value.get(key).and_then(Value::as_str).map(str::to_owned);
            match value.as_str().map(str::to_owned).or_else(|| text("plan")) {
                Some(plan) => self.manifest.add_ons.push(ManifestAddOn { plan, attached_as: text("as") }),
                None => self.wrong.push(format!("{place}[{at}] names no plan")),
            }
        }
    }

    fn buildpacks(&mut self, list: &[Value], place: &str) {
        self.manifest.buildpacks.clear();
        for (at, value) in list.iter().enumerate() {
            match value.as_str().or_else(|| value.get("url").and_then(Value::as_str)) {
                Some(url) => self.manifest.buildpacks.push(url.to_owned()),
                None => self.wrong.push(format!("{place}[{at}] has no url")),
            }
        }
    }
}

/// The commands that tests run, in their order.
#[must_use]
pub fn test_commands(scripts: &BTreeMap<String, String>) -> (Option<String>, Option<String>) {
    (scripts.get(TEST_SETUP).cloned(), scripts.get(TEST).cloned())
}

#[cfg(test)]
mod test {
    use super::*;

    const WHOLE: &str = r#"{
        "name": "Example", "keywords": ["a"], "stack": "cedar-13", "success_url": "/welcome",
        "env": {
            "PLAIN": "text", "NUMBER": 7, "SECRET": {"generator": "secret"},
            "OPTIONAL": {"description": "x", "required": false}, "REQUIRED": {"description": "y"},
            "WITH": {"value": "v", "generator": "secret"}
        },
        "scripts": {"postdeploy": "rake db:seed", "test": {"command": "rake"}},
        "formation": {"web": {"quantity": 2, "size": "standard-2x"}, "worker": {"quantity": 0}},
        "addons": ["heroku-postgresql:mini", {"plan": "heroku-redis", "as": "CACHE"}],
        "buildpacks": [{"url": "heroku/nodejs"}, {"url": "heroku/ruby"}],
        "environments": {"test": {
            "env": {"PLAIN": "of tests", "REQUIRED": "given"}, "scripts": {"test": "rspec"},
            "addons": [], "buildpacks": [{"url": "heroku/ruby"}]
        }}
    }"#;

    #[test]
    fn everything_that_is_said_is_read() {
        let manifest = parse(WHOLE.as_bytes(), None).unwrap();
        let var = |name: &str| (&manifest.env[name].value, manifest.env[name].need);
        let text = |text: &str| ManifestValue::Text(text.to_owned());
        assert_eq!(var("PLAIN"), (&text("text"), VarNeed::Required));
        assert_eq!(var("NUMBER"), (&text("7"), VarNeed::Required));
        assert_eq!(var("SECRET"), (&ManifestValue::Secret, VarNeed::Required));
        assert_eq!(var("OPTIONAL"), (&ManifestValue::None, VarNeed::Optional));
        assert_eq!(var("REQUIRED"), (&ManifestValue::None, VarNeed::Required));
        assert_eq!(var("WITH"), (&text("v"), VarNeed::Required));
        assert_eq!(manifest.scripts["postdeploy"], "rake db:seed");
        let web = manifest.formation[&ProcessType::web()];
        assert_eq!((web.quantity, web.size), (Some(2), Some(crate::domain::DynoSize::Standard2X)));
        let plans: Vec<_> =
            manifest.add_ons.iter().map(|one| (one.plan.as_str(), one.attached_as.as_deref())).collect();
        assert_eq!(plans, [("heroku-postgresql:mini", None), ("heroku-redis", Some("CACHE"))]);
        assert_eq!(manifest.buildpacks, ["heroku/nodejs", "heroku/ruby"]);
        assert_eq!(
            (manifest.stack.as_deref(), manifest.success_url.as_deref()),
            (Some("cedar-13"), Some("/welcome"))
        );
    }

    #[test]
    fn an_environment_is_laid_over_the_rest() {
        let manifest = parse(WHOLE.as_bytes(), Some(TEST_ENVIRONMENT)).unwrap();
        assert_eq!(manifest.env["PLAIN"].value, ManifestValue::Text("of tests".to_owned()));
        assert_eq!(manifest.env["NUMBER"].value, ManifestValue::Text("7".to_owned()));
        assert_eq!(test_commands(&manifest.scripts), (None, Some("rspec".to_owned())));
        assert_eq!(manifest.scripts["postdeploy"], "rake db:seed");
        assert!(manifest.add_ons.is_empty());
        assert_eq!(manifest.buildpacks, ["heroku/ruby"]);
        assert_eq!(parse(WHOLE.as_bytes(), Some("review")), parse(WHOLE.as_bytes(), None));
    }

    #[test]
    fn everything_that_is_wrong_is_told_at_once() {
        let text = r#"{"env": {"A": [], "B": {"generator": "dice"}}, "scripts": {"postdeploy": 1}, "image": "x/y",
            "formation": {"web": {"quantity": -1, "size": 7}, "a b": {}}, "addons": [{}], "buildpacks": "x"}"#;
        let wrong = parse(text.as_bytes(), None).unwrap_err();
        for part in [
            "env.A",
            "dice",
            "scripts.postdeploy",
            "image",
            "quantity",
            "size",
            "a b",
            "addons[0]",
            "buildpacks is no list",
        ] {
            assert!(wrong.iter().any(|line| line.contains(part)), "{part}: {wrong:?}");
        }
        for text in ["", "{", "[]", "null"] {
            assert_eq!(parse(text.as_bytes(), None).unwrap_err().len(), 1, "{text}");
        }
        assert!(parse(&vec![b' '; APP_JSON_BYTES_MAX + 1], None).is_err());
    }
}
