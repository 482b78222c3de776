//! Datagrams that ask, as the original's programs would send them.

use std::net::IpAddr;

use wire::xgrey_v1::client::encode_request;
use wire::xgrey_v1::{
    Action, Asked, Change, Decoded, MTA_CONTROL, MTA_POSTFIX, Report, Request, Secret, TextList, Tuple,
    decode,
};

fn datagram(mta: u16, request: &Request<'_>) -> Vec<u8> {
    let mut datagram = Vec::new();
    encode_request(&Secret::default(), mta, request, &mut datagram).unwrap();
    datagram
}

fn tuple<'a>(client: &str, sender: &'a str, recipient: &'a str) -> Tuple<'a> {
    let client: IpAddr = client.parse().unwrap();
    Tuple { client, sender: sender.as_bytes(), recipient: recipient.as_bytes() }
}

/// The same question from another MTA, which comes back in the answer: so questions are told apart.
pub(crate) fn with_mta(mta: u16, datagram: &[u8]) -> Vec<u8> {
    let Decoded::Asked(Asked { request, .. }) = decode(datagram, &Secret::default()) else {
        panic!("not a question: {datagram:02x?}");
    };
    self::datagram(mta, &request)
}

/// Type 2, as Postfix's client asks.
pub(crate) fn greylist(client: &str, sender: &str, recipient: &str) -> Vec<u8> {
    datagram(MTA_POSTFIX, &Request::Greylist(tuple(client, sender, recipient)))
}

/// Type 4.
pub(crate) fn whitelist(client: &str, sender: &str, recipient: &str) -> Vec<u8> {
    datagram(MTA_CONTROL, &Request::Whitelist(tuple(client, sender, recipient)))
}

/// Type 6.
pub(crate) fn remove(client: &str, sender: &str, recipient: &str) -> Vec<u8> {
    datagram(MTA_CONTROL, &Request::Remove(tuple(client, sender, recipient)))
}

pub(crate) fn no_op(mta: u16) -> Vec<u8> {
    datagram(mta, &Request::NoOp)
}

pub(crate) fn show_stats() -> Vec<u8> {
    datagram(MTA_CONTROL, &Request::ShowStats)
}

pub(crate) fn show(report: Report) -> Vec<u8> {
    datagram(MTA_CONTROL, &Request::Report(report))
}

/// Type 28; no action: remove.
pub(crate) fn ip_list(network: &str, action: Option<Action>) -> Vec<u8> {
    let (network, change) = (network.parse().unwrap(), change(action));
    datagram(MTA_CONTROL, &Request::ChangeIpList { network, change })
}

/// Types 30 to 36; no action: remove.
pub(crate) fn list(list: TextList, text: &str, action: Option<Action>) -> Vec<u8> {
    let (text, change) = (text.as_bytes(), change(action));
    datagram(MTA_CONTROL, &Request::ChangeList { list, text, change })
}

fn change(action: Option<Action>) -> Change {
    action.map_or(Change::Remove, Change::Set)
}

/// The response and reason of an answer of 16 bytes, in words.
pub(crate) fn said(answer: Option<Vec<u8>>) -> String {
    let Some(answer) = answer else { return "silence".to_owned() };
    let word = |at: usize| u16::from_be_bytes([answer[at], answer[at + 1]]);
    let why = wire::xgrey_v1::Why::of_code(word(12)).unwrap();
    match (word(8), word(10)) {
        (1, 0) => "okay".to_owned(),
        (1, error) => format!("error {error}"),
        (_, response) => format!("{} {why}", Action::of_code(response).unwrap()),
    }
}
