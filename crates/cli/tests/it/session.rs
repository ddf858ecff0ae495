//! Ask and tell from a shell and over JSON lines.

use serde_json::{Value, json};

use crate::support::Place;

#[test]
fn a_trial_in_single_commands() {
    let place = Place::new();
    let asked = place.json(&["ask", "-p", "x=float(0, 1)", "-p", "kind=choice(a, \"b c\", 3)"]);
    assert_eq!(asked["trial"], 0);
    assert!((0.0..=1.0).contains(&asked["params"]["x"].as_f64().unwrap()));
    assert_eq!(place.ok(&["report", "0", "1", "-0.5"]), "");
    assert_eq!(place.json(&["should-prune", "0"])["prune"], false);
    assert_eq!(place.run(&["should-prune", "0", "--exit-code"]).code, Some(0));
    let told = place.json(&["tell", "0", "-0.25"]);
    assert_eq!(
        (&told["state"], &told["values"], &told["params"]),
        (&json!("complete"), &json!([-0.25]), &asked["params"])
    );
    // The same again may be a reply that was lost; something else is not.
    assert_eq!(place.json(&["tell", "0", "-0.25"]), told);
    place.fails(&["tell", "0", "7"], 4, "trial 0 is finished");
    place.fails(&["tell", "5", "7"], 3, "has no trial 5");
    place.fails(&["report", "0", "2", "1"], 4, "trial 0 is finished");
    assert_eq!(place.json(&["ask"])["trial"], 1, "the space is kept");
    assert_eq!(place.json(&["tell", "1", "--state", "failed"])["state"], "fail");
}

#[test]
fn metrics_beside_the_value_and_alone() {
    let place = Place::new();
    let pruner = "median:{\"n_startup_trials\": 1, \"metric\": \"acc\", \"direction\": \"maximize\"}";
    place.ok(&["create", "-p", "x=float(0, 1)", "--pruner", pruner]);
    place.ok(&["ask"]);
    place.ok(&["report", "0", "0", "1", "acc=0.5", "a=b=-0.25"]);
    place.ok(&["report", "0", "1", "acc=nan"]);
    place.fails(&["report", "0", "2", "1", "2"], 2, "one value has no name");
    place.fails(&["report", "0", "2", "acc=x"], 2, "\"x\" is no number");
    place.fails(&["report", "0", "2", "=1"], 4, "a name is empty");
    place.fails(&["report", "0", "2"], 2, "required");
    let told = place.json(&["tell", "0", "1"]);
    assert_eq!(told["intermediate_values"], json!([[0, 1.0]]));
    assert_eq!(told["metrics"], json!({"a=b": [[0, -0.25]], "acc": [[0, 0.5], [1, "NaN"]]}));
    let report = |trial: u32, step: u64, more: Value| {
        let mut request = json!({"id": step + 10 * u64::from(trial), "do": "report", "trial": trial, "step": step});
        more.as_object().unwrap().iter().for_each(|(key, value)| request[key] = value.clone());
        request
    };
    let answers = talk(
        &place,
        &["stdio"],
        &[
            json!({"id": 1, "do": "ask"}),
            report(1, 0, json!({"metrics": {"acc": 0.25, "f1": 1}})),
            report(1, 1, json!({"value": 0.5, "metrics": {"f1": 2}})),
            report(1, 2, json!({})),
            report(1, 3, json!({"metrics": [1]})),
            report(1, 4, json!({"metrics": {"acc": true}})),
            json!({"id": 2, "do": "should_prune", "trial": 1}),
            json!({"id": 3, "do": "trial", "trial": 1}),
        ],
    );
    assert_eq!((&answers[1]["ok"], &answers[2]["ok"]), (&json!({}), &json!({})));
    for (answer, what) in answers[3..6].iter().zip(["no \"value\"", "is an object of numbers", "true is no number"])
    {
        assert!(answer["error"]["message"].as_str().unwrap().contains(what), "{answer}");
    }
    // Step 1 has no value of the metric, so what counts is step 0.
    assert_eq!(answers[6]["ok"]["prune"], true);
    assert_eq!(answers[7]["ok"]["metrics"], json!({"acc": [[0, 0.25]], "f1": [[0, 1.0], [1, 2.0]]}));
    assert_eq!(place.json(&["show"])["metrics"], json!(["a=b", "acc", "f1"]));
}

