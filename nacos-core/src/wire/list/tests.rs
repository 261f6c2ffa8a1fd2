//! Lists that are read one after another, beside the same lists read each for itself.
use proptest::{collection::vec, prelude::*};

use super::*;
use crate::{service::looks, wire::naming::ServiceInfo};

#[test]
fn instance_whose_text_is_known_is_shared_and_not_read() {
    let mut chain = Chain::default();
    let before = chain.read(&hosts(["a", "b", "c"]));
    let changed = Host { weight: "2", ..host("b") };
    let after = chain.read(&[host("a"), changed, host("c")]);
    let shared = before.instances.iter().zip(after.instances.iter());
    let shared: Vec<bool> = shared.map(|(before, after)| Arc::ptr_eq(before, after)).collect();
    assert_eq!(shared, [true, false, true]);
    let change = after.since(&before);
    assert_eq!((change.added.len(), change.removed.len(), change.modified.len()), (0, 0, 1));
}

#[test]
fn list_in_which_nothing_changed_is_the_same_allocation() {
    let mut chain = Chain::default();
    let before = chain.read(&hosts(["a", "b", "c"]));
    let dead = Host { port: 0, ..host("d") };
    let sick = Host { healthy: false, ..host("b") };
    for same in [
        hosts(["a", "b", "c"]).to_vec(),
        hosts(["c", "b", "a"]).to_vec(),
        hosts(["a", "b", "c", "b", "a"]).to_vec(),
        [host("a"), sick, host("b"), dead, host("c")].to_vec(),
        ["1.0", "1", "1e0", "null"].map(|weight| Host { weight, ..host("a") }).to_vec(),
        ["a", "b", "c"].map(|ip| Host { is_spaced: true, ..host(ip) }).to_vec(),
    ] {
        // Also those of which two have left.
        let after = chain.read(&[&same[..], &hosts(["b", "c"])].concat());
        assert!(Arc::ptr_eq(&before.instances, &after.instances), "{same:?}");
        assert!(after.since(&before).is_empty());
    }
}

#[test]
fn instances_that_come_back_after_an_empty_list_are_the_same() {
    let mut chain = Chain::default();
    let before = chain.read(&hosts(["a", "b", "c"]));
    assert_eq!(chain.read(&[]).since(&before).removed.len(), 3);
    let _none_either = chain.read(&[Host { port: 0, ..host("a") }]);
    looks();
    let after = chain.read_alone(&hosts(["a", "b", "c"]));
    assert_eq!(looks(), 0, "their texts are known");
    assert!(Arc::ptr_eq(&before.instances, &after.instances));
}

