//! The answers of calls that do not succeed: by HTTP status, with the reasons of refusals and what they carry.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result};
use prost_reflect::{DescriptorPool, FieldDescriptor, MethodDescriptor, ServiceDescriptor};
use serde_json::{Map, Value, json};

use crate::{
    facts::{self, Code, Commented as _, Reason},
    openapi::{JSON, headers},
    schemas,
};

/// Answered when a path is asked for by another method than its own.
const OTHER_METHOD: u16 = 405;
/// Answered when a body is above the limit.
const TOO_LARGE: u16 = 413;
const BAD_REQUEST: u16 = 400;

const ERROR_INFO: &str = "type.googleapis.com/google.rpc.ErrorInfo";
const VIOLATIONS: &str = "type.googleapis.com/google.rpc.BadRequest";
const DOMAIN: &str = "route256";

/// Codes and reasons, as `api.proto` has them.
pub struct Errors {
    codes: Vec<Code>,
    reasons: BTreeMap<String, Reason>,
    metadata: BTreeMap<String, FieldDescriptor>,
}

/// A code that a call may be answered with, and the reasons that come with it, each with the keys that the call adds.
type Answered<'a> = (&'a Code, Vec<(&'a Reason, &'a [String])>);

impl Errors {
    pub fn of(pool: &DescriptorPool) -> Result<Self> {
        let reasons = facts::reasons(pool)?.into_iter().map(|reason| (reason.name.clone(), reason)).collect();
        Ok(Self { codes: facts::codes(pool)?, reasons, metadata: facts::metadata(pool)? })
    }

    /// Which code has which HTTP status.
    pub fn table(&self) -> String {
        let mut table = "| HTTP | code | |\n|---|---|---|\n".to_owned();
        for Code { name, number, meaning, http_status, .. } in &self.codes {
            table.push_str(&format!("| {http_status} | {number} `{name}` | {} |\n", meaning.replace('\n', " ")));
        }
        table
    }

    /// What a call answers when it does not succeed, by status.
    pub fn of_call(&self, method: &MethodDescriptor) -> Result<Map<String, Value>> {
        let refusals = facts::call(method)?.refusals;
        let mut answers = BTreeMap::new();
        for code in self.codes.iter().filter(|code| code.of_any_call) {
            answers.entry(code.http_status).or_insert_with(Vec::new).push((code, Vec::new()));
        }
        for refusal in &refusals {
            let reason = self.reason(&refusal.reason)?;
            let code = self.code(&reason.code)?;
            let codes = answers.entry(code.http_status).or_default();
            if !codes.iter().any(|(known, _)| known.name == code.name) {
                codes.push((code, Vec::new()));
            }
            let entry = codes.iter_mut().find(|(known, _)| known.name == code.name);
            entry.context("it was just put there")?.1.push((reason, refusal.also.as_slice()));
        }
        let mut responses = Map::new();
        for status in answers.keys().copied().chain([OTHER_METHOD, TOO_LARGE]).collect::<BTreeSet<_>>() {
            let codes = answers.get(&status).map(Vec::as_slice).unwrap_or_default();
            let is_own = status == BAD_REQUEST || codes.iter().any(|(_, reasons)| !reasons.is_empty());
            let response = if is_own { self.own(method, codes)? } else { reference("responses", &name(status)) };
            responses.insert(status.to_string(), response);
        }
        responses.insert("default".into(), reference("responses", "Error"));
        Ok(responses)
    }

