//! Zeek's `conn.log`, `http.log` and `ssl.log`: a line becomes a row of the columns that are of use here, whether it is
//! of a table or JSON, and a row becomes what it tells.

mod column;
mod event;
mod flow;
mod json;
mod row;
mod table;

pub use flow::zeek_flow;
pub(super) use json::read as read_json;
pub(super) use table::Table;

#[cfg(test)]
mod tests;