#[test]
fn unreadable_instance_is_named_and_not_quoted_and_leaves_the_list_before() {
    let mut chain = Chain::default();
    let before = chain.read(&hosts(["a", "b"]));
    for bad in ["7", "null", r#"{"ip":"secret","port":"secret"}"#, r#"{"ip":"secret\uD800"}"#] {
        let json = format!(r#"{{"hosts":[{},{bad}]}}"#, host("a").text());
        let failure = read(&json, chain.last.as_ref()).expect_err(bad);
        assert!(failure.to_string().starts_with("instance 1 is not readable"), "{failure}");
        assert!(!failure.to_string().contains("secret"), "{failure}");
        let same = chain.read(&hosts(["a", "b"]));
        assert!(Arc::ptr_eq(&before.instances, &same.instances));
    }
}

#[test]
fn missing_list_is_no_list() {
    for json in [r#"{"name":"orders"}"#, r#"{"hosts":null}"#] {
        assert!(read(json, None).expect("readable").is_none());
    }
}

#[test]
fn push_looks_at_each_instance_once_and_reads_what_differs() {
    let all: Vec<Host> = (0..2000).map(|port| Host { port: port + 1, ..host("a") }).collect();
    let replaced = |at: usize, host: Host| {
        let mut hosts = all.clone();
        hosts[at] = host;
        hosts
    };
    let without = |gone: std::ops::Range<usize>| [&all[..gone.start], &all[gone.end..]].concat();
    let moved = [&all[..500], &all[1000..], &all[500..1000]].concat();
    for (what, hosts, most) in [
        ("the same", all.clone(), 0),
        ("another weight", replaced(700, Host { weight: "3", ..all[700].clone() }), 2002),
        ("one more", [&all[..9], &[host("b")], &all[9..]].concat(), 2002),
        ("one gone", without(77..78), 2001),
        ("many gone", without(500..1000), 2001),
        ("half of them moved", moved, 3),
        ("another order", all.iter().rev().cloned().collect(), 2000),
    ] {
        let mut chain = Chain::default();
        let before = chain.read(&all);
        looks();
        let after = chain.read_alone(&hosts);
        let read = looks();
        assert!(read <= most, "{what}: {read} looks, and {most} are enough");
        // The difference is there already.
        let _change = after.since(&before);
        let _same = after == before;
        assert_eq!(looks(), 0, "{what}");
    }
}

#[test]
fn difference_counts_between_the_two_lists_that_it_was_found_for_alone() {
    let mut chain = Chain::default();
    let [one, two, three] = [["a", "b"], ["b", "c"], ["c", "d"]].map(|ips| chain.read(&hosts(ips)));
    let ips = |instances: &[Arc<Instance>]| -> Vec<String> {
        instances.iter().map(|instance| instance.ip.clone()).collect()
    };
    // A reader that has skipped one.
    let change = three.since(&one);
    assert_eq!(
        (ips(&change.added), ips(&change.removed)),
        (vec!["c".into(), "d".into()], vec!["a".into(), "b".into()])
    );
    // A reader that has left one out.
    let mut filtered = two.clone();
    filtered.instances = two.instances[1..].into();
    let change = filtered.since(&one);
    assert_eq!(ips(&change.removed), ["a", "b"]);
    assert_eq!(ips(&three.since(&filtered).removed), [""; 0]);
    assert_ne!(filtered, two);
    // Backwards.
    assert_eq!(ips(&one.since(&two).added), ["a"]);
}

proptest! {
    /// The list is the same as without the ones before it.
    #[test]
    fn list_is_the_same_whatever_it_is_read_against(
        first in vec(any_host(), 0..12),
        edits in vec(vec(any_edit(), 0..6), 1..8),
    ) {
        let (mut chain, mut hosts) = (Chain::default(), first);
        chain.read(&hosts);
        for edit in edits.into_iter().flatten().map(Some).chain([None]) {
            // Several at once, now and then.
            if let Some((edit, is_last)) = edit {
                edit.apply(&mut hosts);
                if !is_last {
                    continue;
                }
            }
            chain.read(&hosts);
        }
    }
}

/// Reads lists, each against the one before, and compares them with those that are read alone.
#[derive(Default)]
struct Chain {
    last: Option<List>,
}

impl Chain {
    fn read(&mut self, hosts: &[Host]) -> Service {
        let before = self.last.as_ref().map(|last| last.service.clone());
        let after = self.read_alone(hosts);
        let alone: ServiceInfo = serde_json::from_str(&json(hosts)).expect("JSON");
        let alone = alone.into_service(key()).expect("a list");
        assert_eq!(after, alone);
        if let Some(before) = before {
            // The same list, but for the allocation: nothing is known of its difference.
            let mut stranger = before.clone();
            stranger.instances = before.instances.iter().cloned().collect();
            assert_eq!(after.since(&before), after.since(&stranger));
            assert_eq!(after.since(&before), alone.since(&before));
            assert_eq!(after == before, alone == before);
            let shared = after.instances.iter().filter(|after| before.instances.contains(after));
            for shared in shared {
                let same = before.instances.iter().any(|before| Arc::ptr_eq(before, shared));
                assert!(same, "{shared:?} is there twice");
            }
        }
        after
    }

    fn read_alone(&mut self, hosts: &[Host]) -> Service {
        let next = read(&json(hosts), self.last.as_ref()).expect("readable").expect("a list");
        let service = next.service.clone();
        match &mut self.last {
            Some(last) => last.replace(next),
            None => self.last = Some(next),
        }
        service
    }
}

fn read(json: &str, before: Option<&List>) -> Result<Option<List>, Failure> {
    let info: ServiceInfo<Texts> = serde_json::from_str(json).expect("JSON");
    info.read(key(), before)
}

fn json(hosts: &[Host]) -> String {
    let texts: Vec<_> = hosts.iter().map(Host::text).collect();
    format!(r#"{{"name":"orders","hosts":[{}]}}"#, texts.join(","))
}

fn key() -> ServiceKey {
    ServiceKey::try_from("orders").expect("valid")
}

/// An instance as a server sends it.
#[derive(Clone, Debug)]
struct Host {
    ip: &'static str,
    port: i32,
    weight: &'static str,
    healthy: bool,
    cluster: &'static str,
    version: u8,
    is_spaced: bool,
}

impl Host {
    fn text(&self) -> String {
        let Self { ip, port, weight, healthy, cluster, version, is_spaced } = self;
        let blank = if *is_spaced { " " } else { "" };
        format!(
            r#"{{"instanceId":"","ip":"{ip}",{blank}"port":{port},"weight":{weight},"healthy":{healthy},
            "clusterName":"{cluster}","metadata":{{"version":"{version}"}}}}"#
        )
    }
}

