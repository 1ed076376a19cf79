//! One event: its fields as values, before anything of it goes to the columns. A field given twice is overwritten,
//! and an event that is not accepted leaves nothing behind.

use crate::content;
use crate::number::{money_of_text, to_float, to_money, to_whole};
use crate::scan::{Cursor, RawText, Scanned, plain};
use crate::spec::{Contract, Field, Kind, Node, is_within, raw};
use crate::time;

/// Names of one event that the contract does not know are compared one by one up to so many.
const FEW_UNKNOWN: usize = 24;
/// Label keys that are compared one by one; events with more go to the reference.
const MOST_LABEL_ENTRIES: usize = 64;

/// Bytes of a text: of the record, or of the row's own buffer.
#[derive(Debug, Clone, Copy)]
pub struct Span {
    start: u32,
    end: u32,
    is_own: bool,
}

impl Span {
    /// The bytes, of the record or of the row's own buffer.
    #[inline]
    #[must_use]
    pub fn of<'a>(self, text: &'a [u8], own: &'a [u8]) -> &'a [u8] {
        &(if self.is_own { own } else { text })[self.start as usize..self.end as usize]
    }
}

/// A value of one column.
#[derive(Debug, Clone, Copy)]
pub enum Value {
    /// Not there.
    Absent,
    /// Text.
    Text(Span),
    /// JSON text of messages.
    Messages(Span),
    /// A whole number, picodollars or microseconds.
    Int(i64),
    /// A double.
    Float(f64),
    /// True or false.
    Flag(bool),
    /// A range of `Row::texts`.
    Texts(u32, u32),
    /// A range of `Row::pairs`.
    Labels(u32, u32),
}

/// What kind of event it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventType {
    /// A whole call.
    Call,
    /// A part of one: place in `Contract::part_types`.
    Part(usize),
    /// A judgement.
    Evaluation,
}

/// The event that is being read.
#[derive(Debug)]
pub struct Row {
    values: Vec<Value>,
    /// Columns with a value, in the order of the event; may hold some whose value was taken back.
    touched: Vec<u8>,
    seen: u128,
    own: Vec<u8>,
    texts: Vec<Span>,
    pairs: Vec<(Span, Option<Span>)>,
    unknown: Vec<UnknownName>,
    nodes_seen: u32,
    /// Kind of the event.
    pub event_type: EventType,
    /// The reference path has to judge it.
    is_odd: bool,
    /// Where in each object the next name is expected, by the place of the one before.
    next: Vec<Vec<u8>>,
}

#[derive(Debug, Clone, Copy)]
struct UnknownName {
    node: u8,
    is_null: bool,
    name: Span,
}

impl Row {
    /// An empty row.
    #[must_use]
    pub fn new(columns: usize, nodes: &[Node]) -> Self {
        Row {
            values: vec![Value::Absent; columns],
            touched: Vec::with_capacity(columns),
            seen: 0,
            own: Vec::new(),
            texts: Vec::new(),
            pairs: Vec::new(),
            unknown: Vec::new(),
            nodes_seen: 0,
            event_type: EventType::Call,
            is_odd: false,
            next: nodes.iter().map(|node| (0..=node.len()).map(|place| place as u8).collect()).collect(),
        }
    }

    fn clear(&mut self) {
        for column in self.touched.drain(..) {
            self.values[column as usize] = Value::Absent;
        }
        self.seen = 0;
        self.own.clear();
        self.texts.clear();
        self.pairs.clear();
        self.unknown.clear();
        self.nodes_seen = 0;
        self.event_type = EventType::Call;
        self.is_odd = false;
    }

    /// The columns with a value, in no particular order.
    pub fn filled(&self) -> impl Iterator<Item = (usize, Value)> {
        self.touched
            .iter()
            .map(|column| (*column as usize, self.values[*column as usize]))
            .filter(|(_, value)| !matches!(value, Value::Absent))
    }

    /// A column's value.
    #[must_use]
    pub fn value(&self, column: usize) -> Value {
        self.values[column]
    }

    /// The bytes of a text; `text` is the record that was read.
    #[inline]
    #[must_use]
    pub fn bytes<'a>(&'a self, span: Span, text: &'a [u8]) -> &'a [u8] {
        span.of(text, &self.own)
    }

    /// Append what the values refer to, beside the record.
    pub fn copy_to(&self, own: &mut Vec<u8>, texts: &mut Vec<Span>, pairs: &mut Vec<(Span, Option<Span>)>) {
        own.extend_from_slice(&self.own);
        texts.extend_from_slice(&self.texts);
        pairs.extend_from_slice(&self.pairs);
    }

