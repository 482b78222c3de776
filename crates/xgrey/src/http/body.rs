//! Bodies, read whole or as far as they may go, within the time they may take.

use std::time::Duration;

use axum::body::{Body, Bytes};
use http_body_util::BodyExt as _;

/// What came.
#[derive(Debug)]
pub(super) enum Read {
    /// All of it.
    Whole(Bytes),
    /// More than it may be: this is its beginning.
    Cut(Bytes),
    /// It did not come in time.
    Late,
    /// The connection broke, or what came was no body.
    Broken,
}

/// What to do with what is beyond the limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Beyond {
    /// Read no further.
    Leave,
    /// Read it and throw it away, so that the client gets to hear the answer.
    Discard,
}

/// Reads `body`, of which `bytes_max` bytes are kept.
pub(super) async fn read(body: Body, bytes_max: usize, beyond: Beyond, time: Duration) -> Read {
    tokio::time::timeout(time, read_all(body, bytes_max, beyond)).await.unwrap_or(Read::Late)
}

async fn read_all(mut body: Body, bytes_max: usize, beyond: Beyond) -> Read {
    let mut first = Bytes::new();
    let mut more = Vec::new();
    let mut is_cut = false;
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else { return Read::Broken };
        // Trailers say nothing to us.
        let Ok(data) = frame.into_data() else { continue };
        let kept = first.len() + more.len();
        if kept + data.len() > bytes_max {
            is_cut = true;
            if beyond == Beyond::Leave {
                break;
            }
        }
        let data = data.slice(..data.len().min(bytes_max - kept));
        // Most bodies come in one piece, which is not copied.
        if kept == 0 {
            first = data;
        } else {
            if more.is_empty() {
                more.extend_from_slice(&std::mem::take(&mut first));
            }
            more.extend_from_slice(&data);
        }
    }
    let kept = if more.is_empty() { first } else { more.into() };
    if is_cut { Read::Cut(kept) } else { Read::Whole(kept) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_now(body: Body, beyond: Beyond) -> Read {
        pollster::block_on(read_all(body, 5, beyond))
    }

    /// A body that comes in those pieces.
    fn pieces(pieces: &'static [&'static str]) -> Body {
        let pieces = pieces.iter().map(|piece| Ok::<_, std::io::Error>(Bytes::from(*piece)));
        let stream = Pieces(pieces.collect());
        Body::new(stream)
    }

    struct Pieces(std::collections::VecDeque<Result<Bytes, std::io::Error>>);

    impl hyper::body::Body for Pieces {
        type Data = Bytes;
        type Error = std::io::Error;

        fn poll_frame(
            mut self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Option<Result<hyper::body::Frame<Bytes>, std::io::Error>>> {
            let piece = self.0.pop_front();
            std::task::Poll::Ready(piece.map(|piece| piece.map(hyper::body::Frame::data)))
        }
    }

    #[test]
    fn a_body_is_the_same_however_it_is_cut_into_pieces() {
        for body in [&["abcde"][..], &["", "ab", "", "cde"], &["a", "b", "c", "d", "e", ""]] {
            for beyond in [Beyond::Leave, Beyond::Discard] {
                let Read::Whole(read) = read_now(pieces(body), beyond) else { panic!("{body:?}") };
                assert_eq!(read, "abcde");
            }
        }
        assert!(
            matches!(read_now(Body::empty(), Beyond::Leave), Read::Whole(read) if read.is_empty())
        );
    }

    #[test]
    fn of_a_body_that_is_too_long_only_the_beginning_is_kept() {
        for body in [&["abcdef"][..], &["abc", "def"], &["abcde", "f", "ghijklmn"]] {
            let Read::Cut(read) = read_now(pieces(body), Beyond::Discard) else {
                panic!("{body:?}")
            };
            assert_eq!(read, "abcde");
            assert!(matches!(read_now(pieces(body), Beyond::Leave), Read::Cut(_)));
        }
    }
}
