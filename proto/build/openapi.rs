//! The OpenAPI document of a service: its calls, as they are made over HTTP.

use anyhow::{Context as _, Result};
use prost_reflect::{DescriptorPool, MethodDescriptor, ServiceDescriptor};
use serde_json::{Map, Value, json};

use crate::{
    errors::Errors,
    facts::{self, Call, Commented as _},
    schemas::{self, Schemas, Side},
};

pub const JSON: &str = "application/json";

/// The field of requests that the header of the same name fills.
const IDEMPOTENCY_KEY: &str = "idempotency_key";

/// The services that are answered over HTTP.
pub fn services(pool: &DescriptorPool) -> Result<Vec<ServiceDescriptor>> {
    let mut services = Vec::new();
    for service in pool.services() {
        let calls = service.methods().map(|method| facts::call(&method)).collect::<Result<Vec<_>>>()?;
        if calls.iter().any(|call| !call.paths.is_empty()) {
            services.push(service);
        }
    }
    Ok(services)
}

/// What is answered at `/openapi.json`.
pub fn document(service: &ServiceDescriptor, version: &str) -> Result<Value> {
    let pool = service.parent_pool();
    let (schemas, errors) = (Schemas::of(service), Errors::of(pool)?);
    schemas::check(&schemas)?;
    let mut paths = Map::new();
    for method in service.methods() {
        let Call { paths: own, .. } = facts::call(&method)?;
        for path in &own {
            let operation = operation(&method, path, own.first(), &schemas, &errors)?;
            paths.insert(path.clone(), json!({ "post": operation }));
        }
    }
    paths.extend(own_paths());
    let mut all_schemas = schemas.components()?;
    all_schemas.extend(errors.schemas(service)?);
    let api = pool.get_file_by_name("api.proto").context("there is no api.proto")?;
    let about = service.comment();
    Ok(json!({
        "openapi": "3.1.0",
        "info": {
            "title": service.full_name(),
            "description": format!("{about}\n\n{}\n\n# Codes\n\n{}", api.comment(), errors.table()),
            "version": version,
            "license": { "name": "MIT", "identifier": "MIT" },
        },
        "servers": [{ "url": "/", "description": "The server of this document." }],
        "security": [{}, { CERTIFICATE: [] }],
        "tags": [
            { "name": service.name(), "description": first_sentence(&about) },
            { "name": DOCUMENT, "description": "What describes the calls." },
        ],
        "paths": paths,
        "components": {
            "schemas": all_schemas,
            "responses": errors.shared_responses()?,
            "parameters": parameters(service)?,
            "headers": header_components(),
            "securitySchemes": { CERTIFICATE: {
                "type": "mutualTLS",
                "description": "A service whose configuration names a CA for its callers (`client_ca`) talks to nobody \
                    without a certificate of it, as over gRPC.",
            } },
        },
    }))
}

fn operation(
    method: &MethodDescriptor,
    path: &str,
    usual: Option<&String>,
    schemas: &Schemas,
    errors: &Errors,
) -> Result<Value> {
    let about = method.comment();
    let (input, output) = (method.input(), method.output());
    let mut operation = json!({
        "tags": [method.parent_service().name()],
        "operationId": method.name(),
        "summary": first_sentence(&about),
        "description": about,
    });
    if let Some(usual) = usual.filter(|usual| *usual != path) {
        operation["operationId"] = json!(format!("{}_{}", method.name(), path.trim_start_matches('/')));
        operation["description"] = json!(format!("An older name of `{usual}`, answered alike.\n\n{about}"));
        operation["deprecated"] = json!(true);
    }
    let mut parameters = vec!["GrpcTimeout", "Traceparent"];
    if input.get_field_by_name(IDEMPOTENCY_KEY).is_some() {
        parameters.insert(0, "IdempotencyKey");
    }
    let parameters: Vec<_> =
        parameters.into_iter().map(|name| json!({ "$ref": format!("#/components/parameters/{name}") })).collect();
    let request = json!({
        "schema": schemas.reference(&input, Side::Request),
        "example": schemas::example(&input, Side::Request)?,
    });
    let answer = json!({
        "schema": schemas.reference(&output, Side::Answer),
        "example": schemas::example(&output, Side::Answer)?,
    });
    let done = Some(output.comment()).filter(|comment| !comment.is_empty());
    let done = done.unwrap_or_else(|| "The call was done, and there is nothing to tell.".into());
    let mut responses = Map::new();
    responses.insert(
        "200".into(),
        json!({
            "description": done,
            "headers": headers(),
            "content": { JSON: answer },
        }),
    );
    responses.extend(errors.of_call(method)?);
    operation["parameters"] = json!(parameters);
    operation["requestBody"] = json!({ "required": true, "content": { JSON: request } });
    operation["responses"] = responses.into();
    Ok(operation)
}

