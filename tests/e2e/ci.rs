//! The tests of a pipeline, compiled and run by built-in buildpacks in a real sandbox.

use std::process::Output;

use crate::is_possible;
use crate::languages::Sketch;
use crate::support::node::TestNode;

const TEST: &str = "tests_of_a_pipeline_are_run_as_buildpacks_know_them";

fn said(ran: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr))
}

#[test]
fn tests_of_a_pipeline_are_run_as_buildpacks_know_them() {
    if !is_possible(TEST) {
        return;
    }
    let node = TestNode::start("ci", 6);
    node.ok(&["create", "tested"]);
    node.ok(&["pipelines:create", "line", "-a", "tested", "-s", "staging"]);
    node.ok(&["ci:config:set", "GREETING=hello", "-p", "line"]);
    let run = |files: &[(&str, &str)]| {
        let source = Sketch::new(files);
        node.dyno(&["ci:run", source.path().to_str().unwrap(), "-p", "line"])
    };
    let asks = "import os\n\ndef test_greeting():\n    assert os.environ['GREETING'] == 'WANTED'\n";
    let python = |wanted: &str| {
        let test = asks.replace("WANTED", wanted);
        run(&[("requirements.txt", ""), ("requirements-test.txt", "pytest\n"), ("test_app.py", &test)])
    };
    let good = python("hello");
    let text = said(&good);
    assert!(good.status.success() && text.contains("1 passed"), "{text}\n{}", node.log());
    assert!(text.contains("Running test `bin/test of heroku/python`") && text.contains("#1 "), "{text}");
    let bad = python("farewell");
    assert_eq!(bad.status.code(), Some(1), "{}", said(&bad));
    let shown = node.dyno(&["ci:info", "2", "-p", "line"]);
    assert!(shown.status.code() == Some(1) && said(&shown).contains("1 failed"), "{}", said(&shown));
    let php = run(&[("composer.json", r#"{"scripts": {"test": "php -r 'exit(5);'"}}"#), ("index.php", "")]);
    assert!(php.status.code() == Some(5) && said(&php).contains("heroku/php"), "{}", said(&php));
    let lock = "GEM\n  specs:\n\nPLATFORMS\n  x86_64-linux\n\nDEPENDENCIES\n";
    let ruby = run(&[
        ("Gemfile", ""),
        ("Gemfile.lock", lock),
        ("test/a_test.rb", "abort 'in test' unless ENV['RACK_ENV'] == 'test'\nexit 6\n"),
    ]);
    assert!(ruby.status.code() == Some(6) && said(&ruby).contains("heroku/ruby"), "{}", said(&ruby));
    let listed = node.ok(&["ci", "-p", "line"]);
    assert!(listed.contains("succeeded") && listed.matches("failed").count() == 3, "{listed}");
}
