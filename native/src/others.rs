//! Parts of calls and evaluations: they go on as values by column, not to the columns of calls.

use crate::row::{EventType, Row, Span, Value};
use crate::spec::{Contract, Kind};

/// A part of a call, or an evaluation.
#[derive(Debug, Clone, Copy)]
pub struct Other {
    /// Its record.
    pub record: i32,
    /// Its place in the record.
    pub item: i32,
    /// What it is.
    pub event_type: EventType,
    /// Fields that the contract does not know.
    pub unknown_fields: i32,
    /// Where its own things begin.
    begin: Begin,
}

#[derive(Debug, Clone, Copy)]
struct Begin {
    values: usize,
    own: usize,
    texts: usize,
    pairs: usize,
}

/// One value of such an event, with texts where they lie.
#[derive(Debug)]
pub enum OtherValue<'a> {
    /// Text.
    Text(&'a [u8]),
    /// JSON text of messages.
    Messages(&'a [u8]),
    /// A whole number, or microseconds.
    Int(i64),
    /// Picodollars.
    Money(i64),
    /// A double.
    Float(f64),
    /// True or false.
    Flag(bool),
    /// A list.
    Texts(Vec<&'a [u8]>),
    /// Labels.
    Labels(Vec<(&'a [u8], &'a [u8])>),
}

/// All such events of a batch. Their texts stay in the records; what had to be unescaped is kept here.
#[derive(Debug, Default)]
pub struct Others {
    list: Vec<Other>,
    values: Vec<(u8, Value)>,
    own: Vec<u8>,
    texts: Vec<Span>,
    pairs: Vec<(Span, Option<Span>)>,
}

impl Others {
    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// One after the other.
    pub fn iter(&self) -> impl Iterator<Item = &Other> {
        self.list.iter()
    }

    /// Add the event that was read.
    pub fn push(&mut self, row: &Row, contract: &Contract, record: i32, item: i32, unknown_fields: i32) {
        let begin = self.end();
        let event_type = row.event_type;
        let is_kept = |place: usize| event_type != EventType::Evaluation || contract.columns[place].is_of_evaluations;
        self.values
            .extend(row.filled().filter(|(place, _)| is_kept(*place)).map(|(place, value)| (place as u8, value)));
        row.copy_to(&mut self.own, &mut self.texts, &mut self.pairs);
        self.list.push(Other { record, item, event_type, unknown_fields, begin });
    }

    /// Take back all but the first so many.
    pub fn truncate(&mut self, count: usize) {
        if let Some(first) = self.list.get(count) {
            let begin = first.begin;
            self.values.truncate(begin.values);
            self.own.truncate(begin.own);
            self.texts.truncate(begin.texts);
            self.pairs.truncate(begin.pairs);
            self.list.truncate(count);
        }
    }

    /// Columns and values of the event at a place; `text` is its record.
    pub fn values<'a>(
        &'a self,
        place: usize,
        contract: &'a Contract,
        text: &'a [u8],
    ) -> impl Iterator<Item = (usize, OtherValue<'a>)> {
        let begin = self.list[place].begin;
        let end = self.list.get(place + 1).map_or(self.values.len(), |next| next.begin.values);
        let bytes = move |span: Span| span.of(text, &self.own[begin.own..]);
        self.values[begin.values..end].iter().filter_map(move |(column, value)| {
            let column = *column as usize;
            let value = match *value {
                Value::Absent => return None,
                Value::Text(span) => OtherValue::Text(bytes(span)),
                Value::Messages(span) => OtherValue::Messages(bytes(span)),
                Value::Int(value) if contract.columns[column].kind == Kind::Money => OtherValue::Money(value),
                Value::Int(value) => OtherValue::Int(value),
                Value::Float(value) => OtherValue::Float(value),
                Value::Flag(value) => OtherValue::Flag(value),
                Value::Texts(first, last) => {
                    let spans = &self.texts[begin.texts..][first as usize..last as usize];
                    OtherValue::Texts(spans.iter().map(|span| bytes(*span)).collect())
                }
                Value::Labels(first, last) => {
                    let pairs = &self.pairs[begin.pairs..][first as usize..last as usize];
                    let kept = pairs.iter().filter_map(|(key, text)| Some((bytes(*key), bytes((*text)?))));
                    OtherValue::Labels(kept.collect())
                }
            };
            Some((column, value))
        })
    }

    fn end(&self) -> Begin {
        Begin { values: self.values.len(), own: self.own.len(), texts: self.texts.len(), pairs: self.pairs.len() }
    }
}
