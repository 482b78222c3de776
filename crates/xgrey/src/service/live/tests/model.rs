//! Random changes, queries, reloads, restarts and kills, against a model: maps.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

/// Entries that come often; `None` is a list's default.
const ENTRIES: [(List, Option<&str>); 14] = [
    (List::Client, None),
    (List::Client, Some("192.0.2.0/24")),
    (List::Client, Some("192.0.2.7")),
    (List::ClientName, Some(".example.net")),
    (List::Sender, None),
    (List::Sender, Some("=Alice@example.net")),
    (List::Sender, Some("alice@")),
    (List::Sender, Some("/^al/")),
    (List::Sender, Some("/net$/")),
    (List::SenderDomain, Some("=example.net")),
    (List::SenderDomain, Some(".net")),
    (List::Recipient, Some("bob@")),
    (List::RecipientDomain, None),
    (List::RecipientDomain, Some("example.org")),
];

const SENDERS: [&str; 4] = ["Alice@example.net", "alice@example.net", "carol@example.test", ""];

/// Configurations, of which one is read at each start and reload.
const CONFIGS: [&str; 3] = [
    "",
    "[rules.sender]\nreject = [\"alice@\", \"/net$/\", \"=Alice@example.net\"]\ndefault = \"accept\"\n",
    "[rules.client]\nreject = [\"192.0.2.7\"]\ngreylist = [\"192.0.2.0/24\"]\n\
     [rules.sender]\naccept = [\"/^al/\", \"/net$/\"]\n\
     [rules.recipient_domain]\ndefault = \"reject\"\naccept = [\"example.org\"]\n",
];

