//! Random runs, cut at every call: killed there, the power gone, or the call refused.
//!
//! A run keeps a table beside its journal, as the store does, and takes snapshots of it. After a
//! crash both are read, and the table that comes of it must be one that there was: the one after
//! all that was committed (or synced, after a power cut), or a later one.

use std::collections::BTreeMap;
use std::io;

use greylist::Timing;
use proptest::prelude::*;

use super::*;
use crate::disk::{Fate, Fault};
use crate::snapshot::{self, Header, Piece, ShardHeader, Writer};

/// What is remembered, by id.
type Table = BTreeMap<u64, Tuple>;

#[derive(Clone, Copy, Debug)]
enum Op {
    /// This tuple is as new as the change itself, or forgotten if that is a multiple of four.
    Append(u8),
    Commit,
    Sync,
    Snapshot,
    /// Down in good order, and up again.
    Reopen,
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let op = prop_oneof![
        10 => (0..6_u8).prop_map(Op::Append),
        4 => Just(Op::Commit),
        2 => Just(Op::Sync),
        1 => Just(Op::Snapshot),
        1 => Just(Op::Reopen),
    ];
    proptest::collection::vec(op, 1..40)
}

/// What is certain after so many calls.
#[derive(Clone, Copy, Debug, Default)]
struct Claims {
    calls: usize,
    committed: u64,
    synced: u64,
}

struct Run {
    disk: SimulatedDisk,
    settings: Settings,
    journal: Journal,
    table: Table,
    /// The changes from `log_from` on.
    log: Vec<Change>,
    log_from: u64,
    /// The table at `log_from`.
    before: Table,
    claims: Vec<Claims>,
}

impl Run {
    /// Goes on with what is on a disk.
    fn on(disk: SimulatedDisk, sync: SyncPolicy) -> Self {
        let settings = Settings { sync, ..SETTINGS };
        let (table, next) = recover(&disk);
        let journal = open(&disk, settings, next);
        let (before, log_from) = (table.clone(), next.get());
        let claims = vec![Claims { calls: 0, committed: log_from, synced: 0 }];
        let log = Vec::new();
        let mut run = Self { disk, settings, journal, table, log, log_from, before, claims };
        if is_up(&run.journal) {
            // Of what was there already, only the opening could sync it.
            run.claim(log_from, if sync == SyncPolicy::Never { 0 } else { log_from });
        }
        run
    }

    /// From here on so much is certain; if that is less than before, that stays.
    fn claim(&mut self, committed: u64, synced: u64) {
        let last = self.claims.last().unwrap();
        self.claims.push(Claims {
            calls: self.disk.calls(),
            committed: committed.max(last.committed),
            synced: synced.max(last.synced),
        });
    }

    /// What the store does each second.
    fn upkeep(&mut self) {
        if matches!(self.journal.health(), Health::Down(_)) {
            let _ = self.journal.begin_segment(NOW);
        }
        if matches!(self.journal.health(), Health::Mending(_)) {
            self.snapshot();
        }
    }

    fn snapshot(&mut self) {
        let position = self.journal.position();
        if write_snapshot(&self.disk, position, &self.table).is_ok() {
            self.journal.mended(position);
            self.claim(position.get(), position.get());
            // What can't be removed now is removed after the next one.
            let _ = snapshot::drop_before(&self.disk, position);
            let _ = self.journal.drop_before(position);
        }
    }

    fn perform(&mut self, op: Op) {
        match op {
            Op::Append(number) => self.append(number),
            Op::Commit => {
                self.journal.commit();
                let committed = self.journal.position().get();
                if is_up(&self.journal) {
                    let is_synced = self.settings.sync == SyncPolicy::Always;
                    self.claim(committed, if is_synced { committed } else { 0 });
                }
            }
            Op::Sync => {
                let written = self.journal.stats().written.get();
                self.journal.sync(NOW);
                if is_up(&self.journal) && self.settings.sync != SyncPolicy::Never {
                    self.claim(written, written);
                }
            }
            Op::Snapshot => self.snapshot(),
            Op::Reopen => self.reopen(),
        }
    }

    fn append(&mut self, number: u8) {
        let position = self.journal.position().get();
        let change = if position.is_multiple_of(4) {
            Change { id: id(number.into()), outcome: None }
        } else {
            grey(number.into(), NOW.as_unix_secs() + position)
        };
        self.journal.append(NOW, change);
        make(&mut self.table, change);
        self.log.push(change);
    }

