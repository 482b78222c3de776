//! What was answered over HTTP, counted by path and status.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use axum::http::StatusCode;

/// The paths that there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Path {
    /// Questions in JSON.
    Check,
    /// Stalwart's hook.
    Stalwart,
    /// The description of what may be asked.
    OpenApi,
    /// Whether the process answers.
    Healthz,
    /// Whether mail may be sent here.
    Readyz,
    /// All counts.
    Metrics,
    /// All others.
    Other,
}

impl Path {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Check,
        Self::Stalwart,
        Self::OpenApi,
        Self::Healthz,
        Self::Readyz,
        Self::Metrics,
        Self::Other,
    ];

    /// As it is asked for.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Check => "/v1/check",
            Self::Stalwart => "/v1/stalwart",
            Self::OpenApi => "/v1/openapi.json",
            Self::Healthz => "/healthz",
            Self::Readyz => "/readyz",
            Self::Metrics => "/metrics",
            Self::Other => "other",
        }
    }

    /// The one that is asked for as `path`.
    pub fn of(path: &str) -> Self {
        Self::ALL.into_iter().find(|known| known.as_str() == path).unwrap_or(Self::Other)
    }
}

/// The statuses that there are; the last stands for all others.
pub const STATUSES: [&str; 10] =
    ["200", "400", "401", "404", "405", "408", "413", "415", "503", "other"];

/// The counts.
#[derive(Debug, Default)]
pub struct Responses([[AtomicU64; STATUSES.len()]; Path::ALL.len()]);

impl Responses {
    /// Counts an answer.
    pub fn count(&self, path: Path, status: StatusCode) {
        let known = STATUSES.iter().position(|known| *known == status.as_str());
        self.0[path as usize][known.unwrap_or(STATUSES.len() - 1)].fetch_add(1, Relaxed);
    }

    /// All counts above zero: path, status, count.
    pub fn all(&self) -> impl Iterator<Item = (&'static str, &'static str, u64)> {
        let of_path = |(path, counts): (Path, &'_ [AtomicU64; STATUSES.len()])| {
            let counts: Vec<u64> = counts.iter().map(|count| count.load(Relaxed)).collect();
            let counts = STATUSES.into_iter().zip(counts);
            counts.map(move |(status, count)| (path.as_str(), status, count))
        };
        let all: Vec<_> = Path::ALL.into_iter().zip(&self.0).flat_map(of_path).collect();
        all.into_iter().filter(|(_, _, count)| *count > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_path_stands_at_its_own_place_and_is_found_by_its_name() {
        for (place, path) in Path::ALL.into_iter().enumerate() {
            assert_eq!((path as usize, Path::of(path.as_str())), (place, path));
        }
        assert_eq!(Path::of("/v1/check/"), Path::Other);
    }

    #[test]
    fn answers_are_counted_by_path_and_status() {
        let responses = Responses::default();
        for status in [StatusCode::OK, StatusCode::OK, StatusCode::IM_A_TEAPOT] {
            responses.count(Path::Check, status);
        }
        responses.count(Path::Other, StatusCode::NOT_FOUND);
        let counted: Vec<_> = responses.all().collect();
        let other = Path::Other.as_str();
        assert_eq!(
            counted,
            [("/v1/check", "200", 2), ("/v1/check", "other", 1), (other, "404", 1)]
        );
    }
}
