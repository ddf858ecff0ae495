//! The program from outside: each test gets an empty folder and a command.

mod clients;
mod logs;
mod run;
mod session;
mod space;
mod studies;
mod support;
