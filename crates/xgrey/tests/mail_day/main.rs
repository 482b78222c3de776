//! A day of mail, with simulated time: two services' worth of senders who retry, spam that doesn't, each
//! list with each verdict, exemptions, things done by hand; three restarts in between, one of them a kill.
//! Every number that is shown is compared with one that was added up apart from the service, and X-Grey's
//! 41 too. Each answer is said beforehand, so that nothing here knows how one comes about.

#![expect(clippy::unwrap_used, reason = "what is wrong with a test's own world fails the test")]

mod expected;
mod script;
mod world;

use greylist::rules::List;
use xgrey::metrics::{Hand, KINDS, Totals, WAITS, XGreyStats};

use expected::Expected;
use script::{DAY, END, HOUR};
use world::{Restart, World, at};

/// When the service is restarted, in seconds of the day. Nothing is asked then.
const RESTARTS: [(u64, Restart); 3] = [
    (5 * HOUR + 55 * 60, Restart::Stop { down: 0 }),
    (11 * HOUR + 55 * 60 + 30, Restart::Stop { down: 240 }),
    // One second after what is counted was kept.
    (17 * HOUR + 55 * 60 + 31, Restart::Kill { down: 60 }),
];

/// The lists of X-Grey, as the script's rules fill them, their defaults counted.
fn entries() -> XGreyStats {
    XGreyStats { ips: 4, from: 4, fromd: 3, to: 4, tod: 3, ..XGreyStats::default() }
}

#[test]
fn what_is_shown_before_and_after_a_day_of_mail_adds_up() {
    let mut world = World::start(0);
    let times = XGreyStats { starttime: at(0).as_unix_secs(), ..entries() };
    assert_eq!(world.x_grey(0), XGreyStats { nowtime: times.starttime, ..times });

    let script = script::day();
    assert!(script.is_sorted_by_key(|action| action.at));
    let mut actions = script.iter().peekable();
    let (mut ever, mut run) = (Expected::default(), Expected::default());
    let mut restarts = RESTARTS.into_iter().peekable();
    let mut second = 0;
    while second <= END {
        if let Some((_, restart)) = restarts.next_if(|&(at, _)| at == second) {
            check_ever(&world, second, &ever, &run);
            second += restart.down();
            world = world.restart(restart, second);
            run = run.next_run(second);
            check_totals(&world.look(second).since_start, &run, second);
        }
        world.tick(second);
        while let Some(action) = actions.next_if(|action| action.at == second) {
            world.act(action);
            ever.count(action);
            run.count(action);
        }
        if second % 60 == 30 {
            world.keep(second);
        }
        second += 1;
    }
    assert_eq!((actions.next(), restarts.next()), (None, None), "all was done");

    check_totals(&world.look(END).since_start, &run, END);
    check_ever(&world, END, &ever, &run);
    check_rates(&world, &run);
    assert_eq!(world.x_grey(END), x_grey(&run, END));

    // White tuples that nobody uses expire too, and then there are none left.
    let late = END + 37 * DAY;
    world.tick(late);
    let look = world.look(late);
    let whites = ever.tuples_at(END);
    assert_eq!(whites, 24 * 10, "eight that waited and two passed by hand, each hour");
    assert_eq!((look.table.grey, look.table.white), (0, 0));
    assert_eq!(look.since_start.expired.white, whites);
    let all = world.ever(late);
    assert_eq!(all.stored(), all.gone().all());
}

/// A first try each second from `seconds` on, of other senders each; those never come back.
fn spam(world: &mut World, seconds: std::ops::Range<u64>) {
    for second in seconds {
        world.act(&script::one_that_never_comes_back(second));
    }
}

#[test]
fn a_kill_takes_the_last_minute_from_all_numbers_alike() {
    let mut world = World::start(0);
    spam(&mut world, 0..100);
    world.keep(100);
    spam(&mut world, 101..108);
    let mut world = world.restart(Restart::Kill { down: 0 }, 110);
    spam(&mut world, 200..210);
    let first_tries = |world: &World, now| world.ever(now).first_tries();
    assert_eq!(first_tries(&world, 210), 110, "seven are not known any more");
    assert_eq!(world.look(210).table.grey, 117, "but their tuples are");
    // All expire: and no more than are known to have tried.
    let late = DAY;
    world.tick(late);
    assert_eq!(world.look(late).table.grey, 0);
    assert_eq!(world.ever(late).expired.grey, 110);
    assert_eq!(world.look(late).since_start.expired.grey, 110);
}

#[test]
fn what_expires_while_nothing_runs_is_counted_at_the_next_start_and_only_there() {
    let mut world = World::start(0);
    spam(&mut world, 0..100);
    for start in 1..4 {
        world = world.restart(Restart::Stop { down: HOUR }, start * DAY);
        let here = if start == 1 { 100 } else { 0 };
        world.tick(start * DAY);
        world.tick(start * DAY + 10);
        assert_eq!(world.look(start * DAY + 10).since_start.expired.grey, here, "start {start}");
        assert_eq!(world.ever(start * DAY + 10).expired.grey, 100, "start {start}");
    }
}

/// What was counted since the start, or since ever, is what was expected.
fn check_totals(totals: &Totals, expected: &Expected, now: u64) {
    for ((action, reason), count) in KINDS.iter().zip(totals.answers) {
        let name = format!("{action} {reason}");
        assert_eq!(count, expected.answers(action, reason), "{name} at {now}");
    }
    for (list, said) in List::ALL.into_iter().zip(totals.lists) {
        assert_eq!(said, expected.lists[list as usize], "{} at {now}", list.word());
    }
    for (hand, word) in Hand::ALL {
        assert_eq!(totals.hand(hand), expected.hands(hand), "{word} at {now}");
    }
    let mut waits = [0; WAITS.len() + 1];
    for wait in &expected.waits {
        waits[WAITS.iter().position(|longest| longest.get() >= *wait).unwrap()] += 1;
    }
    assert_eq!(totals.waits, waits, "waits at {now}");
    assert_eq!(totals.waited_secs, expected.waits.iter().map(|&wait| u64::from(wait)).sum::<u64>());
    assert_eq!(totals.expired.grey, expected.expired(now), "expired at {now}");
    assert_eq!((totals.expired.white, totals.evicted.all()), (0, 0));
    add_up(totals);
}