const DOCUMENT: &str = "Document";
const CERTIFICATE: &str = "ClientCertificate";

/// What a service answers beside its calls.
fn own_paths() -> Map<String, Value> {
    let get = |id: &str, summary: &str, media: &str, schema: Value| {
        json!({ "get": {
            "tags": [DOCUMENT],
            "operationId": id,
            "summary": summary,
            "responses": {
                "200": { "description": summary, "content": { media: { "schema": schema } } },
                "default": { "$ref": "#/components/responses/Error" },
            },
        } })
    };
    let document = get("GetDocument", "This document.", JSON, json!({ "type": "object" }));
    let page = get(
        "GetPage",
        "A page that shows this document, and tries its calls.",
        "text/html",
        json!({ "type": "string" }),
    );
    [("/openapi.json".to_owned(), document), ("/docs".to_owned(), page)].into_iter().collect()
}

fn parameters(service: &ServiceDescriptor) -> Result<Value> {
    let mut parameters = json!({
        "GrpcTimeout": {
            "name": "Grpc-Timeout",
            "in": "header",
            "description": "How long the caller waits, after which the call is given up: a number and \
                a unit, which is `H`, `M`, `S`, `m` (milliseconds), `u` or `n`. Empty is as if it were not there; \
                anything else is 400.",
            "schema": { "type": "string", "pattern": "^([+-]?[0-9]{1,18}[HMSmun])?$" },
            "example": "2S",
        },
        "Traceparent": {
            "name": "traceparent",
            "in": "header",
            "description": "The caller's trace (W3C Trace Context), which the call joins. One that cannot be read is \
                passed over.",
            "schema": { "type": "string" },
            "example": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        },
    });
    let inputs = service.methods().map(|method| method.input());
    if let Some(key) = inputs.filter_map(|input| input.get_field_by_name(IDEMPOTENCY_KEY)).next() {
        let rule = facts::field(&key)?.rule;
        parameters["IdempotencyKey"] = json!({
            "name": "Idempotency-Key",
            "in": "header",
            "description": "Fills `idempotency_key` when the body has none. Another value in both is 400.",
            "schema": schemas::text(&rule),
            "example": rule.example.unwrap_or_default(),
        });
    }
    Ok(parameters)
}

/// The headers of every answer.
pub fn headers() -> Value {
    let headers = TRACE_HEADERS
        .map(|(component, name, _)| (name.to_owned(), json!({ "$ref": format!("#/components/headers/{component}") })));
    Value::Object(headers.into_iter().collect())
}

const TRACE_HEADERS: [(&str, &str, &str); 2] = [
    ("TraceId", "x-trace-id", "The id of the call's trace, which the service's log and its traces have too."),
    ("GrpcMetadataTraceId", "Grpc-Metadata-X-Trace-Id", "The same as `x-trace-id`, as grpc-gateway writes it."),
];

fn header_components() -> Value {
    let headers = TRACE_HEADERS.map(|(component, _, description)| {
        let schema = json!({ "type": "string", "pattern": "^[0-9a-f]{32}$" });
        let example = "4bf92f3577b34da6a3ce929d0e0e4736";
        (component.to_owned(), json!({ "description": description, "schema": schema, "example": example }))
    });
    Value::Object(headers.into_iter().collect())
}

/// The first sentence of a comment, on one line.
fn first_sentence(comment: &str) -> String {
    let paragraph = comment.split("\n\n").next().unwrap_or_default().replace('\n', " ");
    match paragraph.split_once(". ") {
        Some((sentence, _)) => format!("{sentence}."),
        None => paragraph,
    }
}
