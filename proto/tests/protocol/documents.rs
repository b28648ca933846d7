//! The OpenAPI documents: valid, true to the types behind the calls, and with examples that hold.

use std::collections::BTreeSet;

use jsonschema::{Draft, Validator};
use openapi_spec_validator_rs::{ErrorMode, Options, Outcome, SpecVersion};
use proto::{
    ids::{Bounds, Count, IdempotencyKey, MAX_LINES, OrderId, Sku, UserId},
    openapi,
};
use serde_json::{Map, Value, json};

const DOCUMENTS: [(&str, &str); 3] =
    [("cart", openapi::CART), ("loms", openapi::LOMS), ("notifications", openapi::NOTIFICATIONS)];

fn documents() -> impl Iterator<Item = (&'static str, Value)> {
    DOCUMENTS.into_iter().map(|(name, text)| (name, serde_json::from_str(text).unwrap()))
}

fn document(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

/// Checks what a schema of a document allows.
fn validator(document: &Value, schema: &Value) -> Validator {
    let schema = json!({ "allOf": [schema], "components": document["components"] });
    jsonschema::options().with_draft(Draft::Draft202012).should_validate_formats(true).build(&schema).unwrap()
}

fn validator_of(document: &Value, name: &str) -> Validator {
    assert!(document["components"]["schemas"].get(name).is_some(), "{name}");
    validator(document, &json!({ "$ref": format!("#/components/schemas/{name}") }))
}

/// Calls `visit` with every object of a document and the way to it.
fn walk(value: &Value, way: &str, visit: &mut impl FnMut(&str, &Map<String, Value>)) {
    match value {
        Value::Object(object) => {
            visit(way, object);
            object.iter().for_each(|(key, inner)| walk(inner, &format!("{way}/{key}"), visit));
        }
        Value::Array(list) => {
            list.iter().enumerate().for_each(|(index, inner)| walk(inner, &format!("{way}/{index}"), visit));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[test]
fn the_documents_are_valid_openapi_3_1() {
    for (name, document) in documents() {
        let options = Options { errors: ErrorMode::All, ..Options::default() };
        assert_eq!(openapi_spec_validator_rs::detect_version(&document), Ok(SpecVersion::V3_1), "{name}");
        assert_eq!(openapi_spec_validator_rs::validate(&document, &options), Outcome::Valid, "{name}");
        assert_eq!(document["info"]["version"], env!("CARGO_PKG_VERSION"));
    }
}

#[test]
fn every_example_fits_its_schema() {
    for (name, document) in documents() {
        let mut checked = 0;
        let mut check = |way: &str, schema: &Value, example: &Value| {
            let faults: Vec<_> =
                validator(&document, schema).iter_errors(example).map(|fault| fault.to_string()).collect();
            assert!(faults.is_empty(), "{name} {way}: {example}: {}", faults.join("; "));
            checked += 1;
        };
        walk(&document, "", &mut |way, object| {
            // A media type, a parameter or a header has its schema beside it, a schema is its own.
            if let Some(schema) = object.get("schema") {
                object.get("example").into_iter().for_each(|example| check(way, schema, example));
                let named = object.get("examples").and_then(Value::as_object).into_iter().flat_map(Map::values);
                named.for_each(|example| check(way, schema, &example["value"]));
            }
            let own = object.get("examples").and_then(Value::as_array).into_iter().flatten();
            own.for_each(|example| check(way, &object.clone().into(), example));
        });
        assert!(checked > 20, "{name}: {checked}");
    }
}

#[test]
fn every_component_is_used_and_every_reference_leads_to_one() {
    for (name, document) in documents() {
        let mut used = BTreeSet::new();
        walk(&document, "", &mut |_, object| {
            used.extend(object.get("$ref").and_then(Value::as_str).map(|reference| reference.replace('#', "")));
        });
        let schemes = document["security"].as_array().unwrap().iter().flat_map(|way| way.as_object().unwrap().keys());
        used.extend(schemes.map(|scheme| format!("/components/securitySchemes/{scheme}")));
        let components = document["components"].as_object().unwrap();
        let there = components.iter().flat_map(|(kind, all)| {
            all.as_object().unwrap().keys().map(move |component| format!("/components/{kind}/{component}"))
        });
        assert_eq!(used, there.collect(), "{name}");
    }
}

#[test]
fn everything_in_a_document_is_described() {
    for (name, document) in documents() {
        walk(&document, "", &mut |way, object| {
            let Some((above, last)) = way.rsplit_once('/') else { return };
            let is_text = |key| object.get(key).and_then(Value::as_str).is_some_and(|text| !text.is_empty());
            // What is the same for every detail explains itself.
            let is_constant = object.contains_key("const") || ["@type", "metadata"].contains(&last);
            if above.ends_with("/properties") && !way.starts_with("/paths") && !is_constant {
                assert!(is_text("description"), "{name} {way}");
            }
            if object.contains_key("operationId") {
                assert!(is_text("summary"), "{name} {way}");
            }
        });
    }
}

#[test]
fn a_request_may_give_numbers_as_strings_and_must_keep_to_the_bounds() {
    let cart = document(openapi::CART);
    let add = validator_of(&cart, "AddToCartRequest");
    for right in [
        json!({ "user": 1, "sku": 1, "count": 1 }),
        json!({ "user": "9223372036854775807", "sku": "4294967295", "count": "65535" }),
        json!({ "user": 42, "sku": 1001, "count": 2, "colour": "unknown" }),
    ] {
        assert!(add.is_valid(&right), "{right}");
    }
    for wrong in [
        json!({}),
        json!({ "user": 1, "sku": 1 }),
        json!({ "user": 0, "sku": 1, "count": 1 }),
        json!({ "user": "0", "sku": 1, "count": 1 }),
        json!({ "user": 1.5, "sku": 1, "count": 1 }),
        json!({ "user": 1, "sku": 4_294_967_296_u64, "count": 1 }),
        json!({ "user": 1, "sku": -1, "count": 1 }),
        json!({ "user": 1, "sku": 1, "count": 65_536 }),
        json!([]),
    ] {
        assert!(!add.is_valid(&wrong), "{wrong}");
    }
    let create = validator_of(&document(openapi::LOMS), "CreateOrderRequest");
    let lines = |count: usize| json!({ "user": 1, "items": vec![json!({ "sku": 1, "count": 1 }); count] });
    assert!(create.is_valid(&lines(1)) && create.is_valid(&lines(MAX_LINES)));
    assert!(!create.is_valid(&lines(0)) && !create.is_valid(&lines(MAX_LINES + 1)));
    let history = validator_of(&document(openapi::NOTIFICATIONS), "GetHistoryWithPeriodRequest");
    let day = json!({ "year": 2026, "month": 11, "day": 30 });
    assert!(history.is_valid(&json!({ "user": 1, "from": day, "to": day })));
    assert!(!history.is_valid(&json!({ "user": 1, "from": day })));
}

#[test]
fn an_answer_has_every_field_and_wide_numbers_as_strings_but_for_the_total() {
    let cart = document(openapi::CART);
    let list = validator_of(&cart, "ListCartResponse");
    assert!(list.is_valid(&json!({ "items": [], "totalPrice": 0 })));
    assert!(!list.is_valid(&json!({ "items": [], "totalPrice": "0" })));
    assert!(!list.is_valid(&json!({ "items": [] })));
    let bought = validator_of(&cart, "PurchaseResponse");
    assert!(bought.is_valid(&json!({ "orderID": "5" })));
    assert!(!bought.is_valid(&json!({ "orderID": 5 })));
    let loms = document(openapi::LOMS);
    let order = |sku: Value, created_at: &str| {
        json!({
            "status": "awaiting payment",
            "user": "42",
            "items": [{ "sku": sku, "count": 1 }],
            "created_at": created_at,
            "pay_before": "2026-11-30T12:10:00Z",
        })
    };
    let shown = validator_of(&loms, "ListOrderResponse");
    assert!(shown.is_valid(&order(json!(1), "2026-11-30T12:00:00Z")));
    assert!(!shown.is_valid(&order(json!("1"), "2026-11-30T12:00:00Z")));
    assert!(!shown.is_valid(&order(json!(1), "yesterday")));
}

#[test]
fn the_bounds_in_the_documents_are_those_of_the_types() {
    fn bounds<T: TryFrom<i64, Error = proto::ids::OutOfBounds> + std::fmt::Debug>() -> Bounds {
        T::try_from(-1).unwrap_err().bounds
    }
    let types = [("user", bounds::<UserId>()), ("orderID", bounds::<OrderId>()), ("sku", bounds::<Sku>())];
    let types = types.into_iter().chain([("count", bounds::<Count>())]).collect::<Vec<_>>();
    let mut checked = 0;
    for (name, document) in documents() {
        let schemas = document["components"]["schemas"].as_object().unwrap();
        let requests = schemas.iter().filter(|(schema, _)| schema.ends_with("Request") || schema.ends_with("-Input"));
        for (schema, body) in requests {
            for (field, bounds) in
                types.iter().filter_map(|(field, bounds)| Some((body["properties"].get(field)?, bounds)))
            {
                assert_eq!(field["minimum"], bounds.low, "{name} {schema}");
                let is_wide = bounds.high == i64::MAX;
                assert_eq!(field.get("maximum").cloned(), (!is_wide).then(|| bounds.high.into()), "{name} {schema}");
                checked += 1;
            }
            if let Some(key) = body["properties"].get("idempotency_key") {
                let longest = usize::try_from(key["maxLength"].as_u64().unwrap()).unwrap();
                assert!(IdempotencyKey::parse("k".repeat(longest)).is_ok());
                assert!(IdempotencyKey::parse("k".repeat(longest + 1)).is_err());
                let schema = validator(&document, key);
                for (text, is_right) in [("", true), (" ~", true), ("a\tb", false), ("ключ", false)] {
                    assert_eq!(schema.is_valid(&json!(text)), is_right, "{text:?}");
                    assert_eq!(IdempotencyKey::parse(text.into()).is_ok(), is_right, "{text:?}");
                }
            }
        }
    }
    assert!(checked >= 14, "{checked}");
}

#[test]
fn every_call_has_its_paths_its_errors_by_status_and_its_headers() {
    let cart = document(openapi::CART);
    let purchase = &cart["paths"]["/purchase"]["post"];
    let of = |status: &str| purchase["responses"][status].clone();
    let examples = of("400")["content"]["application/json"]["examples"].clone();
    let reasons: Vec<_> = examples.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(reasons, ["INVALID_ARGUMENT", "UNREADABLE", "CART_EMPTY", "INSUFFICIENT_STOCK"]);
    let short = &examples["INSUFFICIENT_STOCK"]["value"];
    assert_eq!(short["code"], 9);
    let metadata = short["details"][0]["metadata"].as_object().unwrap();
    assert_eq!(metadata.keys().collect::<Vec<_>>(), ["sku", "requested", "available", "order_id"]);
    let adding = &cart["paths"]["/addToCart"]["post"]["responses"]["400"]["content"]["application/json"]["examples"];
    assert_eq!(adding["INSUFFICIENT_STOCK"]["value"]["details"][0]["metadata"].get("order_id"), None);

    for (name, document) in documents() {
        for (path, operations) in document["paths"].as_object().unwrap() {
            let Some(post) = operations.get("post") else { continue };
            let responses: Vec<_> = post["responses"].as_object().unwrap().keys().map(String::as_str).collect();
            let statuses = ["200", "400", "405", "413", "429", "499", "500", "503", "504", "default"];
            assert!(statuses.iter().all(|status| responses.contains(status)), "{name} {path}: {responses:?}");
            let parameters = post["parameters"].as_array().unwrap();
            let parameters: Vec<_> = parameters.iter().map(|one| one["$ref"].as_str().unwrap()).collect();
            let has_key = parameters.contains(&"#/components/parameters/IdempotencyKey");
            assert_eq!(has_key, ["/purchase", "/createOrder"].contains(&path.as_str()), "{name} {path}");
            assert_eq!(post.get("deprecated").is_some(), path == "/listCartRequest", "{name} {path}");
        }
        let others = ["/openapi.json", "/docs"];
        assert!(others.iter().all(|path| document["paths"][path].get("get").is_some()), "{name}");
    }
}
