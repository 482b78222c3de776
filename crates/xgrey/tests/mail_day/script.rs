//! The day: who tries what, when, and what is to come of it.

use greylist::rules::{List, Verdict};
use xgrey::metrics::Hand;

/// Seconds.
pub(crate) const HOUR: u64 = 3_600;
pub(crate) const DAY: u64 = 24 * HOUR;
/// When the last hour is over in which anything is asked; and two seconds, in which it is counted.
pub(crate) const END: u64 = 31 * HOUR + 2;

/// Of X-Grey's profile: 25 minutes, and 6 hours.
const EMBARGO: u32 = 25 * 60;
const WINDOW: u64 = 6 * HOUR;

/// How long those wait who come back: as short and as long as can be, and at some bounds.
const WAITS: [u32; 8] = [EMBARGO, EMBARGO + 1, 1_800, 1_801, 3_600, 7_200, 14_400, 21_600];

use Verdict::{Accept, Greylist, Reject};

/// The rules, one list after the other.
pub(crate) const RULES: [(List, &str, Verdict); 17] = [
    (List::Client, "203.0.113.0/24", Accept),
    (List::Client, "203.0.113.66", Reject),
    (List::Client, "198.51.100.77", Greylist),
    (List::ClientName, ".friend.example", Accept),
    (List::ClientName, ".pest.example", Reject),
    (List::Sender, "friend@example.com", Accept),
    (List::Sender, "pest@example.com", Reject),
    (List::Sender, "maybe@example.com", Greylist),
    (List::SenderDomain, "friend.example", Accept),
    (List::SenderDomain, "pest.example", Reject),
    (List::Recipient, "open@example.org", Accept),
    (List::Recipient, "closed@example.org", Reject),
    (List::Recipient, "slow@example.org", Greylist),
    (List::RecipientDomain, "open.example", Accept),
    (List::RecipientDomain, "closed.example", Reject),
    // Never met.
    (List::ClientName, "unknown.example", Greylist),
    (List::ClientName, "nobody.example", Greylist),
];

/// What lists say of a query.
pub(crate) type Said = Vec<(List, Verdict)>;

/// A query that passes through all lists that X-Grey has.
fn through() -> Said {
    let lists =
        [List::Client, List::Sender, List::SenderDomain, List::Recipient, List::RecipientDomain];
    lists.map(|list| (list, Greylist)).into()
}

/// Those lists up to one, which says `verdict`.
fn up_to(last: List, verdict: Verdict) -> Said {
    let before = through().into_iter().take_while(|&(list, _)| list != last);
    before.chain([(last, verdict)]).collect()
}

/// All lists but one that is skipped.
fn skipping(skipped: List) -> Said {
    through().into_iter().filter(|&(list, _)| list != skipped).collect()
}

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mail {
    pub(crate) client: String,
    pub(crate) client_name: Option<&'static str>,
    pub(crate) sender: String,
    pub(crate) recipient: String,
    pub(crate) login: bool,
}

impl Mail {
    fn new(client: &str, sender: &str, recipient: &str) -> Self {
        Self {
            client: client.to_owned(),
            client_name: None,
            sender: sender.to_owned(),
            recipient: recipient.to_owned(),
            login: false,
        }
    }
}

/// What is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Deed {
    /// A query, its answer, how long it had waited if it passes, and what lists say of it.
    Ask { answer: (&'static str, &'static str), waited: Option<u32>, said: Said },
    /// The tuple is passed or forgotten by hand.
    Hand(Hand),
    /// An X-Grey client asks for the tuple to be passed; `Hand` says what was known.
    AskToPass(Hand),
}

/// Something that is done at a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Action {
    pub(crate) at: u64,
    pub(crate) mail: Mail,
    pub(crate) deed: Deed,
    /// From when on the tuple is there no longer, if this made it and it goes again.
    pub(crate) gone: Option<Gone>,
}

/// Why a tuple goes, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gone {
    Expires(u64),
    ByHand(u64),
}

#[derive(Default)]
struct Script(Vec<Action>);

