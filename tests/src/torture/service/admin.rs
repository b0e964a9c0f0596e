//! What the admin port tells, asked in the plainest way.

use std::net::SocketAddr;

use anyhow::{Context, Result};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The value of a metric that is a count and has no labels.
pub(super) async fn count(admin: SocketAddr, name: &str) -> Result<u64> {
    let mut socket = TcpStream::connect(admin).await.context("the admin port is closed")?;
    let request = format!("GET /metrics HTTP/1.1\r\nhost: {admin}\r\nconnection: close\r\n\r\n");
    socket.write_all(request.as_bytes()).await?;
    let mut reply = String::new();
    socket.read_to_string(&mut reply).await?;
    value(&reply, name).with_context(|| format!("there is no metric {name}"))
}

fn value(text: &str, name: &str) -> Option<u64> {
    let mut lines = text.lines();
    lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_metric_is_found_by_its_whole_name() {
        let text = "# TYPE a gauge\na_b 1\na{x=\"y\"} 2\na 35\n";
        assert_eq!(value(text, "a"), Some(35));
        assert_eq!(value(text, "b"), None);
    }
}
