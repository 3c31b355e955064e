//! door: the page of metrics against what is registered

use std::collections::{BTreeMap, BTreeSet};

use visavis::metrics::{Metrics, names};

/// What the page, or the registry, says of one metric.
#[derive(Debug, Default, PartialEq)]
struct Described {
    kind: String,
    labels: BTreeSet<String>,
    bounds: Vec<f64>,
}

/// Every metric is on the page with its type, labels and buckets, and the page names none that is not there.
#[test]
fn the_page_lists_every_metric() {
    let (page, registered) = (of_the_page(), of_the_registry());
    let names = |all: &BTreeMap<String, Described>| all.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&page), names(&registered));
    for (name, described) in &registered {
        assert_eq!(&page[name], described, "{name}");
    }
    assert!(registered.len() > 50 && registered.contains_key(names::BATCH_SIZE), "{}", registered.len());
}

/// Each value of each label is explained by a metric that has it (stages by all; lanes by the map of the house).
#[test]
fn the_page_explains_every_value() {
    let page = text();
    for line in Metrics::new().render().lines().filter(|line| !line.starts_with('#')) {
        let Some((_, rest)) = line.split_once('{') else { continue };
        for (label, value) in labels(rest) {
            let has_it = |row: &&str| row.starts_with("| `visavis") && row.contains(&format!("| `{label}` |"));
            if !matches!(label, "le" | "lane") {
                let explained = page.lines().filter(has_it).any(|row| row.contains(&format!("`{value}`")));
                assert!(explained, "{label}={value}");
            }
        }
    }
}

fn text() -> String {
    std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/metrics.md")).unwrap()
}

fn of_the_page() -> BTreeMap<String, Described> {
    let page = text();
    let rows: Vec<Vec<&str>> = page
        .lines()
        .filter(|line| line.starts_with("| "))
        .map(|line| line.trim_matches('|').split(" | ").map(str::trim).collect())
        .collect();
    let sets: BTreeMap<&str, Vec<f64>> = rows
        .iter()
        .filter(|row| row[0].chars().all(char::is_uppercase))
        .map(|row| (row[0], row[1].split(' ').map(|bound| bound.parse().unwrap()).collect()))
        .collect();
    let is_metric = |row: &&Vec<&str>| row.len() == 5 && row[0].starts_with('`');
    let mut described = BTreeMap::new();
    for row in rows.iter().filter(is_metric) {
        let bounds = if row[3] == "–" { vec![] } else { sets[row[3]].clone() };
        let labels = row[2].split(", ").filter(|label| *label != "–").map(|label| label.trim_matches('`').to_owned());
        let one = Described { kind: row[1].to_owned(), labels: labels.collect(), bounds };
        assert!(described.insert(row[0].trim_matches('`').to_owned(), one).is_none(), "{} twice", row[0]);
    }
    described
}

fn of_the_registry() -> BTreeMap<String, Described> {
    let mut all: BTreeMap<String, Described> = BTreeMap::new();
    let mut name = String::new();
    for line in Metrics::new().render().lines() {
        if let Some(declared) = line.strip_prefix("# TYPE ") {
            let (declared, kind) = declared.split_once(' ').unwrap();
            declared.clone_into(&mut name);
            all.entry(name.clone()).or_default().kind = kind.to_owned();
        } else if !line.starts_with('#') {
            let one = all.get_mut(&name).unwrap();
            let Some((_, rest)) = line.split_once('{') else { continue };
            for (label, value) in labels(rest) {
                if label != "le" {
                    one.labels.insert(label.to_owned());
                } else if value != "+Inf" && !one.bounds.contains(&value.parse().unwrap()) {
                    one.bounds.push(value.parse().unwrap());
                }
            }
        }
    }
    all
}

/// `a="b",c="d"} 7` as pairs.
fn labels(text: &str) -> Vec<(&str, &str)> {
    let inside = text.split_once('}').unwrap().0;
    inside
        .split(',')
        .map(|pair| pair.split_once('=').unwrap())
        .map(|(label, value)| (label, value.trim_matches('"')))
        .collect()
}