    /// Texts of a list.
    #[must_use]
    pub fn texts(&self, first: u32, last: u32) -> &[Span] {
        &self.texts[first as usize..last as usize]
    }

    /// Keys and texts of labels; None is a label that was taken back.
    #[must_use]
    pub fn pairs(&self, first: u32, last: u32) -> &[(Span, Option<Span>)] {
        &self.pairs[first as usize..last as usize]
    }

    /// Fields that the contract does not know and that are not null, each name of an object once.
    #[must_use]
    pub fn unknown_fields(&self, text: &[u8]) -> i32 {
        // Of a name that is given several times, the last one counts.
        let mut names: Vec<_> = self.unknown.iter().enumerate().collect();
        if names.len() > 1 {
            let key = |place: usize| (self.unknown[place].node, self.bytes(self.unknown[place].name, text));
            if names.len() <= FEW_UNKNOWN {
                let is_last = |place: usize| (place + 1..self.unknown.len()).all(|later| key(later) != key(place));
                names.retain(|(place, _)| is_last(*place));
            } else {
                names.sort_by(|a, b| key(a.0).cmp(&key(b.0)).then(b.0.cmp(&a.0)));
                names.dedup_by(|later, earlier| key(later.0) == key(earlier.0));
            }
        }
        names.iter().filter(|(_, unknown)| !unknown.is_null).count() as i32
    }
}

/// Reads events. Borrows what does not change while a batch is read.
pub struct Reader<'a> {
    /// The contract.
    pub contract: &'a Contract,
    /// Its objects.
    pub nodes: &'a [Node],
}

