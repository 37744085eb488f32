//! Tests of the policies as a whole.

mod attempt;
mod condition_refusals;
mod conditions;
mod decisions;
mod refusals;
mod sample_file;
mod warnings;
