//! The numbers in a datagram, at their places: big-endian (section 1).

/// The 16 bits at that place; `None` when the datagram ends before.
pub(super) fn u16_at(datagram: &[u8], at: usize) -> Option<u16> {
    let bytes = datagram.get(at..)?.first_chunk()?;
    Some(u16::from_be_bytes(*bytes))
}

/// The 32 bits at that place; `None` when the datagram ends before.
pub(super) fn u32_at(datagram: &[u8], at: usize) -> Option<u32> {
    let bytes = datagram.get(at..)?.first_chunk()?;
    Some(u32::from_be_bytes(*bytes))
}

/// Appends the header that every datagram has, its checksum not made yet (section 4).
pub(super) fn push_header(mta: u16, number: u16, out: &mut Vec<u8>) {
    out.extend_from_slice(&[0; 4]);
    push_u16(super::VERSION, out);
    push_u16(mta, out);
    push_u16(number, out);
}

/// Appends 16 bits.
pub(super) fn push_u16(value: u16, out: &mut Vec<u8>) {
    out.extend_from_slice(&value.to_be_bytes());
}

/// Appends 32 bits.
pub(super) fn push_u32(value: u32, out: &mut Vec<u8>) {
    out.extend_from_slice(&value.to_be_bytes());
}
