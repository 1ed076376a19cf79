//! A small contract with a column of each kind; the real one is handed over by Python and tested there.

use tokentide_native::spec::{ColumnSpec, Containment, Contract, Kind, Limits};

fn column(path: &[&str], kind: Kind, limit: f64) -> ColumnSpec {
    ColumnSpec {
        path: path.iter().map(ToString::to_string).collect(),
        kind,
        limit,
        minimum: 0.0,
        choices: Vec::new(),
        is_of_evaluations: path[0] != "tokens" && path[0] != "part",
        default: String::new(),
    }
}

/// The contract of these tests.
pub fn contract() -> Contract {
    let mut columns = vec![
        column(&["id"], Kind::Text, 200.0),
        column(&["time"], Kind::Time, f64::INFINITY),
        column(&["name"], Kind::Name, 20.0),
        column(&["tokens"], Kind::Count, 1e10),
        column(&["part"], Kind::Count, 1e10),
        column(&["ms"], Kind::Float, 1e8),
        column(&["cost"], Kind::Money, 999_999.0),
        column(&["flag"], Kind::Flag, f64::INFINITY),
        column(&["list"], Kind::Texts, 20.0),
        column(&["labels"], Kind::Labels, 20.0),
        column(&["input"], Kind::Content, f64::INFINITY),
        column(&["error", "class"], Kind::Name, f64::INFINITY),
        column(&["error", "score"], Kind::Float, 1.0),
    ];
    "default".clone_into(&mut columns[2].default);
    columns[11].choices = vec!["timeout".to_owned(), "other".to_owned()];
    Contract {
        columns,
        containment: vec![Containment { parts: vec![4], whole: 3, unless: Some((2, "exclusive".to_owned())) }],
        limits: Limits { record_bytes: 1 << 20, items: 100, depth: 64, list: 3, labels: 3, label_key: 10 },
        part_types: vec!["request".to_owned(), "response".to_owned()],
        required: vec![0, 1],
        required_of_others: vec![2],
        judgements: vec![12],
    }
}
