//! A replay: 30,000 tuples over two months, each one's own datagrams in order, the rest shuffled.

use fastrand::Rng;
use wire::xgrey_v1::{Action, TextList};

use crate::model::{Ask, Model, Tuple};
use crate::requests::{greylist, ip_list, list, remove, said, whitelist};
use crate::server::Server;

const TUPLES: usize = 30_000;
const SEED: u64 = 0x5847_7265_7931_0001;

/// Recipients that are exempt are no part of the specification.
const SETTINGS: &str = "memory = \"16MiB\"\nexempt_recipients = []";

/// A moment, and what is asked in it.
struct Moment {
    at: u64,
    asked: Vec<(Ask, usize)>,
}

/// How long it is from one datagram of a tuple to its next, at least and at most, in seconds; each about as often:
/// within the embargo, after it, after the window, within the lifetime, after that.
const GAPS: [(u64, u64); 6] = [
    (1, 1_499),
    (1_500, 21_600),
    (1_500, 21_600),
    (21_601, 86_400),
    (86_400, 3_100_000),
    (3_200_000, 3_600_000),
];

/// The very edges of embargo and window.
const EDGES: [u64; 4] = [1_499, 1_500, 21_600, 21_601];

/// Two months, in seconds.
const LENGTH: u64 = 60 * 86_400;

fn pick<'a, T>(rng: &mut Rng, of: &'a [T]) -> &'a T {
    &of[rng.usize(..of.len())]
}

/// Addresses that meet the rules below, and long ones whose ends don't count.
fn tuple(rng: &mut Rng, number: usize) -> Tuple {
    let client = match rng.u8(..10) {
        0 => format!("2001:db8::{:x}", number),
        1 => format!("203.0.113.{}", number % 256),
        2 => format!("198.51.100.{}", number % 256),
        _ => format!("10.{}.{}.{}", number >> 16, number >> 8 & 255, number & 255),
    };
    let domains =
        ["example.net", "example.com", "EXAMPLE.com", "mail.example.com", "a@example.org", ""];
    let mut address = |rng: &mut Rng, name: &str| match rng.u8(..12) {
        0 => String::new(),
        1 => "postmaster".to_owned(),
        2 => format!("{name}@"),
        3 => "grey@example.com".to_owned(),
        4 => format!("{}@{}", "x".repeat(90 + number % 40), pick(rng, &domains)),
        _ => format!("{name}{number}@{}", pick(rng, &domains)),
    };
    let (sender, recipient) = (address(rng, "Alice"), address(rng, "bob"));
    Tuple { client: client.parse().unwrap(), sender, recipient }
}

/// Which moments there are: each begins a chain of others at the edges, so that some tuples are asked for
/// at exactly those distances.
fn moments(rng: &mut Rng) -> Vec<Moment> {
    let mut times = Vec::new();
    for _ in 0..1_500 {
        let at = rng.u64(..LENGTH);
        times.push(at);
        times.extend(EDGES.map(|edge| at + edge));
    }
    times.sort_unstable();
    times.dedup();
    times.into_iter().map(|at| Moment { at, asked: Vec::new() }).collect()
}

/// Spreads the datagrams of each tuple over the moments.
fn plan(rng: &mut Rng) -> Vec<Moment> {
    let mut moments = moments(rng);
    for number in 0..TUPLES {
        let mut place = rng.usize(..moments.len());
        for _ in 0..rng.usize(1..9) {
            let ask = match rng.u8(..20) {
                0 => Ask::Whitelist,
                1 => Ask::Remove,
                _ => Ask::Greylist,
            };
            moments[place].asked.push((ask, number));
            let at = moments[place].at;
            let next = if rng.bool() {
                let edge = pick(rng, &EDGES);
                moments.binary_search_by_key(&(at + edge), |moment| moment.at).unwrap_or(usize::MAX)
            } else {
                let &(least, most) = pick(rng, &GAPS);
                let wanted = at + rng.u64(least..=most);
                moments.partition_point(|moment| moment.at < wanted)
            };
            if next >= moments.len() {
                break;
            }
            place = next;
        }
    }
    for moment in &mut moments {
        shuffle(rng, &mut moment.asked);
    }
    moments
}

/// Shuffles, but leaves what is asked about one tuple in its order.
fn shuffle(rng: &mut Rng, asked: &mut [(Ask, usize)]) {
    let own: Vec<(Ask, usize)> = asked.to_vec();
    let mut order: Vec<usize> = own.iter().map(|&(_, number)| number).collect();
    rng.shuffle(&mut order);
    let mut next = std::collections::HashMap::<usize, usize>::new();
    for (place, number) in asked.iter_mut().zip(order) {
        let from = next.entry(number).or_insert(0);
        let at = (*from..own.len()).find(|&at| own[at].1 == number).unwrap();
        *place = own[at];
        *from = at + 1;
    }
}

