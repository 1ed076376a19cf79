//! The values of Kafka records to Arrow buffers, in one pass.
//!
//! The contract is handed over (`spec`); the reference path in Python defines what is accepted. This decoder is never laxer:
//! what it does not vouch for, an item or a record, is named and judged there. In reading order:
//! `batch` (records to items), `row` (an event's fields to values), `scan` (tokens), `number`, `time`, `content` (values),
//! `column` (values to buffers), `others` (events that are no calls), `python` and its like (the extension module).

pub mod batch;
pub mod column;
pub mod content;
pub mod number;
pub mod others;
#[cfg(feature = "python")]
mod python;
#[cfg(feature = "python")]
mod python_others;
#[cfg(feature = "python")]
mod python_table;
pub mod row;
pub mod scan;
pub mod spec;
pub mod time;
