//! The checker, checked: it accepts whatever an honest service may answer, and finds one that
//! forgets. The honest service here decides by `greylist::tuple` itself.

use std::time::Duration;

use greylist::tuple::judge;
use greylist::{Secs, State, Timestamp, Timing, Touch, Tuple};
use proptest::prelude::*;

use super::*;
use crate::clock::Offset;
use crate::tuples::RIPE;

const DAY: u64 = 86_400;

fn span(first: u32, last: u32) -> Span {
    Span { first, last }
}

const fn deferred(wait: u32) -> Option<Answer> {
    Some(Answer::Deferred { wait })
}

const fn passed(waited: u32) -> Option<Answer> {
    Some(Answer::Passed { waited })
}

const KNOWN: Option<Answer> = Some(Answer::Known);
const WHITE: Knowledge = Knowledge::WHITE;

fn grey(first: u32, last: u32) -> Knowledge {
    Knowledge { grey: Some(span(first, last)), ..Knowledge::IMPOSSIBLE }
}

/// One request between seconds 100 and 101.
fn one(answer: Option<Answer>) -> Vec<Try> {
    vec![Try { at: span(100, 101), answer }]
}

#[test]
fn an_answer_that_fits_narrows_what_is_known() {
    let maybe = Knowledge { untried: true, ..grey(100, 101) };
    for (before, tries, after) in [
        (Knowledge::UNTRIED, one(deferred(4)), grey(100, 101)),
        (grey(98, 99), one(deferred(3)), grey(99, 99)),
        (grey(98, 99), one(deferred(1)), grey(98, 98)),
        (grey(96, 98), one(passed(4)), WHITE),
        (grey(10, 11), one(passed(90)), WHITE),
        (WHITE, one(KNOWN), WHITE),
        (maybe, one(deferred(4)), grey(100, 101)),
        // Killed before the answer: it may count or not.
        (Knowledge::UNTRIED, one(None), maybe),
        (grey(96, 97), one(None), Knowledge { white: true, ..grey(96, 97) }),
        (grey(98, 99), one(None), grey(98, 99)),
        (WHITE, one(None), WHITE),
    ] {
        assert_eq!(before.after_all(&tries), Ok(after), "{before:?} {tries:?}");
    }
}

#[test]
fn what_was_promised_and_is_forgotten_is_lost() {
    for (before, tries, after) in [
        (grey(96, 97), one(deferred(4)), grey(100, 101)),
        (WHITE, one(deferred(4)), grey(100, 101)),
        (WHITE, one(deferred(2)), grey(98, 99)),
        (WHITE, one(passed(7)), WHITE),
    ] {
        assert_eq!(before.after_all(&tries), Err((Fault::Lost, after)), "{before:?} {tries:?}");
    }
}

#[test]
fn what_never_happened_and_what_has_the_times_wrong_is_wrong() {
    for (before, tries) in [
        (Knowledge::UNTRIED, one(deferred(3))),
        (Knowledge::UNTRIED, one(passed(5))),
        (Knowledge::UNTRIED, one(KNOWN)),
        // White without a pass.
        (grey(90, 91), one(KNOWN)),
        // A pass within the embargo, by its own words and by ours.
        (grey(98, 99), one(passed(3))),
        (grey(99, 99), one(passed(4))),
        // A pass that speaks of another first attempt.
        (grey(90, 91), one(passed(7))),
        // A wait that does not go down, one that goes down too fast, and none at all.
        (grey(97, 97), one(deferred(2))),
        (grey(99, 99), one(deferred(1))),
        (grey(97, 97), one(deferred(0))),
        // Deferred after the embargo's end.
        (grey(90, 91), one(deferred(1))),
        (grey(98, 99), one(deferred(5))),
    ] {
        let found = before.after_all(&tries);
        assert!(matches!(found, Err((Fault::Wrong, _))), "{before:?} {tries:?}: {found:?}");
    }
}

#[test]
fn of_two_at_once_either_may_be_first_and_an_answer_proves_the_other() {
    let two = |first, second| [one(first), one(second)].concat();
    for (before, tries, after) in [
        (Knowledge::UNTRIED, two(deferred(4), deferred(4)), Ok(grey(100, 101))),
        (Knowledge::UNTRIED, two(deferred(4), None), Ok(grey(100, 101))),
        // Early: so the other, which was never answered, has left its mark.
        (Knowledge::UNTRIED, two(None, deferred(3)), Ok(grey(100, 100))),
        (grey(90, 91), two(KNOWN, passed(10)), Ok(WHITE)),
        (grey(90, 91), two(passed(10), KNOWN), Ok(WHITE)),
        (grey(90, 91), two(None, KNOWN), Ok(WHITE)),
        (grey(90, 91), two(passed(10), passed(10)), Err(Fault::Wrong)),
        (grey(90, 91), two(KNOWN, KNOWN), Err(Fault::Wrong)),
        (grey(90, 91), two(None, deferred(4)), Err(Fault::Lost)),
        (WHITE, two(KNOWN, deferred(4)), Err(Fault::Lost)),
    ] {
        let found = before.after_all(&tries).map_err(|(fault, _)| fault);
        assert_eq!(found, after, "{before:?} {tries:?}");
    }
}

/// A service with one tuple. What it has answered it remembers, however often it is killed.
#[derive(Clone)]
struct Honest {
    timing: Timing,
    tuple: Option<Tuple>,
    /// The latest time that it was asked at: a store's time never runs backwards.
    newest: u64,
}

