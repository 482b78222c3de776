//! How a stream arrives in pieces, for the targets that read streams: its own bytes say where it is cut.

/// Pieces of 1 to 64 bytes, each as long as its first byte says.
pub(crate) fn cut_by_content(mut stream: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let length = usize::from(*stream.first()? % 64) + 1;
        let (piece, rest) = stream.split_at(length.min(stream.len()));
        stream = rest;
        Some(piece)
    })
}