    /// An answer that is this call's own: for its reasons, or for the fields that can be wrong.
    fn own(&self, method: &MethodDescriptor, codes: &[Answered]) -> Result<Value> {
        let mut paragraphs = Vec::new();
        let mut details = Vec::new();
        let mut examples = Map::new();
        for (code, reasons) in codes {
            paragraphs.push(meaning(code));
            if code.name == "INVALID_ARGUMENT" {
                details.push(reference("schemas", "BadRequest"));
                examples.insert(
                    code.name.clone(),
                    json!({ "summary": "A field is wrong", "value": violation(code, method)? }),
                );
                let unreadable = error(code, "the body: EOF while parsing an object at line 1 column 1", &[]);
                examples.insert("UNREADABLE".into(), json!({ "summary": "The body is no JSON", "value": unreadable }));
            }
            for (reason, also) in reasons {
                let keys: Vec<_> = reason.metadata.iter().chain(*also).map(|key| format!("`{key}`")).collect();
                let keys = if keys.is_empty() { String::new() } else { format!(" {{{}}}", keys.join(", ")) };
                paragraphs.push(format!("- `{}`{keys}: {}", reason.name, reason.meaning.replace('\n', "\n  ")));
                details.push(reference("schemas", &reason.name));
                let summary = reason.meaning.replace('\n', " ");
                examples.insert(
                    reason.name.clone(),
                    json!({ "summary": summary, "value": self.refused(code, reason, also)? }),
                );
            }
        }
        details.push(reference("schemas", "Detail"));
        let numbers: Vec<_> = codes.iter().map(|(code, _)| code.number).collect();
        let own = json!({ "properties": {
            "code": { "enum": numbers },
            "details": { "items": { "anyOf": details } },
        } });
        let schema = json!({ "allOf": [reference("schemas", "Error"), own] });
        Ok(json!({
            "description": paragraphs.join("\n\n"),
            "headers": headers(),
            "content": { JSON: { "schema": schema, "examples": examples } },
        }))
    }

    fn refused(&self, code: &Code, reason: &Reason, also: &[String]) -> Result<Value> {
        let metadata = reason.metadata.iter().chain(also).map(|key| {
            let rule = facts::field(self.key(key)?)?.rule;
            Ok((key.clone(), rule.example.unwrap_or_default().into()))
        });
        let metadata = metadata.collect::<Result<Map<_, Value>>>()?;
        let info = json!({ "@type": ERROR_INFO, "reason": reason.name, "domain": DOMAIN, "metadata": metadata });
        Ok(error(code, &reason.message, &[info]))
    }

    /// The answers that calls share, by name.
    pub fn shared_responses(&self) -> Result<Map<String, Value>> {
        let response = |description: String, example: Option<Value>, extra: Option<(&str, Value)>| {
            let mut content = json!({ "schema": reference("schemas", "Error") });
            if let Some(example) = example {
                content["example"] = example;
            }
            let mut headers = headers();
            if let Some((name, header)) = extra {
                headers[name] = header;
            }
            json!({ "description": description, "headers": headers, "content": { JSON: content } })
        };
        let mut responses = Map::new();
        for code in self.codes.iter().filter(|code| code.of_any_call && code.http_status != BAD_REQUEST) {
            let example = error(code, &code.message, &[]);
            responses.insert(name(code.http_status), response(meaning(code), Some(example), None));
        }
        let code = self.code("UNIMPLEMENTED")?;
        let text = "`UNIMPLEMENTED` (12): the path is answered for another method, which `Allow` names.".to_owned();
        let allow =
            json!({ "description": "The method of the path.", "schema": { "type": "string" }, "example": "POST" });
        let example = error(code, "Method Not Allowed", &[]);
        responses.insert(name(OTHER_METHOD), response(text, Some(example), Some(("Allow", allow))));
        let code = self.code("RESOURCE_EXHAUSTED")?;
        let text = "`RESOURCE_EXHAUSTED` (8): the body is above 64 KiB. A smaller one may be sent at once.".to_owned();
        let example = error(code, "the request is larger than 65536 bytes", &[]);
        responses.insert(name(TOO_LARGE), response(text, Some(example), None));
        let text = "Any other failure. The table of codes says what its code means.".to_owned();
        let example = error(self.code("UNKNOWN")?, "unknown error", &[]);
        responses.insert("Error".into(), response(text, Some(example), None));
        Ok(responses)
    }

