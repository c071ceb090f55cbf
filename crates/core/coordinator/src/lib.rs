//! Coordinators: consumer groups. Knows neither the log that they are kept in nor the wire.

pub mod group;