impl Reader<'_> {
    /// Read the object at the cursor, which lies in `depth` containers; return whether the event is accepted as it stands.
    ///
    /// # Errors
    /// It is not JSON.
    pub fn event(&self, cursor: &mut Cursor, row: &mut Row, depth: u32) -> Scanned<bool> {
        row.clear();
        self.object(cursor, row, 0, depth)?;
        Ok(!row.is_odd && self.is_whole(row, cursor.text))
    }

    fn object(&self, cursor: &mut Cursor, row: &mut Row, node: usize, depth: u32) -> Scanned<()> {
        let names = &self.nodes[node];
        let mut before = names.len();
        let mut more = cursor.opens(b'{', b'}')?;
        while more {
            let expected = row.next[node][before] as usize;
            if names.take_expected(expected, cursor) {
                before = expected;
            } else {
                let name = cursor.string()?;
                let span = row.span(name, *cursor);
                let Some(place) = names.find(row.bytes(span, cursor.text)) else {
                    cursor.colon()?;
                    let is_null = cursor.peek() == b'n';
                    row.skip(cursor, depth, self)?;
                    row.unknown.push(UnknownName { node: node as u8, is_null, name: span });
                    more = cursor.has_more(b'}')?;
                    continue;
                };
                row.next[node][before] = place as u8;
                before = place;
            }
            cursor.colon()?;
            match names.field(before) {
                Field::Column(column) => self.column(cursor, row, column, depth)?,
                Field::Node(inner) => self.inner(cursor, row, inner, depth)?,
                Field::EventType => self.event_type(cursor, row, depth)?,
                Field::SchemaVersion => {
                    if !cursor.take(b"null") {
                        let start = cursor.at;
                        row.skip(cursor, depth, self)?;
                        row.is_odd |= &cursor.text[start..cursor.at] != b"1";
                    }
                }
            }
            more = cursor.has_more(b'}')?;
        }
        Ok(())
    }

    /// An object of the contract in the event. Given twice, the second one counts as a whole.
    fn inner(&self, cursor: &mut Cursor, row: &mut Row, node: usize, depth: u32) -> Scanned<()> {
        if row.nodes_seen & (1 << node) != 0 {
            for column in &self.nodes[node].columns {
                row.values[*column] = Value::Absent;
            }
            row.unknown.retain(|unknown| unknown.node as usize != node);
        }
        row.nodes_seen |= 1 << node;
        match cursor.peek() {
            b'{' => self.object(cursor, row, node, depth + 1),
            b'n' => row.skip(cursor, depth, self),
            _ => row.odd(cursor, depth, self),
        }
    }

    fn event_type(&self, cursor: &mut Cursor, row: &mut Row, depth: u32) -> Scanned<()> {
        row.event_type = EventType::Call;
        if cursor.take(b"null") {
            return Ok(());
        }
        if cursor.peek() != b'"' {
            return row.odd(cursor, depth, self);
        }
        let token = cursor.string()?;
        let name = raw(cursor.text, &token);
        if name == b"evaluation" {
            row.event_type = EventType::Evaluation;
        } else if let Some(place) = self.contract.part_types.iter().position(|kind| kind.as_bytes() == name) {
            row.event_type = EventType::Part(place);
        } else if !(name == b"call" || name.is_empty()) {
            row.is_odd = true;
        }
        Ok(())
    }

    #[inline]
    fn column(&self, cursor: &mut Cursor, row: &mut Row, column: usize, depth: u32) -> Scanned<()> {
        let spec = &self.contract.columns[column];
        let first = cursor.peek();
        if first == b'n' {
            row.skip(cursor, depth, self)?;
            row.put(column, Value::Absent);
            return Ok(());
        }
        let value = match (spec.kind, first) {
            (Kind::Name | Kind::Text, b'"') => {
                let token = cursor.string()?;
                let span = row.span(token, *cursor);
                let text = row.bytes(span, cursor.text);
                if text.is_empty() || spec.default.as_bytes() == text {
                    Some(Value::Absent)
                } else if spec.choices.is_empty() {
                    is_within(text, spec.limit as usize).then_some(Value::Text(span))
                } else {
                    let is_choice = spec.choices.iter().any(|choice| choice.as_bytes() == text);
                    is_choice.then_some(Value::Text(span))
                }
            }
            (Kind::Content, b'"') => {
                let token = cursor.string()?;
                let span = row.span(token, *cursor);
                Some(if span.start == span.end { Value::Absent } else { Value::Text(span) })
            }
            (Kind::Content, b'[') => {
                let start = row.own.len();
                let messages = content::messages(cursor, depth + 1, self.contract.limits.depth, &mut row.own)?;
                let span = Span { start: start as u32, end: row.own.len() as u32, is_own: true };
                match messages {
                    content::Messages::None => Some(Value::Absent),
                    content::Messages::Plain => Some(Value::Messages(span)),
                    content::Messages::Odd => None,
                }
            }
            (Kind::Flag, b't' | b'f') => {
                let start = cursor.at;
                row.skip(cursor, depth, self)?;
                Some(Value::Flag(cursor.text[start] == b't'))
            }
            (Kind::Count, b'-' | b'0'..=b'9') => {
                let number = cursor.number()?;
                to_whole(number, cursor.text)
                    .filter(|value| (*value as f64) >= spec.minimum && (*value as f64) <= spec.limit)
                    .map(Value::Int)
            }
            (Kind::Float, b'-' | b'0'..=b'9') => {
                let number = cursor.number()?;
                let value = to_float(number, cursor.text);
                (value >= spec.minimum && value <= spec.limit && value.is_finite()).then_some(Value::Float(value))
            }
            (Kind::Money, b'-' | b'0'..=b'9') => {
                let number = cursor.number()?;
                to_money(number, cursor.text, spec.limit as i64).map(Value::Int)
            }
            (Kind::Money, b'"') => {
                let token = cursor.string()?;
                money_of_text(raw(cursor.text, &token), spec.limit as i64).map(Value::Int)
            }
            (Kind::Time, b'-' | b'0'..=b'9') => {
                let number = cursor.number()?;
                time::of_number(number, cursor.text).map(Value::Int)
            }
            (Kind::Time, b'"') => {
                let token = cursor.string()?;
                time::of_text(raw(cursor.text, &token)).map(Value::Int)
            }
            (Kind::Texts, b'[') => self.list(cursor, row, spec.limit as usize, depth)?,
            (Kind::Labels, b'{') => self.labels(cursor, row, spec.limit as usize, depth)?,
            _ => {
                row.skip(cursor, depth, self)?;
                None
            }
        };
        if let Some(value) = value {
            row.put(column, value);
        } else {
            row.is_odd = true;
        }
        Ok(())
    }

    fn list(&self, cursor: &mut Cursor, row: &mut Row, limit: usize, depth: u32) -> Scanned<Option<Value>> {
        let first = row.texts.len();
        let mut is_plain = true;
        let mut more = cursor.opens(b'[', b']')?;
        while more {
            if cursor.peek() == b'"' {
                let token = cursor.string()?;
                let span = row.span(token, *cursor);
                is_plain &= is_within(row.bytes(span, cursor.text), limit);
                row.texts.push(span);
            } else {
                row.skip(cursor, depth + 1, self)?;
                is_plain = false;
            }
            more = cursor.has_more(b']')?;
        }
        let count = row.texts.len() - first;
        if !is_plain || count > self.contract.limits.list {
            return Ok(None);
        }
        Ok(Some(if count == 0 { Value::Absent } else { Value::Texts(first as u32, row.texts.len() as u32) }))
    }

    fn labels(&self, cursor: &mut Cursor, row: &mut Row, limit: usize, depth: u32) -> Scanned<Option<Value>> {
        let first = row.pairs.len();
        let mut is_plain = true;
        let mut more = cursor.opens(b'{', b'}')?;
        while more {
            let token = cursor.string()?;
            let key = row.span(token, *cursor);
            cursor.colon()?;
            let text = match cursor.peek() {
                b'"' => {
                    let token = cursor.string()?;
                    Some(row.span(token, *cursor))
                }
                first => {
                    is_plain &= first == b'n';
                    row.skip(cursor, depth + 1, self)?;
                    None
                }
            };
            // Given twice, the last text counts, at the place of the first.
            let place = row.pairs[first..]
                .iter()
                .position(|(known, _)| row.bytes(*known, cursor.text) == row.bytes(key, cursor.text));
            match place {
                Some(place) => row.pairs[first + place].1 = text,
                None => row.pairs.push((key, text)),
            }
            if row.pairs.len() - first > MOST_LABEL_ENTRIES {
                is_plain = false;
                row.pairs.truncate(first);
            }
            more = cursor.has_more(b'}')?;
        }
        let mut count = 0;
        for (key, text) in &row.pairs[first..] {
            if let Some(text) = text {
                let key = row.bytes(*key, cursor.text);
                count += 1;
                is_plain &= !key.is_empty() && is_within(key, self.contract.limits.label_key);
                is_plain &= is_within(row.bytes(*text, cursor.text), limit);
            }
        }
        if !is_plain || count > self.contract.limits.labels {
            return Ok(None);
        }
        Ok(Some(if count == 0 { Value::Absent } else { Value::Labels(first as u32, row.pairs.len() as u32) }))
    }

    /// Whether nothing is missing and no two numbers contradict each other.
    fn is_whole(&self, row: &Row, text: &[u8]) -> bool {
        let contract = self.contract;
        let is_missing = |column: &usize| matches!(row.values[*column], Value::Absent);
        if contract.required.iter().any(is_missing) {
            return false;
        }
        if row.event_type != EventType::Call && contract.required_of_others.iter().any(is_missing) {
            return false;
        }
        if row.event_type == EventType::Evaluation {
            return !contract.judgements.iter().all(is_missing);
        }
        contract.containment.iter().all(|rule| {
            let Value::Int(whole) = row.values[rule.whole] else { return true };
            if let Some((column, word)) = &rule.unless {
                if let Value::Text(span) = row.values[*column] {
                    if row.bytes(span, text) == word.as_bytes() {
                        return true;
                    }
                }
            }
            let known = rule.parts.iter().map(|part| match row.values[*part] {
                Value::Int(value) => value,
                _ => 0,
            });
            known.sum::<i64>() <= whole
        })
    }
}

