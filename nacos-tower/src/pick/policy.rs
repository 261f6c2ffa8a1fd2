//! The trait of load-balancing policies.
use std::{fmt, sync::Arc};

use super::{
    args::PickArgs,
    candidates::{Candidate, Candidates},
};

/// How an endpoint is picked for a request.
///
/// Two policies are there: [`WeightedP2c`](crate::WeightedP2c), which is the default and has two
/// settings, and [`WeightedRandom`](crate::WeightedRandom). Weights decide in all of them. They
/// differ in how much they give up of the weights when an endpoint turns out to be slow, failing or
/// busy:
///
/// | policy | shares | a slow or failing endpoint |
/// | --- | --- | --- |
/// | `WeightedRandom` | exactly the weights | keeps its share |
/// | `WeightedP2c::strict()` | the weights, as long as requests keep up | is relieved when requests pile up |
/// | `WeightedP2c::balanced()`, the default | the weights, as long as latencies are alike | is avoided |
///
/// `strict` is for gray releases, where 1 % has to mean 1 %. `balanced` is for everything else.
///
/// # A policy of your own
///
/// A policy sees the [`Candidates`], which are the endpoints that are connected now, with their
/// weights and statistics, and the [`PickArgs`], which are the request and random numbers. It picks
/// one of the candidates, and never touches a connection.
///
/// - It is called on the task of the caller, for every attempt of every request, and by many
///   threads at the same time. So it should take constant time, allocate nothing and wait for
///   nothing. State of its own belongs into atomics.
/// - `None` means that no candidate will do. The request then waits for another set of endpoints,
///   for the ready timeout at most, and fails as unsent.
/// - A candidate whose connection has ended since is not used: the policy is asked again.
/// - A panic is one of the caller that makes the request.
///
/// # Examples
///
/// Round robin, except for requests that name their endpoint:
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
///
/// use nacos_tower::{Balance, Candidate, Candidates, PickArgs, Policy};
///
/// #[derive(Debug, Default)]
/// struct RoundRobin {
///     next: AtomicUsize,
/// }
///
/// /// As an extension of a request: the address to go to, as long as it is connected.
/// #[derive(Clone)]
/// struct Pinned(&'static str);
///
/// impl Policy for RoundRobin {
///     fn pick<'a>(
///         &self,
///         candidates: &Candidates<'a>,
///         args: &mut PickArgs<'_>,
///     ) -> Option<Candidate<'a>> {
///         let pinned = args.extensions().get::<Pinned>().and_then(|Pinned(address)| {
///             candidates.iter().find(|candidate| candidate.endpoint().address() == *address)
///         });
///         let next = || candidates.iter_from(self.next.fetch_add(1, Relaxed)).next();
///         pinned.or_else(next)
///     }
/// }
/// # use http::{Request, Response};
/// # use http_body_util::{BodyExt, Full};
/// # use nacos_core::{Instance, Service, ServiceKey};
/// # use nacos_tower::{BoxError, Endpoint, ServiceConnection};
/// # use tower::{ServiceExt, service_fn};
/// # let connector = async |endpoint: Endpoint| {
/// #     Ok::<_, BoxError>(ServiceConnection::new(service_fn(move |_: Request<()>| {
/// #         let address = endpoint.address().to_owned();
/// #         async { Ok::<_, BoxError>(Response::new(Full::<bytes::Bytes>::from(address))) }
/// #     })))
/// # };
/// # let instances = ["10.0.0.7", "10.0.0.8"].map(|ip| Instance::new(ip, 8080)).to_vec();
/// # let service = Service::new(ServiceKey::try_from("orders")?, instances, false);
/// # let (_writer, services) = nacos_core::live(service);
///
/// let orders = Balance::builder(connector).policy(RoundRobin::default()).follow(services);
/// # // The first request may find only one endpoint connected.
/// # orders.clone().oneshot(Request::new(())).await?;
/// # for _ in 0..9 { tokio::task::yield_now().await }
///
/// let mut request = Request::new(());
/// request.extensions_mut().insert(Pinned("10.0.0.8:8080"));
/// let response = orders.oneshot(request).await?;
/// # assert_eq!(response.into_body().collect().await?.to_bytes(), "10.0.0.8:8080");
/// # Ok(()) }
/// ```
pub trait Policy: fmt::Debug + Send + Sync + 'static {
    /// Picks one of `candidates`, or none if no one will do.
    fn pick<'a>(
        &self,
        candidates: &Candidates<'a>,
        args: &mut PickArgs<'_>,
    ) -> Option<Candidate<'a>>;
}

/// A policy that several balancers share, or that is chosen while the program runs.
impl<P: Policy + ?Sized> Policy for Arc<P> {
    #[inline]
    fn pick<'a>(
        &self,
        candidates: &Candidates<'a>,
        args: &mut PickArgs<'_>,
    ) -> Option<Candidate<'a>> {
        (**self).pick(candidates, args)
    }
}
