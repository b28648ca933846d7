//! How the protos are written: the rules of Buf's linter as far as the names of the Go system allow, and what the
//! documents that are made of them need.

use std::collections::{BTreeMap, BTreeSet};

use prost_reflect::{
    DescriptorPool, EnumDescriptor, FieldDescriptor, FileDescriptor, MessageDescriptor, MethodDescriptor,
    ServiceDescriptor,
};

use crate::{
    facts::{self, Commented},
    own_files, pool,
};

/// Fields whose names are those of the Go system.
const NOT_SNAKE_CASE: [&str; 8] = [
    "cart.ListCartResponse.totalPrice",
    "cart.PurchaseResponse.orderID",
    "loms.CancelOrderRequest.orderID",
    "loms.CreateOrderResponse.orderID",
    "loms.ListOrderRequest.orderID",
    "loms.OrderPayedRequest.orderID",
    "loms.OrderSummary.orderID",
    "loms.Stock.warehouseID",
];

/// What the summary of a call takes in a list of calls.
const LONGEST_SUMMARY: usize = 120;

#[test]
fn the_protos_are_written_by_the_rules() {
    let pool = pool();
    let mut lint = Lint::default();
    for file in own_files(&pool) {
        lint.file(&file);
        file.messages().for_each(|message| lint.message(&message));
        file.enums().for_each(|all| lint.values(&all));
        file.services().for_each(|service| lint.service(&service, &pool));
        for extension in file.extensions() {
            let name = extension.full_name().to_owned();
            lint.comment(&name, &comment_of_extension(&file, extension.path()));
            lint.check(is_snake_case(extension.name()), &name, "must be lower_snake_case");
        }
    }
    lint.uses();
    assert!(lint.faults.is_empty(), "proto/*.proto:\n\n{}\n", lint.faults.join("\n"));
}

#[derive(Default)]
struct Lint {
    faults: Vec<String>,
    /// Which calls have a message as request or answer.
    users: BTreeMap<String, Vec<String>>,
}

impl Lint {
    fn check(&mut self, is_right: bool, name: &str, rule: &str) {
        if !is_right {
            self.faults.push(format!("{name} {rule}"));
        }
    }

    fn comment(&mut self, name: &str, comment: &str) {
        self.check(!comment.is_empty(), name, "must have a comment before it");
        self.check(comment.is_empty() || comment.ends_with('.'), name, "must have a comment of whole sentences");
    }

    fn file(&mut self, file: &FileDescriptor) {
        let name = file.name();
        let proto = file.file_descriptor_proto();
        self.comment(&format!("{name}: its syntax"), &file.comment());
        self.check(
            name.strip_suffix(".proto").is_some_and(is_snake_case),
            name,
            "must be named lower_snake_case.proto",
        );
        self.check(proto.syntax() == "proto3", name, "must be proto3");
        self.check(file.package_name().split('.').all(is_snake_case), name, "must have a package in lower_snake_case");
        self.check(proto.public_dependency.is_empty() && proto.weak_dependency.is_empty(), name, "must import plainly");
        let used = used_files(file);
        for import in file.dependencies() {
            self.check(
                used.contains(import.name()),
                name,
                &format!("must not import {}, which it does not use", import.name()),
            );
        }
        let mut sorted = proto.dependency.clone();
        sorted.sort();
        self.check(sorted == proto.dependency, name, "must have its imports in order");
    }

    fn message(&mut self, message: &MessageDescriptor) {
        let name = message.full_name();
        self.comment(name, &message.comment());
        self.check(is_pascal_case(message.name()), name, "must be PascalCase");
        for field in message.fields() {
            self.comment(field.full_name(), &field.comment());
            let is_known = NOT_SNAKE_CASE.contains(&field.full_name());
            let is_right = is_snake_case(field.name()) || is_known;
            self.check(is_right, field.full_name(), "must be lower_snake_case");
        }
        for oneof in message.oneofs().filter(|oneof| !oneof.is_synthetic()) {
            self.check(is_snake_case(oneof.name()), oneof.full_name(), "must be lower_snake_case");
        }
        message.child_messages().for_each(|inner| self.message(&inner));
        message.child_enums().for_each(|inner| self.values(&inner));
    }

    fn values(&mut self, all: &EnumDescriptor) {
        self.comment(all.full_name(), &all.comment());
        self.check(is_pascal_case(all.name()), all.full_name(), "must be PascalCase");
        for value in all.values() {
            self.comment(value.full_name(), &value.comment());
            let is_right = is_snake_case(&value.name().to_lowercase()) && value.name() == value.name().to_uppercase();
            self.check(is_right, value.full_name(), "must be UPPER_SNAKE_CASE");
        }
        // The codes are those of gRPC, whose first one is OK.
        let zero = all.default_value();
        let is_right = zero.number() == 0 && (zero.name().ends_with("_UNSPECIFIED") || zero.name() == "OK");
        self.check(is_right, all.full_name(), "must begin with a value 0 that ends in _UNSPECIFIED");
    }

