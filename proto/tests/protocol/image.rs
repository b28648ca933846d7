//! What clients rely on is written down in `image.txt`, a fact a line. A fact that is gone or changed breaks them.

use std::{collections::BTreeSet, env, fs, path::PathBuf};

use prost_reflect::{Cardinality, DescriptorPool, EnumDescriptor, MessageDescriptor, MethodDescriptor};

use crate::{facts, own_files, pool};

const HEAD: &str = "\
# What clients of the fleet rely on. `make image` adds to it what the protos have anew, and never takes anything away.
";

#[test]
fn nothing_that_clients_rely_on_is_gone_or_changed_and_what_is_new_is_written_down() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("image.txt");
    let written = fs::read_to_string(&path).unwrap();
    let written: BTreeSet<_> = written.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect();
    let now = facts_of(&pool());

    let lost: Vec<_> = written.difference(&now).map(String::as_str).collect();
    assert!(
        lost.is_empty(),
        "clients rely on what the protos do not say any more:\n\n{}\n\nPut it back as it was. A number, name or type \
         cannot change and nothing can go: add a field, call, path or reason beside it. Only what nobody can have used \
         yet may leave proto/image.txt too, by hand, in a commit that says why.",
        lost.join("\n")
    );
    if env::var_os("WRITE_IMAGE").is_some() {
        let lines = now.iter().map(|line| format!("{line}\n")).collect::<String>();
        return fs::write(path, format!("{HEAD}{lines}")).unwrap();
    }
    let new: Vec<_> = now.difference(&written).map(String::as_str).collect();
    assert!(
        new.is_empty(),
        "the protos say more than proto/image.txt, so that nobody would notice if it went again:\n\n{}\n\nRun `make \
         image` and commit what it writes.",
        new.join("\n")
    );
}

#[test]
fn a_change_of_anything_in_the_protos_changes_a_fact() {
    let facts = |proto: &str| {
        let directory = tempfile::tempdir().unwrap();
        for (name, text) in [("api.proto", include_str!("../../api.proto")), ("shop.proto", proto)] {
            fs::write(directory.path().join(name), text).unwrap();
        }
        let mut compiler = protox::Compiler::new([directory.path()]).unwrap();
        facts_of(&compiler.include_imports(true).open_file("shop.proto").unwrap().descriptor_pool())
    };
    let original = r#"
        syntax = "proto3";
        package shop;
        import "api.proto";
        service Shop {
          rpc Buy(BuyRequest) returns (BuyResponse) {
            option (route256.api.path) = "/buy";
            option (route256.api.refusal) = { reason: CART_EMPTY };
          }
        }
        message BuyRequest { int64 user = 1; repeated uint32 sku = 2; oneof how { string card = 3; string cash = 4; } }
        message BuyResponse { uint64 sum = 1 [jstype = JS_NUMBER]; Kind kind = 2; optional int32 tip = 3; }
        enum Kind { KIND_UNSPECIFIED = 0; KIND_GIFT = 1; }
    "#;
    let before = facts(original);
    let breaks = [
        ("int64 user = 1", "uint64 user = 1"),
        ("int64 user = 1", "int64 user = 9"),
        ("int64 user = 1", "int64 buyer = 1"),
        ("int64 user = 1;", ""),
        ("repeated uint32", "uint32"),
        ("oneof how { string card = 3; string cash = 4; }", "string card = 3; string cash = 4;"),
        ("optional int32 tip", "int32 tip"),
        (" [jstype = JS_NUMBER]", ""),
        ("KIND_GIFT = 1", "KIND_GIFT = 2"),
        ("KIND_GIFT", "KIND_PRESENT"),
        ("rpc Buy", "rpc Purchase"),
        ("returns (BuyResponse)", "returns (stream BuyResponse)"),
        ("returns (BuyResponse)", "returns (BuyRequest)"),
        ("\"/buy\"", "\"/purchase\""),
        ("CART_EMPTY", "CART_LIMIT"),
        ("service Shop", "service Store"),
        ("package shop", "package store"),
    ];
    for (from, to) in breaks {
        let after = facts(&original.replace(from, to));
        assert!(!before.is_subset(&after), "{from} -> {to}");
    }
    let additions = [
        ("int64 user = 1;", "int64 user = 1; string name = 8;"),
        ("\"/buy\";", "\"/buy\"; option (route256.api.path) = \"/purchase\";"),
        ("enum Kind", "message Other {} enum Kind"),
    ];
    for (from, to) in additions {
        let after = facts(&original.replace(from, to));
        assert!(before.is_subset(&after) && after.len() > before.len(), "{from} -> {to}");
    }
}