fn host(ip: &'static str) -> Host {
    Host { ip, port: 80, weight: "1", healthy: true, cluster: "", version: 1, is_spaced: false }
}

fn hosts<const COUNT: usize>(ips: [&'static str; COUNT]) -> [Host; COUNT] {
    ips.map(host)
}

/// One of few, so that many are the same, or differ in one point.
fn any_host() -> impl Strategy<Value = Host> {
    let ip = prop::sample::select(vec!["a", "b", "b", "fe80::1", " c", ""]);
    let weight = prop::sample::select(vec!["1", "1.0", "2", "null", "\"NaN\"", "-1"]);
    let cluster = prop::sample::select(vec!["", "DEFAULT", "X"]);
    (ip, 0..3, weight, any::<bool>(), cluster, 0..2_u8, any::<bool>()).prop_map(
        |(ip, port, weight, healthy, cluster, version, is_spaced)| Host {
            ip,
            port,
            weight,
            healthy,
            cluster,
            version,
            is_spaced,
        },
    )
}

/// The changes that a list may see from one push to the next.
#[derive(Clone, Debug)]
enum Edit {
    Insert(prop::sample::Index, Host),
    Remove(prop::sample::Index),
    Repeat(prop::sample::Index),
    Replace(prop::sample::Index, Host),
    Swap(prop::sample::Index, prop::sample::Index),
    Clear,
}

impl Edit {
    fn apply(self, hosts: &mut Vec<Host>) {
        let len = hosts.len();
        match self {
            Self::Insert(at, host) => hosts.insert(at.index(len + 1), host),
            _ if len == 0 => {}
            Self::Remove(at) => drop(hosts.remove(at.index(len))),
            Self::Repeat(at) => hosts.push(hosts[at.index(len)].clone()),
            Self::Replace(at, host) => hosts[at.index(len)] = host,
            Self::Swap(one, other) => hosts.swap(one.index(len), other.index(len)),
            Self::Clear => hosts.clear(),
        }
    }
}

/// An edit, and whether the list is sent after it.
fn any_edit() -> impl Strategy<Value = (Edit, bool)> {
    let at = any::<prop::sample::Index>;
    let edit = prop_oneof![
        3 => (at(), any_host()).prop_map(|(at, host)| Edit::Insert(at, host)),
        3 => at().prop_map(Edit::Remove),
        1 => at().prop_map(Edit::Repeat),
        3 => (at(), any_host()).prop_map(|(at, host)| Edit::Replace(at, host)),
        2 => (at(), at()).prop_map(|(one, other)| Edit::Swap(one, other)),
        1 => Just(Edit::Clear),
    ];
    (edit, any::<bool>())
}
