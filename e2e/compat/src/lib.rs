//! Taffrail against real clients, real files and real crashes; all of it is in `tests/`. `TAFFRAIL_BIN` names the binary
//! under test.
