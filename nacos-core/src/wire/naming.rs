//! Messages of the naming service.
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{
    Ability, Failure, Request, answer,
    instance::InstanceInfo,
    list::{List, Texts},
};
use crate::{
    instance::Instance,
    key::{ClusterName, ServiceKey},
    resource::Resource,
    service::Service,
};

/// Registers one instance, or removes what this connection published of the service.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct InstanceRequest<'a> {
    #[serde(flatten)]
    service: ServiceFields<'a>,
    r#type: &'static str,
    instance: InstanceFields<'a>,
    module: &'static str,
}

impl<'a> InstanceRequest<'a> {
    pub(crate) fn register(key: &'a ServiceKey, instance: &'a Instance) -> Self {
        Self::with(REGISTER, key, instance)
    }

    /// Java servers look at the service only; r-nacos wants the very instance.
    pub(crate) fn deregister(key: &'a ServiceKey, instance: &'a Instance) -> Self {
        Self::with(DEREGISTER, key, instance)
    }

    fn with(r#type: &'static str, key: &'a ServiceKey, instance: &'a Instance) -> Self {
        let instance = InstanceFields::from(instance);
        Self { service: key.into(), r#type, instance, module: MODULE }
    }
}

impl Request for InstanceRequest<'_> {
    const TYPE: &'static str = "InstanceRequest";
    type Answer = InstanceResponse;

    fn resource(&self) -> Resource {
        Resource::Service(self.service.key.clone())
    }
}

answer! {
    /// Done.
    InstanceResponse {
        r#type: String,
    }
}

/// Publishes exactly these instances of a service, in place of what this connection published.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct BatchInstanceRequest<'a> {
    #[serde(flatten)]
    service: ServiceFields<'a>,
    r#type: &'static str,
    instances: Vec<InstanceFields<'a>>,
    module: &'static str,
}

impl<'a> BatchInstanceRequest<'a> {
    pub(crate) fn new(
        key: &'a ServiceKey,
        instances: impl IntoIterator<Item = &'a Instance>,
    ) -> Self {
        let instances = instances.into_iter().map(InstanceFields::from).collect();
        Self { service: key.into(), r#type: BATCH_REGISTER, instances, module: MODULE }
    }
}

impl Request for BatchInstanceRequest<'_> {
    const TYPE: &'static str = "BatchInstanceRequest";
    type Answer = BatchInstanceResponse;

    fn resource(&self) -> Resource {
        Resource::Service(self.service.key.clone())
    }
}

answer! {
    /// Done.
    BatchInstanceResponse {
        r#type: String,
    }
}

impl BatchInstanceResponse {
    /// The server added the instances to those it had instead of replacing them: r-nacos does, and
    /// answers a batch as if it had been single registrations.
    pub(crate) fn is_additive(&self) -> bool {
        self.r#type != BATCH_REGISTER
    }
}

/// Registers an instance that outlives its connection, or removes it (servers since 2.3).
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PersistentInstanceRequest<'a> {
    #[serde(flatten)]
    service: ServiceFields<'a>,
    r#type: &'static str,
    instance: InstanceFields<'a>,
    module: &'static str,
}

impl<'a> PersistentInstanceRequest<'a> {
    pub(crate) fn register(key: &'a ServiceKey, instance: &'a Instance) -> Self {
        Self::with(REGISTER, key, instance)
    }

    pub(crate) fn deregister(key: &'a ServiceKey, instance: &'a Instance) -> Self {
        Self::with(DEREGISTER, key, instance)
    }

    fn with(r#type: &'static str, key: &'a ServiceKey, instance: &'a Instance) -> Self {
        let instance = InstanceFields { ephemeral: false, ..InstanceFields::from(instance) };
        Self { service: key.into(), r#type, instance, module: MODULE }
    }
}

impl Request for PersistentInstanceRequest<'_> {
    const TYPE: &'static str = "PersistentInstanceRequest";
    type Answer = InstanceResponse;
    const NEEDS: Option<Ability> = Some(Ability::PersistentInstances);

    fn resource(&self) -> Resource {
        Resource::Service(self.service.key.clone())
    }
}

