//! The buildpacks that are part of this program, in the order of detection (platform reference 3.4; ours after the platform's).

/// A buildpack that is part of this program.
pub(super) struct BuiltIn {
    pub(super) name: &'static str,
    /// What it is for and by which files it knows it: `Python (requirements.txt)`.
    pub(super) title: &'static str,
    /// Relative paths and contents.
    pub(super) files: Files,
}

/// Relative paths and contents.
pub(super) type Files = &'static [(&'static str, &'static str)];

/// The files of one directory below `buildpacks/`.
macro_rules! files {
    ($dir:literal: $($path:literal),+ $(,)?) => {
        &[$(($path, include_str!(concat!("../../buildpacks/", $dir, "/", $path)))),+]
    };
}

/// In the order of detection.
pub(super) const BUILT_IN: &[BuiltIn] = &[
    BuiltIn {
        name: "heroku/ruby",
        title: "Ruby (Gemfile)",
        files: files!("ruby": "bin/compile", "bin/detect", "bin/layers", "bin/release", "bin/test", "bin/test-compile", "lib/bundle.sh", "lib/common.sh", "lib/profile.sh", "lib/rails.sh", "lib/version.sh"),
    },
    BuiltIn {
        name: "heroku/nodejs",
        title: "Node.js (package.json)",
        files: files!("nodejs": "bin/compile", "bin/detect", "bin/release", "bin/test", "bin/test-compile", "lib/common.sh", "lib/engine.sh", "lib/manifest.js", "lib/npm.sh", "lib/pnpm.sh", "lib/profile.sh", "lib/steps.sh", "lib/yarn.sh"),
    },
    BuiltIn {
        name: "heroku/python",
        title: "Python (requirements.txt)",
        files: files!("python": "bin/compile", "bin/detect", "bin/release", "bin/test", "bin/test-compile", "lib/common.sh", "lib/django.sh", "lib/environment.sh", "lib/manager.sh", "lib/pip.sh", "lib/pipenv.sh", "lib/poetry.py", "lib/poetry.sh", "lib/profile.sh", "lib/uv.sh", "lib/version.sh"),
    },
    BuiltIn {
        name: "heroku/java",
        title: "Java (pom.xml, gradlew)",
        files: files!("java": "bin/compile", "bin/detect", "bin/layers", "bin/release", "bin/test", "bin/test-compile", "lib/common.sh", "lib/gradle.sh", "lib/maven.sh", "lib/profile.sh", "lib/reproducible.gradle", "lib/version.sh", "lib/web.sh"),
    },
    BuiltIn {
        name: "heroku/php",
        title: "PHP (composer.json, index.php)",
        files: files!("php": "bin/compile", "bin/detect", "bin/layers", "bin/release", "bin/test", "bin/test-compile", "lib/apache2.conf", "lib/common.sh", "lib/composer.sh", "lib/fpm.conf", "lib/nginx-default.conf", "lib/nginx.conf", "lib/profile.sh", "lib/serve.sh"),
    },
    BuiltIn {
        name: "heroku/go",
        title: "Go (go.mod)",
        files: files!("go": "bin/compile", "bin/detect", "bin/layers", "bin/release", "bin/test", "bin/test-compile", "lib/common.sh", "lib/modules.sh"),
    },
    BuiltIn {
        name: "heroku/rust",
        title: "Rust (Cargo.toml)",
        files: files!("rust": "bin/compile", "bin/detect", "bin/layers", "bin/release", "bin/test", "bin/test-compile", "lib/cargo.sh", "lib/common.sh"),
    },
    BuiltIn {
        name: "heroku/static",
        title: "static sites (static.json, index.html)",
        files: files!("static": "bin/compile", "bin/detect", "bin/layers", "bin/release", "lib/common.sh", "lib/config.py", "lib/serve.sh"),
    },
    BuiltIn {
        name: "heroku/procfile",
        title: "programs that are ready to run (Procfile)",
        files: files!("procfile": "bin/compile", "bin/detect", "bin/release", "lib/common.sh"),
    },
];

/// Other names of the same.
const ALIASES: &[(&str, &str)] = &[("heroku/gradle", "heroku/java"), ("heroku/jvm", "heroku/java")];

/// The one of this name.
pub(super) fn named(name: &str) -> Option<&'static BuiltIn> {
    let name = ALIASES.iter().find(|(alias, _)| *alias == name).map_or(name, |(_, meant)| meant);
    BUILT_IN.iter().find(|own| own.name == name)
}

/// What they are for, in the order of detection.
pub(super) fn titles() -> Vec<&'static str> {
    BUILT_IN.iter().map(|own| own.title).collect()
}

#[cfg(test)]
mod test {
    use std::fs;
    use std::path::Path;

    use super::*;

    #[test]
    fn they_are_complete_and_in_the_order_of_detection() {
        let names: Vec<_> = BUILT_IN.iter().map(|own| own.name.trim_start_matches("heroku/")).collect();
        assert_eq!(names, ["ruby", "nodejs", "python", "java", "php", "go", "rust", "static", "procfile"]);
        for own in BUILT_IN {
            for script in ["bin/detect", "bin/compile", "bin/release"] {
                assert!(own.files.iter().any(|(path, _)| *path == script), "{} {script}", own.name);
            }
        }
        assert!(ALIASES.iter().all(|(alias, _)| named(alias).is_some()));
    }

    #[test]
    fn every_file_of_them_is_in_the_program() {
        for own in BUILT_IN {
            let dir = Path::new(env!("CARGO_MANIFEST_DIR"))
                .join("buildpacks")
                .join(own.name.strip_prefix("heroku/").unwrap());
            let found = walk(&dir, &dir);
            let mut embedded: Vec<_> = own.files.iter().map(|(path, _)| (*path).to_owned()).collect();
            embedded.sort();
            assert_eq!(found, embedded, "{}", own.name);
        }
    }

    /// Files of `bin`, `lib` and the like; tests and documentation of a buildpack stay outside.
    fn walk(root: &Path, dir: &Path) -> Vec<String> {
        let mut found = Vec::new();
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                if path.file_name().unwrap() != "test" {
                    found.extend(walk(root, &path));
                }
            } else if path.extension().is_none_or(|ending| ending != "md") {
                found.push(path.strip_prefix(root).unwrap().to_string_lossy().into_owned());
            }
        }
        found.sort();
        found
    }
}
