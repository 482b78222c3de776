//! What is kept of a run as it goes on: a point every so many tuples, the worst that was seen, and
//! whoever looks on.

use std::time::Instant;

use serde::Serialize;
use store::CompactStats;

use super::course::Course;
use super::meter::{self, Cost, Meter};
use super::plan::SLOT_BYTES;
use super::progress::Display;
use super::subject::Subject;
use crate::clock;

/// Points of a run: more than a chart can show.
const POINTS: u64 = 1_000;

/// From this many tuples on, what each takes is judged.
pub(crate) const JUDGED_TUPLES_MIN: u64 = 10_000_000;

/// A run at one moment.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Point {
    /// Tuples that have come.
    pub(crate) made: u64,
    /// Of those, the ones that have not expired.
    pub(crate) live: u64,
    /// Simulated seconds since the start.
    pub(crate) second: u32,
    /// First tries for each second of CPU time, since the point before.
    pub(crate) per_cpu_second: Option<f64>,
    /// The same for each second that passed.
    pub(crate) per_wall_second: Option<f64>,
    pub(crate) resident_bytes: u64,
    /// Bytes of slots, in use or not.
    pub(crate) slot_bytes: u64,
}

impl Point {
    pub(crate) fn bytes_per_tuple(&self) -> f64 {
        self.resident_bytes as f64 / self.live.max(1) as f64
    }
}

/// Fewer points, each with the mean rate of its neighbours: no more than `most`.
pub(crate) fn thinned(points: &[Point], most: usize) -> Vec<Point> {
    let mean = |points: &[Point]| -> Option<Point> {
        let rates: Vec<f64> = points.iter().filter_map(|point| point.per_cpu_second).collect();
        let per_cpu_second =
            (!rates.is_empty()).then(|| rates.iter().sum::<f64>() / rates.len() as f64);
        points.last().map(|last| Point { per_cpu_second, ..*last })
    };
    points.chunks(points.len().div_ceil(most).max(1)).filter_map(mean).collect()
}

/// The most that was seen of something, and how many tuples were live then.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Most {
    pub(crate) value: f64,
    pub(crate) live: u64,
}

impl Most {
    fn see(&mut self, value: f64, live: u64) {
        if value > self.value {
            *self = Self { value, live };
        }
    }
}

/// The worst of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Extremes {
    /// Resident bytes a live tuple, from [`JUDGED_TUPLES_MIN`] live tuples on; none if there were
    /// never so many.
    pub(crate) bytes_per_tuple: Option<Most>,
    pub(crate) resident_bytes: Most,
    pub(crate) slot_bytes: Most,
}

/// Keeps points, and shows them.
pub(crate) struct Watch {
    step: u64,
    next_point: u64,
    points: Vec<Point>,
    extremes: Extremes,
    display: Display,
    shown: Option<Instant>,
    lap: Meter,
    lap_touches: u64,
    stretch: Cost,
}

impl Watch {
    /// For a run in which so many tuples will come.
    pub(crate) fn new(tuples: u64, display: Display) -> Self {
        let step = (tuples / POINTS).max(1);
        Self {
            step,
            next_point: step,
            points: Vec::with_capacity(POINTS as usize + 2),
            extremes: Extremes::default(),
            display,
            shown: None,
            lap: Meter::start(),
            lap_touches: 0,
            stretch: Cost::default(),
        }
    }

    /// Begins a stretch of first tries.
    pub(crate) fn begin(&mut self) {
        self.stretch = Cost::default();
        self.lap_touches = 0;
        self.lap = Meter::start();
    }

    /// Ends it; what it cost, looks not included.
    pub(crate) fn end(&mut self) -> Cost {
        self.stretch + self.lap.cost(self.lap_touches)
    }

    /// After each step of so many first tries: looks, if it is time to.
    pub(crate) fn look(&mut self, subject: &Subject, course: &Course, touches: u64) {
        self.lap_touches += touches;
        let now = clock::now();
        let is_due = self.shown.is_none_or(|shown| now - shown >= self.display.pause());
        if course.next < self.next_point && !is_due {
            return;
        }
        let cost = self.lap.cost(self.lap_touches);
        self.stretch += cost;
        let point = self.point(course, &subject.stats(), cost);
        if course.next >= self.next_point {
            self.points.push(point);
            self.next_point = (course.next / self.step + 1) * self.step;
        }
        if is_due {
            self.display.show(&self.points, &point);
            self.shown = Some(now);
        }
        self.lap_touches = 0;
        self.lap = Meter::start();
    }

    /// Says what is being done.
    pub(crate) fn say(&mut self, what: &str) {
        self.display.say(what, &self.points);
    }

    fn point(&mut self, course: &Course, stats: &CompactStats, cost: Cost) -> Point {
        let point = Point {
            made: course.next,
            live: course.live(),
            second: course.second,
            per_cpu_second: cost.per_cpu_second(),
            per_wall_second: cost.per_wall_second(),
            resident_bytes: meter::resident_bytes(),
            slot_bytes: stats.slots * SLOT_BYTES,
        };
        self.extremes.see(&point);
        point
    }

    /// All points, and the worst of them.
    pub(crate) fn finish(self) -> (Vec<Point>, Extremes) {
        (self.points, self.extremes)
    }
}

impl Extremes {
    fn see(&mut self, point: &Point) {
        self.resident_bytes.see(point.resident_bytes as f64, point.live);
        self.slot_bytes.see(point.slot_bytes as f64, point.live);
        if point.live >= JUDGED_TUPLES_MIN {
            let most = self.bytes_per_tuple.get_or_insert_default();
            most.see(point.bytes_per_tuple(), point.live);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_are_thinned_out_by_their_mean() {
        let points: Vec<Point> = (1..=1_000).map(crate::store::report::tests::point).collect();
        let thinned = thinned(&points, 250);
        assert_eq!(thinned.len(), 250);
        assert_eq!(thinned[0].made, points[3].made);
        let rates = points[..4].iter().filter_map(|point| point.per_cpu_second).sum::<f64>();
        assert_eq!(thinned[0].per_cpu_second, Some(rates / 4.0));
    }

    #[test]
    fn what_a_tuple_takes_is_judged_from_ten_million_on() {
        let mut extremes = Extremes::default();
        let point = |live: u64, each: u64| Point {
            made: live,
            live,
            second: 0,
            per_cpu_second: None,
            per_wall_second: None,
            resident_bytes: live * each,
            slot_bytes: live * 8,
        };
        extremes.see(&point(9_999_999, 100));
        assert_eq!(extremes.bytes_per_tuple, None);
        for (live, each) in [(10_000_000, 11), (20_000_000, 12), (30_000_000, 10)] {
            extremes.see(&point(live, each));
        }
        assert_eq!(extremes.bytes_per_tuple, Some(Most { value: 12.0, live: 20_000_000 }));
        assert_eq!(extremes.slot_bytes.live, 30_000_000);
        assert_eq!(extremes.resident_bytes.value, 999_999_900.0);
    }
}
