//! Tests of the Python package in this repository; its own tests are in `python/tests`.

mod package;
