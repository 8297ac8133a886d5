//! The kernel's side of the gate: what the firewall of this machine has stopped and which connections it has tracked come
//! in as records of kind `flow`.

pub mod flows;
