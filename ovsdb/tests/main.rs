//! The server driven by Open vSwitch's own tools, the client against a real `ovsdb-server`, and both together.
//!
//! The tools are a requirement: a missing one fails the tests that need it.

mod client;
mod differential;
mod file;
mod harness;
mod tls;
mod tools;
mod wire;