/// Subscribes to a service, or stops; the answer is the service as it is now.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SubscribeServiceRequest<'a> {
    #[serde(flatten)]
    service: ServiceFields<'a>,
    subscribe: bool,
    // Always all clusters: a second subscription with others would replace the first.
    clusters: &'static str,
    module: &'static str,
}

impl<'a> SubscribeServiceRequest<'a> {
    pub(crate) fn new(key: &'a ServiceKey, subscribe: bool) -> Self {
        Self { service: key.into(), subscribe, clusters: "", module: MODULE }
    }
}

impl Request for SubscribeServiceRequest<'_> {
    const TYPE: &'static str = "SubscribeServiceRequest";
    type Answer = SubscribeServiceResponse;

    fn resource(&self) -> Resource {
        Resource::Service(self.service.key.clone())
    }
}

answer! {
    /// The service as it is now.
    SubscribeServiceResponse {
        service_info: ServiceInfo<Texts>,
    }
}

/// Asks for a service as it is now.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ServiceQueryRequest<'a> {
    #[serde(flatten)]
    service: ServiceFields<'a>,
    // Filtered here, because r-nacos ignores both filters.
    cluster: &'static str,
    healthy_only: bool,
    udp_port: u16,
    module: &'static str,
}

impl<'a> ServiceQueryRequest<'a> {
    pub(crate) fn new(key: &'a ServiceKey) -> Self {
        Self { service: key.into(), cluster: "", healthy_only: false, udp_port: 0, module: MODULE }
    }

    /// Only the instances of one cluster, where servers look at that.
    pub(crate) fn of_cluster(self, cluster: &'static str) -> Self {
        Self { cluster, ..self }
    }
}

impl Request for ServiceQueryRequest<'_> {
    const TYPE: &'static str = "ServiceQueryRequest";
    type Answer = QueryServiceResponse;

    fn resource(&self) -> Resource {
        Resource::Service(self.service.key.clone())
    }
}

answer! {
    /// The service as it is now.
    QueryServiceResponse {
        service_info: ServiceInfo,
    }
}

/// Asks which services a group has.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ServiceListRequest<'a> {
    namespace: &'a str,
    group_name: &'a str,
    page_no: u32,
    page_size: u32,
    module: &'static str,
}

impl<'a> ServiceListRequest<'a> {
    /// Pages count from 1.
    pub(crate) fn new(namespace: &'a str, group: &'a str, page_no: u32, page_size: u32) -> Self {
        Self { namespace, group_name: group, page_no, page_size, module: MODULE }
    }
}

impl Request for ServiceListRequest<'_> {
    const TYPE: &'static str = "ServiceListRequest";
    type Answer = ServiceListResponse;

    fn resource(&self) -> Resource {
        Resource::Services
    }
}

answer! {
    /// One page of names, and how many there are in all.
    ServiceListResponse {
        count: u64,
        service_names: Vec<String>,
    }
}

/// Which service a request is about: name and group apart, never joined.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ServiceFields<'a> {
    #[serde(skip)]
    key: &'a ServiceKey,
    namespace: &'a str,
    service_name: &'a str,
    group_name: &'a str,
}

impl<'a> From<&'a ServiceKey> for ServiceFields<'a> {
    fn from(key: &'a ServiceKey) -> Self {
        Self {
            key,
            namespace: key.namespace_id(),
            service_name: key.name().as_str(),
            group_name: key.group().as_str(),
        }
    }
}

/// An instance as it is sent. r-nacos wants every number and flag to be there; the service name
/// stays empty, because there it would override that of the request.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct InstanceFields<'a> {
    instance_id: &'static str,
    ip: &'a str,
    port: u16,
    weight: f64,
    healthy: bool,
    enabled: bool,
    ephemeral: bool,
    // Always named: servers make the instance id before they fill in the default.
    cluster_name: &'a str,
    service_name: &'static str,
    metadata: &'a BTreeMap<String, String>,
}

impl<'a> From<&'a Instance> for InstanceFields<'a> {
    fn from(instance: &'a Instance) -> Self {
        Self {
            instance_id: "",
            ip: &instance.ip,
            port: instance.port,
            weight: instance.weight,
            healthy: instance.healthy,
            enabled: instance.enabled,
            ephemeral: true,
            cluster_name: instance.cluster.as_str(),
            service_name: "",
            metadata: &instance.metadata,
        }
    }
}

