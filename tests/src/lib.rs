//! Tests that no single package can hold. What both the test binary (`tests/`) and the torture
//! command (`main.rs`) run stands here; what only one of them runs stands there.

#![forbid(unsafe_code)]

pub mod checker;
pub mod damage;
pub mod fuzz;
pub mod golden;
pub mod simulation;
pub mod support;
pub mod torture;
