//! The configuration file and the command line.

use std::{fs, path::Path, process::Output};

use notifications::{
    config::{ApiUrl, ChatId, Config},
    domain::pace::Allowance,
};
use platform::config::{FromText as _, parse};
use secrecy::ExposeSecret as _;

use crate::binary::program;

fn example() -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("config.example.yaml")).unwrap()
}

fn variable(name: &str) -> Option<String> {
    (name == "NOTIF_POSTGRES_URL").then(|| "postgres://notifications:secret@localhost:5440/notifications".to_owned())
}

fn run(arguments: &[&str], config: &Path) -> Output {
    program().args(arguments).env("NOTIFICATIONS_CONFIG", config).output().unwrap()
}

#[test]
fn the_example_is_a_configuration() {
    let config: Config = parse("config.example.yaml", &example(), &variable).unwrap();
    assert_eq!(config.kafka.brokers.iter().map(AsRef::as_ref).collect::<Vec<&str>>(), ["127.0.0.1:9092"]);
    let telegram = config.telegram.unwrap();
    assert_eq!(telegram.chat_id, ChatId::Number(1));
    assert_eq!(telegram.api_key.expose_secret(), "123456:development");
    assert_eq!(config.service.grpc.listen.port(), 50053);
    assert_eq!(config.service.admin.listen.port(), 8182);
    assert!(config.service.grpc.tls.unwrap().client_ca.is_some());
}

#[test]
fn telegram_may_be_left_out_and_has_telegrams_own_address_by_default() {
    let file = |telegram: &str| {
        let common = "grpc: {listen: '[::1]:1'}\nadmin: {listen: '[::1]:2'}\npostgres: {connection_string: postgres://p}\nbrokers: [b:1]\n";
        parse::<Config>("c.yaml", &format!("{common}{telegram}"), &variable)
    };
    assert!(file("").unwrap().telegram.is_none());
    assert_eq!(
        file("telegram: {api_key: k, chat_id: '-100500'}").unwrap().telegram.unwrap().chat_id,
        ChatId::Number(-100_500)
    );
    let telegram = file("telegram: {api_key: k, chat_id: '@my_shop'}").unwrap().telegram.unwrap();
    assert_eq!(telegram.api_url.to_string(), "https://api.telegram.org");
    assert_eq!(telegram.chat_id, ChatId::Name("@my_shop".into()));
    assert_eq!(ApiUrl::from_text("http://localhost:8091/").unwrap().to_string(), "http://localhost:8091");
}

#[test]
fn a_chat_gets_what_telegram_allows_it_or_what_the_file_says() {
    let allowance = |telegram: &str| {
        let text = format!(
            "grpc: {{listen: '[::1]:1'}}\nadmin: {{listen: '[::1]:2'}}\npostgres: {{connection_string: postgres://p}}\n\
             brokers: [b:1]\ntelegram: {{api_key: k, {telegram}}}\n"
        );
        let config = parse::<Config>("c.yaml", &text, &variable).map_err(|faults| faults.to_string())?;
        let Allowance { burst, interval } = config.telegram.unwrap().allowance;
        Ok::<_, String>((burst, interval.as_millis()))
    };
    assert_eq!(allowance("chat_id: 1"), Ok((3, 1000)));
    assert_eq!(allowance("chat_id: -1"), Ok((3, 3529)), "twenty in the first minute");
    assert_eq!(allowance("chat_id: '@shop'"), Ok((3, 3529)));
    assert_eq!(allowance("chat_id: 1, per_minute: 1200"), Ok((60, 50)));
    for wrong in ["0", "60001", "-1", "many"] {
        let fault = allowance(&format!("chat_id: 1, per_minute: {wrong}")).unwrap_err();
        assert!(fault.contains("\n  telegram.per_minute: must be"), "{fault}");
    }
}

#[test]
fn messages_go_to_the_stand_in_while_the_key_is_empty_and_to_telegram_when_there_is_one() {
    let file = |key: &str, stand_in: &str| {
        let text = format!(
            "grpc: {{listen: '[::1]:1'}}\nadmin: {{listen: '[::1]:2'}}\npostgres: {{connection_string: postgres://p}}\n\
             brokers: [b:1]\ntelegram: {{api_key: '${{KEY}}', chat_id: 1{stand_in}}}\n"
        );
        let config = parse::<Config>("c.yaml", &text, &|name| (name == "KEY").then(|| key.to_owned()));
        config.map(|config| config.telegram.unwrap().api_url.to_string())
    };
    let stand_in = ", stand_in: 'http://telegram:8091'";
    assert_eq!(file("", stand_in).unwrap(), "http://telegram:8091");
    assert_eq!(file("123:abc", stand_in).unwrap(), "https://api.telegram.org");
    assert!(file("", "").unwrap_err().to_string().contains("telegram.api_key: must be a bot's token"));
}

#[test]
fn every_fault_of_the_file_is_reported_at_once_with_exit_code_64_and_without_a_secret() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("faulty.yaml");
    let faulty = "grpc: {listen: here}\nadmin: {}\npostgres: {connection_string: '${NO_SUCH_VARIABLE}', size: 1}\n\
                  brokers: []\ntelegram: {api_url: 'ftp://x', api_key: 'hunter2/../', chat_id: shop}\n";
    fs::write(&path, faulty).unwrap();
    for arguments in [&["check-config"][..], &["serve"], &[]] {
        let output = run(arguments, &path);
        assert_eq!(output.status.code(), Some(64));
        let text = String::from_utf8(output.stderr).unwrap();
        let keys: Vec<_> = text.lines().skip(1).map(|line| line.trim().split(": ").next().unwrap()).collect();
        let expected = [
            "grpc.listen",
            "admin.listen",
            "postgres.connection_string",
            "postgres.size",
            "brokers",
            "telegram.api_url",
            "telegram.api_key",
            "telegram.chat_id",
        ];
        assert_eq!(keys, expected, "{text}");
        assert!(text.contains("NO_SUCH_VARIABLE is not set") && !text.contains("hunter2"), "{text}");
    }
}

#[test]
fn the_example_passes_check_config() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("config.example.yaml");
    let mut command = program();
    command.env("NOTIF_POSTGRES_URL", variable("NOTIF_POSTGRES_URL").unwrap());
    let output = command.arg("check-config").arg("--config").arg(path).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