    fn service(&mut self, service: &ServiceDescriptor, pool: &DescriptorPool) {
        self.comment(service.full_name(), &service.comment());
        self.check(is_pascal_case(service.name()), service.full_name(), "must be PascalCase");
        let mut paths = BTreeSet::new();
        for method in service.methods() {
            let name = method.full_name().to_owned();
            let comment = method.comment();
            self.comment(&name, &comment);
            let summary = comment.split("\n\n").next().unwrap_or_default().replace('\n', " ");
            let summary = summary.split(". ").next().unwrap_or_default();
            self.check(summary.len() <= LONGEST_SUMMARY, &name, "must have a first sentence of at most 120 characters");
            self.check(is_pascal_case(method.name()), &name, "must be PascalCase");
            let (request, response) = (method.input(), method.output());
            let is_right = request.name() == format!("{}Request", method.name());
            self.check(is_right, &name, "must take a message of its own, named after it and Request");
            let is_right = response.name() == format!("{}Response", method.name())
                || response.full_name() == "google.protobuf.Empty";
            self.check(is_right, &name, "must answer a message of its own, named after it and Response, or Empty");
            for message in [request, response] {
                self.users.entry(message.full_name().to_owned()).or_default().push(name.clone());
            }
            let call = facts::call(&method).unwrap();
            for path in &call.paths {
                let is_plain = path.strip_prefix('/').is_some_and(|rest| {
                    rest.starts_with(|first: char| first.is_ascii_lowercase())
                        && rest.chars().all(|letter| letter.is_ascii_alphanumeric())
                });
                self.check(is_plain, &name, &format!("must have a path in lowerCamelCase, not {path}"));
                self.check(paths.insert(path.clone()), &name, &format!("must have a path of its own, not {path}"));
            }
            self.reasons(&method, &comment, &call, pool);
            if !call.paths.is_empty() {
                self.examples(&method);
            }
        }
        let calls = service.methods().map(|method| facts::call(&method).unwrap());
        let is_right = paths.is_empty() || calls.into_iter().all(|call| !call.paths.is_empty());
        self.check(is_right, service.full_name(), "must have a path for each of its calls, if for any");
    }

    /// The comment of a call says when it is refused, and programs can tell for what.
    fn reasons(&mut self, method: &MethodDescriptor, comment: &str, call: &facts::Call, pool: &DescriptorPool) {
        let words: BTreeSet<_> =
            comment.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_').collect();
        let reasons = facts::reasons(pool).unwrap();
        let declared: BTreeSet<_> = call.refusals.iter().map(|refusal| refusal.reason.as_str()).collect();
        for reason in reasons.iter().map(|reason| reason.name.as_str()) {
            let (is_said, is_declared) = (words.contains(reason), declared.contains(reason));
            self.check(
                is_said || !is_declared,
                method.full_name(),
                &format!("must say when it is refused with {reason}"),
            );
            let rule = format!("must have {reason}, of which its comment speaks, as an option route256.api.refusal");
            self.check(is_declared || !is_said, method.full_name(), &rule);
        }
        let keys = facts::metadata(pool).unwrap();
        let also = call.refusals.iter().flat_map(|refusal| &refusal.also);
        for key in also.filter(|key| !keys.contains_key(*key)) {
            self.check(false, method.full_name(), &format!("names {key}, which is no field of route256.api.Metadata"));
        }
    }

    /// Whoever reads a document sees what a field may look like.
    fn examples(&mut self, method: &MethodDescriptor) {
        let mut seen = BTreeSet::new();
        let mut messages = vec![method.input(), method.output()];
        while let Some(message) = messages.pop() {
            if message.full_name().starts_with("google.") || !seen.insert(message.full_name().to_owned()) {
                continue;
            }
            for field in message.fields() {
                let kind = field.kind();
                match kind.as_message().filter(|inner| inner.full_name() != "google.protobuf.Timestamp") {
                    Some(inner) => messages.push(inner.clone()),
                    None => self.example(&field),
                }
            }
        }
    }

    fn example(&mut self, field: &FieldDescriptor) {
        let is_there = facts::field(field).unwrap().rule.example.is_some();
        let rule = "must have an example, as option route256.api.rule, and its bounds";
        if !self.faults.iter().any(|fault| fault.starts_with(&format!("{} {rule}", field.full_name()))) {
            self.check(is_there, field.full_name(), rule);
        }
    }

