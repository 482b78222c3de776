//! The description that is served, as what answers must be like.

use std::sync::LazyLock;

use serde_json::{Value, json};
use xgrey::http::OPENAPI;

/// The description.
pub(crate) static DESCRIPTION: LazyLock<Value> =
    LazyLock::new(|| serde_json::from_str(OPENAPI).unwrap());

/// # Panics
/// Unless the description knows such an answer.
pub(crate) fn assert_described(method: &str, path: &str, status: u16, kind: &str, body: &[u8]) {
    // What is not there is described by nothing but its error.
    let described = DESCRIPTION["paths"].get(path).and_then(|path| path.get(method));
    let schema = match described {
        Some(operation) => {
            let content = &operation["responses"][status.to_string()]["content"];
            content.get(kind).unwrap_or_else(|| {
                panic!("{method} {path} answers {status} with {kind}, which is not described")
            })["schema"]
                .clone()
        }
        None => {
            assert!(matches!(status, 401 | 404 | 405), "{method} {path} answers {status}");
            json!({"$ref": "#/components/schemas/Mistake"})
        }
    };
    if kind == "application/json" {
        assert_valid(&schema, &serde_json::from_slice(body).unwrap());
    }
}

/// # Panics
/// Unless `value` is as `schema` of the description says.
pub(crate) fn assert_valid(schema: &Value, value: &Value) {
    let mut schema = schema.clone();
    schema["components"] = DESCRIPTION["components"].clone();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let errors: Vec<String> = validator.iter_errors(value).map(|e| e.to_string()).collect();
    assert_eq!(errors, [""; 0], "{value:#}");
}

/// All examples in the description, with what they must be like.
fn examples(value: &Value, found: &mut Vec<(Value, Value)>) {
    match value {
        Value::Object(fields) => {
            if let (Some(schema), Some(Value::Object(examples))) =
                (fields.get("schema"), fields.get("examples"))
            {
                let examples = examples.values().map(|e| (schema.clone(), e["value"].clone()));
                found.extend(examples);
            }
            fields.values().for_each(|value| examples(value, found));
        }
        Value::Array(values) => values.iter().for_each(|value| examples(value, found)),
        _ => {}
    }
}

#[test]
fn the_examples_of_the_description_are_as_it_says() {
    let mut found = Vec::new();
    examples(&DESCRIPTION, &mut found);
    assert_eq!(found.len(), 4);
    for (schema, example) in found {
        assert_valid(&schema, &example);
    }
}

#[test]
fn the_description_is_of_this_version_and_tells_right_from_wrong() {
    assert_eq!(DESCRIPTION["info"]["version"], env!("CARGO_PKG_VERSION"));
    let answer = json!({"$ref": "#/components/schemas/Answer"});
    let validator = |value: &Value| {
        let mut schema = answer.clone();
        schema["components"] = DESCRIPTION["components"].clone();
        jsonschema::validator_for(&schema).unwrap().is_valid(value)
    };
    assert!(validator(&json!({"action": "accept", "reason": "known"})));
    for wrong in [
        json!({"action": "acept", "reason": "known"}),
        json!({"action": "accept", "reason": "known", "wait_seconds": 60}),
        json!({"action": "defer", "reason": "new", "wait_seconds": 60}),
        json!({"action": "accept", "reason": "passed"}),
        json!({"action": "accept", "reason": "known", "more": true}),
    ] {
        assert!(!validator(&wrong), "{wrong}");
    }
}