/// How numbers add up, as `docs/statistics.md` says.
fn add_up(totals: &Totals) {
    let decided = totals.decided();
    let asked = totals.hand(Hand::AskedToPass);
    assert_eq!(decided.requests(), totals.answers.iter().sum::<u64>() + asked);
    assert_eq!(totals.waits.iter().sum::<u64>(), totals.answer("accept", "passed"));
    // Each list but the first is asked by what the one before it let through, or skipped.
    let [first, ..] = totals.lists;
    let exempt = ["authenticated", "certificate", "local"];
    let exempt: u64 = exempt.iter().map(|reason| totals.answer("accept", reason)).sum();
    assert_eq!(first.iter().sum::<u64>(), decided.requests() - exempt);
    let said = |place: usize| totals.lists.iter().map(|said| said[place]).sum::<u64>();
    assert_eq!((said(1), said(2)), (totals.answer("accept", "rule"), decided.rejected));
}

/// What was counted since ever; and what there is, is what came less what went.
fn check_ever(world: &World, now: u64, ever: &Expected, run: &Expected) {
    let totals = world.ever(now);
    check_totals(&totals, ever, now);
    let table = world.look(now).table;
    let (gone, hand) = (totals.gone(), |hand| totals.hand(hand));
    let passed = totals.answer("accept", "passed") + hand(Hand::PassedGrey);
    assert_eq!(totals.first_tries(), passed + gone.grey + table.grey);
    assert_eq!(passed + hand(Hand::PassedUnknown), gone.white + table.white);
    assert_eq!(table.grey + table.white, ever.tuples_at(now));
    assert_eq!(table.grey + table.white, totals.stored() - totals.gone().all());
    let came = run.tuples_at(run.begun) + run.stored(run.begun..now + 1);
    assert_eq!(table.grey + table.white, came - run.gone(now));
}

fn check_rates(world: &World, run: &Expected) {
    let rates = world.look(END).rates;
    for (rate, length) in rates.iter().zip([1, 60, HOUR]) {
        let of = |number: u64| run.requests(number * length..(number + 1) * length);
        let last = (END - 1) / length - 1;
        assert_eq!(rate.last.requests(), of(last), "the last {length} s");
        let all = run.begun / length..=last;
        let (highest, Some(highest_at)) = (rate.highest.requests(), rate.highest_at) else {
            panic!("no query in any {length} s");
        };
        assert_eq!(highest, all.map(of).max().unwrap(), "the busiest {length} s");
        let number = (highest_at.as_unix_secs() - at(0).as_unix_secs()) / length;
        assert_eq!(highest, of(number), "the busiest {length} s are at {number}");
    }
}

/// X-Grey's numbers of a run.
fn x_grey(run: &Expected, now: u64) -> XGreyStats {
    let cycles = run.cycles(now);
    let [ip, _, from, fromd, to, tod] = run.lists;
    let requests: Vec<u64> = cycles.iter().map(|cycle| run.requests(cycle.clone())).collect();
    let reads: Vec<u64> = cycles.iter().map(|cycle| run.looked_up(cycle.clone())).collect();
    let writes: Vec<u64> = cycles.iter().map(|cycle| run.stored(cycle.clone()) + 1).collect();
    let ends = cycles.iter().map(|cycle| run.tuples_at(cycle.end));
    let looks = (run.begun..=now).step_by(10).map(|look| run.tuples_at(look));
    let mean = requests.iter().sum::<u64>() as f64 / requests.len() as f64;
    XGreyStats {
        starttime: at(run.begun).as_unix_secs(),
        nowtime: at(now).as_unix_secs(),
        tuples: run.tuples_at(now),
        ip_greylist: ip[0],
        ip_accept: ip[1],
        ip_reject: ip[2],
        greylisted: run.stored(run.begun..now + 1),
        whitelisted: run.tuples_at(now),
        greylist_expired: run.expired(now) + run.hands(Hand::ForgottenGrey),
        whitelist_expired: run.hands(Hand::ForgottenWhite),
        requests: run.requests(run.begun..now + 1),
        requests_cu: *requests.last().unwrap(),
        requests_cu_max: *requests.iter().max().unwrap(),
        requests_cu_ave: mean.round() as u64,
        from_greylist: from[0],
        from_accept: from[1],
        from_reject: from[2],
        fromd_greylist: fromd[0],
        fromd_accept: fromd[1],
        fromd_reject: fromd[2],
        to_greylist: to[0],
        to_accept: to[1],
        to_reject: to[2],
        tod_greylist: tod[0],
        tod_accept: tod[1],
        tod_reject: tod[2],
        tuples_read: run.looked_up(run.begun..now + 1),
        tuples_read_cu: *reads.last().unwrap(),
        tuples_read_cu_max: *reads.iter().max().unwrap(),
        tuples_write: run.stored(run.begun..now + 1) + cycles.len() as u64,
        tuples_write_cu: *writes.last().unwrap(),
        tuples_write_cu_max: *writes.iter().max().unwrap(),
        tuples_low: ends.chain([run.tuples_at(run.begun)]).min().unwrap(),
        tuples_high: looks.max().unwrap(),
        ..entries()
    }
}
