//! Faults on demand, and what others than the clients under test do.

use std::{net::SocketAddr, time::Duration};

use http::StatusCode;
use serde_json::{Map, Value};
use tokio::time::Instant;

use crate::{
    Instance, PushFault, RawAnswer, Server,
    answer::publish_plainly,
    fault::Planned,
    line::Cut,
    state::{ConfigKey, Event, Expected, Publication, ServiceKey, WatchLimits},
};

/// Faults. Each is in effect when the call returns.
impl Server {
    /// Resets every gRPC transport. The instances, subscriptions and listens of their connections
    /// are gone when this returns; new connections are welcome.
    pub fn drop_connections(&self) {
        self.shared.cut_connections(Cut::Reset);
    }

    /// Switches a black hole on or off: sockets, old and new, stay open, but bytes are neither read
    /// nor answered. Bytes that came meanwhile are read when it is off again.
    pub fn black_hole(&self, on: bool) {
        self.shared.set_black_hole(on);
    }

    /// Delays every answer, over gRPC and over HTTP, by this; zero takes it back, also for answers
    /// that wait already. Requests take effect when they arrive; pushes are not delayed.
    pub fn delay(&self, delay: Duration) {
        self.shared.set_delay(delay);
    }

    /// Steps the server's clock by so many milliseconds, back if they are negative, as an operator
    /// or a time service does. It shows in what the server stamps, the `lastRefTime` of services
    /// among it; steps add up, and time goes on from there.
    pub fn step_clock(&self, millis: i64) {
        self.shared.step_clock(millis);
    }

    /// Adds a fault for the next push. Several queue up: one for each push that follows.
    pub fn next_push(&self, fault: PushFault) {
        self.shared.change(|state| state.faults.pushes.push_back(fault));
    }

    /// Refuses the next request of this type with this code, worded as the server would. Several
    /// queue up. The request takes no effect.
    pub fn answer_next(&self, message_type: &str, code: i32) {
        self.shared.change(|state| state.faults.plan(message_type, Planned::Code(code)));
    }

    /// Answers the next request of this type with something that no server gives on purpose. Queues
    /// up with [`answer_next`](Self::answer_next). The request takes no effect.
    pub fn answer_next_raw(&self, message_type: &str, answer: RawAnswer) {
        self.shared.change(|state| state.faults.plan(message_type, Planned::Raw(answer)));
    }

    /// Refuses every request of this type with this code, until told otherwise with `None`.
    pub fn answer_always(&self, message_type: &str, code: Option<i32>) {
        self.shared.change(|state| state.faults.always(message_type, code));
    }

    /// Answers what keeps a connection, server checks and health checks, and nothing else, as a
    /// server does whose workers hang. Requests that came meanwhile are never answered, nor done.
    pub fn answer_health_checks_only(&self, on: bool) {
        self.shared.change(|state| state.faults.is_mute = on);
    }

    /// Makes every token invalid that was issued so far.
    pub fn expire_tokens(&self) {
        self.shared.change(|state| state.tokens.expire());
    }

    /// Lets the user do only what one of these rights covers, or everything again (`None`), as the
    /// imitated server decides it, reading and writing taken together.
    ///
    /// A right is `namespace:group:type/name`, where `*` stands for any text:
    /// `:ORDERS:config/*` for the documents of one group of the default namespace. To 2.x that
    /// namespace has no name here, and a right that begins with `public` covers nothing; 3.x takes
    /// both spellings. (2.3 does what a real one was seen to do, 2.5 and 3.x what their source
    /// says.) A listen is authorised as `namespace:*:config/*` with the namespace of its first
    /// document, so that a user with rights on a group only may read and not listen.
    ///
    /// To r-nacos a right is one on a namespace, blank for the default one: it looks at nothing
    /// behind the first colon, and leaves out of a listen, without a word, what the user may not
    /// read.
    pub fn limit_rights(&self, rights: Option<&[&str]>) {
        let rights =
            rights.map(|rights| rights.iter().map(|&right| right.to_owned()).collect::<Vec<_>>());
        self.shared.change(|state| state.rights = rights);
    }

    /// Lets everybody do what one of these rights covers, with a token or without: a public part of
    /// a server that demands a login elsewhere. The default namespace is `public` in them,
    /// whichever server is imitated.
    pub fn open_to_all(&self, rights: &[&str]) {
        let rights = rights.iter().map(|&right| right.to_owned()).collect();
        self.shared.change(|state| state.open = rights);
    }

