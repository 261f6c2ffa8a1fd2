//! The guard of a registered instance.
use std::{fmt, sync::Arc};

use crate::{
    connection::ClaimGuard,
    error::{Error, ErrorKind},
    instance::Instance,
    key::ServiceKey,
    live::Live,
    state::ClaimState,
};

/// An instance that stays registered for as long as this lives.
///
/// Dropping it deregisters in the background, its own instance only;
/// [`deregister`](Self::deregister) waits for the server to agree.
#[must_use = "the instance is deregistered as soon as this is dropped"]
pub struct Registration {
    key: ServiceKey,
    claim: ClaimGuard,
    instance: Arc<Instance>,
}

impl Registration {
    pub(super) fn new(key: ServiceKey, claim: ClaimGuard, instance: Arc<Instance>) -> Self {
        Self { key, claim, instance }
    }

    pub(super) fn check(instance: &Instance, max_metadata: usize) -> Result<(), Error> {
        instance.check(max_metadata)?;
        if instance.ephemeral {
            return Ok(());
        }
        let doing = format!("register {}", instance.address());
        let why = "a persistent instance outlives its client: see Naming::register_persistent";
        Err(Error::new(ErrorKind::InvalidOption, doing).because(why))
    }

    /// Waits until the server has acknowledged the registration.
    ///
    /// # Errors
    ///
    /// The server refused it, and goes on to if it is one that refuses for the moment only, or did
    /// not answer within the request timeout; the instance is deregistered then. To keep it trying,
    /// do not call this.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future deregisters.
    pub async fn ready(self) -> Result<Self, Error> {
        self.acknowledged().await?;
        Ok(self)
    }

    /// The same, without ending the registration if it fails.
    pub(crate) async fn acknowledged(&self) -> Result<(), Error> {
        let doing = format!("register {} as {}", self.instance.address(), self.key);
        self.claim.held(&doing).await
    }

    /// Registers `instance` in place of the one that this guard stands for.
    ///
    /// Returns at once; a new [`claim`](Self::claim) tells when the server knows, and readers of
    /// the former one end. Weight, metadata and address may change; subscribers never see the
    /// service without either of the two, except on a server that only adds (r-nacos), when the
    /// address or a default weight changes.
    ///
    /// # Errors
    ///
    /// As for [`Naming::register`](crate::Naming::register).
    pub fn update(&mut self, instance: Instance) -> Result<(), Error> {
        Self::check(&instance, self.claim.max_metadata())?;
        let instance = Arc::new(instance);
        self.claim.restate(Arc::clone(&instance));
        self.instance = instance;
        Ok(())
    }

    /// Deregisters, and waits until the server has agreed.
    ///
    /// # Errors
    ///
    /// None came within the request timeout. The instance is deregistered all the same, as soon as
    /// the server can be told, or sees the connection end.
    ///
    /// # Cancel safety
    ///
    /// Deregisters in any case.
    pub async fn deregister(self) -> Result<(), Error> {
        let doing = format!("deregister {} from {}", self.instance.address(), self.key);
        self.claim.withdraw(&doing).await
    }

    /// The service.
    #[must_use]
    pub fn service(&self) -> &ServiceKey {
        &self.key
    }

    /// The instance, as it was given last.
    #[must_use]
    pub fn instance(&self) -> &Instance {
        &self.instance
    }

    /// How much the server knows of it.
    #[must_use]
    pub fn claim(&self) -> Live<ClaimState> {
        self.claim.state()
    }
}

/// Shows where it is registered, and as what; no metadata, which is the user's.
impl fmt::Debug for Registration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registration")
            .field("service", &format_args!("{}", self.key))
            .field("instance", &format_args!("{}", self.instance.address()))
            .field("claim", &self.claim.state().get())
            .finish()
    }
}
