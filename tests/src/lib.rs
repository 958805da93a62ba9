//! The system tests are in `tests/tests/`: this library is empty, for cargo wants a target.
