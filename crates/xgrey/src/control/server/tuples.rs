//! Tuples for admins: listed, shown, forgotten, let pass.

use std::io;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncWrite;

use super::Control;
use crate::clock;
use crate::control::stream::{Items, write_items};
use crate::control::{TupleListed, TupleNamed, TuplesListed};
use crate::metrics::Hand;
use crate::service::{Extent, Listed, NotListed, TupleChanged, TupleFilter, TupleShown};

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