type Key = (List, Option<&'static str>);

fn entry_of((list, text): Key) -> Entry {
    text.map_or(Entry::Default, |text| Entry::Pattern(Pattern::parse(list, text).unwrap()))
}

#[derive(Clone, Debug)]
enum Op {
    Change(Vec<(Key, What, HitsKept)>),
    InForce,
    Ask(&'static str),
    Reload(usize),
    /// A clean stop and a start with that configuration.
    Restart(usize),
    /// Sync, and a snapshot if it is time.
    Upkeep,
}

fn one_change() -> impl Strategy<Value = (Key, What, HitsKept)> {
    let what = prop::sample::select(vec![
        What::Set(Verdict::Accept),
        What::Set(Verdict::Reject),
        What::Set(Verdict::Greylist),
        What::Set(Verdict::Greylist),
        What::Remove,
        What::Remove,
        What::AsConfigured,
    ]);
    let hits = prop::sample::select(vec![HitsKept::Keep, HitsKept::Zero]);
    (prop::sample::select(ENTRIES.to_vec()), what, hits)
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let op = prop_oneof![
        8 => prop::collection::vec(one_change(), 1..4).prop_map(Op::Change),
        3 => Just(Op::InForce),
        8 => prop::sample::select(SENDERS.to_vec()).prop_map(Op::Ask),
        2 => (0..CONFIGS.len()).prop_map(Op::Reload),
        2 => (0..CONFIGS.len()).prop_map(Op::Restart),
        2 => Just(Op::Upkeep),
    ];
    prop::collection::vec(op, 1..40)
}

/// The obvious way.
#[derive(Clone, Debug, Default)]
struct Model {
    configured: BTreeMap<Key, Verdict>,
    /// `None`: removed.
    live: BTreeMap<Key, Option<Verdict>>,
    hits: BTreeMap<Key, u64>,
    /// Of rules that are not there.
    parked: BTreeMap<Key, u64>,
}

impl Model {
    fn configure(&mut self, config: &str) {
        let rules = policy(config).rules;
        let verdict = |(list, text): Key| match entry_of((list, text)) {
            Entry::Default => Some(rules.rule(RuleRef::default_of(list)).verdict),
            Entry::Pattern(pattern) => rules.rule_with(&pattern).map(|rule| rule.verdict),
        };
        let all = ENTRIES.into_iter();
        self.configured = all.filter_map(|key| Some((key, verdict(key)?))).collect();
        let gone = ENTRIES.into_iter().filter(|&key| self.verdict(key).is_none());
        gone.collect::<Vec<_>>().iter().for_each(|key| {
            self.hits.remove(key);
        });
    }

    fn verdict(&self, key: Key) -> Option<Verdict> {
        self.live.get(&key).copied().unwrap_or_else(|| self.configured.get(&key).copied())
    }

    fn change(&mut self, key: Key, what: What, hits: HitsKept) {
        let before = self.verdict(key);
        match what {
            What::Set(verdict) => {
                self.live.insert(key, Some(verdict));
            }
            What::Remove if key.1.is_none() || before.is_none() => return,
            What::Remove => {
                match self.configured.contains_key(&key) {
                    true => self.live.insert(key, None),
                    false => self.live.remove(&key),
                };
            }
            What::AsConfigured => {
                if self.live.remove(&key).is_none() {
                    return;
                }
            }
        }
        let after = self.verdict(key);
        if before.is_none() && after.is_none() {
            return;
        }
        if hits == HitsKept::Zero {
            self.hits.remove(&key);
            self.parked.remove(&key);
        } else if after.is_none() {
            self.parked.extend(self.hits.remove(&key).map(|hits| (key, hits)));
        } else if before.is_none() {
            self.hits.extend(self.parked.remove(&key).map(|hits| (key, hits)));
        }
    }
}

/// What the service has in force, of the entries that there are: verdict, and whether it is live.
fn in_force(service: &Service) -> BTreeMap<Key, (Verdict, bool)> {
    let rules = service.policy().rules.clone();
    let rule = |key: Key| {
        let reference = match entry_of(key) {
            Entry::Default => RuleRef::default_of(key.0),
            Entry::Pattern(pattern) => rules.rule_with(&pattern)?.reference,
        };
        let rule = rules.rule(reference);
        Some((key, (rule.verdict, rule.origin == RuleOrigin::LIVE)))
    };
    ENTRIES.into_iter().filter_map(rule).collect()
}

fn wanted(model: &Model) -> BTreeMap<Key, (Verdict, bool)> {
    let wanted = |key: Key| Some((key, (model.verdict(key)?, model.live.contains_key(&key))));
    ENTRIES.into_iter().filter_map(wanted).collect()
}

/// Asks, and counts in the model what the rules in force say that they met.
fn ask(service: &Service, model: &mut Model, sender: &'static str, now: Timestamp) {
    let client = Client::new([192, 0, 2, 7].into());
    let query = Query::new(client, sender.as_bytes(), b"bob@example.org");
    let policy = service.policy();
    let judgement = policy.rules.judge(&query);
    for step in judgement.steps() {
        use greylist::rules::Outcome::{Default, Matched};
        if let Matched(rule) | Default(rule) = step.outcome {
            let text = policy.rules.rule(rule).text.to_string();
            let text = (!rule.is_default()).then_some(text);
            let key = ENTRIES.iter().find(|key| key.0 == rule.list && key.1 == text.as_deref());
            if let Some(&key) = key {
                *model.hits.entry(key).or_default() += 1;
            }
        }
    }
    drop(policy);
    asked(service, sender, now);
}

fn check(service: &Service, model: &Model) -> Result<(), TestCaseError> {
    prop_assert_eq!(in_force(service), wanted(model));
    let rules = service.policy().rules.clone();
    for key in ENTRIES {
        let hits = hits_of(&rules, key.0, &entry_of(key));
        prop_assert_eq!(hits, model.hits.get(&key).copied().unwrap_or(0), "{:?}", key);
    }
    let marks = listed(service).iter().filter(|rule| rule.contains(" removed ")).count();
    prop_assert_eq!(marks, model.live.values().filter(|rule| rule.is_none()).count());
    Ok(())
}

/// How it was after a step.
#[derive(Debug)]
struct Step {
    calls: usize,
    model: Model,
}

fn run(disk: &SimulatedDisk, ops: &[Op]) -> Result<Vec<Step>, TestCaseError> {
    let mut service = opened(disk, CONFIGS[0]);
    let mut model = Model::default();
    model.configure(CONFIGS[0]);
    let mut steps = vec![Step { calls: disk.calls(), model: model.clone() }];
    for (secs, op) in (1..).zip(ops) {
        let now = at(secs);
        match op {
            Op::Change(changes) => {
                let wanted: Vec<_> = changes
                    .iter()
                    .map(|&(key, what, hits)| RuleChange {
                        list: key.0,
                        entry: entry_of(key),
                        what,
                        hits,
                    })
                    .collect();
                service.change_rules(now, ADMIN, &wanted, &mut Vec::new()).unwrap();
                changes.iter().for_each(|&(key, what, hits)| model.change(key, what, hits));
            }
            Op::InForce => {}
            Op::Ask(sender) => {
                service.rules_in_force(now);
                ask(&service, &mut model, sender, now);
            }
            Op::Reload(number) => {
                service.replace_policy(now, policy(CONFIGS[*number]));
                model.configure(CONFIGS[*number]);
                check(&service, &model)?;
            }
            Op::Restart(number) => {
                drop(service);
                service = opened(disk, CONFIGS[*number]);
                (model.hits, model.parked) = (BTreeMap::new(), BTreeMap::new());
                model.configure(CONFIGS[*number]);
                check(&service, &model)?;
            }
            Op::Upkeep => {
                service.store.sync(now);
                service.store.upkeep(now, &mut || std::ops::ControlFlow::Continue(()));
                service.look_after_rules(now);
            }
        }
        if matches!(op, Op::InForce | Op::Ask(_)) {
            service.rules_in_force(now);
            check(&service, &model)?;
        }
        steps.push(Step { calls: disk.calls(), model: model.clone() });
    }
    Ok(steps)
}

proptest! {
    // Each opens a dozen stores.
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn rules_are_what_was_made_of_them_and_an_acknowledged_change_survives_a_kill_at_any_call(
        ops in ops(),
        kills in prop::collection::vec((0u32..=1000, 0usize..200), 6),
    ) {
        let disk = SimulatedDisk::new();
        let steps = run(&disk, &ops)?;
        for (permille, torn) in kills {
            let calls = disk.calls() * permille as usize / 1000;
            let service = opened(&disk.after_kill(calls, torn), CONFIGS[1]);
            // What was done, and what was under way.
            let done = steps.partition_point(|step| step.calls <= calls).saturating_sub(1);
            let next = (done + 1).min(steps.len() - 1);
            let live = |step: &Step| {
                let mut model = Model { live: step.model.live.clone(), ..Model::default() };
                model.configure(CONFIGS[1]);
                wanted(&model)
            };
            let seen = in_force(&service);
            let (before, after) = (live(&steps[done]), live(&steps[next]));
            // Of one request's changes some may be there: each is a note of its own.
            for key in ENTRIES {
                let seen = seen.get(&key);
                prop_assert!(
                    seen == before.get(&key) || seen == after.get(&key),
                    "killed at call {} of {}: {:?} is {:?}, neither {:?} nor {:?}",
                    calls, disk.calls(), key, seen, before.get(&key), after.get(&key)
                );
            }
        }
    }
}