#[test]
fn a_pruner_says_stop_by_exit_code() {
    let place = Place::new();
    place.ok(&["create", "-p", "x=float(0, 1)", "--pruner", "median:{\"n_startup_trials\": 1}"]);
    place.ok(&["ask"]);
    place.ok(&["report", "0", "0", "1"]);
    place.ok(&["tell", "0", "1"]);
    place.ok(&["ask"]);
    place.ok(&["report", "1", "0", "9"]);
    let ran = place.run(&["should-prune", "1", "--exit-code"]);
    assert_eq!((ran.code, ran.out.as_str()), (Some(10), ""));
    let said = place.json(&["should-prune", "1"]);
    assert!(said["prune"] == true && said["reason"].as_str().unwrap().contains("median"));
    assert_eq!(place.json(&["tell", "1", "--state", "pruned"])["values"], json!([9.0]));
}

#[test]
fn requests_with_a_name_are_answered_once() {
    let place = Place::new();
    let first = place.json(&["ask", "-p", "x=float(0, 1)", "--request", "job-7"]);
    assert_eq!(place.json(&["ask", "--request", "job-7"]), first);
    assert_eq!(place.json(&["ask", "--request", "job-8"])["trial"], 1);
    let params = "{\"x\": 0.5}";
    assert_eq!(place.json(&["enqueue", params, "--skip-if-exists"])["trial"], 2);
    assert_eq!(place.json(&["enqueue", params, "--skip-if-exists"])["trial"], Value::Null);
    assert_eq!(place.json(&["ask"])["params"]["x"], 0.5);
    place.fails(&["enqueue", "[1]"], 4, "a JSON object");
    place.fails(&["enqueue", "{"], 4, "no JSON");
}

fn talk(place: &Place, words: &[&str], requests: &[Value]) -> Vec<Value> {
    let input: String = requests.iter().map(|request| format!("{request}\n")).collect();
    let ran = place.run_with_input(words, &input);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    ran.out.lines().map(|line| serde_json::from_str(line).expect("an answer is JSON")).collect()
}

#[test]
fn a_session_of_json_lines() {
    let place = Place::new();
    let answers = talk(
        &place,
        &["stdio", "-p", "x=float(0, 1)"],
        &[
            json!({"id": 1, "do": "hello"}),
            json!({"id": 2, "do": "ask"}),
            json!({"id": 2, "do": "ask"}),
            json!({"id": 3, "do": "report", "trial": 0, "step": 0, "value": "NaN"}),
            json!({"id": 4, "do": "should_prune", "trial": 0}),
            json!({"id": 5, "do": "set_attr", "trial": 0, "key": "gpu", "value": [1]}),
            json!({"id": 6, "do": "tell", "trial": 0, "value": 0.5}),
            json!({"id": 7, "do": "tell", "trial": 0, "value": 0.5}),
            json!({"id": 8, "do": "tell", "trial": 9, "value": 0.5}),
            json!({"id": 9, "do": "dance"}),
            json!({"id": 10, "do": "best"}),
            json!({"do": "trial", "trial": 0}),
        ],
    );
    assert_eq!(answers.len(), 12);
    assert_eq!(answers[1], answers[2], "the same id is the same request");
    assert_eq!(answers[5]["ok"], json!({}));
    assert_eq!(answers[7]["ok"]["state"], "complete");
    assert_eq!(answers[8]["error"]["kind"], "not_found");
    assert!(answers[9]["error"]["message"].as_str().unwrap().contains("there is no verb \"dance\""));
    assert_eq!(answers[10]["ok"][0]["trial"], 0);
    assert_eq!(answers[11]["ok"]["user_attrs"]["gpu"], json!([1]));
}

#[test]
fn a_client_with_a_name_is_known_again() {
    let place = Place::new();
    let hello = json!({"id": 0, "do": "hello", "client": "worker-1"});
    let ask = json!({"id": 1, "do": "ask"});
    let first = talk(&place, &["stdio", "-p", "x=float(0, 1)"], &[hello.clone(), ask.clone()]);
    // It died before it saw the answer, and asks again.
    let again = talk(&place, &["stdio"], &[hello, ask.clone()]);
    assert_eq!(first[1], again[1]);
    let other = talk(&place, &["stdio"], &[json!({"id": 0, "do": "hello", "client": "worker-2"}), ask]);
    assert_eq!(other[1]["ok"]["trial"], 1);
}

#[test]
fn nonsense_on_the_line_ends_nothing() {
    let place = Place::new();
    let ran = place
        .run_with_input(&["stdio", "-p", "x=float(0, 1)"], "\nnonsense\n[]\n{\"id\": 1, \"do\": \"ask\"}\n{\"id\"");
    let answers: Vec<Value> = ran.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(answers.len(), 4, "{}", ran.out);
    assert_eq!(answers[2]["ok"]["trial"], 0);
    assert!([0, 1, 3].iter().all(|at| answers[*at]["error"]["kind"] == "invalid"));
}
