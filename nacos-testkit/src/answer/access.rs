//! Access: which requests are let in.

use tokio::time::Instant;

use crate::{Behaviour, shared::Shared, state::State};

/// A request that is not let in; the reason shows only in the text.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Denied {
    behaviour: Behaviour,
    reason: Reason,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Reason {
    NoToken,
    BadToken,
    Expired,
    NoRight,
}

impl Denied {
    /// The user is known, and may not do this.
    pub(crate) fn without_right(behaviour: Behaviour) -> Self {
        Self { behaviour, reason: Reason::NoRight }
    }

    pub(crate) fn text(self) -> &'static str {
        match (self.behaviour, self.reason) {
            (Behaviour::RNacos, _) => "unknown user!",
            (Behaviour::Nacos2_3 | Behaviour::Nacos2_5, reason) => match reason {
                Reason::NoRight => "authorization failed!",
                Reason::BadToken => "token invalid!",
                Reason::Expired => "token expired!",
                Reason::NoToken => "user not found!",
            },
            (Behaviour::Nacos3_0 | Behaviour::Nacos3_3, reason) => match reason {
                Reason::NoRight => "Code: 403, Message: authorization failed!.",
                Reason::BadToken => "Code: 401, Message: token invalid!.",
                Reason::Expired => "Code: 401, Message: token expired!.",
                Reason::NoToken => {
                    "Code: 401, Message: User not found! Please check user exist or password is \
                     right!."
                }
            },
        }
    }
}

/// Lets in requests with a good token, or with the user's name and password; all of them while
/// authentication is off.
pub(crate) fn allowed(
    shared: &Shared,
    state: &State,
    header: &dyn Fn(&str) -> Option<String>,
) -> Result<(), Denied> {
    if state.authentication.demands.unwrap_or(shared.plan.authentication) {
        known(shared, state, header)
    } else {
        Ok(())
    }
}

/// Lets in only the user's requests; all where there is neither a user nor a demand for one.
pub(crate) fn known(
    shared: &Shared,
    state: &State,
    header: &dyn Fn(&str) -> Option<String>,
) -> Result<(), Denied> {
    let user = shared.plan.credentials.as_ref();
    if user.is_none() && !state.authentication.demands.unwrap_or(shared.plan.authentication) {
        return Ok(());
    }
    let bearer = || header("Authorization")?.strip_prefix("Bearer ").map(str::to_owned);
    let token = header("accessToken").or_else(bearer).filter(|token| !token.is_empty());
    let is = |name: &str, value: &String| header(name).as_ref() == Some(value);
    let named = || {
        user.is_some_and(|user| is("username", &user.username) && is("password", &user.password))
    };
    let good = token.as_ref().map_or_else(named, |it| state.tokens.is_good(it, Instant::now()));
    if good {
        return Ok(());
    }
    let reason = match &token {
        None => Reason::NoToken,
        Some(token) if state.tokens.has_expired(token, Instant::now()) => Reason::Expired,
        Some(_) => Reason::BadToken,
    };
    Err(Denied { behaviour: shared.behaviour(), reason })
}
