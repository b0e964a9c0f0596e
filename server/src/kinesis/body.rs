//! The body of a request, whole and in one piece.
//!
//! What has arrived counts for the memory of all requests. Of what is only announced nothing is
//! reserved before the first of it is there, and then only if that memory has room for it.

use std::error::Error;

use bytes::{Bytes, BytesMut};
use http_body::Body as _;
use http_body_util::BodyExt;
use tonic::Status;
use tonic::body::Body;

use crate::net::{PacedBody, TooSlow};
use crate::ops::{OpError, Share};

/// Bytes of a body at most: a batch of 10 MiB in base64, with its names.
pub(super) const BODY_BYTES_MAX: usize = 16 << 20;

/// Bytes that must have come before what is announced is reserved.
const FIRST_BYTES: usize = 16 << 10;

/// Why there is no body.
#[derive(Debug)]
pub(super) enum BodyError {
    /// It is longer than [`BODY_BYTES_MAX`].
    TooLarge,
    /// There is no memory for it now.
    Refused(OpError),
    /// It comes too slowly.
    TooSlow(TooSlow),
    /// The client has gone.
    BrokenOff(String),
}

/// Reads a body. It is held in `share` for as long as that lives.
pub(super) async fn read(body: Body, share: &mut Share) -> Result<Bytes, BodyError> {
    let mut body = Body::new(PacedBody::new(body));
    let announced = body.size_hint().exact();
    if announced.is_some_and(|bytes| bytes > BODY_BYTES_MAX as u64) {
        return Err(BodyError::TooLarge);
    }
    let announced = announced.unwrap_or(0) as usize;
    let mut first = Bytes::new();
    let mut whole = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|status| broken_off(&status))?;
        // Trailers of a request say nothing to us.
        let Ok(data) = frame.into_data() else { continue };
        if first.is_empty() && whole.is_empty() {
            share.set(data.len()).map_err(BodyError::Refused)?;
            first = data;
            continue;
        }
        if whole.is_empty() {
            whole.extend_from_slice(&std::mem::take(&mut first));
        }
        let bytes = whole.len() + data.len();
        if bytes > BODY_BYTES_MAX {
            return Err(BodyError::TooLarge);
        }
        let reserved = if bytes < FIRST_BYTES { bytes } else { bytes.max(announced) };
        share.set(reserved).map_err(BodyError::Refused)?;
        whole.reserve(reserved - whole.len());
        whole.extend_from_slice(&data);
    }
    let bytes = if whole.is_empty() { first } else { whole.freeze() };
    if bytes.len() > BODY_BYTES_MAX {
        return Err(BodyError::TooLarge);
    }
    Ok(bytes)
}

fn broken_off(status: &Status) -> BodyError {
    match status.source().and_then(|source| source.downcast_ref::<TooSlow>()) {
        Some(slow) => BodyError::TooSlow(*slow),
        None => BodyError::BrokenOff(status.message().to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures_util::stream;
    use http_body::Frame;
    use http_body_util::StreamBody;

    use super::*;
    use crate::ops::RequestMemory;

    async fn read_chunks(chunks: &[&'static [u8]], memory: usize) -> Result<Bytes, BodyError> {
        let frames: Vec<_> = chunks
            .iter()
            .map(|chunk| Ok::<_, Infallible>(Frame::data(Bytes::from_static(chunk))))
            .collect();
        let body = Body::new(StreamBody::new(stream::iter(frames)));
        read(body, &mut RequestMemory::new(memory).share()).await
    }

    #[tokio::test]
    async fn a_body_is_the_same_however_it_is_cut() {
        let whole: [&[u8]; 1] = [b"whole"];
        let cut: [&[u8]; 4] = [b"wh", b"", b"ol", b"e"];
        for chunks in [&[][..], &whole, &cut] {
            let whole = chunks.concat();
            assert_eq!(read_chunks(chunks, 1 << 20).await.unwrap(), whole);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_does_not_come_is_not_waited_for() {
        let never =
            Body::new(StreamBody::new(stream::pending::<Result<Frame<Bytes>, Infallible>>()));
        let refused = read(never, &mut RequestMemory::new(1 << 20).share()).await.unwrap_err();
        assert!(matches!(refused, BodyError::TooSlow(_)), "{refused:?}");
    }

    #[tokio::test]
    async fn too_much_is_refused_by_what_comes_and_by_what_is_announced() {
        static LARGE: [u8; 1 << 20] = [0; 1 << 20];
        let chunks: Vec<&[u8]> = vec![&LARGE; 16];
        assert_eq!(read_chunks(&chunks, 64 << 20).await.unwrap().len(), BODY_BYTES_MAX);
        let chunks: Vec<&[u8]> = vec![&LARGE; 17];
        let refused = read_chunks(&chunks, 64 << 20).await.unwrap_err();
        assert!(matches!(refused, BodyError::TooLarge), "{refused:?}");
        let refused = read_chunks(&chunks, 2 << 20).await.unwrap_err();
        assert!(matches!(refused, BodyError::Refused(_)), "{refused:?}");
        let announced = Body::new(http_body_util::Full::new(Bytes::from(vec![0; (16 << 20) + 1])));
        let refused = read(announced, &mut RequestMemory::new(0).share()).await.unwrap_err();
        assert!(matches!(refused, BodyError::TooLarge), "{refused:?}");
    }
}
