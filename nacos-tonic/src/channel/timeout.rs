//! How long a call may take, as gRPC says it in a header.
use std::time::Duration;

use http::HeaderMap;

/// The timeout that a call carries; none if it has none, or one that cannot be read.
pub(super) fn timeout(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(GRPC_TIMEOUT)?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    // At most eight digits, says gRPC. A sign, which `parse` would take, is none of them.
    if digits.len() > 8 || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let count: u64 = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(count * 3_600),
        "M" => Duration::from_secs(count * 60),
        "S" => Duration::from_secs(count),
        "m" => Duration::from_millis(count),
        "u" => Duration::from_micros(count),
        "n" => Duration::from_nanos(count),
        _ => return None,
    })
}

const GRPC_TIMEOUT: &str = "grpc-timeout";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_unit_is_read() {
        for (text, millis) in [("1H", 3_600_000), ("2M", 120_000), ("3S", 3_000), ("4m", 4)] {
            assert_eq!(read(text), Some(Duration::from_millis(millis)), "{text}");
        }
        assert_eq!(read("5000u"), Some(Duration::from_millis(5)));
        assert_eq!(read("6000000n"), Some(Duration::from_millis(6)));
        assert_eq!(read("99999999H"), Some(Duration::from_secs(99_999_999 * 3_600)));
    }

    #[test]
    fn what_cannot_be_read_is_no_timeout() {
        for text in ["", "S", "1", "1s", "+1S", "-1S", "100000000S", "1.5S", "ümS"] {
            assert_eq!(read(text), None, "{text}");
        }
        assert_eq!(timeout(&HeaderMap::new()), None);
    }

    fn read(text: &str) -> Option<Duration> {
        let value = http::HeaderValue::from_bytes(text.as_bytes()).ok()?;
        timeout(&HeaderMap::from_iter([(http::HeaderName::from_static(GRPC_TIMEOUT), value)]))
    }
}
