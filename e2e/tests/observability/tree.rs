//! Draws a trace as text: a line for each span, below the line of its parent, in the order of their start.

use stack::collector::{Span, SpanKind, StatusCode};

/// A line is `service kind name`, and `ERROR` for a failed span. A span without its parent in `spans` is not indented.
pub fn draw(spans: &[Span]) -> String {
    let is_here = |id: &str| spans.iter().any(|span| span.span_id == id);
    let mut drawing = String::new();
    for root in spans.iter().filter(|span| span.parent.as_deref().is_none_or(|parent| !is_here(parent))) {
        draw_below(root, spans, 0, &mut drawing);
    }
    drawing
}

fn draw_below(span: &Span, spans: &[Span], depth: usize, drawing: &mut String) {
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
        draw_below(child, spans, depth + 1, drawing);
    }
}

/// Panics unless exactly one span has this name.
pub fn find_one<'a>(spans: &'a [Span], name: &str) -> &'a Span {
    let found = find_all(spans, name);
    let [span] = found.as_slice() else { panic!("{} spans are named {name}:\n{}", found.len(), draw(spans)) };
    span
}

pub fn find_all<'a>(spans: &'a [Span], name: &str) -> Vec<&'a Span> {
    spans.iter().filter(|span| span.name == name).collect()
}
