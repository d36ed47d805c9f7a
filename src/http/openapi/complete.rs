//! What every operation of the document has and no handler says again: an id that is unique, and the answers that any of its kind can give.

use utoipa::{
    Modify,
    openapi::{ArrayBuilder, ContentBuilder, OpenApi, PathItem, Ref, RefOr, Response, ResponseBuilder, Schema, path::Operation},
};

use super::super::hma;

/// Completes all operations.
pub(super) struct Complete;

/// Status and words of an answer.
type Answer = (&'static str, &'static str);

/// Any call that needs a key.
const SECURED: &[Answer] = &[
    ("401", "`unauthenticated`: no key, or one that is not valid"),
    ("403", "`forbidden`: the key's role may not do this"),
    ("429", "`overloaded`: see Retry-After"),
    ("503", "`not_ready`: the server is starting or shutting down; `store_unavailable`: the message names the cause, see Retry-After"),
];

/// Any call with a body.
const WITH_BODY: &[Answer] = &[
    ("400", "`malformed`: the message names the place"),
    ("408", "`body_timeout`: the body did not arrive in time"),
    ("413", "`too_large`: the message names the limit"),
    ("504", "`deadline`: passed before the answer was made"),
];

/// Any call with something in its path.
const WITH_PATH: &[Answer] = &[("400", "`malformed`: the path cannot be read"), ("404", "`not_found`")];

/// Any call with a query.
const WITH_QUERY: &[Answer] = &[("400", "`malformed`: the message names the parameter")];

const ANY: &[Answer] = &[("500", "`internal`: the log has the cause under the request's id")];

impl Modify for Complete {
    fn modify(&self, document: &mut OpenApi) {
        for (path, item) in &mut document.paths.paths {
            for (method, operation) in operations(item) {
                operation.operation_id = Some(id(method, path));
                complete(path, operation);
            }
        }
    }
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = (&'static str, &mut Operation)> {
    let PathItem { get, put, post, delete, patch, .. } = item;
    let all = [("get", get), ("put", put), ("post", post), ("delete", delete), ("patch", patch)];
    all.into_iter().filter_map(|(method, operation)| Some((method, operation.as_mut()?)))
}

/// Method and path as one name: `post_review_items_id_claim`. Generators of clients make functions of it, so it changes only when the path does.
fn id(method: &str, path: &str) -> String {
    let words = path.split(|letter: char| !letter.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    let name = words.fold(method.to_owned(), |name, word| name + "_" + word);
    if name == method { format!("{method}_root") } else { name }
}

fn complete(path: &str, operation: &mut Operation) {
    use utoipa::openapi::path::ParameterIn;
    // Open ones say so by an empty list.
    let secured = operation.security.is_none();
    let stands_in = |place: ParameterIn| {
        let parameters = operation.parameters.iter().flatten();
        parameters.into_iter().any(|parameter| matches!(parameter, RefOr::T(parameter) if parameter.parameter_in == place))
    };
    let groups = [
        (secured, SECURED),
        (operation.request_body.is_some(), WITH_BODY),
        (stands_in(ParameterIn::Path), WITH_PATH),
        (stands_in(ParameterIn::Query), WITH_QUERY),
        (true, ANY),
    ];
    let strict =
        operation.parameters.iter().flatten().any(|parameter| matches!(parameter, RefOr::T(parameter) if parameter.name == "hma_strict"));
    if strict {
        let list = ArrayBuilder::new().items(Ref::from_schema_name("HmaInvalid"));
        let refused = answer("With `hma_strict=1`: a parameter or field is missing or is no value of its type", list);
        operation.responses.responses.entry("422".to_owned()).or_insert(RefOr::T(refused));
    }
    let schema = if hma::answers(path) { "HmaErrorBody" } else { "ErrorBody" };
    for (_, group) in groups.into_iter().filter(|(applies, _)| *applies) {
        for (status, text) in group {
            operation.responses.responses.entry((*status).to_owned()).or_insert_with(|| RefOr::T(error(schema, text)));
        }
    }
}

fn error(schema: &str, text: &str) -> Response {
    answer(text, Ref::from_schema_name(schema))
}

fn answer(text: &str, schema: impl Into<RefOr<Schema>>) -> Response {
    let content = ContentBuilder::new().schema(Some(schema)).build();
    ResponseBuilder::new().description(text).content("application/json", content).build()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn ids_are_made_of_method_and_path_and_are_unique() {
        assert_eq!(id("post", "/review/items/{id}/claim"), "post_review_items_id_claim");
        assert_eq!((id("get", "/"), id("get", "/openapi.json")), ("get_root".to_owned(), "get_openapi_json".to_owned()));
        let mut document = super::super::document();
        let ids: Vec<String> =
            document.paths.paths.values_mut().flat_map(operations).map(|(_, operation)| operation.operation_id.clone().unwrap()).collect();
        assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len());
    }

    #[test]
    fn every_body_has_a_schema_and_every_secured_call_says_what_refuses_it() {
        let document = serde_json::to_value(super::super::document()).unwrap();
        for (path, item) in document["paths"].as_object().unwrap() {
            for (method, operation) in item.as_object().unwrap() {
                for (content_type, content) in operation["requestBody"]["content"].as_object().into_iter().flatten() {
                    assert!(content.get("schema").is_some(), "{method} {path} {content_type}: a body that nothing is said of");
                }
                let answers = operation["responses"].as_object().unwrap();
                assert!(answers.contains_key("500"), "{method} {path}");
                assert!(
                    operation.get("security").is_some() || answers.contains_key("401") && answers.contains_key("429"),
                    "{method} {path}"
                );
                for (status, answer) in answers {
                    let refers = answer["content"]["application/json"]["schema"]["$ref"].as_str();
                    let error = status.starts_with('4') || status.starts_with('5');
                    let known = refers.is_none_or(|name| document["components"]["schemas"].get(name.rsplit('/').next().unwrap()).is_some());
                    assert!(known && (!error || answer.get("description").is_some()), "{method} {path} {status}");
                }
            }
        }
    }
}
