//! The extension module: contract in, buffers out. The interpreter is not held while a batch is read.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use pyo3::create_exception;
use pyo3::exceptions::{PyException, PyValueError};
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBytes, PyDict, PyList, PyString, PyTuple, PyType};

use crate::batch::{self, MAX_BATCH_BYTES, OtherValue};
use crate::column::{Buffers, Column};
use crate::number::money_of_text;
use crate::row::EventType;
use crate::spec::{ColumnSpec, Containment, Contract, Kind, Limits, Node, nodes_of};

/// Raised with every change of what is handed over or returned.
const INTERFACE: u32 = 1;

create_exception!(
    tokentide_native,
    PanicError,
    PyException,
    "The decoder met a defect of its own. Nothing of the batch was decoded: give it to the reference path."
);

/// Decodes batches of records. Keeps nothing between them.
#[pyclass(frozen)]
struct Decoder {
    contract: Contract,
    nodes: Vec<Node>,
    names: Vec<Py<PyString>>,
    /// From a column's name to its place; those that tell messages from text stand behind the contract's.
    places: HashMap<String, usize>,
    panic_at: Option<Vec<u8>>,
}

#[pymethods]
impl Decoder {
    /// Take over the contract; see `tokentide_native/__init__.pyi`.
    #[new]
    #[pyo3(signature = (columns, containment, limits, part_types, required, required_of_others, judgements, *, panic_at=None))]
    #[allow(clippy::too_many_arguments, clippy::type_complexity)]
    fn new(
        py: Python<'_>,
        columns: Vec<(String, Vec<String>, String, Option<f64>, f64, Vec<String>, bool, String)>,
        containment: Vec<(Vec<usize>, usize, Option<(usize, String)>)>,
        limits: [usize; 6],
        part_types: Vec<String>,
        required: Vec<usize>,
        required_of_others: Vec<usize>,
        judgements: Vec<usize>,
        panic_at: Option<Vec<u8>>,
    ) -> PyResult<Self> {
        let mut places: HashMap<String, usize> =
            columns.iter().enumerate().map(|(place, column)| (column.0.clone(), place)).collect();
        let contents: Vec<_> = columns.iter().filter(|column| column.2 == "content").collect();
        places.extend(
            contents.iter().zip(columns.len()..).map(|(column, place)| (format!("{}_is_messages", column.0), place)),
        );
        let names = columns.iter().map(|column| PyString::intern(py, &column.0).unbind()).collect();
        let columns = columns
            .into_iter()
            .map(|(_, path, kind, limit, minimum, choices, is_of_evaluations, default)| {
                Ok(ColumnSpec {
                    path,
                    kind: kind_of(&kind)?,
                    limit: limit.unwrap_or(f64::INFINITY),
                    minimum,
                    choices,
                    is_of_evaluations,
                    default,
                })
            })
            .collect::<PyResult<Vec<_>>>()?;
        let [record_bytes, items, depth, list, labels, label_key] = limits;
        let contract = Contract {
            columns,
            containment: containment
                .into_iter()
                .map(|(parts, whole, unless)| Containment { parts, whole, unless })
                .collect(),
            limits: Limits { record_bytes, items, depth: depth as u32, list, labels, label_key },
            part_types,
            required,
            required_of_others,
            judgements,
        };
        let nodes = nodes_of(&contract).map_err(PyValueError::new_err)?;
        Ok(Decoder { contract, nodes, names, places, panic_at })
    }

