//! What is on a simulated disk, what each call makes of it, and what of it outlives a power cut.

use std::collections::BTreeMap;
use std::ops::Range;

/// What a power cut leaves of what was not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// All of it.
    Kept,
    /// Nothing.
    Lost,
    /// Some of it, as this number has it.
    Mixed(u64),
}

/// A call that changes something, by what came of it. Files go by number.
#[derive(Clone, Debug)]
pub(super) enum Call {
    Create(String),
    Rename(String, String),
    Remove(String),
    Append(usize, Vec<u8>),
    Sync(usize),
    SyncFailed(usize),
    SyncNames,
    /// It failed, or there is nothing to see of it.
    Nothing,
}

/// What is there, and what of it outlives a power cut.
#[derive(Clone, Debug, Default)]
pub(super) struct Image {
    pub(super) files: Vec<File>,
    /// Which file each name is of.
    pub(super) names: BTreeMap<String, usize>,
    /// The same, as last synced.
    pub(super) kept_names: BTreeMap<String, usize>,
    /// What was done to names since then.
    pub(super) names_since: Vec<NameChange>,
}

#[derive(Clone, Debug)]
pub(super) struct File {
    pub(super) bytes: Vec<u8>,
    /// So many of them outlive a power cut, ...
    pub(super) synced: usize,
    /// ... apart from these, which a failed sync has left behind.
    pub(super) doubtful: Vec<Range<usize>>,
}

#[derive(Clone, Debug)]
pub(super) enum NameChange {
    Is(String, usize),
    Moved { from: String, to: String, file: usize },
    Removed(String),
}

impl Image {
    pub(super) fn apply(&mut self, call: &Call) {
        match call {
            Call::Create(name) => {
                let number = self.files.len();
                self.files.push(File { bytes: Vec::new(), synced: 0, doubtful: Vec::new() });
                self.change_name(NameChange::Is(name.clone(), number));
            }
            Call::Rename(from, to) => {
                if let Some(&file) = self.names.get(from) {
                    let (from, to) = (from.clone(), to.clone());
                    self.change_name(NameChange::Moved { from, to, file });
                }
            }
            Call::Remove(name) => self.change_name(NameChange::Removed(name.clone())),
            Call::Append(file, bytes) => self.files[*file].bytes.extend_from_slice(bytes),
            Call::Sync(file) => self.files[*file].synced = self.files[*file].bytes.len(),
            Call::SyncFailed(file) => {
                let file = &mut self.files[*file];
                file.doubtful.push(file.synced..file.bytes.len());
                file.synced = file.bytes.len();
            }
            Call::SyncNames => {
                self.kept_names = self.names.clone();
                self.names_since.clear();
            }
            Call::Nothing => {}
        }
    }

    fn change_name(&mut self, change: NameChange) {
        change.make(&mut self.names);
        self.names_since.push(change);
    }

    pub(super) fn lose(&mut self, fate: Fate) {
        let mut dice = Dice(match fate {
            Fate::Mixed(seed) => seed,
            Fate::Kept | Fate::Lost => 0,
        });
        let mut names = std::mem::take(&mut self.kept_names);
        for change in self.names_since.drain(..) {
            let is_kept = match fate {
                Fate::Kept => true,
                Fate::Lost => false,
                Fate::Mixed(_) => dice.below(2) == 0,
            };
            if is_kept {
                change.make(&mut names);
            }
        }
        for file in &mut self.files {
            file.lose(fate, &mut dice);
        }
        (self.kept_names, self.names) = (names.clone(), names);
    }
}

impl File {
    fn lose(&mut self, fate: Fate, dice: &mut Dice) {
        let unsynced = self.bytes.len() - self.synced;
        let mut doubtful = std::mem::take(&mut self.doubtful);
        match fate {
            Fate::Kept => doubtful.clear(),
            Fate::Lost => self.bytes.truncate(self.synced),
            Fate::Mixed(_) => {
                doubtful.retain(|_| dice.below(2) == 0);
                self.bytes.truncate(self.synced + dice.below(unsynced + 1));
                let zeroed = self.synced + dice.below(self.bytes.len() - self.synced + 1);
                let length = dice.below(self.bytes.len() - zeroed + 1);
                if dice.below(2) == 0 {
                    self.bytes[zeroed..zeroed + length].fill(0);
                }
            }
        }
        for range in doubtful {
            self.bytes[range].fill(0);
        }
        self.synced = self.bytes.len();
    }
}

impl NameChange {
    fn make(&self, names: &mut BTreeMap<String, usize>) {
        match self {
            Self::Is(name, file) => {
                names.insert(name.clone(), *file);
            }
            Self::Moved { from, to, file } => {
                // Not what has come under the old name since.
                if names.get(from) == Some(file) {
                    names.remove(from);
                }
                names.insert(to.clone(), *file);
            }
            Self::Removed(name) => {
                names.remove(name);
            }
        }
    }
}

/// Numbers that follow from a seed (splitmix64).
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ mixed >> 31) % limit.max(1) as u64) as usize
    }
}
