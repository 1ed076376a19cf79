//! Records to rows: which bytes of a record are one event, and where those go that are not calls or not accepted.

use crate::column::{Buffers, Column, Shape};
use crate::others::Others;
use crate::row::{EventType, Reader, Row, Value};
use crate::scan::{Broken, Cursor, Scanned};
use crate::spec::{ColumnSpec, Contract, Kind, Node};

/// Bytes of one batch: offsets of 32 bits reach them with room for what is written longer than it came.
pub const MAX_BATCH_BYTES: usize = 1 << 28;

/// An item that the reference has to judge, alone: bytes `start` to `end` of its record.
#[derive(Debug, Clone, Copy)]
pub struct OddItem {
    /// Its record.
    pub record: i32,
    /// Its place in the record.
    pub item: i32,
    /// Its first byte.
    pub start: usize,
    /// Behind its last byte.
    pub end: usize,
}

/// What a batch of records held.
#[derive(Debug, Default)]
pub struct Decoded {
    /// Buffers of the columns with any value; the place is that in the contract, and behind them those that tell messages
    /// from text, in the order of the content columns.
    pub columns: Vec<(usize, Buffers)>,
    /// Per row: its record.
    pub record: Vec<i32>,
    /// Per row: its place in the record.
    pub item: Vec<i32>,
    /// Per row: fields that the contract does not know.
    pub unknown_fields: Vec<i32>,
    /// Parts and evaluations.
    pub others: Others,
    /// Items for the reference.
    pub odd_items: Vec<OddItem>,
    /// Records for the reference, whole.
    pub odd_records: Vec<i32>,
}

struct Batch<'a> {
    reader: Reader<'a>,
    row: Row,
    columns: Vec<Column>,
    is_messages: Vec<Option<usize>>,
    is_to_be_pruned: bool,
    out: Decoded,
}

/// Decode the values of records; None is a record without a value.
#[must_use]
pub fn decode(contract: &Contract, nodes: &[Node], values: &[Option<&[u8]>]) -> Decoded {
    let mut batch = Batch::new(contract, nodes);
    for (record, value) in values.iter().enumerate() {
        let before = batch.mark();
        let read = value.map_or(Err(Broken), |text| batch.record(record as i32, text));
        if read.is_err() {
            batch.take_back(before);
            batch.out.odd_records.push(record as i32);
        }
    }
    batch.finish()
}

impl<'a> Batch<'a> {
    fn new(contract: &'a Contract, nodes: &'a [Node]) -> Self {
        let columns = columns_of(contract);
        let is_messages = flags_of(contract);
        Batch {
            reader: Reader { contract, nodes },
            row: Row::new(contract.columns.len(), nodes),
            columns,
            is_messages,
            is_to_be_pruned: false,
            out: Decoded::default(),
        }
    }

    fn mark(&self) -> (usize, usize, usize) {
        (self.out.record.len(), self.out.others.len(), self.out.odd_items.len())
    }

    /// Forget what was read of a record that turned out to be none.
    fn take_back(&mut self, (rows, others, odd_items): (usize, usize, usize)) {
        if rows < self.out.record.len() {
            self.is_to_be_pruned = true;
            self.columns.iter_mut().for_each(|column| column.truncate(rows));
            self.out.record.truncate(rows);
            self.out.item.truncate(rows);
            self.out.unknown_fields.truncate(rows);
        }
        self.out.others.truncate(others);
        self.out.odd_items.truncate(odd_items);
    }

    /// Read a record: an object, an array of items, or objects one to a line.
    ///
    /// # Errors
    /// The reference has to read it.
    fn record(&mut self, record: i32, text: &[u8]) -> Scanned<()> {
        if text.len() > self.reader.contract.limits.record_bytes || std::str::from_utf8(text).is_err() {
            return Err(Broken);
        }
        let mut cursor = Cursor::new(text);
        cursor.skip_white();
        if cursor.peek() == b'[' {
            return self.array(record, cursor);
        }
        let start = cursor.at;
        self.item(record, 0, &mut cursor)?;
        let end = cursor.at;
        cursor.skip_white();
        if cursor.is_at_end() {
            self.widen(record, 0, text.len());
            return Ok(());
        }
        // More than one value. Only where the first one is an object and fills its line are the lines events.
        let is_line = text[start] == b'{' && !text[start..end].contains(&b'\n');
        if !is_line || !text[end..cursor.at].contains(&b'\n') {
            return Err(Broken);
        }
        let first = |byte: &u8| *byte == b'\n';
        let line_start = text[..start].iter().rposition(first).map_or(0, |place| place + 1);
        let line_end = text[end..].iter().position(first).map_or(text.len(), |length| end + length);
        self.widen(record, line_start, line_end);
        self.lines(record, cursor)
    }

    /// If the record's only item so far is odd, the white space around it belongs to it: it is not one of an array.
    fn widen(&mut self, record: i32, start: usize, end: usize) {
        if let Some(odd) = self.out.odd_items.last_mut().filter(|odd| odd.record == record) {
            (odd.start, odd.end) = (start, end);
        }
    }

    fn array(&mut self, record: i32, mut cursor: Cursor) -> Scanned<()> {
        let mut more = cursor.opens(b'[', b']')?;
        let mut item = 0;
        while more {
            self.item(record, item, &mut cursor)?;
            item += 1;
            more = cursor.has_more(b']')?;
        }
        cursor.skip_white();
        if item == 0 || item as usize > self.reader.contract.limits.items || !cursor.is_at_end() {
            return Err(Broken);
        }
        Ok(())
    }

