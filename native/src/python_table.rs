//! Tables of events by flat values, as joined calls are: they come row by row, and are not kept.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyString};

use crate::batch;
use crate::column::Column;
use crate::number::money_of_text;
use crate::python::{Decoder, listed};
use crate::spec::Kind;

/// See `tokentide_native/__init__.pyi`.
#[pyclass]
pub struct TableBuilder {
    decoder: Py<Decoder>,
    columns: Vec<Column>,
    rows: usize,
    /// Names of the row before, and their columns: events of one kind have their names in one order.
    known: Vec<(Py<PyAny>, Option<usize>)>,
}

impl TableBuilder {
    /// An empty one, with the columns of this decoder's contract.
    pub fn new(decoder: &Bound<'_, Decoder>) -> Self {
        let columns = batch::columns_of(&decoder.get().contract);
        TableBuilder { decoder: decoder.clone().unbind(), columns, rows: 0, known: Vec::new() }
    }
}

#[pymethods]
impl TableBuilder {
    #[allow(clippy::needless_pass_by_value)]
    fn add(&mut self, rows: Vec<Bound<'_, PyDict>>) -> PyResult<()> {
        let before = self.rows;
        let added = rows.iter().try_for_each(|row| self.add_row(row));
        if added.is_err() {
            self.columns.iter_mut().for_each(|column| column.truncate(before));
            self.rows = before;
        }
        added
    }

    /// Take what was added out of it.
    fn columns<'py>(&mut self, py: Python<'py>) -> PyResult<(Bound<'py, PyList>, usize)> {
        let columns = std::mem::replace(&mut self.columns, batch::columns_of(&self.decoder.get().contract));
        let rows = std::mem::take(&mut self.rows);
        let mut found = Vec::new();
        for (place, mut column) in columns.into_iter().enumerate() {
            if !column.is_empty() {
                column.pad(rows);
                found.push((place, column.buffers()));
            }
        }
        Ok((listed(py, &found)?, rows))
    }
}

impl TableBuilder {
    fn add_row(&mut self, row: &Bound<'_, PyDict>) -> PyResult<()> {
        let decoder = self.decoder.get();
        for (nth, (name, value)) in row.iter().enumerate() {
            if self.known.get(nth).is_none_or(|(known, _)| !known.is(&name)) {
                let place = decoder.places.get(name.cast::<PyString>()?.to_str()?).copied();
                self.known.truncate(nth);
                self.known.push((name.unbind(), place));
            }
            if let Some(place) = self.known[nth].1 {
                let kind = decoder.contract.columns.get(place).map_or(Kind::Flag, |spec| spec.kind);
                set(&mut self.columns[place], self.rows, kind, &value)?;
            }
        }
        self.rows += 1;
        Ok(())
    }
}

/// Set a row's value of a column.
fn set(column: &mut Column, row: usize, kind: Kind, value: &Bound<'_, PyAny>) -> PyResult<()> {
    match kind {
        Kind::Name | Kind::Text | Kind::Content => column.text(row, value.cast::<PyString>()?.to_str()?.as_bytes()),
        Kind::Count | Kind::Time => column.int(row, value.extract()?),
        Kind::Float => column.float(row, value.extract()?),
        Kind::Flag => column.flag(row, value.extract()?),
        Kind::Money => {
            let text = value.str()?;
            let text = text.to_str()?;
            // Python's zero may have a sign.
            let amount = money_of_text(text.trim_start_matches('-').as_bytes(), i64::MAX / 1_000_000_000_000)
                .filter(|amount| *amount == 0 || !text.starts_with('-'));
            column.int(row, amount.ok_or_else(|| PyValueError::new_err("no amount of money"))?);
        }
        Kind::Texts => {
            let texts: Vec<String> = value.extract()?;
            column.list(row, texts.iter().map(String::as_bytes));
        }
        Kind::Labels => {
            let mut pairs = Vec::new();
            for (key, text) in value.cast::<PyDict>()?.iter() {
                pairs.push((key.extract::<String>()?, text.extract::<String>()?));
            }
            column.map(row, pairs.iter().map(|(key, text)| (key.as_bytes(), text.as_bytes())));
        }
    }
    Ok(())
}
