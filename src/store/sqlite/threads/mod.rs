//! The threads of the store under shuttle, with the writer, the index, the threads that read and checkpoint, and SQLite as they are. A
//! call of SQLite is one step: what happens within it is SQLite's.

mod answers;
mod filling;
mod history;
mod home;
mod jobs;