    /// Objects one to a line, from the second on. A line that is none goes to the reference alone.
    fn lines(&mut self, record: i32, cursor: Cursor) -> Scanned<()> {
        let text = cursor.text;
        // The cursor may stand behind white space at the beginning of its line.
        let mut start = text[..cursor.at].iter().rposition(|byte| *byte == b'\n').map_or(0, |place| place + 1);
        let mut item = 0;
        while start <= text.len() {
            let end = text[start..].iter().position(|byte| *byte == b'\n').map_or(text.len(), |length| start + length);
            let line = &text[start..end];
            match line.iter().find(|byte| !matches!(byte, b' ' | b'\t' | b'\r')) {
                None => {}
                // What Python takes for white space beside that decides which lines count.
                Some(0x0B | 0x0C | 0x1C..=0x1F | 0x80..) => return Err(Broken),
                Some(_) => {
                    item += 1;
                    self.line(record, item, text, start, end);
                }
            }
            start = end + 1;
        }
        // One line alone would not be lines.
        if item == 0 || item as usize >= self.reader.contract.limits.items {
            return Err(Broken);
        }
        Ok(())
    }

    fn line(&mut self, record: i32, item: i32, text: &[u8], start: usize, end: usize) {
        let mut cursor = Cursor { text: &text[..end], at: start };
        cursor.skip_white();
        let read = if cursor.peek() == b'{' { self.event(&mut cursor) } else { Err(Broken) };
        cursor.skip_white();
        match read {
            Ok(true) if cursor.is_at_end() => self.accept(record, item, text),
            _ => self.out.odd_items.push(OddItem { record, item, start, end }),
        }
    }

    /// Read an item of an array, or a record that is an object.
    #[inline]
    fn item(&mut self, record: i32, item: i32, cursor: &mut Cursor) -> Scanned<()> {
        let start = cursor.at;
        let is_accepted = if cursor.peek() == b'{' {
            self.event(cursor)?
        } else {
            cursor.skip_value(1)?;
            false
        };
        if is_accepted {
            self.accept(record, item, cursor.text);
        } else {
            self.out.odd_items.push(OddItem { record, item, start, end: cursor.at });
        }
        Ok(())
    }

    #[inline]
    fn event(&mut self, cursor: &mut Cursor) -> Scanned<bool> {
        self.reader.event(cursor, &mut self.row, 1)
    }

    fn accept(&mut self, record: i32, item: i32, text: &[u8]) {
        let unknown_fields = self.row.unknown_fields(text);
        if self.row.event_type != EventType::Call {
            self.out.others.push(&self.row, self.reader.contract, record, item, unknown_fields);
            return;
        }
        let row = &self.row;
        let at = self.out.record.len();
        for (place, value) in row.filled() {
            let column = &mut self.columns[place];
            match value {
                Value::Absent => {}
                Value::Text(span) => column.text(at, row.bytes(span, text)),
                Value::Messages(span) => {
                    column.text(at, row.bytes(span, text));
                    if let Some(flag) = self.is_messages[place] {
                        self.columns[flag].flag(at, true);
                    }
                }
                Value::Int(value) => column.int(at, value),
                Value::Float(value) => column.float(at, value),
                Value::Flag(value) => column.flag(at, value),
                Value::Texts(first, last) => {
                    column.list(at, row.texts(first, last).iter().map(|span| row.bytes(*span, text)));
                }
                Value::Labels(first, last) => {
                    let kept = row.pairs(first, last).iter().filter_map(|(key, text)| Some((*key, (*text)?)));
                    column.map(at, kept.map(|(key, item)| (row.bytes(key, text), row.bytes(item, text))));
                }
            }
        }
        self.out.record.push(record);
        self.out.item.push(item);
        self.out.unknown_fields.push(unknown_fields);
    }

    fn finish(mut self) -> Decoded {
        let rows = self.out.record.len();
        for (place, mut column) in self.columns.into_iter().enumerate() {
            if column.is_empty() {
                continue;
            }
            column.pad(rows);
            if self.is_to_be_pruned {
                column.prune();
            }
            self.out.columns.push((place, column.buffers()));
        }
        self.out
    }
}

/// Empty columns of a contract, and behind them those that tell messages from text.
#[must_use]
pub fn columns_of(contract: &Contract) -> Vec<Column> {
    let flags = contract.columns.iter().filter(|spec| spec.kind == Kind::Content).map(|_| Shape::Flags);
    contract.columns.iter().map(|spec| shape_of(spec.kind)).chain(flags).map(Column::new).collect()
}

/// Of each content column the place of the one that tells messages from text.
#[must_use]
pub fn flags_of(contract: &Contract) -> Vec<Option<usize>> {
    let mut next = contract.columns.len();
    let place = |spec: &ColumnSpec| {
        (spec.kind == Kind::Content).then(|| {
            next += 1;
            next - 1
        })
    };
    contract.columns.iter().map(place).collect()
}

fn shape_of(kind: Kind) -> Shape {
    match kind {
        Kind::Name => Shape::Names,
        Kind::Text | Kind::Content => Shape::Texts,
        Kind::Count | Kind::Time => Shape::Ints,
        Kind::Float => Shape::Floats,
        Kind::Money => Shape::Money,
        Kind::Flag => Shape::Flags,
        Kind::Texts => Shape::Lists,
        Kind::Labels => Shape::Maps,
    }
}
