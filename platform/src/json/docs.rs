//! The page that shows the service's OpenAPI document and tries its calls: Swagger UI, which a library carries, set up
//! by `docs/page.*`. All that a browser loads for it comes from here.

use std::io::Write as _;

use axum::{
    Router,
    body::{Body, Bytes},
    extract::Request,
    http::{
        HeaderName, HeaderValue, Response, StatusCode,
        header::{
            CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY,
            X_CONTENT_TYPE_OPTIONS,
        },
    },
    response::Redirect,
    routing::{MethodRouter, get},
};
use flate2::{Compression, write::GzEncoder};
use http_body_util::BodyExt as _;
use swagger_ui_dist::{ApiDefinition, OpenApiSource};
use tokio::{sync::OnceCell, task::spawn_blocking};
use tonic::Status;
use tower::ServiceExt as _;

use super::{refusals, wrong_method};
use crate::failure::Failure;

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";

const HEADERS: [(HeaderName, &str); 3] = [
    // Nothing from elsewhere, nothing inline, and in no frame. Pictures are in the library's stylesheet.
    (
        CONTENT_SECURITY_POLICY,
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; connect-src 'self'; base-uri 'none'; \
         form-action 'none'; frame-ancestors 'none'",
    ),
    (REFERRER_POLICY, "no-referrer"),
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
];

static STYLE: Asset = Asset::new("/docs/swagger-ui.css", CSS);
static BUNDLE: Asset = Asset::new("/docs/swagger-ui-bundle.js", SCRIPT);

pub(super) fn routes() -> Router {
    Router::new()
        .route("/docs", ours(HTML, include_str!("docs/page.html")))
        .route("/docs/", only(get(async || Redirect::permanent("../docs"))))
        .route("/docs/page.css", ours(CSS, include_str!("docs/page.css")))
        .route("/docs/page.js", ours(SCRIPT, include_str!("docs/page.js")))
        .route(STYLE.path, only(get(async || STYLE.answer().await)))
        .route(BUNDLE.path, only(get(async || BUNDLE.answer().await)))
}

fn only(get: MethodRouter) -> MethodRouter {
    get.fallback(|| wrong_method("GET,HEAD"))
}

/// Changes with this program.
fn ours(content_type: &'static str, text: &'static str) -> MethodRouter {
    only(get(async move || answer(content_type, "no-cache", text)))
}

fn answer(content_type: &'static str, cache: &'static str, body: impl Into<Body>) -> Response<Body> {
    let mut answer = Response::new(body.into());
    for (name, value) in HEADERS.into_iter().chain([(CACHE_CONTROL, cache), (CONTENT_TYPE, content_type)]) {
        answer.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    answer
}

/// A file of the library, which is compressed once, when it is asked for first. Every browser takes it so.
struct Asset {
    path: &'static str,
    content_type: &'static str,
    compressed: OnceCell<Bytes>,
}

impl Asset {
    const fn new(path: &'static str, content_type: &'static str) -> Self {
        Self { path, content_type, compressed: OnceCell::const_new() }
    }

    async fn answer(&self) -> Response<Body> {
        match self.compressed.get_or_try_init(|| compressed(self.path)).await {
            Ok(compressed) => {
                let mut answer = answer(self.content_type, "max-age=3600", compressed.clone());
                answer.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
                answer
            }
            Err(error) => {
                refusals::answer(StatusCode::INTERNAL_SERVER_ERROR, &Status::from(Failure::unforeseen(error)))
            }
        }
    }
}

async fn compressed(path: &'static str) -> anyhow::Result<Bytes> {
    let definition = ApiDefinition { uri_prefix: "/docs", api_definition: OpenApiSource::Uri(""), title: None };
    let file = swagger_ui_dist::generate_routes(definition).oneshot(Request::get(path).body(Body::empty())?).await?;
    let file = file.into_body().collect().await?.to_bytes();
    let compress = move || {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(&file)?;
        encoder.finish()
    };
    Ok(spawn_blocking(compress).await??.into())
}
