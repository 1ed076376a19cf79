//! Columns that grow row by row, and the Arrow buffers that they become.

use std::hash::{BuildHasher, Hasher, RandomState};

/// A variable number of bytes for each row: Arrow's `string` and, of offsets, `list`.
#[derive(Debug)]
pub struct Texts {
    offsets: Vec<i32>,
    bytes: Vec<u8>,
}

impl Default for Texts {
    fn default() -> Self {
        Texts { offsets: vec![0], bytes: Vec::new() }
    }
}

impl Texts {
    fn len(&self) -> usize {
        self.offsets.len() - 1
    }

    fn push(&mut self, text: &[u8]) {
        self.bytes.extend_from_slice(text);
        self.offsets.push(self.bytes.len() as i32);
    }

    fn get(&self, row: usize) -> &[u8] {
        &self.bytes[self.offsets[row] as usize..self.offsets[row + 1] as usize]
    }

    fn pad(&mut self, rows: usize) {
        let end = self.bytes.len() as i32;
        self.offsets.resize(rows + 1, end);
    }

    fn truncate(&mut self, rows: usize) {
        self.offsets.truncate(rows + 1);
        self.bytes.truncate(self.offsets[self.offsets.len() - 1] as usize);
    }
}

/// Distinct texts and which of them each row has.
#[derive(Debug)]
pub struct Names {
    codes: Vec<i32>,
    texts: Texts,
    /// Open addressing: a code plus one, 0 is free.
    table: Vec<u32>,
    last: usize,
    keys: (u64, u64),
}

const FIRST_TABLE: usize = 256;

impl Names {
    fn new() -> Self {
        // Drawn anew, so that nobody can choose names that fall on one place.
        let state = RandomState::new();
        let key = |number: u64| {
            let mut hasher = state.build_hasher();
            hasher.write_u64(number);
            hasher.finish() | 1
        };
        Names {
            codes: Vec::new(),
            texts: Texts::default(),
            table: vec![0; FIRST_TABLE],
            last: 0,
            keys: (key(0), key(1)),
        }
    }

    fn push(&mut self, text: &[u8]) {
        if self.texts.len() == 0 || self.texts.get(self.last) != text {
            self.last = self.code_of(text);
        }
        self.codes.push(self.last as i32);
    }

    fn code_of(&mut self, text: &[u8]) -> usize {
        let mut place = self.place_of(text);
        while self.table[place] != 0 {
            let code = self.table[place] as usize - 1;
            if self.texts.get(code) == text {
                return code;
            }
            place = (place + 1) % self.table.len();
        }
        let code = self.texts.len();
        self.texts.push(text);
        self.table[place] = code as u32 + 1;
        if self.texts.len() * 2 > self.table.len() {
            self.rebuild(self.table.len() * 4);
        }
        code
    }

    fn rebuild(&mut self, size: usize) {
        self.table = vec![0; size];
        for code in 0..self.texts.len() {
            let mut place = self.place_of(self.texts.get(code));
            while self.table[place] != 0 {
                place = (place + 1) % size;
            }
            self.table[place] = code as u32 + 1;
        }
    }

    fn place_of(&self, text: &[u8]) -> usize {
        let mut hash = self.keys.0 ^ text.len() as u64;
        let mut chunks = text.chunks_exact(8);
        for chunk in &mut chunks {
            hash = folded(hash ^ u64::from_le_bytes(chunk.try_into().unwrap_or([0; 8])), self.keys.1);
        }
        let mut rest = [0; 8];
        rest[..chunks.remainder().len()].copy_from_slice(chunks.remainder());
        hash = folded(hash ^ u64::from_le_bytes(rest), self.keys.1);
        hash as usize % self.table.len()
    }

    /// Forget texts that no row has any more, after rows were taken back.
    fn prune(&mut self, is_null: &[bool]) {
        let mut new_code = vec![-1_i32; self.texts.len()];
        let mut kept = Texts::default();
        for (code, _) in self.codes.iter_mut().zip(is_null).filter(|(_, is_null)| !**is_null) {
            let old = *code as usize;
            if new_code[old] < 0 {
                new_code[old] = kept.len() as i32;
                kept.push(self.texts.get(old));
            }
            *code = new_code[old];
        }
        for (code, _) in self.codes.iter_mut().zip(is_null).filter(|(_, is_null)| **is_null) {
            *code = 0;
        }
        self.texts = kept;
    }
}