impl Script {
    fn ask(&mut self, at: u64, mail: &Mail, answer: (&'static str, &'static str), said: Said) {
        self.deed(at, mail, Deed::Ask { answer, waited: None, said }, None);
    }

    fn deed(&mut self, at: u64, mail: &Mail, deed: Deed, gone: Option<Gone>) {
        self.0.push(Action { at, mail: mail.clone(), deed, gone });
    }

    /// A first try whose tuple goes as said.
    fn first(&mut self, at: u64, mail: &Mail, said: Said, gone: Option<Gone>) {
        self.deed(at, mail, Deed::Ask { answer: ("defer", "new"), waited: None, said }, gone);
    }

    /// One that is never tried again.
    fn spam(&mut self, at: u64, mail: &Mail, said: Said) {
        self.first(at, mail, said, Some(Gone::Expires(at + WINDOW + 1)));
    }

    /// Mail of a server that queues: tried, tried too early, passed, and more of it.
    fn honest(&mut self, at: u64, mail: &Mail, wait: u32) {
        self.first(at, mail, through(), None);
        self.ask(at + u64::from(EMBARGO) - 1, mail, ("defer", "early"), through());
        let passed = at + u64::from(wait);
        let answer = ("accept", "passed");
        let passes = Deed::Ask { answer, waited: Some(wait), said: through() };
        self.deed(passed, mail, passes, None);
        self.ask(passed + 600, mail, ("accept", "known"), through());
    }

    /// Each list, each verdict.
    fn ruled(&mut self, at: u64, hour: u64) {
        let (sender, recipient) = (format!("s{hour}@example.net"), format!("r{hour}@example.org"));
        let (sender, recipient) = (sender.as_str(), recipient.as_str());
        let (accept, reject) = (("accept", "rule"), ("reject", "rule"));
        let client = "192.0.2.99";
        let named = |name| Mail { client_name: Some(name), ..Mail::new(client, sender, recipient) };
        let name_said = |verdict| vec![(List::Client, Greylist), (List::ClientName, verdict)];
        let decided: [(Mail, _, Said, u64); 12] = [
            (Mail::new("203.0.113.5", sender, recipient), accept, up_to(List::Client, Accept), 2),
            (Mail::new("203.0.113.66", sender, recipient), reject, up_to(List::Client, Reject), 3),
            (named("mx.friend.example"), accept, name_said(Accept), 1),
            (named("mx.pest.example"), reject, name_said(Reject), 2),
            (
                Mail::new(client, "friend@example.com", recipient),
                accept,
                up_to(List::Sender, Accept),
                4,
            ),
            (
                Mail::new(client, "pest@example.com", recipient),
                reject,
                up_to(List::Sender, Reject),
                1,
            ),
            (
                Mail::new(client, "a@friend.example", recipient),
                accept,
                up_to(List::SenderDomain, Accept),
                1,
            ),
            (
                Mail::new(client, "a@pest.example", recipient),
                reject,
                up_to(List::SenderDomain, Reject),
                5,
            ),
            (
                Mail::new(client, sender, "open@example.org"),
                accept,
                up_to(List::Recipient, Accept),
                1,
            ),
            (
                Mail::new(client, sender, "closed@example.org"),
                reject,
                up_to(List::Recipient, Reject),
                2,
            ),
            (
                Mail::new(client, sender, "r@open.example"),
                accept,
                up_to(List::RecipientDomain, Accept),
                3,
            ),
            (
                Mail::new(client, sender, "r@closed.example"),
                reject,
                up_to(List::RecipientDomain, Reject),
                1,
            ),
        ];
        for (mail, answer, said, times) in decided {
            for time in 0..times {
                self.ask(at + time, &mail, answer, said.clone());
            }
        }
        self.spam(at, &Mail::new("198.51.100.77", sender, recipient), through());
        self.spam(
            at,
            &Mail::new(client, "maybe@example.com", recipient),
            skipping(List::SenderDomain),
        );
        self.spam(
            at,
            &Mail::new(client, sender, "slow@example.org"),
            skipping(List::RecipientDomain),
        );
        // No domain to ask about.
        self.spam(at, &Mail::new(client, "", recipient), skipping(List::SenderDomain));
    }

