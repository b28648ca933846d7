//! The shape of a trace, as text that can be read and compared: a line for each span below its parent's, in the order
//! of their start.

use stack::collector::{Span, SpanKind, StatusCode};

/// `service kind name`, and what is wrong with it; spans whose parent is elsewhere begin at the margin.
pub fn drawn(spans: &[Span]) -> String {
    let is_here = |id: &str| spans.iter().any(|span| span.span_id == id);
    let mut drawing = String::new();
    for root in spans.iter().filter(|span| span.parent.as_deref().is_none_or(|parent| !is_here(parent))) {
        draw(root, spans, 0, &mut drawing);
    }
    drawing
}

fn draw(span: &Span, spans: &[Span], depth: usize, drawing: &mut String) {
    let kind = match span.kind {
        SpanKind::Unspecified => "unspecified",
        SpanKind::Internal => "internal",
        SpanKind::Server => "server",
        SpanKind::Client => "client",
        SpanKind::Producer => "producer",
        SpanKind::Consumer => "consumer",
    };
    let status = match span.status {
        StatusCode::Unset | StatusCode::Ok => "",
        StatusCode::Error => " ERROR",
    };
    let indent = "  ".repeat(depth);
    drawing.push_str(&format!("{indent}{} {kind} {}{status}\n", span.service(), span.name));
    for child in spans.iter().filter(|child| child.parent.as_ref() == Some(&span.span_id)) {
        draw(child, spans, depth + 1, drawing);
    }
}

/// The one span of this name.
pub fn one<'a>(spans: &'a [Span], name: &str) -> &'a Span {
    let found = all(spans, name);
    let [span] = found.as_slice() else { panic!("{} spans are named {name}:\n{}", found.len(), drawn(spans)) };
    span
}

/// Every span of this name.
pub fn all<'a>(spans: &'a [Span], name: &str) -> Vec<&'a Span> {
    spans.iter().filter(|span| span.name == name).collect()
}