fn facts_of(pool: &DescriptorPool) -> BTreeSet<String> {
    let mut facts = BTreeSet::new();
    for file in own_files(pool).iter().filter(|file| file.package_name() != "route256.api") {
        file.messages().for_each(|message| of_message(&message, &mut facts));
        file.enums().for_each(|all| of_enum(&all, &mut facts));
        for service in file.services() {
            facts.insert(format!("service {}", service.full_name()));
            service.methods().for_each(|method| of_method(&method, &mut facts));
        }
    }
    for code in facts::codes(pool).unwrap() {
        facts.insert(format!("code {} {} is {} over HTTP", code.number, code.name, code.http_status));
    }
    for reason in facts::reasons(pool).unwrap() {
        facts.insert(format!("reason {} is {}", reason.name, reason.code));
        facts.extend(reason.metadata.iter().map(|key| format!("reason {} has {key}", reason.name)));
    }
    facts
}

fn of_message(message: &MessageDescriptor, facts: &mut BTreeSet<String>) {
    let name = message.full_name();
    facts.insert(format!("message {name}"));
    for field in message.fields() {
        let label = match field.cardinality() {
            Cardinality::Repeated => "repeated ",
            Cardinality::Required => "required ",
            Cardinality::Optional if field.field_descriptor_proto().proto3_optional() => "optional ",
            Cardinality::Optional => "",
        };
        // A scalar by its name, a message or an enum by its own.
        let kind = format!("{:?}", field.kind());
        let oneof = field.containing_oneof().filter(|_| !field.field_descriptor_proto().proto3_optional());
        let oneof = oneof.map(|oneof| format!(", one of {}", oneof.name())).unwrap_or_default();
        let number = if facts::field(&field).unwrap().is_number() { ", a number in JSON" } else { "" };
        facts.insert(format!("field {name} {} is {label}{kind} {}{oneof}{number}", field.number(), field.name()));
    }
    message.child_messages().for_each(|inner| of_message(&inner, facts));
    message.child_enums().for_each(|inner| of_enum(&inner, facts));
}

fn of_enum(all: &EnumDescriptor, facts: &mut BTreeSet<String>) {
    facts.insert(format!("enum {}", all.full_name()));
    facts.extend(all.values().map(|value| format!("value {} {} is {}", all.full_name(), value.number(), value.name())));
}

fn of_method(method: &MethodDescriptor, facts: &mut BTreeSet<String>) {
    let stream = |is_stream| if is_stream { "stream " } else { "" };
    let (name, from, to) = (method.full_name(), method.input(), method.output());
    let (asked, answered) = (stream(method.is_client_streaming()), stream(method.is_server_streaming()));
    facts.insert(format!("call {name} takes {asked}{} answers {answered}{}", from.full_name(), to.full_name()));
    let call = facts::call(method).unwrap();
    facts.extend(call.paths.iter().map(|path| format!("path {path} is {name}")));
    for refusal in call.refusals {
        facts.extend(refusal.also.iter().map(|key| format!("refusal {name} {} has {key}", refusal.reason)));
        facts.insert(format!("refusal {name} {}", refusal.reason));
    }
}