/// The high and the low half of a product: every bit of it depends on every bit of both.
fn folded(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    (product >> 64) as u64 ^ product as u64
}

#[derive(Debug)]
enum Data {
    Ints(Vec<i64>),
    Floats(Vec<f64>),
    Money(Vec<i64>),
    Flags(Vec<bool>),
    Texts(Texts),
    Names(Names),
    Lists { ends: Vec<i32>, items: Texts },
    Maps { ends: Vec<i32>, keys: Texts, items: Texts },
}

/// What the data of a column is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// 64-bit integers.
    Ints,
    /// Doubles.
    Floats,
    /// Integers that become 128 bits wide.
    Money,
    /// Bits.
    Flags,
    /// Texts.
    Texts,
    /// Distinct texts and codes.
    Names,
    /// Lists of texts.
    Lists,
    /// Texts by texts.
    Maps,
}

/// One column.
#[derive(Debug)]
pub struct Column {
    data: Data,
    is_null: Vec<bool>,
    nulls: usize,
}

/// Arrow's buffers of a column, in Arrow's order; empty where there are no nulls.
#[derive(Debug, Default)]
pub struct Buffers {
    /// Rows without a value.
    pub nulls: usize,
    /// Bits of the rows with a value; empty where all have one.
    pub validity: Vec<u8>,
    /// The column's own buffers.
    pub own: Vec<Vec<u8>>,
    /// Offsets and bytes of each text array inside: the dictionary, the items, or the keys and the items.
    pub inner: Vec<(usize, Vec<u8>, Vec<u8>)>,
}

impl Column {
    /// An empty column.
    #[must_use]
    pub fn new(shape: Shape) -> Self {
        let data = match shape {
            Shape::Ints => Data::Ints(Vec::new()),
            Shape::Floats => Data::Floats(Vec::new()),
            Shape::Money => Data::Money(Vec::new()),
            Shape::Flags => Data::Flags(Vec::new()),
            Shape::Texts => Data::Texts(Texts::default()),
            Shape::Names => Data::Names(Names::new()),
            Shape::Lists => Data::Lists { ends: Vec::new(), items: Texts::default() },
            Shape::Maps => Data::Maps { ends: Vec::new(), keys: Texts::default(), items: Texts::default() },
        };
        Column { data, is_null: Vec::new(), nulls: 0 }
    }

