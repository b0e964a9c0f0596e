//! Putting into a server of somebody else, in its own protocol over one connection, with as many
//! batches under way as `Produce` has with us.
//!
//! Batches are encoded before, so a peer's client costs next to nothing: what is measured is its
//! server.

use std::collections::VecDeque;
use std::time::Instant;

use anyhow::{Result, ensure};
use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use super::super::child::Child;
use super::{Outcome, Puts, Tally, Window, outcome, spent};

/// Bytes that are read at a time.
const READ_BYTES: usize = 64 << 10;

/// A protocol, seen from the client.
pub(in super::super) trait Wire {
    /// Requests that put a batch each; they are sent in turn, again and again.
    fn batches(&self) -> &[Bytes];

    /// Takes the answers that are complete from the front of `replies`: records acknowledged.
    fn acknowledged(&self, replies: &mut BytesMut) -> Result<usize>;
}

/// Puts through `connection`, which is set up, for as long as the window is open.
pub(in super::super) async fn pipeline(
    child: &Child,
    connection: TcpStream,
    wire: impl Wire,
    puts: Puts,
) -> Result<Outcome> {
    connection.set_nodelay(true)?;
    let (mut receiver, mut sender) = connection.into_split();
    let (feed, mut batches) = mpsc::channel::<Bytes>(puts.in_flight);
    // By itself, so that a peer that answers before it has read all is never waited for by both.
    let writer = tokio::spawn(async move {
        while let Some(batch) = batches.recv().await {
            sender.write_all(&batch).await?;
        }
        // Half a connection would be taken for its end.
        std::io::Result::Ok(sender)
    });
    let window = Window::open(puts.seconds);
    let load = async {
        let mut tally = Tally::new();
        let (mut sent, mut number) = (VecDeque::new(), 0);
        let (mut replies, mut answered) = (BytesMut::new(), 0);
        loop {
            while !window.is_over() && sent.len() < puts.in_flight {
                sent.push_back(Instant::now());
                feed.send(wire.batches()[number % wire.batches().len()].clone()).await?;
                number += 1;
            }
            if sent.is_empty() {
                return anyhow::Ok(tally);
            }
            replies.reserve(READ_BYTES);
            ensure!(receiver.read_buf(&mut replies).await? > 0, "the connection was closed");
            answered += wire.acknowledged(&mut replies)?;
            while answered >= puts.batch
                && let Some(batch_sent) = sent.pop_front()
            {
                answered -= puts.batch;
                tally.note(window, batch_sent, puts.batch);
            }
        }
    };
    let (tally, spent) = tokio::try_join!(load, spent(child, window))?;
    drop(feed);
    writer.await??;
    outcome(child, window, tally, spent)
}
