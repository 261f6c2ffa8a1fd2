//! How often logins may be tried soon: a budget beside the series, for what begins it anew.
use std::time::Duration;

use crate::pace::Pace;

/// Spreads logins that would come soon after another one.
///
/// A series begins anew with each restart of a server, and with each credential. Nobody can tell a
/// restart from a connection that something ends by a limit, so that alone is no reason to ask more
/// often than this in the long run.
pub(super) fn logins() -> Pace {
    Pace::new(EVERY, AT_ONCE)
}

/// In the long run: as long as Java takes to read its users, so that no series is in vain.
const EVERY: Duration = Duration::from_secs(15);
/// After a while without any: the series of three restarts.
const AT_ONCE: u32 = 40;
