//! What the admin port serves: metrics for a scraper, health for a supervisor, readiness for a
//! load balancer.
//!
//! Health and readiness differ on purpose. `/healthz` says that the process lives, and a
//! supervisor that gets no answer restarts it; a halted log does not make it fail, because the
//! other logs are served and a restart is the operator's decision. `/readyz` says whether to
//! send requests here: from the end of recovery to the beginning of the shutdown.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;

const METRICS_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What the admin port asks the server.
pub trait Status: Send + Sync + 'static {
    /// The metrics as OpenMetrics text.
    fn metrics(&self) -> String;

    /// Logs that refuse puts until the server is restarted.
    fn halted_logs(&self) -> u64;

    /// Whether requests are answered: recovered, and not shutting down.
    fn is_ready(&self) -> bool;
}

/// The routes of the admin port.
pub fn routes(status: Arc<dyn Status>) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(health))
        .route("/readyz", get(readiness))
        .fallback(async || (StatusCode::NOT_FOUND, "try /metrics, /healthz or /readyz\n"))
        .with_state(status)
}

async fn metrics(State(status): State<Arc<dyn Status>>) -> Response {
    // Asking a file system how much space is left may wait for it.
    match tokio::task::spawn_blocking(move || status.metrics()).await {
        Ok(text) => ([(CONTENT_TYPE, METRICS_TYPE)], text).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

async fn health(State(status): State<Arc<dyn Status>>) -> String {
    match status.halted_logs() {
        0 => "ok\n".to_owned(),
        halted => format!(
            "alive, but {halted} logs are halted after a failed write or sync and refuse puts; \
             see the log, then restart the server\n"
        ),
    }
}

async fn readiness(State(status): State<Arc<dyn Status>>) -> Response {
    if status.is_ready() {
        "ready\n".into_response()
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "shutting down\n").into_response()
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::http::Request;
    use http_body_util::BodyExt;
    use tower::ServiceExt;

    use super::*;

    struct Fixed {
        halted: u64,
        ready: bool,
    }

    impl Status for Fixed {
        fn metrics(&self) -> String {
            "# EOF\n".to_owned()
        }

        fn halted_logs(&self) -> u64 {
            self.halted
        }

        fn is_ready(&self) -> bool {
            self.ready
        }
    }

    async fn ask(status: Fixed, path: &str) -> (StatusCode, String) {
        let request = Request::get(path).body(Body::empty()).unwrap();
        let reply = routes(Arc::new(status)).oneshot(request).await.unwrap();
        let code = reply.status();
        let bytes = reply.into_body().collect().await.unwrap().to_bytes();
        (code, String::from_utf8(bytes.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn a_halted_log_is_told_and_does_not_make_the_process_unhealthy() {
        let status = Fixed { halted: 2, ready: true };
        let (code, text) = ask(status, "/healthz").await;
        assert_eq!(code, StatusCode::OK);
        assert!(text.contains("2 logs are halted"), "{text}");
    }

    #[tokio::test]
    async fn a_server_that_shuts_down_is_healthy_and_not_ready() {
        let status = || Fixed { halted: 0, ready: false };
        assert_eq!(ask(status(), "/healthz").await.0, StatusCode::OK);
        let (code, _) = ask(status(), "/readyz").await;
        assert_eq!(code, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(ask(status(), "/").await.0, StatusCode::NOT_FOUND);
    }
}
