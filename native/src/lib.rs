//! The values of Kafka records to Arrow buffers, in one pass.
//!
//! The contract is handed over (`spec`); the reference path in Python defines what is accepted. This decoder is never laxer:
//! what it does not vouch for, an item or a record, is named and judged there. In reading order:
//! `batch` (records to items), `row` (an event's fields to values), `scan` (tokens), `number`, `time`, `content` (values),
//! `column` (values to buffers), `python` (the extension module).

pub mod batch;
pub mod column;
pub mod content;
pub mod number;
#[cfg(feature = "python")]
mod python;
pub mod row;
pub mod scan;
pub mod spec;
pub mod time;
