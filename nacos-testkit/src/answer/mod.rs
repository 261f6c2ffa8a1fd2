//! From a request to its answer, in the order in which the real servers look at it.

mod access;
mod config;
mod instance;
mod internal;
mod legality;
mod naming;
mod outcome;
mod rights;
mod service_name;
mod watch;

use std::{collections::HashMap, sync::Arc};

use serde_json::Value;

pub(crate) use access::{Denied, allowed, known};
pub(crate) use config::publish_plainly;
pub(crate) use instance::instance_id;
pub(crate) use naming::service_info;
use outcome::{Manner, Outcome, Refusal};

use crate::{
    Behaviour, RawAnswer,
    fault::Planned,
    shared::Shared,
    state::{ConnectionKey, Event, State},
    wire::{Fields, Incoming, Malformed, Message},
};

/// The reply to a request.
#[derive(Debug)]
pub(crate) enum Reply {
    Message(Message),
    Raw(RawAnswer),
}

/// An answer, and what happens when it is on its way.
#[derive(Debug)]
pub(crate) struct Answered {
    pub(crate) reply: Reply,
    pub(crate) afterwards: Vec<Event>,
}

/// A request that passed the checks of the transport, with all that its handler may need.
struct Call<'a> {
    shared: &'a Shared,
    state: &'a mut State,
    connection: ConnectionKey,
    headers: &'a HashMap<String, String>,
    fields: Fields<'a>,
    /// The events that the request sets off.
    events: Vec<Event>,
    /// Configurations that it stored.
    stored: Vec<crate::state::ConfigKey>,
}

impl Call<'_> {
    fn behaviour(&self) -> Behaviour {
        self.shared.behaviour()
    }
}

/// Answers a request. Its changes to the state are made when this returns.
pub(crate) fn answer(
    shared: &Arc<Shared>,
    connection: ConnectionKey,
    incoming: &Incoming,
) -> Answered {
    let body: Result<Value, _> = serde_json::from_slice(&incoming.body);
    let body = body.map_err(|error| Malformed::new(error.to_string()));
    let handled = shared.change(|state| handle(shared, state, connection, incoming, &body));

    let (reply, mut events, stored) = handled;
    for key in stored {
        events.extend(shared.stored(key));
    }
    if !shared.behaviour().is_java() {
        // r-nacos: notices and pushes overtake the answer.
        shared.set_off(std::mem::take(&mut events));
    }
    Answered { reply, afterwards: events }
}

type Handled = (Reply, Vec<Event>, Vec<crate::state::ConfigKey>);

fn handle(
    shared: &Shared,
    state: &mut State,
    connection: ConnectionKey,
    incoming: &Incoming,
    body: &Result<Value, Malformed>,
) -> Handled {
    let behaviour = shared.behaviour();
    let message_type = incoming.message_type.as_str();
    let request_id = body.as_ref().ok().and_then(|body| body.get("requestId")?.as_str());
    let route = Route::find(behaviour, message_type);
    let manner = Manner {
        behaviour,
        response: route.map_or("ErrorResponse", |route| route.response),
        request_id: request_id.unwrap_or_default().to_owned(),
    };
    let done = |outcome| (Reply::Message(manner.say(outcome)), Vec::new(), Vec::new());

    state.counters.request(incoming, body.as_ref().ok());
    match state.faults.take(message_type) {
        Some(Planned::Raw(raw)) => return (Reply::Raw(raw), Vec::new(), Vec::new()),
        Some(Planned::Code(code)) => return done(Err(Refusal::planned(message_type, code))),
        None => {}
    }
    if behaviour.guards_its_own() && SERVER_ONLY.contains(&message_type) {
        // The leading blank is the server's.
        let text = format!(" invoke {message_type} from sdk is forbidden");
        return done(Err(Refusal::general(502, text)));
    }
    if !behaviour.is_java() {
        // To r-nacos any request is a sign of life, to Java only one that it knows.
        touch(state, connection);
    }
    let Some(route) = route else {
        let text = if behaviour.is_java() {
            "RequestHandler Not Found".to_owned()
        } else {
            format!("{message_type} RequestHandler Not Found")
        };
        return done(Err(Refusal::general(302, text)));
    };
    if route.needs != Needs::Nothing && state.transports.connection(connection).is_none() {
        return done(Err(Refusal::general(301, "Connection is unregistered.")));
    }
    touch(state, connection);
    let body = match body {
        Ok(body) => body,
        Err(malformed) => return done(Err(malformed.clone().into())),
    };
    let fields = match Fields::of(body, behaviour.reading()) {
        Ok(fields) => fields,
        Err(malformed) => return done(Err(malformed.into())),
    };
    if route.needs == Needs::Access && state.authentication.crashes {
        return done(Err(Refusal::typed(500, "planned by the test: authentication failed")));
    }
    let needs_access =
        route.needs == Needs::Access && !rights::open(behaviour, state, message_type, fields);
    if needs_access
        && let Err(denied) = allowed(shared, state, &|name| incoming.headers.get(name).cloned())
    {
        return done(Err(denied.into()));
    }
    if needs_access && let Err(refusal) = rights::permitted(behaviour, state, message_type, fields)
    {
        return done(Err(refusal));
    }
    let mut call = Call {
        shared,
        state,
        connection,
        headers: &incoming.headers,
        fields,
        events: Vec::new(),
        stored: Vec::new(),
    };
    let outcome = (route.handle)(&mut call);
    (Reply::Message(manner.say(outcome)), call.events, call.stored)
}