    /// Whether no row has a value.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.nulls == self.is_null.len()
    }

    /// Let the next value be that of this row; rows in between have none.
    #[inline]
    fn value_of_row(&mut self, row: usize) {
        if self.is_null.len() < row {
            self.pad(row);
        }
        self.is_null.push(false);
    }

    /// Fill up with rows without a value.
    pub fn pad(&mut self, rows: usize) {
        self.nulls += rows - self.is_null.len();
        self.is_null.resize(rows, true);
        match &mut self.data {
            Data::Ints(values) | Data::Money(values) => values.resize(rows, 0),
            Data::Floats(values) => values.resize(rows, 0.0),
            Data::Flags(values) => values.resize(rows, false),
            Data::Texts(texts) => texts.pad(rows),
            Data::Names(names) => names.codes.resize(rows, 0),
            Data::Lists { ends, items } => ends.resize(rows, items.len() as i32),
            Data::Maps { ends, keys, .. } => ends.resize(rows, keys.len() as i32),
        }
    }

    /// Take rows back; `rows` are left.
    pub fn truncate(&mut self, rows: usize) {
        if rows >= self.is_null.len() {
            return;
        }
        self.nulls -= self.is_null[rows..].iter().filter(|is_null| **is_null).count();
        self.is_null.truncate(rows);
        let end = |ends: &Vec<i32>| ends.last().map_or(0, |end| *end as usize);
        match &mut self.data {
            Data::Ints(values) | Data::Money(values) => values.truncate(rows),
            Data::Floats(values) => values.truncate(rows),
            Data::Flags(values) => values.truncate(rows),
            Data::Texts(texts) => texts.truncate(rows),
            Data::Names(names) => names.codes.truncate(rows),
            Data::Lists { ends, items } => {
                ends.truncate(rows);
                items.truncate(end(ends));
            }
            Data::Maps { ends, keys, items } => {
                ends.truncate(rows);
                keys.truncate(end(ends));
                items.truncate(end(ends));
            }
        }
    }

    /// Set a whole number of a row.
    #[inline]
    pub fn int(&mut self, row: usize, value: i64) {
        self.value_of_row(row);
        if let Data::Ints(values) | Data::Money(values) = &mut self.data {
            values.push(value);
        }
    }

    /// Set a double.
    #[inline]
    pub fn float(&mut self, row: usize, value: f64) {
        self.value_of_row(row);
        if let Data::Floats(values) = &mut self.data {
            values.push(value);
        }
    }

    /// Set a flag.
    pub fn flag(&mut self, row: usize, value: bool) {
        self.value_of_row(row);
        if let Data::Flags(values) = &mut self.data {
            values.push(value);
        }
    }

    /// Set a text.
    #[inline]
    pub fn text(&mut self, row: usize, text: &[u8]) {
        self.value_of_row(row);
        match &mut self.data {
            Data::Texts(texts) => texts.push(text),
            Data::Names(names) => names.push(text),
            _ => {}
        }
    }

    /// Set a list.
    pub fn list<'a>(&mut self, row: usize, texts: impl Iterator<Item = &'a [u8]>) {
        self.value_of_row(row);
        if let Data::Lists { ends, items } = &mut self.data {
            texts.for_each(|text| items.push(text));
            ends.push(items.len() as i32);
        }
    }

    /// Set labels.
    pub fn map<'a>(&mut self, row: usize, pairs: impl Iterator<Item = (&'a [u8], &'a [u8])>) {
        self.value_of_row(row);
        if let Data::Maps { ends, keys, items } = &mut self.data {
            for (key, item) in pairs {
                keys.push(key);
                items.push(item);
            }
            ends.push(keys.len() as i32);
        }
    }

    /// Forget what only rows that were taken back have left.
    pub fn prune(&mut self) {
        if let Data::Names(names) = &mut self.data {
            names.prune(&self.is_null);
        }
    }

    /// The buffers. The column must have all rows.
    #[must_use]
    pub fn buffers(self) -> Buffers {
        let rows = self.is_null.len();
        let mut buffers = Buffers { nulls: self.nulls, ..Buffers::default() };
        if self.nulls > 0 {
            buffers.validity = bits(rows, |row| !self.is_null[row]);
        }
        match self.data {
            Data::Ints(values) => buffers.own.push(little_endian(&values, i64::to_le_bytes)),
            Data::Floats(values) => buffers.own.push(little_endian(&values, f64::to_le_bytes)),
            Data::Money(values) => buffers.own.push(little_endian(&values, |value| i128::from(value).to_le_bytes())),
            Data::Flags(values) => buffers.own.push(bits(rows, |row| values[row])),
            Data::Texts(texts) => {
                buffers.own.push(little_endian(&texts.offsets, i32::to_le_bytes));
                buffers.own.push(texts.bytes);
            }
            Data::Names(names) => {
                buffers.own.push(little_endian(&names.codes, i32::to_le_bytes));
                buffers.inner.push(inner(names.texts));
            }
            Data::Lists { ends, items } => {
                buffers.own.push(offsets_of(&ends));
                buffers.inner.push(inner(items));
            }
            Data::Maps { ends, keys, items } => {
                buffers.own.push(offsets_of(&ends));
                buffers.inner.push(inner(keys));
                buffers.inner.push(inner(items));
            }
        }
        buffers
    }
}

fn inner(texts: Texts) -> (usize, Vec<u8>, Vec<u8>) {
    (texts.len(), little_endian(&texts.offsets, i32::to_le_bytes), texts.bytes)
}

fn offsets_of(ends: &[i32]) -> Vec<u8> {
    let mut offsets = vec![0; 4];
    offsets.extend(ends.iter().flat_map(|end| end.to_le_bytes()));
    offsets
}

fn little_endian<T: Copy, const N: usize>(values: &[T], bytes: impl Fn(T) -> [u8; N]) -> Vec<u8> {
    let mut out = Vec::with_capacity(values.len() * N);
    for value in values {
        out.extend_from_slice(&bytes(*value));
    }
    out
}

fn bits(rows: usize, is_set: impl Fn(usize) -> bool) -> Vec<u8> {
    let mut out = vec![0_u8; rows.div_ceil(8)];
    for row in 0..rows {
        out[row / 8] |= u8::from(is_set(row)) << (row % 8);
    }
    out
}
