//! The real processes, as an operator and as a browser see them: what they promise holds when they are killed.
//!
//! - `harness`: a whole system in a temporary folder; waiting for conditions
//! - `person`: somebody at a browser, by HTTP
//! - `operate`: starting, status, stopping, restarts
//! - `boxes`: how boxes come and go
//! - `refuse`: what a node refuses at its start, and whom it turns away
//! - `backup`: backups, and what of them is damaged
//! - `export`: what is handed out in readable form
//! - `faults`: a burnt box, clocks that are a day off
//! - `gateway`: what goes on over the cloud while a box is gone
//! - `log`: every acknowledged operation once, in one order, whatever dies

mod backup;
mod boxes;
mod export;
mod faults;
mod gateway;
mod harness;
mod log;
mod operate;
mod person;
mod refuse;