    /// Lists these namespaces, each with its display name, beside the default one, to everybody who
    /// asks over HTTP, where the imitated server does; `None`, as at the start, lists none to
    /// anybody.
    pub fn list_namespaces(&self, namespaces: Option<&[(&str, &str)]>) {
        let owned = |(id, name): &(&str, &str)| ((*id).to_owned(), (*name).to_owned());
        let namespaces =
            namespaces.map(|namespaces| namespaces.iter().map(owned).collect::<Vec<_>>());
        self.shared.change(|state| state.namespaces = namespaces);
    }

    /// Sets how many patterns all clients together may watch (20 at the start), and how many
    /// matches of one pattern are too many (500), as an operator does. Documents and services count
    /// apart.
    pub fn limit_fuzzy_watches(&self, patterns: usize, matches: usize) {
        self.shared.change(|state| state.watch_limits = WatchLimits { patterns, matches });
    }

    /// Hands out a token as a login does, without one: for clients that have obtained theirs
    /// elsewhere.
    #[must_use]
    pub fn issue_token(&self) -> String {
        let ttl = self.shared.plan.token_ttl;
        self.shared.change(|state| state.tokens.issue(Instant::now(), ttl))
    }

    /// Switches authentication on or off while the server runs, as 3.3 allows it: from one request
    /// to the next a token is wanted, or is not. A server that was built without
    /// [`credentials`](crate::Builder::credentials) has no user to grant one to.
    pub fn demand_login(&self, on: bool) {
        self.shared.change(|state| state.authentication.demands = Some(on));
    }

    /// Lets the server have read its users, or not yet: until then a right login is refused, as
    /// Java does in the first seconds after its start (3.x: 403 "Access Denied"). Tokens stay good.
    pub fn load_users(&self, loaded: bool) {
        self.shared.change(|state| state.authentication.knows_nobody = !loaded);
    }

    /// Lets the authentication plugin fail: logins and requests that need a user are answered 500.
    pub fn crash_authentication(&self, on: bool) {
        self.shared.change(|state| state.authentication.crashes = on);
    }

    /// Takes this long for each login, which counts when it arrives. Other answers are not delayed.
    pub fn delay_logins(&self, delay: Duration) {
        self.shared.change(|state| state.authentication.slow = delay);
    }

    /// Answers every login, at the paths of all versions, with this status and text, as what stands
    /// before a server does that lets none through; with `None` as the server does.
    ///
    /// # Panics
    ///
    /// When there is no such status.
    pub fn answer_logins(&self, answer: Option<(u16, &str)>) {
        let answer = answer.map(|(status, text)| {
            (StatusCode::from_u16(status).expect("three digits"), text.to_owned())
        });
        self.shared.change(|state| state.authentication.answer = answer);
    }

    /// Answers every request at a path of the main port, such as `/v3/admin/cs/config/list`, with
    /// this status and text, as what stands before a server does; with `None` as the server does.
    ///
    /// # Panics
    ///
    /// When there is no such status.
    pub fn answer_at(&self, path: &str, answer: Option<(u16, &str)>) {
        let answer = answer.map(|(status, text)| {
            (StatusCode::from_u16(status).expect("three digits"), text.to_owned())
        });
        self.shared.change(|state| match answer {
            Some(answer) => drop(state.planned.insert(path.to_owned(), answer)),
            None => drop(state.planned.remove(path)),
        });
    }

    /// Stops or resumes acknowledging connection setups. A connection without acknowledgement is
    /// registered all the same.
    pub fn withhold_setup_ack(&self, withhold: bool) {
        self.shared.change(|state| state.faults.withhold_setup_ack = withhold);
    }

    /// Asks every registered connection to go, to this server (its main port) or to any.
    pub fn reset_connections(&self, target: Option<SocketAddr>) {
        self.shared.reset_connections(target, |_| true);
    }

    /// Pushes a message of any type to every registered connection and waits for its
    /// acknowledgement as for any other. `headers` and `requestId` are put before the body's fields
    /// unless the body has them; a body that is no object is sent as no fields at all.
    pub fn push_raw(&self, message_type: &str, body: Value) {
        let fields = if let Value::Object(fields) = body { fields } else { Map::default() };
        self.shared.change(|state| {
            for key in state.transports.keys() {
                self.shared.push(state, key, message_type, fields.clone(), Expected::Nothing);
            }
        });
    }

    /// Probes every registered connection now, as the server does with silent ones: one that does
    /// not answer within 5 s (r-nacos: some seconds more) is closed.
    pub fn probe_connections(&self) {
        self.shared.probe_connections();
    }
}

/// The acts of another client, or of an operator.
///
/// A namespace may be spelled `""` or `"public"`: both are the default one.
impl Server {
    /// Publishes a configuration as another client: listeners are told. Its type is `text` (r-nacos
    /// keeps the type that is stored).
    pub fn publish(&self, namespace: &str, group: &str, data_id: &str, content: impl Into<String>) {
        self.publish_as(namespace, group, data_id, content, None);
    }

