//! Consumer groups as a pure state machine.