    /// Decode the values of consecutive records; see `tokentide_native/__init__.pyi`.
    #[allow(clippy::needless_pass_by_value)] // it owns what is read while the interpreter is let go
    fn decode<'py>(&self, py: Python<'py>, values: Vec<Option<PyBackedBytes>>) -> PyResult<Bound<'py, PyTuple>> {
        let texts: Vec<Option<&[u8]>> = values.iter().map(|value| value.as_deref()).collect();
        if texts.iter().flatten().map(|text| text.len()).sum::<usize>() > MAX_BATCH_BYTES {
            return Err(PyValueError::new_err(format!(
                "the batch has more than {MAX_BATCH_BYTES} bytes; decode it in several"
            )));
        }
        let decoded = py
            .detach(|| {
                catch_unwind(AssertUnwindSafe(|| {
                    if let Some(text) = &self.panic_at {
                        assert!(!texts.contains(&Some(text.as_slice())), "as asked");
                    }
                    batch::decode(&self.contract, &self.nodes, &texts)
                }))
            })
            .map_err(|_| PanicError::new_err("the decoder met a defect of its own"))?;
        let columns = listed(py, &decoded.columns)?;
        let others = PyList::empty(py);
        for other in &decoded.others {
            let values = PyDict::new(py);
            for (place, value) in &other.values {
                self.put(py, &values, *place, value)?;
            }
            let kind = match other.event_type {
                EventType::Part(place) => self.contract.part_types[place].as_str(),
                _ => "evaluation",
            };
            others.append((other.record, other.item, kind, values, other.unknown_fields))?;
        }
        let odd_items = PyList::empty(py);
        for odd in &decoded.odd_items {
            let text = texts[odd.record as usize].unwrap_or_default();
            odd_items.append((odd.record, odd.item, PyBytes::new(py, &text[odd.start..odd.end])))?;
        }
        (
            columns,
            int32s(py, &decoded.record),
            int32s(py, &decoded.item),
            int32s(py, &decoded.unknown_fields),
            others,
            odd_items,
            decoded.odd_records,
        )
            .into_pyobject(py)
    }

    /// Columns of events by flat values; see `tokentide_native/__init__.pyi`.
    #[allow(clippy::needless_pass_by_value)]
    fn columns<'py>(&self, py: Python<'py>, rows: Vec<Bound<'py, PyDict>>) -> PyResult<Bound<'py, PyList>> {
        let mut columns = batch::columns_of(&self.contract);
        for (at, row) in rows.iter().enumerate() {
            for (name, value) in row.iter() {
                if let Some(place) = self.places.get(name.cast::<PyString>()?.to_str()?) {
                    let kind = self.contract.columns.get(*place).map_or(Kind::Flag, |spec| spec.kind);
                    set(&mut columns[*place], at, kind, &value)?;
                }
            }
        }
        let mut found = Vec::new();
        for (place, mut column) in columns.into_iter().enumerate() {
            if !column.is_empty() {
                column.pad(rows.len());
                found.push((place, column.buffers()));
            }
        }
        listed(py, &found)
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

fn listed<'py>(py: Python<'py>, columns: &[(usize, Buffers)]) -> PyResult<Bound<'py, PyList>> {
    let list = PyList::empty(py);
    for (place, buffers) in columns {
        list.append((*place, column(py, buffers)?))?;
    }
    Ok(list)
}

impl Decoder {
    fn put(&self, py: Python<'_>, values: &Bound<'_, PyDict>, place: usize, value: &OtherValue) -> PyResult<()> {
        let name = self.names[place].bind(py);
        match value {
            OtherValue::Text(text) => values.set_item(name, text),
            OtherValue::Messages(text) => {
                values.set_item(format!("{name}_is_messages"), true)?;
                values.set_item(name, text)
            }
            OtherValue::Int(value) => values.set_item(name, value),
            OtherValue::Money(picodollars) => values.set_item(name, decimal(py, *picodollars)?),
            OtherValue::Float(value) => values.set_item(name, value),
            OtherValue::Flag(value) => values.set_item(name, value),
            OtherValue::Texts(texts) => values.set_item(name, texts),
            OtherValue::Labels(pairs) => {
                let labels = PyDict::new(py);
                for (key, text) in pairs {
                    labels.set_item(key, text)?;
                }
                values.set_item(name, labels)
            }
        }
    }
}

fn kind_of(name: &str) -> PyResult<Kind> {
    Ok(match name {
        "name" => Kind::Name,
        "text" => Kind::Text,
        "count" => Kind::Count,
        "float" => Kind::Float,
        "money" => Kind::Money,
        "flag" => Kind::Flag,
        "time" => Kind::Time,
        "texts" => Kind::Texts,
        "labels" => Kind::Labels,
        "content" => Kind::Content,
        _ => return Err(PyValueError::new_err(format!("no kind of column: {name}"))),
    })
}

fn decimal(py: Python<'_>, picodollars: i64) -> PyResult<Bound<'_, PyAny>> {
    static DECIMAL: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    let text = format!("{}.{:012}", picodollars / 1_000_000_000_000, picodollars % 1_000_000_000_000);
    DECIMAL.import(py, "decimal", "Decimal")?.call1((text,))
}

fn column<'py>(py: Python<'py>, buffers: &Buffers) -> PyResult<Bound<'py, PyTuple>> {
    let validity = (buffers.nulls > 0).then(|| PyBytes::new(py, &buffers.validity));
    let own: Vec<_> = buffers.own.iter().map(|buffer| PyBytes::new(py, buffer)).collect();
    let inner: Vec<_> = buffers
        .inner
        .iter()
        .map(|(rows, offsets, bytes)| (*rows, PyBytes::new(py, offsets), PyBytes::new(py, bytes)))
        .collect();
    (buffers.nulls, validity, own, inner).into_pyobject(py)
}

fn int32s<'py>(py: Python<'py>, values: &[i32]) -> Bound<'py, PyBytes> {
    let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    PyBytes::new(py, &bytes)
}

#[pymodule]
mod _native {
    use super::{PyModule, PyModuleMethods, PyResult};
    use pyo3::Bound;

    #[pymodule_export]
    use super::{Decoder, PanicError};

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        // A panic's message could hold a piece of an event.
        std::panic::set_hook(Box::new(|_| {}));
        module.add("INTERFACE", super::INTERFACE)
    }
}
