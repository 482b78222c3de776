//! All counts in OpenMetrics, as Prometheus reads them: `docs/http.md` lists the names, and a test holds
//! the list to what is written here.
//!
//! Few labels, and only such that have few values: a series for each client or address would cost
//! Prometheus more memory than the tuples cost us.
//!
//! Never knows: HTTP, clocks.

use std::fmt;
use std::sync::Arc;

use greylist::rules::List;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{
    DescriptorEncoder, EncodeCounterValue, EncodeGaugeValue, EncodeLabelSet, NoLabelSet,
};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::{Registry, Unit};
use store::durable::Durability;
use store::journal::Health;
use store::text::TextStats;

use super::places::Places;
use super::responses::Responses;
use crate::listen::Connections;
use crate::metrics::{Event, Front, KINDS, Look, Metrics, VERDICTS, WAITS};
use crate::service::Service;

/// The content type of what [`Sources::write`] writes.
pub(super) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Where the numbers come from.
#[derive(Clone, Debug)]
pub struct Sources {
    /// Asked for the table, the journal and the texts.
    pub service: Arc<Service>,
    /// Asked for all counts.
    pub metrics: Arc<Metrics>,
    /// Asked for their number.
    pub connections: Arc<Connections>,
    /// Likewise, for HTTP.
    pub places: Arc<Places>,
    /// What was answered over HTTP.
    pub responses: Arc<Responses>,
}

impl Sources {
    /// All numbers at `now`. Asks each shard of the store: a millisecond or two.
    pub fn write(&self, now: greylist::Timestamp) -> String {
        let mut registry = Registry::with_prefix("xgrey");
        registry.register_collector(Box::new(Page {
            sources: self.clone(),
            look: self.metrics.look(now, self.service.store()),
            durability: self.service.store().durability(),
            texts: self.service.texts().map(store::text::TextLog::stats),
        }));
        let mut page = String::new();
        // Writing to a `String` cannot fail, nor do the encoders below.
        let _ = prometheus_client::encoding::text::encode(&mut page, &registry);
        page
    }
}

/// All that is told at one moment.
#[derive(Debug)]
struct Page {
    sources: Sources,
    look: Look,
    durability: Option<Durability>,
    texts: Option<TextStats>,
}

impl Collector for Page {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut out = Out(encoder);
        self.decisions(&mut out)?;
        self.tuples(&mut out)?;
        self.process(&mut out)?;
        self.doors(&mut out)?;
        if let Some(durability) = &self.durability {
            journal(durability, &mut out)?;
        }
        match &self.texts {
            Some(texts) => text_log(texts, &mut out),
            None => Ok(()),
        }
    }
}

impl Page {
    fn decisions(&self, out: &mut Out<'_>) -> fmt::Result {
        let counted = &self.look.since_start;
        let answers = KINDS.iter().zip(&counted.answers);
        out.counters(
            "decisions",
            "Questions decided, by what was decided and why.",
            answers.map(|((action, reason), count)| {
                ([("action", *action), ("reason", *reason)], *count)
            }),
        )?;
        out.counters(
            "questions",
            "Questions decided, by the protocol that they came over.",
            Front::ALL
                .into_iter()
                .map(|(front, word)| ([("protocol", word)], self.sources.metrics.asked(front))),
        )?;
        let places = WAITS.iter().map(|longest| f64::from(longest.get())).chain([f64::INFINITY]);
        let buckets: Vec<(f64, u64)> = places.zip(counted.waits).collect();
        let passed = counted.waits.iter().sum();
        out.0
            .encode_descriptor(
                "wait",
                "How long tuples had waited when they passed.",
                Some(&Unit::Seconds),
                MetricType::Histogram,
            )?
            .encode_histogram::<NoLabelSet>(counted.waited_secs as f64, passed, &buckets, None)?;
        let said = List::ALL.iter().zip(&counted.lists).flat_map(|(list, said)| {
            VERDICTS.iter().zip(said).map(|(verdict, count)| {
                ([("list", list.word()), ("verdict", verdict.word())], *count)
            })
        });
        out.counters("list_verdicts", "What lists of rules said when they were asked.", said)
    }

    fn tuples(&self, out: &mut Out<'_>) -> fmt::Result {
        let Look { table, since_start: counted, .. } = &self.look;
        let by_state = |grey, white| [([("state", "grey")], grey), ([("state", "white")], white)];
        out.gauges(
            "tuples",
            "Tuples in the table, those included that have expired and were not swept yet.",
            None,
            by_state(table.grey, table.white),
        )?;
        let (expired, evicted) = (counted.expired, counted.evicted);
        out.counters(
            "tuples_expired",
            "Tuples whose time was over.",
            by_state(expired.grey, expired.white),
        )?;
        out.counters(
            "tuples_evicted",
            "Tuples given up for want of room.",
            by_state(evicted.grey, evicted.white),
        )?;
        let bytes = Some(&Unit::Bytes);
        out.gauge("table", "Memory of the table.", bytes, table.bytes)?;
        out.gauge("table_bound", "Memory that the table may have.", bytes, table.bound_bytes)?;
        let rules = self.sources.service.policy();
        out.gauges(
            "rules",
            "Rules in force, by their list.",
            None,
            List::ALL.map(|list| ([("list", list.word())], rules.rules.len(list) as u64)),
        )
    }

