//! The page against the JSON, and against what a browser would fetch.

use super::*;
use crate::{
    domain::labelled::{Groups, Ids, Labelled, Slices},
    services::evaluate::{Options, evaluate},
};

fn evaluation(scale: f64, grouped: bool) -> Evaluation {
    let rows = 3000_u32;
    let names: Vec<String> = (0..rows).map(|row| format!("<item {row}>")).collect();
    let data = Labelled {
        scores: (0..rows).map(|row| f64::from(row * 7919 % 3001) / 3001.0 * scale).collect(),
        positive: (0..rows).map(|row| row * 7919 % 3001 > 1500 + row % 1400).collect(),
        groups: grouped.then(|| Groups { codes: (0..rows).map(|row| row / 3).collect(), count: rows / 3 }),
        slices: Some(Slices {
            codes: (0..rows).map(|row| (row % 3) as u16).collect(),
            names: vec!["en".into(), "de".into(), "fr & co".into()],
        }),
        ids: Some(names.iter().map(String::as_str).collect::<Ids>()),
        ..Labelled::default()
    };
    let options = Options { thresholds: vec![0.5, 0.87, 5.0], replicates: 40, seed: 17, ..Options::default() };
    evaluate(&data, &options, &|| {}).unwrap()
}

/// All numbers of a JSON document.
fn numbers(value: &serde_json::Value, into: &mut Vec<f64>) {
    match value {
        serde_json::Value::Number(number) => into.push(number.as_f64().unwrap()),
        serde_json::Value::Array(items) => items.iter().for_each(|item| numbers(item, into)),
        serde_json::Value::Object(fields) => fields.values().for_each(|field| numbers(field, into)),
        _ => {}
    }
}

/// What stands between `<tag` and `</tag>`, as (attributes, content), and the page without it.
fn taken_out(page: &str, tag: &str) -> (Vec<(String, String)>, String) {
    let (mut found, mut rest, mut left) = (Vec::new(), String::new(), page);
    while let Some(start) = left.find(&format!("<{tag}")) {
        rest.push_str(&left[..start]);
        let element = &left[start + tag.len() + 1..];
        let (head, body) = element.split_once('>').unwrap();
        let (content, after) = body.split_once(&format!("</{tag}>")).unwrap();
        found.push((head.to_owned(), content.to_owned()));
        left = after;
    }
    rest.push_str(left);
    (found, rest)
}

/// The figures of a page that are not in the JSON, or are written differently from their value.
fn strange_figures(page: &str, json: &serde_json::Value) -> Vec<String> {
    let mut known = Vec::new();
    numbers(json, &mut known);
    let (figures, rest) = taken_out(page, "data");
    let strange = |(head, content): &(String, String)| {
        let value: f64 = head.trim().strip_prefix("value=\"").unwrap().strip_suffix('"').unwrap().parse().unwrap();
        let written: f64 = content.replace('\u{2009}', "").parse().unwrap();
        let close = (written - value).abs() <= 0.5e-4_f64.max(value.abs() * 0.5e-2)
            && (value.abs() >= 1e-3 || (written - value).abs() <= value.abs() * 0.5e-2);
        (!known.contains(&value) || !close).then(|| format!("{head} {content}"))
    };
    assert!(figures.len() > 100, "{} figures", figures.len());
    let mut found: Vec<String> = figures.iter().filter_map(strange).collect();
    // No number of the text hides outside of them; of the plots' axes, the style and the tags' own there is no end.
    let mut rest = rest;
    for tag in ["svg", "style"] {
        rest = taken_out(&rest, tag).1;
    }
    let text: String = rest.split('<').filter_map(|piece| piece.split_once('>')).map(|(_, text)| text.to_owned() + "\n").collect();
    let headers = ["F1", "At 0.5", "At 0.87", "At 5", "Precision at", "Recall at", "&lt;item", "scores outside 0..=1"];
    found.extend(
        text.lines()
            .filter(|line| line.contains(|c: char| c.is_ascii_digit()))
            .filter(|line| !headers.iter().any(|word| line.starts_with(word)))
            .map(str::to_owned),
    );
    found
}

#[test]
fn every_figure_of_the_page_is_in_the_json() {
    for (scale, grouped) in [(1.0, false), (1.0, true), (20.0, false)] {
        let found = evaluation(scale, grouped);
        let json = serde_json::to_value(&found).unwrap();
        let page = page("a <set>", &found);
        assert_eq!(strange_figures(&page, &json), Vec::<String>::new());
        // The check sees a figure that is another's, one written wrongly, and one that hides in the text.
        let other = page.replacen("<data value=\"0.", "<data value=\"0.9876", 1);
        assert!(!strange_figures(&other, &json).is_empty());
        let hidden = page.replacen("</h1>", " 99 %</h1>", 1);
        assert_eq!(strange_figures(&hidden, &json).len(), 1);
    }
}

#[test]
fn the_page_stands_alone_and_shows_ids_as_text() {
    let found = evaluation(1.0, true);
    let page = page("a <set>", &found);
    for foreign in ["http:", "https:", "src=", "<script", "<link", "url(", "@import", "<item", "<set>"] {
        assert!(!page.contains(foreign), "{foreign}");
    }
    for wanted in [
        "&lt;item ",
        "fr &amp; co",
        "Precision and recall",
        "Reliability",
        "Scores by class",
        "Precision against prevalence",
        "cluster bootstrap",
    ] {
        assert!(page.contains(wanted), "{wanted}");
    }
    assert_eq!(page.matches("<svg").count(), 5);
    let logits = super::page("x", &evaluation(20.0, false));
    assert!(logits.contains("scores outside 0..=1 are no probabilities"), "a missing metric says why");
    assert_eq!(logits.matches("<svg").count(), 4, "no reliability diagram of scores that are no probabilities");
}
