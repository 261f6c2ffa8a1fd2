//! A server that runs already, which the rig neither installs, nor starts, nor ends.

use std::env;
use std::fmt::{self, Display};
use std::hash::{BuildHasher, RandomState};
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::OnceLock;

use crate::canary::log_in_at;
use crate::launch::Credentials;
use crate::{Error, ErrorKind, Product};

/// A server that runs already, as `NACOS_REAL_ADDR` and its companions name it.
///
/// Nothing is done to it but what a client does, and everything that is written to it lies under
/// [`prefix`](Self::prefix) and is removed by the run that wrote it, or by the next one where that
/// was killed: see [`Journal`](crate::Journal).
#[derive(Clone, Debug)]
pub struct Given {
    addr: SocketAddr,
    kind: Kind,
    credentials: Option<Credentials>,
    prefix: String,
}

/// Which line of servers it belongs to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// r-nacos.
    RNacos,
    /// Java Nacos 2.3, or older.
    Nacos2_3,
    /// Java Nacos 2.5.
    Nacos2_5,
    /// Java Nacos 3.0 or 3.1.
    Nacos3_0,
    /// Java Nacos 3.2 or later.
    Nacos3_3,
}

impl Given {
    /// The beginning of each [`prefix`](Self::prefix).
    pub(crate) const MARK: &str = "nacos-rs-";

