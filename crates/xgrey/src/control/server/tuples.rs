//! Tuples for admins: listed, shown, forgotten, let pass.

use std::io;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncWrite;

use super::Control;
use crate::clock;
use crate::control::stream::{Items, write_items};
use crate::control::{TupleDecided, TupleListed, TupleNamed, TupleTried, TuplesListed};
use crate::metrics::Hand;
use crate::service::{
    Extent, Listed, NotListed, Scratch, TupleChanged, TupleFilter, TupleShown, TupleState,
};

/// How long a tuple's text is looked for. Reading 1 GiB of texts takes about a second, if the kernel
/// has them in memory.
const TEXT_SEARCH_MAX: Duration = Duration::from_secs(10);

impl Control {
    /// Writes the tuples that match, as they are come across.
    pub(super) async fn list_tuples(
        &self,
        out: &mut (impl AsyncWrite + Unpin),
        filter: TupleFilter,
        extent: Extent,
    ) -> io::Result<()> {
        let (service, clock) = (Arc::clone(&self.service), self.clock);
        let make = move |items: &mut Items| {
            let timing = service.policy().timing;
            let give = |listed: Option<Listed<'_>>| match listed {
                Some(listed) => items.give(&TupleListed::of(&listed, &timing)),
                None => items.look(),
            };
            match service.list_tuples(|| clock.now(), &filter, extent, give) {
                Ok(end) => Ok(TuplesListed::from(end)),
                Err(NotListed::NoTexts) => {
                    Err("no texts of tuples are kept, so none can be found by \
                     client, sender or recipient: see keep_text in the configuration"
                        .to_owned())
                }
                Err(NotListed::Stopped) => Err("cut off".to_owned()),
            }
        };
        write_items(out, make).await
    }

    pub(super) async fn show_tuple(&self, named: &TupleNamed) -> Result<TupleShown, String> {
        let shown = self.service.show_tuple(self.clock.now(), &named.query()).await;
        let (mut shown, search) =
            shown.map_err(|error| format!("the store can't be asked: {error}"))?;
        let Some(search) = search else { return Ok(shown) };
        let service = Arc::clone(&self.service);
        let deadline = clock::boot() + TEXT_SEARCH_MAX;
        let found = tokio::task::spawn_blocking(move || {
            service.find_text(&search, || match clock::boot() < deadline {
                true => ControlFlow::Continue(()),
                false => ControlFlow::Break(()),
            })
        });
        shown.text = found.await.map_err(|error| error.to_string())?;
        Ok(shown)
    }

    pub(super) async fn forget_tuple(&self, named: &TupleNamed) -> Result<TupleChanged, String> {
        let changed = self.service.forget_tuple(self.clock.now(), &named.query()).await;
        let changed = changed.map_err(|error| error.to_string())?;
        self.metrics.outside().hand(Hand::forgotten(&changed.before), 1);
        tell(named, &changed, "forgotten");
        Ok(changed)
    }

    /// What a mail server's question would do, if it came to the tuple.
    pub(super) async fn try_tuple(&self, named: &TupleNamed) -> Result<TupleTried, String> {
        let before = match self.tuple_unless_decided(named).await? {
            Ok(before) => before,
            Err(decided) => return Ok(TupleTried::Decided(decided)),
        };
        let (query, now) = (named.query(), self.clock.now());
        let (mut scratch, mut outcomes) = (Scratch::default(), Vec::new());
        {
            let policy = self.service.policy();
            let queries = [query];
            self.service.answer(&policy, now, &queries, &mut scratch, &mut outcomes).await;
        }
        let shown = self.service.show_tuple(now, &query).await;
        let (TupleShown { id, identity, tuple, .. }, _) =
            shown.map_err(|error| format!("the store can't be asked: {error}"))?;
        let changed = TupleChanged { id, identity, before, tuple };
        tell(named, &changed, "tried");
        Ok(TupleTried::Done(changed))
    }

    /// As [`pass_tuple`](Self::pass_tuple), if a question would come to the tuple.
    pub(super) async fn whitelist_tuple(&self, named: &TupleNamed) -> Result<TupleTried, String> {
        match self.tuple_unless_decided(named).await? {
            Ok(_) => self.pass_tuple(named).await.map(TupleTried::Done),
            Err(decided) => Ok(TupleTried::Decided(decided)),
        }
    }

    /// What is known of a tuple, or what decides a question before it is come to.
    async fn tuple_unless_decided(
        &self,
        named: &TupleNamed,
    ) -> Result<Result<TupleState, TupleDecided>, String> {
        let explained = self.service.explain(self.clock.now(), &named.query()).await;
        let explained = explained.map_err(|error| format!("the store can't be asked: {error}"))?;
        if let Some(tuple) = explained.tuple {
            return Ok(Ok(tuple));
        }
        let last = explained.path.into_iter().next_back();
        let (stage, said, origin) =
            last.map_or_else(Default::default, |step| (step.stage, step.said, step.origin));
        Ok(Err(TupleDecided { answer: explained.answer, stage, said, origin }))
    }

    pub(super) async fn pass_tuple(&self, named: &TupleNamed) -> Result<TupleChanged, String> {
        let changed = self.service.pass_tuple(self.clock.now(), &named.query()).await;
        let changed = changed.map_err(|error| error.to_string())?;
        self.metrics.outside().hand(Hand::passed(&changed.before), 1);
        tell(named, &changed, "made white");
        Ok(changed)
    }
}

/// So that the log says why a sender was treated otherwise than the log says before.
fn tell(named: &TupleNamed, changed: &TupleChanged, done: &str) {
    let TupleNamed { client, sender, recipient } = named;
    tracing::info!(
        target: "control", tuple = changed.id, %client, sender, recipient,
        "tuple {done}, as an admin asked"
    );
}
