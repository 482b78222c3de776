//! What a connection has sent and nobody has used yet.

/// Bytes to begin with: two usual requests.
const BYTES: usize = 2 * 1024;

/// A buffer that grows up to the limit of a request plus one read.
#[derive(Debug)]
pub(super) struct Buffer {
    bytes: Vec<u8>,
    end: usize,
    /// Upper bound for `bytes`.
    max: usize,
}

impl Buffer {
    pub(super) fn new(request_bytes_max: usize) -> Self {
        Self { bytes: vec![0; BYTES], end: 0, max: request_bytes_max + BYTES }
    }

    /// What has been read and not yet consumed.
    pub(super) fn filled(&self) -> &[u8] {
        &self.bytes[..self.end]
    }

    /// Where the next read may write. Empty only if more is held than a request may be, which
    /// decoders take in first.
    pub(super) fn space(&mut self) -> &mut [u8] {
        if self.end == self.bytes.len() {
            let larger = (self.bytes.len() * 2).min(self.max);
            self.bytes.resize(larger, 0);
        }
        &mut self.bytes[self.end..]
    }

    /// Takes in what has been written to the space.
    pub(super) fn fill(&mut self, read: usize) {
        self.end = (self.end + read).min(self.bytes.len());
    }

    /// Drops `used` bytes from the front; gives back what a long request took.
    pub(super) fn consume(&mut self, used: usize) {
        self.bytes.copy_within(used..self.end, 0);
        self.end -= used;
        if self.end == 0 && self.bytes.len() > BYTES {
            self.bytes = vec![0; BYTES];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_grows_to_its_bound_and_gives_back_what_it_took() {
        let mut buffer = Buffer::new(8 * 1024);
        let mut held = 0;
        while let count @ 1.. = buffer.space().len() {
            buffer.fill(count);
            held += count;
        }
        assert_eq!(held, 10 * 1024);
        buffer.consume(10 * 1024);
        assert_eq!(buffer.space().len(), BYTES);
    }

    #[test]
    fn what_is_not_consumed_stays_at_the_front() {
        let mut buffer = Buffer::new(8 * 1024);
        buffer.space()[..6].copy_from_slice(b"abcdef");
        buffer.fill(6);
        buffer.consume(4);
        assert_eq!(buffer.filled(), b"ef");
    }
}
