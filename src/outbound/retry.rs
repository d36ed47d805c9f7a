//! When to ask again.

use std::time::Duration;

use super::error::OutboundError;
use crate::domain::time::Timestamp;

/// How often and how patiently a request is repeated. Only idempotent ones are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry {
    /// Attempts in all; 1 is never again.
    pub attempts: u32,
    /// The longest pause before the second attempt; doubled for each further one.
    pub first: Duration,
    /// The longest pause. A server that asks for a longer one is not asked again.
    pub most: Duration,
}

impl Retry {
    /// Five attempts over at most about eight seconds of pauses.
    pub const STANDARD: Self = Self { attempts: 5, first: Duration::from_millis(500), most: Duration::from_secs(60) };
    /// Once.
    pub const NEVER: Self = Self { attempts: 1, first: Duration::ZERO, most: Duration::ZERO };

    /// How long to wait after attempt number `attempt` (from 1) failed with `error`; `None` to give up. `draw` is uniform in 0..=1: the pause is
    /// anything up to the exponential bound ("full jitter"; M. Brooker, Exponential Backoff and Jitter, AWS Architecture Blog, 2015), so that many
    /// clients that failed together do not come back together.
    pub(super) fn pause(&self, attempt: u32, error: &OutboundError, draw: f64) -> Option<Duration> {
        if attempt >= self.attempts || !error.is_transient() {
            return None;
        }
        if let OutboundError::Status { retry_after: Some(wanted), .. } = error {
            return (*wanted <= self.most).then_some(*wanted);
        }
        let bound = self.first.saturating_mul(1u32.checked_shl(attempt - 1).unwrap_or(u32::MAX)).min(self.most);
        Some(bound.mul_f64(draw.clamp(0.0, 1.0)))
    }
}

/// A number from 0 to 1 for the jitter. Without randomness the middle does no harm.
pub(super) fn draw() -> f64 {
    let mut bytes = [0; 4];
    getrandom::fill(&mut bytes).map_or(0.5, |()| f64::from(u32::from_le_bytes(bytes)) / f64::from(u32::MAX))
}

/// `Retry-After`: seconds, or a date (RFC 9110, section 10.2.3).
pub(super) fn retry_after(value: &str, now: Timestamp) -> Option<Duration> {
    if let Ok(seconds) = value.trim().parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let format = time::macros::format_description!("[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT");
    let at = time::PrimitiveDateTime::parse(value.trim(), &format).ok()?.assume_utc();
    let micros = i64::try_from(at.unix_timestamp_nanos() / 1000).ok()? - now.micros();
    Some(Duration::from_micros(u64::try_from(micros).unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_are_drawn_and_end() {
        let retry = Retry { attempts: 5, first: Duration::from_secs(1), most: Duration::from_secs(5) };
        let broken = OutboundError::Broken { host: "h".into(), detail: "x".into() };
        let pauses: Vec<_> = (1..=5).map(|attempt| retry.pause(attempt, &broken, 1.0).map(|pause| pause.as_secs())).collect();
        assert_eq!(pauses, [Some(1), Some(2), Some(4), Some(5), None]);
        assert_eq!(retry.pause(2, &broken, 0.25), Some(Duration::from_millis(500)));
        let status =
            |status, after: Option<u64>| OutboundError::Status { host: "h".into(), status, retry_after: after.map(Duration::from_secs) };
        assert_eq!(retry.pause(1, &status(429, Some(3)), 1.0), Some(Duration::from_secs(3)));
        assert_eq!(retry.pause(1, &status(429, Some(30)), 1.0), None, "longer than we wait");
        assert_eq!(retry.pause(1, &status(503, None), 1.0), Some(Duration::from_secs(1)));
        assert_eq!(retry.pause(1, &status(404, None), 1.0), None);
        assert_eq!(retry.pause(1, &OutboundError::FetchOff, 1.0), None);
        assert_eq!(Retry::NEVER.pause(1, &broken, 1.0), None);
        assert!((0..100).map(|_| draw()).all(|draw| (0.0..=1.0).contains(&draw)));
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now: Timestamp = "2015-10-21T07:27:00Z".parse().unwrap();
        assert_eq!(retry_after("120", now), Some(Duration::from_secs(120)));
        assert_eq!(retry_after("Wed, 21 Oct 2015 07:28:00 GMT", now), Some(Duration::from_secs(60)));
        assert_eq!(retry_after("Wed, 21 Oct 2015 07:20:00 GMT", now), Some(Duration::ZERO));
        assert_eq!(retry_after("soon", now), None);
    }
}
