//! The tables of docs/compose.md hold: what is supported is in the corpus in all its forms, what is not is refused by name.

use std::collections::{BTreeMap, BTreeSet};

use cloudfaster::docker::compose::{Request, Sources, Variables, load};
use serde_json::{Value, json};

use crate::case::{Case, cases};

/// The rows of a part of the document, by their columns.
fn rows(part: &str) -> Vec<Vec<String>> {
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/compose.md"))
        .expect("the document is there");
    let part = text.split("\n## ").find(|text| text.starts_with(part)).expect("the part is there");
    let rows = part.lines().filter(|line| line.starts_with("| `"));
    rows.map(|row| row.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect()).collect()
}

/// The attributes of a case with the forms that they have in its files; names and indexes are `*` where a row says so.
fn attributes(case: &Case, found: &mut BTreeMap<Vec<String>, BTreeSet<&'static str>>) {
    let mut folders = vec![case.folder.clone()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("readable") {
            let path = entry.expect("readable").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "yaml") {
                let text = std::fs::read_to_string(&path).expect("UTF-8");
                let documents: Vec<Value> =
                    serde_saphyr::from_multiple(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
                documents.iter().for_each(|document| visit(document, &mut Vec::new(), found));
            }
        }
    }
}

fn visit(value: &Value, path: &mut Vec<String>, found: &mut BTreeMap<Vec<String>, BTreeSet<&'static str>>) {
    let form = match value {
        Value::Null => "nothing",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "text",
        Value::Array(_) => "list",
        Value::Object(_) => "mapping",
    };
    found.entry(path.clone()).or_default().insert(form);
    let inner: Vec<(String, &Value)> = match value {
        Value::Array(items) => items.iter().enumerate().map(|(index, item)| (index.to_string(), item)).collect(),
        Value::Object(map) => map.iter().map(|(key, value)| (key.clone(), value)).collect(),
        _ => Vec::new(),
    };
    for (key, value) in inner {
        path.push(key);
        visit(value, path, found);
        path.pop();
    }
}

fn fits(row: &str, path: &[String]) -> bool {
    let parts: Vec<&str> = row.split('.').collect();
    let same = |(part, key): (&&str, &String)| *part == "*" || part == key || (*part == "x-*" && key.starts_with("x-"));
    parts.len() == path.len() && parts.iter().zip(path).all(same)
}

#[test]
fn every_supported_attribute_is_in_the_corpus_in_each_of_its_forms() {
    let mut found = BTreeMap::new();
    cases().iter().for_each(|case| attributes(case, &mut found));
    let rows = rows("Supported");
    let mut missing = Vec::new();
    for row in &rows {
        let attribute = row[0].trim_matches('`');
        let forms: BTreeSet<&str> = found
            .iter()
            .filter(|(path, _)| fits(attribute, path))
            .flat_map(|(_, forms)| forms.iter().copied())
            .collect();
        let promised = row[1].split(", ").filter(|form| !form.is_empty());
        missing.extend(promised.filter(|form| !forms.contains(form)).map(|form| format!("{attribute} as {form}")));
        if forms.is_empty() {
            missing.push(attribute.to_owned());
        }
    }
    println!("{} rows of supported attributes", rows.len());
    assert!(rows.len() > 200 && missing.is_empty(), "not in the corpus: {}", missing.join(", "));
}

#[test]
fn every_attribute_that_is_not_supported_is_refused_by_name_with_its_line_and_what_to_do() {
    let rows = rows("Not supported");
    for row in &rows {
        let attribute = row[0].trim_matches('`');
        let mut whole = json!({ "services": { "web": { "image": "nginx" } } });
        let parts: Vec<&str> = attribute.split('.').collect();
        let mut place = &mut whole;
        for (index, part) in parts.iter().enumerate() {
            let map = place.as_object_mut().expect("a mapping");
            place = match *part {
                "*" if parts[index - 1] == "services" => map.get_mut("web").expect("the service"),
                "*" if parts[index - 1] == "volumes" && index == 3 => {
                    let list = json!([{ "type": "volume", "target": "/data" }]);
                    let service = &mut whole["services"]["web"];
                    service["volumes"] = list;
                    &mut service["volumes"][0]
                }
                "*" => map.entry("some").or_insert_with(|| json!({})),
                part => map.entry(part).or_insert_with(|| json!({})),
            };
        }
        *place = json!({});
        let text = serde_json::to_string_pretty(&whole).expect("serializable");
        let line = 1 + text
            .lines()
            .position(|line| line.contains(&format!("\"{}\":", parts[parts.len() - 1])))
            .expect("it is there");
        let message = refusal(&text);
        let name = parts[parts.len() - 1];
        assert!(message.contains(&format!("compose.yaml:{line}: ")), "{attribute}: {message}");
        assert!(message.contains(&format!("`{name}` is not supported: {}", row[1])), "{attribute}: {message}");
        assert!(message.contains(&row[2]), "{attribute}: {message}");
    }
    println!("{} rows of attributes that are not supported", rows.len());
    assert!(rows.len() > 30);
}

fn refusal(text: &str) -> String {
    let (sources, files) = (Sources::inline("compose.yaml", text), ["compose.yaml".to_owned()]);
    let request =
        Request { sources: &sources, files: &files, variables: &Variables::new(), profiles: &[], name: "project" };
    load(request).map(|_| ()).expect_err(text).to_string()
}
