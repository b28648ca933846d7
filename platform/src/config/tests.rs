#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::time::Duration;

use super::*;

section! {
    struct Shop {
        name: String = required(),
        timeout: Duration = within(Duration::from_secs(1), Duration::from_millis(250)..=Duration::from_secs(3600)),
        flags: Vec<bool> = list(),
        stock: Option<Stock> = optional_section(),
    }
}

section! {
    struct Stock {
        size: u32 = within(1, 1..=9),
    }
}

fn read(text: &str) -> Result<Shop, Faults> {
    parse("shop.yaml", text, &|name| (name == "SHOP_NAME").then(|| "Corner: \"shop\" # 7".into()))
}

#[test]
fn values_defaults_and_variables_are_read() {
    let shop = read("name: The ${SHOP_NAME}!\nflags: [true, 'false']\nstock: {size: 3}").unwrap();
    assert_eq!(shop.name, "The Corner: \"shop\" # 7!");
    assert_eq!(shop.timeout, Duration::from_secs(1));
    assert_eq!(shop.flags, [true, false]);
    assert_eq!(shop.stock.unwrap().size, 3);
}

#[test]
fn every_fault_is_reported_at_once_with_its_key() {
    let faults = read("timeout: soon\nflags: [70000, x]\nstock: {sise: 3, size: many}\ncolour: red").unwrap_err();
    assert_eq!(
        faults.to_string(),
        "shop.yaml:\n  name: is missing\n  timeout: must be a duration with its unit, such as 10m, 5s or 250ms\n  \
         flags[0]: must be true or false\n  flags[1]: must be true or false\n  \
         stock.size: must be a whole number from 1 to 9\n  stock.sise: unknown key\n  colour: unknown key"
    );
}

#[test]
fn an_unset_variable_is_named_and_a_value_never_quoted() {
    let faults = read("name: ${NOWHERE}\nflags: [true]\ntimeout: hunter2").unwrap_err().to_string();
    assert!(faults.contains("name: the environment variable NOWHERE is not set"), "{faults}");
    assert!(!faults.contains("hunter2"), "{faults}");
    // The space before the value is missing.
    let faults = read("name: a\nflags: [true]\nstock: {size: 1, password:hunter2}").unwrap_err().to_string();
    assert_eq!(faults, "shop.yaml:\n  stock.password: unknown key");
}

#[test]
fn a_number_or_a_duration_is_read_up_to_its_bounds_and_no_further() {
    let read = |timeout: &str, size: &str| {
        let text = format!("name: a\nflags: [true]\ntimeout: {timeout}\nstock: {{size: '{size}'}}");
        read(&text).map(|shop| (shop.timeout, shop.stock.unwrap().size)).map_err(|faults| faults.to_string())
    };
    assert_eq!(read("250ms", "1"), Ok((Duration::from_millis(250), 1)));
    assert_eq!(read("1h", "9"), Ok((Duration::from_secs(3600), 9)));
    let faults = "shop.yaml:\n  timeout: must be from 250ms to 1h\n  stock.size: must be a whole number from 1 to 9";
    for (timeout, size) in [("249ms", "0"), ("1h 1ns", "10"), ("500000000000y", "18446744073709551616"), ("0s", "-1")] {
        assert_eq!(read(timeout, size), Err(faults.into()), "{timeout}, {size}");
    }
}

#[test]
fn a_variable_overrides_a_key_and_its_fault_is_told_with_the_others() {
    let read = |level: &str, variable: &str| {
        let text = format!(
            "grpc: {{listen: '127.0.0.1:1'}}\nadmin: {{listen: nowhere}}\n\
             postgres: {{connection_string: 'postgres://x'}}\nlog: {{level: {level}}}\n"
        );
        let variables = |name: &str| (name == "RUST_LOG").then(|| variable.to_owned());
        let faults = parse::<service::ServiceConfig>("shop.yaml", &text, &variables).unwrap_err().to_string();
        faults.lines().skip(2).collect::<Vec<_>>().join("\n")
    };
    for good in ["", "debug", "info,sqlx=debug"] {
        assert!(read("info", good).is_empty(), "{good}");
    }
    let should = "must be error, warn, info, debug or trace, or directives such as info,sqlx=debug";
    let fault = format!("  log.level: the environment variable RUST_LOG, which overrides it, {should}");
    for wrong in ["foo bar", "foo bar=info", "info,sqlx", "info,sqlx=loud"] {
        assert_eq!(read("info", wrong), fault, "{wrong}");
    }
    assert_eq!(read("loud", "foo bar"), format!("  log.level: {should}\n{fault}"));
}

#[test]
fn rules_between_keys_and_bounds_are_told_with_the_key() {
    let text = "grpc: {listen: '127.0.0.1:1', default_deadline: 2m}\nadmin: {listen: '127.0.0.1:2'}\n\
                postgres: {connection_string: 'postgres://x', max_connections: 2}\n";
    let faults = parse::<service::ServiceConfig>("shop.yaml", text, &|_| None).unwrap_err().to_string();
    assert!(faults.contains("grpc.default_deadline: must not be above max_deadline"), "{faults}");
    assert!(faults.contains("postgres.max_connections: must be a whole number from 3 to 10000"), "{faults}");
}

