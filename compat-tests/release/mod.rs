//! Tests of what a release consists of, apart from the program.

mod install_script;
