//! No output of a service holds a secret.

use stack::fleet::Service;

use crate::story::Story;

pub fn no_secret_shows_in_logs_metrics_or_traces_whatever_fails(story: &Story) {
    let received = story.graylog.iter().map(|message| ("Graylog".to_owned(), message.to_string()));
    let everything = story.logs.iter().chain(&story.commands).chain(&story.metrics).cloned();
    let spans = [("spans".to_owned(), story.spans.clone())];
    let everything: Vec<_> = everything.chain(received).chain(spans).collect();
    for (secret, text) in &story.secrets {
        for (source, said) in &everything {
            let line = said.lines().find(|line| line.contains(text.as_str()));
            assert!(line.is_none(), "{source} shows {secret}: {line:?}");
        }
    }

    // Make sure that the searched output is complete.
    let planted = story.secrets.iter().filter(|(name, _)| name.ends_with(".key")).count();
    assert!(planted >= 5, "every private key has a line at least");
    let assert_said = |name: &str, text: &str| {
        let (_, said) = story.logs.iter().chain(&story.commands).find(|(other, _)| other == name).unwrap();
        assert!(said.contains(text), "{name} did not say {text:?}: {said}");
    };
    assert_said("checkout", "call answered");
    assert_said("checkout, mistrusted", "refuses the token");
    assert_said("checkout, lonely", "LOMS is unavailable");
    assert_said("checkout, locked out", "password authentication failed");
    assert_said("loms", "sqlx::query");
    assert_said("notifications", "message refused for good");
    assert_said("notifications", "event is unreadable");
    assert_said("loms migrate", "password authentication failed");
    assert_said("checkout serve", "grpc.tls");
    for name in Service::ALL.map(Service::name) {
        assert_said(&format!("{name} check-config"), "postgres.connection_string");
    }
    assert!(story.graylog.len() > 1000 && story.spans.contains("sendMessage"));
    assert!(story.metrics.iter().any(|(_, metrics)| metrics.contains("gelf_messages_total")));
}
