//! What must not allocate, counted: reading what is hot, and picking an endpoint.
//!
//! A binary of its own, because counting replaces the allocator of the whole process.
use nacos_figment::Hot;
use nacos_tower::{Policy, bench::Picker};
use tokio::time::Instant;

/// How many allocations `code` makes, once everything lazy about it has been made.
fn allocations(mut code: impl FnMut()) -> u64 {
    code();
    allocation_counter::measure(code).count_total
}

#[test]
fn counting_counts() {
    assert_eq!(allocations(|| drop(std::hint::black_box(Box::new(1)))), 1);
}

#[test]
fn loading_a_hot_value_allocates_nothing() {
    let hot = Hot::fixed((7_u32, "text".to_owned()));
    let part = hot.map(|value| &value.0);
    assert_eq!(allocations(|| assert_eq!(hot.load().1.len(), 4)), 0);
    assert_eq!(allocations(|| assert_eq!(*part.load(), 7)), 0);
}

#[test]
fn reading_a_live_value_allocates_nothing() {
    let (_writer, reader) = nacos_core::live("text".to_owned());
    assert_eq!(allocations(|| assert_eq!(reader.get().len(), 4)), 0);
}

#[test]
fn picking_an_endpoint_allocates_nothing_however_many_there_are() {
    let now = Instant::now();
    for endpoints in [1, 10, 10_000] {
        let weights = vec![1.0; endpoints];
        for policy in [Policy::weighted_random(), Policy::balanced(), Policy::strict()] {
            let picker = Picker::new(&weights, policy);
            assert_eq!(allocations(|| assert!(picker.request(now).is_some())), 0);
        }
    }
}