/// Changes a rule of both, at random; says what was done.
fn change(rng: &mut Rng, server: &mut Server, model: &mut Model) -> String {
    let actions = [Some(Action::Greylist), Some(Action::Accept), Some(Action::Reject), None];
    let action = *pick(rng, &actions);
    let networks = [
        "203.0.113.0/24", "203.0.113.0/25", "203.0.113.7/32", "198.51.100.0/24", "10.0.0.0/16",
        "10.0.64.0/18", "10.0.64.0/32", "0.0.0.0/0",
    ];
    let texts = [
        "grey@example.com", "Alice7@example.net", "postmaster", "", "example.com", "EXAMPLE.com",
        "mail.example.com", "a@example.org", "example.org", "default", "Default",
    ];
    let answer;
    let done;
    if rng.bool() {
        let network = *pick(rng, &networks);
        // A default that decides everything is taken back below.
        answer = server.ask(&ip_list(network, action));
        model.change_ip(network.parse().unwrap(), action);
        done = format!("{network} {action:?}");
    } else {
        let (of, text) = (*pick(rng, &TextList::ALL), *pick(rng, &texts));
        answer = server.ask(&list(of, text, action));
        model.change(of, text, action);
        done = format!("{of:?} {text} {action:?}");
    }
    assert_eq!(said(answer), "GREYLIST NONE", "{done}");
    done
}

/// Lets the defaults pass on, so that most of what comes reaches its tuple.
fn defaults_pass(server: &mut Server, model: &mut Model) {
    server.ask(&ip_list("0.0.0.0/0", Some(Action::Greylist)));
    model.change_ip("0.0.0.0/0".parse().unwrap(), Some(Action::Greylist));
    for of in TextList::ALL {
        server.ask(&list(of, "DEFAULT", Some(Action::Greylist)));
        model.change(of, "DEFAULT", Some(Action::Greylist));
    }
}

#[test]
fn thirty_thousand_tuples_get_the_answers_that_the_specification_predicts() {
    let mut rng = Rng::with_seed(SEED);
    let tuples: Vec<Tuple> = (0..TUPLES).map(|number| tuple(&mut rng, number)).collect();
    let moments = plan(&mut rng);
    let (mut server, mut model) = (Server::new(SETTINGS), Model::new());
    let start = server.now().as_unix_secs();
    let mut counts = std::collections::BTreeMap::<String, u32>::new();
    let mut asked = 0;
    for moment in &moments {
        let now = start + moment.at;
        server.skip(u32::try_from(now - server.now().as_unix_secs()).unwrap());
        if rng.u8(..8) == 0 {
            change(&mut rng, &mut server, &mut model);
        } else if rng.u8(..8) == 0 {
            defaults_pass(&mut server, &mut model);
        }
        let mut rest = &moment.asked[..];
        while !rest.is_empty() {
            let (batch, later) = rest.split_at(rng.usize(1..=64).min(rest.len()));
            rest = later;
            asked += batch.len();
            let datagrams: Vec<_> = batch.iter().map(|&(ask, number)| {
                let Tuple { client, sender, recipient } = &tuples[number];
                let client = client.to_string();
                match ask {
                    Ask::Greylist => greylist(&client, sender, recipient),
                    Ask::Whitelist => whitelist(&client, sender, recipient),
                    Ask::Remove => remove(&client, sender, recipient),
                }
            }).collect();
            let answers = server.ask_all(&datagrams);
            for (&(ask, number), answer) in batch.iter().zip(answers) {
                let (action, why) = model.ask(now, ask, &tuples[number]);
                let (expected, ours) = (format!("{action} {why}"), said(Some(answer)));
                let at = moment.at;
                assert_eq!(ours, expected, "{ask:?} {:?} at {at} s, seed {SEED}", tuples[number]);
                *counts.entry(ours).or_default() += 1;
            }
        }
    }
    // It would be easy to test nothing.
    assert!(asked >= 80_000, "{asked} datagrams");
    for answer in ["GREYLIST GREYLIST", "ACCEPT WHITELIST", "REJECT IP", "ACCEPT FROM-DOMAIN"] {
        assert!(counts.get(answer).is_some_and(|&count| count >= 500), "{counts:?}");
    }
}