#[test]
fn headers_are_read_with_their_variables_and_never_shown() {
    let read = |jaeger: &str| {
        let text = format!(
            "grpc: {{listen: '127.0.0.1:1'}}\nadmin: {{listen: '127.0.0.1:2'}}\n\
             postgres: {{connection_string: 'postgres://x'}}\njaeger: {jaeger}\n"
        );
        parse::<service::ServiceConfig>("shop.yaml", &text, &|name| (name == "TOKEN").then(|| "hunter2".into()))
    };
    let config = read("{endpoint: 'https://x:1', headers: {Authorization: 'Bearer ${TOKEN}', x-shop: 7}}").unwrap();
    let headers: Vec<_> =
        config.jaeger.as_ref().unwrap().headers.iter().map(|(name, value)| (name.as_str(), value)).collect();
    assert_eq!(headers, [("authorization", &"Bearer hunter2".parse().unwrap()), ("x-shop", &"7".parse().unwrap())]);
    assert!(!format!("{config:?}").contains("hunter2"), "{config:?}");

    let faults =
        read("{endpoint: 'http://x:1', ca: ca.pem, headers: {a b: 'x', x-bin: 'y', t: \"${TOKEN}\\n\", n:hunter2}}");
    assert_eq!(
        faults.unwrap_err().to_string(),
        "shop.yaml:\n  jaeger.headers.a b: must be the name of a header that holds text, such as authorization\n  \
         jaeger.headers.x-bin: must be the name of a header that holds text, such as authorization\n  \
         jaeger.headers.t: must be visible ASCII characters\n  \
         jaeger.headers.n: must be the name of a header that holds text, such as authorization\n  \
         jaeger.headers.n: has no value"
    );
    let faults = read("{endpoint: 'http://x:1', ca: ca.pem}").unwrap_err().to_string();
    assert_eq!(faults, "shop.yaml:\n  jaeger.ca: is for an endpoint that begins with https://");
}

#[test]
fn a_file_that_is_no_mapping_is_refused() {
    assert!(read("- 1").unwrap_err().to_string().contains("must be a mapping"));
    assert!(read("a: [").unwrap_err().to_string().contains("is not YAML"));
}

#[test]
fn a_service_is_reached_over_tls_unless_its_address_says_http() {
    assert!(ServiceUrl::from_text("localhost:50052").unwrap().is_tls());
    assert!(ServiceUrl::from_text("https://localhost:50052").unwrap().is_tls());
    assert!(!ServiceUrl::from_text("http://localhost:50052").unwrap().is_tls());
    assert!(ServiceUrl::from_text("localhost").is_err());
    assert!(ServiceUrl::from_text("ftp://localhost:1").is_err());
    assert!(ServiceUrl::from_text("https://localhost:1/path").is_err());
}

#[test]
fn values_that_only_a_later_step_would_stumble_over_are_refused_at_once() {
    assert!(LogLevel::from_text("info,sqlx=debug,platform::net=off").is_ok());
    assert!(LogLevel::from_text("warn,platform[rpc]=debug").is_ok());
    // The filter would take a typo for the name of a module, and log nothing.
    assert!(LogLevel::from_text("inof").is_err());
    assert!(LogLevel::from_text("info,sqlx=loud").is_err());

    assert!(PostgresUrl::from_text("postgres://user:password@localhost:5432/shop").is_ok());
    for wrong in ["hello", "mysql://localhost/shop", "postgres://localhost:port/shop"] {
        let fault = PostgresUrl::from_text(wrong).unwrap_err();
        assert!(!fault.contains(wrong), "{fault}");
    }

    assert!(HostPort::from_text("localhost:9092").is_ok());
    assert!(HostPort::from_text("[::1]:9092").is_ok());
    for wrong in [":", "localhost", "localhost:", "kafka://localhost:9092", "user@localhost:9092", "a:70000"] {
        assert!(HostPort::from_text(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn allowed_origins_are_origins_as_browsers_send_them_and_nothing_else() {
    let read = |origins: &str| {
        let text = format!(
            "grpc: {{listen: '127.0.0.1:1'}}\nadmin: {{listen: '127.0.0.1:2'}}\n\
             http: {{listen: '127.0.0.1:3', cors: {{allowed_origins: {origins}}}}}\n\
             postgres: {{connection_string: 'postgres://x'}}\n"
        );
        let config = parse::<service::ServiceConfig>("shop.yaml", &text, &|_| None);
        config.map(|config| config.http.unwrap().cors.allowed_origins).map_err(|faults| faults.to_string())
    };
    let shops = read("['https://shop.example', 'http://localhost:3000']").unwrap();
    assert_eq!(shops.iter().map(|shop| &shop.0).collect::<Vec<_>>(), ["https://shop.example", "http://localhost:3000"]);
    for wrong in
        ["*", "shop.example", "https://shop.example/", "https://shop.example:443", "https://Shop.example", "null"]
    {
        let fault = "shop.yaml:\n  http.cors.allowed_origins[0]: must be an origin, such as https://shop.example";
        assert_eq!(read(&format!("['{wrong}']")), Err(fault.into()), "{wrong}");
    }
    for wrong in ["[]", "https://shop.example"] {
        let fault = "shop.yaml:\n  http.cors.allowed_origins: must be a list with at least one value";
        assert_eq!(read(wrong), Err(fault.into()), "{wrong}");
    }
}
