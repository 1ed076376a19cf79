//! Whatever bytes come: no panic, each record for itself, and nothing is accepted that another reader of JSON refuses.
//! `NATIVE_FUZZ_RUNS` says how many batches are tried.

mod common;

use common::contract;
use tokentide_native::batch::{Decoded, decode};
use tokentide_native::spec::nodes_of;

/// Numbers that are the same for the same seed (Marsaglia 2003, xorshift).
struct Random(u64);

impl Random {
    /// The next number below `limit`.
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit as u64) as usize
    }

    /// One of these.
    fn pick<'a, T: ?Sized>(&mut self, of: &[&'a T]) -> &'a T {
        of[self.below(of.len())]
    }
}

const PIECES: [&str; 56] = [
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "\"",
    "\\",
    "\n",
    " ",
    "null",
    "true",
    "false",
    "0",
    "-",
    "1e5",
    "1.5",
    "12",
    "NaN",
    "\"id\":\"a\"",
    "\"time\":1",
    "\"time\":\"2026-01-31T12:00:00Z\"",
    "\"name\":\"n\"",
    "\"tokens\":5",
    "\"part\":6",
    "\"ms\":1.5",
    "\"cost\":\"0.1\"",
    "\"cost\":0.1",
    "\"flag\":true",
    "\"list\":[\"a\"]",
    "\"labels\":{\"a\":\"b\"}",
    "\"input\":[{\"a\":\"b\"}]",
    "\"error\":{\"class\":\"other\"}",
    "\"error\":{",
    "\"event_type\":\"request\"",
    "\"\\u00e9\"",
    "\"\\ud800\"",
    "\"\\ud83d\\ude00\"",
    "{\"id\":\"a\",\"time\":1}",
    "{\"id\":\"a\",\"time\":1,",
    ",\n",
    "}\n{",
    "\u{e9}",
    "\u{1f600}",
    "\r\n",
    "\t",
    "\u{0}",
    "\u{b}",
    "\"x\":{\"y\":[1,{\"z\":null}]}",
    "\"x\":1",
    "\"input\":\"text\"",
    "\"tokens\":1e400",
    "\"cost\":1e-400",
    "\"id\":",
    "\"event_type\":\"evaluation\"",
    "\"schema_version\":1",
];

fn record(random: &mut Random) -> Vec<u8> {
    let mut text = Vec::new();
    if random.below(2) == 0 {
        // Mostly well-formed: fields between braces, perhaps in an array.
        let open: &[u8] = random.pick(&[&b"{"[..], b"[{", b" { "]);
        text.extend_from_slice(open);
        for place in 0..random.below(8) {
            if place > 0 {
                text.push(b',');
            }
            text.extend_from_slice(PIECES[19 + random.below(15)].as_bytes());
        }
        let close: &[u8] =
            random.pick(&[&b"}"[..], b"}]", b"},{\"id\":\"b\",\"time\":1}]", b"}\n{\"id\":\"b\",\"time\":1}"]);
        text.extend_from_slice(close);
    } else {
        for _ in 0..random.below(20) {
            text.extend_from_slice(PIECES[random.below(PIECES.len())].as_bytes());
        }
    }
    if random.below(3) == 0 && !text.is_empty() {
        let at = random.below(text.len());
        match random.below(3) {
            0 => text[at] = random.below(256) as u8,
            1 => text.truncate(at),
            _ => text.insert(at, random.below(256) as u8),
        }
    }
    text
}

fn run(records: &[Vec<u8>]) -> Decoded {
    let contract = contract();
    let nodes = nodes_of(&contract).unwrap();
    let values: Vec<_> = records.iter().map(|record| Some(record.as_slice())).collect();
    decode(&contract, &nodes, &values)
}

fn runs() -> usize {
    std::env::var("NATIVE_FUZZ_RUNS").ok().and_then(|runs| runs.parse().ok()).unwrap_or(20_000)
}

#[test]
fn each_record_is_decoded_as_if_it_were_alone() {
    let mut random = Random(0x5EED);
    let mut accepted = 0;
    for _ in 0..runs() {
        let records: Vec<_> = (0..=random.below(6)).map(|_| record(&mut random)).collect();
        let together = run(&records);
        accepted += together.record.len();
        for (place, text) in records.iter().enumerate() {
            let alone = run(std::slice::from_ref(text));
            let of = |records: &[i32]| records.iter().filter(|record| **record as usize == place).count();
            assert_eq!(of(&together.record), alone.record.len(), "{}", text.escape_ascii());
            assert_eq!(of(&together.odd_records), alone.odd_records.len(), "{}", text.escape_ascii());
            let odd: Vec<_> = together.odd_items.iter().map(|item| item.record).collect();
            assert_eq!(of(&odd), alone.odd_items.len(), "{}", text.escape_ascii());
        }
        for (_, buffers) in &together.columns {
            assert!(buffers.nulls < together.record.len());
        }
    }
    assert!(accepted > runs() / 10, "too few of the inputs were events: {accepted}");
}

#[test]
fn what_is_accepted_is_json_for_another_reader_too() {
    let mut random = Random(0xC0_FFEE);
    for _ in 0..runs() * 3 {
        let text = record(&mut random);
        let found = run(std::slice::from_ref(&text));
        // An array or object of which any item was accepted, and no line alone.
        if found.record.is_empty() || text.contains(&b'\n') {
            continue;
        }
        let parsed: Result<serde_json::Value, _> = serde_json::from_slice(&text);
        assert!(parsed.is_ok(), "{}", text.escape_ascii());
    }
}
