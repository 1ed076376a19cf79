//! What the contract says, as it is handed over: nothing of it is written down here.

use crate::scan::{Cursor, RawText};

/// What kind of value a column has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Text with few distinct values: a dictionary.
    Name,
    /// Other text.
    Text,
    /// A whole number.
    Count,
    /// A double.
    Float,
    /// USD in picodollars.
    Money,
    /// True or false.
    Flag,
    /// Microseconds since 1970.
    Time,
    /// A list of texts.
    Texts,
    /// Text by text.
    Labels,
    /// Text, or messages as JSON text; the column behind it says which.
    Content,
}

/// One column of the result.
#[derive(Debug, Clone)]
pub struct ColumnSpec {
    /// Where it stands in JSON: one or two names.
    pub path: Vec<String>,
    /// What it holds.
    pub kind: Kind,
    /// Most characters, or the largest number; infinite where there is no limit.
    pub limit: f64,
    /// The smallest number, or fewest characters.
    pub minimum: f64,
    /// The words allowed, for closed sets.
    pub choices: Vec<String>,
    /// Whether events of the type `evaluation` have it.
    pub is_of_evaluations: bool,
    /// The text that means the same as none; empty: there is no such text.
    pub default: String,
}

/// The parts may not be more than the whole.
#[derive(Debug, Clone)]
pub struct Containment {
    /// Columns that are added up.
    pub parts: Vec<usize>,
    /// The column that contains them.
    pub whole: usize,
    /// A column and its text that switch the rule off.
    pub unless: Option<(usize, String)>,
}

/// Bounds of records and events.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes of a record.
    pub record_bytes: usize,
    /// Events in a record.
    pub items: usize,
    /// Containers inside each other, of which the event is the first.
    pub depth: u32,
    /// Entries of a list.
    pub list: usize,
    /// Labels of an event.
    pub labels: usize,
    /// Characters of a label's key.
    pub label_key: usize,
}

/// The whole contract.
#[derive(Debug, Clone)]
pub struct Contract {
    /// Columns in their order.
    pub columns: Vec<ColumnSpec>,
    /// Rules between columns.
    pub containment: Vec<Containment>,
    /// Bounds.
    pub limits: Limits,
    /// The `event_type`s that are parts of calls.
    pub part_types: Vec<String>,
    /// Columns that every event has.
    pub required: Vec<usize>,
    /// Columns that parts and evaluations must have too.
    pub required_of_others: Vec<usize>,
    /// Columns of which an evaluation needs one.
    pub judgements: Vec<usize>,
}

/// What a name in an object stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field {
    /// A value.
    Column(usize),
    /// An object of the contract.
    Node(usize),
    /// The kind of the event.
    EventType,
    /// The version of the contract.
    SchemaVersion,
}

/// An object of the contract: the event itself, or one inside it.
#[derive(Debug)]
pub struct Node {
    /// Each name with its quotes, as it stands in JSON, and what it stands for.
    names: Vec<(Vec<u8>, Field)>,
    /// From a name's hash to its place in `names`, plus one.
    table: Vec<u8>,
    /// Columns inside it.
    pub columns: Vec<usize>,
}

const TABLE: usize = 512;

fn place_of(name: &[u8]) -> usize {
    let hash = name.iter().fold(name.len() as u32, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193));
    (hash ^ (hash >> 15)) as usize % TABLE
}

impl Node {
    fn new() -> Self {
        Node { names: Vec::new(), table: vec![0; TABLE], columns: Vec::new() }
    }

    fn add(&mut self, name: &str, field: Field) {
        let mut place = place_of(name.as_bytes());
        while self.table[place] != 0 {
            place = (place + 1) % TABLE;
        }
        self.names.push((format!("\"{name}\"").into_bytes(), field));
        self.table[place] = self.names.len() as u8;
    }

    /// Take a name that is expected: the one at this place.
    #[inline]
    pub fn take_expected(&self, place: usize, cursor: &mut Cursor) -> bool {
        self.names.get(place).is_some_and(|(name, _)| cursor.take(name))
    }

    /// The place of a name among the object's.
    #[must_use]
    pub fn find(&self, name: &[u8]) -> Option<usize> {
        let mut at = place_of(name);
        while self.table[at] != 0 {
            let place = self.table[at] as usize - 1;
            let known = &self.names[place].0;
            if &known[1..known.len() - 1] == name {
                return Some(place);
            }
            at = (at + 1) % TABLE;
        }
        None
    }

    /// What the name at a place stands for.
    #[must_use]
    pub fn field(&self, place: usize) -> Field {
        self.names[place].1
    }

    /// How many names it has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Whether it has none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }
}

/// The objects of the contract; the first is the event.
///
/// # Errors
/// A path is empty or longer than two names, or an object has more than 250.
pub fn nodes_of(contract: &Contract) -> Result<Vec<Node>, String> {
    let mut nodes = vec![Node::new()];
    let mut of_name = std::collections::HashMap::<&str, usize>::new();
    nodes[0].add("event_type", Field::EventType);
    nodes[0].add("schema_version", Field::SchemaVersion);
    for (column, spec) in contract.columns.iter().enumerate() {
        match spec.path.as_slice() {
            [name] => nodes[0].add(name, Field::Column(column)),
            [outer, name] => {
                let node = *of_name.entry(outer).or_insert_with(|| {
                    nodes.push(Node::new());
                    let node = nodes.len() - 1;
                    nodes[0].add(outer, Field::Node(node));
                    node
                });
                nodes[node].add(name, Field::Column(column));
                nodes[node].columns.push(column);
            }
            _ => return Err(format!("column {column}: a path has one name or two")),
        }
    }
    if nodes.iter().any(|node| node.len() > 250) || contract.columns.len() > 128 {
        return Err("too many columns".to_owned());
    }
    Ok(nodes)
}

/// Bytes of a text and whether it has no more than so many characters.
#[inline]
#[must_use]
pub fn is_within(text: &[u8], limit: usize) -> bool {
    // Every character has at least one byte; only continuations begin with the bits 10.
    text.len() <= limit || text.iter().filter(|byte| (**byte & 0xC0) != 0x80).count() <= limit
}

/// A string token's own bytes.
#[must_use]
pub fn raw<'a>(text: &'a [u8], token: &RawText) -> &'a [u8] {
    &text[token.start..token.end]
}