/// A service as it arrives, in answers and pushes: its instances are read with it, or are still
/// [`Texts`], to be read against the list before.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, bound(deserialize = "H: Default + Deserialize<'de>"))]
pub(crate) struct ServiceInfo<H = Vec<InstanceInfo>> {
    #[serde(deserialize_with = "super::or_default")]
    name: String,
    #[serde(deserialize_with = "super::or_default")]
    group_name: String,
    /// Null or missing marks an erroneous update, which changes nothing.
    hosts: Option<H>,
    #[serde(deserialize_with = "super::or_default")]
    pub(crate) last_ref_time: i64,
    #[serde(deserialize_with = "super::or_default")]
    reach_protection_threshold: bool,
}

impl<H> ServiceInfo<H> {
    /// Group and name; some answers join them as `group@@name`.
    pub(crate) fn name(&self) -> (&str, &str) {
        match self.name.split_once("@@") {
            Some((group, name)) => (group, name),
            None => (&self.group_name, &self.name),
        }
    }
}

impl ServiceInfo<Texts> {
    /// The list, read against the one before it, or nothing if it is missing.
    pub(crate) fn read(
        self,
        key: ServiceKey,
        before: Option<&List>,
    ) -> Result<Option<List>, Failure> {
        let protected = self.reach_protection_threshold;
        self.hosts.map(|hosts| List::read(key, hosts, protected, before)).transpose()
    }

    /// Sees whether a list that nobody wants could be read.
    pub(crate) fn check(self) -> Result<(), Failure> {
        self.hosts.map_or(Ok(()), |hosts| hosts.check())
    }
}

impl ServiceInfo {
    /// The sanitised view, or nothing if the list is missing.
    pub(crate) fn into_service(self, key: ServiceKey) -> Option<Service> {
        let mut last = ClusterName::default();
        let hosts = self.hosts?.into_iter();
        let hosts = hosts.filter_map(|host| host.into_instance(&mut last)).collect();
        Some(Service::new(key, hosts, self.reach_protection_threshold))
    }
}

const MODULE: &str = "naming";
const REGISTER: &str = "registerInstance";
const DEREGISTER: &str = "deregisterInstance";
const BATCH_REGISTER: &str = "batchRegisterInstance";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_could_dial_is_left_out() {
        let service = read(
            r#"{"name":"g@@s","hosts":[{"ip":"","port":1},{"ip":"a","port":0},{"ip":"a","port":70000},
               {"ip":"b","port":-1},{"ip":"ok","port":80}]}"#,
        );
        assert_eq!(service.instances.len(), 1);
    }

    #[test]
    fn odd_weights_become_usable_ones() {
        let weight = |text: &str| {
            read(&format!(r#"{{"hosts":[{{"ip":"a","port":1,"weight":{text}}}]}}"#)).instances[0]
                .weight
        };
        assert_eq!(weight("null").to_string(), "1");
        assert_eq!(weight("-3").to_string(), "0");
        assert_eq!(weight("1e300").to_string(), "10000");
        assert_eq!(weight("\"NaN\"").to_string(), "1");
        assert_eq!(weight("\"Infinity\"").to_string(), "10000");
        assert_eq!(weight("[]").to_string(), "1");
    }

    #[test]
    fn missing_list_is_no_list() {
        let info: ServiceInfo = serde_json::from_str(r#"{"name":"s","hosts":null}"#).expect("JSON");
        assert_eq!(info.into_service(key()), None);
    }

    #[test]
    fn joined_name_is_split() {
        let info: ServiceInfo = serde_json::from_str(r#"{"name":"g@@s"}"#).expect("JSON");
        assert_eq!(info.name(), ("g", "s"));
    }

    #[test]
    fn null_metadata_values_are_empty() {
        let service = read(r#"{"hosts":[{"ip":"a","port":1,"metadata":{"k":null}}]}"#);
        assert_eq!(service.instances[0].metadata["k"], "");
    }

    fn read(json: &str) -> Service {
        let info: ServiceInfo = serde_json::from_str(json).expect("JSON");
        info.into_service(key()).expect("has a list")
    }

    fn key() -> ServiceKey {
        ServiceKey::try_from("s").expect("valid")
    }
}