    /// The schemas of an error and its details; of reasons, those for which the service's calls are refused.
    pub fn schemas(&self, service: &ServiceDescriptor) -> Result<Map<String, Value>> {
        let mut schemas = Map::new();
        let details = json!({
            "description": "What programs can act on. A program passes over those of a type that it does not know.",
            "type": "array", "items": reference("schemas", "Detail"),
        });
        let codes: Vec<_> = self.codes.iter().map(|code| code.number).filter(|number| *number != 0).collect();
        schemas.insert(
            "Error".into(),
            json!({
                "type": "object",
                "description": "Why a call did not succeed: google.rpc.Status as JSON.",
                "required": ["code", "message", "details"],
                "properties": {
                    "code": { "description": "The code of gRPC.", "type": "integer", "format": "int32", "enum": codes },
                    "message": { "description": "What happened, for people. It may change.", "type": "string" },
                    "details": details,
                },
            }),
        );
        schemas.insert(
            "Detail".into(),
            json!({
                "type": "object",
                "description": "A message of the type that `@type` names.",
                "required": ["@type"],
                "properties": { "@type": { "type": "string", "examples": [ERROR_INFO] } },
            }),
        );
        schemas.insert(
            "BadRequest".into(),
            json!({
                "type": "object",
                "description": "Every field of the request that is wrong.",
                "required": ["@type", "field_violations"],
                "properties": {
                    "@type": { "const": VIOLATIONS },
                    "field_violations": {
                        "description": "The fields; of very many, as many as fit.",
                        "type": "array",
                        "items": {
                            "type": "object",
                            "required": ["field", "description"],
                            "properties": {
                                "field": {
                                    "description": "The field's name, with the way to it.",
                                    "type": "string", "examples": ["items[0].count"],
                                },
                                "description": { "description": "What is wrong, for people.", "type": "string" },
                            },
                        },
                    },
                },
            }),
        );
        let mut used = BTreeMap::<_, BTreeSet<_>>::new();
        for method in service.methods() {
            for refusal in facts::call(&method)?.refusals {
                used.entry(refusal.reason).or_default().extend(refusal.also);
            }
        }
        for (name, also) in used {
            schemas.insert(name.clone(), self.reason_schema(self.reason(&name)?, &also)?);
        }
        Ok(schemas)
    }

    fn reason_schema(&self, reason: &Reason, also: &BTreeSet<String>) -> Result<Value> {
        let properties = reason.metadata.iter().chain(also).map(|key| {
            let field = self.key(key)?;
            let rule = facts::field(field)?.rule;
            let mut schema = schemas::text(&rule);
            schemas::describe(&mut schema, &field.comment());
            schema["examples"] = json!([rule.example]);
            Ok((key.clone(), schema))
        });
        let properties = properties.collect::<Result<Map<_, _>>>()?;
        Ok(json!({
            "type": "object",
            "description": reason.meaning,
            "required": ["@type", "reason", "domain", "metadata"],
            "properties": {
                "@type": { "const": ERROR_INFO },
                "reason": { "const": reason.name },
                "domain": { "const": DOMAIN },
                "metadata": {
                    "type": "object",
                    "required": reason.metadata,
                    "properties": properties,
                    "additionalProperties": { "type": "string" },
                },
            },
        }))
    }

    fn code(&self, name: &str) -> Result<&Code> {
        self.codes.iter().find(|code| code.name == name).with_context(|| format!("there is no code {name}"))
    }

    fn reason(&self, name: &str) -> Result<&Reason> {
        self.reasons.get(name).with_context(|| format!("there is no reason {name}"))
    }

    fn key(&self, name: &str) -> Result<&FieldDescriptor> {
        self.metadata.get(name).with_context(|| format!("route256.api.Metadata has no field {name}"))
    }
}

fn name(status: u16) -> String {
    format!("Status{status}")
}

fn meaning(code: &Code) -> String {
    format!("`{}` ({}): {}", code.name, code.number, code.meaning)
}

fn reference(kind: &str, name: &str) -> Value {
    json!({ "$ref": format!("#/components/{kind}/{name}") })
}

fn error(code: &Code, message: &str, details: &[Value]) -> Value {
    json!({ "code": code.number, "message": message, "details": details })
}

/// What is answered when the first field that a call needs is missing.
fn violation(code: &Code, method: &MethodDescriptor) -> Result<Value> {
    for field in method.input().fields() {
        let rule = facts::field(&field)?.rule;
        let description = match (rule.minimum, rule.maximum) {
            (Some(low), Some(high)) => format!("must be from {low} to {high}, is 0"),
            (Some(low), None) => format!("must be above {}, is 0", low - 1),
            (None, _) => "is required".to_owned(),
        };
        if rule.is_required() {
            let violations = json!([{ "field": field.name(), "description": description }]);
            let details = json!({ "@type": VIOLATIONS, "field_violations": violations });
            return Ok(error(code, &format!("{}: {description}", field.name()), &[details]));
        }
    }
    Ok(error(code, "the request cannot be read", &[]))
}