    fn exempt(&mut self, at: u64, hour: u64) {
        let mail = Mail::new("192.0.2.98", &format!("x{hour}@example.net"), "bob@example.org");
        let postmaster = Mail { recipient: "postmaster@example.org".to_owned(), ..mail.clone() };
        self.ask(at, &postmaster, ("accept", "exempt-recipient"), through());
        self.ask(
            at,
            &Mail { login: true, ..mail.clone() },
            ("accept", "authenticated"),
            Said::new(),
        );
        let local = Mail { client: "127.0.0.1".to_owned(), ..mail };
        self.ask(at + 1, &local, ("accept", "local"), Said::new());
        self.ask(at + 2, &local, ("accept", "local"), Said::new());
    }

    fn by_hand(&mut self, at: u64, hour: u64) {
        let mail = |who: &str| {
            Mail::new("192.0.2.97", &format!("{who}{hour}@example.net"), "bob@example.org")
        };
        let one = mail("one");
        let by_hand = Some(Gone::ByHand(at + 20));
        self.deed(at, &one, Deed::Hand(Hand::PassedUnknown), by_hand);
        self.ask(at + 10, &one, ("accept", "known"), through());
        self.deed(at + 15, &one, Deed::Hand(Hand::PassedWhite), None);
        self.deed(at + 20, &one, Deed::Hand(Hand::ForgottenWhite), None);
        self.deed(at + 21, &one, Deed::Hand(Hand::ForgottenUnknown), None);
        let two = mail("two");
        self.first(at + 30, &two, through(), None);
        self.deed(at + 31, &two, Deed::Hand(Hand::PassedGrey), None);
        let three = mail("three");
        self.first(at + 40, &three, through(), Some(Gone::ByHand(at + 45)));
        self.deed(at + 45, &three, Deed::Hand(Hand::ForgottenGrey), None);
        let four = mail("four");
        self.deed(at + 50, &four, Deed::AskToPass(Hand::PassedUnknown), None);
        self.deed(at + 55, &four, Deed::AskToPass(Hand::PassedWhite), None);
    }
}

/// Spam of its own sender.
pub(crate) fn one_that_never_comes_back(at: u64) -> Action {
    let mut script = Script::default();
    let mail = Mail::new("192.0.2.1", &format!("spam{at}@example.net"), "bob@example.org");
    script.spam(at, &mail, through());
    script.0.swap_remove(0)
}

/// All that is done, in order. From minute 50 of each hour on, nothing is.
pub(crate) fn day() -> Vec<Action> {
    let mut script = Script::default();
    for hour in 0..24 {
        let start = hour * HOUR;
        for (number, wait) in (0..).zip(WAITS) {
            let client = format!("192.0.2.{}", number + 1);
            let mail = Mail::new(&client, &format!("alice{hour}@example.net"), "bob@example.org");
            script.honest(start + 30 * number, &mail, wait);
        }
        for number in 0..50 {
            let sender = format!("spam{number}@example.net");
            let mail = Mail::new(&format!("198.51.100.{hour}"), &sender, "bob@example.org");
            let at = start + number * 13 % 600;
            script.spam(at, &mail, through());
            if number % 5 == 0 {
                script.ask(at + 60, &mail, ("defer", "early"), through());
            }
        }
        script.ruled(start + 700, hour);
        script.exempt(start + 800, hour);
        script.by_hand(start + 900, hour);
        if hour % 4 == 0 && hour < 20 {
            // A retry that comes a minute too late, and another that never comes.
            let mail =
                Mail::new("192.0.2.96", &format!("late{hour}@example.net"), "bob@example.org");
            script.spam(start + 1_000, &mail, through());
            script.spam(start + 1_000 + WINDOW + 60, &mail, through());
        }
    }
    script.0.sort_by_key(|action| action.at);
    script.0
}
