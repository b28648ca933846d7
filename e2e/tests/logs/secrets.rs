//! Nothing that comes out of a service holds a secret.

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

    // It is all there to be looked at.
    let planted = story.secrets.iter().filter(|(name, _)| name.ends_with(".key")).count();
    assert!(planted >= 5, "every private key has a line at least");
    let heard = |name: &str, text: &str| {
        let (_, said) = story.logs.iter().chain(&story.commands).find(|(other, _)| other == name).unwrap();
        assert!(said.contains(text), "{name} did not say {text:?}: {said}");
    };
    heard("checkout", "call answered");
    heard("checkout, mistrusted", "refuses the token");
    heard("checkout, lonely", "LOMS is unavailable");
    heard("checkout, locked out", "password authentication failed");
    heard("loms", "sqlx::query");
    heard("notifications", "message refused for good");
    heard("notifications", "event is unreadable");
    heard("loms migrate", "password authentication failed");
    heard("checkout serve", "grpc.tls");
    for name in Service::ALL.map(Service::name) {
        heard(&format!("{name} check-config"), "postgres.connection_string");
    }
    assert!(story.graylog.len() > 1000 && story.spans.contains("sendMessage"));
    assert!(story.metrics.iter().any(|(_, metrics)| metrics.contains("gelf_messages_total")));
}