    fn process(&self, out: &mut Out<'_>) -> fmt::Result {
        out.0
            .encode_descriptor("build", "Which version this is.", None, MetricType::Info)?
            .encode_info(&[("version", env!("CARGO_PKG_VERSION"))])?;
        let seconds = Some(&Unit::Seconds);
        let started = self.look.started.as_unix_secs();
        out.gauge("start_time", "When the service started, since 1970.", seconds, started)?;
        let memory = crate::machine::resident_bytes().unwrap_or(0);
        out.gauge("resident", "Memory of the whole process.", Some(&Unit::Bytes), memory)
    }

    fn doors(&self, out: &mut Out<'_>) -> fmt::Result {
        let metrics = &self.sources.metrics;
        let listeners = metrics.listeners();
        let listeners =
            listeners.iter().map(|(word, count)| ([("protocol", word.as_str())], *count));
        out.gauges("listeners", "Places where is listened, by protocol.", None, listeners)?;
        let [streams, http] = [self.sources.connections.len(), self.sources.places.taken()];
        out.gauges(
            "connections",
            "Open connections.",
            None,
            [([("over", "streams")], streams as u64), ([("over", "http")], http as u64)],
        )?;
        out.counters(
            "events",
            "What happened to requests and connections, apart from answers.",
            Event::ALL.into_iter().map(|(event, word)| ([("event", word)], metrics.event(event))),
        )?;
        let responses = self.sources.responses.all();
        out.counters(
            "http_responses",
            "Answers over HTTP, by path and status.",
            responses.map(|(path, status, count)| ([("path", path), ("status", status)], count)),
        )
    }
}

fn journal(durability: &Durability, out: &mut Out<'_>) -> fmt::Result {
    let Durability { health, journal, tail_bytes, snapshot, snapshot_fault, .. } = durability;
    let is_up = u64::from(matches!(health, Health::Up));
    out.gauge("journal_up", "1: all changes are kept on disk; 0: not all are.", None, is_up)?;
    out.counter("journal_changes", "Changes that there have been, ever.", journal.position.get())?;
    out.counter_of(
        "journal_written",
        "Written to the journal.",
        Some(&Unit::Bytes),
        journal.bytes,
    )?;
    out.counter("journal_writes", "Writes, each for all that waited for it.", journal.writes)?;
    out.counter("journal_syncs", "Syncs that succeeded.", journal.syncs)?;
    out.counter("journal_faults", "Times that the journal went down.", journal.faults)?;
    out.counter("journal_changes_lost", "Changes that are in no file.", journal.not_kept)?;
    let (bytes, seconds) = (Some(&Unit::Bytes), Some(&Unit::Seconds));
    out.gauge("journal_tail", "Journal that a start would have to read.", bytes, *tail_bytes)?;
    let is_well = u64::from(snapshot_fault.is_none());
    out.gauge("snapshot_well", "0: the last attempt at a snapshot failed.", None, is_well)?;
    // Of this run: nothing is said until there is one.
    let Some(snapshot) = snapshot else { return Ok(()) };
    out.gauge("snapshot", "Length of the last snapshot.", bytes, snapshot.bytes)?;
    let at = snapshot.at.as_unix_secs();
    out.gauge("snapshot_time", "When the last snapshot was begun, since 1970.", seconds, at)
}

fn text_log(texts: &TextStats, out: &mut Out<'_>) -> fmt::Result {
    let bytes = Some(&Unit::Bytes);
    let is_up = u64::from(texts.is_writing);
    out.gauge("texts_up", "1: texts of tuples are written; 0: they can't be.", None, is_up)?;
    out.gauge("texts", "Texts of tuples on disk.", bytes, texts.bytes)?;
    out.gauge("texts_bound", "What texts of tuples may take on disk.", bytes, texts.bytes_max)?;
    out.counter("texts_dropped", "Texts that could not be written.", texts.dropped)
}

/// The page being written. Names are given without what OpenMetrics puts behind them: a unit, `_total`.
struct Out<'a>(DescriptorEncoder<'a>);

impl Out<'_> {
    fn counter(&mut self, name: &str, help: &str, count: u64) -> fmt::Result {
        self.counter_of(name, help, None, count)
    }

    fn counter_of(
        &mut self,
        name: &str,
        help: &str,
        unit: Option<&Unit>,
        count: impl EncodeCounterValue,
    ) -> fmt::Result {
        self.0
            .encode_descriptor(name, help, unit, MetricType::Counter)?
            .encode_counter::<NoLabelSet, _, u64>(&count, None)
    }

    fn counters<L: EncodeLabelSet>(
        &mut self,
        name: &str,
        help: &str,
        counts: impl IntoIterator<Item = (L, u64)>,
    ) -> fmt::Result {
        let mut family = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        for (labels, count) in counts {
            family.encode_family(&labels)?.encode_counter::<NoLabelSet, _, u64>(&count, None)?;
        }
        Ok(())
    }

    fn gauge(
        &mut self,
        name: &str,
        help: &str,
        unit: Option<&Unit>,
        value: impl EncodeGaugeValue,
    ) -> fmt::Result {
        self.0.encode_descriptor(name, help, unit, MetricType::Gauge)?.encode_gauge(&value)
    }

    fn gauges<L: EncodeLabelSet>(
        &mut self,
        name: &str,
        help: &str,
        unit: Option<&Unit>,
        values: impl IntoIterator<Item = (L, u64)>,
    ) -> fmt::Result {
        let mut family = self.0.encode_descriptor(name, help, unit, MetricType::Gauge)?;
        for (labels, value) in values {
            family.encode_family(&labels)?.encode_gauge(&value)?;
        }
        Ok(())
    }
}