    /// Publishes a configuration of a type, such as `yaml`, as another client.
    pub fn publish_typed(
        &self,
        namespace: &str,
        group: &str,
        data_id: &str,
        content: impl Into<String>,
        content_type: &str,
    ) {
        self.publish_as(namespace, group, data_id, content, Some(content_type.to_owned()));
    }

    /// Publishes a configuration as another client does that has encrypted it: cipher text, and the
    /// key of the cipher text in encrypted form. r-nacos loses that key.
    pub fn publish_encrypted(
        &self,
        namespace: &str,
        group: &str,
        data_id: &str,
        content: impl Into<String>,
        encrypted_data_key: &str,
    ) {
        let key = config_key(namespace, group, data_id);
        let behaviour = self.shared.behaviour();
        let encrypted_data_key =
            if behaviour.is_java() { encrypted_data_key.to_owned() } else { String::new() };
        let publication = Publication {
            content: content.into(),
            encrypted_data_key,
            at: self.shared.now_millis(),
            ..Publication::default()
        };
        self.shared.change(|state| state.configs.publish(&key, publication, behaviour));
        let events = self.shared.stored(key);
        self.shared.set_off(events);
    }

    /// Removes a configuration as another client: listeners are told.
    pub fn remove(&self, namespace: &str, group: &str, data_id: &str) {
        let key = config_key(namespace, group, data_id);
        self.shared.change(|state| state.configs.remove(&key));
        let events = self.shared.stored(key);
        self.shared.set_off(events);
    }

    /// Registers an instance as another client, or changes what that client registered at the same
    /// place: subscribers are told. It stays until [`deregister`](Self::deregister), whatever
    /// happens to connections and to the server.
    pub fn register(&self, namespace: &str, group: &str, service: &str, instance: Instance) {
        self.shared.register_as_peer(ServiceKey::new(namespace, group, service), instance);
    }

    /// Takes away what [`register`](Self::register) put at that address. Instances of connected
    /// clients stay.
    pub fn deregister(&self, namespace: &str, group: &str, service: &str, instance: &Instance) {
        self.shared.deregister_as_peer(ServiceKey::new(namespace, group, service), instance);
    }

    /// Forgets, without telling the clients that registered them, the instances of a service that
    /// connected clients hold; says how many there were. Their connections stay. Subscribers are
    /// told, as of any change.
    pub fn forget_instances(&self, namespace: &str, group: &str, service: &str) -> usize {
        let key = ServiceKey::new(namespace, group, service);
        let (count, change) = self.shared.change(|state| state.services.lose(&key));
        self.shared.set_off(Event::of_service(key, change));
        count
    }

    /// Sets weight, enabled and metadata of the instance at a place as an operator does: over what
    /// its client says, now and whenever it registers again.
    pub fn edit(&self, namespace: &str, group: &str, service: &str, edited: Instance) {
        let key = ServiceKey::new(namespace, group, service);
        let change = self.shared.change(|state| state.services.edit(&key, edited));
        self.shared.set_off(Event::of_service(key, change));
    }

    /// Sets the health of the instances at an address, as the server's own health check does with
    /// persistent ones; says whether there was one. This server never checks by itself.
    pub fn set_health(
        &self,
        namespace: &str,
        group: &str,
        service: &str,
        address: (&str, u16),
        healthy: bool,
    ) -> bool {
        let key = ServiceKey::new(namespace, group, service);
        let at = (address.0, u32::from(address.1));
        let found = self
            .shared
            .change(|state| state.services.adjust(&key, at, |instance| instance.healthy = healthy));
        if found {
            self.shared.set_off(vec![Event::ServiceChanged(key)]);
        }
        found
    }

    /// Stores a protection threshold for a service: when the share of healthy instances is
    /// not above it, all are shown, as healthy.
    pub fn protect(&self, namespace: &str, group: &str, service: &str, threshold: f64) {
        self.shared.protect(ServiceKey::new(namespace, group, service), threshold);
    }

    fn publish_as(
        &self,
        namespace: &str,
        group: &str,
        data_id: &str,
        content: impl Into<String>,
        content_type: Option<String>,
    ) {
        let key = config_key(namespace, group, data_id);
        let content = content.into();
        self.shared
            .change(|state| publish_plainly(&self.shared, state, &key, content, content_type));
        let events = self.shared.stored(key);
        self.shared.set_off(events);
    }
}

/// The key of a configuration, whatever the default namespace is called.
pub(crate) fn config_key(namespace: &str, group: &str, data_id: &str) -> ConfigKey {
    let namespace = if namespace == "public" { "" } else { namespace };
    ConfigKey {
        namespace: namespace.to_owned(),
        group: group.to_owned(),
        data_id: data_id.to_owned(),
    }
}
