//! The Python package; its own tests are in `python/tests`.

mod package;