    /// The server that the environment names; read once in a process.
    ///
    /// # Panics
    ///
    /// When the environment contradicts itself, or the name of the server has no address: tests
    /// that are pointed at a server must not use another.
    #[must_use]
    pub fn from_env() -> Option<&'static Self> {
        static GIVEN: OnceLock<Option<Given>> = OnceLock::new();
        let var = |name: &str| env::var(name).ok().filter(|value| !value.is_empty());
        let read = || Self::read(var).unwrap_or_else(|error| panic!("{error}"));
        GIVEN.get_or_init(read).as_ref()
    }

    fn read(var: impl Fn(&str) -> Option<String>) -> Result<Option<Self>, Error> {
        let wrong = |text: &dyn Display| Error::new(ErrorKind::Unavailable, text);
        let Some(addr) = var(ADDR) else {
            let stray = [KIND, USERNAME, PASSWORD].into_iter().find(|name| var(name).is_some());
            return match stray {
                Some(name) => Err(wrong(&format_args!("{name} is set, and {ADDR} is not"))),
                None => Ok(None),
            };
        };
        let kind = var(KIND).unwrap_or_default();
        let kind = Kind::ALL.into_iter().find(|known| known.name() == kind).ok_or_else(|| {
            let names: Vec<&str> = Kind::ALL.into_iter().map(Kind::name).collect();
            wrong(&format_args!("{KIND} is `{kind}`, and must be one of {}", names.join(", ")))
        })?;
        let credentials = match (var(USERNAME), var(PASSWORD)) {
            (Some(user), Some(password)) => Some(Credentials { user, password }),
            (None, None) => None,
            _ => return Err(wrong(&format_args!("{USERNAME} and {PASSWORD} go together"))),
        };
        let found = addr.to_socket_addrs().map(|mut all| all.next());
        let addr = found.ok().flatten().ok_or_else(|| {
            wrong(&format_args!(
                "{ADDR} is `{addr}`, and must be a host and a port, as 10.0.0.1:8848"
            ))
        })?;
        // Of what one run writes, nothing may meet what another one wrote, or a person.
        let prefix = format!("{}{:012x}", Self::MARK, RandomState::new().hash_one(addr) >> 16);
        Ok(Some(Self { addr, kind, credentials, prefix }))
    }

    /// Where it serves HTTP.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Where it serves gRPC, unless that port was moved.
    #[must_use]
    pub fn grpc_addr(&self) -> SocketAddr {
        SocketAddr::new(self.addr.ip(), self.addr.port().saturating_add(1000))
    }

    /// The kind that the environment names.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The user and the password, if it demands a login.
    #[must_use]
    pub fn credentials(&self) -> Option<(&str, &str)> {
        self.credentials.as_ref().map(|it| (it.user.as_str(), it.password.as_str()))
    }

    /// The beginning of the name, the group or the namespace of everything that is written to it:
    /// another one in each process. Of letters, digits and `-`, and short enough for each of them.
    #[must_use]
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Logs in with the credentials that came with it; none where there are none.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unanswered`] when it does not answer, or refuses.
    pub fn log_in(&self) -> Result<Option<String>, Error> {
        let credentials = self.credentials.as_ref();
        let log_in = |it| log_in_at(self.addr, it, self.kind.login_path());
        credentials.map(log_in).transpose()
    }
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::RNacos, Self::Nacos2_3, Self::Nacos2_5, Self::Nacos3_0, Self::Nacos3_3];

    /// The name by which the environment and the command line know it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::RNacos => "r-nacos",
            Self::Nacos2_3 => "2.3",
            Self::Nacos2_5 => "2.5",
            Self::Nacos3_0 => "3.0",
            Self::Nacos3_3 => "3.3",
        }
    }

    /// The product of the rig that is nearest to it.
    #[must_use]
    pub fn product(self) -> Product {
        if self == Self::RNacos { Product::RNacos } else { Product::JavaNacos }
    }

    /// Whether the paths of v3 are the ones to use.
    #[must_use]
    pub fn has_v3(self) -> bool {
        matches!(self, Self::Nacos3_0 | Self::Nacos3_3)
    }

    /// Where its users log in.
    #[must_use]
    pub fn login_path(self) -> &'static str {
        if self.has_v3() { "/nacos/v3/auth/user/login" } else { "/nacos/v1/auth/users/login" }
    }
}

impl Display for Kind {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RNacos => out.write_str("r-nacos"),
            java => write!(out, "Java Nacos {}", java.name()),
        }
    }
}

const ADDR: &str = "NACOS_REAL_ADDR";
const KIND: &str = "NACOS_REAL_KIND";
const USERNAME: &str = "NACOS_REAL_USERNAME";
const PASSWORD: &str = "NACOS_REAL_PASSWORD";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn server_is_named_by_four_variables() {
        let all = [(ADDR, "127.0.0.1:9"), (KIND, "3.3"), (USERNAME, "ann"), (PASSWORD, "secret")];
        let given = read(&all).expect("understood").expect("named");
        assert_eq!((given.addr().port(), given.grpc_addr().port()), (9, 1009));
        assert_eq!((given.kind(), given.credentials()), (Kind::Nacos3_3, Some(("ann", "secret"))));
        assert!(!format!("{given:?}").contains("secret"));
        assert!(read(&[]).expect("nothing to misunderstand").is_none());
    }

    #[test]
    fn prefix_is_another_one_each_time_and_short_enough_for_a_namespace() {
        let prefix = || {
            let given = read(&[(ADDR, "127.0.0.1:9"), (KIND, "2.5")]);
            given.expect("understood").expect("named").prefix().to_owned()
        };
        let (one, other) = (prefix(), prefix());
        assert_ne!(one, other);
        assert!(one.len() < 32 && one.chars().all(|c| c.is_ascii_alphanumeric() || c == '-'));
    }

    #[test]
    fn what_contradicts_itself_is_refused_with_the_name_of_the_variable() {
        for (vars, name) in [
            (&[(KIND, "2.3")][..], ADDR),
            (&[(USERNAME, "ann")], ADDR),
            (&[(ADDR, "127.0.0.1:9")], KIND),
            (&[(ADDR, "127.0.0.1:9"), (KIND, "4")], KIND),
            (&[(ADDR, "127.0.0.1"), (KIND, "2.3")], ADDR),
            (&[(ADDR, "127.0.0.1:9"), (KIND, "2.3"), (USERNAME, "ann")], PASSWORD),
            (&[(ADDR, "127.0.0.1:9"), (KIND, "2.3"), (PASSWORD, "secret")], USERNAME),
        ] {
            let error = read(vars).expect_err("refused");
            let text = error.to_string();
            assert!(text.contains(name) && !text.contains("secret"), "{vars:?}: {text}");
        }
    }

    fn read(vars: &[(&str, &str)]) -> Result<Option<Given>, Error> {
        Given::read(|name| {
            let found = vars.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }
}