    fn reopen(&mut self) {
        self.journal.commit();
        self.journal.sync(NOW);
        if !is_up(&self.journal) {
            return;
        }
        let (table, next) = recover(&self.disk);
        assert_eq!(table, self.table, "nothing was lost, there was no crash");
        assert_eq!(next, self.journal.position());
        self.journal = open(&self.disk, self.settings, next);
        if is_up(&self.journal) {
            let is_synced = self.settings.sync != SyncPolicy::Never;
            self.claim(next.get(), if is_synced { next.get() } else { 0 });
        }
    }

    /// What is certain at a cut after `calls` calls.
    fn claims_at(&self, calls: usize) -> Claims {
        *self.claims.iter().rev().find(|claims| claims.calls <= calls).unwrap()
    }

    /// The tables that there have been, from the one at `position` on.
    fn tables_from(&self, position: u64) -> Vec<Table> {
        let mut table = self.before.clone();
        let mut tables = vec![(self.log_from, table.clone())];
        for (change, position) in self.log.iter().zip(self.log_from + 1..) {
            make(&mut table, *change);
            tables.push((position, table.clone()));
        }
        tables.into_iter().filter(|(at, _)| *at >= position).map(|(_, table)| table).collect()
    }

    /// Whether of each tuple there is what was certain at `position`, or something later.
    fn is_piecemeal(&self, found: &Table, position: u64) -> bool {
        let tables = self.tables_from(position);
        (0..6).map(|number| id(number).bits()).all(|id| {
            let found = found.get(&id);
            tables.iter().any(|table| table.get(&id) == found)
        })
    }
}

fn make(table: &mut Table, change: Change) {
    match change.outcome {
        Some(tuple) => table.insert(change.id.bits(), tuple),
        None => table.remove(&change.id.bits()),
    };
}

/// Two words a tuple, one tuple a bucket.
fn write_snapshot(disk: &SimulatedDisk, position: Position, table: &Table) -> io::Result<u64> {
    let timing = Timing::DEFAULT;
    let header = Header { position, key_fingerprint: KEY, timing, shards: 4, created: NOW };
    let mut writer = Writer::create(disk, &header)?;
    for index in 0..4 {
        let mut bytes = Vec::new();
        for (id, tuple) in table.iter().filter(|(id, _)| **id % 4 == u64::from(index)) {
            bytes.extend_from_slice(&id.to_le_bytes());
            bytes.extend_from_slice(&tuple.since.as_unix_secs().to_le_bytes());
            bytes.resize(bytes.len() + 48, 0);
        }
        let buckets = (bytes.len() / 64) as u32;
        writer.shard(&ShardHeader { index, buckets, seen: NOW, swept: NOW }, &bytes, || {})?;
    }
    writer.finish()
}

