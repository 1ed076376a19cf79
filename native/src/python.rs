//! The extension module: contract in, buffers out. The interpreter is not held while a batch is read.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use pyo3::create_exception;
use pyo3::exceptions::{PyException, PyValueError};
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::{PyBytes, PyList, PyString, PyTuple};

use crate::batch::{self, MAX_BATCH_BYTES};
use crate::column::Buffers;
use crate::python_others::{PyOther, others_of};
use crate::python_table::TableBuilder;
use crate::spec::{ColumnSpec, Containment, Contract, Kind, Limits, Node, nodes_of};

/// Raised with every change of what is handed over or returned.
const INTERFACE: u32 = 2;

create_exception!(
    tokentide_native,
    PanicError,
    PyException,
    "The decoder met a defect of its own. Nothing of the batch was decoded: give it to the reference path."
);

/// Decodes batches of records. Keeps nothing between them.
#[pyclass(frozen)]
pub struct Decoder {
    pub contract: Contract,
    nodes: Vec<Node>,
    pub names: Vec<Py<PyString>>,
    /// From a column's name to its place; those that tell messages from text stand behind the contract's.
    pub places: HashMap<String, usize>,
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
    fn decode<'py>(slf: &Bound<'py, Self>, values: Vec<Option<PyBackedBytes>>) -> PyResult<Bound<'py, PyTuple>> {
        let (py, this) = (slf.py(), slf.get());
        let texts: Vec<Option<&[u8]>> = values.iter().map(|value| value.as_deref()).collect();
        if texts.iter().flatten().map(|text| text.len()).sum::<usize>() > MAX_BATCH_BYTES {
            return Err(PyValueError::new_err(format!(
                "the batch has more than {MAX_BATCH_BYTES} bytes; decode it in several"
            )));
        }
        let decoded = py
            .detach(|| {
                catch_unwind(AssertUnwindSafe(|| {
                    if let Some(text) = &this.panic_at {
                        assert!(!texts.contains(&Some(text.as_slice())), "as asked");
                    }
                    batch::decode(&this.contract, &this.nodes, &texts)
                }))
            })
            .map_err(|_| PanicError::new_err("the decoder met a defect of its own"))?;
        let columns = listed(py, &decoded.columns)?;
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
            others_of(slf, decoded.others, values)?,
            odd_items,
            decoded.odd_records,
        )
            .into_pyobject(py)
    }

    /// See `tokentide_native/__init__.pyi`.
    fn table_builder(slf: &Bound<'_, Self>) -> TableBuilder {
        TableBuilder::new(slf)
    }
}

pub fn listed<'py>(py: Python<'py>, columns: &[(usize, Buffers)]) -> PyResult<Bound<'py, PyList>> {
    let list = PyList::empty(py);
    for (place, buffers) in columns {
        list.append((*place, column(py, buffers)?))?;
    }
    Ok(list)
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
    use super::{Decoder, PanicError, PyOther, TableBuilder};

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        // A panic's message could hold a piece of an event.
        std::panic::set_hook(Box::new(|_| {}));
        module.add("INTERFACE", super::INTERFACE)
    }
}
