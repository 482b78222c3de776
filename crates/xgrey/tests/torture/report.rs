//! What a campaign tells: a line a kill while it runs, then a table, then the story of each tuple
//! that went wrong.

use std::fmt::{self, Write as _};
use std::time::Duration;

use xgrey::thousands::thousands;

use crate::campaign::Settings;
use crate::history::Entry;
use crate::knowledge::{Answer, Fault, Knowledge};
use crate::load::{Counts, Found};
use crate::phase::Phase;
use crate::tuples::envelope;

/// Stories told in full; each takes a pass over the whole history.
const STORIES_MAX: usize = 10;

/// What was done and found.
#[derive(Debug)]
pub(crate) struct Report {
    seed: u64,
    kills: u32,
    /// How each life of the service ended, in order.
    ends: Vec<Phase>,
    counts: Counts,
    tuples: usize,
    stories: Vec<String>,
}

impl Report {
    pub(crate) fn new(settings: &Settings) -> Self {
        let Settings { kills, seed, .. } = *settings;
        println!("torture: {kills} kills, seed {seed}");
        let (ends, stories) = (Vec::new(), Vec::new());
        Self { seed, kills, ends, counts: Counts::default(), tuples: 0, stories }
    }

    /// The number of the life that begins, from 1.
    pub(crate) fn begin_life(&self) -> u16 {
        u16::try_from(self.ends.len() + 1).unwrap()
    }

    /// Notes how a life ended, with what all loads have counted so far.
    pub(crate) fn end_life(
        &mut self,
        phase: Phase,
        lived: Duration,
        counts: &[Counts],
        tuples: usize,
    ) {
        let before = std::mem::take(&mut self.counts);
        for load in counts {
            self.counts.add(load);
        }
        self.ends.push(phase);
        self.tuples = tuples;
        println!(
            "kill {:>3} of {}  {:<13}  after {:>6.3} s  {:>9} answers  {:>6} cut off  \
             {:>9} tuples  {} lost  {} wrong",
            self.ends.len(),
            // The two at the end, for the looks at everything.
            self.kills + 2,
            phase.name(),
            lived.as_secs_f64(),
            thousands(self.counts.answered - before.answered),
            thousands(self.counts.unanswered - before.unanswered),
            thousands(tuples as u64),
            thousands(self.counts.lost),
            thousands(self.counts.wrong),
        );
    }

    /// What was lost, and what was wrong.
    pub(crate) fn faults(&self) -> (u64, u64) {
        (self.counts.lost, self.counts.wrong)
    }

    /// How many kills came in the middle of that.
    pub(crate) fn kills_in(&self, phase: Phase) -> usize {
        self.ends.iter().filter(|end| **end == phase).count()
    }

    /// Adds what is known of a fault; `history` is asked only if the story is told in full.
    pub(crate) fn tell(&mut self, found: &Found, history: impl FnOnce() -> Vec<Entry>) {
        if self.stories.len() == STORIES_MAX {
            return;
        }
        let (client, sender, recipient) = envelope(found.load, found.tuple);
        let mut story = format!(
            "{} in life {}: {client} {sender} {recipient}\n  it could be {}",
            match found.fault {
                Fault::Lost => "LOST",
                Fault::Wrong => "WRONG",
            },
            found.life,
            known(found.before),
        );
        for one in &found.tries {
            let _ = write!(
                story,
                "\n  at second {} to {}: {}",
                one.at.first,
                one.at.last,
                said(one.answer)
            );
        }
        if let Some(strange) = &found.strange {
            let _ = write!(story, "\n  it was answered {strange:?}");
        }
        story += "\n  its story:";
        let mut life = None;
        for entry in history() {
            if life.is_some_and(|before| before != entry.life) {
                let _ = write!(story, "\n    {}", self.kills_between(life, entry.life));
            }
            life = Some(entry.life);
            let _ = write!(
                story,
                "\n    life {}, connection {}, {:.6} s to {:.6} s: {}",
                entry.life,
                entry.connection,
                entry.sent.as_secs_f64(),
                entry.answered.as_secs_f64(),
                said(entry.answer),
            );
        }
        self.stories.push(story);
    }

    fn kills_between(&self, from: Option<u16>, to: u16) -> String {
        let lives = usize::from(from.unwrap_or(1)) - 1..usize::from(to) - 1;
        let ends: Vec<&str> = self.ends[lives].iter().map(|end| end.name()).collect();
        format!("killed {}", ends.join(", "))
    }
}

impl Counts {
    fn add(&mut self, other: &Self) {
        let Self { answered, unanswered, twins, survivors, lost, wrong } = other;
        self.answered += answered;
        self.unanswered += unanswered;
        self.twins += twins;
        self.survivors += survivors;
        self.lost += lost;
        self.wrong += wrong;
    }
}

fn known(known: Knowledge) -> String {
    let mut can = Vec::new();
    if known.untried {
        can.push("untried".to_owned());
    }
    if let Some(since) = known.grey {
        can.push(format!("grey since second {} to {}", since.first, since.last));
    }
    if known.white {
        can.push("white".to_owned());
    }
    can.join(", or ")
}

fn said(answer: Option<Answer>) -> String {
    match answer {
        None => "not answered".to_owned(),
        Some(Answer::Deferred { wait }) => format!("deferred for {wait} s"),
        Some(Answer::Passed { waited }) => format!("passed after {waited} s"),
        Some(Answer::Known) => "known".to_owned(),
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Counts { answered, unanswered, twins, survivors, lost, wrong } = self.counts;
        let mut row = |what: &str, count: u64| writeln!(f, "{what:<40}{:>14}", thousands(count));
        row("kills", self.ends.len() as u64)?;
        for phase in Phase::ALL {
            row(&format!("  {}", phase.name()), self.kills_in(phase) as u64)?;
        }
        row("requests answered, and each checked", answered)?;
        row("  the first since a restart", survivors)?;
        row("  on two connections at once", twins)?;
        row("requests cut off by a kill", unanswered)?;
        row("tuples", self.tuples as u64)?;
        row("lost", lost)?;
        row("wrong", wrong)?;
        writeln!(f, "{:<40}{:>14}", "seed", self.seed)?;
        for story in &self.stories {
            writeln!(f, "\n{story}")?;
        }
        let told = self.stories.len() as u64;
        match (lost + wrong).checked_sub(told) {
            Some(more) if more > 0 && told > 0 => writeln!(f, "\n… and {} more", thousands(more)),
            _ => Ok(()),
        }
    }
}