/// As the store does it: the newest snapshot, and the journal from there on.
fn recover(disk: &SimulatedDisk) -> (Table, Position) {
    let mut table = Table::new();
    let mut from = Position::START;
    let choice = snapshot::newest(disk, KEY).unwrap();
    assert_eq!(choice.passed_over, [], "under its name a snapshot is complete");
    if let Some(reader) = choice.reader {
        from = reader.header().position;
        while let Some(piece) = reader.next_piece().unwrap() {
            let Piece::Shard(piece) = piece else { panic!("no notes were written") };
            let mut bytes = vec![0; piece.bytes()];
            reader.read_shard(&piece, &mut bytes).unwrap();
            for bucket in bytes.chunks(64) {
                let word = |at| u64::from_le_bytes(*bucket[at..].first_chunk().unwrap());
                let since = Timestamp::from_unix_secs(word(8));
                table.insert(word(0), Tuple { state: State::Grey, since });
            }
        }
        assert_eq!(reader.damages().0, []);
    }
    let (entries, report) = entries(disk, from);
    for (_, entry) in entries {
        let Entry::Change(change) = entry else { panic!("no notes were written") };
        make(&mut table, change);
    }
    (table, report.next)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn what_is_committed_survives_a_kill_at_any_call(
        ops in ops(),
        always: bool,
        torn in 0_usize..300,
    ) {
        let sync = if always { SyncPolicy::Always } else { SyncPolicy::Regularly };
        let mut run = Run::on(SimulatedDisk::new(), sync);
        ops.iter().for_each(|op| run.perform(*op));
        prop_assert!(is_up(&run.journal));
        for calls in 0..=run.disk.calls() {
            let disk = run.disk.after_kill(calls, torn);
            let (table, _) = recover(&disk);
            let certain = run.claims_at(calls).committed;
            let tables = run.tables_from(certain);
            prop_assert!(tables.contains(&table), "call {calls}: {table:?}, not {tables:?}");
            // And once more, from there: what was found stays.
            let again = Run::on(disk.clone(), sync);
            let (found, next) = recover(&disk);
            prop_assert_eq!(found, table);
            prop_assert_eq!(next, again.journal.position());
        }
    }

    #[test]
    fn what_is_synced_survives_a_power_cut_at_any_call(
        ops in ops(),
        always: bool,
        seed: u64,
    ) {
        let sync = if always { SyncPolicy::Always } else { SyncPolicy::Regularly };
        let mut run = Run::on(SimulatedDisk::new(), sync);
        ops.iter().for_each(|op| run.perform(*op));
        prop_assert!(is_up(&run.journal));
        for calls in 0..=run.disk.calls() {
            let certain = run.claims_at(calls).synced;
            for fate in [Fate::Lost, Fate::Kept] {
                let (table, _) = recover(&run.disk.after_power_cut(calls, fate));
                let tables = run.tables_from(certain);
                prop_assert!(tables.contains(&table), "{fate:?} at call {calls}: {table:?}");
            }
            let disk = run.disk.after_power_cut(calls, Fate::Mixed(seed));
            let (table, _) = recover(&disk);
            prop_assert!(run.is_piecemeal(&table, certain), "call {calls}: {table:?}");
            Run::on(disk.clone(), sync);
            prop_assert_eq!(recover(&disk).0, table);
        }
    }

    /// Any call refused, once; each second it is looked whether all is well.
    #[test]
    fn what_is_claimed_is_kept_whichever_call_fails(
        ops in ops(),
        always: bool,
        fault in prop_oneof![
            Just(Fault::Full { free_bytes: 0 }),
            Just(Fault::Full { free_bytes: 70 }),
            Just(Fault::ReadOnly),
            Just(Fault::Broken),
            Just(Fault::Denied),
        ],
        seed: u64,
    ) {
        let sync = if always { SyncPolicy::Always } else { SyncPolicy::Regularly };
        let mut faults = 0;
        for failing in 0..200 {
            let disk = SimulatedDisk::new();
            disk.fail_once(failing, fault);
            let mut run = Run::on(disk.clone(), sync);
            for op in &ops {
                run.perform(*op);
                run.upkeep();
            }
            run.upkeep();
            prop_assert!(is_up(&run.journal), "call {failing}: {:?}", run.journal.health());
            faults += run.journal.stats().faults;
            for calls in failing..=disk.calls() {
                let claims = run.claims_at(calls);
                let (table, _) = recover(&disk.after_kill(calls, 40));
                prop_assert!(run.is_piecemeal(&table, claims.committed), "kill: {table:?}");
                let (table, _) = recover(&disk.after_power_cut(calls, Fate::Mixed(seed)));
                prop_assert!(run.is_piecemeal(&table, claims.synced), "power cut: {table:?}");
            }
            if failing > disk.calls() {
                break;
            }
        }
        let may_fit = matches!(fault, Fault::Full { free_bytes: 1.. });
        prop_assert!(faults > 0 || may_fit);
    }

    /// A crash, on from there, and another crash.
    #[test]
    fn what_was_found_after_a_crash_survives_the_next(
        first in ops(),
        second in ops(),
        cut: prop::sample::Index,
        torn in 0_usize..300,
        seed: u64,
    ) {
        let mut run = Run::on(SimulatedDisk::new(), SyncPolicy::Regularly);
        first.iter().for_each(|op| run.perform(*op));
        let cut = cut.index(run.disk.calls() + 1);
        for disk in [
            run.disk.after_kill(cut, torn),
            run.disk.after_power_cut(cut, Fate::Lost),
            run.disk.after_power_cut(cut, Fate::Mixed(seed)),
        ] {
            let mut run = Run::on(disk, SyncPolicy::Regularly);
            second.iter().for_each(|op| run.perform(*op));
            let opened = run.claims[1].calls;
            for calls in 0..=run.disk.calls() {
                let claims = run.claims_at(calls);
                let (table, _) = recover(&run.disk.after_kill(calls, torn));
                let tables = run.tables_from(claims.committed);
                prop_assert!(tables.contains(&table), "kill at {calls}: {table:?}, not {tables:?}");
                if calls >= opened {
                    let (table, _) = recover(&run.disk.after_power_cut(calls, Fate::Lost));
                    let tables = run.tables_from(claims.synced);
                    prop_assert!(tables.contains(&table), "cut at {calls}: {table:?}");
                }
            }
        }
    }
}
