//! 30,000 tuples over real UDP, many askers at once: each tuple's own datagrams in order, the rest as it comes.

use fastrand::Rng;
use wire::xgrey_v1::{Action, TextList};

use crate::place::Place;
use crate::server::{Server, Settings};
use crate::x_grey::XGreyAsker;
use crate::x_grey_model::{Ask, Model, Tuple};
use crate::x_grey_requests::{greylist, ip_list, list, remove, said, whitelist, with_mta};

const TUPLES: usize = 30_000;
const ASKERS: usize = 8;
/// Questions that an asker has open at once.
const WINDOW: usize = 32;
const SEED: u64 = 0x5847_7265_7931_0002;

/// What is changed before the first question, and again before the second half.
const RULES: [&[(&str, &str, Option<Action>)]; 2] = [
    &[
        ("ip", "203.0.113.0/24", Some(Action::Reject)),
        ("ip", "203.0.113.128/25", Some(Action::Greylist)),
        ("from", "Alice7@example.net", Some(Action::Accept)),
        ("from-domain", "example.com", Some(Action::Reject)),
        ("to", "bob11@example.net", Some(Action::Greylist)),
        ("to-domain", "mail.example.com", Some(Action::Accept)),
    ],
    &[
        ("ip", "203.0.113.0/24", None),
        ("from-domain", "example.com", Some(Action::Accept)),
        ("to-domain", "default", Some(Action::Reject)),
    ],
];

fn change(asker: &XGreyAsker, model: &mut Model, rules: &[(&str, &str, Option<Action>)]) {
    for &(which, text, action) in rules {
        let datagram = match TextList::ALL.into_iter().find(|list| list.name() == which) {
            Some(of) => {
                model.change(of, text, action);
                list(of, text, action)
            }
            None => {
                model.change_ip(text.parse().unwrap(), action);
                ip_list(text, action)
            }
        };
        assert_eq!(asker.answer(&datagram), "GREYLIST NONE");
    }
}

fn tuple(rng: &mut Rng, number: usize) -> Tuple {
    let net = if rng.u8(..5) == 0 { "203.0.113" } else { "198.51.100" };
    let domains = ["example.net", "example.com", "mail.example.com", "EXAMPLE.com"];
    let mut domain = || domains[rng.usize(..domains.len())];
    Tuple {
        client: format!("{net}.{}", number % 256).parse().unwrap(),
        sender: format!("Alice{}@{}", number % 5_000, domain()),
        recipient: format!("bob{number}@{}", domain()),
    }
}

/// For each asker, what it asks: each tuple belongs to one of them, so that its own datagrams stay in order.
fn plan(rng: &mut Rng) -> Vec<Vec<(Ask, usize)>> {
    let mut plan = vec![Vec::new(); ASKERS];
    for number in 0..TUPLES {
        for _ in 0..rng.usize(1..4) {
            let ask = match rng.u8(..10) {
                0 => Ask::Whitelist,
                1 => Ask::Remove,
                _ => Ask::Greylist,
            };
            plan[number % ASKERS].push((ask, number));
        }
    }
    // By tuple, several of a tuple next to each other: dealt out anew they are shuffled and stay in order.
    for asked in &mut plan {
        let mut piles = vec![Vec::new(); 64];
        for &(ask, number) in &*asked {
            piles[number / ASKERS % 64].push((ask, number));
        }
        let mut piles: Vec<_> = piles.into_iter().map(|pile| pile.into_iter().peekable()).collect();
        asked.clear();
        while !piles.is_empty() {
            let at = rng.usize(..piles.len());
            match piles[at].next() {
                Some(next) => asked.push(next),
                None => drop(piles.swap_remove(at)),
            }
        }
    }
    plan
}

#[test]
fn thirty_thousand_tuples_over_udp_get_the_answers_that_the_specification_predicts() {
    let place = Place::new();
    let address = Place::address();
    let keys = "profile = \"x-grey\"\nmemory = \"16MiB\"\nexempt_recipients = []\nembargo = \"5h\"";
    let tables = format!("[[listen]]\nprotocol = \"x-grey\"\naddress = \"{address}\"\n[log]\ndecisions = false\nlevel = \"warn\"");
    let mut server = Server::start(&place, Settings { keys, tables: &tables });
    let mut rng = Rng::with_seed(SEED);
    let tuples: Vec<Tuple> = (0..TUPLES).map(|number| tuple(&mut rng, number)).collect();
    let plan = plan(&mut rng);
    let askers: Vec<XGreyAsker> = (0..ASKERS).map(|_| XGreyAsker::new(address)).collect();
    let mut model = Model::new();
    // In this test no time passes, as far as the tuples can tell.
    let now = 0;
    let longest = plan.iter().map(Vec::len).max().unwrap_or(0);
    for (half, rules) in RULES.iter().enumerate() {
        change(&askers[0], &mut model, rules);
        let (from, to) = (half * longest / 2, (half + 1) * longest / 2);
        for start in (from..to).step_by(WINDOW) {
            let window = |asked: &'_ Vec<(Ask, usize)>| {
                let end = (start + WINDOW).min(to).min(asked.len());
                asked.get(start.min(end)..end).unwrap_or_default().to_vec()
            };
            let windows: Vec<Vec<(Ask, usize)>> = plan.iter().map(window).collect();
            for (asker, window) in askers.iter().zip(&windows) {
                for (mta, &(ask, number)) in (0..).zip(window) {
                    asker.send(&with_mta(mta, &datagram(ask, &tuples[number])));
                }
            }
            for (asker, window) in askers.iter().zip(&windows) {
                for (mta, &(ask, number)) in (0_u16..).zip(window) {
                    let answer = asker.receive();
                    assert_eq!(u16::from_be_bytes([answer[6], answer[7]]), mta);
                    let (action, why) = model.ask(now, ask, &tuples[number]);
                    let expected = format!("{action} {why}");
                    let tuple = &tuples[number];
                    assert_eq!(said(Some(answer)), expected, "{ask:?} {tuple:?}, seed {SEED}");
                }
            }
        }
    }
    server.stop();
}

fn datagram(ask: Ask, tuple: &Tuple) -> Vec<u8> {
    let Tuple { client, sender, recipient } = tuple;
    let client = client.to_string();
    match ask {
        Ask::Greylist => greylist(&client, sender, recipient),
        Ask::Whitelist => whitelist(&client, sender, recipient),
        Ask::Remove => remove(&client, sender, recipient),
    }
}
