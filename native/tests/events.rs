//! What is accepted, and as which values.

mod common;

use tokentide_native::batch::{Decoded, decode};
use tokentide_native::others::OtherValue;
use tokentide_native::row::EventType;
use tokentide_native::spec::nodes_of;

fn decoded(records: &[&str]) -> Decoded {
    let contract = common::contract();
    let nodes = nodes_of(&contract).unwrap();
    let values: Vec<Option<&[u8]>> = records.iter().map(|record| Some(record.as_bytes())).collect();
    decode(&contract, &nodes, &values)
}

/// Rows, others, odd items, odd records.
fn counts(records: &[&str]) -> (usize, usize, usize, usize) {
    let found = decoded(records);
    (found.record.len(), found.others.len(), found.odd_items.len(), found.odd_records.len())
}

fn event(more: &str) -> String {
    format!(r#"{{"id":"a","time":"2026-01-31T12:00:00Z"{more}}}"#)
}

fn ints(found: &Decoded, column: usize) -> Vec<i64> {
    let (_, buffers) = found.columns.iter().find(|(place, _)| *place == column).unwrap();
    buffers.own[0].chunks_exact(8).map(|bytes| i64::from_le_bytes(bytes.try_into().unwrap())).collect()
}

fn money(written: &str) -> Option<i64> {
    let found = decoded(&[&event(&format!(r#","cost":{written}"#))]);
    (found.record.len() == 1).then(|| ints(&found, 6)[0])
}

fn text(found: &Decoded, column: usize) -> String {
    let (_, buffers) = found.columns.iter().find(|(place, _)| *place == column).unwrap();
    String::from_utf8(buffers.own[1].clone()).unwrap()
}

#[test]
fn a_record_is_an_object_an_array_or_lines() {
    let (one, odd) = (event(""), event(r#","tokens":"12""#));
    assert_eq!(counts(&[&one]), (1, 0, 0, 0));
    assert_eq!(counts(&[&format!("[{one},\n{odd} , {one}]")]), (2, 0, 1, 0));
    assert_eq!(counts(&[&format!("{one}\n\n{odd}\nnull\n{{\n{one}\n")]), (2, 0, 3, 0));
    assert_eq!(counts(&["", "[]", "[1,2", "\u{feff}{}", &format!("{one} {one}"), &format!("[{one}]x")]), (0, 0, 0, 6));
    assert_eq!(counts(&[&format!("null\n{one}")]), (0, 0, 0, 1));
    assert_eq!(counts(&[&format!("{one}\n\u{b}\n{one}")]), (0, 0, 0, 1));
}

#[test]
fn an_odd_item_is_its_own_bytes_and_a_line_its_own_line() {
    let odd = event(r#","tokens":"12""#);
    let record = format!("[ {odd} , {odd} ]");
    let found = decoded(&[&record]);
    assert!(found.odd_items.iter().all(|item| record[item.start..item.end] == odd));
    let record = format!(" {odd} \r\n {odd}\t\n");
    let lines: Vec<_> =
        decoded(&[&record]).odd_items.iter().map(|item| record[item.start..item.end].to_owned()).collect();
    assert_eq!(lines, [format!(" {odd} \r"), format!(" {odd}\t")]);
    let record = format!(" {odd}\n");
    assert_eq!(decoded(&[&record]).odd_items[0].end, record.len());
}

#[test]
fn nothing_is_left_of_a_record_that_breaks_off() {
    let (one, other) = (event(r#","name":"kept""#), event(r#","name":"gone""#));
    let found = decoded(&[&one, &format!("[{other},{other},"), &one]);
    assert_eq!((found.record, found.odd_records), (vec![0, 2], vec![1]));
    let (_, names) = found.columns.iter().find(|(place, _)| *place == 2).unwrap();
    assert_eq!(names.inner[0].2, b"kept");
}

#[test]
fn of_a_field_given_twice_the_last_one_counts() {
    let found = decoded(&[
        &event(r#","tokens":1,"tokens":2"#),
        &event(r#","tokens":1,"tokens":null"#),
        &event(r#","error":{"class":"timeout","x":1},"error":{"y":1,"z":2}"#),
    ]);
    assert_eq!(ints(&found, 3), [2, 0, 0]);
    assert!(!found.columns.iter().any(|(place, _)| *place == 11));
    assert_eq!(found.unknown_fields, [0, 0, 2]);
}

#[test]
fn unknown_fields_are_counted_once_by_name_and_not_where_they_are_null() {
    let many = (0..60).fold(String::new(), |text, i| {
        let value = if i < 20 { "1" } else { "null" };
        format!(r#"{text},"x{}":{value}"#, i % 40)
    });
    let records = [event(r#","x":1,"y":null,"\u0078":2"#), event(r#","x":1,"x":null"#), event(&many)];
    let records: Vec<_> = records.iter().map(String::as_str).collect();
    assert_eq!(decoded(&records).unknown_fields, [1, 0, 0]);
}

#[test]
fn money_is_exact_and_rounded_half_to_even() {
    let usual = [("0.25", 250_000_000_000), ("12", 12_000_000_000_000), ("1e-12", 1), ("2.5e-12", 2), ("3.5e-12", 4)];
    for (written, expected) in usual {
        assert_eq!(money(written), Some(expected), "{written}");
        assert_eq!(money(&format!("\"{written}\"")), Some(expected), "{written} as text");
    }
    // As a number it is the double nearest to it, which Python prints so; as text it is itself.
    assert_eq!(money("0.12345678901250000001"), Some(123_456_789_012));
    assert_eq!(money("\"0.12345678901250000001\""), Some(123_456_789_013));
    for refused in ["-1", "\"-0\"", "1000000", "\"999999.0000000000001\"", "\"1_0\"", "\" 1\"", "1e400", "true", "\"\""]
    {
        assert_eq!(money(refused), None, "{refused}");
    }
    assert_eq!(money("-0.0"), Some(0));
}

#[test]
fn times_are_microseconds_and_need_a_zone() {
    let time = |written: &str| {
        let found = decoded(&[&format!(r#"{{"id":"a","time":{written}}}"#)]);
        (found.record.len() == 1).then(|| ints(&found, 1)[0])
    };
    let noon = 1_769_860_800_000_000;
    for same in
        ["1769860800", "1769860800000", "1769860800.0", r#""2026-01-31T12:00:00Z""#, r#""2026-01-31 13:30:00+01:30""#]
    {
        assert_eq!(time(same), Some(noon), "{same}");
    }
    assert_eq!(time(r#""2026-01-31t12:00:00.1234567z""#), Some(noon + 123_456));
    assert_eq!(time(r#""2024-02-29T00:00:00Z""#), Some(1_709_164_800_000_000));
    for refused in [
        r#""2026-01-31T12:00:00""#,
        r#""2026-02-29T12:00:00Z""#,
        r#""2026-01-31T24:00:00Z""#,
        r#""2026-01-31T12:00:60Z""#,
        r#""2026-01-31T12:00:00.Z""#,
        r#""2026-01-31T12:00:00+01:60""#,
        r#""1900-02-29T00:00:00Z""#,
        "-1",
        "1e14",
    ] {
        assert_eq!(time(refused), None, "{refused}");
    }
}

#[test]
fn messages_become_their_text_without_white_space_and_needless_escapes() {
    let found = decoded(&[&event(r#","input":[ {"a" : "\u00e9\/\n\u001F\ud83d\ude00" , "n":[1.50, -0 ,1e5,{ }]} ]"#)]);
    assert_eq!(text(&found, 10), "[{\"a\":\"é/\\n\\u001f😀\",\"n\":[1.5,0,100000.0,{}]}]");
    let odd = ["[1]", r#"[{"a":1,"a":2}]"#, r#"[{"a":1e300}]"#, r#"[{"a":-0.0}]"#, "{}", "1"];
    for written in odd {
        assert_eq!(counts(&[&event(&format!(r#","input":{written}"#))]), (0, 0, 1, 0), "{written}");
    }
    assert_eq!(counts(&[&event(r#","input":[{"a":NaN}]"#)]), (0, 0, 0, 1));
}

#[test]
fn texts_are_measured_in_characters_and_empty_ones_are_none() {
    let names = |text: &str| counts(&[&event(&format!(r#","name":"{text}""#))]).0;
    assert_eq!((names(&"é".repeat(20)), names(&"é".repeat(21)), names("")), (1, 0, 1));
    assert_eq!(counts(&[r#"{"id":"","time":1}"#, r#"{"time":1}"#, r#"{"id":"a"}"#]), (0, 0, 3, 0));
    let found = decoded(&[&event(r#","name":"default""#)]);
    assert!(!found.columns.iter().any(|(place, _)| *place == 2));
}

#[test]
fn labels_keep_the_last_text_at_the_first_place_and_lose_nulls() {
    let found = decoded(&[&event(r#","labels":{"b":"1","a":"2","\u0062":"3","c":null}"#)]);
    let (_, labels) = found.columns.iter().find(|(place, _)| *place == 9).unwrap();
    assert_eq!((labels.inner[0].2.as_slice(), labels.inner[1].2.as_slice()), (&b"ba"[..], &b"32"[..]));
    for odd in [r#"{"":"a"}"#, r#"{"a":1}"#, r#"{"abcdefghijk":"a"}"#, r#"{"a":"1","b":"1","c":"1","d":"1"}"#] {
        assert_eq!(counts(&[&event(&format!(r#","labels":{odd}"#))]), (0, 0, 1, 0), "{odd}");
    }
}

#[test]
fn numbers_have_bounds_and_must_not_contradict_each_other() {
    let accepted = |more: &str| counts(&[&event(more)]).0 == 1;
    assert!(accepted(r#","tokens":10.0,"part":1e1"#));
    assert!(!accepted(r#","tokens":10,"part":11"#));
    assert!(accepted(r#","tokens":10,"part":11,"name":"exclusive""#));
    assert!(!accepted(r#","tokens":-1"#));
    assert!(!accepted(r#","tokens":1.5"#));
    assert!(!accepted(r#","tokens":10000000001"#));
    assert!(!accepted(r#","ms":1e400"#));
    assert!(accepted(r#","ms":-0.0,"error":{"class":"timeout","score":1}"#));
    assert!(!accepted(r#","error":{"class":"none"}"#));
}

#[test]
fn parts_and_evaluations_are_told_apart() {
    let records = [
        event(r#","event_type":"request","name":"n","cost":"0.5""#),
        event(r#","event_type":"evaluation","name":"n","error":{"score":0.5},"tokens":1"#),
        event(r#","event_type":"response","name":"\t","list":["a","\n"],"labels":{"\r":"b","c":null}"#),
    ];
    let found = decoded(&records.each_ref().map(String::as_str));
    let kinds: Vec<_> = found.others.iter().map(|other| other.event_type).collect();
    assert_eq!(kinds, [EventType::Part(0), EventType::Evaluation, EventType::Part(1)]);
    let contract = common::contract();
    let values = |place: usize| found.others.values(place, &contract, records[place].as_bytes());
    assert!(matches!(values(0).nth(3), Some((6, OtherValue::Money(500_000_000_000)))));
    assert!(values(1).all(|(column, _)| column != 3));
    let of_column = |column: usize| values(2).find(|(place, _)| *place == column).unwrap().1;
    assert!(matches!(of_column(2), OtherValue::Text(b"\t")));
    assert!(matches!(of_column(8), OtherValue::Texts(texts) if texts == [&b"a"[..], b"\n"]));
    assert!(matches!(of_column(9), OtherValue::Labels(pairs) if pairs == [(&b"\r"[..], &b"b"[..])]));
    let incomplete = [
        r#","event_type":"request""#,
        r#","event_type":"evaluation","name":"n""#,
        r#","event_type":"x""#,
        r#","schema_version":2"#,
    ];
    for more in incomplete {
        assert_eq!(counts(&[&event(more)]), (0, 0, 1, 0), "{more}");
    }
}

#[test]
fn depth_is_that_of_the_event() {
    let deep = |levels: usize| counts(&[&event(&format!(r#","x":{}{}"#, "[".repeat(levels), "]".repeat(levels)))]);
    assert_eq!((deep(63), deep(64), deep(100_000)), ((1, 0, 0, 0), (0, 0, 1, 0), (0, 0, 0, 1)));
}
