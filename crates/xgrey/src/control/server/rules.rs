//! Rules for admins: listed, and changed.

use std::io;
use std::ops::ControlFlow;
use std::sync::Arc;

use greylist::rules::List;
use store::journal::Health;
use tokio::io::AsyncWrite;

use super::Control;
use crate::control::rules::{NoChange, RuleChangedText};
use crate::control::stream::{Items, write_items};
use crate::control::{ChangeRulesWanted, RuleShown, RulesChanged, RulesListed, RulesWanted};
use crate::service::{By, Service};

impl Control {
    /// Writes the rules that are wanted, in the order in which they are asked.
    pub(super) async fn list_rules(
        &self,
        out: &mut (impl AsyncWrite + Unpin),
        wanted: RulesWanted,
    ) -> io::Result<()> {
        let (service, clock) = (Arc::clone(&self.service), self.clock);
        let make = move |items: &mut Items| {
            let no_list = |word: &String| NoChange::List(word.clone()).to_string();
            let list = wanted.list.as_ref();
            let list = list.map(|word| List::parse(word).ok_or_else(|| no_list(word)));
            let mut rules = 0;
            let end = service.list_rules(clock.now(), list.transpose()?, |rule| {
                if wanted.live && rule.live.is_none() {
                    return ControlFlow::Continue(());
                }
                rules += 1;
                items.give(&RuleShown::of(&rule))
            });
            match end {
                ControlFlow::Continue(()) => Ok(RulesListed { rules }),
                ControlFlow::Break(()) => Err("cut off".to_owned()),
            }
        };
        write_items(out, make).await
    }

    /// Makes changes that the user `uid` asks for. In a thread of its own: it may wait for the disk,
    /// and putting a million rules together takes a while.
    pub(super) async fn change_rules(
        &self,
        uid: u32,
        wanted: ChangeRulesWanted,
    ) -> Result<RulesChanged, String> {
        let (service, now) = (Arc::clone(&self.service), self.clock.now());
        let change = tokio::task::spawn_blocking(move || change(&service, now, uid, &wanted));
        change.await.map_err(|error| error.to_string())?
    }
}

fn change(
    service: &Service,
    now: greylist::Timestamp,
    uid: u32,
    wanted: &ChangeRulesWanted,
) -> Result<RulesChanged, String> {
    let parsed = wanted.changes.iter().map(|change| change.parse());
    let changes = parsed.collect::<Result<Vec<_>, _>>().map_err(|why| why.to_string())?;
    let mut done = Vec::new();
    service
        .change_rules(now, By::Control { uid }, &changes, &mut done)
        .map_err(|why| why.to_string())?;
    if !wanted.more_follow {
        service.rules_in_force(now);
    }
    let done: Vec<_> =
        changes.iter().zip(done).map(|(change, done)| RuleChangedText::of(change, done)).collect();
    for RuleChangedText { list, entry, outcome, .. } in &done {
        tracing::info!(target: "control", uid, list, entry, outcome, "rule changed");
    }
    Ok(RulesChanged { done, not_kept: not_kept(service) })
}

/// Why a restart would forget what is changed now, if it would.
fn not_kept(service: &Service) -> Option<String> {
    match service.store().durability().map(|durability| durability.health) {
        None => Some("nothing is kept on disk: see journal in the configuration".to_owned()),
        Some(Health::Down(down)) => Some(down.why.to_string()),
        Some(Health::Up | Health::Mending(_)) => None,
    }
}