    fn uses(&mut self) {
        let shared = self.users.iter().filter(|(name, users)| users.len() > 1 && !name.starts_with("google."));
        let faults = shared.map(|(name, users)| format!("{name} must belong to one call, not {}", users.join(" and ")));
        self.faults.extend(faults.collect::<Vec<_>>());
    }
}

fn comment_of_extension(file: &FileDescriptor, path: &[i32]) -> String {
    let places = file.file_descriptor_proto().source_code_info.iter().flat_map(|info| &info.location);
    let mut comments = places.filter(|place| place.path == path).filter_map(|place| place.leading_comments.clone());
    comments.next().unwrap_or_default().trim().to_owned()
}

/// The files whose messages, enums or options a file uses.
fn used_files(file: &FileDescriptor) -> BTreeSet<String> {
    let mut used = BTreeSet::new();
    let mut messages: Vec<_> = file.messages().collect();
    while let Some(message) = messages.pop() {
        for field in message.fields() {
            let kind = field.kind();
            used.extend(kind.as_message().map(|inner| inner.parent_file().name().to_owned()));
            used.extend(kind.as_enum().map(|inner| inner.parent_file().name().to_owned()));
            used.extend(field.options().extensions().map(|(option, _)| option.parent_file().name().to_owned()));
        }
        messages.extend(message.child_messages());
    }
    for method in file.services().flat_map(|service| service.methods().collect::<Vec<_>>()) {
        used.extend([method.input(), method.output()].map(|message| message.parent_file().name().to_owned()));
        used.extend(method.options().extensions().map(|(option, _)| option.parent_file().name().to_owned()));
    }
    used.extend(file.extensions().map(|extension| extension.containing_message().parent_file().name().to_owned()));
    used
}

fn is_snake_case(name: &str) -> bool {
    let is_word = |word: &str| word.starts_with(|first: char| first.is_ascii_lowercase());
    name.split('_').all(is_word) && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}

fn is_pascal_case(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_uppercase()) && name.chars().all(|c| c.is_ascii_alphanumeric())
}

#[test]
fn a_fault_in_a_proto_is_told_by_its_name_and_rule() {
    let faulty = r#"
        syntax = "proto3";
        package Shop;
        import "google/protobuf/empty.proto";
        import "api.proto";
        service shop {
          // Buys
          rpc buy(Things) returns (Things) { option (route256.api.path) = "/buy/"; }
          // Sells, or is refused with CART_EMPTY.
          rpc Sell(SellRequest) returns (SellResponse) { option (route256.api.refusal) = { reason: CART_LIMIT }; }
        }
        message Things { int64 userName = 1; }
        message SellRequest {}
        message SellResponse {}
        enum Kind { GIFT = 0; }
    "#;
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("api.proto"), include_str!("../../api.proto")).unwrap();
    std::fs::write(directory.path().join("shop.proto"), faulty).unwrap();
    let mut compiler = protox::Compiler::new([directory.path()]).unwrap();
    let pool =
        compiler.include_imports(true).include_source_info(true).open_file("shop.proto").unwrap().descriptor_pool();
    let file = pool.get_file_by_name("shop.proto").unwrap();
    let mut lint = Lint::default();
    lint.file(&file);
    file.messages().for_each(|message| lint.message(&message));
    file.enums().for_each(|all| lint.values(&all));
    file.services().for_each(|service| lint.service(&service, &pool));
    lint.uses();
    let expected = [
        "shop.proto: its syntax must have a comment before it",
        "shop.proto must have a package in lower_snake_case",
        "shop.proto must not import google/protobuf/empty.proto, which it does not use",
        "shop.proto must have its imports in order",
        "Shop.Things must have a comment before it",
        "Shop.Things.userName must have a comment before it",
        "Shop.Things.userName must be lower_snake_case",
        "Shop.Things.userName must have an example, as option route256.api.rule, and its bounds",
        "Shop.Kind must begin with a value 0 that ends in _UNSPECIFIED",
        "Shop.shop must be PascalCase",
        "Shop.shop must have a path for each of its calls, if for any",
        "Shop.shop.buy must have a comment of whole sentences",
        "Shop.shop.buy must be PascalCase",
        "Shop.shop.buy must take a message of its own, named after it and Request",
        "Shop.shop.buy must answer a message of its own, named after it and Response, or Empty",
        "Shop.shop.buy must have a path in lowerCamelCase, not /buy/",
        "Shop.shop.Sell must have CART_EMPTY, of which its comment speaks, as an option route256.api.refusal",
        "Shop.shop.Sell must say when it is refused with CART_LIMIT",
        "Shop.Things must belong to one call, not Shop.shop.buy and Shop.shop.buy",
    ];
    for fault in expected {
        assert!(lint.faults.iter().any(|found| found == fault), "{fault}\n\n{}", lint.faults.join("\n"));
    }
}
