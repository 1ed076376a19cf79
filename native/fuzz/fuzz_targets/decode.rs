//! Any bytes as two records: no panic, and the second is decoded as if it were alone.
#![no_main]

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use tokentide_native::batch::decode;
use tokentide_native::spec::{Contract, Node, nodes_of};

#[path = "../../tests/common/mod.rs"]
#[allow(dead_code)]
mod common;

static SPEC: OnceLock<(Contract, Vec<Node>)> = OnceLock::new();

fuzz_target!(|bytes: &[u8]| {
    let (contract, nodes) = SPEC.get_or_init(|| {
        let contract = common::contract();
        let nodes = nodes_of(&contract).unwrap();
        (contract, nodes)
    });
    let (first, second) = bytes.split_at(bytes.len() / 2);
    let both = decode(contract, nodes, &[Some(bytes), Some(first), Some(second)]);
    let alone = decode(contract, nodes, &[Some(second)]);
    assert_eq!(both.record.iter().filter(|record| **record == 2).count(), alone.record.len());
    assert_eq!(both.odd_records.contains(&2), alone.odd_records.contains(&0));
});