impl Row {
    #[inline]
    fn put(&mut self, column: usize, value: Value) {
        let bit = 1_u128 << column;
        if self.seen & bit == 0 {
            if matches!(value, Value::Absent) {
                return;
            }
            self.seen |= bit;
            self.touched.push(column as u8);
        }
        self.values[column] = value;
    }

    /// The value of a string token, decoded into the row's own buffer where it has escapes.
    #[inline]
    fn span(&mut self, token: RawText, cursor: Cursor) -> Span {
        if !token.is_escaped {
            return Span { start: token.start as u32, end: token.end as u32, is_own: false };
        }
        let start = self.own.len() as u32;
        cursor.unescape(token, &mut self.own, plain);
        Span { start, end: self.own.len() as u32, is_own: true }
    }

    /// Go over a value; too deep a one is for the reference.
    fn skip(&mut self, cursor: &mut Cursor, depth: u32, reader: &Reader) -> Scanned<()> {
        let inner = cursor.skip_value(depth)?;
        self.is_odd |= depth + inner > reader.contract.limits.depth;
        Ok(())
    }

    /// Go over a value that is not what the contract asks for.
    fn odd(&mut self, cursor: &mut Cursor, depth: u32, reader: &Reader) -> Scanned<()> {
        self.is_odd = true;
        self.skip(cursor, depth, reader)
    }
}