fn touch(state: &mut State, connection: ConnectionKey) {
    if let Some(connection) = state.transports.connection(connection) {
        connection.touch();
    }
}

/// The condition for handling a request.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Needs {
    /// A registered connection and a user.
    Access,
    /// A registered connection.
    Connection,
    Nothing,
}

/// How one type of request is handled.
struct Route {
    request: &'static str,
    response: &'static str,
    servers: Servers,
    needs: Needs,
    handle: fn(&mut Call<'_>) -> Outcome,
}

/// Which servers know a type of request.
type Servers = fn(Behaviour) -> bool;

impl Route {
    fn find(behaviour: Behaviour, message_type: &str) -> Option<&'static Self> {
        ROUTES.iter().find(|route| route.request == message_type && (route.servers)(behaviour))
    }
}

const ALL: Servers = |_| true;
const JAVA: Servers = Behaviour::is_java;
const OPEN: Servers = |behaviour| behaviour.is_java() && !behaviour.guards_its_own();
const NACOS_3: Servers = Behaviour::is_3;

/// Requests that 2.5 and 3.x take from other servers only.
const SERVER_ONLY: [&str; 5] = [
    "ConfigChangeClusterSyncRequest",
    "DistroDataRequest",
    "MemberReportRequest",
    "ServerLoaderInfoRequest",
    "ServerReloadRequest",
];

#[rustfmt::skip]
const ROUTES: &[Route] = &[
    route("ServerCheckRequest", "ServerCheckResponse", ALL, Needs::Nothing, internal::server_check),
    route("HealthCheckRequest", "HealthCheckResponse", ALL, Needs::Connection, internal::health_check),
    route("ServerLoaderInfoRequest", "ServerLoaderInfoResponse", OPEN, Needs::Connection, internal::loader),
    route("ConfigQueryRequest", "ConfigQueryResponse", ALL, Needs::Access, config::query),
    route("ConfigPublishRequest", "ConfigPublishResponse", ALL, Needs::Access, config::publish),
    route("ConfigRemoveRequest", "ConfigRemoveResponse", ALL, Needs::Access, config::remove),
    route("ConfigBatchListenRequest", "ConfigChangeBatchListenResponse", ALL, Needs::Access, config::listen),
    route("ConfigFuzzyWatchRequest", "ConfigFuzzyWatchResponse", NACOS_3, Needs::Access, watch::configs),
    route("InstanceRequest", "InstanceResponse", ALL, Needs::Access, instance::single),
    route("BatchInstanceRequest", "BatchInstanceResponse", ALL, Needs::Access, instance::batch),
    route("PersistentInstanceRequest", "InstanceResponse", JAVA, Needs::Access, instance::persistent),
    route("SubscribeServiceRequest", "SubscribeServiceResponse", ALL, Needs::Access, naming::subscribe),
    route("ServiceQueryRequest", "QueryServiceResponse", ALL, Needs::Access, naming::query),
    route("ServiceListRequest", "ServiceListResponse", ALL, Needs::Access, naming::list),
    route("NamingFuzzyWatchRequest", "NamingFuzzyWatchResponse", NACOS_3, Needs::Access, watch::services),
];

const fn route(
    request: &'static str,
    response: &'static str,
    servers: Servers,
    needs: Needs,
    handle: fn(&mut Call<'_>) -> Outcome,
) -> Route {
    Route { request, response, servers, needs, handle }
}
