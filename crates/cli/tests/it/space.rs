//! Space files: what is understood, and where what is not goes wrong.

use crate::support::Place;

const SPACE: &str = "\
constraints = ['layers * units <= 4096']

[params.optimizer]
type = 'categorical'
choices = ['sgd', 'adam']

[params.momentum]
type = 'float'
low = 0.5
high = 0.99
when = \"optimizer == 'sgd'\"

[params.layers]
type = 'int'
low = 1
high = 64

[params]
units = 'int(8, 512, log)'
'hidden[0]' = { type = 'float', low = 0, high = 1, step = 0.25 }
";

#[test]
fn a_space_in_toml_and_json() {
    let place = Place::new();
    place.write("space.toml", SPACE);
    let said = place.ok(&["space", "check", "space.toml"]);
    assert!(said.starts_with("space.toml: 5 parameters, 1 constraints\n"), "{said}");
    assert!(said.contains("momentum: float 0.5..0.99, when optimizer == 'sgd'"), "{said}");
    assert!(said.contains("hidden[0]: float 0.0..1.0 step 0.25"), "{said}");
    // What is shown as JSON is understood as JSON, and means the same.
    let json = place.ok(&["space", "show", "space.toml"]);
    place.write("space.json", &json);
    assert_eq!(place.ok(&["space", "show", "space.json"]), json);
    // Short forms.
    place.write(
        "short.toml",
        "[params]\nunits = 'int(8, 512, log)'\n'hidden[0]' = 'float(0, 1, step=0.25)'\nkind = ['a', 1, true]\n",
    );
    let said = place.ok(&["space", "check", "short.toml"]);
    assert!(
        said.contains("units: int 8..512 log\nhidden[0]: float 0.0..1.0 step 0.25\nkind: one of a, 1, true"),
        "{said}"
    );
}

#[test]
fn errors_point_at_line_and_column() {
    let place = Place::new();
    for (text, says) in [
        ("[params.x]\ntype = 'float'\nlow = 0\n", "space:1:1: parameter \"x\": its high is missing"),
        ("[params.x]\ntype = 'flaot'\n", "space:2:8: parameter \"x\": there is no type \"flaot\""),
        ("[params.x]\ntype = 'int'\nlow = 0.5\nhigh = 2\n", "space:3:7: parameter \"x\": expected an integer"),
        (
            "[params.x]\ntype = 'int'\nlow = 0\nhihg = 2\n",
            "space:4:8: parameter \"x\": a parameter has no \"hihg\"; did you mean \"high\"?",
        ),
        ("[params.x]\nchoices = [1, [2]]\n", "space:2:15: parameter \"x\": a choice is a scalar, not a list"),
        ("[params.x]\ntype = 'float'\nlow = 2\nhigh = 1\n", "low must not exceed high"),
        (
            "[params.x]\ntype = 'float'\nlow = 0\nhigh = 1\nwhen = 'x >'\n",
            "space:5:12: parameter \"x\": the expression ends here",
        ),
        (
            "[params.x]\ntype = 'float'\nlow = 0\nhigh = 1\nwhen = 'x > 0'\n",
            "the conditions of \"x\" depend on one another",
        ),
        (
            "constraints = ['y < 1']\n[params]\nx = 'float(0, 1)'\n",
            "space:1:16: constraint \"y < 1\" names \"y\", which is no parameter",
        ),
        ("[param]\nx = 'float(0, 1)'\n", "a space has no \"param\"; did you mean \"params\"?"),
        ("[params]\nx = 'float(0)'\n", "space:2:6: parameter \"x\": float takes a lower and an upper end"),
        ("[params]\nx = 'real(0, 1)'\n", "there is no real(...)"),
        ("[params]\nx = 1\n", "space:2:5: parameter \"x\": expected a table"),
        ("[params", "space:1:8:"),
        ("", "a space needs at least one parameter"),
        (
            "{\"params\": {\"x\": {\"type\": \"float\", \"low\": 1}}}",
            "space:1:18: parameter \"x\": its high is missing",
        ),
        ("{\"params\": {\"x\": \"int(1, 2)\", \"x\": \"int(1, 2)\"}}", "\"x\" is there twice"),
        ("{\"params\": {,}}", "space:1:13:"),
    ] {
        place.write("space", text);
        place.fails(&["space", "check", "space"], 4, says);
    }
    place.fails(&["space", "check", "no-such-file"], 3, "cannot read no-such-file");
}

#[test]
fn a_space_from_standard_input() {
    let ran = Place::new().run_with_input(&["space", "check", "-"], "[params]\nx = 'float(0, 1)'\n");
    assert_eq!(ran.code, Some(0), "{}", ran.err);
}

#[test]
fn conditions_choose_which_parameters_take_part() {
    let place = Place::new();
    place.write(
        "space.toml",
        "[params.alpha]\ntype = 'float'\nlow = 0\nhigh = 1\nwhen = \"model == 'lasso'\"\n\n[params.model]\nchoices = ['lasso', 'tree']\n",
    );
    place.ok(&["create", "--space", "space.toml"]);
    let (mut with, mut without) = (0, 0);
    for _ in 0..30 {
        let asked = place.json(&["ask"]);
        let is_there = asked["params"].get("alpha").is_some();
        assert_eq!(is_there, asked["params"]["model"] == "lasso", "{asked}");
        if is_there { with += 1 } else { without += 1 }
    }
    assert!(with > 3 && without > 3, "{with} {without}");
}