/// What happens between the checker and the service: times in milliseconds.
#[derive(Clone, Copy, Debug)]
struct Event {
    /// Since the event before.
    pause: u64,
    /// From sending to the decision, and from there to the answer.
    there: u64,
    back: u64,
    /// How long before its decision the service has looked at its clock.
    behind: u64,
    /// A second request at the same time, taken first, so many milliseconds earlier or later.
    twin: Option<u64>,
    /// The service is killed: which of the requests were not answered, and whether those that
    /// nobody has seen a mark of have left none.
    killed: Option<(bool, bool, bool)>,
}

fn event() -> impl Strategy<Value = Event> {
    let pause = prop_oneof![0..50u64, 0..7_000u64, Just(3_999), Just(4_000), Just(4_001)];
    let killed = proptest::option::of(any::<(bool, bool, bool)>());
    let twin = proptest::option::of(0..20u64);
    (pause, 0..300u64, 0..300u64, 0..900u64, twin, killed).prop_map(
        |(pause, there, back, behind, twin, killed)| Event {
            pause,
            there,
            back,
            behind,
            twin,
            killed,
        },
    )
}

impl Honest {
    fn new() -> Self {
        let timing = Timing::new(
            Secs::new(EMBARGO),
            Secs::new(6 * 3_600),
            Secs::new(u32::try_from(DAY).unwrap()),
        );
        Self { timing: timing.unwrap(), tuple: None, newest: 0 }
    }

    /// Decides one request at that moment of the service's clock.
    fn decide(&mut self, millis: u64) -> Answer {
        self.newest = self.newest.max(DAY + millis / 1_000);
        let now = Timestamp::from_unix_secs(self.newest);
        let (touch, tuple) = judge(&self.timing, self.tuple, now);
        self.tuple = Some(tuple);
        match touch {
            Touch::New { wait } | Touch::Early { wait } => Answer::Deferred { wait: wait.get() },
            Touch::Passed { waited } => Answer::Passed { waited: waited.get() },
            Touch::Known => Answer::Known,
            Touch::NoRoom => panic!("one tuple has room"),
        }
    }

    /// Plays an event that begins at `*now`, and gives what the checker sees of it.
    fn play(&mut self, event: &Event, now: &mut u64) -> Vec<Try> {
        *now += event.pause;
        let sent = *now;
        let clock = |decided: u64| decided.saturating_sub(event.behind.min(decided));
        let first = event.twin.map(|later| sent + later + event.there);
        let second = first.unwrap_or(sent) + event.there;
        *now = second + event.back;
        let at =
            Offset::from_secs(DAY).span(Duration::from_millis(sent), Duration::from_millis(*now));
        let (no_first, no_second, no_mark) = event.killed.unwrap_or_default();
        let mut tries = Vec::new();
        if let Some(first) = first {
            let before = self.tuple;
            let answer = self.decide(clock(first));
            // The second's answer would presume the first one's mark.
            if no_first && no_second && no_mark {
                self.tuple = before;
            }
            tries.push(Try { at, answer: (!no_first).then_some(answer) });
        }
        let before = self.tuple;
        let answer = self.decide(clock(second));
        if no_second && no_mark {
            self.tuple = before;
        }
        tries.push(Try { at, answer: (!no_second).then_some(answer) });
        // Answers come in any order.
        tries.reverse();
        tries
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn an_honest_service_is_never_accused(events in proptest::collection::vec(event(), 1..12)) {
        let (mut service, mut known, mut now) = (Honest::new(), Knowledge::UNTRIED, 10_000);
        for event in events {
            let tries = service.play(&event, &mut now);
            let found = known.after_all(&tries);
            prop_assert!(found.is_ok(), "{event:?}: {known:?} {tries:?}");
            known = found.unwrap();
        }
    }

    /// In any honest story, at each change that was answered: what if that is forgotten?
    #[test]
    fn a_service_that_forgets_is_found_at_the_next_look(
        events in proptest::collection::vec(event(), 1..12),
        look in event(),
    ) {
        let ripe = u64::try_from(RIPE.as_millis()).unwrap();
        let look = Event { pause: look.pause + ripe, killed: None, twin: None, ..look };
        let (mut service, mut known, mut now) = (Honest::new(), Knowledge::UNTRIED, 10_000);
        for event in events {
            let before = service.tuple;
            known = known.after_all(&service.play(&event, &mut now)).unwrap();
            let kind = |tuple: Option<Tuple>| tuple.map(|tuple| tuple.state);
            if event.killed.is_none() && kind(service.tuple) != kind(before) {
                let mut forgetful = Honest { tuple: before, ..service.clone() };
                let found = known.after_all(&forgetful.play(&look, &mut now.clone()));
                prop_assert!(matches!(found, Err((Fault::Lost, _))), "{known:?}: {found:?}");
            }
        }
    }

    /// The same for a service that makes a grey tuple older or younger by some seconds.
    #[test]
    fn a_service_that_has_the_times_wrong_is_found(
        first in event(),
        mut look in event(),
        off in 5..1_000u64,
        younger: bool,
    ) {
        let (mut service, mut now) = (Honest::new(), 10_000);
        let mut first = first;
        (first.killed, look.killed, look.twin) = (None, None, None);
        first.twin = None;
        let known = Knowledge::UNTRIED.after_all(&service.play(&first, &mut now)).unwrap();
        let since = service.tuple.unwrap().since.as_unix_secs();
        let since = if younger { since + off } else { since - off };
        service.tuple = Some(Tuple { state: State::Grey, since: Timestamp::from_unix_secs(since) });
        look.pause += u64::try_from(RIPE.as_millis()).unwrap();
        let found = known.after_all(&service.play(&look, &mut now));
        prop_assert!(found.is_err(), "{known:?} {look:?}: {found:?}");
    }
}
