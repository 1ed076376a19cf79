//! Parts and evaluations as Python sees them: their values are made when they are asked for, one event after the other. All at once
//! they would have left the processor's cache before they are used.

use std::sync::Arc;

use pyo3::exceptions::{PyKeyError, PyValueError};
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyList, PyString, PyType};

use crate::others::{OtherValue, Others};
use crate::python::Decoder;
use crate::row::EventType;

/// What a batch held of them, and the records that their texts lie in.
struct Found {
    others: Others,
    records: Vec<Option<PyBackedBytes>>,
    decoder: Py<Decoder>,
}

/// One of them; see `tokentide_native/__init__.pyi`.
#[pyclass(frozen, name = "Other")]
pub struct PyOther {
    found: Arc<Found>,
    place: usize,
    #[pyo3(get)]
    record: i32,
    #[pyo3(get)]
    item: i32,
    #[pyo3(get)]
    unknown_fields: i32,
    event_type: EventType,
}

/// The list of all that was found.
pub fn others_of<'py>(
    decoder: &Bound<'py, Decoder>,
    others: Others,
    records: Vec<Option<PyBackedBytes>>,
) -> PyResult<Bound<'py, PyList>> {
    let list = PyList::empty(decoder.py());
    if others.is_empty() {
        return Ok(list);
    }
    let found = Arc::new(Found { others, records, decoder: decoder.clone().unbind() });
    for (place, other) in found.others.iter().enumerate() {
        list.append(PyOther {
            found: Arc::clone(&found),
            place,
            record: other.record,
            item: other.item,
            unknown_fields: other.unknown_fields,
            event_type: other.event_type,
        })?;
    }
    Ok(list)
}

#[pymethods]
impl PyOther {
    #[getter]
    fn kind(&self) -> &str {
        match self.event_type {
            EventType::Part(place) => &self.found.decoder.get().contract.part_types[place],
            _ => "evaluation",
        }
    }

    #[getter]
    fn event_id(&self) -> PyResult<&str> {
        match self.of_column("event_id")? {
            OtherValue::Text(text) => str_of(text),
            _ => Err(PyValueError::new_err("event_id is no text")),
        }
    }

    #[getter]
    fn timestamp_us(&self) -> PyResult<i64> {
        match self.of_column("timestamp")? {
            OtherValue::Int(value) => Ok(value),
            _ => Err(PyValueError::new_err("timestamp is no time")),
        }
    }

    #[getter]
    fn values<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let names = &self.found.decoder.get().names;
        let values = PyDict::new(py);
        for (column, value) in self.all() {
            put(&values, names[column].bind(py), value)?;
        }
        Ok(values)
    }
}

impl PyOther {
    fn all(&self) -> impl Iterator<Item = (usize, OtherValue<'_>)> {
        let text = self.found.records[self.record as usize].as_deref().unwrap_or_default();
        self.found.others.values(self.place, &self.found.decoder.get().contract, text)
    }

    fn of_column(&self, name: &'static str) -> PyResult<OtherValue<'_>> {
        let wanted = self.found.decoder.get().places.get(name);
        let value = self.all().find(|(column, _)| Some(column) == wanted);
        Ok(value.ok_or_else(|| PyKeyError::new_err(name))?.1)
    }
}

fn put(values: &Bound<'_, PyDict>, name: &Bound<'_, PyString>, value: OtherValue) -> PyResult<()> {
    let py = values.py();
    match value {
        OtherValue::Text(text) => values.set_item(name, str_of(text)?),
        OtherValue::Messages(text) => {
            values.set_item(format!("{name}_is_messages"), true)?;
            values.set_item(name, str_of(text)?)
        }
        OtherValue::Int(value) => values.set_item(name, value),
        OtherValue::Money(picodollars) => values.set_item(name, decimal(py, picodollars)?),
        OtherValue::Float(value) => values.set_item(name, value),
        OtherValue::Flag(value) => values.set_item(name, value),
        OtherValue::Texts(texts) => values.set_item(name, texts.into_iter().map(str_of).collect::<PyResult<Vec<_>>>()?),
        OtherValue::Labels(pairs) => {
            let labels = PyDict::new(py);
            for (key, text) in pairs {
                labels.set_item(str_of(key)?, str_of(text)?)?;
            }
            values.set_item(name, labels)
        }
    }
}

/// Text of a record, which has been checked to be UTF-8.
fn str_of(text: &[u8]) -> PyResult<&str> {
    std::str::from_utf8(text).map_err(|_| PyValueError::new_err("not UTF-8"))
}

fn decimal(py: Python<'_>, picodollars: i64) -> PyResult<Bound<'_, PyAny>> {
    static DECIMAL: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    let text = format!("{}.{:012}", picodollars / 1_000_000_000_000, picodollars % 1_000_000_000_000);
    DECIMAL.import(py, "decimal", "Decimal")?.call1((text,))
}
