//! Tests of locks in every language: writing, checking, installing from, updating and inspecting them.

mod audit;
mod everywhere;
mod imported;
mod index;
mod languages;
mod locks;
mod managers;
